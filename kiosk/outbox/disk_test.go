package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

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

func (d *fullDisk) syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced
}

func TestSyncsAreAboutOnceASecondAndOnlyForWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{room: 1 << 30}
		l, text := onDisk(t, t.TempDir(), disk, 0)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		b := boxOf(t, l, testSerial, Limits{})
		// No multiple of it is the delay of what may wait: that must not come due between an Add and its Done.
		const pace = 47 * time.Millisecond
		for i := range 100 { // acknowledged at once
			add(t, b, reading(i+1))
			batch, _ := b.Next()
			done(t, b, batch)
			time.Sleep(pace)
		}
		synctest.Wait()
		if n := disk.syncs(); n != 0 {
			t.Errorf("%d syncs for nothing", n)
		}
		for i := range 10 * time.Second / pace {
			add(t, b, reading(int(i)+1))
			time.Sleep(pace)
		}
		synctest.Wait()
		if n := disk.syncs(); n < 8 || n > 11 {
			t.Errorf("%d syncs in 10 seconds", n)
		}
		before := disk.syncs()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := disk.syncs() - before; n > 1 {
			t.Errorf("%d syncs in a quiet minute", n)
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
