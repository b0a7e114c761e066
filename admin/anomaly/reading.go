package anomaly

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/timezone"
)

// scoreSteps is how many different scores there are: fewer digits take less room in the time series, and nobody can
// tell scores apart that are closer.
const scoreSteps = 1 << 12

// orphanSoon is the orphan of an entry that has had no reading since the start.
const orphanSoon = -1

// orphaned is how long an anomaly of before a crash stays open when its kiosk, whose state is a little older, does not
// find it again: as long as one has to be quiet to be over.
const orphaned = 30 * time.Minute

// adrift is how long the detectors go on with an anomaly that is open nowhere else. It may have ended before a crash, and
// then it ends for them within the readings of the minute after their state; or it was closed because detection was
// switched off.
const adrift = orphaned

// gauges is memory for the values of one reading.
type gauges [watch.MaxMetrics]fleet.Value

var gaugesPool = sync.Pool{New: func() any { return new(gauges) }}

// Reading scores a reading and learns from it. One that its kiosk's state holds already, as after a crash, is skipped;
// so is one that is older than another by the kiosk's clock: it says nothing of what is so now, and was kept back for
// who knows what reason.
func (w *Watch) Reading(r *fleet.Reading) {
	if w.cfg.Disabled {
		return
	}
	k, err := w.cfg.Kiosks.Get(r.Serial)
	if err != nil {
		return // it was deleted meanwhile
	}
	began := time.Now()
	s := w.loaded(r.Serial)
	e := w.begin(s, k)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.id != k.ID {
		w.renew(e, k)
	}
	ms := r.Time.UnixMilli()
	if !r.Source.After(e.source) && r.Source != (fleet.Source{}) || e.gone {
		return
	}
	e.source, e.changed = r.Source, true
	if e.newest != 0 && ms <= e.newest {
		w.counts.late.Add(1)
		return
	}
	e.newest = ms
	if e.adrift != 0 && ms >= e.adrift {
		if e.adrift = 0; e.open == nil {
			e.kiosk.End()
		}
	}
	if e.orphan == orphanSoon {
		e.orphan = ms + orphaned.Milliseconds()
	}
	if Rests(r.Status) || w.cfg.Resting != nil && w.cfg.Resting(r.Serial, r.Time) {
		e.scored = false
		w.counts.resting.Add(1)
		return
	}
	buf, _ := gaugesPool.Get().(*gauges)
	defer gaugesPool.Put(buf)
	values, left := buf.of(r.Values)
	if len(values) == 0 {
		return
	}
	if e.since == 0 {
		e.since = ms
	}
	if e.zone != k.Timezone || e.place == nil {
		e.zone, e.place = k.Timezone, timezone.OrUTC(k.Timezone)
	}
	w.followModel(e, k)
	found := e.kiosk.Step(r.Time.In(e.place), values, *w.tuning.Load())
	e.score, e.scored = math.Round(found.Score*scoreSteps)/scoreSteps, true
	w.follow(e, k, r, found)
	w.scores.put(fleet.KioskScore{Serial: r.Serial, Site: r.Site, Time: r.Time, Score: e.score, Source: r.Source})
	if left += e.kiosk.Skipped(); left > 0 {
		w.counts.skipped.Add(int64(left))
	}
	w.counts.steps.Add(1)
	w.counts.stepTime.Add(int64(time.Since(began)))
}

// Rests reports whether a kiosk that says this of itself does not serve customers: what it reports then is not what is
// usual, and nobody needs to be told that it is not.
func Rests(s protocol.State) bool {
	switch s {
	case protocol.StateBlocked, protocol.StateMaintenance, protocol.StateRestarting, protocol.StateUpdating:
		return true
	}
	return false
}

// Watched reports whether detectors look at a metric: at all but the position, which wanders by itself and has rules of
// its own, and the levels of supplies: that people fill them up when they please is no anomaly, and forecasts say when
// they run out.
func Watched(metric string) bool {
	return !strings.HasPrefix(metric, "location.") && !protocol.IsSupply(metric)
}

// of returns the values that detectors look at, sorted by metric; of many the first by name, and how many are left.
func (g *gauges) of(values []fleet.Value) (taken []fleet.Value, left int) {
	n := 0
	for i := range values {
		switch v := &values[i]; {
		case !Watched(v.Metric):
		case n == len(g):
			left++
		default:
			g[n] = *v
			n++
		}
	}
	return g[:n], left
}

// renew begins anew with a kiosk that has got the serial of another one. The entry's lock is held.
func (w *Watch) renew(e *entry, k *fleet.Kiosk) {
	if e.open != nil {
		w.counts.open.Add(-1)
		w.close(e.open, w.cfg.Now().UTC())
	}
	e.model = w.model.Load()
	e.id, e.kiosk, e.source, e.newest, e.since, e.peers, e.scored, e.open, e.orphan, e.adrift = k.ID, watch.New(&w.cfg.Detect, w.prior(e.model, k)), fleet.Source{}, 0, 0, 0, false, nil, 0, 0
}

// follow opens, continues and ends the kiosk's anomaly. The entry's lock is held.
func (w *Watch) follow(e *entry, k *fleet.Kiosk, r *fleet.Reading, found watch.Finding) {
	switch {
	case found.Fired:
		e.orphan = 0
		w.fire(e, k, r)
	case e.open == nil:
	case found.Ended, e.orphan != 0 && e.newest >= e.orphan:
		a := e.open
		e.open, e.orphan = nil, 0
		w.counts.open.Add(-1)
		w.close(a, r.Time)
	case e.score > e.open.Score:
		e.open.Score, e.open.PeakAt = e.score, r.Time
		w.events.put(fleet.AnomalyEvent{Anomaly: *e.open})
	}
}

// fire opens an anomaly, or notes that the open one became worse.
func (w *Watch) fire(e *entry, k *fleet.Kiosk, r *fleet.Reading) {
	kind := fleet.AnomalyEscalated
	if e.open == nil {
		kind = fleet.AnomalyOpened
		e.open = &fleet.Anomaly{
			ID: anomalyID(r.Serial, r.Time), Serial: r.Serial, Site: k.Site, Model: w.modelOf(k), OpenedAt: r.Time,
			Detector: w.model.Load().Version,
		}
		w.counts.open.Add(1)
		w.counts.opened.Add(1)
	}
	a := e.open
	if e.score >= a.Score {
		a.Score, a.PeakAt = e.score, r.Time
	}
	if a.Sensors = e.kiosk.Explain(); len(a.Sensors) > 0 {
		a.Text = a.Sensors[0].Text
	}
	w.events.put(fleet.AnomalyEvent{Kind: kind, Anomaly: *a})
}

// close ends an anomaly that is counted as open no longer.
func (w *Watch) close(a *fleet.Anomaly, at time.Time) {
	over := *a
	over.ClosedAt = &at
	w.events.put(fleet.AnomalyEvent{Kind: fleet.AnomalyClosed, Anomaly: over})
}

// anomalyID names an anomaly by its kiosk and the time at which it opened.
func anomalyID(serial string, opened time.Time) string {
	return serial + "-" + strconv.FormatInt(opened.UnixMilli(), 36)
}

// Score returns how unusual the newest reading of a kiosk is, 0 to 1; false when nothing is known of it, or it is being
// worked on.
func (w *Watch) Score(serial string) (float64, bool) {
	e := w.shard(serial).entry(serial)
	if e == nil {
		return 0, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.score, e.scored
}
