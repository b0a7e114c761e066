package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// sorted returns the points in the order of time.
func sorted(byOffset map[time.Duration]float64) []point {
	points := make([]point, 0, len(byOffset))
	for _, o := range slices.Sorted(maps.Keys(byOffset)) {
		points = append(points, point{o, byOffset[o]})
	}
	return points
}

func halfOpenRange(t *testing.T, s *suite) {
	store := s.store(t)
	const ms = time.Millisecond
	store.append(series("K-1", 0, ms, 0, 1, 2, 3, 4)...)
	for _, c := range []struct {
		name     string
		from, to time.Duration
		want     []point
	}{
		{"from is in, to is not", 1 * ms, 3 * ms, []point{{1 * ms, 1}, {2 * ms, 2}}},
		{"one millisecond", 2 * ms, 3 * ms, []point{{2 * ms, 2}}},
		{"before the first", -5 * ms, 0, nil},
		{"just the first", -5 * ms, 1 * ms, []point{{0, 0}}},
		{"from the last on", 4 * ms, time.Hour, []point{{4 * ms, 4}}},
		{"after the last", 5 * ms, time.Hour, nil},
		{"between two milliseconds", 1*ms + 1, 2 * ms, nil},
		{"bounds between milliseconds", 1*ms - 1, 2*ms + 1, []point{{1 * ms, 1}, {2 * ms, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, store.query(raw(c.from, c.to, "K-1")), "K-1", c.want...)
		})
	}
	t.Run("centuries around it", func(t *testing.T) {
		q := raw(0, 0, "K-1")
		q.From, q.To = time.Time{}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		expect(t, store.query(q), "K-1", point{0, 0}, point{ms, 1}, point{2 * ms, 2}, point{3 * ms, 3}, point{4 * ms, 4})
	})
	t.Run("centuries before it", func(t *testing.T) {
		q := raw(0, 0, "K-1")
		q.From, q.To = time.Time{}, time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)
		expect(t, store.query(q), "K-1")
	})
}

func aggregates(t *testing.T, s *suite) {
	store := s.store(t)
	// Windows of a minute; the query begins 30 s into the first and ends 30 s into the last, the
	// minutes 2 and 3 are a gap.
	store.append(
		reading("K-1", 10*time.Second, 1000), // before the range, in its first window
		reading("K-1", 30*time.Second, 4), reading("K-1", 40*time.Second, -2), reading("K-1", 59999*time.Millisecond, 7),
		reading("K-1", 60*time.Second, 5), reading("K-1", 61*time.Second, 5), reading("K-1", 90*time.Second, 1), reading("K-1", 119*time.Second, 9),
		reading("K-1", 240*time.Second, 3),
		reading("K-1", 300*time.Second, 8), reading("K-1", 329999*time.Millisecond, 6),
		reading("K-1", 330*time.Second, -1000), // after the range, in its last window
	)
	starts := []time.Duration{0, time.Minute, 4 * time.Minute, 5 * time.Minute}
	for _, c := range []struct {
		aggregate telemetry.Aggregate
		want      [4]float64
	}{
		{telemetry.AggregateMean, [4]float64{3, 5, 3, 7}},
		{telemetry.AggregateMin, [4]float64{-2, 1, 3, 6}},
		{telemetry.AggregateMax, [4]float64{7, 9, 3, 8}},
		{telemetry.AggregateFirst, [4]float64{4, 5, 3, 8}},
		{telemetry.AggregateLast, [4]float64{7, 9, 3, 6}},
		{telemetry.AggregateCount, [4]float64{3, 4, 1, 2}},
		{telemetry.AggregateSum, [4]float64{9, 20, 3, 14}},
		{telemetry.AggregateP95, [4]float64{7, 9, 3, 8}},
	} {
		t.Run(string(c.aggregate), func(t *testing.T) {
			var want []point
			for i, v := range c.want {
				want = append(want, point{starts[i], v})
			}
			expect(t, store.query(windows(30*time.Second, 330*time.Second, time.Minute, c.aggregate, "K-1")), "K-1", want...)
		})
	}
	t.Run("a range within a gap", func(t *testing.T) {
		expect(t, store.query(windows(2*time.Minute, 4*time.Minute, time.Minute, telemetry.AggregateCount, "K-1")), "K-1")
	})
	t.Run("one window around everything", func(t *testing.T) {
		expect(t, store.query(windows(30*time.Second, 330*time.Second, time.Hour, telemetry.AggregateCount, "K-1")), "K-1", point{0, 10})
	})
}

