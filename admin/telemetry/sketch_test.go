package telemetry

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestASketchIsAtMostOnePerCentOff(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func() float64{
		"about 50":       func() float64 { return 50 + 10*random.NormFloat64() },
		"negative":       func() float64 { return -60 + 5*random.NormFloat64() },
		"about 0":        func() float64 { return random.NormFloat64() },
		"many sizes":     func() float64 { return math.Exp(20 * random.NormFloat64()) },
		"mostly nothing": func() float64 { return max(0, random.Float64()-0.9) },
		"one value":      func() float64 { return 42 },
		"tiny":           func() float64 { return math.SmallestNonzeroFloat64 },
		"nearly tiny":    func() float64 { return 1e-310 * (1 + random.Float64()) },
		"extremes": func() float64 {
			return []float64{-math.MaxFloat64, math.MaxFloat64, math.SmallestNonzeroFloat64}[random.IntN(3)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 19, 20, 21, 1000} {
				var whole, merged Sketch
				var values []float64
				for range 4 {
					var part Sketch
					for range n {
						v := next()
						values = append(values, v)
						whole.Add(v)
						part.Add(v)
					}
					merged.Merge(&part)
				}
				text, err := merged.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				var read Sketch
				if err := read.UnmarshalBinary(text); err != nil {
					t.Fatal(err)
				}
				exact := percentile95(values)
				for what, s := range map[string]*Sketch{"whole": &whole, "merged": &merged, "read": &read} {
					if got := s.P95(); math.Abs(got-exact) > 0.0100001*math.Abs(exact) || s.Count() != int64(len(values)) {
						t.Errorf("%s of %d values: %v, exactly %v", what, s.Count(), got, exact)
					}
				}
			}
		})
	}
	if got := (&Sketch{}).P95(); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func FuzzSketch(f *testing.F) {
	var s Sketch
	for i := range 100 {
		s.Add(float64(i - 20))
	}
	text, err := s.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{})
	f.Add([]byte{0, 255, 255, 255, 255, 15, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Sketch
		if s.UnmarshalBinary(text) == nil {
			if p := s.P95(); math.IsNaN(p) || math.IsInf(p, 0) {
				t.Errorf("p95 is %v", p)
			}
		}
	})
}
