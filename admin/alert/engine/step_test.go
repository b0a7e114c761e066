package engine

import (
	"math"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// moment is one line of a story.
type moment struct {
	at      float64 // seconds
	cpu     float64 // 0: no reading, only time
	taken   float64 // when the reading was taken, 0: at
	without bool    // the reading lacks the metric
	gone    bool    // the kiosk is offline
	restart bool    // and that because we restarted
	join    bool    // it is back, and has sent no reading yet
	rules   []Rule  // they are others from here on
}

func TestStep(t *testing.T) {
	minutes := func(n int) func(*above) { return func(r *above) { r.For = time.Duration(n) * time.Minute } }
	for _, c := range []struct {
		name  string
		rules []Rule
		story []moment
		want  []string
	}{
		{"at once", []Rule{hot(nil)}, []moment{{at: 0, cpu: 70}, {at: 5, cpu: 80}, {at: 10, cpu: 81}, {at: 15, cpu: 70}}, []string{"5 opened hot", "15 resolved hot"}},
		{"for five minutes", []Rule{hot(minutes(5))}, []moment{{at: 0, cpu: 80}, {at: 299, cpu: 80}, {at: 301, cpu: 80}}, []string{"300 opened hot"}},
		{"not quite for so long", []Rule{hot(minutes(5))}, []moment{{at: 0, cpu: 80}, {at: 299, cpu: 70}, {at: 301, cpu: 80}, {at: 400}}, []string{}},
		{"time alone opens", []Rule{hot(minutes(5))}, []moment{{at: 0, cpu: 80}, {at: 1000}}, []string{"300 opened hot"}},
		{"a clearing of its own", []Rule{hot(func(r *above) { r.clear = 70 })}, []moment{{at: 0, cpu: 80}, {at: 5, cpu: 72}, {at: 10, cpu: 69}}, []string{"0 opened hot", "10 resolved hot"}},
		{"clear for a minute", []Rule{hot(func(r *above) { r.ClearFor = time.Minute })},
			[]moment{{at: 0, cpu: 80}, {at: 5, cpu: 70}, {at: 30, cpu: 80}, {at: 40, cpu: 70}, {at: 200, cpu: 70}}, []string{"0 opened hot", "100 resolved hot"}},
		{"a missing value opens nothing", []Rule{hot(minutes(1))}, []moment{{at: 0, cpu: 80}, {at: 30, without: true}, {at: 40, cpu: 80}, {at: 99, cpu: 80}, {at: 101, cpu: 80}}, []string{"100 opened hot"}},
		{"a missing value closes nothing", []Rule{hot(nil)}, []moment{{at: 0, cpu: 80}, {at: 5, without: true}, {at: 500, without: true}}, []string{"0 opened hot"}},
		{"what comes late opens nothing", []Rule{hot(nil)}, []moment{{at: 0, cpu: 70}, {at: 600, cpu: 80, taken: 100}, {at: 601, cpu: 81, taken: 105}, {at: 602, cpu: 70}}, []string{}},
		{"what comes late closes nothing", []Rule{hot(nil)}, []moment{{at: 500, cpu: 80}, {at: 600, cpu: 70, taken: 490}, {at: 605, cpu: 80}}, []string{"500 opened hot"}},
		{"gone: nothing is known", []Rule{hot(minutes(5))}, []moment{{at: 0, cpu: 80}, {at: 10, gone: true}, {at: 400}}, []string{}},
		{"gone: an alert stands", []Rule{hot(nil)}, []moment{{at: 0, cpu: 80}, {at: 10, gone: true}, {at: 400}}, []string{"0 opened hot"}},
		{"our restart does not end what waits", []Rule{hot(minutes(5)), off(time.Minute)},
			[]moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 210, cpu: 80}, {at: 301, cpu: 80}}, []string{"300 opened hot"}},
		{"our restart does not open either", []Rule{hot(minutes(5))}, []moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 400}, {at: 410, cpu: 70}}, []string{}},
		{"presence", []Rule{off(time.Minute)}, []moment{{at: 0, cpu: 70}, {at: 10, gone: true}, {at: 100}, {at: 120, cpu: 70}}, []string{"70 opened offline", "120 resolved offline"}},
		{"a blink", []Rule{off(time.Minute)}, []moment{{at: 0, cpu: 70}, {at: 10, gone: true}, {at: 69, cpu: 70}, {at: 200}}, []string{}},
		{"no data", []Rule{hot(func(r *above) { r.NoData = time.Minute })},
			[]moment{{at: 0, cpu: 70}, {at: 30, without: true}, {at: 90, without: true}, {at: 100, cpu: 70}}, []string{"60 opened hot", "100 resolved hot"}},
		{"no data of a kiosk that is gone", []Rule{hot(func(r *above) { r.NoData = time.Minute })}, []moment{{at: 0, cpu: 70}, {at: 30, gone: true}, {at: 200}}, []string{}},
		{"no data ends with a value that is too high", []Rule{hot(func(r *above) { r.NoData = time.Minute })},
			[]moment{{at: 0, cpu: 70}, {at: 30, without: true}, {at: 100, cpu: 80}}, []string{"60 opened hot", "100 resolved hot", "100 opened hot"}},
		{"no data of a rule that was just made", []Rule{}, []moment{{at: 0, without: true}, {at: 1000, rules: []Rule{hot(func(r *above) { r.NoData = time.Minute })}}, {at: 1100}}, []string{"1060 opened hot"}},
		{"no data that is held is not over while the value is missing again", []Rule{hot(func(r *above) { r.NoData = time.Minute })},
			[]moment{{at: 0, cpu: 70}, {at: 70, cpu: 70}, {at: 140, cpu: 70}, {at: 210, cpu: 70}, {at: 280, cpu: 70}, {at: 2000}},
			[]string{"60 opened hot", "70 resolved hot", "130 opened hot", "140 resolved hot", "200 opened hot", "210 resolved hot", "270 opened hot", "270 flapping hot"}},
		{"flapping is held", []Rule{hot(nil)},
			[]moment{{at: 0, cpu: 80}, {at: 5, cpu: 70}, {at: 10, cpu: 80}, {at: 15, cpu: 70}, {at: 20, cpu: 80}, {at: 25, cpu: 70}, {at: 30, cpu: 80}, {at: 35, cpu: 70}, {at: 40, cpu: 80}, {at: 45, cpu: 70}, {at: 700}},
			[]string{"0 opened hot", "5 resolved hot", "10 opened hot", "15 resolved hot", "20 opened hot", "25 resolved hot", "30 opened hot", "30 flapping hot", "645 resolved hot"}},
		{"four in an hour do not flap", []Rule{hot(nil)},
			[]moment{{at: 0, cpu: 80}, {at: 5, cpu: 70}, {at: 1000, cpu: 80}, {at: 1005, cpu: 70}, {at: 2000, cpu: 80}, {at: 2005, cpu: 70}, {at: 3000, cpu: 80}},
			[]string{"0 opened hot", "5 resolved hot", "1000 opened hot", "1005 resolved hot", "2000 opened hot", "2005 resolved hot", "3000 opened hot"}},
		{"another version that still holds", []Rule{hot(nil)}, []moment{{at: 0, cpu: 80}, {at: 5, rules: []Rule{hot(func(r *above) { r.Version, r.Severity = 2, fleet.SeverityCritical })}}, {at: 10, cpu: 80}}, []string{"0 opened hot", "5 reason hot"}},
		{"another version that does not", []Rule{hot(nil)}, []moment{{at: 0, cpu: 80}, {at: 5, rules: []Rule{hot(func(r *above) { r.Version, r.limit = 2, 90 })}}}, []string{"0 opened hot", "5 reason hot", "5 resolved hot"}},
		{"the rule is removed", []Rule{hot(nil)}, []moment{{at: 0, cpu: 80}, {at: 5, rules: []Rule{}}}, []string{"0 opened hot", "5 resolved hot"}},
		{"back, but not heard yet: what it last said is old", []Rule{hot(minutes(1))},
			[]moment{{at: 0, cpu: 80}, {at: 10, gone: true}, {at: 3000, join: true}, {at: 3100}, {at: 3105, cpu: 70}}, []string{}},
		{"back after our restart, but not heard yet", []Rule{hot(minutes(5))},
			[]moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 210, join: true}, {at: 1000}, {at: 1005, cpu: 70}}, []string{}},
		{"back after our restart, and it still holds", []Rule{hot(minutes(5))},
			[]moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 210, join: true}, {at: 215, cpu: 80}, {at: 301, cpu: 80}}, []string{"300 opened hot"}},
		{"what fell due while we were away is told in the order of time", []Rule{hot(minutes(10)), hot(func(r *above) { r.Name, r.For = "sooner", 5*time.Minute })},
			[]moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 1000, cpu: 80}}, []string{"300 opened sooner", "600 opened hot"}},
		{"back after our restart with what it had kept", []Rule{hot(nil)},
			[]moment{{at: 0, cpu: 70}, {at: 200, restart: true}, {at: 1000, cpu: 80, taken: 210}, {at: 1001, cpu: 80, taken: 215}, {at: 1002, cpu: 70}}, []string{}},
		{"gone after our restart, too: what waits is over", []Rule{hot(minutes(5))},
			[]moment{{at: 0, cpu: 80}, {at: 200, restart: true}, {at: 210, join: true}, {at: 220, gone: true}, {at: 400, cpu: 80}, {at: 500, cpu: 80}, {at: 701}}, []string{"700 opened hot"}},
		{"a clock that is an hour behind", []Rule{hot(nil)},
			[]moment{{at: 4000, cpu: 80, taken: 400}, {at: 4005, cpu: 80, taken: 405}, {at: 4010, cpu: 70, taken: 410}}, []string{"4005 opened hot", "4010 resolved hot"}},
		{"no data by a rule that is new", nil, []moment{{at: 0, without: true}, {at: 300, without: true},
			{at: 305, rules: []Rule{hot(func(r *above) { r.NoData = time.Minute })}}, {at: 310, without: true}, {at: 390, without: true}, {at: 395, cpu: 70}}, []string{"365 opened hot", "395 resolved hot"}},
		{"data by a rule that is new", nil, []moment{{at: 0, cpu: 70}, {at: 300, cpu: 70}, {at: 305, rules: []Rule{hot(func(r *above) { r.NoData = time.Minute })}}, {at: 310, cpu: 70}}, []string{}},
		{"no data matters only in the rule's hours", []Rule{hot(func(r *above) { r.NoData, r.Schedule, r.hours = time.Minute, &fleet.Schedule{}, [2]int{9, 10} })},
			[]moment{{at: 0, cpu: 70}, {at: 1800, without: true}, {at: 4000, without: true}, {at: 8000, without: true}}, []string{"3600 opened hot", "7200 resolved hot"}},
		{"only in its hours", []Rule{hot(func(r *above) { r.Schedule, r.hours = &fleet.Schedule{}, [2]int{9, 10} })},
			[]moment{{at: 0, cpu: 80}, {at: 3000, cpu: 80}, {at: 4000, cpu: 80}, {at: 8000, cpu: 80}}, []string{"3600 opened hot", "7200 resolved hot"}},
		{"rises by more than 10 an hour", []Rule{hot(func(r *above) { r.window, r.limit = 10*time.Minute, 10 })},
			[]moment{{at: 0, cpu: 50}, {at: 200, cpu: 51}, {at: 400, cpu: 52}, {at: 600, cpu: 53}, {at: 700, cpu: 53}, {at: 900, cpu: 53}, {at: 1200, cpu: 53}, {at: 1300, cpu: 53}, {at: 1400, cpu: 53}}, []string{"400 opened hot", "900 resolved hot"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, pace := range []float64{0, 7} { // seconds between ticks, 0: none
				got := lines(play(c.rules, c.story, pace))
				if !slices.Equal(got, c.want) {
					t.Errorf("a tick each %g s: got %q, want %q", pace, got, c.want)
				}
			}
		})
	}
}

