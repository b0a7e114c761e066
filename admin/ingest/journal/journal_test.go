package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func open(t testing.TB, cfg Config) *Journal {
	t.Helper()
	if cfg.First == 0 {
		cfg.First = 1
	}
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func reader(t testing.TB, j *Journal, name string) *Reader {
	t.Helper()
	r, err := j.Reader(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func add(t testing.TB, j *Journal, text string) uint64 {
	t.Helper()
	n, err := j.Append([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func next(t testing.TB, r *Reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	record, _, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(record)
}

// noise is content that does not compress, the same each time.
func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(out) // never fails
	return out
}

func TestRecordsComeBackInOrderOverSegmentsAndRestarts(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
	big := noise(300 << 10) // three to a segment
	j := open(t, cfg)
	r := reader(t, j, "live")
	for i := range 10 {
		if n := add(t, j, fmt.Sprintf("%d-%s", i, big)); n != uint64(i+1) {
			t.Errorf("record %d has number %d", i, n)
		}
		if i == 4 { // a reader that follows and one that comes later see the same
			for k := range 5 {
				if got := next(t, r); got[0] != byte('0'+k) {
					t.Errorf("record %d begins with %c", k, got[0])
				}
			}
		}
	}
	if s := j.Stats(); s.Bytes < 3*cfg.SegmentBytes {
		t.Fatalf("only %d bytes: the test does not cross segments", s.Bytes)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = open(t, cfg)
	r = reader(t, j, "live")
	add(t, j, "last")
	for i := 3; i < 10; i++ {
		if got := next(t, r); got[0] != byte('0'+i) {
			t.Errorf("after the restart record %d begins with %c", i, got[0])
		}
	}
	if got := next(t, r); got != "last" {
		t.Errorf("got %q", got)
	}
	if all := reader(t, j, "other"); next(t, all)[0] != '0' {
		t.Error("a new reader does not begin with the oldest record")
	}
}

func TestAReaderWaitsForTheNextRecord(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	r := reader(t, j, "live")
	add(t, j, "one")
	if next(t, r) != "one" {
		t.Fatal("one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	got := make(chan string)
	go func() { got <- next(t, r) }()
	add(t, j, "two")
	if text := <-got; text != "two" {
		t.Errorf("got %q", text)
	}
	done := make(chan error)
	go func() { _, _, err := r.Next(t.Context()); done <- err }()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := j.Append([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
}

// spoil changes the newest segment of a journal's folder.
func spoil(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	name := files[len(files)-1]
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATornTailIsCut(t *testing.T) {
	const records = 3
	size := blockHeader + 1 + len("record 0")
	start := len(magic)
	tests := map[string]func([]byte) []byte{
		"cut within the last content": func(b []byte) []byte { return b[:start+records*size-3] },
		"cut within the last header":  func(b []byte) []byte { return b[:start+(records-1)*size+2] },
		"a damaged content":           func(b []byte) []byte { b[start+records*size-1] ^= 1; return b },
		"a damaged length": func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[start+(records-1)*size+24:], 1<<31)
			return b
		},
		"garbage for the last block": func(b []byte) []byte {
			copy(b[start+(records-1)*size:], noise(3*size))
			return b
		},
	}
	for cut := range size {
		tests[fmt.Sprintf("cut %d bytes into the last block", cut)] = func(b []byte) []byte { return b[:start+(records-1)*size+cut] }
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Config{Dir: dir})
			for i := range records {
				add(t, j, fmt.Sprintf("record %d", i))
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, dir, change)
			j = open(t, Config{Dir: dir})
			if n := add(t, j, "new"); n != records {
				t.Errorf("the new record has number %d, want %d", n, records)
			}
			r := reader(t, j, "live")
			for _, want := range []string{"record 0", "record 1", "new"} {
				if got := next(t, r); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestASegmentThatWasJustBeingMadeIsUsed(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"empty": func([]byte) []byte { return nil },
		"zeros": func([]byte) []byte { return make([]byte, 4096) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Config{Dir: dir})
			add(t, j, "one")
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(segmentPath(dir, 2), change(nil), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{"two", "three"} { // and it can be read after another restart
				j = open(t, Config{Dir: dir})
				add(t, j, text)
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
			}
			r := reader(t, open(t, Config{Dir: dir}), "live")
			for _, want := range []string{"one", "two", "three"} {
				if got := next(t, r); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestAnotherFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(segmentPath(dir, 1), bytes.Repeat([]byte("old "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another format") {
		t.Errorf("error = %v", err)
	}
}

// Damage costs the blocks that it hit: in a segment that was closed, where the reader finds it, and in
// the newest one, where Open must not take it for a torn tail.
func TestDamageCostsOnlyItsBlocks(t *testing.T) {
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprintf("newest segment: %v", newest), func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment}
			big := string(noise(200 << 10)) // five to a segment
			j := open(t, cfg)
			records := 5
			if !newest {
				records = 7
			}
			for i := range records {
				add(t, j, fmt.Sprintf("%d-%s", i, big))
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			first := segmentPath(cfg.Dir, 1)
			text, err := os.ReadFile(first)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1        // somewhere in record 2
			copy(text[len(magic):], "??") // the marker of record 0
			if err := os.WriteFile(first, text, 0o600); err != nil {
				t.Fatal(err)
			}
			j = open(t, cfg)
			if n := add(t, j, "9"); n != uint64(records+1) {
				t.Errorf("the next record has number %d, want %d", n, records+1)
			}
			r := reader(t, j, "live")
			for _, want := range []int{1, 3, 4, 5, 6, 9} {
				if want >= records && want != 9 {
					continue
				}
				record, n, err := r.Next(t.Context())
				if err != nil || record[0] != byte('0'+want) || want != 9 && n != uint64(want+1) {
					t.Errorf("got record %d that begins with %c, error %v; want %d", n, record[0], err, want)
				}
			}
		})
	}
}

func TestNumbersAreNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	r := reader(t, j, "live")
	for range 5 {
		add(t, j, "x")
	}
	if err := r.Commit(5); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The disk lost what the reader had already.
	spoil(t, dir, func(b []byte) []byte { return b[:len(magic)+10] })
	j = open(t, Config{Dir: dir})
	if n := add(t, j, "new"); n != 6 {
		t.Errorf("number %d, want 6", n)
	}
	if got := next(t, reader(t, j, "live")); got != "new" {
		t.Errorf("the reader gets %q", got)
	}

	a, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	n := add(t, a, "x")
	b, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if m := add(t, b, "x"); m <= n {
		t.Errorf("a journal made later begins with %d, the earlier one with %d", m, n)
	}
}

func TestAReaderPassesOverRecordsThatTheDiskLost(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	fast, slow := reader(t, j, "live"), reader(t, j, "timeseries")
	for range 5 {
		add(t, j, "x")
	}
	if err := errors.Join(fast.Commit(5), slow.Commit(2)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, dir, func(b []byte) []byte { return b[:len(magic)+10] })
	j = open(t, Config{Dir: dir})
	got := make(chan string, 1)
	slow = reader(t, j, "timeseries")
	go func() {
		record, number, err := slow.Next(t.Context())
		got <- fmt.Sprint(string(record), number, err)
	}()
	time.Sleep(20 * time.Millisecond) // it looks for the lost ones before there is another
	add(t, j, "new")
	select {
	case text := <-got:
		if text != "new6 <nil>" {
			t.Errorf("the reader gets %s", text)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader looks for lost records for ever")
	}
}

func TestAReaderGoesBackToTheOldestRecord(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	r := reader(t, j, "timeseries")
	for i := range 3 {
		add(t, j, fmt.Sprint(i))
		next(t, r)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	if err := r.Rewind(); err != nil {
		t.Fatal(err)
	}
	if b := j.Stats().Behind["timeseries"]; b != 3 {
		t.Errorf("%d behind after going back, want 3", b)
	}
	if got := next(t, r); got != "0" {
		t.Errorf("got %q", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := next(t, reader(t, open(t, Config{Dir: dir}), "timeseries")); got != "0" {
		t.Errorf("after a restart it goes on with %q", got)
	}
}

// Alike records share a block and get smaller together.
func TestRecordsAreCompressedTogether(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	r := reader(t, j, "live")
	record := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("the same words again ", 20)) }
	const records, size = 200, 420
	var wg sync.WaitGroup
	for i := range records {
		wg.Go(func() { add(t, j, record(i)) })
	}
	seen := map[string]bool{}
	for range records {
		seen[next(t, r)] = true
	}
	wg.Wait()
	for i := range records {
		if !seen[record(i)] {
			t.Errorf("record %d did not come back", i)
		}
	}
	if used := j.segments[0].written; used > records*size/4 {
		t.Errorf("%d records of %d bytes take %d bytes", records, size, used)
	}
}

func TestAFullJournalRefusesAndRecovers(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment, MaxBytes: 3 * minSegment, KeepFor: time.Nanosecond}
	big := noise(900 << 10) // one to a segment
	j := open(t, cfg)
	r := reader(t, j, "slow")
	stored := 0
	for ; stored < 10; stored++ {
		if _, err := j.Append(big); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if stored != 3 {
		t.Fatalf("took %d records before it was full, want 3", stored)
	}
	if b := j.Stats().Behind["slow"]; b != 3 {
		t.Errorf("the reader is %d behind", b)
	}
	for range stored {
		next(t, r)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	if n, err := j.Append(big); err != nil || n != 4 {
		t.Errorf("after the reader caught up: %d, %v", n, err)
	}
}

func TestWhoBrowsesKeepsNothing(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: minSegment, MaxBytes: 6 * minSegment, KeepFor: time.Nanosecond}
	big := noise(900 << 10) // one to a segment
	j := open(t, cfg)
	r := reader(t, j, "consumer")
	for range 3 {
		if _, err := j.Append(big); err != nil {
			t.Fatal(err)
		}
	}
	browser := j.Browse("look", time.Time{})
	defer browser.Close()
	next(t, browser)
	if n := browser.Position(); n != 2 {
		t.Errorf("it stands at %d", n)
	}
	if late := j.Browse("look", time.Now().Add(time.Hour)); late.Position() != 3 {
		t.Errorf("for what came late it begins with %d, want the newest segment", late.Position())
	}
	if s := j.Stats(); len(s.Behind) != 1 || s.Behind["consumer"] != 3 {
		t.Errorf("behind: %v", s.Behind)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(big); err != nil { // drops what the consumer has read
		t.Fatal(err)
	}
	if s := j.Stats(); s.First != 3 {
		t.Fatalf("the journal begins with %d", s.First)
	}
	if _, _, err := browser.Next(t.Context()); err == nil {
		t.Error("what was dropped is passed over in silence")
	}
	if left, err := filepath.Glob(filepath.Join(cfg.Dir, "look*")); err != nil || len(left) > 0 {
		t.Errorf("browsing left %v, %v", left, err)
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), MinFreeBytes: 1 << 60})
	if _, err := j.Append([]byte("x")); !errors.Is(err, ErrSpace) {
		t.Fatalf("error = %v", err)
	}
	if s := j.Stats(); !errors.Is(s.Refusal, ErrSpace) {
		t.Errorf("the state says %v", s.Refusal)
	}
	j.flushes.Wait()
	j.cfg.MinFreeBytes = 1 // as if somebody had made room
	for deadline := time.Now().Add(10 * time.Second); ; {
		n, err := j.Append([]byte("x"))
		if err == nil {
			if n != 1 {
				t.Errorf("number %d, want 1", n)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the journal does not go on when there is room")
		}
	}
	if s := j.Stats(); s.Refusal != nil {
		t.Errorf("the state says %v", s.Refusal)
	}
}

func TestWhatWasReadGivesWayOnAFullDisk(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: minSegment})
	r := reader(t, j, "live")
	for range 4 { // one to a segment
		add(t, j, string(noise(900<<10)))
		next(t, r)
	}
	if err := r.Commit(2); err != nil {
		t.Fatal(err)
	}
	j.flushes.Wait()
	j.cfg.MinFreeBytes, j.spaceChecked = 1<<60, time.Time{}
	if _, err := j.Append([]byte("x")); !errors.Is(err, ErrSpace) {
		t.Fatalf("error = %v", err)
	}
	if s := j.Stats(); s.First != 3 {
		t.Errorf("the oldest record is %d, want 3: what the reader has not committed must stay", s.First)
	}
}

func TestAfterAFailedWriteAnotherFileIsUsed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	add(t, j, "one")
	_ = j.file.Close() // the next write fails as on a dying disk
	if _, err := j.Append([]byte("lost")); !errors.Is(err, ErrSpace) {
		t.Fatalf("error = %v", err)
	}
	if n := add(t, j, "two"); n != 2 {
		t.Errorf("number %d, want 2", n)
	}
	r := reader(t, j, "live")
	for _, want := range []string{"one", "two"} {
		if got := next(t, r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if s := j.Stats(); s.Bytes != 2*64<<20 {
		t.Errorf("%d bytes, want two segments", s.Bytes)
	}
}

func TestABadPositionBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	add(t, j, "one")
	if err := os.WriteFile(cursorPath(dir, "live"), []byte("many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := next(t, reader(t, j, "live")); got != "one" {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentAppendsAreAllStoredOnce(t *testing.T) {
	const writers, each = 50, 40
	j := open(t, Config{Dir: t.TempDir()})
	r := reader(t, j, "live")
	var wg sync.WaitGroup
	numbers := make([][]uint64, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n, err := j.Append([]byte(fmt.Sprintf("%d/%d", w, i)))
				if err != nil {
					t.Error(err)
					return
				}
				numbers[w] = append(numbers[w], n)
			}
		})
	}
	seen := map[string]uint64{}
	for range writers * each {
		record, n, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := seen[string(record)]; twice {
			t.Errorf("%s twice", record)
		}
		seen[string(record)] = n
	}
	wg.Wait()
	for w := range writers {
		for i, n := range numbers[w] {
			if text := fmt.Sprintf("%d/%d", w, i); seen[text] != n {
				t.Errorf("%s was told number %d and has %d", text, n, seen[text])
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	// Half of it compresses, as of a reading.
	record := append(noise(250), bytes.Repeat([]byte("x"), 250)...)
	for _, publishers := range []int{1, 200, 1000} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			j := open(b, Config{Dir: b.TempDir()})
			b.SetBytes(int64(len(record)))
			var wg sync.WaitGroup
			todo := make(chan struct{}, 1024)
			for range publishers {
				wg.Go(func() {
					for range todo {
						if _, err := j.Append(record); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ResetTimer()
			for range b.N {
				todo <- struct{}{}
			}
			close(todo)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// Kiosks send by their own clocks, not when the last one was acknowledged.
func BenchmarkAppendOpenLoop(b *testing.B) {
	record := append(noise(250), bytes.Repeat([]byte("x"), 250)...)
	for _, perSecond := range []int{500, 3000, 20_000} {
		b.Run(fmt.Sprintf("rate=%d", perSecond), func(b *testing.B) {
			j := open(b, Config{Dir: b.TempDir()})
			var wg sync.WaitGroup
			var waited atomic.Int64
			began := time.Now()
			for i := range b.N {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
				wg.Go(func() {
					sent := time.Now()
					if _, err := j.Append(record); err != nil {
						b.Error(err)
					}
					waited.Add(int64(time.Since(sent)))
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/float64(j.Stats().Commits), "records/commit")
			b.ReportMetric(float64(waited.Load())/float64(b.N)/1e6, "ms/append")
			b.ReportMetric(float64(j.segments[len(j.segments)-1].written)/float64(b.N), "B/record")
		})
	}
}
