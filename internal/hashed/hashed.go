// Package hashed gives repeatable random values that need no state: each is a function of the numbers
// it is drawn for, so that any of them can be had in any order.
package hashed

import "math"

// Of mixes numbers into one. It is not for secrets.
//
// Source: the finalizer of SplitMix64; Steele, Lea, Flood, Fast Splittable Pseudorandom Number
// Generators, 2014.
func Of(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h = mix(h ^ mix(p+0x9e3779b97f4a7c15))
	}
	return h
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Text turns a text into a number (FNV-1a, 64 bits).
func Text(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// Uniform turns a number into one of [0, 1).
func Uniform(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// Normal turns a number into a standard normal value, by the Box–Muller transform.
func Normal(h uint64) float64 {
	u, v := Uniform(h), Uniform(mix(h+1))
	return math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*v)
}

// Between turns a number into one of [low, high).
func Between(h uint64, low, high float64) float64 { return low + (high-low)*Uniform(h) }

// Poisson turns a number into a count of the given mean, which it bounds to 500.
//
// Source: inversion by sequential search; L. Devroye, Non-Uniform Random Variate Generation, 1986, X.3.
func Poisson(h uint64, mean float64) int {
	if !(mean > 0) {
		return 0
	}
	mean = min(mean, 500)
	u, n, p := Uniform(h), 0, math.Exp(-mean)
	for u >= p && n < 2000 {
		u -= p
		n++
		p *= mean / float64(n)
	}
	return n
}
