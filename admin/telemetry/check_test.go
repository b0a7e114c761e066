package telemetry

import (
	"errors"
	"math"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestBoundsBetweenMillisecondsAreRoundedUp(t *testing.T) {
	q := Query{From: time.Unix(0, 1), To: time.Unix(0, 2_000_001)}
	if from, to := q.Bounds(); from != 1 || to != 3 {
		t.Errorf("[%d, %d), want [1, 3)", from, to)
	}
	q = Query{From: time.Unix(0, -1), To: time.UnixMilli(5)}
	if from, to := q.Bounds(); from != 0 || to != 5 {
		t.Errorf("[%d, %d), want [0, 5)", from, to)
	}
}

func TestKnownKeepsValidSerialsOnce(t *testing.T) {
	q := Query{Metric: "hardware.cpu_temp", Serials: []string{"b", "a", "b", "", "x' OR 1=1", "a.b-c_1"}}
	got := q.Known()
	want := []string{"b", "a", "a.b-c_1"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%q, want %q", got, want)
	}
	q.Metric = `cpu"; DROP MEASUREMENT x`
	if got := q.Known(); got != nil {
		t.Errorf("a metric that no reading can carry: %q, want none", got)
	}
}

func TestARefusalNamesTheFault(t *testing.T) {
	good := func() fleet.Reading {
		return fleet.Reading{Serial: "K-1", Site: "Hall «ñ», A=1", Time: time.UnixMilli(1),
			Values: []fleet.Value{{Metric: "a.b", Value: 1}}, Texts: []fleet.Text{{Metric: "a.c", Text: "x"}}}
	}
	for _, c := range []struct {
		name string
		want string // "" when it is to be taken
		edit func(*fleet.Reading)
	}{
		{"a good reading", "", func(*fleet.Reading) {}},
		{"no serial", "serial is empty", func(r *fleet.Reading) { r.Serial = "" }},
		{"a line break in the site", `site "a\nb" holds control characters or is not UTF-8`, func(r *fleet.Reading) { r.Site = "a\nb" }},
		{"before 1970", "time 1969-12-31T23:59:59Z is not between 1970 and 2262", func(r *fleet.Reading) { r.Time = time.UnixMilli(-1).UTC() }},
		{"after 2262", "time 2262-01-01T00:00:00Z is not between 1970 and 2262", func(r *fleet.Reading) { r.Time = maxTime }},
		{"an hour ahead of its receipt", "", func(r *fleet.Reading) { r.ReceivedAt = r.Time.Add(-time.Hour) }},
		{"more than an hour ahead of its receipt", "time 1970-01-01T02:00:00Z is 1h0m1s ahead of its receipt", func(r *fleet.Reading) {
			r.Time = time.UnixMilli(0).UTC().Add(2 * time.Hour)
			r.ReceivedAt = r.Time.Add(-time.Hour - time.Second)
		}},
		{"a metric without group", `metric "b" is not a name such as hardware.cpu_temp`, func(r *fleet.Reading) { r.Values[0].Metric = "b" }},
		{"not a number", "metric a.b is NaN, not a finite number", func(r *fleet.Reading) { r.Values[0].Value = math.NaN() }},
		{"infinity", "metric a.b is -Inf, not a finite number", func(r *fleet.Reading) { r.Values[0].Value = math.Inf(-1) }},
		{"a text without group", `metric "c" is not a name such as peripherals.card_reader`, func(r *fleet.Reading) { r.Texts[0].Metric = "c" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.edit(&r)
			if got := RefusalOf(&r); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTooLargeAdvisesAStepThatFits(t *testing.T) {
	day := Query{Metric: "a.b", Serials: make([]string, 1000), From: time.UnixMilli(0), To: time.UnixMilli(0).Add(24 * time.Hour)}
	for _, c := range []struct {
		name string
		edit func(*Query)
		want string
	}{
		{"a day of a thousand kiosks", func(*Query) {}, "a step of 5m or more"},
		{"a year of one kiosk", func(q *Query) { q.Serials = q.Serials[:1]; q.To = q.From.Add(365 * 24 * time.Hour) }, "a step of 5m or more"},
		{"nothing fits", func(q *Query) { q.To = q.From.Add(301 * 24 * time.Hour) }, "a shorter range or fewer kiosks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := day
			c.edit(&q)
			err := q.TooLarge()
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v is not ErrTooLarge", err)
			}
			if got := err.Error(); len(got) < len(c.want) || got[len(got)-len(c.want):] != c.want {
				t.Errorf("%q, want it to end with %q", got, c.want)
			}
		})
	}
}
