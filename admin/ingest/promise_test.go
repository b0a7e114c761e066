package ingest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// sample is a reading taken some milliseconds after a fixed moment.
func sample(serial string, seq, ms int, value float64) string {
	at := base.Add(time.Duration(ms) * time.Millisecond)
	return fmt.Sprintf(`{"timestamp":%q,"serial":%q,"session":"s","seq":%d,"hardware":{"cpu_temp":%v,"cpu_usage":%v}}`, at.Format(time.RFC3339Nano), serial, seq, value, 2*value)
}

var base = time.Now().UTC().Truncate(time.Second).Add(-10 * time.Minute)

func (r *recorder) values() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.stored {
		v, _ := r.stored[i].Value("hardware.cpu_temp")
		all = append(all, fmt.Sprint(v))
	}
	return all
}

func TestConflictsAreSetAside(t *testing.T) {
	for name, tt := range map[string]struct {
		before   []string // in the store already, before this start
		messages []string
		stored   string // values, of this start
		letters  string
	}{
		"in order":           {nil, []string{sample("K-1", 1, 1, 10), sample("K-1", 2, 2, 20)}, "10 20", ""},
		"sent again":         {nil, []string{sample("K-1", 1, 1, 10), sample("K-1", 1, 1, 10)}, "10", ""},
		"another reading":    {nil, []string{sample("K-1", 1, 1, 10), sample("K-1", 2, 1, 20), sample("K-1", 3, 2, 30)}, "10 30", "conflict"},
		"of another kiosk":   {nil, []string{sample("K-1", 1, 1, 10), sample("K-2", 2, 1, 20)}, "10 20", ""},
		"late":               {nil, []string{sample("K-1", 2, 9, 20), sample("K-1", 1, 1, 10)}, "20 10", ""},
		"late and again":     {nil, []string{sample("K-1", 2, 9, 20), sample("K-1", 1, 1, 10), sample("K-1", 1, 1, 10)}, "20 10", ""},
		"late and another":   {nil, []string{sample("K-1", 2, 9, 20), sample("K-1", 1, 1, 10), sample("K-1", 3, 1, 30)}, "20 10", "conflict"},
		"within one message": {nil, []string{"[" + sample("K-1", 1, 1, 10) + "," + sample("K-1", 2, 1, 20) + "," + sample("K-1", 3, 2, 30) + "]"}, "10 30", "conflict"},
		"stored before":      {[]string{sample("K-1", 1, 1, 10)}, []string{sample("K-1", 1, 1, 10), sample("K-1", 2, 2, 20)}, "10 20", ""},
		"another was stored before": {
			[]string{sample("K-1", 1, 1, 10), sample("K-1", 2, 2, 20)}, []string{sample("K-1", 3, 2, 30), sample("K-1", 4, 1, 40), sample("K-1", 5, 3, 50)}, "50", "conflict conflict"},
		"an old one first, then another was stored before": {
			[]string{sample("K-1", 1, 1, 10), sample("K-1", 2, 20, 20)}, []string{sample("K-1", 3, 5, 30), sample("K-1", 4, 20, 40), sample("K-1", 5, 21, 50)}, "30 50", "conflict"},
		"a conflict, then the stored one again": {
			[]string{sample("K-1", 1, 1, 10)}, []string{sample("K-1", 3, 1, 30), sample("K-1", 1, 1, 10), sample("K-1", 4, 2, 40)}, "10 40", "conflict"},
		"other metrics of as long names": {nil, []string{
			sample("K-1", 1, 1, 10), strings.NewReplacer("cpu_temp", "cpu_time", "cpu_usage", "cpu_users").Replace(sample("K-1", 1, 1, 10))}, "10", "conflict"},
		"another of the same first value": {
			[]string{sample("K-1", 1, 1, 10)},
			[]string{strings.Replace(sample("K-1", 3, 1, 10), `"cpu_usage":20`, `"cpu_usage":21`, 1)}, "", "conflict"},
		"texts alone cannot conflict": {nil, []string{
			strings.Replace(sample("K-1", 1, 1, 10), `{"cpu_temp":10,"cpu_usage":20}`, `{"state":"a"}`, 1),
			strings.Replace(sample("K-1", 2, 1, 10), `{"cpu_temp":10,"cpu_usage":20}`, `{"state":"b"}`, 1)}, "0 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRecorder()
			in, stop := begin(t, dir, r, nil)
			for _, m := range tt.before {
				accept(t, in, "K-1", protocol.ChannelTelemetry, m)
			}
			stop()
			already := len(r.stored)
			in, stop = begin(t, dir, r, nil)
			for _, m := range tt.messages {
				serial := "K-1"
				if strings.Contains(m, `"K-2"`) {
					serial = "K-2"
				}
				accept(t, in, serial, protocol.ChannelTelemetry, m)
			}
			stop()
			if got := strings.Join(r.values()[already:], " "); got != tt.stored {
				t.Errorf("stored %q, want %q", got, tt.stored)
			}
			if got := strings.Join(r.reasons(), " "); got != tt.letters {
				t.Errorf("dead letters %q, want %q", got, tt.letters)
			}
			for _, d := range r.letters {
				if !strings.Contains(d.Detail, "another reading of K-1 has the time") || len(d.Payload) == 0 || d.Payload[0] != '{' {
					t.Errorf("dead letter %+v: %s", d, d.Payload)
				}
			}
		})
	}
}

