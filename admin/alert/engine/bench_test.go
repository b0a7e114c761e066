package engine

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

func compiled(tb testing.TB, rules ...fleet.Rule) *Rules {
	tb.Helper()
	list, err := rule.CompileAll(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return NewRules(rule.NewSet(list))
}

// BenchmarkReading is a reading of a kiosk that 20 of 1,000 rules are for.
func BenchmarkReading(b *testing.B) {
	var rules []fleet.Rule
	for i := range 1000 {
		rules = append(rules, fleet.Rule{
			Name: fmt.Sprintf("rule_%d", i), Severity: fleet.SeverityWarning, For: time.Minute, Scope: fleet.RuleScope{Sites: []string{fmt.Sprintf("Hall %d", i/20)}},
			Condition: fmt.Sprintf("hardware.cpu_temp > %d and hardware.cpu_usage < 95", 75+i%20), Clear: "hardware.cpu_temp < 70",
		})
	}
	e := New(Config{Desk: &book{}, Fleet: &park{}, Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler)})
	e.SetRules(compiled(b, rules...))
	r := reading(1, 0, 70)
	r.Values = append(r.Values, fleet.Value{Metric: "hardware.cpu_usage", Value: 30})
	b.ReportAllocs()
	for b.Loop() {
		next := *r
		next.Time, next.ReceivedAt, next.Source.Record = r.Time.Add(5*time.Second), r.ReceivedAt.Add(5*time.Second), r.Source.Record+1
		r = &next
		e.Reading(r)
	}
}

// BenchmarkKiosk measures what the engine holds of a kiosk that 30 rules are for: when all is well, and what a rule adds
// that must remember.
func BenchmarkKiosk(b *testing.B) {
	const kiosks, readings = 2000, 100
	for _, c := range []struct {
		name string
		more fleet.Rule
	}{
		{"well", fleet.Rule{Condition: "hardware.cpu_temp > 90"}},
		{"pending", fleet.Rule{Condition: "hardware.cpu_temp > 60", For: 24 * time.Hour}},
		{"no data", fleet.Rule{Condition: "hardware.cpu_temp > 90", NoData: time.Hour}},
		{"rate", fleet.Rule{Condition: `rate("hardware.cpu_temp", "5m") > 1000`}},
	} {
		b.Run(c.name, func(b *testing.B) {
			rules := make([]fleet.Rule, 30)
			for i := range rules {
				rules[i] = fleet.Rule{Condition: "hardware.cpu_temp > 95", For: time.Minute}
			}
			rules[7] = c.more
			for i := range rules {
				rules[i].Name, rules[i].Severity = fmt.Sprintf("rule_%d", i), fleet.SeverityWarning
			}
			set := compiled(b, rules...)
			p := &park{live: map[string]*fleet.Live{}}
			for i := range kiosks {
				serial := fmt.Sprintf("K-%d", i)
				last := reading(readings, (readings-1)*5, 70) // presence holds it anyway
				last.Serial = serial
				p.live[serial] = &fleet.Live{Serial: serial, Presence: fleet.PresenceOnline, PresenceSince: start, LastReading: last}
			}
			var held, stored uint64
			for b.Loop() {
				before := inUse()
				book := &book{}
				e := New(Config{Desk: book, Fleet: p, Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler)})
				e.SetRules(set)
				for n := range readings {
					for serial, l := range p.live {
						if n+1 == readings {
							e.Reading(l.LastReading)
							continue
						}
						r := reading(n+1, float64(n)*5, 70)
						r.Serial = serial
						e.Reading(r)
					}
				}
				held = inUse() - before
				if err := e.Checkpoint(b.Context()); err != nil {
					b.Fatal(err)
				}
				stored = 0
				for _, s := range book.saved() {
					stored += uint64(len(s.Data))
				}
				runtime.KeepAlive(e)
			}
			b.ReportMetric(float64(held)/kiosks, "B/kiosk")
			b.ReportMetric(float64(stored)/kiosks, "B-stored/kiosk")
		})
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
