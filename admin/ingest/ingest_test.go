package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

const patience = 10 * time.Second

// recorder is both ends of ingest: it keeps what it is told and what it is given to store.
type recorder struct {
	mu      sync.Mutex
	told    map[string][]string // by serial, in order
	started int
	stored  []fleet.Reading
	synced  int // readings stored at the last sync
	fail    error
	changed chan struct{}
}

func newRecorder() *recorder {
	return &recorder{told: map[string][]string{}, changed: make(chan struct{}, 1)}
}

func (r *recorder) do(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *recorder) tell(serial, what string) {
	r.do(func() { r.told[serial] = append(r.told[serial], what) })
}

func (r *recorder) Reading(_ context.Context, x *fleet.Reading) {
	r.tell(x.Serial, fmt.Sprintf("reading %d at %s", x.Seq, x.Site))
}
func (r *recorder) Joined(_ context.Context, serial, connection string, j protocol.Join, _ time.Time) {
	r.tell(serial, "join "+j.Session+" by "+connection)
}
func (r *recorder) Bye(_ context.Context, serial, _ string, b protocol.Bye, _ time.Time) {
	r.tell(serial, "bye "+b.Session)
}
func (r *recorder) Acked(_ context.Context, serial string, a protocol.Ack, _ time.Time) {
	r.tell(serial, "ack "+a.ID)
}
func (r *recorder) Connection(_ context.Context, e fleet.ConnectionEvent) {
	r.tell(e.Serial, fmt.Sprintf("connection %s %v clean=%v takenover=%v", e.ConnectionID, e.Connected, e.Clean, e.TakenOver))
}
func (r *recorder) Started(context.Context) { r.do(func() { r.started++ }) }

func (r *recorder) Append(_ context.Context, readings []fleet.Reading) error {
	var err error
	r.do(func() {
		if err = r.fail; err == nil {
			r.stored = append(r.stored, readings...)
		}
	})
	return err
}

func (r *recorder) Sync(context.Context) error {
	r.do(func() { r.synced = len(r.stored) })
	return nil
}

func (r *recorder) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		held := ok()
		r.mu.Unlock()
		if held {
			return
		}
		select {
		case <-r.changed:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("not within %s: %s; told %v, stored %d", patience, what, r.told, len(r.stored))
		}
	}
}

var errRejected = errors.New("rejected the second")

