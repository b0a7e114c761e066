package fault

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func TestChanceKeepsToItsRates(t *testing.T) {
	tests := map[Kind]float64{PaperJam: 0.05, Crash: 0.5, StuckSensor: 3, Flapping: 40}
	const kiosks, days = 150, 60
	count := map[Kind]int{}
	lasted := map[Kind]time.Duration{}
	hours := map[int]int{}
	for k := range kiosks {
		plan := NewPlan(7, fmt.Sprintf("K-%d", k), "", nil, tests)
		for _, f := range plan.During(monday, monday.Add(days*day)) {
			if f.From.Before(monday) {
				continue // began in the day before
			}
			count[f.Kind]++
			lasted[f.Kind] += f.To.Sub(f.From)
			hours[f.From.Hour()]++
		}
	}
	for kind, perDay := range tests {
		want := perDay * kiosks * days
		if got := float64(count[kind]); math.Abs(got-want) > 4*math.Sqrt(want) {
			t.Errorf("%s came %v times, want about %v", kind, got, want)
		}
	}
	spec, _ := Lookup(Crash)
	if mean := lasted[Crash] / time.Duration(count[Crash]); mean < spec.Typical*85/100 || mean > spec.Typical*115/100 {
		t.Errorf("crashes last %s on average, typical is %s", mean, spec.Typical)
	}
	// No hour is spared: a slot begins at noon and at midnight.
	for hour := range 24 {
		if n, want := hours[hour], (0.05+0.5+3+40)*kiosks*days/24; math.Abs(float64(n)-want) > 5*math.Sqrt(want) {
			t.Errorf("at %d h %d begin, want about %.0f", hour, n, want)
		}
	}
}

func TestFaultsOfOneKindFollowEachOther(t *testing.T) {
	plan := NewPlan(1, "K-1", "", nil, Rates{Relocation: 10, Crash: MaxPerDay, Drift: math.Inf(1)})
	last := map[Kind]Fault{}
	ids := map[string]bool{}
	for _, f := range plan.During(monday, monday.Add(20*day)) {
		if before, ok := last[f.Kind]; ok && f.From.Before(before.To) {
			t.Errorf("%s at %s begins before the last one ends at %s", f.Kind, f.From, before.To)
		}
		if !f.From.Before(f.To) || f.To.Sub(f.From) > slot || ids[f.ID] || f.From.Nanosecond() != 0 {
			t.Errorf("%+v", f)
		}
		last[f.Kind], ids[f.ID] = f, true
	}
	if len(last) != 3 {
		t.Errorf("kinds: %v", last)
	}
}

func TestThePlanIsTheSameInAnyOrderAndWindow(t *testing.T) {
	scheduled := []Fault{{Kind: PaperJam, From: monday.Add(30 * time.Hour), To: monday.Add(31 * time.Hour)}, {Kind: Drift, From: monday.Add(time.Hour)}}
	whole := NewPlan(3, "K-1", "Lisbon", scheduled, Chaotic()).During(monday, monday.Add(30*day))
	if len(whole) < 200 {
		t.Fatalf("only %d faults", len(whole))
	}
	plan := NewPlan(3, "K-1", "Lisbon", scheduled, Chaotic())
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		from := monday.Add(time.Duration(random.Int64N(int64(30 * day))))
		to := from.Add(time.Duration(random.ExpFloat64() * float64(8*time.Hour)))
		if to.After(monday.Add(30 * day)) {
			continue
		}
		var want []Fault
		for _, f := range whole {
			if f.From.Before(to) && (f.To.IsZero() || f.To.After(from)) {
				want = append(want, f)
			}
		}
		if got := plan.During(from, to); !reflect.DeepEqual(got, want) {
			t.Fatalf("from %s to %s:\n%v\nwant\n%v", from, to, got, want)
		}
	}
}

func TestSeedSerialAndKindDecide(t *testing.T) {
	faults := func(seed uint64, serial, site string) string {
		return fmt.Sprint(NewPlan(seed, serial, site, nil, Rates{Crash: 2, Flapping: 2}).During(monday, monday.Add(5*day)))
	}
	one := faults(1, "K-1", "Lisbon")
	if one != faults(1, "K-1", "Madrid") {
		t.Error("the site decides about crashes")
	}
	if one == faults(2, "K-1", "Lisbon") || one == faults(1, "K-2", "Lisbon") {
		t.Error("another seed or serial has the same faults")
	}
	// What one kind does is no matter of which others there are.
	alone := NewPlan(1, "K-1", "", nil, Rates{Crash: 2}).During(monday, monday.Add(5*day))
	both := NewPlan(1, "K-1", "", nil, Rates{Crash: 2, Flapping: 2}).During(monday, monday.Add(5*day))
	both = slices.DeleteFunc(both, func(f Fault) bool { return f.Kind != Crash })
	if !reflect.DeepEqual(alone, both) {
		t.Errorf("%v\n%v", alone, both)
	}
}

