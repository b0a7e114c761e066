package watch

// Time constants, in seconds. Those of the movements that are compared are longer for kiosks that report seldom.
const (
	quick   = 25.0       // a chip warms up
	slow    = 120.0      // its heat sink does
	wander  = 3 * 3600.0 // slower movements are a metric's own affair
	lasting = 8 * 60.0   // over which a small difference is added up
	// A gap is longer than so many intervals and seconds. After it everything starts anew, and there is nothing to compare
	// for restart seconds; a metric that was away by itself needs settle seconds, if that was not for a pause.
	gapIntervals = 3.5
	outage       = 20.0
	restart      = 20 * 60.0
	settle       = 8 * 60.0
	pause        = 30 * 60.0
	// One reading in every learnEvery seconds is learnt as to how metrics go together.
	learnEvery = 20.0
)

// clock is the time of a kiosk's readings.
type clock struct {
	last     int64   // of the last reading, Unix milliseconds; 0: there was none
	interval float32 // usual seconds between readings
	dt       float64 // seconds since the reading before
}

// tick moves on to a reading.
func (c *clock) tick(ms int64) {
	if c.last != 0 {
		c.dt = float64(ms-c.last) / 1000
		if usual := float64(c.interval); usual == 0 {
			c.interval = float32(min(c.dt, pause))
		} else {
			c.interval += float32(0.05 * (min(c.dt, 2*usual) - usual))
		}
	}
	c.last = ms
}

// share returns how much of the way to a new value a smoothed one of time constant tau goes in dt seconds.
func share(dt, tau float64) float64 { return dt / (dt + tau) }
