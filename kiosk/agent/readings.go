package agent

import (
	"encoding/json"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/outbox"
)

// Clock is the time that readings are taken in; *clock.CatchUp is one, and *clock.Skewed one that is wrong.
// Everything else, such as the time limit of a command, keeps to the machine's clock.
type Clock = clock.Clock

// Readings are due on a grid: at all times that are a whole number of intervals and the kiosk's phase away
// from the epoch. So a fleet spreads over the interval, and it stays spread after all of it has started or
// lost its connection at once. What is published between, because a connection has come up or a command
// had its effect, does not move the grid.
//
// A reading bears the time at which it was taken, not that at which it was due: on a busy machine that is
// later, and the time of a measurement must be true. Only a clock that catches up with the present knows
// of no other time than the due one.

// phase returns where in the interval a kiosk's readings are due.
func phase(serial string, interval time.Duration) time.Duration {
	return time.Duration(hashed.Uniform(hashed.Of(hashed.Text("phase"), hashed.Text(serial))) * float64(interval))
}

// right returns the clock that is right below one that may be wrong. A kiosk whose clock is wrong, or is
// set, still takes its readings in the rhythm of the world.
func right(c Clock) Clock {
	if wrong, ok := c.(*clock.Skewed); ok {
		return wrong.Right()
	}
	return c
}

// shows returns what the kiosk's clock shows at t.
func (a *Agent) shows(t time.Time) time.Time {
	if wrong, ok := a.cfg.Clock.(*clock.Skewed); ok {
		return wrong.Shows(t)
	}
	return t
}

// untilDue returns how long it is from now until the next time of the grid; more than 0.
func (a *Agent) untilDue(now time.Time) time.Duration {
	since := time.Duration(now.UnixNano()-int64(a.phase)) % a.cfg.Interval
	if since < 0 {
		since += a.cfg.Interval
	}
	return a.cfg.Interval - since
}

// schedule makes the next reading due and returns how long it takes until then.
func (a *Agent) schedule() time.Duration {
	now := a.clock.Now()
	a.tick = now.Add(a.untilDue(now))
	return a.clock.Until(a.tick)
}

// reportDue takes the reading that is due and returns how long it takes until the next one is. Of
// readings that are overdue only one is taken, unless the clock has yet to catch up.
func (a *Agent) reportDue() time.Duration {
	if a.catchingUp() {
		a.makeUp()
		return a.clock.Until(a.tick)
	}
	now := a.clock.Now()
	a.reportAt(now)
	wait := a.untilDue(now)
	if wait < a.cfg.Interval/4 {
		// The timer was a little early by this clock, or we are very late: that was the next one.
		wait += a.cfg.Interval
	}
	a.tick = now.Add(wait)
	return a.clock.Until(a.tick)
}

// catchingUp reports whether the next reading is due before the clock has caught up with the present.
func (a *Agent) catchingUp() bool { return a.tick.Before(a.clock.CaughtUp()) }

// makeUp takes all readings that are due while the clock catches up, each with the time it was due.
func (a *Agent) makeUp() {
	for a.catchingUp() && a.clock.Until(a.tick) <= 0 {
		a.reportAt(a.tick)
		if a.tick = a.tick.Add(a.cfg.Interval); !a.catchingUp() {
			a.log.Info("the clock has caught up with the present")
		}
	}
}

// report takes a reading now.
func (a *Agent) report() {
	a.makeUp() // their times come before now
	a.reportAt(a.clock.Now())
}

// reportAt takes a reading and hands it to the outbox.
func (a *Agent) reportAt(now time.Time) {
	status := a.status()
	sample := a.cfg.Device.Sample(now, status == protocol.StateOnline)
	stamp := a.outbox.Stamp(a.shows(now))
	id, seq := a.session.stamp()
	payload, err := json.Marshal(protocol.Reading{
		Timestamp: stamp, KioskID: a.cfg.Identity.KioskID, Serial: a.cfg.Identity.Serial,
		Seq: seq, Session: id, Status: status,
		Environmental: sample.Environmental, Hardware: sample.Hardware, Peripherals: sample.Peripherals,
		Location: sample.Location, Network: sample.Network, Custom: sample.Custom,
	})
	if err == nil {
		err = a.outbox.Add(outbox.Item{Session: id, Seq: seq, Time: stamp, Payload: payload})
	}
	if err != nil {
		a.cfg.Counters.OutboxErrors.Add(1)
		a.log.Error("a reading is lost", "seq", seq, "error", err)
		return
	}
	signal(a.wake)
}
