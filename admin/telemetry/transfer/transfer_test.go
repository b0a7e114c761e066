package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/internal/testkit/influxd"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// filled returns a store with three days of three kiosks, a reading every ten minutes; one moves meanwhile.
func filled(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var all []fleet.Reading
	for i := range 3 * 144 {
		for n, site := range []string{"hall-1", "hall-2", ""} {
			if n == 1 && i > 200 {
				site = "hall-3"
			}
			all = append(all, fleet.Reading{
				Serial: fmt.Sprintf("K-%d", n+1), Site: site, Time: noon.Add(time.Duration(i) * 10 * time.Minute),
				Values: []fleet.Value{{Metric: "custom.number", Value: float64(i)}, {Metric: "hardware.cpu_temp", Value: 40 + float64(i%17)/8}},
			})
		}
	}
	if err := s.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return s
}

const total = 3 * 3 * 144 // readings

// target counts what it is given, and may refuse it.
type target struct {
	telemetry.Store
	readings int
	answer   func(call int, readings []fleet.Reading) error // nil: take it
	calls    int
}

func (s *target) Append(ctx context.Context, readings []fleet.Reading) error {
	s.calls++
	if s.answer != nil {
		if err := s.answer(s.calls, readings); err != nil {
			return err
		}
	}
	s.readings += len(readings)
	if s.Store == nil {
		return nil
	}
	return s.Store.Append(ctx, readings)
}

func config(t *testing.T, from Source, to Target) Config {
	return Config{
		From: from, To: to, Progress: filepath.Join(t.TempDir(), "progress"), Name: "http://db fleet",
		Now: time.Now, Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func TestACopyHasWhatTheOriginalHas(t *testing.T) {
	from := filled(t)
	server := influxd.Start(t)
	to, err := influx.Open(t.Context(), influx.Config{URL: server.URL, Bucket: "fleet"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })

	// It is ended in the middle, and goes on.
	broken := errors.New("pulled the plug")
	first := &target{Store: to, answer: func(call int, _ []fleet.Reading) error {
		if call > 60 {
			return broken
		}
		return nil
	}}
	cfg := config(t, from, first)
	p, err := Run(t.Context(), cfg)
	if !errors.Is(err, broken) || p.DaysDone == 0 || p.DaysDone >= p.Days || !strings.Contains(err.Error(), "kiosk K-") {
		t.Fatalf("%+v, %v", p, err)
	}
	second := &target{Store: to}
	cfg.To = second
	if p, err = Run(t.Context(), cfg); err != nil || p.DaysDone != p.Days {
		t.Fatalf("%+v, %v", p, err)
	}
	if second.readings >= total || first.readings+second.readings < total || first.readings+second.readings > total+144 {
		t.Errorf("%d and %d readings were copied, of %d", first.readings, second.readings, total)
	}
	for _, metric := range []string{"custom.number", "hardware.cpu_temp"} {
		q := telemetry.Query{Metric: metric, Serials: []string{"K-1", "K-2", "K-3"}, From: noon.Add(-24 * time.Hour), To: noon.Add(96 * time.Hour)}
		want, err := from.Range(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := to.Range(t.Context(), q)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 3 || len(want[0].Points) != 3*144 {
			t.Errorf("%s: %v\ngot %v\nwant %v", metric, err, got, want)
		}
	}

	// A third run has nothing to do, unless it is told to begin again.
	third := &target{Store: to}
	cfg.To = third
	if p, err = Run(t.Context(), cfg); err != nil || third.calls != 0 || p.DaysDone != p.Days {
		t.Errorf("%d calls, %+v, %v", third.calls, p, err)
	}
	cfg.Again = true
	if p, err = Run(t.Context(), cfg); err != nil || third.readings != total || p.Readings != total {
		t.Errorf("%d readings, %+v, %v", third.readings, p, err)
	}
}

func TestATargetThatIsAwayIsWaitedFor(t *testing.T) {
	away := &telemetry.RetryAfterError{After: 7 * time.Second, Err: errors.New("connection refused")}
	to := &target{answer: func(call int, _ []fleet.Reading) error {
		if call%2 == 1 {
			return away
		}
		return nil
	}}
	cfg := config(t, filled(t), to)
	var waits []time.Duration
	var told bool
	cfg.Pause = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	cfg.Report = func(p Progress) { told = told || errors.Is(p.Waiting, away) }
	p, err := Run(t.Context(), cfg)
	if err != nil || to.readings != total || p.DaysDone != p.Days || p.Waiting != nil {
		t.Errorf("%d readings, %+v, %v", to.readings, p, err)
	}
	if len(waits) == 0 || slices.Min(waits) < 7*time.Second || !told {
		t.Errorf("waited %v, told %v", waits, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg = config(t, cfg.From, &target{answer: func(int, []fleet.Reading) error { cancel(); return away }})
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the caller's end", err)
	}
}

func TestRefusedReadingsAreCounted(t *testing.T) {
	to := &target{answer: func(_ int, readings []fleet.Reading) error {
		if readings[0].Serial == "K-2" {
			return &telemetry.RejectedError{Rejected: []telemetry.Rejection{{Index: 0, Reason: "beyond retention"}}}
		}
		return nil
	}}
	p, err := Run(t.Context(), config(t, filled(t), to))
	if err != nil || p.Rejected == 0 || p.FirstRejection != "beyond retention" || p.DaysDone != p.Days {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTheLedgerSurvivesWhatAKillLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress")
	day1 := noon.Truncate(day)
	l, err := openLedger(path, "db", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, serial := range []string{"K-1", "K-2"} {
		if err := l.note(serial, day1); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path) // as a kill would leave it: nothing was closed
	if err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(path, "db", false)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		lines := strings.Count(string(whole[:cut]), "\n") - 1 // without the first
		for n, serial := range []string{"K-1", "K-2"} {
			if got := l.done(serial, day1); got != (n < lines) {
				t.Errorf("cut at %d: %s is done: %v", cut, serial, got)
			}
		}
		if err := errors.Join(l.note("K-3", day1), l.close()); err != nil {
			t.Fatal(err)
		}
		if l, err = openLedger(path, "db", false); err != nil || !l.done("K-3", day1) {
			t.Errorf("cut at %d: what was noted afterwards is lost: %v", cut, err)
		}
		l.close()
	}
	if _, err := openLedger(path, "another db", false); err == nil || !strings.Contains(err.Error(), "--again") {
		t.Errorf("another target: %v", err)
	}
	l, err = openLedger(path, "another db", true)
	if err != nil || l.done("K-3", day1) {
		t.Errorf("again: %v", err)
	}
	l.close()
}
