package promapi

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"kioskfleet/admin/fleet"
)

// TestMatchersOnModel compares the answers for every kind of matcher with what the labels themselves say.
func TestMatchersOnModel(t *testing.T) {
	store := &modelled{Queryable: newStore(t), kiosks: func() []*fleet.Kiosk { return kiosks }}
	q, err := store.Querier(noon.UnixMilli(), noon.UnixMilli()+3_600_000)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	byName := labels.MustNewMatcher(labels.MatchEqual, "__name__", "kiosk_custom_doors")
	all := list(t, q.Select(t.Context(), true, nil, byName))
	if len(all) != 5 {
		t.Fatalf("%d series, want 5", len(all))
	}
	for _, operator := range []labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp} {
		for _, value := range []string{"", "Tower 32", "Tower 24", "Desk", "unknown", "Tower.*", ".*", ".+", "Tower 32|", "Tower 32|Desk"} {
			m, err := labels.NewMatcher(operator, labelModel, value)
			if err != nil {
				t.Fatal(err)
			}
			notK1 := labels.MustNewMatcher(labels.MatchNotEqual, "serial", "K-1")
			for _, matchers := range [][]*labels.Matcher{{byName, m}, {m, notK1, byName}, {m, byName, labels.MustNewMatcher(labels.MatchNotEqual, labelModel, "Tower 24")}} {
				want := slices.Clone(all)
				for _, one := range matchers {
					want = slices.DeleteFunc(want, func(l labels.Labels) bool { return !one.Matches(l.Get(one.Name)) })
				}
				for _, sorted := range []bool{true, false} {
					got := list(t, q.Select(t.Context(), sorted, nil, matchers...))
					if !sorted {
						slices.SortFunc(got, labels.Compare)
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%v: got %v, want %v", matchers, got, want)
					}
				}
				for _, name := range []string{"serial", "model", "site"} {
					var values []string
					for _, l := range want {
						if v := l.Get(name); v != "" {
							values = append(values, v)
						}
					}
					slices.Sort(values)
					values = slices.Compact(values)
					got, _, err := q.LabelValues(t.Context(), name, nil, matchers...)
					if err != nil || fmt.Sprint(got) != fmt.Sprint(values) {
						t.Errorf("%s for %v: got %v, %v, want %v", name, matchers, got, err, values)
					}
				}
				got, _, err := q.LabelNames(t.Context(), nil, matchers...)
				hasModel := slices.ContainsFunc(want, func(l labels.Labels) bool { return l.Has(labelModel) })
				if err != nil || slices.Contains(got, labelModel) != hasModel || !slices.IsSorted(got) || (len(want) > 0) != (len(got) > 0) {
					t.Errorf("names for %v: got %v, %v", matchers, got, err)
				}
			}
		}
	}
}

// list returns the labels of a set's series, and fails when they are out of order within a sorted set.
func list(t *testing.T, set storage.SeriesSet) []labels.Labels {
	t.Helper()
	var all []labels.Labels
	for set.Next() {
		all = append(all, set.At().Labels())
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOneQuerySeesOneRegistry(t *testing.T) {
	now := kiosks
	store := &modelled{Queryable: newStore(t), kiosks: func() []*fleet.Kiosk { return now }}
	q, err := store.Querier(noon.UnixMilli(), noon.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	byName := labels.MustNewMatcher(labels.MatchEqual, "__name__", "kiosk_custom_doors")
	before := list(t, q.Select(t.Context(), true, nil, byName))
	now = nil
	if after := list(t, q.Select(t.Context(), true, nil, byName)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %v, had %v", after, before)
	}
}

// BenchmarkSelectByModel selects half of 15,000 kiosks by their model.
func BenchmarkSelectByModel(b *testing.B) {
	var many []*fleet.Kiosk
	for i := range 15_000 {
		many = append(many, &fleet.Kiosk{Serial: fmt.Sprintf("SIM-KIOSK-%05d", i), Model: []string{"Tower 32", "Tower 24"}[i%2]})
	}
	store := &modelled{Queryable: newStore(b), kiosks: func() []*fleet.Kiosk { return many }}
	matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labelModel, "Tower 32"), labels.MustNewMatcher(labels.MatchEqual, "__name__", "kiosk_custom_doors")}
	b.ReportAllocs()
	for b.Loop() {
		q, err := store.Querier(noon.UnixMilli(), noon.UnixMilli()+3_600_000)
		if err != nil {
			b.Fatal(err)
		}
		for set := q.Select(b.Context(), true, nil, matchers...); set.Next(); {
		}
		q.Close()
	}
}
