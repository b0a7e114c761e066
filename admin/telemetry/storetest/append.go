package storetest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

func rawPoints(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(series("K-1", 0, 5*time.Second, 51.2, 51.25, 50.9)...)
	store.append(reading("K-1", 15*time.Second+time.Millisecond, 49))
	expect(t, store.query(raw(-time.Hour, time.Hour, "K-1")), "K-1",
		point{0, 51.2}, point{5 * time.Second, 51.25}, point{10 * time.Second, 50.9}, point{15*time.Second + time.Millisecond, 49})
}

func everyMetric(t *testing.T, s *suite) {
	store := s.store(t)
	r := reading("K-1", 0, 0)
	r.Values = nil
	r.Texts = []fleet.Text{{Metric: "peripherals.card_reader", Text: "ready"}, {Metric: "peripherals.printer_status", Text: `low "ink", 5 \ 7`}}
	for i, m := range protocol.Metrics() {
		if m.Kind == protocol.KindGauge {
			r.Values = append(r.Values, fleet.Value{Metric: m.Name, Value: float64(i) + 0.5})
		}
	}
	store.append(r)
	for _, v := range r.Values {
		q := raw(0, time.Minute, "K-1")
		q.Metric = v.Metric
		expect(t, store.query(q), "K-1", point{0, v.Value})
	}
}

func sameReadingTwice(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(reading("K-1", 0, 20), reading("K-1", time.Minute, 21), reading("K-1", time.Minute, 21))
	store.append(reading("K-1", time.Minute, 21)) // the newest once more
	store.append(reading("K-1", 0, 20))           // an older one once more
	store.append(reading("K-1", -3*24*time.Hour, 19), reading("K-1", -3*24*time.Hour, 19))
	store.append(reading("K-1", -3*24*time.Hour, 19)) // one that came late once more
	expect(t, store.query(raw(-7*24*time.Hour, time.Hour, "K-1")), "K-1",
		point{-3 * 24 * time.Hour, 19}, point{0, 20}, point{time.Minute, 21})
	expect(t, store.query(windows(-7*24*time.Hour, time.Hour, time.Hour, telemetry.AggregateCount, "K-1")), "K-1",
		point{-3 * 24 * time.Hour, 1}, point{0, 2})
}

func sameBatchAgain(t *testing.T, s *suite) {
	store := s.store(t)
	var batch []fleet.Reading
	for k := range 5 {
		for i := range 100 {
			batch = append(batch, reading(fmt.Sprintf("K-%d", k), time.Duration(i)*time.Minute, float64(k*1000+i)))
		}
	}
	for range 3 {
		store.append(batch...)
	}
	for k := range 5 {
		var want []point
		for i := range 100 {
			want = append(want, point{time.Duration(i) * time.Minute, float64(k*1000 + i)})
		}
		serial := fmt.Sprintf("K-%d", k)
		expect(t, store.query(raw(0, 3*time.Hour, serial)), serial, want...)
	}
}

func outOfOrder(t *testing.T, s *suite) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name    string
		offsets []time.Duration // in the order of arrival
	}{
		{"seconds late", []time.Duration{0, 10 * time.Second, 5 * time.Second, 7 * time.Second, 12 * time.Second}},
		{"hours late", []time.Duration{0, -3 * time.Hour, -5 * time.Hour, -4 * time.Hour, time.Minute}},
		{"days late", []time.Duration{0, -6 * day, -day, -3 * day, -6*day + time.Second, time.Second}},
		{"a whole day backwards", func() (all []time.Duration) {
			for i := range 200 {
				all = append(all, -time.Duration(i)*7*time.Minute)
			}
			return all
		}()},
	} {
		for _, batched := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, in one batch: %t", c.name, batched), func(t *testing.T) {
				store := s.store(t)
				var readings []fleet.Reading
				byOffset := map[time.Duration]float64{}
				for i, o := range c.offsets {
					readings = append(readings, reading("K-1", o, float64(i)))
					byOffset[o] = float64(i)
				}
				if batched {
					store.append(readings...)
				} else {
					for _, r := range readings {
						store.append(r)
					}
				}
				expect(t, store.query(raw(-7*day, day, "K-1")), "K-1", sorted(byOffset)...)
			})
		}
	}
}

