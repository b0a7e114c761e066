package backtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// numbersOf are stored points of K-1 by metric.
type numbersOf map[string][]Point

func (n numbersOf) Points(_ context.Context, metric, serial string, from, to time.Time) ([]Point, error) {
	if to.Sub(from) > chunk {
		return nil, fmt.Errorf("%s of points at once", to.Sub(from))
	}
	var out []Point
	for _, p := range n[metric] {
		if serial == "K-1" && !p.Time.Before(from) && p.Time.Before(to) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (n numbersOf) Count(_ context.Context, metric string, _ []string, _, _ time.Time) (int, error) {
	return len(n[metric]), nil
}

func (n numbersOf) add(metric string, secondsAndValues ...float64) {
	for i := 0; i < len(secondsAndValues); i += 2 {
		n[metric] = append(n[metric], Point{at(secondsAndValues[i]), secondsAndValues[i+1]})
	}
}

func peripheral(seconds float64, metric, from, to string) fleet.Event {
	return fleet.Event{At: at(seconds), Kind: fleet.EventPeripheral, Subject: metric, From: from, To: to}
}

func TestReadingsOfTheTimeSeries(t *testing.T) {
	state := func(seconds float64, from, to protocol.State) fleet.Event {
		return fleet.Event{At: at(seconds), Kind: fleet.EventStatus, From: string(from), To: string(to)}
	}
	for _, tt := range []struct {
		name    string
		metrics []string
		past    func(n numbersOf, p *past)
		now     *fleet.Reading
		want    []string
	}{
		{"values of one instant are one reading", []string{"custom.a", temp}, func(n numbersOf, _ *past) {
			n.add(temp, 0, 70, 5, 71, 15, 72)
			n.add("custom.a", 5, 1, 10, 2)
		}, nil, []string{"0 cpu_temp=70", "5 a=1 cpu_temp=71", "10 a=2", "15 cpu_temp=72"}},
		{"over the end of a day of points", []string{temp}, func(n numbersOf, _ *past) {
			n.add(temp, 86395, 70, 86400, 71, 86405, 72)
		}, nil, []string{"86395 cpu_temp=70", "86400 cpu_temp=71", "86405 cpu_temp=72"}},
		{"a text holds from one event to the next, its change a little after the reading", []string{temp, printer}, func(n numbersOf, p *past) {
			n.add(temp, 0, 70, 5, 71, 10, 72)
			p.log(peripheral(-50, printer, "ready", "low_ink"))
			p.log(peripheral(5.2, printer, "low_ink", "paper_jam"))
		}, nil, []string{"0 cpu_temp=70 printer_status=low_ink", "5 cpu_temp=71 printer_status=low_ink", "5.2 cpu_temp=71 printer_status=paper_jam", "10 cpu_temp=72 printer_status=paper_jam"}},
		{"what it was before its first change", []string{temp, printer}, func(n numbersOf, p *past) {
			n.add(temp, 1, 70)
			p.log(peripheral(1e6, printer, "low_ink", "ready"))
		}, nil, []string{"0 printer_status=low_ink", "1 cpu_temp=70 printer_status=low_ink"}},
		{"what never changed", []string{temp, printer}, func(n numbersOf, _ *past) { n.add(temp, 1, 70) },
			&fleet.Reading{Status: "online", Texts: []fleet.Text{{Metric: printer, Text: "ready"}}},
			[]string{"0 online printer_status=ready", "1 online cpu_temp=70 printer_status=ready"}},
		{"a kiosk that came later", []string{printer}, func(n numbersOf, p *past) {
			p.presence(20, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
			n.add(pulse, 20, 1)
		}, &fleet.Reading{Status: "online", Texts: []fleet.Text{{Metric: printer, Text: "ready"}}},
			[]string{"20 online cpu_usage=1 printer_status=ready"}},
		{"the state", nil, func(n numbersOf, p *past) {
			n.add(pulse, 0, 1, 5, 2)
			p.log(state(5.1, "online", "blocked"))
		}, nil, []string{"0 online cpu_usage=1", "5 online cpu_usage=2", "5.1 blocked cpu_usage=2"}},
		{"a metric of which nobody knows what it is", []string{"custom.door"}, func(n numbersOf, p *past) {
			n.add(pulse, 0, 1)
			p.log(peripheral(3, "custom.door", "closed", "open"))
			p.log(peripheral(4, "custom.other", "closed", "open"))
		}, nil, []string{"0 cpu_usage=1 door=closed", "3 cpu_usage=1 door=open"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, p := numbersOf{}, &past{}
			tt.past(n, p)
			s := Series{Points: n, Events: p, Live: func(string) *fleet.Live { return &fleet.Live{LastReading: tt.now} }}
			var got []string
			err := s.Replay(t.Context(), Query{Serials: []string{"K-0", "K-1"}, Metrics: tt.metrics, From: at(0), To: at(2 * 86400)}, func(r *fleet.Reading) error {
				if r.Serial != "K-1" {
					return nil
				}
				if !r.ReceivedAt.Equal(r.Time) {
					t.Errorf("the reading of %s was received at %s", r.Time, r.ReceivedAt)
				}
				line := fmt.Sprintf("%g %s", r.Time.Sub(start).Seconds(), r.Status)
				for _, v := range r.Values {
					line += fmt.Sprintf(" %s=%g", v.Metric[strings.Index(v.Metric, ".")+1:], v.Value)
				}
				for _, v := range r.Texts {
					line += fmt.Sprintf(" %s=%s", v.Metric[strings.Index(v.Metric, ".")+1:], v.Text)
				}
				got = append(got, strings.Join(strings.Fields(line), " "))
				return nil
			})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestARuleOverTheTimeSeries(t *testing.T) {
	n, p := numbersOf{}, &past{}
	for i := range 100 {
		n.add(temp, float64(5*i), float64(70+i%20))
	}
	p.presence(-5, fleet.PresenceNever, fleet.PresenceOnline, fleet.ReasonReporting)
	p.log(peripheral(100.1, printer, "ready", "paper_jam"))
	p.log(peripheral(300.1, printer, "paper_jam", "ready"))
	b := p.backtest()
	b.cfg.Series = Series{Points: n, Events: p, Live: func(string) *fleet.Live { return nil }}
	for condition, want := range map[string][]string{
		temp + " > 85":              {"80 to 100", "180 to 200", "280 to 300", "380 flapping"},
		printer + ` == "paper_jam"`: {"100.1 to 300.1"},
		`not (` + temp + ` < 89) and ` + printer + ` != "ready"`: {"195 to 200", "295 to 300"},
	} {
		got, err := b.Run(t.Context(), fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.Condition = condition }), From: at(0), To: at(1200)})
		if err != nil {
			t.Fatal(err)
		}
		if have := lines(got.Alerts); got.Source != SourceSeries || !slices.Equal(have, want) {
			t.Errorf("%s: got %q, want %q", condition, have, want)
		}
	}
	b.maxReadings = 99
	if _, err := b.Run(t.Context(), fleet.BacktestRequest{Rule: hot(nil), From: at(0), To: at(1200)}); err == nil || !strings.Contains(err.Error(), "about 100 readings") {
		t.Errorf("got %v", err)
	}
}

func TestPagesOfEvents(t *testing.T) {
	p := &past{}
	for i := range 25_000 {
		p.log(peripheral(float64(i/3), printer, "a", "b"))
	}
	all, err := eventsBetween(t.Context(), p, "K-1", fleet.EventPeripheral, at(1), at(1e6))
	if err != nil || len(all) != len(p.events)-3 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	for i, e := range all {
		if e.ID != int64(i+4) {
			t.Fatalf("event %d is at %d", e.ID, i)
		}
	}
}

// BenchmarkDay runs a rule over a day of a hundred kiosks that report every 5 seconds, from points in memory.
func BenchmarkDay(b *testing.B) {
	const kiosks, day, every = 100, 24 * 60 * 60, 5
	p := &past{}
	for i := range kiosks {
		p.kiosks = append(p.kiosks, &fleet.Kiosk{Serial: fmt.Sprintf("K-%d", i)})
	}
	points := sameForAll{}
	for i := range day / every {
		points = append(points, Point{at(float64(every * i)), float64(60 + i/40%20)})
	}
	test := p.backtest()
	test.cfg.Series = Series{Points: points, Events: p, Live: func(string) *fleet.Live { return nil }}
	b.ReportAllocs()
	for b.Loop() {
		got, err := test.Run(b.Context(), fleet.BacktestRequest{Rule: hot(func(r *fleet.Rule) { r.For = time.Minute }), From: at(0), To: at(day)})
		if err != nil || got.Readings != kiosks*day/every || len(got.Alerts) == 0 {
			b.Fatal(got.Readings, len(got.Alerts), err)
		}
	}
	b.ReportMetric(kiosks*day/every*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}

type sameForAll []Point

func (s sameForAll) Points(_ context.Context, _, _ string, from, to time.Time) ([]Point, error) {
	i, _ := slices.BinarySearchFunc(s, from, func(p Point, t time.Time) int { return p.Time.Compare(t) })
	j, _ := slices.BinarySearchFunc(s, to, func(p Point, t time.Time) int { return p.Time.Compare(t) })
	return s[i:j], nil
}

func (s sameForAll) Count(context.Context, string, []string, time.Time, time.Time) (int, error) {
	return len(s), nil
}
