package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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

// fullDisk is a disk that takes so many bytes more.
type fullDisk struct {
	mu      sync.Mutex
	room    int
	writes  int
	badSync error
	synced  int
}

func (d *fullDisk) set(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

func (d *fullDisk) open(path string) (file, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return &fullFile{file: f, disk: d}, nil
}

type fullFile struct {
	file
	disk *fullDisk
}

func (f *fullFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.writes++
	if len(p) > f.disk.room {
		n, err := f.file.WriteAt(p[:f.disk.room], at) // a part, as file systems do
		f.disk.room = 0
		return n, errors.Join(err, syscall.ENOSPC)
	}
	f.disk.room -= len(p)
	return f.file.WriteAt(p, at)
}

func (f *fullFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.synced++
	return errors.Join(f.disk.badSync, f.file.Sync())
}

// onDisk opens a log on a disk of a test's own.
func onDisk(t *testing.T, dir string, d *fullDisk, segmentBytes int64) (*Log, *bytes.Buffer) {
	t.Helper()
	var text bytes.Buffer
	l, err := open(Config{Dir: dir, SegmentBytes: segmentBytes, Log: slog.New(slog.NewTextHandler(&text, nil))}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.set(1 << 30)
		_ = l.Close()
	})
	return l, &text
}

func TestWhatTheDiskRefusesWaitsInMemory(t *testing.T) {
	for _, room := range []int{0, 10, 45, 46, 100, 1000} {
		for _, segmentBytes := range []int64{100, 4 << 20} {
			t.Run(fmt.Sprintf("%d bytes left, segments of %d", room, segmentBytes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { refuse(t, room, segmentBytes) })
			})
		}
	}
}

func refuse(t *testing.T, room int, segmentBytes int64) {
	disk := &fullDisk{room: 1 << 30}
	dir := t.TempDir()
	l, text := onDisk(t, dir, disk, segmentBytes)
	b := boxOf(t, l, testSerial, Limits{MaxReadings: 50})
	add(t, b, reading(1), reading(2))
	disk.set(room)
	for i := 3; i <= 40; i++ {
		add(t, b, reading(i))
		time.Sleep(100 * time.Millisecond)
	}
	add(t, b, ack("a"))
	before := disk.writes
	for range 10 {
		l.mu.Lock()
		_ = l.flush()
		l.mu.Unlock()
	}
	if disk.writes > before+1 {
		t.Errorf("%d attempts within no time", disk.writes-before)
	}
	checkAccounts(t, l)
	if info, err := os.Stat(l.head().path); err != nil || info.Size() != l.head().size {
		t.Errorf("the segment has %d bytes of which %d are records: %v", info.Size(), l.head().size, err)
	}
	if n := strings.Count(text.String(), "refuses"); n != 1 {
		t.Errorf("the refusal is logged %d times:\n%s", n, text)
	}
	// It goes on: what is fresh is sent, and taken off.
	batch, _ := b.Next()
	if string(batch.Payload) != `{"seq":1}` {
		t.Errorf("next is %s", batch.Payload)
	}
	done(t, b, batch)
	b.Rewind()
	checkAccounts(t, l)

	disk.set(1 << 30)
	time.Sleep(2 * retryDelay)
	add(t, b, reading(41))
	checkAccounts(t, l)
	if b.unwritten != 0 || !strings.Contains(text.String(), "takes the outbox again") {
		t.Errorf("%d items are not written; the log says\n%s", b.unwritten, text)
	}
	flushed(t, l)
	abandon(l)
	b = boxOf(t, openLog(t, dir, 0), testSerial, Limits{})
	got := payloads(t, b)
	if len(got) != 41 || got[0] != `"a"` || got[1] != `{"seq":2}` || got[40] != `{"seq":41}` {
		t.Errorf("%d items are there: %v", len(got), got)
	}
}

func TestTheDiskIsTriedAgainWithoutAnotherReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{room: 1 << 30}
		dir := t.TempDir()
		l, _ := onDisk(t, dir, disk, 0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		b := boxOf(t, l, testSerial, Limits{})
		disk.set(0)
		add(t, b, reading(1))
		time.Sleep(time.Minute)
		disk.set(1 << 30)
		time.Sleep(2 * retryDelay)
		cancel()
		<-ended
		abandon(l)
		checkLeft(t, boxOf(t, openLog(t, dir, 0), testSerial, Limits{}), 1)
	})
}