func severalKiosks(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(
		reading("K-2", 0, 2), reading("K-1", 0, 1), reading("K-10", 0, 10),
		reading("K-1", time.Second, 1.5), reading("K-3", time.Hour, 3),
	)
	got := store.query(raw(0, time.Minute, "K-10", "K-404", "K-3", "K-2", "K-10", "K-1", "K-2"))
	want := []struct {
		serial string
		values []float64
	}{{"K-10", []float64{10}}, {"K-2", []float64{2}}, {"K-1", []float64{1, 1.5}}}
	if len(got) != len(want) {
		t.Fatalf("got %s, want the kiosks with points in the order of the query, each once", show(got))
	}
	for i, w := range want {
		if got[i].Serial != w.serial || len(got[i].Points) != len(w.values) {
			t.Fatalf("got %s, want %s at place %d with %v", show(got), w.serial, i+1, w.values)
		}
		for j, v := range w.values {
			if got[i].Points[j].Value != v {
				t.Errorf("%s: %s, want %v", w.serial, showPoints(got[i].Points), w.values)
			}
		}
	}

	var many []fleet.Reading
	var serials []string
	for i := range 700 { // more than any adapter asks for at once
		serial := fmt.Sprintf("SIM-KIOSK-%03d", i)
		serials = append(serials, serial)
		many = append(many, reading(serial, 0, float64(i)))
	}
	store.append(many...)
	for name, q := range map[string]telemetry.Query{
		"raw": raw(0, time.Minute, serials...),
		"p95": windows(0, time.Minute, time.Minute, telemetry.AggregateP95, serials...),
		"max": windows(0, time.Minute, time.Minute, telemetry.AggregateMax, serials...),
	} {
		got = store.query(q)
		if len(got) != len(serials) {
			t.Fatalf("%s: %d series, want %d", name, len(got), len(serials))
		}
		for i := range got {
			if got[i].Serial != serials[i] || len(got[i].Points) != 1 || got[i].Points[0].Value != float64(i) {
				t.Fatalf("%s: series %d is %s %s, want %s with %d", name, i, got[i].Serial, showPoints(got[i].Points), serials[i], i)
			}
		}
	}
}

func siteChange(t *testing.T, s *suite) {
	store := s.store(t)
	readings := series("K-1", 0, 10*time.Second, 1, 2, 3, 4, 5, 6)
	sites := []string{"hall-1", "hall-1", "hall-2", "", "hall-1", "hall-2"} // "" before anybody assigned one
	for i := range readings {
		readings[i].Site = sites[i]
	}
	store.append(readings...)
	store.append(readings...)
	expect(t, store.query(raw(0, time.Minute, "K-1")), "K-1",
		point{0, 1}, point{10 * time.Second, 2}, point{20 * time.Second, 3}, point{30 * time.Second, 4}, point{40 * time.Second, 5}, point{50 * time.Second, 6})
	for a, want := range map[telemetry.Aggregate][2]float64{
		telemetry.AggregateMean: {2, 5}, telemetry.AggregateFirst: {1, 4}, telemetry.AggregateLast: {3, 6},
		telemetry.AggregateCount: {3, 3}, telemetry.AggregateP95: {3, 6}, telemetry.AggregateMin: {1, 4},
	} {
		got := store.query(windows(0, time.Minute, 30*time.Second, a, "K-1"))
		t.Run(string(a), func(t *testing.T) { expect(t, got, "K-1", point{0, want[0]}, point{30 * time.Second, want[1]}) })
	}
}

func unusualValues(t *testing.T, s *suite) {
	for _, v := range []float64{
		0, -1, -273.15, 1e300, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308,
		0.1, 1.0 / 3, math.Pi, 1 << 53, 1e-9, 123456789.123456789, math.MaxInt64, 100000000000000000000, 1e21, 1e6,
	} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			store := s.store(t)
			store.append(reading("K-1", 0, v))
			got := store.query(raw(0, time.Second, "K-1"))
			if len(got) != 1 || len(got[0].Points) != 1 || got[0].Points[0].Value != v {
				t.Errorf("got %s, want exactly %v", show(got), v)
			}
			expect(t, store.query(windows(0, time.Second, time.Second, telemetry.AggregateMean, "K-1")), "K-1", point{0, v})
		})
	}
}

