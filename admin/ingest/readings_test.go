package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestTheJournalGivesReadingsAsLiveWasToldThem(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	defer stop()
	if oldest, err := in.Oldest(t.Context()); err != nil || !oldest.IsZero() {
		t.Errorf("an empty journal holds everything since %s, %v", oldest, err)
	}
	send := func(serial string, channel protocol.Channel, seconds int, payload string) {
		t.Helper()
		if err := in.Accept(Message{Serial: serial, Channel: channel, Payload: []byte(payload), ReceivedAt: base.Add(time.Duration(seconds) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	send("K-1", protocol.ChannelTelemetry, 0, sample("K-1", 1, 0, 50))
	send("K-2", protocol.ChannelTelemetry, 1, sample("K-2", 1, 0, 50))
	send("K-1", protocol.ChannelTelemetry, 2, `{"timestamp":"yesterday"}`)
	send("K-1", protocol.ChannelBye, 3, `{"session":"s"}`)
	send("K-1", protocol.ChannelTelemetry, 4, "["+sample("K-1", 2, 2000, 51)+`,{"timestamp":7},`+sample("K-1", 3, 3000, 52)+"]")
	send("K-1", protocol.ChannelTelemetry, 5, sample("K-1", 2, 2000, 51)) // again
	send("K-1", protocol.ChannelTelemetry, 9, sample("K-1", 4, 9000, 53))
	r.await(t, "both sides have everything", func() bool { return len(r.told["K-1"]) == 6 && len(r.told["K-2"]) == 1 && len(r.letters) == 2 })

	behind := in.cfg.Journal.Stats().Behind
	if len(behind) != 2 {
		t.Errorf("readers %v", behind)
	}
	replay := func(from, to int, serials ...string) (told []string, sources []fleet.Source) {
		t.Helper()
		of := func(serial string) bool { return slices.Contains(serials, serial) }
		err := in.Readings(t.Context(), of, base.Add(time.Duration(from)*time.Second), base.Add(time.Duration(to)*time.Second), func(x *fleet.Reading) error {
			told = append(told, fmt.Sprintf("reading %d at %s", x.Seq, x.Site))
			sources = append(sources, x.Source)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return told, sources
	}
	all, sources := replay(0, 60, "K-1")
	r.mu.Lock()
	want := slices.DeleteFunc(slices.Clone(r.told["K-1"]), func(s string) bool { return s == "bye s" })
	r.mu.Unlock()
	if !slices.Equal(all, want) {
		t.Errorf("got %q, live was told %q", all, want)
	}
	for i, s := range sources {
		if i > 0 && !s.After(sources[i-1]) {
			t.Errorf("%v does not come after %v", s, sources[i-1])
		}
		if !slices.Contains(r.sources, s) {
			t.Errorf("live was not told %v", s)
		}
	}
	if some, _ := replay(4, 9, "K-1", "K-2"); !slices.Equal(some, want[1:4]) {
		t.Errorf("of some seconds: %q", some)
	}
	if now := in.cfg.Journal.Stats(); len(now.Behind) != 2 {
		t.Errorf("the replay left readers: %v", now.Behind)
	}
	if oldest, err := in.Oldest(t.Context()); err != nil || !oldest.Equal(base.Add(unordered)) {
		t.Errorf("the journal holds everything since %s, %v", oldest, err)
	}

	stopped := errors.New("enough")
	if err := in.Readings(t.Context(), func(string) bool { return true }, base, base.Add(time.Hour), func(*fleet.Reading) error { return stopped }); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Readings(ctx, func(string) bool { return true }, base, base.Add(time.Hour), func(*fleet.Reading) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
