package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

const testSerial = "SIM-KIOSK-001"

// reading makes the n-th reading of a session, a second after the one before.
func reading(n int) Item {
	return Item{
		Session: "s", Seq: uint64(n), Time: time.UnixMilli(1_800_000_000_000).Add(time.Duration(n) * time.Second),
		Payload: fmt.Appendf(nil, `{"seq":%d}`, n),
	}
}

func ack(key string) Item { return Item{AckKey: key, Payload: []byte(`"` + key + `"`)} }

func openLog(t testing.TB, dir string, segmentBytes int64) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir, SegmentBytes: segmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func boxOf(t testing.TB, l *Log, serial string, limits Limits) *Box {
	t.Helper()
	b, err := l.Box(serial, limits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newBox opens a box in a log of its own.
func newBox(t *testing.T, limits Limits) *Box {
	t.Helper()
	return boxOf(t, openLog(t, t.TempDir(), 0), testSerial, limits)
}

// reopen closes a box's log and opens its folder again.
func reopen(t *testing.T, b *Box) *Box {
	t.Helper()
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	return boxOf(t, openLog(t, b.log.cfg.Dir, b.log.cfg.SegmentBytes), b.serial, b.limits)
}

func add(t testing.TB, b *Box, items ...Item) {
	t.Helper()
	for _, item := range items {
		if err := b.Add(item); err != nil {
			t.Fatal(err)
		}
	}
}

func done(t testing.TB, b *Box, batch Batch) {
	t.Helper()
	if err := b.Done(batch); err != nil {
		t.Fatal(err)
	}
}

// drain publishes everything and returns the payloads in order.
func drain(t *testing.T, b *Box) (out []string) {
	t.Helper()
	for {
		batch, ok := b.Next()
		if !ok {
			return out
		}
		if again, ok := b.Next(); !ok || again.Channel != batch.Channel || batch.Readings > 0 && !bytes.Equal(again.Payload, batch.Payload) {
			t.Fatalf("Next removed something: %s, then %s", batch.Payload, again.Payload)
		}
		if isAck := batch.Payload[0] == '"'; isAck != (batch.Channel == protocol.ChannelAck) {
			t.Errorf("%s on %s", batch.Payload, batch.Channel)
		}
		out = append(out, string(batch.Payload))
		done(t, b, batch)
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func TestABoxKeepsTheOrderOfAConnection(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1), ack("a received"), reading(2), ack("a succeeded"))
	want(t, drain(t, b), `{"seq":1}`, `"a received"`, `{"seq":2}`, `"a succeeded"`)
}

func TestFreshReadingsGoBeforeTheBacklog(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1), ack("a"), reading(2))
	b.Rewind()
	add(t, b, reading(3))
	want(t, drain(t, b), `"a"`, `{"seq":3}`, `[{"seq":1},{"seq":2}]`)
}

func TestASingleLeftReadingIsAnObject(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1))
	b.Rewind()
	want(t, drain(t, b), `{"seq":1}`)
}

func TestWhatAnEarlierProcessLeftIsBacklogButAcksGoFirst(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1), ack("a"), reading(2), ack("b"))
	b = reopen(t, b)
	add(t, b, reading(3))
	want(t, drain(t, b), `"a"`, `"b"`, `{"seq":3}`, `[{"seq":1},{"seq":2}]`)
	want(t, drain(t, reopen(t, b)))
}

func TestDoneSurvives(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1), ack("a"), reading(2), ack("b"), reading(3))
	for range 2 {
		batch, _ := b.Next()
		done(t, b, batch)
	}
	b = reopen(t, b)
	add(t, b, reading(4))
	b.Rewind()
	want(t, drain(t, b), `"b"`, `[{"seq":2},{"seq":3},{"seq":4}]`)
}

func TestTheOldestReadingIsDroppedAndNoAck(t *testing.T) {
	dropped := 0
	b := newBox(t, Limits{MaxReadings: 2, Dropped: func(n int) { dropped += n }})
	add(t, b, ack("a"), reading(1), reading(2), ack("b"), reading(3))
	b.Rewind()
	add(t, b, reading(4))
	if dropped != 2 {
		t.Errorf("dropped %d, want 2", dropped)
	}
	want(t, drain(t, b), `"a"`, `"b"`, `{"seq":4}`, `{"seq":3}`)
}

func TestBytesAreBounded(t *testing.T) {
	dropped := 0
	b := newBox(t, Limits{MaxBytes: 35, Dropped: func(n int) { dropped += n }})
	for i := range 9 { // of 9 bytes
		add(t, b, reading(i+1))
	}
	b.Rewind()
	want(t, drain(t, b), `[{"seq":7},{"seq":8},{"seq":9}]`)
	if dropped != 6 {
		t.Errorf("dropped %d, want 6", dropped)
	}
}

func TestSmallerLimitsTakeEffectAtTheNextStart(t *testing.T) {
	b := newBox(t, Limits{})
	for i := range 5 {
		add(t, b, reading(i+1))
	}
	dropped := 0
	b.limits = Limits{MaxReadings: 2, Dropped: func(n int) { dropped += n }}
	b = reopen(t, b)
	if dropped != 3 {
		t.Errorf("dropped %d, want 3", dropped)
	}
	want(t, drain(t, reopen(t, b)), `[{"seq":4},{"seq":5}]`)
}

func TestAnItemThatIsTooLargeIsRefused(t *testing.T) {
	b := newBox(t, Limits{})
	if err := b.Add(Item{Session: "s", Seq: 1, Payload: make([]byte, MaxPayload+1)}); err == nil {
		t.Error("no error")
	}
	big := Item{Session: "s", Seq: 1, Payload: bytes.Repeat([]byte("x"), MaxPayload)}
	add(t, b, big)
	b = reopen(t, b)
	if batch, ok := b.Next(); !ok || !bytes.Equal(batch.Payload, big.Payload) {
		t.Errorf("%v, %d bytes", ok, len(batch.Payload))
	}
}

