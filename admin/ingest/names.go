package ingest

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"kioskfleet/internal/protocol"
)

// internTable hands out one string for equal texts, so that a fleet that says the same words in each
// reading does not allocate them each time. It has a fixed number of places, two for each text: what
// finds both taken replaces the second, so words that came early and often stay, and a kiosk that
// makes up new ones costs only itself. Safe for concurrent use; it never waits.
type internTable struct {
	seed   maphash.Seed
	places []atomic.Pointer[string]
}

// newInternTable returns a table with 1<<bits places.
func newInternTable(bits int) *internTable {
	return &internTable{seed: maphash.MakeSeed(), places: make([]atomic.Pointer[string], 1<<bits)}
}

// maxInterned bounds, in bytes, what a place holds on to.
const maxInterned = 96

// of returns text as a string that keeps nothing of it.
func (t *internTable) of(text []byte) string {
	s, _ := t.checked(text, nil)
	return s
}

// checked is of for texts that must pass a check; what is in the table has passed it.
func (t *internTable) checked(text []byte, check func(string) bool) (s string, ok bool) {
	if len(text) == 0 || len(text) > maxInterned {
		s = string(text)
		return s, check == nil || check(s)
	}
	hash := maphash.Bytes(t.seed, text)
	mask := uint64(len(t.places) - 1)
	first, second := &t.places[hash&mask], &t.places[hash>>32&mask]
	for _, place := range [2]*atomic.Pointer[string]{first, second} {
		if known := place.Load(); known != nil && *known == string(text) {
			return *known, true
		}
	}
	fresh := string(text)
	if check != nil && !check(fresh) {
		return fresh, false
	}
	if !first.CompareAndSwap(nil, &fresh) {
		second.Store(&fresh)
	}
	return fresh, true
}

// The tables of the process. They hold nothing but texts that were seen, so nobody can tell that they
// are shared; at most about 12 MB, and as a rule far less.
var (
	metricNames = newInternTable(14) // group.field that the catalogue does not know, valid
	words       = newInternTable(14) // textual metrics and states
	identities  = newInternTable(16) // serials, sites and connections of journal records
)

// maxWord bounds the texts of kiosks that are kept as words, in bytes. Longer ones hardly come again.
const maxWord = 32

// wordOf returns a text of a kiosk as a string that keeps nothing of it.
func wordOf(text []byte) string {
	if len(text) > maxWord {
		return string(text)
	}
	return words.of(text)
}

// knownGroup is a group of the catalogue.
type knownGroup struct {
	name   string
	fields []knownField
}

// knownField is a metric of the catalogue. Ranks order metrics as their names do.
type knownField struct {
	name   string
	metric string
	rank   int
}

// unranked is the rank of metrics that the catalogue does not know.
const unranked = -1

var catalogue = knownGroups()

func knownGroups() []knownGroup {
	metrics := protocol.Metrics()
	sorted := slices.SortedFunc(slices.Values(metrics), func(a, b protocol.Metric) int { return strings.Compare(a.Name, b.Name) })
	var groups []knownGroup
	for _, m := range metrics {
		group, field, _ := strings.Cut(m.Name, ".")
		i := slices.IndexFunc(groups, func(g knownGroup) bool { return g.name == group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, knownGroup{name: group})
		}
		rank := slices.IndexFunc(sorted, func(s protocol.Metric) bool { return s.Name == m.Name })
		groups[i].fields = append(groups[i].fields, knownField{name: field, metric: m.Name, rank: rank})
	}
	return groups
}

// knownGroupOf returns the place of a group in the catalogue, or -1.
func knownGroupOf(name []byte) int {
	for i := range catalogue {
		if catalogue[i].name == string(name) {
			return i
		}
	}
	return -1
}

// maxMetricBytes is more than any valid metric name has.
const maxMetricBytes = 128

// metricOf returns the metric of a field. Kiosks send fields in the order of the catalogue as a rule, so
// the search begins with the field after the last.
func (g *knownGroup) metricOf(group, field []byte, next *int) (metric string, rank int, ok bool) {
	if g != nil {
		for range g.fields {
			f := &g.fields[*next]
			if *next++; *next == len(g.fields) {
				*next = 0
			}
			if f.name == string(field) {
				return f.metric, f.rank, true
			}
		}
	}
	if len(group)+len(field) >= maxMetricBytes {
		return "", unranked, false
	}
	var buf [maxMetricBytes]byte
	name := append(append(append(buf[:0], group...), '.'), field...)
	metric, ok = metricNames.checked(name, protocol.ValidMetricName)
	return metric, unranked, ok
}
