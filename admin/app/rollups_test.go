package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"kioskfleet/admin/api"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

func offline(t *testing.T) (*Offline, *Config) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir = t.TempDir()
	o, err := OpenOffline(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o, cfg
}

// fillToday stores readings of this hour without rolling them up, and returns how many.
func fillToday(t *testing.T, cfg *Config) int {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := openSeries(t.Context(), cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	var readings []fleet.Reading
	now := time.Now().Truncate(time.Second)
	for i := range 20 {
		readings = append(readings, fleet.Reading{Serial: "K-1", Time: now.Add(-time.Duration(i) * 10 * time.Minute), Values: []fleet.Value{{Metric: "custom.a", Value: float64(i)}}})
	}
	if err := s.Append(t.Context(), readings); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return len(readings)
}

func TestRollupsAreMadeAgainByWhoeverMayWorkOnThem(t *testing.T) {
	o, cfg := offline(t)
	log := slog.New(slog.DiscardHandler)
	fillToday(t, cfg)
	now := time.Now()
	if taken, err := o.store.LeaseRollups(t.Context(), "a server", now, now.Add(time.Minute)); err != nil || !taken {
		t.Fatal(taken, err)
	}
	days, done, err := o.RebuildRollups(t.Context(), cfg, "K-1", now.Add(-24*time.Hour), now, log)
	if err != nil || days != 2 || done {
		t.Errorf("while a server runs: %d days, done %t, %v", days, done, err)
	}
	if marks, err := o.store.RollupMarks(t.Context()); err != nil || len(marks) != 2 {
		t.Errorf("the server finds %v, %v", marks, err)
	}
	if _, err := o.store.LeaseRollups(t.Context(), "a server", now, now); err != nil {
		t.Fatal(err)
	}
	days, done, err = o.RebuildRollups(t.Context(), cfg, "", now.Add(-24*time.Hour), now, log)
	if err != nil || days != 2 || !done {
		t.Errorf("while none runs: %d days, done %t, %v", days, done, err)
	}
	if marks, err := o.store.RollupMarks(t.Context()); err != nil || len(marks) != 0 {
		t.Errorf("marks are left: %v, %v", marks, err)
	}
	// The lease was given back.
	if taken, err := o.store.LeaseRollups(t.Context(), "a server", time.Now(), time.Now().Add(time.Minute)); err != nil || !taken {
		t.Errorf("a server that starts now has to wait: %v", err)
	}
}

func TestQuestionsTellWhereTheAnswerComesFrom(t *testing.T) {
	o, cfg := offline(t)
	log := slog.New(slog.DiscardHandler)
	n := fillToday(t, cfg)
	inner, err := openSeries(t.Context(), cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	rollups, err := openRollups(t.Context(), cfg, inner, o.store, log)
	if err != nil {
		t.Fatal(err)
	}
	q := newQuestions(rollups, time.Now)
	ask := api.Range{Metric: "custom.a", Groups: []api.Group{{Name: "all", Serials: []string{"K-1"}}}, From: time.Now().Add(-6 * time.Hour), To: time.Now().Add(time.Minute), Step: 6 * time.Hour, Aggregate: "count"}
	for _, source := range []string{"raw", "mixed"} {
		answer, err := q.Range(t.Context(), ask)
		total := 0.0
		for _, one := range answer.Series {
			for _, p := range one.Points {
				total += p.Value
			}
		}
		if err != nil || answer.Source != source || total != float64(n) {
			t.Errorf("%v readings from %s, %v, want %d from %s", total, answer.Source, err, n, source)
		}
		if err := rollups.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	names, err := q.Metrics(t.Context(), "custom.a")
	if err != nil || len(names) != 1 || names[0] != "custom.a" {
		t.Errorf("metrics %q, %v", names, err)
	}
}

// slowStore answers nothing before it is told to.
type slowStore struct {
	telemetry.Store
	asked, answer chan struct{}
}

func (s slowStore) Range(ctx context.Context, _ telemetry.Query) ([]telemetry.Series, error) {
	s.asked <- struct{}{}
	select {
	case <-s.answer:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func TestQuestionsWaitForTheirTurn(t *testing.T) {
	o, cfg := offline(t)
	slow := slowStore{asked: make(chan struct{}, 100), answer: make(chan struct{})}
	rollups, err := openRollups(t.Context(), cfg, slow, o.store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	q := newQuestions(rollups, time.Now)
	raw := api.Range{Metric: "custom.a", Serials: []string{"K-1"}, From: time.Now().Add(-time.Hour), To: time.Now()}
	answers := make(chan error)
	for range atOnce() + 1 {
		go func() {
			_, err := q.Range(t.Context(), raw)
			answers <- err
		}()
	}
	for range atOnce() {
		<-slow.asked
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := q.Range(gone, raw); !errors.Is(err, context.Canceled) || len(slow.asked) > 0 {
		t.Errorf("beyond them %d more are asked, %v", len(slow.asked), err)
	}
	close(slow.answer)
	for range atOnce() + 1 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}
