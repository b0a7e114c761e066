package anomaly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/internal/protocol"
)

// stage is a Watch with a real database and real snapshots, and kiosks whose readings come without a journal. It can
// crash and start again.
type stage struct {
	t       *testing.T
	dir     string
	store   *store.Store
	kiosks  map[string]*fleet.Kiosk
	resting bool

	mu      sync.Mutex // guards the rest
	scores  []fleet.KioskScore
	refuse  error // of AcceptScores
	failing error // of SaveAnomalies
	saves   int
	told    []fleet.AnomalyEvent
	log     strings.Builder

	*Watch
}

// monday is when kiosks begin.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

func newStage(t *testing.T, serials ...string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), kiosks: map[string]*fleet.Kiosk{}}
	var err error
	if s.store, err = store.Open(t.Context(), filepath.Join(s.dir, "kioskfleet.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, serial := range serials {
		s.register(serial)
	}
	s.start()
	return s
}

func (s *stage) register(serial string) {
	s.t.Helper()
	k, err := s.store.AddKiosk(s.t.Context(), fleet.Kiosk{Serial: serial, Site: "gate", Model: "m1", Timezone: "America/Buenos_Aires", Tags: []string{}}, "ana", monday)
	if err != nil {
		s.t.Fatal(err)
	}
	s.kiosks[serial] = &k
}

// start begins with what is on disk; what was only in memory is gone, as after a crash.
func (s *stage) start() {
	s.t.Helper()
	files, err := OpenFiles(filepath.Join(s.dir, "anomaly"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.Watch, err = New(s.t.Context(), s.config(files))
	if err != nil {
		s.t.Fatal(err)
	}
	s.Watch.Observe(func(events []fleet.AnomalyEvent) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, events...)
	})
}

func (s *stage) config(states States) Config {
	return Config{
		Kiosks: s, Keeper: s, Words: s.store, Scores: s, States: states, Detect: watch.Default(),
		Resting: func(string, time.Time) bool { return s.resting }, Log: slog.New(slog.NewTextHandler(s, nil)),
	}
}

// Get implements Kiosks.
func (s *stage) Get(serial string) (*fleet.Kiosk, error) {
	if k := s.kiosks[serial]; k != nil {
		return k, nil
	}
	return nil, fleet.ErrNotFound
}

// SaveAnomalies implements Keeper.
func (s *stage) SaveAnomalies(ctx context.Context, anomalies []fleet.Anomaly) error {
	s.mu.Lock()
	err := s.failing
	s.saves++
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.store.SaveAnomalies(ctx, anomalies)
}

// OpenAnomalies implements Keeper.
func (s *stage) OpenAnomalies(ctx context.Context) ([]fleet.Anomaly, error) {
	return s.store.OpenAnomalies(ctx)
}

// PruneAnomalies implements Keeper.
func (s *stage) PruneAnomalies(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.store.PruneAnomalies(ctx, before, limit)
}

// AcceptScores implements Scores.
func (s *stage) AcceptScores(scores []fleet.KioskScore) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse == nil {
		s.scores = append(s.scores, scores...)
	}
	return s.refuse
}

// Write takes the log.
func (s *stage) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(line)
}

func (s *stage) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// reading is the i-th reading of a kiosk. Its values follow the hour of the day, with noise that is the same each time.
func (s *stage) reading(serial string, i int) *fleet.Reading {
	at := monday.Add(time.Duration(i) * step)
	noise := rand.New(rand.NewPCG(uint64(i), uint64(len(serial))+uint64(serial[len(serial)-1]))) //nolint:gosec // a simulation
	day := math.Sin(2 * math.Pi * float64(at.Hour()*60+at.Minute()) / (24 * 60))
	usage := 30 + 10*day + 2*noise.NormFloat64()
	return &fleet.Reading{
		Serial: serial, Site: "gate", Time: at, ReceivedAt: at, Seq: uint64(i), Status: protocol.StateOnline,
		Values: []fleet.Value{
			{Metric: "environmental.temperature", Value: 22 + 2*day + 0.3*noise.NormFloat64()},
			{Metric: "hardware.cpu_temp", Value: 40 + 0.3*usage + 0.5*noise.NormFloat64()},
			{Metric: "hardware.cpu_usage", Value: usage},
			{Metric: "location.lat", Value: noise.Float64()},
			{Metric: "network.latency", Value: 40 + 3*noise.NormFloat64()},
		},
		Source: fleet.Source{Record: uint64(i) + 1},
	}
}

// learnt is how many readings are enough to know a kiosk: ten days.
const learnt = 10 * 24 * 12

// live tells the readings from one to another.
func (s *stage) live(serial string, from, to int, change ...func(*fleet.Reading)) {
	for i := from; i < to; i++ {
		r := s.reading(serial, i)
		for _, f := range change {
			f(r)
		}
		s.Reading(r)
	}
}

// hot is a fault that nobody could overlook, and nobody could get used to.
func hot(r *fleet.Reading) { r.Values[1].Value += 40 + float64(r.Source.Record*r.Source.Record%40) }

func status(st protocol.State) func(*fleet.Reading) {
	return func(r *fleet.Reading) { r.Status = st }
}

// state returns what is kept of a kiosk, empty when nothing is.
func (s *stage) state(serial string) string {
	s.t.Helper()
	e := s.loaded(serial).entry(serial)
	if e == nil {
		return ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.appendState(nil)
	s.must(err)
	return string(b)
}

// anomalies returns the stored ones, oldest first, each as kiosk, minutes from its begin to its end, and main sensors.
func (s *stage) anomalies() (out []string) {
	s.t.Helper()
	all, _, err := s.store.Anomalies(s.t.Context(), fleet.AnomalyFilter{Limit: 1000})
	s.must(err)
	slices.Reverse(all)
	for i := range all {
		a := &all[i]
		end := "open"
		if a.ClosedAt != nil {
			end = fmt.Sprint(a.ClosedAt.Sub(a.OpenedAt).Minutes())
		}
		out = append(out, fmt.Sprint(a.Serial, " ", end))
	}
	return out
}

func (s *stage) events() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.told {
		out = append(out, string(s.told[i].Kind))
	}
	return out
}

var errAway = errors.New("is away")
