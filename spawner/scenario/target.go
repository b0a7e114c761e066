package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kioskfleet/internal/hashed"
	"kioskfleet/spawner/roster"
)

// target says which kiosks something is about: those that are all it says, and of these a number or a
// part that is drawn by the seed. The zero value is everyone.
type target struct {
	fleets, sites, models, tags, serials []named
	countAt                              place
	count                                int     // 0: no bound
	share                                float64 // 0..1; 0: all
	draw                                 string  // the same word draws the same kiosks
}

// named is a value with its place in the file.
type named struct {
	place
	value string
}

// member is a kiosk that takes part.
type member struct {
	roster.Kiosk
	fleet string
}

// cast is who takes part, with the names that targets may use.
type cast struct {
	members                              []member
	fleets, sites, models, tags, serials map[string]bool // serials nil: not known yet
}

func castOf(members []member) *cast {
	c := &cast{members: members, fleets: map[string]bool{}, sites: map[string]bool{}, models: map[string]bool{}, tags: map[string]bool{}, serials: map[string]bool{}}
	note := func(names map[string]bool, name string) {
		if name != "" {
			names[name] = true
		}
	}
	for _, m := range members {
		note(c.fleets, m.fleet)
		note(c.sites, m.Site)
		note(c.models, m.Model)
		for _, tag := range m.Tags {
			note(c.tags, tag)
		}
		note(c.serials, m.Serial)
	}
	return c
}

// target reads whom something is about. Key is what draws the kiosks unless the file says another word.
func (p *parser) target(n *yaml.Node, key string) target {
	t := target{draw: key}
	names := func(what string, out *[]named) func(*yaml.Node) {
		return func(n *yaml.Node) {
			one := func(c *yaml.Node) {
				if v := p.text(c, what, maxName); v != "" {
					if slices.ContainsFunc(*out, func(other named) bool { return other.value == v }) {
						p.fail(placeOf(c), "%s is listed twice", v)
					}
					*out = append(*out, named{placeOf(c), v})
				}
			}
			if n.Kind == yaml.SequenceNode {
				p.list(n, what, maxItems, one)
				return
			}
			one(n)
		}
	}
	p.object(n, "of", fields{
		"fleet": names("fleet", &t.fleets), "site": names("site", &t.sites), "model": names("model", &t.models),
		"tag": names("tag", &t.tags), "serials": names("serials", &t.serials),
		"count": func(n *yaml.Node) { t.count, t.countAt = p.integer(n, "count", 1, maxKiosks), placeOf(n) },
		"share": func(n *yaml.Node) { t.share = p.share(n, "share") },
		"draw":  func(n *yaml.Node) { t.draw = "word " + p.text(n, "draw", maxName) },
	})
	if t.count != 0 && t.share != 0 {
		p.fail(t.countAt, "of: count and share exclude each other")
	}
	return t
}

// check names what no kiosk of the cast is.
func (t *target) check(p *parser, c *cast) {
	before := len(p.faults)
	names := func(what string, wanted []named, known map[string]bool) {
		for _, w := range wanted {
			if !known[w.value] {
				p.fail(w.place, "unknown %s %s", what, unknown(w.value, slices.Sorted(maps.Keys(known))))
			}
		}
	}
	names("fleet", t.fleets, c.fleets)
	names("site", t.sites, c.sites)
	names("model", t.models, c.models)
	names("tag", t.tags, c.tags)
	if c.serials != nil {
		names("serial", t.serials, c.serials)
	}
	if len(p.faults) > before || c.serials == nil && len(t.serials) > 0 {
		return
	}
	switch n := len(t.matching(c.members)); {
	case n == 0:
		p.fail(t.first(), "no kiosk is all of this: %s", t)
	case t.count > n:
		p.fail(t.countAt, "count: want %d kiosks of %d", t.count, n)
	}
}

// first is where the target's first criterion stands.
func (t *target) first() place {
	var at place
	for _, criterion := range [][]named{t.fleets, t.sites, t.models, t.tags, t.serials} {
		for _, n := range criterion {
			if at == (place{}) || n.line < at.line || n.line == at.line && n.column < at.column {
				at = n.place
			}
		}
	}
	return at
}

// String says the criteria.
func (t *target) String() string {
	var parts []string
	add := func(what string, criterion []named) {
		for _, n := range criterion {
			parts = append(parts, what+" "+n.value)
		}
	}
	add("fleet", t.fleets)
	add("site", t.sites)
	add("model", t.models)
	add("tag", t.tags)
	add("serial", t.serials)
	return strings.Join(parts, ", ")
}

// matching returns the indexes of the kiosks that are all the target says.
func (t *target) matching(members []member) []int {
	is := func(criterion []named, values ...string) bool {
		return len(criterion) == 0 || slices.ContainsFunc(criterion, func(n named) bool { return slices.Contains(values, n.value) })
	}
	var serials map[string]bool // there may be many
	if len(t.serials) > 0 {
		serials = make(map[string]bool, len(t.serials))
		for _, n := range t.serials {
			serials[n.value] = true
		}
	}
	var out []int
	for i := range members {
		m := &members[i]
		if is(t.fleets, m.fleet) && is(t.sites, m.Site) && is(t.models, m.Model) && is(t.tags, m.Tags...) && (serials == nil || serials[m.Serial]) {
			out = append(out, i)
		}
	}
	return out
}

// choose returns the indexes of the kiosks that the target is about, in their order. Of one draw, a
// smaller number is a part of a greater one.
func (t *target) choose(seed uint64, members []member) []int {
	all := t.matching(members)
	n := len(all)
	switch {
	case t.count > 0:
		n = min(n, t.count)
	case t.share > 0:
		n = min(n, max(1, int(math.Round(t.share*float64(n)))))
	}
	if n == len(all) {
		return all
	}
	key := hashed.Of(seed, hashed.Text(t.draw))
	rank := make(map[int]uint64, len(all))
	for _, i := range all {
		rank[i] = hashed.Of(key, hashed.Text(members[i].Serial))
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
	all = all[:n]
	slices.Sort(all)
	return all
}

// drawKey is what draws the kiosks of something that names no draw: each is drawn anew.
func drawKey(phase int, what string, item int) string {
	return fmt.Sprintf("%s %d of phase %d", what, item+1, phase+1)
}
