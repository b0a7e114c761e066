package watch

import (
	"math"
	"math/rand/v2"
	"testing"
)

// noises are ordinary surprises that a kiosk may have, as they come every five minutes: none of them is an anomaly.
var noises = []struct {
	name string
	next func(r *rand.Rand) func(minute int) float64
}{
	{"calibrated", func(r *rand.Rand) func(int) float64 {
		return func(int) float64 { return r.ExpFloat64() * math.Log10E }
	}},
	{"twelve times as much", func(r *rand.Rand) func(int) float64 {
		return func(int) float64 { return r.ExpFloat64()*math.Log10E + 1.1 }
	}},
	{"heavy tails", func(r *rand.Rand) func(int) float64 {
		return func(int) float64 { return 0.6 * math.Pow(r.Float64(), -0.2) }
	}},
	{"in clusters", func(r *rand.Rand) func(int) float64 {
		level := 0.0
		return func(int) float64 {
			if level -= level / 8; r.Float64() < 1.0/120 {
				level = 2 + r.ExpFloat64()
			}
			return level + 0.4*r.ExpFloat64()
		}
	}},
	{"a regular weekly upheaval", func(r *rand.Rand) func(int) float64 {
		return func(minute int) float64 {
			if minute%(7*24*60) < 20 {
				return 4 + 3*r.Float64()
			}
			return r.ExpFloat64() * math.Log10E
		}
	}},
	{"loud by day", func(r *rand.Rand) func(int) float64 {
		return func(minute int) float64 {
			return r.ExpFloat64() * math.Log10E * (1 + 0.5*math.Sin(float64(minute)/(24*60)*2*math.Pi))
		}
	}},
}

// judged runs one kiosk's noise for so many weeks and returns how many anomalies opened after the first two.
func judged(next func(int) float64, budget float64, weeks int) int {
	cfg := Default()
	cfg.Budget = budget
	k := New(&cfg, nil)
	opened := 0
	for n := range weeks * 7 * 24 * 12 {
		minute := 5 * n
		k.clock.tick(int64(minute+1) * 60_000)
		if found := k.judge([channels]float64{alone: next(minute)}); found.Fired && minute > 2*7*24*60 {
			opened++
		}
	}
	return opened
}

func TestAnomaliesAreAsManyAsTheBudgetAllows(t *testing.T) {
	const weeks, kiosks = 26, 4
	for _, noise := range noises {
		for _, budget := range []float64{0.5, 2} {
			// What has a channel for itself has its share of the budget.
			got := 0
			for n := range kiosks {
				got += judged(noise.next(rand.New(rand.NewPCG(uint64(n), 7))), channels*budget, weeks)
			}
			want := budget * (weeks - 2) * kiosks
			t.Logf("%s: %d anomalies, the budget allows %.0f", noise.name, got, want)
			if float64(got) > 1.7*want || float64(got) < want/4 {
				t.Errorf("%s: %d anomalies, the budget allows %.0f", noise.name, got, want)
			}
		}
	}
}

func TestFeedbackMovesTheLimitOfOneMetric(t *testing.T) {
	cfg := Default()
	for _, tt := range []struct {
		name   string
		factor float64
		less   bool
	}{{"noise", 1.0 / 16, true}, {"useful", 4, false}} {
		t.Run(tt.name, func(t *testing.T) {
			k := New(&cfg, nil)
			k.sensors = []sensor{{name: "a.b", present: true}}
			said := &verdicts{{alone: part{evidence: 3}}}
			k.joint.insert(1, 1)
			plain := k.judge(k.combine(nil, said)).Score
			tuned := k.judge(k.combine(func(string) float64 { return tt.factor }, said)).Score
			other := k.judge(k.combine(func(metric string) float64 {
				if metric == "a.b" {
					return 1
				}
				return tt.factor
			}, said)).Score
			if tuned < plain != tt.less || tuned == plain || other != plain {
				t.Errorf("score %.3f, tuned %.3f, with another metric tuned %.3f", plain, tuned, other)
			}
		})
	}
}

func TestTheScoreSaysHowOftenThatIs(t *testing.T) {
	var b budget
	b.fit(alone, 0.25)
	if got := b.score(float64(b.level)); math.Abs(got-0.99) > 1e-4 {
		t.Errorf("the score at the budget is %.4f, want 0.99", got)
	}
	last := -1.0
	for x := 0.0; x < 12; x += 0.01 {
		got := b.score(x)
		if got < last || got < 0 || got > 1 {
			t.Fatalf("the score of %.2f is %.4f, that before %.4f", x, got, last)
		}
		last = got
	}
}
