package availability

import (
	"fmt"
	"testing"
	"time"
)

// spellsOf returns spells of n kiosks, each of them of hours and kinds of its own; every third is of two weeks.
func spellsOf(n int) map[string][]spell {
	const hour = 4 * quarter
	out := map[string][]spell{}
	for i := range n {
		from := int64(2900*weekLong + (i%100+1)*hour)
		s := spell{kind: kind(i % kinds), site: "gate", from: from, to: from + hour}
		if i%3 == 0 {
			s.to = from + weekLong
		}
		out[fmt.Sprintf("K-%03d", i)] = []spell{s}
	}
	return out
}

func TestWeeksOfOneKioskHoldNothingOfAnothers(t *testing.T) {
	b := &Book{cfg: Config{Store: &memory{}}}
	spells := spellsOf(30)
	found, err := b.weeks(t.Context(), spells)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 40 {
		t.Errorf("%d weeks, want 20 kiosks with one and 10 with two", len(found))
	}
	for _, w := range found {
		s := spells[w.Serial][0]
		var want week
		want.add(s.kind, s.from-w.Week*weekLong, s.to-w.Week*weekLong)
		if string(w.Data) != string(want.encode()) {
			t.Errorf("week %d of %s is not what %v makes", w.Week, w.Serial, s)
		}
	}
}

// BenchmarkWeeks packs the weeks of 500 kiosks, which is one transaction.
func BenchmarkWeeks(b *testing.B) {
	book := &Book{cfg: Config{Store: &memory{}, Now: time.Now}}
	spells := spellsOf(flushAtOnce)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.weeks(b.Context(), spells); err != nil {
			b.Fatal(err)
		}
	}
}
