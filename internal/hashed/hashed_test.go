package hashed

import (
	"math"
	"testing"
)

// moments returns mean and variance of n values.
func moments(n int, value func(i uint64) float64) (mean, variance float64) {
	for i := range n {
		x := value(uint64(i))
		mean += x
		variance += x * x
	}
	mean /= float64(n)
	return mean, variance/float64(n) - mean*mean
}

func TestDistributions(t *testing.T) {
	const n = 200_000
	tests := []struct {
		name           string
		value          func(i uint64) float64
		mean, variance float64
	}{
		{"uniform", func(i uint64) float64 { return Uniform(Of(1, i)) }, 0.5, 1.0 / 12},
		{"between", func(i uint64) float64 { return Between(Of(2, i), -2, 4) }, 1, 3},
		{"normal", func(i uint64) float64 { return Normal(Of(3, i)) }, 0, 1},
		{"poisson 0.3", func(i uint64) float64 { return float64(Poisson(Of(4, i), 0.3)) }, 0.3, 0.3},
		{"poisson 7", func(i uint64) float64 { return float64(Poisson(Of(5, i), 7)) }, 7, 7},
		{"poisson 90", func(i uint64) float64 { return float64(Poisson(Of(6, i), 90)) }, 90, 90},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mean, variance := moments(n, test.value)
			if off := math.Abs(mean - test.mean); off > 5*math.Sqrt(test.variance/n) {
				t.Errorf("mean is %v, want %v", mean, test.mean)
			}
			if ratio := variance / test.variance; ratio < 0.98 || ratio > 1.02 {
				t.Errorf("variance is %v, want %v", variance, test.variance)
			}
		})
	}
}

func TestPoissonOfImpossibleMeansIsZero(t *testing.T) {
	for _, mean := range []float64{0, -1, math.NaN()} {
		if n := Poisson(Of(1), mean); n != 0 {
			t.Errorf("mean %v gives %d", mean, n)
		}
	}
	if n := Poisson(Of(1), math.Inf(1)); n > 2000 {
		t.Errorf("an infinite mean gives %d", n)
	}
}

func TestNeighboursAreIndependent(t *testing.T) {
	const n = 100_000
	sum := 0.0
	for i := range uint64(n) {
		sum += (Uniform(Of(9, i)) - 0.5) * (Uniform(Of(9, i+1)) - 0.5) * 12
	}
	if r := sum / n; math.Abs(r) > 0.015 {
		t.Errorf("correlation of neighbours is %v", r)
	}
	if Of(1, 2) == Of(2, 1) {
		t.Error("the order of the parts does not matter")
	}
	if Text("a") == Text("b") {
		t.Error("two texts have one number")
	}
}
