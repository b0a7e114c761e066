package store

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// letter is a dead letter from a record of the journal.
func letter(record int, change ...func(*fleet.DeadLetter)) fleet.DeadLetter {
	d := fleet.DeadLetter{
		Source: fleet.Source{Record: uint64(record)}, Serial: "K-1", Site: "Hall", Channel: protocol.ChannelTelemetry,
		Reason: "schema", Detail: "timestamp is missing", Payload: []byte(`{"serial":"K-1"}`), ReceivedAt: now.Add(time.Duration(record) * time.Second),
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

func of(serial, reason string) func(*fleet.DeadLetter) {
	return func(d *fleet.DeadLetter) { d.Serial, d.Reason = serial, reason }
}

// places lists the records of letters.
func places(letters []fleet.DeadLetter) string {
	var out []string
	for _, d := range letters {
		text := fmt.Sprint(d.Source.Record)
		if d.Source.Item > 0 {
			text += fmt.Sprint(".", d.Source.Item)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func listed(t *testing.T, s *Store, f fleet.DeadLetterFilter) []fleet.DeadLetter {
	t.Helper()
	out, err := s.DeadLetters(t.Context(), f, 0, 100_000)
	must(t, err)
	return out
}

func refusals(t *testing.T, s *Store, serial string) string {
	t.Helper()
	all, err := s.Refusals(t.Context(), serial)
	must(t, err)
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("%s %d %ds", r.Reason, r.Count, int(r.LastAt.Sub(now).Seconds())))
	}
	return strings.Join(out, ", ")
}

func TestADeadLetterIsKeptWhole(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	d := letter(7, func(d *fleet.DeadLetter) {
		d.Source.Item, d.Payload = 3, []byte{0, 0xff, '\n'}
	})
	must(t, s.AddDeadLetters(ctx, nil))
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{d}))
	got, err := s.DeadLetter(ctx, 1)
	d.ID, d.Size = 1, 3
	if err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("stored %+v, %v\nwant %+v", got, err, d)
	}
	d.Payload = nil
	if got := listed(t, s, fleet.DeadLetterFilter{}); len(got) != 1 || !reflect.DeepEqual(got[0], d) {
		t.Errorf("listed %+v\nwant %+v", got, d)
	}
	if _, err := s.DeadLetter(ctx, 2); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a letter that is none: %v", err)
	}
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(8, func(d *fleet.DeadLetter) { d.Payload = nil })}))
	if got, err := s.DeadLetter(ctx, 2); err != nil || len(got.Payload) != 0 || got.Size != 0 || got.Truncated {
		t.Errorf("an empty message: %+v, %v", got, err)
	}
}

func TestALongPayloadIsCut(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	whole := bytes.Repeat([]byte("x"), maxLetterPayload)
	accent := append(bytes.Repeat([]byte("x"), maxLetterPayload-1), "éé"...)
	binary := bytes.Repeat([]byte{0x80}, maxLetterPayload+10)
	for i, tt := range []struct {
		name      string
		payload   []byte
		size      int
		truncated bool
		wantSize  int
		want      []byte
		wantCut   bool
	}{
		{"at the bound", whole, 0, false, maxLetterPayload, whole, false},
		{"beyond it", append(slices.Clone(whole), 'y'), 0, false, maxLetterPayload + 1, whole, true},
		{"no half character", accent, 0, false, len(accent), accent[:maxLetterPayload-1], true},
		{"no text at all", binary, 0, false, len(binary), binary[:maxLetterPayload], true},
		{"cut before", []byte("abc"), 300_000, true, 300_000, []byte("abc"), true},
	} {
		must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(i, func(d *fleet.DeadLetter) {
			d.Payload, d.Size, d.Truncated = tt.payload, tt.size, tt.truncated
		})}))
		got, err := s.DeadLetter(ctx, int64(i+1))
		if err != nil || !bytes.Equal(got.Payload, tt.want) || got.Size != tt.wantSize || got.Truncated != tt.wantCut {
			t.Errorf("%s: %d bytes of %d, cut %v, %v", tt.name, len(got.Payload), got.Size, got.Truncated, err)
		}
	}
}

