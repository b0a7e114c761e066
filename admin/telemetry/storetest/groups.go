package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

func rate(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(
		reading("K-1", 10*time.Second, 5), reading("K-1", 20*time.Second, 100), reading("K-1", 40*time.Second, 20),
		reading("K-1", 70*time.Second, 7), // alone in its minute
		reading("K-1", 120*time.Second, 7), reading("K-1", 120*time.Second+time.Millisecond, 6.5),
		reading("K-1", 240*time.Second, 3), reading("K-1", 250*time.Second, 3),
	)
	expect(t, store.query(windows(0, time.Hour, time.Minute, telemetry.AggregateRate, "K-1")), "K-1",
		point{0, 0.5}, point{2 * time.Minute, -500}, point{4 * time.Minute, 0})
	// Only the points of the range count.
	expect(t, store.query(windows(15*time.Second, 250*time.Second, time.Minute, telemetry.AggregateRate, "K-1")), "K-1",
		point{0, -4}, point{2 * time.Minute, -500})
}

// grouped asks for groups.
func grouped(from, to, step time.Duration, a telemetry.Aggregate, groups ...telemetry.Group) telemetry.Query {
	q := windows(from, to, step, a)
	q.Groups = groups
	return q
}

func groups(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(series("K-1", 0, 10*time.Second, 1, 2, 3)...)
	store.append(series("K-2", 0, 20*time.Second, 10, 20)...)
	store.append(reading("K-3", 90*time.Second, 7))
	store.append(reading("K-4", 3*time.Minute, 9))
	a := telemetry.Group{Name: "a", Serials: []string{"K-2", "K-1", "K-2", "K-404", "x' OR 1=1"}}
	b := telemetry.Group{Name: "b, with a comma", Serials: []string{"K-3", "K-1"}}
	none := telemetry.Group{Name: "none", Serials: []string{"K-404"}}
	empty := telemetry.Group{Name: "empty"}
	for aggregate, want := range map[telemetry.Aggregate][2][]point{
		telemetry.AggregateMean:  {{{0, 7.2}}, {{0, 2}, {time.Minute, 7}}},
		telemetry.AggregateMin:   {{{0, 1}}, {{0, 1}, {time.Minute, 7}}},
		telemetry.AggregateMax:   {{{0, 20}}, {{0, 3}, {time.Minute, 7}}},
		telemetry.AggregateSum:   {{{0, 36}}, {{0, 6}, {time.Minute, 7}}},
		telemetry.AggregateCount: {{{0, 5}}, {{0, 3}, {time.Minute, 1}}},
		telemetry.AggregateFirst: {{{0, 1}}, {{0, 1}, {time.Minute, 7}}},  // of two at once the lowest serial's
		telemetry.AggregateLast:  {{{0, 20}}, {{0, 3}, {time.Minute, 7}}}, // and the highest's
		telemetry.AggregateP95:   {{{0, 20}}, {{0, 3}, {time.Minute, 7}}},
		telemetry.AggregateRate:  {{{0, (0.1 + 0.5) / 2}}, {{0, 0.1}}},
	} {
		t.Run(string(aggregate), func(t *testing.T) {
			got := store.query(grouped(0, 2*time.Minute, time.Minute, aggregate, none, a, empty, b))
			if len(got) != 2 {
				t.Fatalf("got %s, want the two groups that have points, in their order", show(got))
			}
			expect(t, got[:1], a.Name, want[0]...)
			expect(t, got[1:], b.Name, want[1]...)
		})
	}
}

func groupsAgreeWithReference(t *testing.T, s *suite) {
	store := s.store(t)
	random := rand.New(rand.NewPCG(5, 6))
	type sample struct {
		serial string
		point
	}
	var all []sample
	var batch []fleet.Reading
	var serials []string
	for k := range 12 {
		serial := fmt.Sprintf("K-%02d", k)
		serials = append(serials, serial)
		offset := time.Duration(0)
		for range 60 {
			offset += time.Duration(1+random.IntN(400)) * time.Second
			v := float64(random.IntN(2000)-1000) / 8 // sums of eighths are exact
			all = append(all, sample{serial, point{offset, v}})
			batch = append(batch, reading(serial, offset, v))
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return int(a.offset - b.offset) }) // of one instant by serial
	store.append(batch...)
	pooled := make([]point, len(all))
	for i := range all {
		pooled[i] = all[i].point
	}
	group := telemetry.Group{Name: "all", Serials: serials}
	for _, a := range telemetry.Aggregates() {
		for _, step := range []time.Duration{time.Minute, 7 * time.Minute, time.Hour, 24 * time.Hour} {
			from, to := 17*time.Minute+time.Millisecond, 3*time.Hour+3*time.Second
			want := reference(pooled, from, to, step, a)
			if a == telemetry.AggregateRate { // the mean of the kiosks' rates
				sums, n := map[time.Duration]float64{}, map[time.Duration]float64{}
				for _, serial := range serials {
					var own []point
					for _, one := range all {
						if one.serial == serial {
							own = append(own, one.point)
						}
					}
					for _, p := range reference(own, from, to, step, a) {
						sums[p.offset] += p.value
						n[p.offset]++
					}
				}
				for start := range sums {
					sums[start] /= n[start]
				}
				want = sorted(sums)
			}
			t.Run(fmt.Sprintf("%s over %s", a, step), func(t *testing.T) {
				expect(t, store.query(grouped(from, to, step, a, group)), "all", want...)
			})
		}
	}
}