func TestASiteOutageBefallsAllKiosksOfASite(t *testing.T) {
	outages := func(serial, site string) []Fault {
		return NewPlan(5, serial, site, nil, Rates{SiteOutage: 1}).During(monday, monday.Add(30*day))
	}
	first := outages("K-1", "Lisbon")
	if len(first) < 10 {
		t.Fatalf("%d outages", len(first))
	}
	if !reflect.DeepEqual(first, outages("K-2", "Lisbon")) {
		t.Error("two kiosks of a site have different outages")
	}
	if reflect.DeepEqual(first, outages("K-1", "Madrid")) || reflect.DeepEqual(outages("K-1", ""), outages("K-2", "")) {
		t.Error("kiosks of different sites have the same outages")
	}
}

func TestSensorsThatFailByChanceDiffer(t *testing.T) {
	metrics := map[string]int{}
	for _, f := range NewPlan(1, "K-1", "", nil, Rates{StuckSensor: 20}).During(monday, monday.Add(30*day)) {
		metrics[f.Params.Text("metric")]++
		if _, err := Complete(f.Kind, map[string]string{"metric": f.Params.Text("metric")}); err != nil {
			t.Fatal(err)
		}
	}
	if len(metrics) != len(sensors) {
		t.Errorf("%v", metrics)
	}
}

func TestEdgesOfDuring(t *testing.T) {
	at := func(minutes int) time.Time { return monday.Add(time.Duration(minutes) * time.Minute) }
	plan := NewPlan(1, "K-1", "", []Fault{
		{Kind: Crash, From: at(40)},
		{Kind: PaperJam, From: at(10), To: at(20)},
		{Kind: Drift, From: at(15), To: at(15)},
		{Kind: Drift, From: at(15), To: at(12)},
		{ID: "mine", Kind: CashFull, From: at(10), To: at(30)},
	}, nil)
	tests := map[string]struct {
		from, to time.Time
		want     []Kind
	}{
		"before":             {at(0), at(10), nil},
		"its first moment":   {at(0), at(10).Add(1), []Kind{PaperJam, CashFull}},
		"its last moment":    {at(20).Add(-1), at(25), []Kind{PaperJam, CashFull}},
		"after its end":      {at(20), at(25), []Kind{CashFull}},
		"inside":             {at(12), at(13), []Kind{PaperJam, CashFull}},
		"around":             {at(0), at(60), []Kind{PaperJam, CashFull, Crash}},
		"one without an end": {at(100000), at(100001), []Kind{Crash}},
		"nothing":            {at(15), at(15), nil},
		"backwards":          {at(20), at(10), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []Kind
			for _, f := range plan.During(tt.from, tt.to) {
				got = append(got, f.Kind)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	all := plan.During(at(0), at(60))
	if all[0].ID != "K-1/paper_jam/1" || all[1].ID != "mine" || all[2].ID != "K-1/crash/3" {
		t.Errorf("ids: %v", all)
	}
}

func TestAnEmptyPlanHasNoFaults(t *testing.T) {
	none := []*Plan{nil, NewPlan(1, "K-1", "Lisbon", nil, nil), NewPlan(1, "K-1", "", nil, Rates{Crash: 0, Drift: math.NaN(), "nonsense": 9, Flapping: -1})}
	for i, p := range none {
		if !p.Empty() || len(p.During(monday, monday.Add(1000*day))) != 0 {
			t.Errorf("plan %d", i)
		}
	}
	if NewPlan(1, "K-1", "", nil, Rates{Crash: 1}).Empty() || NewPlan(1, "K-1", "", []Fault{{Kind: Crash, From: monday}}, nil).Empty() {
		t.Error("a plan with faults is empty")
	}
	// Rates that hardly ever bring one.
	if n := len(NewPlan(1, "K-1", "", nil, Rates{Crash: 1e-300, Drift: 1e-12}).During(monday, monday.Add(365*day))); n != 0 {
		t.Errorf("%d faults", n)
	}
}

func BenchmarkDuring(b *testing.B) {
	plan := NewPlan(1, "K-1", "Lisbon", nil, Ordinary())
	at := monday
	b.ReportAllocs()
	for b.Loop() {
		plan.During(at, at.Add(5*time.Second))
		at = at.Add(5 * time.Second)
	}
}
