package train

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// counter is the live fleet of a test.
type counter struct {
	mu   sync.Mutex
	rate float64 // anomalies of a hundred kiosks in a day since a time
	from time.Time
}

func (c *counter) Alarms(_ context.Context, from, to time.Time) (Alarms, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from.Before(c.from) {
		from = c.from
	}
	return Alarms{Opened: max(0, int(c.rate*to.Sub(from).Hours()/24)), Kiosks: 100}, nil
}

// lately is a fleet whose readings end now, whenever that is.
type lately struct {
	*memory
	err error
}

func (l lately) Kiosks(ctx context.Context) ([]fleet.Kiosk, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.memory.Kiosks(ctx)
}

func (l lately) Readings(ctx context.Context, serial string, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	_, end := l.span()
	shift := time.Since(end)
	return l.memory.Readings(ctx, serial, from.Add(-shift), to.Add(-shift), func(at time.Time, values []fleet.Value) error {
		return each(at.Add(shift), values)
	})
}

// started lets a Runner run in time that passes by itself until the test is over.
func started(t *testing.T, source Source, change func(*RunnerConfig)) (*Runner, *model.Registry) {
	t.Helper()
	registry := model.Open(filepath.Join(t.TempDir(), "models"), time.Now)
	cfg := RunnerConfig{
		Source: source, Registry: registry, Counter: &counter{}, Options: Options{MinKioskDays: 4, Watch: watch.Default(), Rest: func(context.Context, time.Duration) error { return nil }},
		Window: 14 * 24 * time.Hour, Every: 7 * 24 * time.Hour, Promote: true, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	r := NewRunner(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r, registry
}

func modelsOf(t *testing.T, r *model.Registry) []fleet.Model {
	t.Helper()
	all, err := r.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheScheduleTrainsAndPromotes(t *testing.T) {
	fleetOf := made(6, 4, 1)
	synctest.Test(t, func(t *testing.T) {
		runner, registry := started(t, lately{memory: fleetOf}, func(c *RunnerConfig) { c.Every = 3 * time.Hour })
		time.Sleep(settle + time.Minute)
		synctest.Wait()
		all := modelsOf(t, registry)
		if len(all) != 2 || all[0].State != fleet.ModelCurrent || all[0].Origin != fleet.ModelScheduled || all[0].ChangedBy != schedule || !strings.Contains(all[0].Reason, "no worse") {
			t.Fatalf("models %+v, training %+v", all, runner.Training())
		}
		if s := runner.Training(); s.Running || s.StartedBy != "" || s.Version != all[0].Version || s.Progress != 1 || s.Error != "" {
			t.Errorf("training %+v", s)
		}
		time.Sleep(2*time.Hour + 50*time.Minute)
		if n := len(modelsOf(t, registry)); n != 2 {
			t.Errorf("%d models before another one is due", n)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if n := len(modelsOf(t, registry)); n != 3 {
			t.Errorf("%d models after three hours", n)
		}
	})
}

func TestOrdersAreTrainedOneAtATime(t *testing.T) {
	fleetOf := made(6, 4, 1)
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		runner, registry := started(t, lately{memory: fleetOf}, func(c *RunnerConfig) {
			c.Every = 0
			c.Options.Rest = func(ctx context.Context, _ time.Duration) error {
				select {
				case <-goOn:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		if started, err := runner.Train(t.Context(), "eve"); !started || err != nil {
			t.Fatalf("got %v, %v", started, err)
		}
		if started, err := runner.Train(t.Context(), "bob"); started || err != nil {
			t.Errorf("two at once: %v, %v", started, err)
		}
		if err := registry.Place(t.Context(), model.Order{By: "cli:eve", Days: 3, Promote: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := runner.Training(); !s.Running || s.StartedBy != "eve" || s.Stage == "" {
			t.Errorf("training %+v", s)
		}
		close(goOn)
		synctest.Wait()
		if all := modelsOf(t, registry); len(all) != 2 || all[0].State != fleet.ModelCandidate || all[0].Origin != fleet.ModelManual || all[0].ChangedBy != "eve" {
			t.Errorf("models %+v", all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		all := modelsOf(t, registry)
		if len(all) != 3 || all[0].ChangedBy != "cli:eve" || all[0].State != fleet.ModelCurrent || all[0].TrainedTo.Sub(all[0].TrainedFrom) > 73*time.Hour {
			t.Errorf("models %+v", all)
		}
	})
}

func TestATrainingThatFailsIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source Source
		text   string
	}{
		{"too little", lately{memory: made(2, 1, 1)}, ErrTooLittle.Error()},
		{"a source that is broken", lately{err: errors.New("store is gone")}, "store is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runner, registry := started(t, tt.source, func(c *RunnerConfig) { c.Every = 2 * time.Hour })
				time.Sleep(settle + time.Minute)
				synctest.Wait()
				first := runner.Training()
				if first.Running || !strings.Contains(first.Error, tt.text) || len(modelsOf(t, registry)) != 1 {
					t.Fatalf("training %+v", first)
				}
				time.Sleep(2*time.Hour - 10*time.Minute)
				synctest.Wait()
				if s := runner.Training(); !s.StartedAt.Equal(first.StartedAt) {
					t.Errorf("tried again already at %v", s.StartedAt)
				}
				time.Sleep(11 * time.Minute)
				synctest.Wait()
				if s := runner.Training(); s.StartedAt.Equal(first.StartedAt) {
					t.Error("not tried again")
				}
			})
		})
	}
}

func TestAModelThatAlarmsTooMuchIsRolledBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		rate float64 // of a hundred kiosks in a day, since the promotion
		back bool
	}{
		{"within its budget", 8, false}, {"four times its budget", 30, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := &counter{rate: tt.rate, from: time.Now()}
				_, registry := started(t, lately{memory: &memory{}}, func(c *RunnerConfig) { c.Counter, c.Every = live, 0 })
				m, err := registry.Add(t.Context(), &model.File{Model: fleet.Model{CreatedAt: time.Now(), Origin: fleet.ModelScheduled}}, fleet.ModelCandidate, "trained", "test")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := registry.Promote(t.Context(), m.Version, "test"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(6 * time.Hour)
				synctest.Wait()
				if m, _ = registry.Model(t.Context(), m.Version); m.State != fleet.ModelCurrent {
					t.Fatalf("after six hours: %+v", m)
				}
				time.Sleep(4 * time.Hour)
				synctest.Wait()
				if m, _ = registry.Model(t.Context(), m.Version); (m.State == fleet.ModelRolledBack) != tt.back {
					t.Errorf("after ten hours: %+v", m)
				}
				if tt.back && !strings.Contains(m.Reason, "0.5 is the budget") {
					t.Errorf("reason %q", m.Reason)
				}
			})
		})
	}
}
