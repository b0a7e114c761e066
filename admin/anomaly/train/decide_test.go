package train

import (
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

var noon = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

func TestWhenATrainingIsDue(t *testing.T) {
	const week = 7 * 24 * time.Hour
	model := func(age time.Duration, origin fleet.ModelOrigin) *fleet.Model {
		return newest([]fleet.Model{{CreatedAt: noon.Add(-age), Origin: origin}, {Origin: fleet.ModelBuiltIn}})
	}
	for _, tt := range []struct {
		name    string
		started time.Time
		latest  *fleet.Model
		failed  time.Time
		every   time.Duration
		want    time.Time // zero: never
	}{
		{"never by itself", noon, nil, time.Time{}, 0, time.Time{}},
		{"no model yet", noon, nil, time.Time{}, week, noon.Add(15 * time.Minute)},
		{"a model of two days ago", noon, model(48*time.Hour, fleet.ModelScheduled), time.Time{}, week, noon.Add(5 * 24 * time.Hour)},
		{"one that a person trained", noon, model(48*time.Hour, fleet.ModelManual), time.Time{}, week, noon.Add(5 * 24 * time.Hour)},
		{"an imported one", noon, model(48*time.Hour, fleet.ModelImported), time.Time{}, week, noon.Add(15 * time.Minute)},
		{"overdue after a stop", noon, model(30*24*time.Hour, fleet.ModelScheduled), time.Time{}, week, noon.Add(15 * time.Minute)},
		{"too little found an hour ago", noon.Add(-2 * time.Hour), nil, noon.Add(-time.Hour), week, noon.Add(23 * time.Hour)},
		{"the same with a short schedule", noon.Add(-2 * time.Hour), nil, noon.Add(-time.Hour), 3 * time.Hour, noon.Add(2 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, ever := Due(tt.started, tt.latest, tt.failed, tt.every)
			if ever != !tt.want.IsZero() || !at.Equal(tt.want) {
				t.Errorf("got %v, %v, want %v", at, ever, tt.want)
			}
		})
	}
}

func TestWhenAlarmsAreTooMany(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name        string
		now, before Alarms
		want        bool
	}{
		{"within the budget", Alarms{7, 100, day}, Alarms{7, 100, day}, false},
		{"twice the budget", Alarms{14, 100, day}, Alarms{7, 100, day}, false},
		{"four times the budget", Alarms{30, 100, day}, Alarms{7, 100, day}, true},
		{"as many as before: it is the fleet", Alarms{30, 100, day}, Alarms{20, 100, day}, false},
		{"nothing before", Alarms{30, 100, day}, Alarms{}, true},
		{"a few of few kiosks", Alarms{4, 10, day}, Alarms{}, false},
		{"many of few kiosks", Alarms{8, 10, day}, Alarms{}, true},
		{"too early to say", Alarms{30, 100, 5 * time.Hour}, Alarms{}, false},
		{"early, but clear", Alarms{30, 100, 6 * time.Hour}, Alarms{7, 100, day}, true},
		{"no kiosks", Alarms{30, 0, day}, Alarms{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			why, got := TooMany(tt.now, tt.before, 0.5)
			if got != tt.want || got != (why != "") {
				t.Errorf("got %v, %q", got, why)
			}
		})
	}
}

func TestAModelIsRolledBackOnlyAfterSomeLooks(t *testing.T) {
	const day = 24 * time.Hour
	many, few := Alarms{30, 100, day}, Alarms{7, 100, day}
	current := &fleet.Model{Version: "a", Origin: fleet.ModelScheduled, ChangedAt: noon}
	for _, tt := range []struct {
		name  string
		model *fleet.Model
		after time.Duration // of the first look since the promotion
		looks []Alarms
		want  int // look at which it goes back, from 1; 0: never
	}{
		{"three in a row", current, day, []Alarms{many, many, many}, 3},
		{"a break in between", current, day, []Alarms{many, many, few, many, many}, 0},
		{"again after a break", current, day, []Alarms{many, few, many, many, many}, 5},
		{"after its first week", current, 8 * day, []Alarms{many, many, many, many}, 0},
		{"in the middle of the last", current, 7*day - 90*time.Minute, []Alarms{many, many, many, many}, 0},
		{"the built-in one", &fleet.Model{Version: "built-in", Origin: fleet.ModelBuiltIn, ChangedAt: noon}, day, []Alarms{many, many, many}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var over watchful
			got := 0
			for i, live := range tt.looks {
				if _, back := over.look(noon.Add(tt.after+time.Duration(i)*time.Hour), tt.model, live, few, 0.5); back && got == 0 {
					got = i + 1
				}
			}
			if got != tt.want {
				t.Errorf("went back at look %d, want %d", got, tt.want)
			}
		})
	}
	var over watchful
	for range 2 {
		over.look(noon.Add(day), current, many, few, 0.5)
	}
	if _, back := over.look(noon.Add(day), &fleet.Model{Version: "b", Origin: fleet.ModelManual, ChangedAt: noon}, many, few, 0.5); back {
		t.Error("looks at one model counted for another")
	}
}

func TestTailsOfProbabilities(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"no throw", binomialTail(0, 0), 1}, {"one of one", binomialTail(1, 1), 0.5}, {"five of five", binomialTail(5, 5), 1. / 32},
		{"eight of ten", binomialTail(8, 10), 56. / 1024}, {"of many", binomialTail(500, 1000), 0.5126},
		{"none or more", poissonTail(0, 3), 1}, {"one or more", poissonTail(1, 1), 0.6321}, {"five or more", poissonTail(5, 1), 0.00366},
	} {
		if diff := tt.got - tt.want; diff > 1e-4 || diff < -1e-4 {
			t.Errorf("%s: got %g, want %g", tt.name, tt.got, tt.want)
		}
	}
}
