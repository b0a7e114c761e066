// Package backtest finds out when an alert rule would have fired: it runs the rule over what is stored of the past,
// through the engine that runs it live, with the clock of the readings.
package backtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// Bounds of a backtest.
const (
	maxRange    = 90 * 24 * time.Hour
	maxAlerts   = 10_000
	maxReadings = 20_000_000 // a day of a thousand kiosks at 5 s has 17 million
)

// History gives what happened. The same question has the same answer.
type History interface {
	// Count returns about how many readings Replay would pass.
	Count(ctx context.Context, q Query) (int, error)
	// Replay passes the readings in the order in which they counted as received. Those of different kiosks may come mixed.
	Replay(ctx context.Context, q Query, each func(*fleet.Reading) error) error
}

// Query asks for the readings of some kiosks that came in [From, To).
type Query struct {
	Serials  []string // sorted
	Metrics  []string // that are needed; others may be left out
	From, To time.Time
}

// Kiosks gives registered kiosks; nobody changes them.
type Kiosks interface {
	All() []*fleet.Kiosk
}

// Deriver computes values of one kiosk from its readings, which come in their order.
type Deriver interface {
	rule.Derived
	Reading(r *fleet.Reading)
}

// Config says what a Backtest works with. Kiosks, Events, Series and Now are required.
type Config struct {
	Kiosks Kiosks
	Events Events
	Series History // of what is kept as time series
	// Journal has what came of late as it came; nil: nothing. Oldest says from when on it is complete, zero: not at all.
	Journal History
	Oldest  func(ctx context.Context) (time.Time, error)
	Derive  func(k *fleet.Kiosk) Deriver // nil: nothing is computed
	// Needs names the metrics from which a derived value is computed; nil: none.
	Needs func(derived string) []string
	Now   func() time.Time
}

// Backtest runs rules over the past, one at a time: each takes a processor for itself. It is safe for concurrent use.
type Backtest struct {
	cfg         Config
	turn        chan struct{} // holds the one that runs; others wait until their context ends
	maxAlerts   int
	maxReadings int
}

// New returns a Backtest.
func New(cfg Config) *Backtest {
	return &Backtest{cfg: cfg, turn: make(chan struct{}, 1), maxAlerts: maxAlerts, maxReadings: maxReadings}
}

// Run returns when a rule would have fired, had it been made at From, when nothing was known of rates yet. The kiosks
// are those that are registered now, as they are now. What a rule sees of presence, verdict and agent comes from the
// log of their changes. A To in the future counts as now. A rule that is switched off runs as well.
//
// Errors: *fleet.ValidationError for a rule that is wrong and for a question that is too large, with what to narrow;
// those of History and ctx.
func (b *Backtest) Run(ctx context.Context, request fleet.BacktestRequest) (fleet.BacktestResult, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return fleet.BacktestResult{}, ctx.Err()
	}
	result, err := b.run(ctx, request)
	var invalid *fleet.ValidationError
	if err != nil && !errors.As(err, &invalid) {
		return result, fmt.Errorf("backtest of rule %s: %w", request.Rule.Name, err)
	}
	return result, err
}

func (b *Backtest) run(ctx context.Context, request fleet.BacktestRequest) (fleet.BacktestResult, error) {
	none := fleet.BacktestResult{}
	compiled, err := rule.Compile(request.Rule)
	if err != nil {
		return none, err
	}
	from, to, err := b.bounds(request, compiled)
	if err != nil {
		return none, err
	}
	kiosks, err := b.kiosks(request)
	if err != nil {
		return none, err
	}
	q := Query{Metrics: b.metrics(compiled), From: from, To: to}
	for _, k := range kiosks {
		q.Serials = append(q.Serials, k.Serial)
	}
	source, history, err := b.history(ctx, from)
	if err != nil {
		return none, err
	}
	if err := b.check(ctx, history, q); err != nil {
		return none, err
	}
	w := &replay{backtest: b, rule: compiled, rules: []engine.Rule{compiled}, query: q, kiosks: map[string]*kioskReplay{}, kept: kept{limit: b.maxAlerts}}
	if err := w.run(ctx, history, kiosks); err != nil {
		return none, err
	}
	alerts, truncated := w.kept.sorted()
	return fleet.BacktestResult{
		From: from, To: to, Source: source, Approximate: w.approximate(source), Kiosks: len(kiosks), Readings: w.readings,
		Alerts: alerts, Truncated: truncated, FiringSeconds: float64(w.firing) / 1000,
	}, nil
}