func unusualNames(t *testing.T, s *suite) {
	store := s.store(t)
	serials := []string{"0", "a.b-c_d", "A.B-C_D", "SIM-KIOSK-001", "1.2.3", "x--y..z__", "null", "true", strings.Repeat("s", protocol.MaxSerialLength)}
	metrics := []string{"custom.Foo_1", "custom.foo_1", "_a._b", "custom.time", "custom.serial", "custom.status", "custom.SELECT",
		"c_u.stom", "c.u_stom", "custom." + strings.Repeat("m", 80)}
	sites := []string{"", "hall 1", "a,b=c", `back\slash`, `trailing\`, "«ñandú» 日本", `"quoted" 'twice'`, "#hash", "="}
	value := 1.0
	want := map[string]map[string]float64{}
	for i, serial := range serials {
		r := reading(serial, 0, 0)
		r.Site = sites[i]
		r.Values, want[serial] = nil, map[string]float64{}
		for _, m := range metrics {
			r.Values = append(r.Values, fleet.Value{Metric: m, Value: value})
			want[serial][m] = value
			value++
		}
		store.append(r)
	}
	for serial, values := range want {
		for m, v := range values {
			q := raw(0, time.Minute, serial)
			q.Metric = m
			expect(t, store.query(q), serial, point{0, v})
		}
	}
}

func unknownNames(t *testing.T, s *suite) {
	store := s.store(t)
	ask := func(what, metric string, serials ...string) {
		t.Helper()
		for _, a := range append(telemetry.Aggregates(), "") {
			q := windows(0, time.Hour, time.Minute, a, serials...)
			if q.Metric = metric; a == "" {
				q.Step = 0
			}
			if got := store.query(q); len(got) != 0 {
				t.Errorf("%s, aggregate %q: %s", what, a, show(got))
			}
		}
	}
	ask("an empty store", metric, "K-1")
	store.append(reading("K-1", 0, 1))
	ask("another kiosk", metric, "K-2")
	ask("part of the serial", metric, "K")
	ask("no kiosk", metric)
	ask("another metric", "hardware.cpu_usage", "K-1")
	ask("no metric", "", "K-1")
}

func textMetrics(t *testing.T, s *suite) {
	store := s.store(t)
	r := reading("K-1", 0, 1)
	r.Texts = []fleet.Text{{Metric: "peripherals.card_reader", Text: "ready"}}
	store.append(r)
	for _, a := range append(telemetry.Aggregates(), "") {
		q := windows(0, time.Hour, time.Minute, a, "K-1")
		if q.Metric = "peripherals.card_reader"; a == "" {
			q.Step = 0
		}
		if got := store.query(q); len(got) != 0 {
			t.Errorf("aggregate %q: %s", a, show(got))
		}
	}
}

func emptyReading(t *testing.T, s *suite) {
	store := s.store(t)
	store.append()
	store.append(fleet.Reading{Serial: "K-1", Time: at(0)})
	store.append(fleet.Reading{Serial: "K-1", Time: at(time.Second)}, reading("K-1", 2*time.Second, 3))
	expect(t, store.query(raw(0, time.Minute, "K-1")), "K-1", point{2 * time.Second, 3})
}

func rejected(t *testing.T, s *suite) {
	store := s.store(t)
	batch := series("K-1", 0, time.Second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	batch[1].Serial = "K'1"
	batch[2].Serial = ""
	batch[3].Values[0].Value = math.NaN()
	batch[4].Values[0].Value = math.Inf(1)
	batch[6].Values[0].Metric = "cpu temp"
	batch[7].Time = time.Time{}
	batch[8].Site = "a\nb"
	err := store.Append(t.Context(), batch)
	var e *telemetry.RejectedError
	if !errors.As(err, &e) {
		t.Fatalf("Append: %v, want a *RejectedError", err)
	}
	want := []int{1, 2, 3, 4, 6, 7, 8}
	if len(e.Rejected) != len(want) {
		t.Fatalf("rejected %v, want the readings %v", e.Rejected, want)
	}
	for i, r := range e.Rejected {
		if r.Index != want[i] || r.Reason == "" {
			t.Errorf("rejection %d: %+v, want index %d and a reason", i, r, want[i])
		}
	}
	expect(t, store.query(raw(-time.Hour, time.Hour, "K-1")), "K-1", point{0, 0}, point{5 * time.Second, 5}, point{9 * time.Second, 9})
}

func concurrency(t *testing.T, s *suite) {
	store := s.store(t)
	const kiosks, batches, perBatch = 6, 10, 20
	var wg sync.WaitGroup
	for k := range kiosks {
		serial := fmt.Sprintf("K-%d", k)
		wg.Go(func() {
			for b := range batches {
				from := time.Duration(b*perBatch) * time.Second
				values := make([]float64, perBatch)
				for i := range values {
					values[i] = float64(b*perBatch + i)
				}
				if err := store.Append(t.Context(), series(serial, from, time.Second, values...)); err != nil {
					t.Errorf("Append %s: %v", serial, err)
				}
			}
		})
		wg.Go(func() {
			seen := 0
			for range batches {
				got, err := store.Range(t.Context(), raw(0, time.Hour, serial))
				if err != nil {
					t.Errorf("Range %s: %v", serial, err)
					return
				}
				if len(got) == 0 {
					continue
				}
				if n := len(got[0].Points); n < seen {
					t.Errorf("%s: %d points after %d were seen", serial, n, seen)
				} else {
					seen = n
				}
			}
		})
	}
	wg.Wait()
	for k := range kiosks {
		serial := fmt.Sprintf("K-%d", k)
		var want []point
		for i := range batches * perBatch {
			want = append(want, point{time.Duration(i) * time.Second, float64(i)})
		}
		expect(t, store.query(raw(0, time.Hour, serial)), serial, want...)
	}
}

func reopened(t *testing.T, s *suite) {
	if s.reopen == nil {
		t.Skip("the adapter has no Reopen")
	}
	store := s.store(t)
	store.append(series("K-1", 0, time.Minute, 1, 2, 3)...)
	store.append(reading("K-1", -2*24*time.Hour, 0))
	want := []point{{-2 * 24 * time.Hour, 0}, {0, 1}, {time.Minute, 2}, {2 * time.Minute, 3}}
	for i := range 3 {
		store.Store = s.reopen(t, store.Store)
		expect(t, store.query(raw(-7*24*time.Hour, time.Hour, "K-1")), "K-1", want...)
		store.append(series("K-1", 0, time.Minute, 1, 2, 3)...) // the same readings after a restart
		next := point{time.Hour/2 + time.Duration(i)*time.Minute, float64(10 + i)}
		store.append(reading("K-1", next.offset, next.value))
		want = append(want, next)
		expect(t, store.query(raw(-7*24*time.Hour, time.Hour, "K-1")), "K-1", want...)
	}
}
