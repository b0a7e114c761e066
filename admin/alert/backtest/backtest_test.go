package backtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

func TestWhenARuleWouldHaveFired(t *testing.T) {
	temps := func(p *past, every float64, values ...int) {
		for i, v := range values {
			p.came(float64(i)*every, temp, v)
		}
	}
	for _, tt := range []struct {
		name string
		rule fleet.Rule
		past func(p *past)
		want []string
	}{
		{"nothing happened", hot(nil), func(*past) {}, nil},
		{"it came and went", hot(nil), func(p *past) { temps(p, 10, 70, 80, 80, 70) }, []string{"10 to 30"}},
		{"it stands at the end", hot(nil), func(p *past) { temps(p, 10, 70, 80) }, []string{"10"}},
		{"a rule that is switched off", hot(func(r *fleet.Rule) { r.Disabled = true }), func(p *past) { temps(p, 10, 70, 80) }, []string{"10"}},
		{"for is over between two readings", hot(func(r *fleet.Rule) { r.For = 15 * time.Second }), func(p *past) { temps(p, 10, 80, 80, 80) }, []string{"15"}},
		{"for is over after the last reading", hot(func(r *fleet.Rule) { r.For = time.Minute }), func(p *past) { temps(p, 10, 80) }, []string{"60"}},
		{"for is over after the end", hot(func(r *fleet.Rule) { r.For = 20 * time.Minute }), func(p *past) { temps(p, 10, 80) }, nil},
		{"clear_for", hot(func(r *fleet.Rule) { r.ClearFor = time.Minute }), func(p *past) { temps(p, 10, 80, 70, 80, 70) }, []string{"0 to 90"}},
		{"a late reading opens nothing", hot(nil), func(p *past) {
			p.came(600, temp, 70)
			p.came(601, temp, 99).Time = at(60)
		}, nil},
		{"a value that stops coming", hot(func(r *fleet.Rule) { r.NoData = time.Minute }), func(p *past) {
			p.came(0, temp, 70)
			p.came(30, "custom.a", 1)
			p.came(300, temp, 70)
		}, []string{"60 to 300 no data", "360 no data"}},
		{"flapping", hot(nil), func(p *past) { temps(p, 10, 80, 70, 80, 70, 80, 70, 80, 70) }, []string{"0 to 10", "20 to 30", "40 to 50", "60 to 670 flapping"}},
		{"a kiosk that is gone has no values", hot(func(r *fleet.Rule) { r.For = time.Minute }), func(p *past) {
			p.presence(-5, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
			p.came(0, temp, 80)
			p.presence(30, fleet.PresenceOnline, fleet.PresenceOffline, fleet.ReasonConnectionLost)
			p.presence(200, fleet.PresenceOffline, fleet.PresenceOnline, fleet.ReasonReporting)
			p.came(200, temp, 80)
		}, []string{"260"}},
		{"coming back with other values", hot(nil), func(p *past) {
			p.presence(-5, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
			p.came(0, temp, 80)
			p.presence(0, fleet.PresenceOnline, fleet.PresenceOffline, fleet.ReasonConnectionLost)
			p.presence(200, fleet.PresenceOffline, fleet.PresenceOnline, fleet.ReasonReporting)
			p.came(200, temp, 70)
		}, []string{"0 to 200"}},
		{"presence", fleet.Rule{Name: "offline", Severity: fleet.SeverityCritical, Condition: `presence == "offline"`, For: time.Minute}, func(p *past) {
			p.presence(-50, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
			p.presence(30, fleet.PresenceOnline, fleet.PresenceOffline, fleet.ReasonConnectionLost)
			p.presence(40, fleet.PresenceOffline, fleet.PresenceOnline, fleet.ReasonReporting)
			p.presence(100, fleet.PresenceOnline, fleet.PresenceOffline, fleet.ReasonConnectionLost)
			p.presence(300, fleet.PresenceOffline, fleet.PresenceOnline, fleet.ReasonReporting)
		}, []string{"160 to 300"}},
		{"presence from before", fleet.Rule{Name: "offline", Severity: fleet.SeverityCritical, Condition: `presence == "offline"`}, func(p *past) {
			p.presence(300, fleet.PresenceOffline, fleet.PresenceOnline, fleet.ReasonReporting)
		}, []string{"0 to 300"}},
		{"presence that nobody knows", fleet.Rule{Name: "offline", Severity: fleet.SeverityCritical, Condition: `presence != "online"`}, func(*past) {}, nil},
		{"verdict", fleet.Rule{Name: "cannot", Severity: fleet.SeverityCritical, Condition: `verdict == "cannot_serve" and "printer" in reasons`}, func(p *past) {
			p.presence(-50, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
			p.log(fleet.Event{At: at(20), Kind: fleet.EventVerdict, From: "can_serve", To: "cannot_serve", Subject: "printer", Reason: "Paper jam"})
			p.log(fleet.Event{At: at(50), Kind: fleet.EventVerdict, From: "cannot_serve", To: "can_serve"})
		}, []string{"20 to 50"}},
		{"a schedule of another zone", hot(func(r *fleet.Rule) { r.Schedule = &fleet.Schedule{From: "10:05", To: "10:10"} }), func(p *past) {
			p.kiosks = []*fleet.Kiosk{{Serial: "K-1", Timezone: "Africa/Johannesburg"}}
			temps(p, 10, 80)
		}, []string{"300 to 600"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &past{oldest: at(-100)}
			tt.past(p)
			got, err := p.backtest().Run(t.Context(), fleet.BacktestRequest{Rule: tt.rule, From: at(0), To: at(900)})
			if err != nil {
				t.Fatal(err)
			}
			if have := lines(got.Alerts); !slices.Equal(have, append([]string{}, tt.want...)) {
				t.Errorf("got %q, want %q", have, tt.want)
			}
			if got.Kiosks != 1 || got.Readings != len(p.readings) || got.Source != SourceJournal {
				t.Errorf("%d kiosks, %d readings of %d, source %s", got.Kiosks, got.Readings, len(p.readings), got.Source)
			}
		})
	}
}

func TestWhichKiosksAreAsked(t *testing.T) {
	p := &past{oldest: at(-100)}
	for _, k := range []fleet.Kiosk{{Serial: "K-3", Site: "Hall 2"}, {Serial: "K-1", Site: "Hall 1"}, {Serial: "K-2", Site: "Hall 1"}} {
		p.kiosks = append(p.kiosks, &k)
		p.came(0, temp, 80).Serial = k.Serial
	}
	for _, tt := range []struct {
		name    string
		sites   []string
		serials []string
		want    string
	}{
		{"all", nil, nil, "K-1 K-2 K-3"},
		{"a site", []string{"Hall 1"}, nil, "K-1 K-2"},
		{"some", nil, []string{"K-3", "K-2"}, "K-2 K-3"},
		{"some of a site", []string{"Hall 1"}, []string{"K-3", "K-2"}, "K-2"},
		{"none", []string{"Hall 1"}, []string{"K-3"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := p.backtest().Run(t.Context(), fleet.BacktestRequest{
				Rule: hot(func(r *fleet.Rule) { r.Scope.Sites = tt.sites }), Serials: tt.serials, From: at(0), To: at(900),
			})
			if err != nil {
				t.Fatal(err)
			}
			var serials []string
			for _, a := range got.Alerts {
				serials = append(serials, a.Serial)
			}
			if have := strings.Join(serials, " "); have != tt.want || got.Kiosks != len(serials) {
				t.Errorf("got %q of %d kiosks, want %q", have, got.Kiosks, tt.want)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ask   fleet.BacktestRequest
		past  past
		field string
		text  string
	}{
		{"a rule that is wrong", fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.Condition = "hardware.cpu_tmp > 1" }), From: at(0), To: at(1)}, past{}, "condition", "did you mean hardware.cpu_temp"},
		{"a rule on the platform", fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.Condition = "platform.disk_free < 1" }), From: at(0), To: at(1)}, past{}, "condition", "no history"},
		{"no time", fleet.BacktestRequest{Rule: hot(nil)}, past{}, "from", "both needed"},
		{"backwards", fleet.BacktestRequest{Rule: hot(nil), From: at(1), To: at(1)}, past{}, "from", "before to"},
		{"the future", fleet.BacktestRequest{Rule: hot(nil), From: at(10), To: at(20)}, past{now: at(5)}, "from", "in the past"},
		{"too long", fleet.BacktestRequest{Rule: hot(nil), From: at(-91 * 86400), To: at(0)}, past{}, "from", "at most 90"},
		{"an unknown kiosk", fleet.BacktestRequest{Rule: hot(nil), Serials: []string{"K-1", "K-9"}, From: at(0), To: at(1)}, past{}, "serials[1]", "K-9"},
		{"too many readings", fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(3600)}, past{count: maxReadings + 1}, "from", "readings of 1 kiosks in 1h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.past.backtest().Run(t.Context(), tt.ask)
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v", err)
			}
			if v := invalid.Violations[0]; v.Field != tt.field || !strings.Contains(v.Reason, tt.text) {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestAnEndInTheFutureIsNow(t *testing.T) {
	p := &past{now: at(60)}
	got, err := p.backtest().Run(t.Context(), fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(900)})
	if err != nil || !got.To.Equal(at(60)) {
		t.Errorf("to %s, %v", got.To, err)
	}
}

func TestReadingsAreCountedWhileTheyCome(t *testing.T) {
	p := &past{}
	for i := range 20 {
		p.came(float64(i), temp, 80)
	}
	b := p.backtest()
	b.maxReadings = 10
	var invalid *fleet.ValidationError
	if _, err := b.Run(t.Context(), fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(900)}); !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
}

func TestTheEarliestAlertsAreKept(t *testing.T) {
	p := &past{}
	for n := range 3 {
		serial := fmt.Sprintf("K-%d", n+1)
		p.kiosks = append(p.kiosks, &fleet.Kiosk{Serial: serial})
		for i := range 6 {
			p.came(float64(3600*i), temp, 80).Serial = serial
			p.came(float64(3600*i+10), temp, 70).Serial = serial
		}
	}
	b := p.backtest()
	b.maxAlerts = 5
	for range 2 {
		got, err := b.Run(t.Context(), fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(6 * 3600)})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"0 to 10", "K-2 0 to 10", "K-3 0 to 10", "3600 to 3610", "K-2 3600 to 3610"}
		if have := lines(got.Alerts); !slices.Equal(have, want) || !got.Truncated || got.FiringSeconds != 180 {
			t.Errorf("got %q, truncated %t, %g s", have, got.Truncated, got.FiringSeconds)
		}
		slices.Reverse(p.kiosks)
		slices.SortStableFunc(p.readings, func(a, b fleet.Reading) int { return a.Time.Compare(b.Time) }) // kiosks mixed
		for i := range p.readings {
			p.readings[i].Source.Record = uint64(i + 1)
		}
	}
}

func TestTheSameHistoryGivesTheSameBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p := &past{}
	for n := range 5 {
		serial := fmt.Sprintf("K-%d", n)
		p.kiosks = append(p.kiosks, &fleet.Kiosk{Serial: serial, Tags: []string{"a", "b"}})
		for i := range 200 {
			r := p.came(float64(5*i), "custom.a", random.IntN(9), temp, 70+random.IntN(10))
			r.Serial, r.Source = serial, fleet.Source{}
		}
	}
	ask := fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.Labels = map[string]string{"b": "1", "a": "2"} }), From: at(0), To: at(1000)}
	var first string
	for i := range 4 {
		got, err := p.backtest().Run(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = string(text)
		}
		if string(text) != first || len(got.Alerts) < 10 {
			t.Fatalf("run %d with %d alerts differs", i, len(got.Alerts))
		}
		// Neither the order of the registry nor how kiosks are mixed makes a difference.
		slices.Reverse(p.kiosks)
		slices.SortStableFunc(p.readings, func(a, b fleet.Reading) int { return a.Time.Compare(b.Time) })
	}
}

func TestNobodyWaitsAnyMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &past{before: func(n int) {
		if n == 2*lookEvery {
			cancel()
		}
	}}
	for i := range 10 * lookEvery {
		p.came(float64(i), temp, 70)
	}
	passed := 0
	counted := p.before
	p.before = func(n int) { passed = n; counted(n) }
	b := p.backtest()
	if _, err := b.Run(ctx, fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(1e5)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if passed > 4*lookEvery {
		t.Errorf("%d readings were passed", passed)
	}

	b.turn <- struct{}{} // somebody else's runs
	ended, end := context.WithTimeout(t.Context(), time.Millisecond)
	defer end()
	if _, err := b.Run(ended, fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhyItIsApproximate(t *testing.T) {
	for _, tt := range []struct {
		name, condition string
		oldest          time.Time
		past            func(p *past)
		want            []string
	}{
		{"readings of the journal", temp + " > 75", at(0), nil, nil},
		{"the journal began later", temp + " > 75", at(1), nil, []string{seriesWords}},
		{"texts of the series", printer + ` == "paper_jam"`, at(1), nil, []string{seriesWords, textsWords}},
		{"the state of the series", `status == "blocked"`, at(1), nil, []string{seriesWords, textsWords}},
		{"texts of the journal", printer + ` == "paper_jam"`, at(0), nil, nil},
		{"presence", `presence == "offline"`, at(0), nil, []string{whyApproximate["presence"]}},
		{"an anomaly", `anomaly.score > 0.5`, at(0), nil, []string{whyApproximate["anomaly"]}},
		{"a jump", `location.jumped == 1`, at(0), nil, []string{jumpedWords}},
		{"a restart", temp + " > 75", at(0), func(p *past) {
			p.presence(5, fleet.PresenceOnline, fleet.PresenceOffline, fleet.ReasonAdminRestart)
		}, []string{restartWords}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &past{oldest: tt.oldest}
			if tt.past != nil {
				tt.past(p)
			}
			got, err := p.backtest().Run(t.Context(), fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.Condition = tt.condition }), From: at(0), To: at(10)})
			if err != nil || !slices.Equal(got.Approximate, tt.want) {
				t.Errorf("got %q, %v", got.Approximate, err)
			}
		})
	}
	for _, w := range rule.Vocabulary() {
		condition := w.Name + " == 1"
		switch w.Kind {
		case rule.KindText:
			condition = w.Name + ` contains "x"`
		case rule.KindList:
			condition = `"x" in ` + w.Name
		}
		c, err := rule.Compile(hot(func(r *fleet.Rule) { r.Condition = condition }))
		if err != nil {
			t.Fatal(w.Name, err)
		}
		for _, why := range c.Approximate() {
			if whyApproximate[why] == "" && !c.AboutPlatform() {
				t.Errorf("%s: nothing is said of %s", w.Name, why)
			}
		}
	}
}

// doubled computes from readings.
type doubled struct{ value float64 }

func (d *doubled) Reading(r *fleet.Reading) { d.value, _ = r.Value("location.lat") }
func (d *doubled) Value(name string) (float64, bool) {
	return 2 * d.value, name == "location.distance"
}

func TestComputedValues(t *testing.T) {
	p := &past{}
	p.came(0, "location.lat", 20)
	p.came(10, "location.lat", 30)
	b := p.backtest()
	b.cfg.Derive = func(*fleet.Kiosk) Deriver { return &doubled{} }
	b.cfg.Needs = func(name string) []string { return []string{name + "_needs"} }
	r := hot(func(r *fleet.Rule) { r.Condition = "location.distance > 50" })
	got, err := b.Run(t.Context(), fleet.BacktestRequest{Rule: r, From: at(0), To: at(60)})
	if err != nil || !slices.Equal(lines(got.Alerts), []string{"10"}) {
		t.Errorf("got %q, %v", lines(got.Alerts), err)
	}
	c, err := rule.Compile(r)
	if err != nil || !slices.Equal(b.metrics(c), []string{"location.distance_needs"}) {
		t.Errorf("it needs %v, %v", b.metrics(c), err)
	}
}
