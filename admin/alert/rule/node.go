package rule

import (
	"cmp"
	"math"
	"strings"
	"time"
)

// node is one part of a condition, ready to be asked. Only the function of its kind is set. The second result of
// number, text and list is false when a value is missing.
type node struct {
	kind   Kind
	number func(v *View) (float64, bool)
	text   func(v *View) (string, bool)
	list   func(v *View) ([]string, bool)
	truth  func(v *View) Truth
	metric string // it is that one value, as it was reported; for has and rate
	words  []string
	fixed  string // it is this literal text
}

func truthOf(holds bool) Truth {
	if holds {
		return True
	}
	return False
}

// The operators below are those of Kleene's logic: what is unknown decides nothing unless the other side does not
// matter.
//
// Source: S. C. Kleene, Introduction to Metamathematics, 1952, § 64.

func not(a *node) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		switch a.truth(v) {
		case True:
			return False
		case False:
			return True
		}
		return Unknown
	}}
}

func and(a, b *node) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		first := a.truth(v)
		if first == False {
			return False
		}
		second := b.truth(v)
		switch {
		case second == False:
			return False
		case first == True && second == True:
			return True
		}
		return Unknown
	}}
}

func or(a, b *node) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		first := a.truth(v)
		if first == True {
			return True
		}
		second := b.truth(v)
		switch {
		case second == True:
			return True
		case first == False && second == False:
			return False
		}
		return Unknown
	}}
}

// compare makes a comparison of two numbers or two texts.
func compare(operator string, a, b *node) *node {
	var holds func(order int) bool
	switch operator {
	case "==":
		holds = func(o int) bool { return o == 0 }
	case "!=":
		holds = func(o int) bool { return o != 0 }
	case "<":
		holds = func(o int) bool { return o < 0 }
	case "<=":
		holds = func(o int) bool { return o <= 0 }
	case ">":
		holds = func(o int) bool { return o > 0 }
	default:
		holds = func(o int) bool { return o >= 0 }
	}
	if a.kind == KindNumber {
		return &node{kind: KindTruth, truth: func(v *View) Truth {
			x, ok := a.number(v)
			if !ok {
				return Unknown
			}
			y, ok := b.number(v)
			if !ok || math.IsNaN(x) || math.IsNaN(y) {
				return Unknown
			}
			return truthOf(holds(cmp.Compare(x, y)))
		}}
	}
	return compareTexts(a, b, func(x, y string) bool { return holds(strings.Compare(x, y)) })
}

func compareTexts(a, b *node, holds func(x, y string) bool) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		x, ok := a.text(v)
		if !ok {
			return Unknown
		}
		y, ok := b.text(v)
		if !ok {
			return Unknown
		}
		return truthOf(holds(x, y))
	}}
}

// sameTruth compares two truths.
func sameTruth(a, b *node, equal bool) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		x, y := a.truth(v), b.truth(v)
		if x == Unknown || y == Unknown {
			return Unknown
		}
		return truthOf((x == y) == equal)
	}}
}

// arithmetic makes a sum, difference, product, quotient, remainder or power. A result that is no number is missing.
func arithmetic(operator string, a, b *node) *node {
	var f func(x, y float64) float64
	switch operator {
	case "+":
		f = func(x, y float64) float64 { return x + y }
	case "-":
		f = func(x, y float64) float64 { return x - y }
	case "*":
		f = func(x, y float64) float64 { return x * y }
	case "/":
		f = func(x, y float64) float64 { return x / y }
	case "%":
		f = math.Mod
	default:
		f = math.Pow
	}
	return numbers(f, a, b)
}

// numbers applies a function of two numbers.
func numbers(f func(x, y float64) float64, a, b *node) *node {
	return &node{kind: KindNumber, number: func(v *View) (float64, bool) {
		x, ok := a.number(v)
		if !ok {
			return 0, false
		}
		y, ok := b.number(v)
		if !ok {
			return 0, false
		}
		return finite(f(x, y))
	}}
}

// numberOf applies a function of one number.
func numberOf(f func(x float64) float64, a *node) *node {
	return &node{kind: KindNumber, number: func(v *View) (float64, bool) {
		x, ok := a.number(v)
		if !ok {
			return 0, false
		}
		return finite(f(x))
	}}
}

func finite(x float64) (float64, bool) { return x, !math.IsNaN(x) && !math.IsInf(x, 0) }

// orElse gives the second value where the first is missing.
func orElse(a, b *node) *node {
	out := &node{kind: a.kind}
	switch a.kind {
	case KindNumber:
		out.number = func(v *View) (float64, bool) {
			if x, ok := a.number(v); ok {
				return x, true
			}
			return b.number(v)
		}
	case KindText:
		out.text = func(v *View) (string, bool) {
			if x, ok := a.text(v); ok {
				return x, true
			}
			return b.text(v)
		}
	case KindTruth:
		out.truth = func(v *View) Truth {
			if x := a.truth(v); x != Unknown {
				return x
			}
			return b.truth(v)
		}
	default:
		out.list = func(v *View) ([]string, bool) {
			if x, ok := a.list(v); ok {
				return x, true
			}
			return b.list(v)
		}
	}
	return out
}

// either gives one of two values of a kind by a condition.
func either(when, a, b *node) *node {
	out := &node{kind: a.kind}
	switch a.kind {
	case KindNumber:
		out.number = func(v *View) (float64, bool) {
			switch when.truth(v) {
			case True:
				return a.number(v)
			case False:
				return b.number(v)
			}
			return 0, false
		}
	case KindText:
		out.text = func(v *View) (string, bool) {
			switch when.truth(v) {
			case True:
				return a.text(v)
			case False:
				return b.text(v)
			}
			return "", false
		}
	default:
		out.truth = func(v *View) Truth {
			switch when.truth(v) {
			case True:
				return a.truth(v)
			case False:
				return b.truth(v)
			}
			return Unknown
		}
	}
	return out
}

// has tells whether a value is there.
func has(a *node) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		ok := false
		switch a.kind {
		case KindNumber:
			_, ok = a.number(v)
		case KindText:
			_, ok = a.text(v)
		case KindTruth:
			ok = a.truth(v) != Unknown
		case KindList:
			_, ok = a.list(v)
		}
		return truthOf(ok)
	}}
}

// metricOf gives a reported value as a number or a text.
func metricOf(name string, kind Kind) *node {
	n := &node{kind: kind, metric: name}
	if kind == KindText {
		n.text = func(v *View) (string, bool) {
			if v.Reading == nil {
				return "", false
			}
			return v.Reading.Text(name)
		}
		return n
	}
	n.number = func(v *View) (float64, bool) {
		if v.Reading == nil {
			return 0, false
		}
		return v.Reading.Value(name)
	}
	return n
}

// derivedOf gives a computed value.
func derivedOf(name string) *node {
	return &node{kind: KindNumber, metric: name, number: func(v *View) (float64, bool) {
		if v.Derived == nil {
			return 0, false
		}
		return v.Derived.Value(name)
	}}
}

// rateOf gives by how much a metric changes an hour.
func rateOf(metric string, window time.Duration) *node {
	return &node{kind: KindNumber, number: func(v *View) (float64, bool) {
		if v.Rates == nil {
			return 0, false
		}
		return v.Rates.Rate(metric, window)
	}}
}
