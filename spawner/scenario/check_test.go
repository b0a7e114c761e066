package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/enroll"
)

// fakePlatform shows what a function of the time since its begin says.
type fakePlatform struct {
	begin time.Time
	shows func(since time.Duration) (map[string]State, error)
	takes time.Duration // for one look
	send  func(serial string) error
	log   *slog.Logger

	mu    sync.Mutex // guards all below
	looks []time.Duration
	sent  map[string]time.Duration // by key
	tries int
	most  int // commands at the same time
	now   int
}

func (f *fakePlatform) Kiosks(context.Context) (map[string]State, error) {
	f.mu.Lock()
	f.looks = append(f.looks, time.Since(f.begin))
	f.mu.Unlock()
	time.Sleep(f.takes)
	return f.shows(time.Since(f.begin))
}

func (f *fakePlatform) Send(_ context.Context, serial string, name protocol.CommandName, params json.RawMessage, key string) error {
	f.mu.Lock()
	f.tries++
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	if f.send != nil {
		if err := f.send(serial); err != nil {
			return err
		}
	}
	if f.sent == nil {
		f.sent = map[string]time.Duration{}
	}
	f.sent[string(name)+string(params)+" "+serial+" "+key] = time.Since(f.begin)
	return nil
}

// check runs a scenario of two kiosks, K-001 and K-002, against a platform.
func check(t *testing.T, phases string, f *fakePlatform) Report {
	t.Helper()
	s, kiosks := mustRoster(t, "name: x\nfleets: [{name: a, kiosks: 2}]\nphases:\n"+phases)
	f.begin = time.Now()
	if f.shows == nil {
		f.shows = func(time.Duration) (map[string]State, error) { return nil, nil }
	}
	c := &Checker{Scenario: s.At(f.begin, kiosks), Platform: f, Clock: clock.Real{}, Log: f.log}
	return c.Check(t.Context())
}

// both shows two kiosks alike.
func both(presence string) map[string]State {
	s := State{Presence: presence, Verdict: "can_serve", Status: "online"}
	return map[string]State{"K-001": s, "K-002": s, "OTHER": {Presence: "never"}}
}

func TestAnExpectationIsMetOnceThePlatformShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{shows: func(since time.Duration) (map[string]State, error) {
			if since < 75*time.Second {
				return both("online"), nil
			}
			return both("offline"), nil
		}}
		r := check(t, `
  - {name: quiet, for: 1m}
  - name: down
    for: 2m
    expect: [{presence: [stale, offline], at: 5s, within: 1m}]
`, f)
		if err := r.Err(); err != nil || len(r.Expectations) != 1 {
			t.Fatal(err)
		}
		o := r.Expectations[0]
		if after := time.Duration(o.After); after < 10*time.Second || after > 13*time.Second || o.Kiosks != 2 || o.Showing != 2 || o.Phase != "down" || len(o.Others) != 0 {
			t.Errorf("%+v", o)
		}
		if f.looks[0] < 65*time.Second || len(f.looks) > 10 {
			t.Errorf("looks at %v", f.looks)
		}
		if text := o.String(); !strings.Contains(text, "phase down: presence stale or offline: met after 1") {
			t.Error(text)
		}
	})
}

func TestAnExpectationIsNotHeldAgainstWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{shows: func(since time.Duration) (map[string]State, error) {
			if since < 20*time.Second {
				return both("offline"), nil
			}
			return both("online"), nil
		}}
		r := check(t, "  - {name: p, for: 1m, expect: [{presence: stale}, {presence: offline, at: 30s}]}\n", f)
		if o := r.Expectations[1]; o.Met {
			t.Errorf("%+v", o)
		}
	})
}

func TestAMissedExpectationNamesTheKiosks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{shows: func(time.Duration) (map[string]State, error) {
			return map[string]State{"K-001": {"offline", "unknown", "offline"}, "OTHER": {}}, nil
		}}
		r := check(t, `
  - name: p
    for: 1m
    expect:
      - {presence: offline, within: 10s}
      - {presence: offline, share: 50%}
      - {presence: offline, verdict: can_serve, of: {serials: K-001}}
`, f)
		var met []bool
		for _, o := range r.Expectations {
			met = append(met, o.Met)
		}
		if !reflect.DeepEqual(met, []bool{false, true, false}) {
			t.Fatalf("%+v", r)
		}
		err := r.Err().Error()
		for _, want := range []string{
			"phase p: presence offline: missed, after 10s by 1 of 2 kiosks; others: K-002 is not known",
			"phase p: presence offline and verdict can_serve: missed, after 1m0s by 0 of 1 kiosks; others: K-001 is offline, offline, unknown",
		} {
			if !strings.Contains(err, want) {
				t.Errorf("%s\nlacks %s", err, want)
			}
		}
	})
}

func TestTheLookAtTheDeadlineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{shows: func(since time.Duration) (map[string]State, error) {
			if since < 29*time.Second+900*time.Millisecond {
				return both("online"), nil
			}
			return both("offline"), nil
		}}
		phases := "  - {name: p, for: 1m, expect: [{presence: offline, within: 30s}]}\n"
		if r := check(t, phases, f); r.Err() != nil || r.Expectations[0].After > 31e9 {
			t.Errorf("%+v", r)
		}
		// One look too late is one too late, and looks that take long are rare.
		f = &fakePlatform{takes: 3 * time.Second, shows: func(since time.Duration) (map[string]State, error) {
			if since < 34*time.Second {
				return both("online"), nil
			}
			return both("offline"), nil
		}}
		if r := check(t, phases, f); r.Err() == nil || len(f.looks) > 4 {
			t.Errorf("%+v, looks at %v", r, f.looks)
		}
	})
}

func TestAPlatformThatCannotBeSeenIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{shows: func(since time.Duration) (map[string]State, error) {
			if since < 20*time.Second {
				return nil, errors.New("no connection")
			}
			return both("online"), nil
		}}
		var logged strings.Builder
		f.log = slog.New(slog.NewTextHandler(&logged, nil))
		r := check(t, "  - {name: p, for: 1m, expect: [{presence: online}, {presence: online, within: 5s}]}\n", f)
		if n := strings.Count(logged.String(), "cannot see"); n != 1 {
			t.Errorf("told %d times:\n%s", n, logged.String())
		}
		if o := r.Expectations[0]; !o.Met || o.Error != "" {
			t.Errorf("%+v", o)
		}
		if o := r.Expectations[1]; o.Met || o.Error != "no connection" || !strings.Contains(r.Err().Error(), "no connection") {
			t.Errorf("%+v", o)
		}
	})
}

func TestTheEndOfARunLeavesExpectationsUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kiosks := mustRoster(t, "name: x\nfleets: [{name: a, kiosks: 2}]\nphases:\n  - {name: p, for: 1h, expect: [{presence: offline}], commands: [{command: ping, at: 30m}]}\n")
		f := &fakePlatform{shows: func(time.Duration) (map[string]State, error) { return both("online"), nil }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := &Checker{Scenario: s.At(time.Now(), kiosks), Platform: f, Clock: clock.Real{}}
		err := c.Check(ctx).Err()
		if err == nil || !strings.Contains(err.Error(), "1 of 1 expectations were not decided") || !strings.Contains(err.Error(), "ping was taken for 0 of 2 kiosks: the run ended before") || len(f.sent) != 0 {
			t.Errorf("error = %v, sent %v", err, f.sent)
		}
	})
}

func TestCommandsArePostedInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakePlatform{}
		r := check(t, `
  - {name: a, for: 1m}
  - name: b
    for: 1m
    commands:
      - {command: update, params: {version: "2.0.0"}, at: 10s}
      - {command: ping, of: {serials: K-002}}
`, f)
		if err := r.Err(); err != nil || len(f.sent) != 3 {
			t.Fatalf("%v, %v", err, f.sent)
		}
		for what, when := range f.sent {
			want := 70 * time.Second
			if strings.HasPrefix(what, "ping") {
				want = time.Minute
			} else if !strings.HasPrefix(what, `update{"version":"2.0.0"} K-00`) {
				t.Error(what)
			}
			if when < want || when > want+time.Second {
				t.Errorf("%s at %s", what, when)
			}
		}
		if r.Commands[0].Command != "ping" || r.Commands[1].Taken != 2 {
			t.Errorf("%+v", r.Commands)
		}
	})
}