// Late readings are looked up even when there are more than are remembered.
func TestALongBackfillThatComesTwiceIsStoredOnceAndConflictsAreFound(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 1000, 5000, 1))
	array := func(from, to int, value float64) string {
		var items []string
		for i := from; i < to; i++ {
			items = append(items, sample("K-1", i, i*2, value+float64(i)))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	accept(t, in, "K-1", protocol.ChannelTelemetry, array(1, 400, 0))
	r.await(t, "the backfill", func() bool { return len(r.stored) == 400 })
	accept(t, in, "K-1", protocol.ChannelTelemetry, array(1, 400, 0))      // the acknowledgement was lost
	accept(t, in, "K-1", protocol.ChannelTelemetry, array(390, 410, 9000)) // a broken kiosk
	stop()
	if got := len(r.reasons()); got != 10 {
		t.Errorf("%d dead letters, want one for each of the 10 that conflict", got)
	}
	seen := map[int64]string{}
	for i, v := range r.values() {
		ms := r.stored[i].Time.UnixMilli()
		if was, ok := seen[ms]; ok && was != v {
			t.Errorf("two values for %d", ms)
		}
		seen[ms] = v
	}
	if len(seen) != 410 {
		t.Errorf("%d different times stored, want 410", len(seen))
	}
}

func TestAPoisonMessageStopsNobody(t *testing.T) {
	r := newRecorder()
	r.failLetters = errors.New("the database is away")
	in, stop := begin(t, t.TempDir(), r, nil)
	poison := []string{"", "{", "null", "[", "[1]", strings.Repeat("[", 100_000), `{"timestamp":"x"}`, "\xff\xfe", sample("K-2", 1, 1, 1), strings.Repeat(" ", maxPayloadBytes+10)}
	for i, p := range poison {
		accept(t, in, "K-1", protocol.ChannelTelemetry, p)
		for _, ch := range []protocol.Channel{protocol.ChannelJoin, protocol.ChannelBye, protocol.ChannelAck, "nonsense"} {
			accept(t, in, "K-1", ch, "[")
		}
		accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i+1, 1))
	}
	r.await(t, "all good readings at both sides", func() bool { return len(r.told["K-1"]) == len(poison) && r.synced == len(poison) })
	r.do(func() { r.failLetters = nil })
	stop()
	if n := len(r.letters); n != 5*len(poison) {
		t.Errorf("%d dead letters, want %d", n, 5*len(poison))
	}
}

