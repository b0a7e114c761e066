package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
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

// recorder is everything around ingest: it keeps what it is told and what it is given to store.
type recorder struct {
	mu              sync.Mutex
	told            map[string][]string // by serial, in order
	sources         []fleet.Source
	started         int
	checkpoints     int
	stored          []fleet.Reading
	synced          int // readings stored at the last sync
	letters         map[fleet.Source]fleet.DeadLetter
	fail            error // of Append
	failSync        error
	failLetters     error
	failCheck       error // of Checkpoint
	checkpointEvery time.Duration
	slow            chan struct{} // Append waits for it, if it is set
	changed         chan struct{}
}

func newRecorder() *recorder {
	return &recorder{told: map[string][]string{}, letters: map[fleet.Source]fleet.DeadLetter{}, changed: make(chan struct{}, 1)}
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
	r.do(func() { r.sources = append(r.sources, x.Source) })
	r.tell(x.Serial, fmt.Sprintf("reading %d at %s", x.Seq, x.Site))
}
func (r *recorder) Joined(_ context.Context, o fleet.Origin, j protocol.Join) {
	r.tell(o.Serial, "join "+j.Session+" by "+o.ConnectionID)
}
func (r *recorder) Bye(_ context.Context, o fleet.Origin, b protocol.Bye) {
	r.tell(o.Serial, "bye "+b.Session)
}
func (r *recorder) Acked(_ context.Context, o fleet.Origin, a protocol.Ack) {
	r.tell(o.Serial, "ack "+a.ID)
}
func (r *recorder) Connection(_ context.Context, e fleet.ConnectionEvent) {
	r.tell(e.Serial, fmt.Sprintf("connection %s %v clean=%v takenover=%v", e.ConnectionID, e.Connected, e.Clean, e.TakenOver))
}
func (r *recorder) Started(context.Context) { r.do(func() { r.started++ }) }
func (r *recorder) Room(context.Context)    {}
func (r *recorder) Checkpoint(context.Context) (err error) {
	r.do(func() { r.checkpoints++; err = r.failCheck })
	return err
}

func (r *recorder) Append(ctx context.Context, readings []fleet.Reading) (err error) {
	r.mu.Lock()
	slow := r.slow
	r.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.do(func() {
		err = r.fail
		if errors.Is(err, errLost) {
			r.fail = nil // it says so once
		}
		if err == nil {
			r.stored = append(r.stored, readings...)
		}
	})
	return err
}

func (r *recorder) Sync(context.Context) (err error) {
	r.do(func() {
		if err = r.failSync; err == nil {
			r.synced = len(r.stored)
		}
	})
	return err
}

func (r *recorder) Values(_ context.Context, metric string, serials []string, from, to time.Time, found func(string, time.Time, float64)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.stored {
		x := &r.stored[i]
		if v, ok := x.Value(metric); ok && slices.Contains(serials, x.Serial) && !x.Time.Before(from) && x.Time.Before(to) {
			found(x.Serial, x.Time, v)
		}
	}
	return nil
}

func (r *recorder) AddDeadLetters(_ context.Context, letters []fleet.DeadLetter) (err error) {
	r.do(func() {
		if err = r.failLetters; err == nil {
			for _, d := range letters {
				r.letters[d.Source] = d
			}
		}
	})
	return err
}

// reasons returns the reasons of the dead letters in the order of their sources.
func (r *recorder) reasons() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slices.SortedFunc(maps.Keys(r.letters), func(a, b fleet.Source) int {
		return map[bool]int{true: 1, false: -1}[a.After(b)]
	}) {
		all = append(all, r.letters[s].Reason)
	}
	return all
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

var (
	errRejected = errors.New("rejected the second")
	errLost     = errors.New("lost")
)

// begin opens an ingest on a folder and runs it; stop ends it cleanly.
func begin(t *testing.T, dir string, r *recorder, change func(*journal.Config)) (in *Ingest, stop func()) {
	t.Helper()
	cfg := journal.Config{Dir: dir, First: 1}
	if change != nil {
		change(&cfg)
	}
	j, err := journal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	in, err = Open(Config{
		Journal: j, Live: r, Series: r, DeadLetters: r, SiteOf: func(string) string { return "hall" }, Window: time.Hour, CheckpointEvery: r.checkpointEvery, Log: slog.New(slog.DiscardHandler),
		Retry: func(error) time.Duration { return 0 }, Lost: func(err error) bool { return errors.Is(err, errLost) },
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

func reading(serial string, seq int) string { return sample(serial, seq, seq, 50) }

func TestWhatAKioskSendsIsToldInOrderAndStored(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", Connected: true, At: time.Now()})
	accept(t, in, "K-1", protocol.ChannelJoin, `{"session":"s"}`)
	accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", 1))
	accept(t, in, "K-1", protocol.ChannelTelemetry, `not JSON`)
	accept(t, in, "K-1", protocol.ChannelTelemetry, "["+reading("K-1", 2)+","+reading("K-1", 3)+"]")
	accept(t, in, "K-1", protocol.ChannelAck, `{"id":"x","status":"received"}`)
	accept(t, in, "K-1", protocol.ChannelBye, `{"session":"s"}`)
	in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", Clean: true, TakenOver: true, At: time.Now()})
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
	if want := []fleet.Source{{Record: 3}, {Record: 5}, {Record: 5, Item: 1}}; !slices.Equal(r.sources, want) {
		t.Errorf("sources %v, want %v", r.sources, want)
	}
	if letter := r.letters[fleet.Source{Record: 4}]; len(r.letters) != 1 || letter.Reason != reasonMalformed || string(letter.Payload) != "not JSON" || letter.Serial != "K-1" || letter.Site != "hall" {
		t.Errorf("dead letters %+v", r.letters)
	}
	if r.checkpoints != 1 {
		t.Errorf("%d checkpoints, want one at the end", r.checkpoints)
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
	j, err := journal.Open(journal.Config{Dir: dir, First: 1})
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
	letter := r.letters[fleet.Source{Record: 1, Item: 1}]
	if len(r.letters) != 1 || letter.Reason != reasonRejected || letter.Detail != "no good" || !strings.Contains(string(letter.Payload), `"seq":2`) || strings.Contains(string(letter.Payload), `"seq":1`) {
		t.Errorf("dead letters %+v", r.letters)
	}
}

func TestWhatWasReadBeforeABadSegmentIsWorkedOn(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Config{Dir: dir, SegmentBytes: 1, First: 1})
	if err != nil {
		t.Fatal(err)
	}
	in, err := Open(Config{Journal: j, SiteOf: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 250<<10) // nobody decodes it here
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	const readings = 6 // of 250 KB: more than a segment holds
	for i := range readings {
		accept(t, in, "K-1", protocol.ChannelTelemetry, reading("K-1", i+1)+string(noise))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(segments) != 2 {
		t.Fatal(segments, err)
	}
	j, err = journal.Open(journal.Config{Dir: dir, SegmentBytes: 1, First: 1})
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
	batch, last, err := c.take(t.Context(), t.Context(), time.Time{})
	if err != nil || len(batch) == 0 || len(batch) == readings {
		t.Fatalf("before the bad segment: %d records, %v", len(batch), err)
	}
	if _, _, err := c.take(t.Context(), t.Context(), time.Time{}); err == nil {
		t.Error("the bad segment is no error")
	}
	if err := os.Rename(hidden, segments[1]); err != nil {
		t.Fatal(err)
	}
	rest, end, err := c.take(t.Context(), t.Context(), time.Time{})
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