// localDays counts readings of every half hour: a day has as many as it has half hours.
func localDays(t *testing.T, s *suite) {
	for _, c := range []struct {
		zone  string
		from  string // local midnight
		hours []float64
		days  int // of a window
	}{
		{"Europe/Madrid", "2026-03-28", []float64{24, 23, 24}, 1},
		{"Europe/Madrid", "2026-10-24", []float64{24, 25, 24}, 1},
		{"Europe/Madrid", "2026-03-26", []float64{7*24 - 1, 7 * 24}, 7}, // Thursdays, as 1970-01-01 was one
		{"Asia/Kolkata", "2026-03-01", []float64{24, 24}, 1},
		{"Australia/Lord_Howe", "2026-04-04", []float64{24, 24.5, 24}, 1},
		{"America/Santiago", "2026-09-05", []float64{24, 23, 24}, 1}, // the clocks skip midnight
		{"Africa/Cairo", "2026-04-23", []float64{24, 23, 24}, 1},     // and here
		{"America/Havana", "2026-10-31", []float64{24, 25, 24}, 1},   // midnight comes twice
		{"UTC", "2026-03-28", []float64{24, 24}, 1},
	} {
		t.Run(c.zone+" "+c.from, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			first, err := time.ParseInLocation(time.DateOnly, c.from, zone)
			if err != nil {
				t.Fatal(err)
			}
			store := s.store(t)
			total := 0.0
			var want []point
			for _, h := range c.hours {
				start := first.Add(time.Duration(total * float64(time.Hour)))
				want = append(want, point{start.Sub(base), 2 * h})
				total += h
			}
			var batch []fleet.Reading
			for i := range int(2 * total) {
				batch = append(batch, reading("K-1", first.Sub(base)+time.Duration(i)*30*time.Minute, 1))
			}
			store.append(batch...)
			for _, a := range []telemetry.Aggregate{telemetry.AggregateCount, telemetry.AggregateSum} {
				q := windows(0, 0, time.Duration(c.days)*24*time.Hour, a, "K-1")
				q.From, q.To, q.Zone = first, first.Add(time.Duration(total*float64(time.Hour))), zone
				expect(t, store.query(q), "K-1", want...)
				q.Groups = []telemetry.Group{{Name: "g", Serials: []string{"K-1", "K-2"}}}
				expect(t, store.query(q), "g", want...)
			}
			q := windows(0, 0, time.Duration(c.days)*24*time.Hour, telemetry.AggregateP95, "K-1")
			q.From, q.To, q.Zone = first, first.Add(time.Hour), zone
			expect(t, store.query(q), "K-1", point{first.Sub(base), 1})
			// A step that is no number of days does not look at the zone.
			q = windows(0, 0, time.Hour, telemetry.AggregateCount, "K-1")
			q.From, q.To = first, first.Add(48*time.Hour)
			plain := store.query(q)
			q.Zone = zone
			inZone := store.query(q)
			if len(plain) != 1 || len(inZone) != 1 || !slices.Equal(plain[0].Points, inZone[0].Points) {
				t.Errorf("hours: %s, in the zone %s", show(plain), show(inZone))
			}
		})
	}
}

func summaries(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(series("K-2", 0, time.Minute, 4, -2, 7, 1.5, 3, 8)...)
	store.append(series("K-10", time.Minute, time.Minute, 5)...)
	moved := reading("K-2", 7*time.Minute, 9)
	moved.Site = "hall-2"
	store.append(moved, reading("K-1", 20*time.Minute, 1))
	start := base.UnixMilli()
	fields := telemetry.FieldMin | telemetry.FieldMax | telemetry.FieldSum | telemetry.FieldCount
	want := map[string][]telemetry.Summary{
		"K-2":  {{Start: start, Count: 5, Min: -2, Max: 7, Sum: 13.5}, {Start: start + 300_000, Count: 2, Min: 8, Max: 9, Sum: 17}},
		"K-10": {{Start: start, Count: 1, Min: 5, Max: 5, Sum: 5}},
	}
	for name, serials := range map[string][]string{"of every kiosk": nil, "of these": {"K-10", "K-2", "K-404"}} {
		t.Run(name, func(t *testing.T) {
			got := map[string][]telemetry.Summary{}
			var order []string
			sel := telemetry.Selection{Metric: metric, Serials: serials, From: start, To: start + 600_000}
			err := store.Summaries(t.Context(), sel, telemetry.NewGrid(5*time.Minute, nil), fields, func(k telemetry.KioskWindows) error {
				order = append(order, k.Serial)
				for _, w := range k.Windows {
					w.First, w.Last = 0, 0 // nobody asked
					got[k.Serial] = append(got[k.Serial], w)
				}
				return nil
			})
			if err != nil || !maps.EqualFunc(got, want, slices.Equal) || !slices.Equal(order, []string{"K-10", "K-2"}) {
				t.Errorf("%v in the order %v and error %v, want %v", got, order, err, want)
			}
		})
	}
}