func TestAStuckStoreShowsAndRecovers(t *testing.T) {
	r := newRecorder()
	r.fail = errors.New("InfluxDB is down")
	in, stop := begin(t, t.TempDir(), r, nil)
	for i := range 20 {
		accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i, 1))
	}
	r.await(t, "the live side", func() bool { return len(r.told["K-1"]) == 20 })
	series := func() fleet.ConsumerStatus { return in.Status().Consumers[1] }
	poll(t, "the problem to show", func() bool { return series().Problem != "" })
	if s := series(); s.Behind != 20 || s.Lag <= 0 || s.Problem != "InfluxDB is down" || s.Since.IsZero() {
		t.Errorf("while it is down: %+v", s)
	}
	if s := in.Status().Consumers[0]; s.Behind != 0 || s.Lag != 0 || s.Problem != "" {
		t.Errorf("the live side: %+v", s)
	}
	r.do(func() { r.fail = nil })
	poll(t, "the store to catch up", func() bool { s := series(); return s.Behind == 0 && s.Lag == 0 && s.Problem == "" })
	stop()
	if r.synced != 20 {
		t.Errorf("%d stored", r.synced)
	}
}

// While the live side hangs, the store gets everything, and the other way round.
func TestNeitherSideWaitsForTheOther(t *testing.T) {
	r := newRecorder()
	r.slow = make(chan struct{})
	in, stop := begin(t, t.TempDir(), r, nil)
	for i := range 5000 { // more than a batch
		if i%500 == 0 {
			accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i, 1))
		} else {
			accept(t, in, "K-1", protocol.ChannelAck, `{"id":"x","status":"received"}`)
		}
	}
	r.await(t, "the live side", func() bool { return len(r.told["K-1"]) == 5000 })
	close(r.slow)
	r.await(t, "the store", func() bool { return r.synced == 10 })
	stop()
}

func TestAPositionThatCannotBeKeptStopsNothing(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder()
	r.failCheck = errors.New("the database is away")
	r.checkpointEvery = time.Nanosecond
	in, stop := begin(t, dir, r, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 1, 1, 1))
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 2, 2, 1))
	r.await(t, "both readings", func() bool { return len(r.told["K-1"]) == 2 })
	poll(t, "the problem to show", func() bool { return strings.Contains(in.Status().Consumers[0].Problem, "the database is away") })
	r.do(func() { r.failCheck = nil })
	stop()
	again := newRecorder()
	_, stop = begin(t, dir, again, nil)
	again.await(t, "the start", func() bool { return again.started == 1 })
	stop()
	if len(again.told) != 0 {
		t.Errorf("after a checkpoint at the end these came again: %v", again.told)
	}
}

func TestAStoreThatLostPointsGetsEverythingAgain(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	for i := range 30 {
		accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i, float64(i)))
	}
	r.await(t, "the readings", func() bool { return r.synced == 30 })
	r.do(func() { r.stored, r.synced, r.fail = nil, 0, errLost })
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 31, 31, 31))
	r.await(t, "everything again", func() bool { return r.synced >= 31 })
	stop()
	seqs := map[uint64]bool{}
	for i := range r.stored {
		seqs[r.stored[i].Seq] = true
	}
	if len(seqs) != 31 || len(r.letters) != 0 {
		t.Errorf("%d different readings in the store, dead letters %v", len(seqs), r.reasons())
	}
	if n := len(r.told["K-1"]); n != 31 {
		t.Errorf("the live side was told %d readings", n)
	}
}

// A failed sync says nothing about what was appended before it, so all of that comes again.
func TestWhatCouldNotBeSyncedIsAppendedAgain(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder()
	r.failSync = errors.New("input/output error")
	in, stop := begin(t, dir, r, nil)
	for i := range 10 {
		accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i, float64(i)))
	}
	r.await(t, "an append that comes again", func() bool { return len(r.stored) >= 20 })
	poll(t, "the problem to show", func() bool { return strings.Contains(in.Status().Consumers[1].Problem, "input/output error") })
	r.do(func() { r.failSync = nil })
	poll(t, "the problem to end", func() bool { s := in.Status().Consumers[1]; return s.Problem == "" && s.Behind == 0 })
	stop()
	again := newRecorder()
	_, stop = begin(t, dir, again, nil)
	stop()
	if len(again.stored) != 0 {
		t.Errorf("after a sync %d readings came again", len(again.stored))
	}
}

