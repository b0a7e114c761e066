package backtest

import (
	"context"
	"fmt"
	"time"

	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// lookEvery is after how many readings a backtest looks whether anybody still waits for it.
const lookEvery = 1024

// replay is one run of a rule over the past.
type replay struct {
	backtest *Backtest
	rule     *rule.Compiled
	rules    []engine.Rule
	query    Query
	kiosks   map[string]*kioskReplay

	readings  int
	turns     int // changes of presence and so on that are held in memory
	restarted bool
	kept      kept
	firing    int64 // ms that alerts stood
}

// run passes what happened through the engine.
func (w *replay) run(ctx context.Context, history History, kiosks []*fleet.Kiosk) error {
	for _, k := range kiosks {
		if err := w.begin(ctx, k); err != nil {
			return err
		}
	}
	if len(kiosks) == 0 {
		return ctx.Err()
	}
	err := history.Replay(ctx, w.query, func(r *fleet.Reading) error {
		k := w.kiosks[r.Serial]
		if k == nil {
			return nil
		}
		if w.readings++; w.readings > w.backtest.maxReadings {
			return w.backtest.tooMany(w.query, fmt.Sprintf("more than %d", w.backtest.maxReadings))
		}
		if w.readings%lookEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k.reading(r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range kiosks {
		w.kiosks[k.Serial].finish()
	}
	return ctx.Err()
}

// begin sets a kiosk to what was known of it at From.
func (w *replay) begin(ctx context.Context, kiosk *fleet.Kiosk) error {
	turns, err := turnsOf(ctx, w.backtest.cfg.Events, kiosk.Serial, w.query.From, w.query.To)
	if err != nil {
		return err
	}
	if w.turns += len(turns.list); w.turns > maxTurns {
		return fleet.Invalid("from", "more than %d changes of presence and verdict of %d kiosks: choose a later from, or fewer kiosks by serials or the rule's scope",
			maxTurns, len(w.query.Serials))
	}
	w.restarted = w.restarted || turns.restarted
	k := &kioskReplay{replay: w, kiosk: kiosk, zone: matcher.Zone(kiosk), live: turns.before, turns: turns.list, state: engine.State{Serial: kiosk.Serial}}
	if w.backtest.cfg.Derive != nil {
		k.derived = w.backtest.cfg.Derive(kiosk)
	}
	w.kiosks[kiosk.Serial] = k
	k.step(w.query.From, nil)
	return nil
}

// kioskReplay is how far one kiosk is.
type kioskReplay struct {
	replay  *replay
	kiosk   *fleet.Kiosk
	zone    *time.Location
	derived Deriver // nil: nothing is computed
	live    *fleet.Live
	turns   []turn // that are still to come
	state   engine.State
	open    *fleet.Alert
}

// reading takes a reading, after what became different before it. That a kiosk is back is learnt from the reading
// itself; that it is gone can only follow one that came in the same millisecond.
func (k *kioskReplay) reading(r *fleet.Reading) {
	at := r.ReceivedAt
	k.until(at)
	for len(k.turns) > 0 && k.turns[0].at.Equal(at) && k.turns[0].live.Presence == fleet.PresenceOnline {
		k.live, k.turns = k.turns[0].live, k.turns[1:]
	}
	if k.live == nil {
		k.live = heard(k.kiosk.Serial, at)
	}
	if k.derived != nil {
		k.derived.Reading(r)
	}
	k.step(at, r)
}

// until handles what became different before a time.
func (k *kioskReplay) until(at time.Time) {
	for len(k.turns) > 0 && k.turns[0].at.Before(at) {
		k.live = k.turns[0].live
		k.step(k.turns[0].at, nil)
		k.turns = k.turns[1:]
	}
}

// finish goes on to the end of the time.
func (k *kioskReplay) finish() {
	to := k.replay.query.To
	k.until(to)
	k.step(to, nil)
	if k.open != nil {
		k.keep(to)
	}
}

func (k *kioskReplay) step(at time.Time, r *fleet.Reading) {
	in := engine.Input{At: at, Reading: r, Kiosk: k.kiosk, Live: k.live, Zone: k.zone}
	if r != nil {
		in.Source = r.Source
	}
	if k.derived != nil {
		in.Derived = k.derived
	}
	for _, c := range engine.Step(&k.state, k.replay.rules, in) {
		switch c.Kind {
		case fleet.AlertEventOpened:
			a := c.Alert
			k.open = &a
		case fleet.AlertEventFlapping:
			k.open.Flapping, k.open.UpdatedAt = true, c.At
		case fleet.AlertEventResolved:
			k.open.State, k.open.ResolvedAt, k.open.ResolvedWhy, k.open.UpdatedAt = c.Alert.State, c.Alert.ResolvedAt, c.Alert.ResolvedWhy, c.At
			k.keep(c.At)
		}
	}
}

// keep adds the open alert, which stood until then, to the result.
func (k *kioskReplay) keep(until time.Time) {
	k.replay.firing += max(until.Sub(k.open.OpenedAt).Milliseconds(), 0)
	k.replay.kept.add(k.open)
	k.open = nil
}