func TestACommandIsPostedAgainWhileThePlatformIsInTrouble(t *testing.T) {
	tests := map[string]struct {
		err   error
		after int // attempts of each kiosk until it is taken; 0: never
		tries int // of both kiosks
		want  string
	}{
		"in trouble for a while": {&enroll.Problem{Status: http.StatusServiceUnavailable}, 3, 6, ""},
		"always in trouble":      {&enroll.Problem{Status: http.StatusServiceUnavailable}, 0, 12, "ping was taken for 0 of 2 kiosks: K-00"},
		"refused":                {&enroll.Problem{Status: http.StatusForbidden, Title: "Forbidden"}, 0, 2, "admin answered 403: Forbidden"},
		"no token":               {ErrNoAPIToken, 0, 2, "no API token"},
		"no connection":          {errors.New("refused"), 2, 4, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				times := map[string]int{}
				f := &fakePlatform{send: func(serial string) error {
					if times[serial]++; times[serial] == tt.after {
						return nil
					}
					return tt.err
				}}
				r := check(t, "  - {name: p, for: 1h, commands: [{command: ping}]}\n", f)
				err := r.Err()
				if f.tries != tt.tries || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%d tries, %v", f.tries, err)
				}
			})
		})
	}
}

func TestFewCommandsAreUnderWayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kiosks := mustRoster(t, "name: x\nfleets: [{name: a, kiosks: 200}]\nphases:\n  - {name: p, for: 1m, commands: [{command: ping}, {command: restart}]}\n")
		f := &fakePlatform{begin: time.Now()}
		c := &Checker{Scenario: s.At(time.Now(), kiosks), Platform: f, Clock: clock.Real{}}
		if err := c.Check(t.Context()).Err(); err != nil || f.most > 8 || len(f.sent) != 400 {
			t.Errorf("%v, %d at once, %d sent", err, f.most, len(f.sent))
		}
		keys := map[string]bool{}
		for what := range maps.Keys(f.sent) {
			keys[what[strings.LastIndex(what, " "):]] = true
		}
		if len(keys) != 400 {
			t.Errorf("%d keys", len(keys))
		}
	})
}

func TestAFasterClockBringsThingsSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kiosks := mustRoster(t, "name: x\nfleets: [{name: a, kiosks: 2}]\nphases:\n  - {name: p, for: 2h, commands: [{command: ping, at: 1h}], expect: [{presence: offline, at: 30m, within: 30m}]}\n")
		began := time.Now()
		fast := clock.NewCatchUp(10*time.Hour, 100) // an hour is 36 s
		f := &fakePlatform{begin: began, shows: func(since time.Duration) (map[string]State, error) {
			if since > 30*time.Second {
				return both("offline"), nil
			}
			return both("online"), nil
		}}
		c := &Checker{Scenario: s.At(fast.Now(), kiosks), Platform: f, Clock: fast}
		r := c.Check(t.Context())
		if err := r.Err(); err != nil || time.Since(began) > 40*time.Second {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		if after := time.Duration(r.Expectations[0].After); after < 20*time.Minute || after > 30*time.Minute {
			t.Errorf("met after %s", after)
		}
		for what, when := range f.sent {
			if when < 36*time.Second || when > 37*time.Second {
				t.Errorf("%s at %s", what, when)
			}
		}
	})
}

func TestPhasesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kiosks := mustRoster(t, full)
		began := time.Now()
		run := s.At(began, kiosks)
		got := map[string]time.Duration{}
		run.Announce(t.Context(), clock.Real{}, func(ph Phase) { got[ph.Name] = time.Since(began).Round(time.Second) })
		if want := map[string]time.Duration{"quiet": 0, "trouble": 2 * time.Minute, "after": 5 * time.Minute}; !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var names []string
		s.At(time.Now(), kiosks).Announce(ctx, clock.Real{}, func(ph Phase) { names = append(names, ph.Name) })
		if !slices.Equal(names, []string{"quiet"}) {
			t.Errorf("%v", names)
		}
	})
}

func TestAReportAsJSON(t *testing.T) {
	text, err := json.Marshal(Report{Expectations: []Outcome{{Phase: "p", Expected: "presence offline", Met: true, After: 90e9, Kiosks: 2, Showing: 2}}})
	if want := `{"expectations":[{"phase":"p","expected":"presence offline","met":true,"after":"1m30s","kiosks":2,"showing":2}],"commands":null}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}