// A position follows although no more readings come.
func TestTheLastReadingsAreSyncedToo(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 1, 1, 1))
	r.await(t, "the sync", func() bool { return r.synced == 1 })
	poll(t, "the position", func() bool { return in.cfg.Journal.Stats().Behind[consumerSeries] == 0 })
	stop()
}

// Until the position that was gone back to is on disk, nothing new is confirmed.
func TestARewindThatCannotBeStoredIsNotForgotten(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder()
	in, stop := begin(t, dir, r, nil)
	for i := range 5 {
		accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", i+1, i, float64(i)))
	}
	poll(t, "the position", func() bool { return in.cfg.Journal.Stats().Behind[consumerSeries] == 0 })
	block := filepath.Join(dir, consumerSeries+".cursor.tmp") // the file cannot be written
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	r.do(func() { r.stored, r.synced, r.fail = nil, 0, errLost })
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 6, 6, 6))
	r.await(t, "everything again", func() bool { return len(r.stored) >= 6 })
	poll(t, "the problem to show", func() bool { return in.Status().Consumers[1].Problem != "" })
	r.mu.Lock()
	if r.synced != 0 {
		t.Error("a sync was asked for before the position was stored")
	}
	r.mu.Unlock()
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the sync", func() bool { return r.synced >= 6 })
	stop()
}

func TestADeadLetterIsReplayed(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	letter := fleet.DeadLetter{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: []byte(sample("K-1", 1, 1, 7))}
	if err := in.Replay(letter); err != nil {
		t.Fatal(err)
	}
	var invalid *fleet.ValidationError
	for _, bad := range []fleet.DeadLetter{
		{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: []byte("{")},
		{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: []byte("[" + sample("K-1", 1, 1, 7) + `,{}]`)},
		{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: letter.Payload, Truncated: true},
		{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: letter.Payload, Reason: reasonConflict},
		{Serial: "K-1", Channel: protocol.ChannelJoin, Payload: []byte("[]")},
		{Serial: "K-1", Channel: protocol.ChannelBye, Payload: []byte("[]")},
		{Serial: "K-1", Channel: protocol.ChannelAck, Payload: []byte("{}")},
		{Serial: "K-1", Channel: "nonsense", Payload: []byte("{}")},
	} {
		if err := in.Replay(bad); !errors.As(err, &invalid) {
			t.Errorf("%s: %v, want a validation error", bad.Payload, err)
		}
	}
	stop()
	if got := r.values(); !slices.Equal(got, []string{"7"}) || len(r.letters) != 0 {
		t.Errorf("stored %v, dead letters %v", got, r.reasons())
	}
}

// Nobody sends connections and wills again, so they wait for a journal that refuses.
func TestConnectionsAndWillsWaitForAFullJournal(t *testing.T) {
	r := newRecorder()
	dir := t.TempDir()
	var full atomic.Bool
	full.Store(true)
	in, stop := begin(t, dir, r, func(c *journal.Config) {
		c.MinFreeBytes = 1000
		c.Free = func(string) (int64, error) {
			return map[bool]int64{true: 1, false: 1 << 40}[full.Load()], nil
		}
	})
	in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", Connected: true, At: time.Now()})
	if err := in.Accept(Message{Serial: "K-1", Channel: protocol.ChannelBye, Payload: []byte(`{"session":"s"}`), Will: true, ReceivedAt: time.Now()}); err != nil {
		t.Errorf("a will: %v", err)
	}
	if err := in.Accept(Message{Serial: "K-1", Channel: protocol.ChannelTelemetry, Payload: []byte(reading("K-1", 1)), ReceivedAt: time.Now()}); err == nil {
		t.Error("a reading is accepted")
	}
	if s := in.Status(); s.Accepting || s.Refusal == "" {
		t.Errorf("status %+v", s)
	}
	in.AcceptConnection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "c1", At: time.Now()})
	full.Store(false)
	r.await(t, "all of it in its order", func() bool {
		return slices.Equal(r.told["K-1"], []string{"connection c1 true clean=false takenover=false", "bye s", "connection c1 false clean=false takenover=false"})
	})
	if s := in.Status(); !s.Accepting {
		t.Errorf("status %+v", s)
	}
	stop()
}

// poll waits until ok holds.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