// play tells a story to a new kiosk.
func play(rules []Rule, story []moment, pace float64) []fleet.AlertChange {
	s := &State{Serial: "K-1"}
	kiosk := &fleet.Kiosk{Serial: "K-1"}
	live := &fleet.Live{Presence: fleet.PresenceOnline, PresenceSince: start}
	var found []fleet.AlertChange
	last := story[0].at
	for i, m := range story {
		if pace > 0 {
			for now := last + pace; now < m.at; now += pace {
				found = append(found, Step(s, rules, Input{At: at(now), Kiosk: kiosk, Live: live})...)
			}
		}
		last = m.at
		in := Input{At: at(m.at), Source: fleet.Source{Record: uint64(i + 1)}, Kiosk: kiosk}
		switch {
		case m.gone:
			live = &fleet.Live{Presence: fleet.PresenceOffline, PresenceReason: fleet.ReasonConnectionLost, PresenceSince: in.At}
		case m.restart:
			live = &fleet.Live{Presence: fleet.PresenceOffline, PresenceReason: fleet.ReasonAdminRestart, PresenceSince: in.At}
		case m.join:
			live = &fleet.Live{Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, PresenceSince: in.At}
		case m.cpu != 0 || m.without:
			in.Reading = reading(i+1, m.at, m.cpu)
			if m.taken != 0 {
				in.Reading.Time = at(m.taken)
			}
			if m.without {
				in.Reading.Values = []fleet.Value{{Metric: "hardware.cpu_usage", Value: 1}}
			}
			if live.Presence == fleet.PresenceOffline {
				live = &fleet.Live{Presence: fleet.PresenceOnline, PresenceSince: in.At}
			}
		}
		if m.rules != nil {
			found = append(found, Step(s, rules, Input{At: in.At, Kiosk: kiosk, Live: live})...)
			rules = m.rules
		}
		in.Live = live
		found = append(found, Step(s, rules, in)...)
	}
	return found
}