func storedMetrics(t *testing.T, s *suite) {
	store := s.store(t)
	names := func() []string {
		names, err := store.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := names(); len(got) != 0 {
		t.Errorf("of an empty store: %q", got)
	}
	r := reading("K-1", 0, 1)
	r.Values = append(r.Values, fleet.Value{Metric: "custom.b", Value: 1}, fleet.Value{Metric: "custom.a_1", Value: 1})
	r.Texts = []fleet.Text{{Metric: "peripherals.card_reader", Text: "ready"}}
	store.append(r, reading("K-2", 0, 1))
	if got := names(); !slices.Equal(got, []string{"custom.a_1", "custom.b", metric}) {
		t.Errorf("got %q", got)
	}
}

func manyKiosks(t *testing.T, s *suite) {
	store := s.store(t)
	const kiosks = 10_000
	var batch []fleet.Reading
	var serials []string
	bySite := make([]telemetry.Group, 10)
	for i := range bySite {
		bySite[i].Name = fmt.Sprintf("site-%d", i)
	}
	for k := range kiosks {
		serial := fmt.Sprintf("SIM-KIOSK-%05d", k)
		serials = append(serials, serial)
		bySite[k%10].Serials = append(bySite[k%10].Serials, serial)
		batch = append(batch, reading(serial, 0, float64(k)), reading(serial, time.Minute, float64(k)+1))
	}
	for some := range slices.Chunk(batch, 5000) {
		store.append(some...)
	}
	got := store.query(windows(0, time.Hour, 5*time.Minute, telemetry.AggregateMean, serials...))
	if len(got) != kiosks {
		t.Fatalf("%d series, want %d", len(got), kiosks)
	}
	for i := range got {
		if got[i].Serial != serials[i] || len(got[i].Points) != 1 || got[i].Points[0].Value != float64(i)+0.5 {
			t.Fatalf("series %d is %s %s", i, got[i].Serial, showPoints(got[i].Points))
		}
	}
	all := telemetry.Group{Name: "all", Serials: serials}
	for a, want := range map[telemetry.Aggregate]float64{
		telemetry.AggregateMean: kiosks / 2, telemetry.AggregateMax: kiosks, telemetry.AggregateCount: 2 * kiosks, telemetry.AggregateP95: 9500, telemetry.AggregateRate: 1. / 60,
	} {
		expect(t, store.query(grouped(0, time.Hour, time.Hour, a, all)), "all", point{0, want})
	}
	sites := store.query(grouped(0, time.Hour, time.Hour, telemetry.AggregateMin, bySite...))
	if len(sites) != 10 {
		t.Fatalf("%d sites", len(sites))
	}
	for i := range sites {
		expect(t, sites[i:i+1], bySite[i].Name, point{0, float64(i)})
	}
}

func retention(t *testing.T, s *suite) {
	if s.expire == nil {
		t.Skip("the store has no Expire")
	}
	store := s.store(t)
	const day = 24 * time.Hour
	for d := time.Duration(-20); d <= 0; d++ {
		store.append(series("K-1", d*day, time.Hour, 1, 2, 3)...)
	}
	store.Store = s.expire(t, store.Store, at(-6*day))
	got := store.query(windows(-30*day, day, day, telemetry.AggregateCount, "K-1"))
	if len(got) != 1 {
		t.Fatalf("%s, want the latest days", show(got))
	}
	counted := map[time.Duration]float64{}
	for _, p := range got[0].Points {
		counted[p.Time.Sub(base.Truncate(day))] = p.Value
	}
	// A store lets go of whole files or shards, so the week before the bound may still be there.
	for d := time.Duration(-20); d <= -14; d++ {
		if counted[d*day] != 0 {
			t.Errorf("day %d is still there: %s", d, show(got))
		}
	}
	for d := time.Duration(-5); d <= 0; d++ {
		if counted[d*day] != 3 {
			t.Errorf("day %d has %v points, want all of them", d, counted[d*day])
		}
	}
}