// bounds checks the time that is asked for.
func (b *Backtest) bounds(request fleet.BacktestRequest, compiled *rule.Compiled) (from, to time.Time, err error) {
	var v fleet.Violations
	from, to = request.From.UTC().Truncate(time.Millisecond), request.To.UTC().Truncate(time.Millisecond)
	if now := b.cfg.Now().UTC().Truncate(time.Millisecond); to.After(now) {
		to = now
	}
	switch {
	case request.From.IsZero() || request.To.IsZero():
		v.Add("from", "from and to are both needed")
	case !from.Before(to):
		v.Add("from", "must be before to, and in the past")
	case to.Sub(from) > maxRange:
		v.Add("from", "is %d days before to, at most %d are allowed: choose a later from", int(to.Sub(from).Hours()/24), int(maxRange.Hours()/24))
	}
	if compiled.AboutPlatform() {
		v.Add("condition", "is about the platform itself, of which no history is kept")
	}
	return from, to, v.Err()
}

// kiosks returns the kiosks of the rule's scope among those that are asked for, by serial.
func (b *Backtest) kiosks(request fleet.BacktestRequest) ([]*fleet.Kiosk, error) {
	all := slices.Clone(b.cfg.Kiosks.All())
	slices.SortFunc(all, func(a, b *fleet.Kiosk) int { return strings.Compare(a.Serial, b.Serial) })
	var v fleet.Violations
	asked := map[string]bool{}
	for i, serial := range request.Serials {
		asked[serial] = true
		if _, found := slices.BinarySearchFunc(all, serial, func(k *fleet.Kiosk, serial string) int { return strings.Compare(k.Serial, serial) }); !found {
			v.Add(fmt.Sprintf("serials[%d]", i), "no kiosk %q is registered", serial)
		}
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(k *fleet.Kiosk) bool {
		return len(asked) > 0 && !asked[k.Serial] || !matcher.Covers(&request.Rule.Scope, k)
	}), nil
}

// metrics returns what the rule looks at, and what that is computed from, sorted.
func (b *Backtest) metrics(compiled *rule.Compiled) []string {
	out := slices.Clone(compiled.Reported())
	if b.cfg.Needs != nil {
		for _, name := range compiled.Derived() {
			out = append(out, b.cfg.Needs(name)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Sources of a result.
const (
	SourceJournal = "journal"
	SourceSeries  = "series"
)

func (b *Backtest) history(ctx context.Context, from time.Time) (string, History, error) {
	if b.cfg.Journal != nil {
		oldest, err := b.cfg.Oldest(ctx)
		if err != nil {
			return "", nil, err
		}
		if !oldest.IsZero() && !from.Before(oldest) {
			return SourceJournal, b.cfg.Journal, nil
		}
	}
	return SourceSeries, b.cfg.Series, nil
}

// check refuses a question that would take too long.
func (b *Backtest) check(ctx context.Context, history History, q Query) error {
	if len(q.Serials) == 0 {
		return nil
	}
	count, err := history.Count(ctx, q)
	if err != nil {
		return err
	}
	if count > b.maxReadings {
		return b.tooMany(q, fmt.Sprintf("about %d", count))
	}
	return nil
}

func (b *Backtest) tooMany(q Query, count string) error {
	return fleet.Invalid("from", "%s readings of %d kiosks in %s, at most %d are allowed: choose a later from, or fewer kiosks by serials or the rule's scope",
		count, len(q.Serials), q.To.Sub(q.From), b.maxReadings)
}
