package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/kiosk/device"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

const (
	trialEvery = 10 * time.Minute
	trialWeeks = 9
	kiosks     = 16
	seed       = 12
)

// trial is a forecast that can be compared with what came.
type trial struct {
	fleet.Forecast
	truth float64 // hours
}

// life lets a simulated kiosk live and returns forecasts of it with the truth: when the sum of what was used after
// the forecast came to what was left, with nobody refilling. Each metric is asked about twice a week from the second
// week on.
func life(seed uint64, serial, site string) map[string][]trial {
	d := device.NewSimulated(device.Simulation{Serial: serial, Site: site, Seed: seed})
	f := New()
	random := rand.New(rand.NewPCG(seed, 1))
	used := map[string][]float64{} // summed, by reading
	last := map[string]float64{}
	type asked struct {
		fleet.Forecast
		n int
	}
	open := map[string][]asked{}
	next := map[string]int{}
	for n := range trialWeeks * 7 * 24 * 6 {
		at := start.Add(time.Duration(n) * trialEvery)
		sample := d.Sample(at, true)
		r := fleet.Reading{Serial: serial, Time: at, ReceivedAt: at, Values: []fleet.Value{
			{Metric: "custom.cash_level", Value: sample.Custom["cash_level"].(float64)},
			{Metric: "custom.ink_level", Value: sample.Custom["ink_level"].(float64)},
			{Metric: "custom.paper_level", Value: sample.Custom["paper_level"].(float64)},
			{Metric: "hardware.disk_usage", Value: sample.Hardware["disk_usage"].(float64)},
		}}
		f.Reading(&r)
		for _, k := range kinds {
			level, _ := r.Value(k.metric)
			before, seen := last[k.metric]
			change := (level - before) * k.sign
			if !seen || k.weekly && change < 0 || change < -2 {
				change = 0 // staff refilled, emptied or tidied up
			}
			last[k.metric] = level
			sum := used[k.metric]
			total := change
			if len(sum) > 0 {
				total += sum[len(sum)-1]
			}
			used[k.metric] = append(sum, total)
		}
		for _, c := range f.Forecasts(serial) {
			if n < next[c.Metric] || c.Level < 10 || c.Level > 80 {
				continue
			}
			next[c.Metric] = n + 6*24*3 + random.IntN(6*24)
			open[c.Metric] = append(open[c.Metric], asked{c, n})
		}
	}
	out := map[string][]trial{}
	for metric, all := range open {
		sum := used[metric]
		for _, a := range all {
			left := math.Abs(a.Limit - a.Level)
			i := slices.IndexFunc(sum[a.n:], func(x float64) bool { return x-sum[a.n] >= left })
			if i < 0 {
				continue // not within the test's time
			}
			out[metric] = append(out[metric], trial{a.Forecast, float64(i) * trialEvery.Hours()})
		}
	}
	return out
}

// quality is how good the forecasts of a metric are.
type quality struct {
	n               int
	coverage        float64
	early, late     float64 // shares that came before and after the interval
	width, err, off float64 // medians, as shares of the truth: of the interval, of the median's error, and with its sign
}

func judge(trials []trial) quality {
	q := quality{n: len(trials)}
	var widths, errs, offs []float64
	for _, t := range trials {
		switch {
		case t.truth < t.Earliest:
			q.early++
		case t.truth > t.Latest:
			q.late++
		default:
			q.coverage++
		}
		scale := max(t.truth, 1)
		widths = append(widths, (t.Latest-t.Earliest)/scale)
		errs = append(errs, math.Abs(t.Hours-t.truth)/scale)
		offs = append(offs, (t.Hours-t.truth)/scale)
	}
	n := float64(q.n)
	q.coverage, q.early, q.late = q.coverage/n, q.early/n, q.late/n
	for _, x := range [][]float64{widths, errs, offs} {
		slices.Sort(x)
	}
	q.width, q.err, q.off = widths[q.n/2], errs[q.n/2], offs[q.n/2]
	return q
}