func TestMemoryIsBoundedWhileTheDiskIsFull(t *testing.T) {
	disk := &fullDisk{room: 1 << 30}
	l, _ := onDisk(t, t.TempDir(), disk, 0)
	dropped := 0
	b := boxOf(t, l, testSerial, Limits{Dropped: func(n int) { dropped += n }})
	add(t, b, reading(1))
	disk.set(0)
	const each = 200 << 10
	for i := 2; i <= 100; i++ {
		item := reading(i)
		item.Payload = fmt.Appendf(nil, `{"seq":%d,"x":%q}`, i, strings.Repeat("x", each))
		add(t, b, item)
	}
	checkAccounts(t, l)
	if l.memory > maxMemory || l.memory < maxMemory-2*each {
		t.Errorf("%d bytes are in memory", l.memory)
	}
	if dropped+b.stored != 100 || dropped == 0 {
		t.Errorf("%d dropped and %d kept of 100", dropped, b.stored)
	}
	disk.set(1 << 30)
	l.retryAt = time.Time{}
	b = reopen(t, b)
	b.Stamp(reading(100).Time)
	_, r := reportOf(t, b)
	if len(r.Dropped) != 1 || r.Dropped[0] != rangeOf("s", 2, uint64(dropped+1)) {
		t.Errorf("reported %v, dropped %d", r.Dropped, dropped)
	}
}

func TestCloseSaysWhatItCouldNotWrite(t *testing.T) {
	disk := &fullDisk{room: 1 << 30}
	dir := t.TempDir()
	l, _ := onDisk(t, dir, disk, 0)
	b := boxOf(t, l, testSerial, Limits{})
	disk.set(0)
	add(t, b, reading(1))
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Close: %v", err)
	}
}

func TestAFullDiskIsToldAtTheStart(t *testing.T) {
	dir := t.TempDir()
	if _, err := open(Config{Dir: dir}, (&fullDisk{}).open); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open: %v", err)
	}
	// Nothing of the attempt stays in the way.
	openLog(t, dir, 0)
}

func TestSyncsAreAboutOnceASecondAndOnlyForWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{room: 1 << 30}
		l, text := onDisk(t, t.TempDir(), disk, 0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		b := boxOf(t, l, testSerial, Limits{})
		for i := range 100 { // acknowledged at once
			add(t, b, reading(i+1))
			batch, _ := b.Next()
			done(t, b, batch)
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		if disk.synced != 0 {
			t.Errorf("%d syncs for nothing", disk.synced)
		}
		for i := range 200 {
			add(t, b, reading(i+1))
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		if disk.synced < 8 || disk.synced > 11 {
			t.Errorf("%d syncs in 10 seconds", disk.synced)
		}
		before := disk.synced
		time.Sleep(time.Minute)
		synctest.Wait()
		if disk.synced > before+1 {
			t.Errorf("%d syncs in a quiet minute", disk.synced-before)
		}
		disk.mu.Lock()
		disk.badSync = syscall.EIO
		disk.mu.Unlock()
		head := l.head()
		add(t, b, reading(500))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		add(t, b, reading(501))
		if !strings.Contains(text.String(), "could not be synced") || l.head() == head {
			t.Errorf("after a failed sync it goes on in the same segment; the log says\n%s", text)
		}
		cancel()
		<-ended
	})
}

func TestRunWritesEndsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := openLog(t, dir, 0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		b := boxOf(t, l, testSerial, Limits{})
		add(t, b, reading(1), reading(2))
		batch, _ := b.Next()
		done(t, b, batch)
		time.Sleep(doneDelay + time.Millisecond)
		synctest.Wait()
		cancel()
		<-ended
		abandon(l)
		want(t, payloads(t, boxOf(t, openLog(t, dir, 0), testSerial, Limits{})), `{"seq":2}`)
	})
}

func TestALostEndMeansThatItIsSentAgain(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 0)
	b := boxOf(t, l, testSerial, Limits{})
	add(t, b, reading(1), ack("a"))
	want(t, drain(t, b), `{"seq":1}`, `"a"`)
	abandon(l)
	b = boxOf(t, openLog(t, dir, 0), testSerial, Limits{})
	add(t, b, reading(2))
	want(t, drain(t, b), `"a"`, `{"seq":2}`, `{"seq":1}`)
	// Marks are not used twice while an end of them may be read.
	b = reopen(t, b)
	add(t, b, reading(3))
	b = reopen(t, b)
	want(t, drain(t, b), `{"seq":3}`)
}

func TestDuringReturnsBothErrors(t *testing.T) {
	disk := &fullDisk{room: 1 << 30}
	l, _ := onDisk(t, t.TempDir(), disk, 0)
	b := boxOf(t, l, testSerial, Limits{})
	failed := errors.New("work failed")
	err := l.During(func() error {
		disk.set(0)
		add(t, b, reading(1))
		return failed
	})
	if !errors.Is(err, failed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("During: %v", err)
	}
}
