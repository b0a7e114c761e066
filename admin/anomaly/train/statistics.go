package train

import (
	"math"
	"slices"
)

// median returns the middle value; NaN of none. It sorts its argument.
func median(x []float64) float64 {
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// binomialTail returns the probability of at least k successes in n trials of a fair coin.
//
// Source: the sign test; J. V. Bradley, Distribution-free Statistical Tests, 1968. By McNemar (Psychometrika 12, 1947)
// it compares two models on the same faults: only those count that one found and the other did not.
func binomialTail(k, n int) float64 {
	if k <= 0 {
		return 1
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(logChoose(n, i) - float64(n)*math.Ln2)
	}
	return min(sum, 1)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
