package forecast

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func level(serial, metric string, at time.Time, x float64) *fleet.Reading {
	return &fleet.Reading{Serial: serial, Site: "Mall", Time: at, ReceivedAt: at, Values: []fleet.Value{{Metric: metric, Value: x}}}
}

// steady lets a metric change by perHour for so many hours, a reading every 10 minutes, and returns when that ended.
func steady(f *Forecasts, serial, metric string, from time.Time, hours int, first, perHour float64) time.Time {
	for n := range hours*6 + 1 {
		f.Reading(level(serial, metric, from.Add(time.Duration(n)*10*time.Minute), first+perHour*float64(n)/6))
	}
	return from.Add(time.Duration(hours) * time.Hour)
}

func TestNothingIsSaidBeforeItIsKnown(t *testing.T) {
	f := New()
	if _, ok := f.Value("K", PaperHours); ok {
		t.Error("a forecast of a kiosk that nobody knows")
	}
	steady(f, "K", "custom.paper_level", start, 6*24, 100, -0.4)
	if _, ok := f.Value("K", PaperHours); ok || len(f.Forecasts("K")) > 0 {
		t.Errorf("a forecast after six days: %+v", f.Forecasts("K"))
	}
	f = New()
	steady(f, "K", "custom.paper_level", start, 8*24, 100, -0.4)
	hours, ok := f.Value("K", PaperHours)
	want := (100 - 0.4*8*24) / 0.4
	if !ok || math.Abs(hours-want) > 0.1*want {
		t.Errorf("after eight days %.1f h, %v; want about %.1f", hours, ok, want)
	}
}

func TestWhatIsLearntStandsSomebodysDoing(t *testing.T) {
	learn := func() (*Forecasts, time.Time) {
		f := New()
		return f, steady(f, "K", "custom.paper_level", start, 10*24, 100, -0.25)
	}
	for _, tt := range []struct {
		name  string
		then  []float64 // levels, one each 10 minutes
		hours float64   // median
	}{
		{"as usual", []float64{40}, 160},
		{"a new roll", []float64{100, 100, 100}, 400},
		{"the roll is taken out", []float64{10, 10, 10}, 40},
		{"one wrong value", []float64{0}, 160},
		{"and after it", []float64{0, 40, 40}, 160},
		{"another wrong value", []float64{100, 40, 40}, 160},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, at := learn()
			for _, x := range tt.then {
				at = at.Add(10 * time.Minute)
				f.Reading(level("K", "custom.paper_level", at, x))
			}
			if c := f.Forecasts("K"); len(c) != 1 || math.Abs(c[0].Hours-tt.hours) > 0.05*tt.hours || c[0].Earliest > c[0].Hours || c[0].Latest < c[0].Hours {
				t.Errorf("forecast %+v, want %v hours", c, tt.hours)
			}
		})
	}
}

func TestALevelThatStandsStillNeverEnds(t *testing.T) {
	f := New()
	steady(f, "K", "custom.cash_level", start, 8*24, 30, 0)
	if c := f.Forecasts("K"); len(c) != 1 || !math.IsInf(c[0].Earliest, 1) || !math.IsInf(c[0].Hours, 1) {
		t.Errorf("%+v", c)
	}
}

func TestADiskThatSuddenlyFillsIsSeenWithinTheHour(t *testing.T) {
	f := New()
	at := steady(f, "K", "hardware.disk_usage", start, 8*24, 40, 0.01)
	if hours, ok := f.Value("K", DiskHours); !ok || hours < 1000 {
		t.Fatalf("before: %v h, %v", hours, ok)
	}
	now := f.Forecasts("K")[0].Level
	steady(f, "K", "hardware.disk_usage", at.Add(10*time.Minute), 1, now, 10)
	c := f.Forecasts("K")[0]
	if want := (100 - c.Level) / 10; c.Earliest > 1.5*want || c.Latest < want {
		t.Errorf("it is full in %.1f h at that pace; forecast %.1f, %.1f, %.1f", want, c.Earliest, c.Hours, c.Latest)
	}
}

func TestLateReadingsTeachNothing(t *testing.T) {
	f, g := New(), New()
	end := steady(f, "K", "custom.ink_level", start, 9*24, 100, -0.3)
	steady(g, "K", "custom.ink_level", start, 9*24, 100, -0.3)
	f.Reading(level("K", "custom.ink_level", end.Add(-time.Hour), 3))
	f.Reading(level("K", "custom.ink_level", end, 3))
	if !reflect.DeepEqual(f.Forecasts("K"), g.Forecasts("K")) {
		t.Errorf("%+v, want %+v", f.Forecasts("K"), g.Forecasts("K"))
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	f := New()
	end := steady(f, "K", "custom.ink_level", start, 9*24, 100, -0.3)
	data, err := f.Snapshot("K")
	if err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Restore("K", data); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Forecasts{f, again} {
		steady(f, "K", "custom.ink_level", end.Add(10*time.Minute), 24, 35, -0.3)
	}
	if a, b := f.Forecasts("K"), again.Forecasts("K"); len(a) == 0 || !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, want %+v", b, a)
	}
	if err := again.Restore("K", []byte("{")); err == nil {
		t.Error("half a state was restored")
	}
}

func TestVisits(t *testing.T) {
	f := New()
	var end time.Time
	kiosks := []*fleet.Kiosk{{Serial: "K-1", Site: "Mall"}, {Serial: "K-2", Site: "Mall"}, {Serial: "K-3", Site: "Pier"}, {Serial: "K-4", Site: "Yard"}}
	for serial, left := range map[string]float64{"K-1": 10, "K-2": 5, "K-3": 2} {
		end = steady(f, serial, "custom.paper_level", start, 8*24, left+0.25*8*24, -0.25)
	}
	live := func(serial string) *fleet.Live {
		if serial != "K-1" {
			return &fleet.Live{Serial: serial}
		}
		return &fleet.Live{Serial: serial, LastReading: &fleet.Reading{Texts: []fleet.Text{{Metric: "peripherals.cash_acceptor", Text: "full"}}}}
	}
	told := func(visits []fleet.Visit) (out []string) {
		for _, v := range visits {
			out = append(out, fmt.Sprint(v.Site, " ", Pack(v)))
		}
		return out
	}
	for _, tt := range []struct {
		name    string
		horizon time.Duration
		site    string
		want    []string
	}{
		{"two days", 48 * time.Hour, "", []string{"Mall [empty the cash box: K-1 2 paper rolls: K-2, K-1]", "Pier [1 paper roll: K-3]"}},
		{"half a day", 12 * time.Hour, "", []string{"Mall [empty the cash box: K-1]", "Pier [1 paper roll: K-3]"}},
		{"one site", 48 * time.Hour, "Pier", []string{"Pier [1 paper roll: K-3]"}},
		{"a site with nothing to do", 48 * time.Hour, "Yard", nil},
	} {
		visits := f.Visits(end, tt.horizon, tt.site, kiosks, live)
		if got := told(visits); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		for _, v := range visits {
			if !v.Due.Equal(v.Items[0].Due) || v.Due.Before(end) || v.Due.After(end.Add(tt.horizon)) {
				t.Errorf("%s: due %s", tt.name, v.Due)
			}
		}
	}
}
