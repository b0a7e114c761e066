package history

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

func TestAHistoryIsLoadedOnce(t *testing.T) {
	p := newPlatform(t)
	dir, m := recently(t, 3, 2)
	cfg := p.config(dir)
	if err := Load(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if n := p.holds(t, dir, m, 0); n != 0 {
		t.Errorf("%d readings came twice", n)
	}
	c := cfg.Counters
	if c.Total.Load() != m.Readings || c.Sent.Load() != m.Readings || c.Acknowledged.Load() != m.Readings || c.Resent.Load() != 0 || c.Before.Load() != 0 {
		t.Errorf("of %d: sent %d, acknowledged %d, resent %d, before %d", m.Readings, c.Sent.Load(), c.Acknowledged.Load(), c.Resent.Load(), c.Before.Load())
	}
	if p.arrays < int(m.Readings/outbox.MaxBatchReadings) || p.arrays > int(m.Readings/200) {
		t.Errorf("%d readings came in %d messages", m.Readings, p.arrays)
	}
	if len(p.registered) != 3 || !strings.Contains(strings.Join(p.registered, ","), "SIM-KIOSK-002 at Madrid Atocha") {
		t.Errorf("registered %v", p.registered)
	}
	if len(p.others[protocol.ChannelJoin]) != 0 || len(p.others[protocol.ChannelBye]) != 3 || p.unclean != 0 {
		t.Errorf("other messages: %v; %d connections broke", p.others, p.unclean)
	}
	for _, bye := range p.others[protocol.ChannelBye] {
		if !strings.Contains(bye, `"reason":"stopped"`) || strings.Contains(bye, `"session":""`) {
			t.Errorf("bye %s", bye)
		}
	}

	again := p.config(dir)
	if err := Load(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if c := again.Counters; c.Sent.Load() != 0 || c.Before.Load() != m.Readings {
		t.Errorf("the second run sent %d, and knows of %d", c.Sent.Load(), c.Before.Load())
	}
	// A crash leaves the note behind what was acknowledged.
	note, err := filepath.Glob(filepath.Join(dir, loadFiles))
	if err != nil || len(note) != 1 {
		t.Fatalf("notes %v, %v", note, err)
	}
	text, err := os.ReadFile(note[0])
	if err == nil {
		err = os.WriteFile(note[0], []byte(strings.Replace(string(text), `"SIM-KIOSK-001": 2880`, `"SIM-KIOSK-001": 2500`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	third := p.config(dir)
	if err := Load(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if n := p.holds(t, dir, m, 0); n != 380 || third.Counters.Sent.Load() != 380 {
		t.Errorf("%d came twice, %d sent", n, third.Counters.Sent.Load())
	}
}

func TestCutsLoseNothing(t *testing.T) {
	p := newPlatform(t)
	dir, m := recently(t, 4, 2)
	cut := errors.New("cut by the test")
	p.before = func(n int) error {
		switch {
		case n%5 == 0 && n > 0:
			return cut // it never arrived
		case n%7 == 0 && n < 0:
			return cut // it did, and the acknowledgement did not
		}
		return nil
	}
	cfg := p.config(dir)
	if err := Load(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	repeated := p.holds(t, dir, m, 0)
	c := cfg.Counters
	if repeated == 0 || c.Resent.Load() <= int64(repeated) || c.Sent.Load() != m.Readings+c.Resent.Load() || c.Acknowledged.Load() != m.Readings {
		t.Errorf("%d came twice; of %d: sent %d, acknowledged %d, resent %d", repeated, m.Readings, c.Sent.Load(), c.Acknowledged.Load(), c.Resent.Load())
	}
}

func TestAnInterruptedLoadGoesOn(t *testing.T) {
	p := newPlatform(t)
	dir, m := recently(t, 3, 2)
	ctx, cancel := context.WithCancel(t.Context())
	p.before = func(n int) error {
		if n == 6 {
			cancel()
		}
		return nil
	}
	first := p.config(dir)
	err := Load(ctx, first)
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run it again to go on") {
		t.Fatalf("error = %v", err)
	}
	p.mu.Lock()
	p.before = nil
	p.mu.Unlock()
	second := p.config(dir)
	if err := Load(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	repeated := p.holds(t, dir, m, 0)
	before, rest := first.Counters.Acknowledged.Load(), second.Counters.Acknowledged.Load()
	if before == 0 || before+rest != m.Readings || second.Counters.Before.Load() != before {
		t.Errorf("acknowledged %d and %d of %d; the second knows of %d", before, rest, m.Readings, second.Counters.Before.Load())
	}
	// At most the message that each kiosk had under way.
	if repeated > 3*outbox.MaxBatchReadings {
		t.Errorf("%d came twice", repeated)
	}
}

func TestAKioskThatGetsNowhereIsGivenUp(t *testing.T) {
	p := newPlatform(t)
	dir, m := recently(t, 3, 1)
	p.revoked = "SIM-KIOSK-002"
	cfg := p.config(dir)
	cfg.Patience = time.Second
	err := Load(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "are not acknowledged") || !strings.Contains(err.Error(), "run it again to go on") {
		t.Fatalf("error = %v", err)
	}
	// On a busy machine the others may not get anywhere either.
	if n := cfg.Counters.Acknowledged.Load(); n == 2880 && !strings.Contains(err.Error(), "1440 of 4320 readings are not acknowledged, because 1 kiosks gave up (the first: SIM-KIOSK-002: nothing was acknowledged for 1s)") {
		t.Errorf("error = %v", err)
	}
	if len(p.kept["SIM-KIOSK-002"]) != 0 {
		t.Error("a revoked kiosk was loaded")
	}
	p.mu.Lock()
	p.revoked = ""
	p.mu.Unlock()
	if err := Load(t.Context(), p.config(dir)); err != nil {
		t.Fatal(err)
	}
	p.holds(t, dir, m, 0)
}

func TestALoadKeepsToItsShift(t *testing.T) {
	p := newPlatform(t)
	cfg := configOf(t, 2, 1)
	cfg.Interval, cfg.Start = 10*time.Minute, time.Now().UTC().Truncate(day).AddDate(0, 0, -100)
	dir, m := cfg.Dir, written(t, cfg)

	if err := Load(t.Context(), p.config(dir)); err == nil || !strings.Contains(err.Error(), "--shift auto") {
		t.Fatalf("a hundred days old: %v", err)
	}
	if len(p.kept) != 0 || len(p.registered) != 0 {
		t.Error("it sent or registered something before it refused")
	}
	load := p.config(dir)
	load.Shift = Shift{Auto: true}
	if err := Load(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	shift := load.Shift.of(m.Last, time.Now())
	p.holds(t, dir, m, shift)
	other := p.config(dir)
	other.Shift = Shift{By: shift - day}
	if err := Load(t.Context(), other); err == nil || !strings.Contains(err.Error(), "--shift "+shift.String()) {
		t.Errorf("another shift: %v", err)
	}
	other.Shift = Shift{By: shift}
	if err := Load(t.Context(), other); err != nil || other.Counters.Sent.Load() != 0 {
		t.Errorf("the same shift: %v, sent %d", err, other.Counters.Sent.Load())
	}

	forced := newPlatform(t)
	load = forced.config(dir)
	load.Force = true
	if err := Load(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	forced.holds(t, dir, m, 0) // its note is another one
}

func TestOnlyReadingsAreLoaded(t *testing.T) {
	p := newPlatform(t)
	cfg := configOf(t, 1, 1)
	cfg.Format = CSV
	written(t, cfg)
	if err := Load(t.Context(), p.config(cfg.Dir)); err == nil || !strings.Contains(err.Error(), "--format jsonl") {
		t.Errorf("error = %v", err)
	}
	dir, m := recently(t, 1, 1)
	if err := os.WriteFile(filepath.Join(dir, "load-"+p.authority.Fingerprint()[:noteLength]+".json"), []byte(`{"history":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Load(t.Context(), p.config(dir)); err == nil || !strings.Contains(err.Error(), "is of another history") {
		t.Errorf("error = %v", err)
	}
	if len(p.kept) != 0 || m.Readings == 0 {
		t.Error("something was sent")
	}
}

func TestThePaceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{perSecond: 100}
		began := time.Now()
		var kiosks sync.WaitGroup
		for range 4 {
			kiosks.Go(func() {
				for range 5 {
					if err := p.wait(t.Context(), 50); err != nil {
						t.Error(err)
					}
				}
			})
		}
		kiosks.Wait()
		// 20 messages of half a second each, the first at once.
		if took := time.Since(began); took != 19*time.Second/2 {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTimesAreCheckedBeforeTheyAreSent(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		first, last time.Time
		shift       time.Duration
		window      time.Duration
		want        []string
	}{
		"within":          {now.Add(-6 * day), now.Add(-5 * day), 0, defaultWindow, nil},
		"until now":       {now.Add(-day), now, 0, defaultWindow, nil},
		"old":             {now.Add(-10 * day), now.Add(-9 * day), 0, defaultWindow, []string{"--shift auto, or set telemetry.window", "KIOSKFLEET_TELEMETRY_WINDOW", "241h0m0s"}},
		"old and long":    {now.Add(-10 * day), now.Add(-time.Hour), 0, defaultWindow, []string{"old: set telemetry.window", "--window 241h0m0s"}},
		"very long":       {now.Add(-40 * day), now.Add(-time.Hour), 0, defaultWindow, []string{"telemetry.retention"}},
		"a wider window":  {now.Add(-40 * day), now.Add(-time.Hour), 0, 41 * day, nil},
		"on the brink":    {now.Add(-7*day + time.Minute), now.Add(-time.Hour), 0, defaultWindow, []string{"telemetry.window"}},
		"future":          {now.Add(-day), now.Add(time.Hour), 0, defaultWindow, []string{"in the future", "--shift auto"}},
		"moved into":      {now.Add(-10 * day), now.Add(-9 * day), 8 * day, defaultWindow, nil},
		"moved too far":   {now.Add(-10 * day), now.Add(-9 * day), 10 * day, defaultWindow, []string{"in the future"}},
		"moved backwards": {now.Add(-day), now, -8 * day, defaultWindow, []string{"telemetry.window"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := &Manifest{Kiosks: []KioskFile{{Readings: 1, First: tt.first, Last: tt.last}}}
			err := checkTimes(m, &loaded{}, tt.shift, now, tt.window)
			if tt.want == nil && err != nil {
				t.Error(err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q", err, want)
				}
			}
		})
	}
	for _, last := range []time.Time{now, now.Add(-time.Second), now.Add(-day), now.Add(-99 * time.Hour), now.Add(time.Second), now.Add(50 * time.Hour)} {
		shift := Shift{Auto: true}.of(last, now)
		if moved := last.Add(shift); moved.After(now) || !moved.Add(day).After(now) || shift%day != 0 {
			t.Errorf("a history until %s is moved by %s", last, shift)
		}
	}
}