func alignment(t *testing.T, s *suite) {
	store := s.store(t)
	var readings []fleet.Reading
	for i := range 120 {
		readings = append(readings, reading("K-1", time.Duration(i)*7*time.Minute+123*time.Millisecond, 1))
	}
	store.append(readings...)
	for _, step := range []time.Duration{
		time.Second, 7 * time.Second, time.Minute, 7 * time.Minute, time.Hour, 5 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 1500 * time.Millisecond,
	} {
		t.Run(step.String(), func(t *testing.T) {
			byOffset := map[time.Duration]float64{}
			for _, r := range readings {
				// time.Truncate counts from year 1; the contract counts from 1970.
				start := time.Unix(0, r.Time.UnixNano()/int64(step)*int64(step))
				byOffset[start.Sub(base)]++
			}
			expect(t, store.query(windows(0, 24*time.Hour, step, telemetry.AggregateCount, "K-1")), "K-1", sorted(byOffset)...)
		})
	}
}

func percentile(t *testing.T, s *suite) {
	store := s.store(t)
	want := map[int]float64{1: 1, 2: 2, 3: 3, 10: 10, 11: 11, 19: 19, 20: 19, 21: 20, 22: 21, 31: 30, 40: 38, 41: 39, 100: 95}
	for n := range want {
		var readings []fleet.Reading
		for i, v := range rand.Perm(n) {
			readings = append(readings, reading(fmt.Sprintf("K-%d", n), time.Duration(i)*time.Second/2, float64(v+1)))
		}
		store.append(readings...)
	}
	for n, v := range want {
		serial := fmt.Sprintf("K-%d", n)
		t.Run(fmt.Sprintf("of %d points", n), func(t *testing.T) {
			expect(t, store.query(windows(0, time.Hour, time.Minute, telemetry.AggregateP95, serial)), serial, point{0, v})
		})
	}
}

func agreesWithReference(t *testing.T, s *suite) {
	store := s.store(t)
	random := rand.New(rand.NewPCG(1, 2))
	all := map[string][]point{}
	var batch []fleet.Reading
	for _, serial := range []string{"K-1", "K-2", "K-3"} {
		offset := time.Duration(0)
		for range 300 {
			offset += time.Duration(1+random.IntN(90_000)) * time.Millisecond
			if random.IntN(20) == 0 {
				offset += time.Hour // a gap
			}
			v := float64(random.IntN(2000)-1000) / 8 // sums of eighths are exact
			all[serial] = append(all[serial], point{offset, v})
			batch = append(batch, reading(serial, offset, v))
		}
	}
	random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	store.append(batch...)
	for _, a := range telemetry.Aggregates() {
		for _, step := range []time.Duration{time.Second, time.Minute, 7 * time.Minute, time.Hour, 24 * time.Hour} {
			t.Run(fmt.Sprintf("%s over %s", a, step), func(t *testing.T) {
				from, to := 17*time.Minute+time.Millisecond, 9*time.Hour+3*time.Second
				for serial, points := range all {
					expect(t, store.query(windows(from, to, step, a, serial)), serial, reference(points, from, to, step, a)...)
				}
			})
		}
	}
}

// reference is the contract of windows in the plainest words.
func reference(points []point, from, to, step time.Duration, a telemetry.Aggregate) []point {
	byWindow := map[time.Duration][]float64{}
	offsets := map[time.Duration][]time.Duration{}
	for _, p := range points {
		if p.offset >= from && p.offset < to {
			start := time.Unix(0, at(p.offset).UnixNano()/int64(step)*int64(step)).Sub(base)
			byWindow[start] = append(byWindow[start], p.value)
			offsets[start] = append(offsets[start], p.offset)
		}
	}
	reduced := map[time.Duration]float64{}
	for start, values := range byWindow {
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		ascending := slices.Sorted(slices.Values(values))
		n := len(values)
		switch a {
		case telemetry.AggregateMean:
			reduced[start] = sum / float64(n)
		case telemetry.AggregateMin:
			reduced[start] = ascending[0]
		case telemetry.AggregateMax:
			reduced[start] = ascending[n-1]
		case telemetry.AggregateFirst:
			reduced[start] = values[0]
		case telemetry.AggregateLast:
			reduced[start] = values[n-1]
		case telemetry.AggregateCount:
			reduced[start] = float64(n)
		case telemetry.AggregateSum:
			reduced[start] = sum
		case telemetry.AggregateRate:
			if n > 1 {
				reduced[start] = (values[n-1] - values[0]) / (offsets[start][n-1] - offsets[start][0]).Seconds()
			}
		case telemetry.AggregateP95:
			for i, v := range ascending {
				if 100*(i+1) >= 95*n { // this value and those below it are 95% of all
					reduced[start] = v
					break
				}
			}
		}
	}
	return sorted(reduced)
}

