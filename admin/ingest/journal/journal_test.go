package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, cfg Config) *Journal {
	t.Helper()
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

func TestRecordsComeBackInOrderOverSegmentsAndRestarts(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: MaxRecordBytes + headerBytes}
	big := bytes.Repeat([]byte("x"), 300<<10) // three to a segment
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
	size := headerBytes + len("record 0")
	tests := map[string]func([]byte) []byte{
		"cut within the last content": func(b []byte) []byte { return b[:records*size-3] },
		"cut within the last header":  func(b []byte) []byte { return b[:(records-1)*size+2] },
		"a damaged content":           func(b []byte) []byte { b[records*size-1] ^= 1; return b },
		"a damaged length": func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[(records-1)*size:], 1<<31)
			return b
		},
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

func TestDamageInTheMiddleCostsOnlyItsSegment(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: MaxRecordBytes + headerBytes}
	big := string(bytes.Repeat([]byte("x"), 500<<10)) // two to a segment
	j := open(t, cfg)
	for i := range 4 {
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
	text[headerBytes+10] ^= 1
	if err := os.WriteFile(first, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := reader(t, open(t, cfg), "live")
	for _, want := range []byte("23") {
		if got := next(t, r); got[0] != want {
			t.Errorf("got %c, want %c", got[0], want)
		}
	}
}

func TestAFullJournalRefusesAndRecovers(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: MaxRecordBytes + headerBytes, MaxBytes: 3 * (MaxRecordBytes + headerBytes), KeepFor: time.Nanosecond}
	big := bytes.Repeat([]byte("x"), 900<<10) // one to a segment
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

func TestAFullDiskRefuses(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), MinFreeBytes: 1 << 60})
	if _, err := j.Append([]byte("x")); !errors.Is(err, ErrSpace) {
		t.Errorf("error = %v", err)
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

func TestABadPositionIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Config{Dir: dir})
	for text, want := range map[string]string{"many\n": "is no number", "99\n": "behind the journal's end"} {
		if err := os.WriteFile(filepath.Join(dir, "live"+cursorSuffix), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Reader("live"); err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%q: %v", text, err)
		}
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
	record := bytes.Repeat([]byte("x"), 500)
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
