package rule

import (
	"slices"
	"strings"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// Set is a number of rules that finds those of a kiosk without trying each. It is never changed.
type Set struct {
	all      []*Compiled
	platform []*Compiled

	// Rules that are not the platform's, by their place in all, found by the narrowest list of their scope that holds
	// no pattern: exact serials, sites, tags or models. The others have to be tried.
	serials, sites, tags, models map[string][]int
	others                       []int
}

// NewSet returns a set of those rules that are not switched off, in the order of their names.
func NewSet(rules []*Compiled) *Set {
	s := &Set{serials: map[string][]int{}, sites: map[string][]int{}, tags: map[string][]int{}, models: map[string][]int{}}
	for _, r := range rules {
		if !r.rule.Disabled {
			s.all = append(s.all, r)
		}
	}
	slices.SortStableFunc(s.all, func(a, b *Compiled) int { return strings.Compare(a.rule.Name, b.rule.Name) })
	for i, r := range s.all {
		if r.AboutPlatform() {
			s.platform = append(s.platform, r)
		} else {
			s.place(i, &r.rule.Scope)
		}
	}
	return s
}

// place puts a rule where the kiosks of its scope find it.
func (s *Set) place(i int, scope *fleet.RuleScope) {
	for _, way := range []struct {
		globs []string
		index map[string][]int
	}{{scope.Serials, s.serials}, {scope.Sites, s.sites}, {scope.Tags, s.tags}, {scope.Models, s.models}} {
		if len(way.globs) == 0 || slices.ContainsFunc(way.globs, func(glob string) bool { return strings.ContainsAny(glob, `*?[\`) }) {
			continue
		}
		for _, name := range way.globs {
			way.index[name] = append(way.index[name], i)
		}
		return
	}
	s.others = append(s.others, i)
}

// All returns the rules of the set. Nobody may change the slice.
func (s *Set) All() []*Compiled { return s.all }

// Find returns the rules whose scope a kiosk is in, those of the platform for nil.
func (s *Set) Find(k *fleet.Kiosk) []*Compiled {
	if k == nil {
		return s.platform
	}
	candidates := slices.Concat(s.others, s.serials[k.Serial], s.sites[k.Site], s.models[k.Model])
	for _, tag := range k.Tags {
		candidates = append(candidates, s.tags[tag]...)
	}
	slices.Sort(candidates)
	var out []*Compiled
	for _, i := range slices.Compact(candidates) {
		if r := s.all[i]; matcher.Covers(&r.rule.Scope, k) {
			out = append(out, r)
		}
	}
	return out
}