// A journal that is read again brings the same letters again.
func TestALetterCountsOnce(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	item := func(n int) func(*fleet.DeadLetter) { return func(d *fleet.DeadLetter) { d.Source.Item = n } }
	batch := []fleet.DeadLetter{letter(1), letter(2), letter(2, item(1)), letter(2, item(2)), letter(3, of("K-2", "malformed"))}
	for range 2 {
		must(t, s.AddDeadLetters(ctx, batch))
	}
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(4), letter(4), letter(1)}))
	if got := places(listed(t, s, fleet.DeadLetterFilter{})); got != "4 3 2.2 2.1 2 1" {
		t.Errorf("letters %s", got)
	}
	if got := refusals(t, s, "K-1"); got != "schema 5 4s" {
		t.Errorf("refusals = %s", got)
	}

	// What somebody has settled does not come back, and is not counted again.
	must(t, s.DiscardDeadLetter(ctx, 1, "ana", now))
	must(t, s.ReplayedDeadLetters(ctx, []int64{2}, "ana", now))
	must(t, s.AddDeadLetters(ctx, batch))
	if got := places(listed(t, s, fleet.DeadLetterFilter{})); got != "4 3 2.2 2.1" {
		t.Errorf("letters %s", got)
	}
	if got := refusals(t, s, "K-1") + "; " + refusals(t, s, "K-2") + "; " + refusals(t, s, "K-3"); got != "schema 5 4s; malformed 1 3s; " {
		t.Errorf("refusals = %s", got)
	}

	// Another journal begins where this one did, but at another time.
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(1, func(d *fleet.DeadLetter) { d.ReceivedAt = now.Add(time.Hour) })}))
	if got := places(listed(t, s, fleet.DeadLetterFilter{})); got != "1 4 3 2.2 2.1" {
		t.Errorf("letters %s", got)
	}
}

func TestRefusalsKnowTheLatest(t *testing.T) {
	s := open(t)
	for _, records := range [][]int{{5, 9, 7}, {3}, {8}} {
		var batch []fleet.DeadLetter
		for _, r := range records {
			batch = append(batch, letter(r))
		}
		must(t, s.AddDeadLetters(t.Context(), append(batch, letter(100+records[0], of("K-1", "conflict")))))
	}
	if got := refusals(t, s, "K-1"); got != "schema 5 9s, conflict 3 108s" {
		t.Errorf("refusals = %s", got)
	}
}