func TestAnAlertTellsWhatItSaw(t *testing.T) {
	found := play([]Rule{hot(func(r *above) { r.For = time.Minute })}, []moment{{at: 0, cpu: 80}, {at: 61, cpu: 81}}, 0)
	if len(found) != 1 {
		t.Fatalf("got %v", lines(found))
	}
	a := found[0].Alert
	if !a.Since.Equal(at(0)) || !a.OpenedAt.Equal(at(60)) || a.Reason != "hardware.cpu_temp is 80" || len(a.Values) != 1 || a.ID != alertID("hot", "K-1", at(60), 0) {
		t.Errorf("got %+v", a)
	}
}

func TestARateIsThatOfTheReadingsHoweverTheyCome(t *testing.T) {
	s := &State{}
	w := rule.Window{Metric: temp, Length: 5 * time.Minute}
	for i, seconds := 0, 0.0; seconds < 400; i, seconds = i+1, seconds+float64(1+i%7) {
		s.sample(w, at(seconds), 50+seconds/100)
	}
	if n := len(s.past(w).Points); n < 20 || n > maxSamples+1 {
		t.Errorf("%d samples are kept", n)
	}
	if rate, ok := s.Rate(w.Metric, w.Length); !ok || math.Abs(rate-36) > 1e-6 {
		t.Errorf("got %v an hour, %v; want 36", rate, ok)
	}
}