// begin opens an ingest on a folder and runs it; stop ends it cleanly.
func begin(t *testing.T, dir string, r *recorder, change func(*journal.Config)) (in *Ingest, stop func()) {
	t.Helper()
	cfg := journal.Config{Dir: dir}
	if change != nil {
		change(&cfg)
	}
	j, err := journal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	in, err = Open(Config{
		Journal: j, Live: r, Series: r, SiteOf: func(string) string { return "hall" }, Window: time.Hour, Log: slog.New(slog.DiscardHandler),
		Retry: func(error) time.Duration { return 0 },
		Rejected: func(err error) map[int]string {
			if errors.Is(err, errRejected) {
				return map[int]string{1: "no good"}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return in, stop
}

func accept(t *testing.T, in *Ingest, serial string, ch protocol.Channel, payload string) {
	t.Helper()
	err := in.Accept(Message{Serial: serial, Channel: ch, Payload: []byte(payload), ConnectionID: "c1", ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

func reading(serial string, seq int) string {
	return fmt.Sprintf(`{"timestamp":%q,"serial":%q,"seq":%d,"hardware":{"cpu_temp":50}}`, time.Now().UTC().Format(time.RFC3339Nano), serial, seq)
}

func TestWhatAKioskSendsIsToldInOrderAndStored(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	if err := in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", Connected: true, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	accept(t, in, "K-1", protocol.ChannelJoin, `{"session":"s"}`)
	accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", 1))
	accept(t, in, "K-1", protocol.ChannelTelemetry, `not JSON`)
	accept(t, in, "K-1", protocol.ChannelTelemetry, "["+reading("K-1", 2)+","+reading("K-1", 3)+"]")
	accept(t, in, "K-1", protocol.ChannelAck, `{"id":"x","status":"received"}`)
	accept(t, in, "K-1", protocol.ChannelBye, `{"session":"s"}`)
	if err := in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", Clean: true, TakenOver: true, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	stop()
	want := []string{
		"connection c1 true clean=false takenover=false", "join s by c1", "reading 1 at hall", "reading 2 at hall", "reading 3 at hall",
		"ack x", "bye s", "connection c1 false clean=true takenover=true",
	}
	if !slices.Equal(r.told["K-1"], want) {
		t.Errorf("told %q", r.told["K-1"])
	}
	if len(r.stored) != 3 || r.synced != 3 || r.started != 1 {
		t.Errorf("stored %d, synced %d, started %d", len(r.stored), r.synced, r.started)
	}
}

func TestManyKiosksKeepTheirOwnOrder(t *testing.T) {
	const kiosks, each = 40, 50
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	var wg sync.WaitGroup
	for k := range kiosks {
		wg.Go(func() {
			for i := range each {
				accept(t, in, fmt.Sprintf("K-%d", k), protocol.ChannelTelemetry, reading(fmt.Sprintf("K-%d", k), i+1))
			}
		})
	}
	wg.Wait()
	stop()
	for k := range kiosks {
		told := r.told[fmt.Sprintf("K-%d", k)]
		if len(told) != each {
			t.Fatalf("kiosk %d: told %d times", k, len(told))
		}
		for i, what := range told {
			if what != fmt.Sprintf("reading %d at hall", i+1) {
				t.Fatalf("kiosk %d, %d: %s", k, i, what)
			}
		}
	}
	if len(r.stored) != kiosks*each {
		t.Errorf("stored %d", len(r.stored))
	}
}

func TestAStoreThatFailsDelaysNobodyElseAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder()
	r.fail = errors.New("InfluxDB is down")
	in, stop := begin(t, dir, r, nil)
	for i := range 20 {
		accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", i+1))
	}
	r.await(t, "the live side", func() bool { return len(r.told["K-1"]) == 20 })
	stop() // with the store still down

	again := newRecorder()
	in, stop = begin(t, dir, again, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", 21))
	again.await(t, "all readings in the store", func() bool { return len(again.stored) == 21 && again.synced == 21 })
	stop()
	if n := len(again.told["K-1"]); n != 1 {
		t.Errorf("after a clean end %d readings came again to the live side, want only the new one", n)
	}
}

func TestAfterACrashEverythingUnfinishedComesAgain(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	in, err := Open(Config{Journal: j, Live: r, Series: r, SiteOf: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", 1)) // acknowledged, and nothing more
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, stop := begin(t, dir, r, nil)
	r.await(t, "the reading", func() bool { return len(r.told["K-1"]) == 1 && r.synced == 1 })
	stop()
	if r.started != 1 {
		t.Errorf("told of %d starts", r.started)
	}
}

func TestAReadingThatTheStoreRefusesIsSetAside(t *testing.T) {
	r := newRecorder()
	r.fail = errRejected
	dir := t.TempDir()
	in, stop := begin(t, dir, r, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, "["+reading("K-1", 1)+","+reading("K-1", 2)+"]")
	r.await(t, "the live side", func() bool { return len(r.told["K-1"]) == 2 })
	stop()

	again := newRecorder()
	in, stop = begin(t, dir, again, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", 3))
	again.await(t, "the next reading", func() bool { return len(again.stored) > 0 })
	stop()
	if len(again.stored) != 1 || again.stored[0].Seq != 3 {
		t.Errorf("what was refused came again: %+v", again.stored)
	}
}

func TestWhatWasReadBeforeABadSegmentIsWorkedOn(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Config{Dir: dir, SegmentBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	in, err := Open(Config{Journal: j, SiteOf: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	const readings = 6 // of 250 KB: more than a segment holds
	for i := range readings {
		accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", i+1)+strings.Repeat(" ", 250<<10))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(segments) != 2 {
		t.Fatal(segments, err)
	}
	j, err = journal.Open(journal.Config{Dir: dir, SegmentBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	hidden := segments[1] + ".hidden"
	if err := os.Rename(segments[1], hidden); err != nil {
		t.Fatal(err)
	}
	reader, err := j.Reader(consumerLive)
	if err != nil {
		t.Fatal(err)
	}
	c := &consumer{name: consumerLive, reader: reader, log: slog.New(slog.DiscardHandler)}
	batch, last, err := c.take(t.Context(), t.Context())
	if err != nil || len(batch) == 0 || len(batch) == readings {
		t.Fatalf("before the bad segment: %d records, %v", len(batch), err)
	}
	if _, _, err := c.take(t.Context(), t.Context()); err == nil {
		t.Error("the bad segment is no error")
	}
	if err := os.Rename(hidden, segments[1]); err != nil {
		t.Fatal(err)
	}
	rest, end, err := c.take(t.Context(), t.Context())
	if err != nil || len(batch)+len(rest) != readings || rest[0].number != last+1 || end != readings {
		t.Errorf("after its return: %d and %d records up to %d, %v", len(batch), len(rest), end, err)
	}
	reader.Close()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFullJournalRefusesInsteadOfWaiting(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, func(c *journal.Config) { c.MinFreeBytes = 1 << 60 })
	err := in.Accept(Message{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: []byte("{}"), ReceivedAt: time.Now()})
	if !errors.Is(err, journal.ErrSpace) {
		t.Errorf("error = %v", err)
	}
	stop()
}

func FuzzDecodeRecord(f *testing.F) {
	r := record{kind: kindMessage, at: time.UnixMilli(1).UTC(), serial: "K-1", site: "hall", connection: "c", channel: "telemetry", payload: []byte("{}")}
	f.Add(r.encode(nil))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := decodeRecord(got.encode(nil))
		if err != nil || again.serial != got.serial || string(again.payload) != string(got.payload) || !again.at.Equal(got.at) {
			t.Errorf("%+v became %+v, %v", got, again, err)
		}
	})
}
