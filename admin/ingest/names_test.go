package ingest

import (
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"kioskfleet/internal/protocol"
)

func TestEqualTextsAreOneString(t *testing.T) {
	table := newInternTable(14)
	text := []byte("ready")
	first := table.of(text)
	text[0] = 'R'
	if first != "ready" || table.of(text) != "Ready" {
		t.Errorf("interned %q", first)
	}
	if again := table.of([]byte("ready")); unsafe.StringData(again) != unsafe.StringData(first) {
		t.Error("the same text was allocated again")
	}
	if table.of(nil) != "" {
		t.Error("an empty text")
	}
}

// Two places for everything: whatever collides, texts stay what they are.
func TestATinyTableIsStillRight(t *testing.T) {
	table := newInternTable(1)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				want := fmt.Sprint("word", (i+g)%7)
				if got, ok := table.checked([]byte(want), func(s string) bool { return s != "word3" }); got != want || ok != (want != "word3") {
					t.Errorf("%q became %q, %v", want, got, ok)
				}
			}
		})
	}
	wg.Wait()
}

func TestKnownMetricsAreFoundInAnyOrder(t *testing.T) {
	metrics := protocol.Metrics()
	for step := 1; step < len(metrics); step++ {
		next := make([]int, len(catalogue))
		last := -1
		for i := range metrics {
			m := metrics[i*step%len(metrics)]
			for g := range catalogue {
				for _, f := range catalogue[g].fields {
					if f.metric != m.Name {
						continue
					}
					got, rank, ok := catalogue[g].metricOf([]byte(catalogue[g].name), []byte(f.name), &next[g])
					if got != m.Name || rank != f.rank || !ok {
						t.Fatalf("%s is %s, %d, %v", m.Name, got, rank, ok)
					}
					last = rank
				}
			}
		}
		if last < 0 {
			t.Fatal("nothing was looked up")
		}
	}
	var next int
	if got, rank, ok := catalogue[0].metricOf([]byte(catalogue[0].name), []byte("other"), &next); got != catalogue[0].name+".other" || rank != unranked || !ok {
		t.Errorf("an unknown field of a known group: %s, %d, %v", got, rank, ok)
	}
}

func TestRanksOrderAsNamesDo(t *testing.T) {
	var all []field
	for _, g := range catalogue {
		for _, f := range g.fields {
			all = append(all, field{metric: f.metric, rank: f.rank}, field{metric: f.metric + "x", rank: unranked})
		}
	}
	for i := range all {
		for j := range all {
			if got, want := all[i].compare(&all[j]), (&field{metric: all[i].metric, rank: unranked}).compare(&field{metric: all[j].metric, rank: unranked}); got < 0 != (want < 0) || got > 0 != (want > 0) {
				t.Errorf("%s and %s: %d, want %d", all[i].metric, all[j].metric, got, want)
			}
		}
	}
}