// report prints how good forecasts are.
func report(t *testing.T, name string, q quality) {
	t.Helper()
	t.Logf("%-20s %4d forecasts: %.1f%% held (%.1f%% came earlier, %.1f%% later); width %.0f%%, error %.1f%%, bias %+.1f%% of the time (medians)",
		name, q.n, 100*q.coverage, 100*q.early, 100*q.late, 100*q.width, 100*q.err, 100*q.off)
}

func TestTheIntervalsHoldTheTruth(t *testing.T) {
	all := map[string][]trial{}
	lives := make([]map[string][]trial, kiosks)
	var living sync.WaitGroup
	for n := range lives {
		living.Go(func() {
			site := []string{"Mall", "Lisbon LIS", "Station North", "Madrid MAD"}[n%4]
			lives[n] = life(seed, fmt.Sprintf("K-%03d", n), site)
		})
	}
	living.Wait()
	for _, life := range lives {
		for metric, trials := range life {
			// Of the last weeks' only those that come early are known.
			for _, x := range trials {
				if x.At.Before(start.AddDate(0, 0, (trialWeeks-4)*7)) {
					all[metric] = append(all[metric], x)
				}
			}
		}
	}
	for _, k := range kinds {
		q := judge(all[k.metric])
		report(t, k.metric, q)
		if !k.weekly {
			// A simulated disk fills along a line, with a saw-tooth of logs on it: there is nothing to be unsure of.
			if q.coverage < 0.95 || q.width > 0.05 {
				t.Errorf("%s: %.1f%% of the intervals hold the truth, their width is %.1f%%", k.metric, 100*q.coverage, 100*q.width)
			}
			continue
		}
		if q.coverage < 0.75 || q.coverage > 0.85 {
			t.Errorf("%s: %.1f%% of the intervals hold the truth, want 75 to 85%%", k.metric, 100*q.coverage)
		}
	}
}

// A disk that is written to as chance has it: busy and quiet days and hours, logs that are rotated in the night, and
// a tidy-up when it gets full.
func TestTheIntervalsHoldTheTruthOfABusyDisk(t *testing.T) {
	var trials []trial
	for n := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, n))
		growth := 0.1 + 0.3*random.Float64() // % an hour
		f := New()
		level, logs, busy, total := 30+20*random.Float64(), 0.0, 1.0, 0.0
		totals := []float64{}
		open := []fleet.Forecast{}
		asked := []int{}
		for n := range 9 * 7 * 24 * 4 {
			at := start.Add(time.Duration(n) * 15 * time.Minute)
			if at.Hour() == 3 && at.Minute() == 0 {
				busy, logs = math.Exp(0.5*random.NormFloat64()-0.125), 0
			}
			more := growth / 4 * busy * random.ExpFloat64()
			level, total, logs = level+more, total+more, logs+2*busy/96
			if level > 85 {
				level -= 40
			}
			shown := math.Round(100*(level+logs)) / 100
			f.Reading(&fleet.Reading{Serial: "K", Time: at, ReceivedAt: at, Values: []fleet.Value{{Metric: "hardware.disk_usage", Value: shown}}})
			totals = append(totals, total+logs)
			if n > 14*96 && n < 4*7*96 && n%(96*2+11) == 0 {
				open, asked = append(open, f.Forecasts("K")...), append(asked, n)
			}
		}
		for i, c := range open {
			left := 100 - c.Level
			j := slices.IndexFunc(totals[asked[i]:], func(x float64) bool { return x-totals[asked[i]] >= left })
			if j >= 0 && growth > 0.12 {
				trials = append(trials, trial{c, float64(j) / 4})
			}
		}
	}
	q := judge(trials)
	report(t, "a busy disk", q)
	if q.coverage < 0.75 || q.coverage > 0.85 {
		t.Errorf("%.1f%% of the intervals hold the truth, want 75 to 85%%", 100*q.coverage)
	}
}