func TestADropOfWhatIsUnderWayIsTolerated(t *testing.T) {
	b := newBox(t, Limits{MaxReadings: 3})
	add(t, b, reading(1), reading(2), reading(3))
	b.Rewind()
	batch, _ := b.Next() // 1 to 3
	add(t, b, reading(4))
	done(t, b, batch)
	want(t, drain(t, b), `{"seq":4}`)

	b = newBox(t, Limits{MaxReadings: 1})
	add(t, b, reading(1))
	batch, _ = b.Next()
	add(t, b, reading(2)) // drops 1
	done(t, b, batch)
	want(t, drain(t, b), `{"seq":2}`)
	add(t, b, reading(3))
	want(t, drain(t, b), `{"seq":3}`)
}

func TestAnAnswerOfTheLastConnectionCounts(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1), reading(2))
	batch, _ := b.Next()
	b.Rewind()
	done(t, b, batch)
	want(t, drain(t, b), `{"seq":2}`)
}

func TestAWaitingAckIsKeptOnce(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, ack("a"), ack("a"))
	b = reopen(t, b)
	add(t, b, ack("a"))
	want(t, drain(t, b), `"a"`)
	add(t, b, ack("a"))
	want(t, drain(t, b), `"a"`)
}

func TestAcksAreBounded(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1))
	for i := range maxAcks + 2 {
		add(t, b, ack(fmt.Sprint(i)))
	}
	b = reopen(t, b)
	got := drain(t, b)
	if len(got) != maxAcks+1 || got[0] != `"2"` || got[len(got)-1] != `{"seq":1}` {
		t.Errorf("%d left, from %s to %s", len(got), got[0], got[len(got)-1])
	}
}

func TestMessagesOfBacklogAreBounded(t *testing.T) {
	for name, size := range map[string]int{"by number": 100, "by bytes": 1500} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, Limits{})
			const n = 1234
			for i := range n {
				item := reading(i)
				item.Payload = fmt.Appendf(nil, `{"seq":%d,"x":%q}`, i, strings.Repeat("x", size))
				add(t, b, item)
			}
			b = reopen(t, b)
			next := 0
			for {
				batch, ok := b.Next()
				if !ok {
					break
				}
				var readings []protocol.Reading
				if err := json.Unmarshal(batch.Payload, &readings); err != nil {
					t.Fatal(err)
				}
				if len(readings) != batch.Readings || len(readings) > MaxBatchReadings || len(batch.Payload) > MaxBatchBytes {
					t.Errorf("%d readings (said to be %d) in %d bytes", len(readings), batch.Readings, len(batch.Payload))
				}
				if size == 100 && next == 0 && len(readings) != MaxBatchReadings {
					t.Errorf("the first message holds %d readings, want %d", len(readings), MaxBatchReadings)
				}
				for _, r := range readings {
					if int(r.Seq) != next {
						t.Fatalf("seq %d, want %d", r.Seq, next)
					}
					next++
				}
				done(t, b, batch)
			}
			if next != n {
				t.Errorf("got %d readings, want %d", next, n)
			}
		})
	}
}

func TestTimesGrowAlsoOverAStart(t *testing.T) {
	b := newBox(t, Limits{})
	if !b.Newest().IsZero() {
		t.Errorf("newest = %v", b.Newest())
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	first, second, third := b.Stamp(at), b.Stamp(at), b.Stamp(at.Add(-time.Hour))
	for i, got := range []time.Time{first, second, third} {
		if want := at.UTC().Truncate(time.Millisecond).Add(time.Duration(i) * time.Millisecond); got != want {
			t.Errorf("stamp %d is %v, want %v", i, got, want)
		}
	}
	item := reading(1)
	item.Time = third
	add(t, b, item)
	b = reopen(t, b)
	if got := b.Newest(); got != third {
		t.Errorf("after a start the newest is %v, want %v", got, third)
	}
	if got := b.Stamp(at); !got.After(third) {
		t.Errorf("after a start comes %v, not after %v", got, third)
	}
}

func TestKiosksShareALog(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 0)
	one, two := boxOf(t, l, "K-1", Limits{}), boxOf(t, l, "K-2", Limits{})
	for i := range 4 {
		add(t, one, reading(10+i))
		add(t, two, reading(20+i), ack(fmt.Sprint("k", i)))
	}
	if _, err := l.Box("K-1", Limits{}); err == nil || !strings.Contains(err.Error(), "K-1") {
		t.Errorf("a second owner: %v", err)
	}
	if _, err := l.Box("no/serial", Limits{}); err == nil {
		t.Error("a bad serial was taken")
	}
	one = reopen(t, one)
	two = boxOf(t, one.log, "K-2", Limits{})
	want(t, drain(t, one), `[{"seq":10},{"seq":11},{"seq":12},{"seq":13}]`)
	want(t, drain(t, two), `"k0"`, `"k1"`, `"k2"`, `"k3"`, `[{"seq":20},{"seq":21},{"seq":22},{"seq":23}]`)
}

func TestAClosedOutboxSaysSo(t *testing.T) {
	b := newBox(t, Limits{})
	add(t, b, reading(1))
	batch, _ := b.Next()
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(reading(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("Add: %v", err)
	}
	if err := b.Done(batch); !errors.Is(err, ErrClosed) {
		t.Errorf("Done: %v", err)
	}
	if _, ok := b.Next(); ok {
		t.Error("Next has something")
	}
	if _, err := b.log.Box("K-9", Limits{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Box: %v", err)
	}
	if err := b.log.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}
