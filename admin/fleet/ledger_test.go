package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

var ledgerStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// book books readings written as session and numbers, and dropped ranges written as session and -from, to.
func book(l *Ledger, session string, seqs ...uint64) {
	for _, seq := range seqs {
		l.Book(&Reading{Session: session, Seq: seq, ReceivedAt: ledgerStart, Values: []Value{{"a.b", 1}}})
	}
}

func drop(l *Ledger, session string, from, to uint64) {
	l.Book(&Reading{ReceivedAt: ledgerStart, Dropped: []protocol.SeqRange{{Session: session, From: from, To: to}}})
}

func TestTheLedgerCounts(t *testing.T) {
	tests := map[string]struct {
		do   func(l *Ledger)
		want LedgerCounts
	}{
		"nothing":  {func(*Ledger) {}, LedgerCounts{}},
		"in order": {func(l *Ledger) { book(l, "a", 1, 2, 3) }, LedgerCounts{Received: 3}},
		"a gap":    {func(l *Ledger) { book(l, "a", 1, 2, 5) }, LedgerCounts{Received: 3, Missing: 2}},
		"a gap that is filled, out of order": {
			func(l *Ledger) { book(l, "a", 1, 5, 4, 2, 3) }, LedgerCounts{Received: 5}},
		"duplicates":                           {func(l *Ledger) { book(l, "a", 1, 2, 2, 1, 3) }, LedgerCounts{Received: 3, Duplicated: 2}},
		"the first session may begin anywhere": {func(l *Ledger) { book(l, "a", 7, 8) }, LedgerCounts{Received: 2}},
		"and earlier ones may follow":          {func(l *Ledger) { book(l, "a", 7, 5) }, LedgerCounts{Received: 2, Missing: 1}},
		"a later session begins with 1": {
			func(l *Ledger) { book(l, "a", 1, 2); book(l, "b", 3) }, LedgerCounts{Received: 3, Missing: 2}},
		"the end of a session comes after the beginning of the next": {
			func(l *Ledger) { book(l, "a", 1, 2); book(l, "b", 1, 2); book(l, "a", 3, 4); book(l, "b", 3) }, LedgerCounts{Received: 7}},
		"the same number of another session is another reading": {
			func(l *Ledger) { book(l, "a", 1); book(l, "b", 1) }, LedgerCounts{Received: 2}},
		"without numbers": {func(l *Ledger) { book(l, "", 0, 0) }, LedgerCounts{Received: 2}},
		"what the kiosk dropped is not missing": {
			func(l *Ledger) { book(l, "a", 1, 2, 9); drop(l, "a", 3, 7) }, LedgerCounts{Received: 3, Missing: 1, Dropped: 5}},
		"dropped twice counts once": {
			func(l *Ledger) { book(l, "a", 1, 9); drop(l, "a", 3, 7); drop(l, "a", 2, 8) }, LedgerCounts{Received: 2, Dropped: 7}},
		"dropped although it had arrived": {
			func(l *Ledger) { book(l, "a", 1, 2, 3); drop(l, "a", 2, 4) }, LedgerCounts{Received: 3, Dropped: 1}},
		"numbers that no kiosk gets to": {
			func(l *Ledger) {
				book(l, "a", 1, math.MaxUint64, math.MaxUint64-1)
				drop(l, "a", 2, math.MaxUint64)
				drop(l, "a", 0, 5)
				drop(l, "a", 5, 4)
			}, LedgerCounts{Received: 3}},
		"a whole session dropped": {
			func(l *Ledger) { book(l, "a", 1); drop(l, "b", 1, 10); book(l, "b", 11) }, LedgerCounts{Received: 2, Dropped: 10}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			tt.do(&l)
			if name != "nothing" {
				tt.want.Since = ledgerStart
			}
			if got := l.Counts(); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// A million readings in an arbitrary order, many of them twice, against a plain set.
func TestTheLedgerAgreesWithASet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var l Ledger
		book(&l, "first", 1)
		seen := map[string]bool{}
		want := LedgerCounts{Since: ledgerStart, Received: 1}
		highest := map[string]uint64{}
		for range 400 {
			session, seq := fmt.Sprint(random.IntN(3)), 1+random.Uint64N(60)
			key := fmt.Sprint(session, " ", seq)
			if seen[key] {
				want.Duplicated++
			} else {
				want.Received++
			}
			seen[key] = true
			highest[session] = max(highest[session], seq)
			book(&l, session, seq)
			c := l.Clone()
			book(&c, session, seq, 99) // a copy shares nothing
		}
		for session, n := range highest {
			for seq := uint64(1); seq <= n; seq++ {
				if !seen[fmt.Sprint(session, " ", seq)] {
					want.Missing++
				}
			}
		}
		if got := l.Counts(); got != want {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestTheLedgerIsBounded(t *testing.T) {
	var l Ledger
	book(&l, "first", 1)
	for s := range 500 {
		for seq := uint64(1); seq < 400; seq += 2 { // every second is missing
			book(&l, fmt.Sprint("session ", s), seq)
		}
	}
	if got, want := l.Counts(), (LedgerCounts{Since: ledgerStart, Received: 500*200 + 1, Missing: 500 * 199}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// A latecomer of a session that is no longer kept is no beginning.
	book(&l, "session 460", 390)
	if got := l.Counts(); got.Missing != 500*199 {
		t.Errorf("a latecomer makes %d missing", got.Missing-500*199)
	}
	text, err := json.Marshal(&l)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 16<<10 {
		t.Errorf("the ledger takes %d bytes", len(text))
	}
	var back Ledger
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(l, back) {
		t.Errorf("it does not come back from JSON: %v", err)
	}
}

func BenchmarkLedger(b *testing.B) {
	var l Ledger
	r := &Reading{Session: "QJ5Z7N3KX2YVT4MHB6WAD7YEGU", ReceivedAt: ledgerStart}
	for b.Loop() {
		r.Seq++
		l.Book(r)
	}
}
