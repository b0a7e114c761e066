package device

// load is what the CPU has to do, in % beyond idling, and how that has heated it. It changes only at
// events; between them both temperatures decay towards their ends, which has a closed form.
type load struct {
	level float64 // since then
	since instant
	// The level smoothed by the time constants of the chip and of its heat sink, at since.
	chip, sink float64
}

const (
	chipTau = 15 * second
	sinkTau = 90 * second
)

// at returns both smoothed levels at t.
func (l *load) at(t instant) (chip, sink float64) {
	dt := max(t-l.since, 0)
	return l.level + (l.chip-l.level)*decay(dt, chipTau), l.level + (l.sink-l.level)*decay(dt, sinkTau)
}

// set changes the level.
func (l *load) set(t instant, level float64) {
	if level == l.level {
		return
	}
	l.chip, l.sink = l.at(t)
	l.level, l.since = level, t
}

// rest is a load that has been the same for long.
func (l *load) rest(t instant) { l.chip, l.sink, l.since = l.level, l.level, t }

const (
	cpuIdle   = 14.5 // %
	cpuBusy   = 90   // % with firmware that gives the CPU no rest
	jobLoad   = 22   // % of the nightly job
	printLoad = 12   // % on top of a session's, from paying on
	browseLow = 28   // % of a session, from
	browseTop = 40   // to
)

// workload returns what the CPU has to do, in % beyond idling.
func (s *Simulated) workload() float64 {
	if s.forced.busy {
		return cpuBusy - cpuIdle
	}
	level := s.session.load()
	if s.working {
		level += jobLoad
	}
	return level
}
