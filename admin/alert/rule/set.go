package rule

import (
	"slices"
	"strings"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// Set is a number of rules that finds those of a kiosk. It is never changed.
type Set struct {
	all      []*Compiled
	platform []*Compiled
	kiosks   []*Compiled // rules that are not the platform's
}

// NewSet returns a set of those rules that are not switched off, in the order of their names.
func NewSet(rules []*Compiled) *Set {
	s := &Set{}
	for _, r := range rules {
		if !r.rule.Disabled {
			s.all = append(s.all, r)
		}
	}
	slices.SortStableFunc(s.all, func(a, b *Compiled) int { return strings.Compare(a.rule.Name, b.rule.Name) })
	for _, r := range s.all {
		if r.AboutPlatform() {
			s.platform = append(s.platform, r)
		} else {
			s.kiosks = append(s.kiosks, r)
		}
	}
	return s
}

// All returns the rules of the set. Nobody may change the slice.
func (s *Set) All() []*Compiled { return s.all }

// Find returns the rules whose scope a kiosk is in, those of the platform for nil, by trying each.
func (s *Set) Find(k *fleet.Kiosk) []*Compiled {
	if k == nil {
		return s.platform
	}
	var out []*Compiled
	for _, r := range s.kiosks {
		if matcher.Covers(&r.rule.Scope, k) {
			out = append(out, r)
		}
	}
	return out
}
