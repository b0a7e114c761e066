package life

import (
	"slices"
	"time"

	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// How faults of agent and network begin and end. Those of the device are its own.

// strike lets a fault begin, if it is one of agent or network.
func (l *Life) strike(f fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if spec, ok := fault.Lookup(f.Kind); !ok || spec.Layer == fault.LayerDevice || l.over {
		return
	}
	if !f.To.IsZero() {
		// Last of all at that moment: when another fault of the kind follows at once, there is no gap.
		l.agenda.AtLast(f.To, func() { l.mend(f) })
	}
	l.active = append(l.active, f)
	if f.Kind == fault.BadFirmware {
		l.infect(f.From) // it is told when it takes effect
		return
	}
	l.tell(truth.FaultStart, f, f.From)
	switch f.Kind {
	case fault.RebootLoop:
		l.fall(l.newLoop(f), f.From)
	case fault.Flapping:
		l.flap(f, f.From)
	}
	l.apply()
}

// mend lets a fault end.
func (l *Life) mend(f fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over { // else it has ended with the life
		l.cease(f)
		l.apply()
	}
}

// cease takes a fault off, and tells of its end.
func (l *Life) cease(f fault.Fault) {
	l.active = without(l.active, f.ID)
	l.endLoop(f.ID)
	if f.Kind == fault.BadFirmware {
		l.infect(f.To)
	} else {
		l.tell(truth.FaultEnd, f, f.To)
	}
}

// has reports whether a fault of that id is among them.
func has(faults []fault.Fault, id string) bool {
	return slices.ContainsFunc(faults, func(f fault.Fault) bool { return f.ID == id })
}

// without returns the faults but for those of that id.
func without(faults []fault.Fault, id string) []fault.Fault {
	rest := slices.DeleteFunc(faults, func(f fault.Fault) bool { return f.ID == id })
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// loop is a fault that lets the kiosk fall over again and again.
type loop struct {
	id         string        // the fault's
	runs, lies time.Duration // how long it runs, and lies
	fallen     bool          // it lies
	over       bool
}

// newLoop begins one, with the kiosk on its feet.
func (l *Life) newLoop(f fault.Fault) *loop {
	o := &loop{id: f.ID, runs: f.Params.Duration("every"), lies: f.Params.Duration("down")}
	l.loops = append(l.loops, o)
	return o
}

// endLoop ends the loop of a fault, if it has one.
func (l *Life) endLoop(id string) {
	for _, o := range l.loops {
		o.over = o.over || o.id == id
	}
	if l.loops = slices.DeleteFunc(l.loops, func(o *loop) bool { return o.over }); len(l.loops) == 0 {
		l.loops = nil
	}
}

// fall lets the kiosk fall over at once, and get up later.
func (l *Life) fall(o *loop, at time.Time) {
	o.fallen = true
	l.apply()
	up := at.Add(o.lies)
	l.agenda.AtLast(up, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !o.over && !l.over {
			o.fallen = false
			l.apply()
			l.fallLater(o, up)
		}
	})
}

// fallLater lets the kiosk fall over when it has run for a while since it got up.
func (l *Life) fallLater(o *loop, up time.Time) {
	at := up.Add(o.runs)
	l.agenda.At(at, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !o.over && !l.over {
			l.fall(o, at)
		}
	})
}

// flap cuts the connection now and again.
func (l *Life) flap(f fault.Fault, at time.Time) {
	l.uplink.Cut()
	next := at.Add(f.Params.Duration("every"))
	l.agenda.At(next, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.over && has(l.active, f.ID) {
			l.flap(f, next)
		}
	})
}

// apply makes the network, the clock and the agent be as the active faults want them.
func (l *Life) apply() {
	var delay, skew time.Duration
	var bytesPerSecond int
	down := slices.ContainsFunc(l.loops, func(o *loop) bool { return o.fallen })
	out, silent := false, true
	for _, f := range l.active {
		switch f.Kind {
		case fault.Crash:
			down = true
		case fault.SlowNetwork:
			delay = max(delay, f.Params.Duration("delay"))
			if rate := f.Params.Number("bytes_per_second"); rate > 0 {
				if n := max(1, int(rate)); bytesPerSecond == 0 || n < bytesPerSecond {
					bytesPerSecond = n
				}
			}
		case fault.SiteOutage:
			out = true
			silent = silent && f.Params.Text("how") == fault.OutageSilent
		case fault.ClockSkew:
			skew += f.Params.Duration("by")
		}
	}
	l.skewed.Set(skew)
	l.uplink.Slow(delay, bytesPerSecond)
	if out {
		l.uplink.Down(silent)
	} else {
		l.uplink.Up()
	}
	l.silent = out && silent
	switch {
	case down && !l.down:
		l.down = true
		l.uplink.Kill()
		if l.stop != nil {
			l.stop(agent.ErrCrash)
		}
	case !down && l.down:
		l.down = false
		l.uplink.Revive()
		select {
		case l.power <- struct{}{}:
		default:
		}
	}
}

// tell writes the begin or end of a fault into the truth log.
func (l *Life) tell(what truth.Kind, f fault.Fault, at time.Time) {
	l.record.event(truth.Event{Time: at, Event: what, ID: f.ID, Fault: f.Kind, Params: f.Params})
}