func TestAFloodKeepsTheNewestAndCountsAll(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(1, of("QUIET", "schema"))}))
	record := 2
	for _, n := range []int{150, 150, 1, 1000} {
		var batch []fleet.DeadLetter
		for range n {
			batch = append(batch, letter(record))
			record++
		}
		must(t, s.AddDeadLetters(ctx, batch))
	}
	got := listed(t, s, fleet.DeadLetterFilter{Serial: "K-1"})
	if len(got) != maxLettersPerKiosk || got[0].Source.Record != uint64(record-1) || got[len(got)-1].Source.Record != uint64(record-maxLettersPerKiosk) {
		t.Errorf("%d letters: %s", len(got), places(got))
	}
	if all := listed(t, s, fleet.DeadLetterFilter{Serial: "QUIET"}); len(all) != 1 {
		t.Errorf("another kiosk has lost letters: %d", len(all))
	}
	if got := refusals(t, s, "K-1"); got != "schema 1301 1302s" {
		t.Errorf("refusals = %s", got)
	}
	var payloads int
	must(t, s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM dead_letter_payloads`).Scan(&payloads))
	if payloads != maxLettersPerKiosk+1 {
		t.Errorf("%d payloads are kept", payloads)
	}
}

func TestAllTogetherAreBounded(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	const kiosks = maxLetters/maxLettersPerKiosk + 3
	record := 0
	for k := range kiosks {
		var batch []fleet.DeadLetter
		for range maxLettersPerKiosk {
			batch = append(batch, letter(record, of(fmt.Sprint("K-", k), "schema")))
			record++
		}
		must(t, s.AddDeadLetters(ctx, batch))
	}
	got := listed(t, s, fleet.DeadLetterFilter{})
	if len(got) != maxLetters || got[0].Source.Record != uint64(record-1) || got[maxLetters-1].Source.Record != uint64(record-maxLetters) {
		t.Errorf("%d letters, %d to %d", len(got), got[len(got)-1].Source.Record, got[0].Source.Record)
	}
	if n, err := s.TotalDeadLetters(ctx); err != nil || n != maxLetters {
		t.Errorf("total = %d, %v", n, err)
	}
}

func TestPlacesAreBounded(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(1), letter(2)}))
	_, err := s.write.ExecContext(ctx, `UPDATE sqlite_sequence SET seq = seq + $1 WHERE name = 'dead_letter_places'`, keptLetterPlaces-2)
	must(t, err)
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(3)}))
	var oldest, n int
	must(t, s.read.QueryRowContext(ctx, `SELECT MIN(record), COUNT(*) FROM dead_letter_places`).Scan(&oldest, &n))
	if oldest != 2 || n != 2 {
		t.Errorf("%d places are kept, from %d on", n, oldest)
	}
}

func TestLettersAreFilteredAndPaged(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for i := 1; i <= 9; i++ {
		must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(i, of([]string{"K-1", "K-2"}[i%2], []string{"schema", "future", "malformed"}[i%3]))}))
	}
	for _, tt := range []struct {
		filter fleet.DeadLetterFilter
		want   string
		counts string
	}{
		{fleet.DeadLetterFilter{}, "9 8 7 6 5 4 3 2 1", "map[future:3 malformed:3 schema:3]"},
		{fleet.DeadLetterFilter{Serial: "K-1"}, "8 6 4 2", "map[future:1 malformed:2 schema:1]"},
		{fleet.DeadLetterFilter{Reason: "schema"}, "9 6 3", "map[schema:3]"},
		{fleet.DeadLetterFilter{Serial: "K-2", Reason: "future"}, "7 1", "map[future:2]"},
		{fleet.DeadLetterFilter{Through: 3}, "3 2 1", "map[future:1 malformed:1 schema:1]"},
		{fleet.DeadLetterFilter{Serial: "K-9"}, "", "map[]"},
	} {
		if got := places(listed(t, s, tt.filter)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.filter, got, tt.want)
		}
		if counts, err := s.CountDeadLetters(ctx, tt.filter); err != nil || fmt.Sprint(counts) != tt.counts {
			t.Errorf("%+v: %v, %v, want %s", tt.filter, counts, err, tt.counts)
		}
		for limit := 1; limit <= 4; limit++ {
			var down, up []fleet.DeadLetter
			for before := int64(0); ; {
				page, err := s.DeadLetters(ctx, tt.filter, before, limit)
				must(t, err)
				if down = append(down, page...); len(page) == 0 {
					break
				}
				before = page[len(page)-1].ID
			}
			for after := int64(0); ; {
				page, err := s.OldDeadLetters(ctx, tt.filter, after, limit)
				must(t, err)
				if up = append(up, page...); len(page) == 0 {
					break
				}
				after = page[len(page)-1].ID
			}
			slices.Reverse(up)
			if places(down) != tt.want || places(up) != tt.want {
				t.Errorf("%+v by %d: %s and back %s, want %s", tt.filter, limit, places(down), places(up), tt.want)
			}
		}
	}
}

func TestSettlingLettersIsAudited(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	var batch []fleet.DeadLetter
	for i := 1; i <= 8; i++ {
		batch = append(batch, letter(i, of([]string{"K-1", "K-2"}[i%2], "schema")))
	}
	must(t, s.AddDeadLetters(ctx, batch))
	must(t, s.DiscardDeadLetter(ctx, 1, "ana", now))
	if err := s.DiscardDeadLetter(ctx, 1, "ana", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("discarded twice: %v", err)
	}
	must(t, s.ReplayedDeadLetters(ctx, nil, "bo", now))
	must(t, s.ReplayedDeadLetters(ctx, []int64{1, 2, 3}, "bo", now))
	seen := fleet.DeadLetterFilter{Serial: "K-1", Reason: "schema", Through: 6}
	for _, tt := range []struct {
		filter fleet.DeadLetterFilter
		want   int
	}{{seen, 2}, {seen, 0}, {fleet.DeadLetterFilter{}, 3}} {
		if n, err := s.DiscardDeadLetters(ctx, tt.filter, "cy", now); err != nil || n != tt.want {
			t.Errorf("%+v: %d letters, %v, want %d", tt.filter, n, err, tt.want)
		}
	}
	want := "ana dead_letter.discard K-2 1 schema; bo dead_letter.replay K-1 2 schema; bo dead_letter.replay K-2 3 schema; " +
		"cy dead_letter.discard_many K-1 2 schema; cy dead_letter.discard_many  3"
	if got := audits(t, s); got != want {
		t.Errorf("audit = %s\n want %s", got, want)
	}
	var payloads int
	must(t, s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM dead_letter_payloads`).Scan(&payloads))
	if payloads != 0 {
		t.Errorf("%d payloads are left", payloads)
	}
}

