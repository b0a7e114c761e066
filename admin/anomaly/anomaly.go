// Package anomaly is the running part of anomaly detection: it gives every reading to the detectors of its kiosk, keeps
// the latest scores for the rules, the episodes in which kiosks are unusual for people, and what the detectors have
// learnt over a restart. How unusual a reading is, package watch decides.
//
// A Watch is told readings by the live side of ingest, which tells some of them again after a crash. What is learnt is
// kept with the place in the journal that it was brought to, so nothing is learnt twice; what was learnt after the
// latest snapshot, a minute at most, is lost. Episodes are stored before the place is, so none is lost.
package anomaly

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// Kiosks gives registered kiosks; an error for a serial that is not one.
type Kiosks interface {
	Get(serial string) (*fleet.Kiosk, error)
}

// Keeper keeps anomalies.
type Keeper interface {
	SaveAnomalies(ctx context.Context, anomalies []fleet.Anomaly) error
	OpenAnomalies(ctx context.Context) ([]fleet.Anomaly, error)
	// PruneAnomalies removes up to limit anomalies that ended before a time, and returns how many.
	PruneAnomalies(ctx context.Context, before time.Time, limit int) (int, error)
}

// Words keeps what people say of anomalies, and what that makes of the budgets of metrics.
type Words interface {
	JudgeAnomaly(ctx context.Context, id string, f fleet.AnomalyFeedback) (fleet.Anomaly, []fleet.AnomalyTuning, error)
	AnomalyTunings(ctx context.Context) ([]fleet.AnomalyTuning, error)
	ResetAnomalyTuning(ctx context.Context, metric, actor string, now time.Time) error
}

// Scores takes the scores of readings, to be kept beside them.
type Scores interface {
	AcceptScores(scores []fleet.KioskScore) error
}

// States keeps what was learnt for the next start, in shards that are written one at a time.
type States interface {
	// LoadStates returns what SaveStates wrote last, nothing when there is none.
	LoadStates(shard int) ([]fleet.AnomalyState, error)
	// SaveStates replaces a shard; the states are good during the call only.
	SaveStates(shard int, states []fleet.AnomalyState) error
}

// Config says what to watch. Kiosks, Keeper, Words, Scores and States are required.
type Config struct {
	Kiosks Kiosks
	Keeper Keeper
	Words  Words
	Scores Scores
	States States
	// Resting reports whether a kiosk is being worked on at a time, so that nothing it reports is to be learnt or
	// found unusual; nil: only what the kiosk says of itself counts.
	Resting func(serial string, at time.Time) bool
	// ModelOf returns the model of a kiosk; nil: that of its registration.
	ModelOf func(serial string) string
	Detect  watch.Config
	// Disabled: nothing is scored. What people said can still be read and changed.
	Disabled bool
	// SnapshotEvery is how much learning a crash may lose at most, default a minute.
	SnapshotEvery time.Duration
	Keep          time.Duration // of anomalies that are over; default 400 days, as of alerts
	Now           func() time.Time
	Log           *slog.Logger
}

const (
	defaultSnapshot = time.Minute
	defaultKeep     = 400 * 24 * time.Hour
)

// Watch watches all kiosks. It is safe for concurrent use; the readings of one kiosk come in the order of the journal.
type Watch struct {
	cfg    Config
	shards [shardCount]shard
	model  atomic.Pointer[Model]
	tuning atomic.Pointer[watch.Tuning] // holds nil while nobody has said anything
	events events
	scores scores
	counts counts

	copies []byte // memory of snapshots, which are taken one at a time

	judging sync.Mutex // held while feedback is written and its tuning taken over

	mu        sync.RWMutex // guards the rest
	tunings   []fleet.AnomalyTuning
	observers []func([]fleet.AnomalyEvent)
}

// Model is the fleet model at work.
type Model struct {
	Version string
	// Prior returns what is known of kiosks of a model at a site before one of them was seen; nil: nothing.
	Prior func(model, site string) *watch.Prior
}

// New returns a Watch that knows what goes on and what people said; the states of the kiosks are read when they are
// needed.
//
// Errors: what Keeper and Words say.
func New(ctx context.Context, cfg Config) (*Watch, error) {
	if cfg.SnapshotEvery <= 0 {
		cfg.SnapshotEvery = defaultSnapshot
	}
	if cfg.Keep <= 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Watch{cfg: cfg}
	for i := range w.shards {
		w.shards[i].number = i
	}
	w.model.Store(&Model{Prior: func(string, string) *watch.Prior { return nil }})
	w.events.full = maxEvents
	w.scores.ready = make(chan struct{}, 1)
	tunings, err := cfg.Words.AnomalyTunings(ctx)
	if err != nil {
		return nil, err
	}
	w.setTunings(tunings)
	open, err := cfg.Keeper.OpenAnomalies(ctx)
	if err != nil {
		return nil, err
	}
	w.takeUp(open)
	return w, nil
}

// takeUp continues the anomalies that were open when the last process ended, and closes those of kiosks that are gone; all
// of them if nobody watches any more.
func (w *Watch) takeUp(open []fleet.Anomaly) {
	for i := range open {
		a := open[i]
		if _, err := w.cfg.Kiosks.Get(a.Serial); err != nil || w.cfg.Disabled {
			w.close(&a, w.cfg.Now().UTC())
			continue
		}
		s := w.shard(a.Serial)
		if s.open == nil {
			s.open = map[string]*fleet.Anomaly{}
		}
		if earlier := s.open[a.Serial]; earlier != nil { // a kiosk has one, whatever the database says
			w.close(earlier, w.cfg.Now().UTC())
			w.counts.open.Add(-1)
		}
		s.open[a.Serial] = &a
		w.counts.open.Add(1)
	}
}

// UseModel puts a model to work: kiosks that are seen for the first time begin with what it knows. Kiosks that are
// known keep what they have learnt themselves; from their next reading on they see by the new model how rare a sudden
// change is, and what is known of metrics that come. Call it before Run and the first reading, too: until then nothing is
// known of the fleet.
func (w *Watch) UseModel(m Model) { w.model.Store(&m) }

// Observe lets f know what happens to anomalies, after it is stored. Call it before Run; f must not wait.
func (w *Watch) Observe(f func([]fleet.AnomalyEvent)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observers = append(w.observers, f)
}

func (w *Watch) tell(events []fleet.AnomalyEvent) {
	w.mu.RLock()
	observers := w.observers
	w.mu.RUnlock()
	for _, f := range observers {
		f(events)
	}
}
