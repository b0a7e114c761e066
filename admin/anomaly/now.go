package anomaly

import (
	"time"

	"kioskfleet/admin/fleet"
)

// Now says how unusual a kiosk is; its At is zero while nothing was scored.
func (w *Watch) Now(serial string) fleet.AnomalyNow {
	out := fleet.AnomalyNow{Serial: serial, Detector: w.model.Load().Version}
	if w.cfg.Disabled {
		return out
	}
	out.Learning = true
	e := w.loaded(serial).entry(serial)
	if e == nil {
		return out
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.since == 0 {
		return out
	}
	out.At, out.Since, out.Score = time.UnixMilli(e.newest).UTC(), time.UnixMilli(e.since).UTC(), e.score
	out.Learning, out.Sensors, out.Bands = e.kiosk.Learning(), e.kiosk.Explain(), e.kiosk.Bands()
	if e.open != nil {
		open := *e.open
		out.Open = &open
	}
	return out
}

// Open returns the anomaly of a kiosk that goes on, false when there is none.
func (w *Watch) Open(serial string) (fleet.Anomaly, bool) {
	e := w.shard(serial).entry(serial)
	if e == nil {
		return fleet.Anomaly{}, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		return fleet.Anomaly{}, false
	}
	return *e.open, true
}
