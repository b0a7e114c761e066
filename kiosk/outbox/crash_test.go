package outbox

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// abandon ends a log as kill -9 does: what is in memory is gone, nothing is written.
func abandon(l *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.release()
}

// childEnv makes the test binary a process that fills the outbox in that folder until it is killed.
const childEnv = "KIOSK_OUTBOX_TEST_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := fill(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// fill adds readings and acks of several kiosks, and says on standard output which Adds have returned.
// Of one kiosk it confirms some, and says so before.
func fill(dir string) error {
	l, err := Open(Config{Dir: dir, SegmentBytes: 16 << 10})
	if err != nil {
		return err
	}
	return l.During(func() error {
		var boxes []*Box
		for _, serial := range []string{"K-1", "K-2", "K-3"} {
			b, err := l.Box(serial, Limits{})
			if err != nil {
				return err
			}
			boxes = append(boxes, b)
		}
		fmt.Println("ready")
		for i := 1; ; i++ {
			b := boxes[i%len(boxes)]
			item := reading(i)
			item.Session = "process " + fmt.Sprint(os.Getpid())
			item.Payload = fmt.Appendf(nil, `{"seq":%d,"session":%q,"x":%q}`, i, item.Session, strings.Repeat("x", i%300))
			if i%10 == 0 {
				item = ack(fmt.Sprintf("%s %d", item.Session, i))
			}
			if err := b.Add(item); err != nil {
				return err
			}
			fmt.Printf("added %s %s\n", b.serial, item.Payload)
			if b.serial == "K-3" {
				batch, ok := b.Next()
				if !ok {
					return fmt.Errorf("nothing to take")
				}
				fmt.Printf("taken %s %s\n", b.serial, batch.Payload)
				if err := b.Done(batch); err != nil {
					return err
				}
			}
		}
	})
}

func TestKillLosesNothingThatWasAdded(t *testing.T) {
	dir := t.TempDir()
	added, taken := map[string]int{}, map[string]bool{}
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := 200 + rand.IntN(3000)
		scanner := bufio.NewScanner(out)
		lines := 0
		for scanner.Scan() {
			if lines++; lines == stop {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			switch word, rest, _ := strings.Cut(scanner.Text(), " "); word {
			case "added":
				added[rest]++
			case "taken":
				taken[rest] = true
			}
		}
		_ = cmd.Wait() // killed
		if lines < stop {
			t.Fatalf("the process ended by itself after %d lines", lines)
		}
	}
	l := openLog(t, dir, 0)
	found := map[string]bool{}
	for _, serial := range []string{"K-1", "K-2", "K-3"} {
		b := boxOf(t, l, serial, Limits{})
		for _, payload := range payloads(t, b) {
			if found[serial+" "+payload] {
				t.Errorf("%s %s is there twice", serial, payload)
			}
			found[serial+" "+payload] = true
		}
	}
	missing := 0
	for item := range added {
		if !found[item] && !taken[item] {
			missing++
			t.Logf("missing: %s", item)
		}
	}
	t.Logf("%d added, %d of them taken, %d found", len(added), len(taken), len(found))
	if missing > 0 || len(added) < 500 {
		t.Errorf("%d of %d are missing", missing, len(added))
	}
	unsaid := 0 // written, but killed before the process could say so
	for item := range found {
		if added[item] == 0 {
			unsaid++
		}
	}
	if unsaid > 5 {
		t.Errorf("%d items are there that nobody added", unsaid)
	}
}

// payloads takes everything out of a box, item by item.
func payloads(t *testing.T, b *Box) (out []string) {
	t.Helper()
	for {
		batch, ok := b.Next()
		if !ok {
			return out
		}
		payload := batch.Payload
		if batch.Readings > 1 {
			payload = bytes.Trim(payload, "[]")
			for item := range strings.SplitSeq(string(payload), "},{") {
				out = append(out, "{"+strings.Trim(item, "{}")+"}")
			}
		} else {
			out = append(out, string(payload))
		}
		done(t, b, batch)
	}
}

