package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/scenario"
)

// tenMinutes is a scenario of two phases.
const tenMinutes = `
name: ten minutes
seed: 7
fleets:
  - {name: all, site: Atocha, kiosks: 3}
phases:
  - name: first
    for: 4m
    expect: [{presence: online}]
  - name: second
    for: 6m
    faults: [{fault: crash, of: {count: 1}, at: 1m, for: 1m}]
    commands: [{command: ping, at: 2m}]
`

// theatre is a platform that shows all kiosks alike.
type theatre struct{ presence string }

func (p *theatre) Kiosks(context.Context) (map[string]scenario.State, error) {
	out := map[string]scenario.State{}
	for _, serial := range []string{"SIM-KIOSK-001", "SIM-KIOSK-002", "SIM-KIOSK-003"} {
		out[serial] = scenario.State{Presence: p.presence}
	}
	return out, nil
}

func (p *theatre) Send(context.Context, string, protocol.CommandName, json.RawMessage, string) error {
	return nil
}

// tell makes the story of a configuration with a scenario of ten minutes.
func tell(t *testing.T, change func(*Config)) *story {
	t.Helper()
	dir := t.TempDir()
	c := Defaults()
	c.DataDir, c.Scenario = dir, filepath.Join(dir, "story.yaml")
	if err := os.WriteFile(c.Scenario, []byte(tenMinutes), 0o600); err != nil {
		t.Fatal(err)
	}
	change(c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	who, err := c.cast()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.story(who, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func TestAScenarioEndsItsSwarm(t *testing.T) {
	for name, tt := range map[string]struct {
		scale    float64
		presence string
		leave    time.Duration // when the swarm ends by itself; 0: never
		stop     time.Duration // when somebody stops the spawner; 0: never
		want     string        // of the error
		takes    time.Duration
	}{
		"in real time":   {scale: 1, presence: "online", takes: 10 * time.Minute},
		"fast":           {scale: 60, presence: "online", takes: 10 * time.Second},
		"missed":         {scale: 1, presence: "offline", takes: 10 * time.Minute, want: "phase first: presence online: missed"},
		"swarm fails":    {scale: 1, presence: "online", leave: time.Minute, takes: time.Minute, want: "all gave up"},
		"somebody stops": {scale: 1, presence: "offline", stop: time.Minute, takes: time.Minute, want: "the run ended before"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tell(t, func(c *Config) { c.TimeScale, c.Truth.File = tt.scale, noTruth })
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.stop > 0 {
					time.AfterFunc(tt.stop, cancel)
				}
				report, err := s.play(ctx, func(ctx context.Context) error {
					if tt.leave > 0 {
						time.Sleep(tt.leave)
						return errors.New("all gave up")
					}
					<-ctx.Done()
					return nil
				}, &theatre{presence: tt.presence}, slog.New(slog.DiscardHandler))
				if took := time.Since(began); took < tt.takes || took > tt.takes+time.Second {
					t.Errorf("it took %s, want %s", took, tt.takes)
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error = %v, want %q", err, tt.want)
				}
				if report == nil || len(report.Expectations) != 1 || len(report.Commands) != 1 {
					t.Fatalf("report %+v", report)
				}
				if all := report.Commands[0].Taken == 3; all != (tt.leave == 0 && tt.stop == 0) {
					t.Errorf("commands: %+v", report.Commands)
				}
			})
		})
	}
}

func TestTheStoryKnowsItsPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, func(c *Config) { c.TimeScale, c.Truth.File = 60, noTruth })
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{{0, "first"}, {3900 * time.Millisecond, "first"}, {200 * time.Millisecond, "second"}, {time.Hour, "second"}} {
			time.Sleep(tt.after)
			if got := s.phase(); got != tt.want {
				t.Errorf("after %s more it is in phase %q, want %q", tt.after, got, tt.want)
			}
		}
	})
}

func TestAFastClockMeetsThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tell(t, func(c *Config) { c.Scenario, c.TimeScale, c.StartAgo, c.Truth.File = "", 61, time.Hour, noTruth })
		if ago := time.Since(s.clock.Now()); ago != time.Hour {
			t.Errorf("it begins %s ago", ago)
		}
		time.Sleep(time.Minute)
		if ago := time.Since(s.clock.Now()); ago != 0 {
			t.Errorf("after a minute it is %s behind", ago)
		}
		report, err := s.play(t.Context(), func(context.Context) error { return nil }, nil, nil)
		if report != nil || err != nil {
			t.Errorf("without a scenario: %v, %v", report, err)
		}
	})
}

func TestWhatBefallsKiosksWithoutAScenario(t *testing.T) {
	for _, tt := range []struct {
		faults string
		none   bool
	}{{fault.ProfileNone, true}, {fault.ProfileOrdinary, false}, {fault.ProfileChaotic, false}} {
		s := tell(t, func(c *Config) { c.Scenario, c.Faults, c.Seed, c.Truth.File = "", tt.faults, 3, noTruth })
		plan, conditions := s.fate(roster.Plan(nil, "K-", 1)[0])
		if plan.Empty() != tt.none || conditions != nil || s.seed != 3 {
			t.Errorf("%s: no faults: %t, %v, seed %d", tt.faults, plan.Empty(), conditions, s.seed)
		}
	}
}

func TestTheTruthIsBesideTheOutbox(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the whole":  {func(*Config) {}, "spawner/truth.jsonl"},
		"a range":    {func(c *Config) { c.First, c.Count = 2, 1 }, "spawner/truth-2.jsonl"},
		"elsewhere":  {func(c *Config) { c.Truth.File = filepath.Join(c.DataDir, "t.jsonl") }, "t.jsonl"},
		"not at all": {func(c *Config) { c.Truth.File = noTruth }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var dir string
			s := tell(t, func(c *Config) {
				dir = c.DataDir
				tt.change(c)
			})
			s.tell(truth.Event{Time: time.Now(), Serial: "K-1", Event: truth.Boot, Boot: &truth.BootEvent{ID: "b"}})
			if err := s.close(); err != nil {
				t.Error(err)
			}
			var files []string
			for _, pattern := range []string{"*.jsonl", "*/*.jsonl"} {
				found, _ := filepath.Glob(filepath.Join(dir, pattern))
				files = append(files, found...)
			}
			if tt.want == "" {
				if len(files) > 0 {
					t.Errorf("there is %q", files)
				}
				return
			}
			events, err := truth.ReadAll(filepath.Join(dir, tt.want))
			if err != nil || len(files) != 1 || len(events) != 1 || events[0].Boot.ID != "b" {
				t.Errorf("%v: %q, %+v", err, files, events)
			}
		})
	}
	c := Defaults()
	c.DataDir, c.Truth.File = t.TempDir(), t.TempDir()
	if _, err := c.story(&cast{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder for a file: %v", err)
	}
}