func lateReadingsInWindows(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(series("K-1", 0, time.Minute, 1, 2, 3, 4)...)
	q := windows(0, time.Hour, 2*time.Minute, telemetry.AggregateMean, "K-1")
	expect(t, store.query(q), "K-1", point{0, 1.5}, point{2 * time.Minute, 3.5})
	store.append(reading("K-1", 30*time.Second, 6), reading("K-1", -time.Hour, 100))
	expect(t, store.query(q), "K-1", point{0, 3}, point{2 * time.Minute, 3.5})
	q.Aggregate = telemetry.AggregateP95
	expect(t, store.query(q), "K-1", point{0, 6}, point{2 * time.Minute, 4})
}

func tooLargeRaw(t *testing.T, s *suite) {
	store := s.store(t)
	const half = telemetry.MaxPoints / 2
	for _, serial := range []string{"K-1", "K-2"} {
		for from := 0; from < half; from += 5000 {
			values := make([]float64, 5000)
			for i := range values {
				values[i] = float64(i % 50)
			}
			store.append(series(serial, time.Duration(from)*time.Second, time.Second, values...)...)
		}
	}
	q := raw(0, 48*time.Hour, "K-1", "K-2")
	got := store.query(q)
	if len(got) != 2 || len(got[0].Points) != half || len(got[1].Points) != half {
		t.Errorf("as many points as are allowed: %s, want %d each", show(got), half)
	}
	store.append(reading("K-2", -time.Second, 0))
	q.From = at(-time.Minute)
	got, err := store.Range(t.Context(), q)
	if !errors.Is(err, telemetry.ErrTooLarge) || got != nil {
		t.Fatalf("one point more: %s and error %v, want ErrTooLarge", show(got), err)
	}
	if !strings.Contains(err.Error(), "step of 5s or more") {
		t.Errorf("%q does not advise a step", err)
	}
	q.Step, q.Aggregate = 5*time.Second, telemetry.AggregateCount
	total := 0.0
	for _, one := range store.query(q) {
		for _, p := range one.Points {
			total += p.Value
		}
	}
	if total != telemetry.MaxPoints+1 {
		t.Errorf("with the step advised %v points were counted, want %d", total, telemetry.MaxPoints+1)
	}
}

func tooManyWindows(t *testing.T, s *suite) {
	store := s.store(t)
	_, err := store.Range(t.Context(), windows(0, 300*24*time.Hour, time.Second, telemetry.AggregateMean, "K-1"))
	if !errors.Is(err, telemetry.ErrTooLarge) || !strings.Contains(err.Error(), "larger step") {
		t.Errorf("got %v, want ErrTooLarge with advice", err)
	}
}

func injection(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(reading("K-1", 0, 1), reading("K-2", 0, 2), reading("Kx1", 0, 3))
	for _, hostile := range []string{
		`K-1' OR 'a'='a`, `K-1' OR "serial" =~ /.*/ --`, `x'; DROP MEASUREMENT "kiosk_telemetry"; --`, `\' OR 1=1 --`, `K-1\`, `'`, `"`, `\`,
		".*", "K.1|K-2", "K-1|K-2", "(K-1)", "^K-1$", "K-1\n", "K-1\x00", "K-1/", "K-1%27", "", " ", "K-1 ", "\xff", "$serial", "ñ",
		"x\nkiosk_telemetry,serial=K-1 hardware.cpu_temp=99 1772445600000",
	} {
		for _, a := range []telemetry.Aggregate{"", telemetry.AggregateMean, telemetry.AggregateP95} {
			q := windows(-time.Hour, time.Hour, time.Minute, a, hostile)
			if a == "" {
				q.Step = 0
			}
			if got := store.query(q); len(got) != 0 {
				t.Errorf("serial %q, aggregate %q: %s", hostile, a, show(got))
			}
			q.Serials, q.Metric = []string{"K-1", "K-2"}, hostile
			if got := store.query(q); len(got) != 0 {
				t.Errorf("metric %q, aggregate %q: %s", hostile, a, show(got))
			}
			q.Metric = metric + hostile
			if got := store.query(q); hostile != "" && len(got) != 0 {
				t.Errorf("metric %q, aggregate %q: %s", q.Metric, a, show(got))
			}
		}
		bad := reading(hostile, 0, 7)
		var e *telemetry.RejectedError
		if err := store.Append(t.Context(), []fleet.Reading{bad}); !errors.As(err, &e) {
			t.Errorf("append with serial %q: %v, want a *RejectedError", hostile, err)
		}
		bad = reading("K-1", time.Second, 7)
		bad.Values[0].Metric = hostile
		if err := store.Append(t.Context(), []fleet.Reading{bad}); !errors.As(err, &e) {
			t.Errorf("append with metric %q: %v, want a *RejectedError", hostile, err)
		}
	}
	for serial, v := range map[string]float64{"K-1": 1, "K-2": 2, "Kx1": 3} {
		expect(t, store.query(raw(-time.Hour, time.Hour, serial)), serial, point{0, v})
	}
}
