package detect_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"kioskfleet/admin/anomaly/detect"
)

func TestATailKnowsHowRareAValueIs(t *testing.T) {
	for name, c := range map[string]struct {
		draw func(r *rand.Rand) float64
		v    float64
		want float64 // -log10 of the probability
		off  float64 // at most
	}{
		"the middle of a normal one":       {func(r *rand.Rand) float64 { return math.Abs(r.NormFloat64()) }, 0.6745, 0.30, 0.03},
		"95% of a normal one":              {func(r *rand.Rand) float64 { return math.Abs(r.NormFloat64()) }, 1.96, 1.30, 0.05},
		"once in 10,000 of a normal one":   {func(r *rand.Rand) float64 { return math.Abs(r.NormFloat64()) }, 3.89, 4, 0.6},
		"once in 1,000 of exponential one": {func(r *rand.Rand) float64 { return r.ExpFloat64() }, 6.91, 3, 0.2},
		"never seen, exponential":          {func(r *rand.Rand) float64 { return r.ExpFloat64() }, 16.1, 7, 1.5},
		"once in 10,000, long tail":        {func(r *rand.Rand) float64 { return math.Pow(r.Float64(), -1./3) - 1 }, math.Pow(1e-4, -1./3) - 1, 4, 0.7},
		"more than all":                    {func(*rand.Rand) float64 { return 1 }, 0, 0, 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var tail detect.Tail
			for range 20000 {
				tail.Learn(c.draw(r), 50000)
			}
			if got := tail.Evidence(c.v); math.Abs(got-c.want) > c.off {
				t.Errorf("%.2f, want %.2f", got, c.want)
			}
		})
	}
}

func TestATailSaysWhatHasSomeEvidence(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"exponential": func(r *rand.Rand) float64 { return r.ExpFloat64() },
		"long tail":   func(r *rand.Rand) float64 { return math.Pow(r.Float64(), -1./3) - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var tail detect.Tail
			if v := tail.At(4); !math.IsInf(v, 1) {
				t.Errorf("%v, though nothing was learnt", v)
			}
			for range 20000 {
				tail.Learn(draw(r), 50000)
			}
			for _, want := range []float64{2, 3, 4, 6} {
				if got := tail.Evidence(tail.At(want)); math.Abs(got-want) > 0.01 {
					t.Errorf("the evidence of the value with %v is %.3f", want, got)
				}
			}
		})
	}
}

func TestATailForgets(t *testing.T) {
	var tail detect.Tail
	for range 1000 {
		tail.Learn(10, 1000)
	}
	for range 8000 {
		tail.Learn(0.5, 1000)
	}
	if e := tail.Evidence(10); e < 2 {
		t.Errorf("evidence is %.1f of what was usual long ago", e)
	}
}

func TestATailGrowsWithTheValue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tail detect.Tail
	for i := range 3000 {
		tail.Learn(math.Abs(r.NormFloat64()), 1000)
		if i%100 != 0 {
			continue
		}
		last := 0.0
		for v := 0.01; v < 200; v *= 1.1 {
			e := tail.Evidence(v)
			if e < last-0.02 {
				t.Fatalf("after %d values: %.3f at %.2f, less than %.3f before", i, e, v, last)
			}
			last = e
		}
	}
}