func TestDiscardingMuchTakesSeveralCalls(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for k := range 6 {
		var batch []fleet.DeadLetter
		for i := range maxLettersPerKiosk {
			batch = append(batch, letter(k*1000+i, of(fmt.Sprint("K-", k), "schema")))
		}
		must(t, s.AddDeadLetters(ctx, batch))
	}
	for _, want := range []int{discardAtOnce, 6*maxLettersPerKiosk - discardAtOnce, 0} {
		if n, err := s.DiscardDeadLetters(ctx, fleet.DeadLetterFilter{}, "ana", now); err != nil || n != want {
			t.Errorf("%d letters, %v, want %d", n, err, want)
		}
	}
}

func TestLettersOutliveTheirKiosk(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	must(t, s.AddDeadLetters(ctx, []fleet.DeadLetter{letter(1), letter(2, of("K-2", "schema"))}))
	must(t, s.DeleteKiosk(ctx, "K-1", "ana", now))
	if got := places(listed(t, s, fleet.DeadLetterFilter{})); got != "2 1" {
		t.Errorf("letters %s", got)
	}
	if got := refusals(t, s, "K-1") + ";" + refusals(t, s, "K-2"); got != ";schema 1 2s" {
		t.Errorf("refusals = %s", got)
	}
}

// Shards of ingest, a journal read twice, people who settle, and lists, all at once on two stores of one file.
func TestLettersComeAndGoAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	stores := []*Store{openAt(t, file), openAt(t, file)}
	ctx := t.Context()
	const kiosks, each = 4, 60
	var wg sync.WaitGroup
	for k := range kiosks {
		for i := range 2 { // the same letters from both
			wg.Go(func() {
				for n := range each {
					batch := []fleet.DeadLetter{letter(k*each+n, of(fmt.Sprint("K-", k), "schema")), letter(k*each+n, of(fmt.Sprint("K-", k), "schema"))}
					if err := stores[i].AddDeadLetters(ctx, batch); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	settled := make([]int, 2)
	for i, s := range stores {
		wg.Go(func() {
			for range 20 {
				letters, err := s.DeadLetters(ctx, fleet.DeadLetterFilter{}, 0, 5)
				if err != nil {
					t.Error(err)
				}
				for _, d := range letters {
					switch err := s.DiscardDeadLetter(ctx, d.ID, "ana", now); {
					case err == nil:
						settled[i]++
					case !errors.Is(err, fleet.ErrNotFound):
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if left := len(listed(t, stores[0], fleet.DeadLetterFilter{})); left+settled[0]+settled[1] != kiosks*each {
		t.Errorf("%d letters are left and %v settled, of %d", left, settled, kiosks*each)
	}
	for k := range kiosks {
		all, err := stores[1].Refusals(ctx, fmt.Sprint("K-", k))
		if err != nil || len(all) != 1 || all[0].Count != each {
			t.Errorf("refusals of K-%d = %+v, %v", k, all, err)
		}
	}
}

// A broken kiosk beside a full shelf: what one batch of a consumer costs.
func BenchmarkAddDeadLetters(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "k.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	record := 0
	payload := bytes.Repeat([]byte("x"), 600)
	batch := func(serial string, n int) []fleet.DeadLetter {
		out := make([]fleet.DeadLetter, n)
		for i := range out {
			record++
			out[i] = letter(record, of(serial, "schema"), func(d *fleet.DeadLetter) { d.Payload = payload })
		}
		return out
	}
	for k := range maxLetters / maxLettersPerKiosk {
		if err := s.AddDeadLetters(b.Context(), batch(fmt.Sprint("K-", k), maxLettersPerKiosk)); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if err := s.AddDeadLetters(b.Context(), batch("BROKEN", n)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/letter")
		})
	}
}
