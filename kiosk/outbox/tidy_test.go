package outbox

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// size returns the bytes of all files below a folder.
func size(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOneOfflineKioskDoesNotHoldTheDisk: its readings stand in the oldest segments while others go on.
func TestOneOfflineKioskDoesNotHoldTheDisk(t *testing.T) {
	const segmentBytes = 10_000
	dir := t.TempDir()
	l := openLog(t, dir, segmentBytes)
	offline := boxOf(t, l, "K-1", Limits{})
	add(t, offline, ack("a"))
	for i := range 100 {
		add(t, offline, reading(i+1))
	}
	offline.Rewind()
	online := boxOf(t, l, "K-2", Limits{})
	largest, written := int64(0), 0
	for i := range 50_000 {
		item := reading(i + 1)
		add(t, online, item)
		batch, _ := online.Next()
		done(t, online, batch)
		written += 60
		if i%50 == 0 {
			l.tidy()
			largest = max(largest, size(t, dir))
		}
	}
	live := int64(0)
	for _, s := range l.segments {
		live += s.live
	}
	// Besides: what is written between two calls of tidy.
	if bound := 2*live + 4*segmentBytes; largest > bound {
		t.Errorf("the folder had %d bytes, want at most %d; some %d were written", largest, bound, written)
	}
	offline = reopen(t, offline)
	want(t, drain(t, offline)[:1], `"a"`)
	if got := offline.mark; got != 101 {
		t.Errorf("the youngest mark is %d", got)
	}
	offline = reopen(t, offline)
	want(t, drain(t, offline))
}

// oldBacklog makes a log whose oldest segments hold the backlog of K-1, 50 readings, and whose youngest
// hold nothing live.
func oldBacklog(t *testing.T, disk *fullDisk) *Box {
	t.Helper()
	l, _ := onDisk(t, t.TempDir(), disk, 1000)
	b, other := boxOf(t, l, "K-1", Limits{}), boxOf(t, l, "K-2", Limits{})
	for i := range 50 {
		add(t, b, reading(i+1))
	}
	b.Rewind()
	for i := range 300 {
		add(t, other, reading(i+1))
		batch, _ := other.Next()
		done(t, other, batch)
	}
	return b
}

func TestACopyIsOnDiskBeforeTheSegmentGoes(t *testing.T) {
	disk := &fullDisk{room: 1 << 30}
	b := oldBacklog(t, disk)
	b.log.tidy()
	if disk.synced == 0 {
		t.Error("nothing was synced")
	}
	if _, err := os.Stat(segmentPath(b.log.cfg.Dir, 1)); !os.IsNotExist(err) {
		t.Errorf("the oldest segment: %v", err)
	}
}

func TestAProcessThatEndsWhileItCompactsLeavesNoTwins(t *testing.T) {
	b := oldBacklog(t, &fullDisk{room: 1 << 30})
	dir := b.log.cfg.Dir
	before := map[string][]byte{}
	for _, s := range b.log.segments {
		data, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		before[s.path] = data
	}
	b.log.tidy()
	flushed(t, b.log)
	abandon(b.log)
	back := 0
	for path, data := range before {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			back++
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if back == 0 {
		t.Fatal("no segment was deleted")
	}
	l := openLog(t, dir, 1000)
	checkAccounts(t, l)
	checkLeft(t, boxOf(t, l, "K-1", Limits{}), 50)
}

func TestDamageDoesNotHoldTheDisk(t *testing.T) {
	b := oldBacklog(t, &fullDisk{room: 1 << 30})
	dropped := 0
	b.limits.Dropped = func(n int) { dropped += n }
	first := b.log.segments[0]
	f, err := os.OpenFile(first.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 900), int64(b.backlog[2].offset)); err != nil {
		t.Fatal(err)
	}
	b.log.tidy()
	checkAccounts(t, b.log)
	if _, err := os.Stat(first.path); !os.IsNotExist(err) {
		t.Errorf("the damaged segment: %v", err)
	}
	b.Stamp(time.Now())
	batch, r := reportOf(t, b)
	if len(r.Dropped) != 1 || r.Dropped[0] != rangeOf("s", 3, uint64(dropped+2)) || dropped < 10 {
		t.Errorf("dropped %d, reported %v", dropped, r.Dropped)
	}
	done(t, b, batch)
	if got := payloads(t, b); len(got) != 50-dropped || got[0] != `{"seq":1}` {
		t.Errorf("%d are left: %v", len(got), got)
	}
}

func TestWhatIsKeptInMemoryBesidesIsBounded(t *testing.T) {
	b := newBox(t, Limits{})
	for i := range 40 {
		item := reading(i + 1)
		item.Payload = bytes.Repeat([]byte("x"), 200<<10)
		add(t, b, item)
	}
	if kept := b.log.kept; kept > maxKept || kept < maxKept/2 {
		t.Errorf("%d bytes are kept", kept)
	}
	checkAccounts(t, b.log)
	b.Rewind()
	if b.log.kept != 0 {
		t.Errorf("%d bytes are kept of a backlog", b.log.kept)
	}
}

func TestReadingGoesOnWhileSegmentsAreCompacted(t *testing.T) {
	l := openLog(t, t.TempDir(), 4000)
	b := boxOf(t, l, "K-1", Limits{})
	for i := range 200 {
		add(t, b, reading(i+1))
	}
	b.Rewind()
	other := boxOf(t, l, "K-2", Limits{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := other.Add(reading(i)); err != nil {
				t.Error(err)
			}
			if batch, ok := other.Next(); ok {
				if err := other.Done(batch); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.tidy()
			}
		}
	})
	for range 500 {
		batch, ok := b.Next()
		if !ok || batch.Readings != 200 || !strings.HasPrefix(string(batch.Payload), `[{"seq":1},{"seq":2},`) {
			t.Fatalf("%v, %d readings: %.40s", ok, batch.Readings, batch.Payload)
		}
	}
	close(stop)
	wg.Wait()
	checkAccounts(t, l)
}