// filled returns the bytes of a log of one segment with n readings, and where each record ends.
func filled(t *testing.T, n int) (data []byte, ends []int) {
	t.Helper()
	dir := t.TempDir()
	b := boxOf(t, openLog(t, dir, 0), testSerial, Limits{})
	for i := range n {
		add(t, b, reading(i+1))
		ends = append(ends, int(b.log.head().size))
	}
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	return data, ends
}

// whole is how many of the records end at or before a place.
func whole(ends []int, at int) int {
	n := 0
	for n < len(ends) && ends[n] <= at {
		n++
	}
	return n
}

func checkLeft(t *testing.T, b *Box, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf(`{"seq":%d}`, i+1))
	}
	if got := payloads(t, b); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestATornEndIsCutOffWhereverItIsTorn(t *testing.T) {
	data, ends := filled(t, 5)
	for at := range len(data) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), data[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		b := boxOf(t, openLog(t, dir, 0), testSerial, Limits{})
		n := whole(ends, at)
		if info, err := os.Stat(b.log.head().path); err != nil || info.Size() != b.log.head().size {
			t.Fatalf("torn at %d: %d bytes are left: %v", at, info.Size(), err)
		}
		// What comes now must stand behind the good records, and be found.
		add(t, b, reading(100))
		abandon(b.log)
		b = boxOf(t, openLog(t, dir, 0), testSerial, Limits{})
		got := payloads(t, b)
		if len(got) != n+1 || got[n] != `{"seq":100}` {
			t.Fatalf("torn at %d: %v, want %d readings and one more", at, got, n)
		}
		abandon(b.log)
	}
}

func TestADamagedByteCostsOnlyWhatFollows(t *testing.T) {
	data, ends := filled(t, 5)
	for at := range data {
		for _, newest := range []bool{true, false} {
			dir := t.TempDir()
			bad := slices.Clone(data)
			bad[at] ^= 0x55
			if err := os.WriteFile(segmentPath(dir, 1), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if !newest {
				if err := os.WriteFile(segmentPath(dir, 2), []byte(segmentMagic), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l, err := Open(Config{Dir: dir})
			if at == len(segmentMagic)-1 {
				if err == nil || !strings.Contains(err.Error(), "another version") || !strings.Contains(err.Error(), dir) {
					t.Errorf("another version: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("damaged at %d: %v", at, err)
			}
			n := 0
			if at >= len(segmentMagic) {
				n = whole(ends, at)
			}
			checkLeft(t, boxOf(t, l, testSerial, Limits{}), n)
			abandon(l)
		}
	}
}

func TestARecordThatRotsWhileTheProcessRunsIsDroppedAndReported(t *testing.T) {
	dropped := 0
	b := newBox(t, Limits{Dropped: func(n int) { dropped += n }})
	add(t, b, reading(1), reading(2), reading(3))
	b.Rewind()
	f, err := os.OpenFile(segmentPath(b.log.cfg.Dir, 1), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := b.backlog[1]
	if _, err := f.WriteAt([]byte("X"), int64(e.offset)+int64(e.size)-2); err != nil {
		t.Fatal(err)
	}
	b.Stamp(time.Now())
	if _, ok := b.Next(); !ok || dropped != 1 { // finds out
		t.Fatalf("dropped %d", dropped)
	}
	batch, r := reportOf(t, b)
	if len(r.Dropped) != 1 || r.Dropped[0] != rangeOf("s", 2, 2) {
		t.Errorf("dropped %v", r.Dropped)
	}
	done(t, b, batch)
	want(t, drain(t, b), `[{"seq":1},{"seq":3}]`)
}

func TestAFolderIsUsedOnce(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 0)
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second log: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	openLog(t, dir, 0)
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a file": file, "below a file": filepath.Join(file, "outbox")} {
		if _, err := Open(Config{Dir: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "x"+segmentSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "x"+segmentSuffix) {
		t.Errorf("a stray file: %v", err)
	}
}