func TestTwoAlertsOfOneMillisecondAreTwo(t *testing.T) {
	s := &State{Serial: "K-1"}
	var ids []string
	for i, cpu := range []float64{80, 70, 80} { // a message with three readings, all received at once
		r := reading(i+1, float64(i)/1000, cpu)
		in := Input{At: at(0), Source: fleet.Source{Record: 1, Item: i}, Reading: r, Live: &fleet.Live{Presence: fleet.PresenceOnline}}
		for _, c := range Step(s, []Rule{hot(nil)}, in) {
			if c.Kind == fleet.AlertEventOpened {
				ids = append(ids, c.Alert.ID)
			}
		}
	}
	if len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("ids: %v", ids)
	}
}

func TestWhatWasWorkedOnIsPassedOver(t *testing.T) {
	s := &State{Serial: "K-1"}
	in := Input{At: at(0), Source: fleet.Source{Record: 7}, Reading: reading(7, 0, 80), Live: &fleet.Live{Presence: fleet.PresenceOnline}}
	if got := Step(s, []Rule{hot(nil)}, in); len(got) != 1 {
		t.Fatalf("got %v", lines(got))
	}
	in.At, in.Reading = at(5), reading(7, 5, 70)
	if got := Step(s, []Rule{hot(nil)}, in); got != nil {
		t.Errorf("a record was worked on twice: %v", lines(got))
	}
}
