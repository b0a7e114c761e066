package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

// streamWriter is the network side of an open stream: it keeps what was written, and while it is stalled
// a write waits for its deadline, as on a connection whose peer does not read.
type streamWriter struct {
	header http.Header

	mu       sync.Mutex
	code     int
	text     strings.Builder
	deadline time.Time
	stalled  chan struct{} // nil: reads along
	flushed  int
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.code = code
}

func (w *streamWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	stalled, deadline := w.stalled, w.deadline
	w.mu.Unlock()
	if stalled != nil {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select {
		case <-stalled:
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *streamWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed = w.text.Len()
}

func (w *streamWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *streamWriter) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stalled = make(chan struct{})
}

func (w *streamWriter) readOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.stalled)
	w.stalled = nil
}

// message is one event of a stream.
type message struct {
	name string
	data map[string]any
}

func (m message) String() string {
	if serial, ok := m.data["serial"]; ok {
		return fmt.Sprintf("%s %s", m.name, serial)
	}
	return m.name
}

// listener is a client of the live stream, in the bubble of a synctest.
type listener struct {
	*site
	w    *streamWriter
	stop context.CancelFunc
	done chan struct{} // closed when the stream has ended
}

func listen(t *testing.T, s *site, query, role string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{site: s, w: &streamWriter{header: http.Header{}}, stop: cancel, done: make(chan struct{})}
	req := httptest.NewRequestWithContext(ctx, "GET", Prefix+"/events?"+query, nil)
	as(role)(req)
	go func() {
		defer close(l.done)
		s.ServeHTTP(l.w, req)
	}()
	t.Cleanup(func() { cancel(); <-l.done })
	synctest.Wait()
	return l
}

// heard waits until everything that is due has come, and returns it since the last call.
func (l *listener) heard() []message {
	l.t.Helper()
	time.Sleep(2 * coalesce)
	synctest.Wait()
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.flushed != l.w.text.Len() {
		l.t.Error("something was written and not flushed")
	}
	var out []message
	for _, block := range strings.Split(l.w.text.String(), "\n\n") {
		name, data, ok := strings.Cut(block, "\ndata: ")
		if !ok {
			continue // a comment
		}
		m := message{name: strings.TrimPrefix(name, "event: ")}
		if err := json.Unmarshal([]byte(data), &m.data); err != nil {
			l.t.Errorf("%v: %s", err, block)
		}
		out = append(out, m)
	}
	l.w.text.Reset()
	l.w.flushed = 0
	return out
}

func names(messages []message) string {
	var out []string
	for _, m := range messages {
		out = append(out, m.String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (l *listener) ended() bool {
	synctest.Wait()
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// report gives a kiosk a reading and tells the hub.
func (s *site) report(serial string, seq uint64) {
	s.mu.Lock()
	live := *s.lives[serial]
	live.LastReading = &fleet.Reading{Serial: serial, Seq: seq, Time: start, ReceivedAt: start}
	s.lives[serial] = &live
	s.mu.Unlock()
	s.hub.Reading(serial)
}

// bubble runs a test with a fake clock on a site with the kiosks K-1 to K-3.
func bubble(t *testing.T, f func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		for _, serial := range []string{"K-1", "K-2", "K-3"} {
			s.add(serial)
		}
		f(t, s)
	})
}

func TestTheStreamTellsWhatChanges(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		if l.w.code != 200 || l.w.header.Get("Content-Type") != "text/event-stream" || l.w.text.String() != ": connected\n\n" {
			t.Errorf("%d %v %q", l.w.code, l.w.header, l.w.text.String())
		}
		s.hub.Kiosk("K-1")
		s.hub.Command(fleet.Command{ID: "c1", Serial: "K-2", Status: fleet.CommandSent})
		s.report("K-3", 7)
		got := l.heard()
		if names(got) != "command K-2, kiosk K-1, reading K-3" {
			t.Fatalf("heard %v", got)
		}
		for _, m := range got {
			switch m.name {
			case "kiosk":
				if m.data["verdict"] != "unknown" {
					t.Errorf("kiosk = %v", m.data)
				}
			case "command":
				if m.data["id"] != "c1" || m.data["status"] != "sent" {
					t.Errorf("command = %v", m.data)
				}
			case "reading":
				if r, _ := m.data["reading"].(map[string]any); r["seq"] != 7.0 {
					t.Errorf("reading = %v", m.data)
				}
			}
		}
		s.remove("K-1")
		s.hub.Removed("K-1")
		if got := l.heard(); names(got) != "removed K-1" {
			t.Errorf("heard %v", got)
		}
		l.stop()
		if !l.ended() || len(s.hub.clients) != 0 {
			t.Errorf("after the client went: ended %v, %d clients", l.ended(), len(s.hub.clients))
		}
	})
}

func TestChangesOfAMomentTravelTogether(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		for range 50 {
			s.hub.Kiosk("K-1")
			s.hub.Kiosk("K-2")
		}
		if got := l.heard(); names(got) != "kiosk K-1, kiosk K-2" {
			t.Errorf("heard %v", got)
		}
	})
}

func TestReadingsComeAtMostOnceASecond(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		var seqs []any
		count := 0
		for seq := range uint64(100) { // ten seconds, ten readings a second
			s.report("K-1", seq)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * readingsEvery)
		for _, m := range l.heard() {
			count++
			r, _ := m.data["reading"].(map[string]any)
			seqs = append(seqs, r["seq"])
		}
		if count < 8 || count > 11 {
			t.Errorf("%d readings in ten seconds", count)
		}
		if len(seqs) == 0 || seqs[len(seqs)-1] != 99.0 {
			t.Errorf("sequence numbers = %v, the last must come", seqs)
		}
	})
}

func TestAStreamOfOneKiosk(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "serial=K-2", "viewer")
		for _, serial := range []string{"K-1", "K-2"} {
			s.hub.Kiosk(serial)
			s.report(serial, 1)
			s.hub.Command(fleet.Command{Serial: serial})
			s.hub.Removed("K-1")
		}
		if got := l.heard(); names(got) != "command K-2, kiosk K-2, reading K-2" {
			t.Errorf("heard %v", got)
		}
	})
}

func TestAStreamOfSomeTypes(t *testing.T) {
	tests := []struct{ types, want string }{
		{"", "command K-1, kiosk K-1, reading K-1, removed K-3"},
		{"kiosk", "kiosk K-1"},
		{"reading,command", "command K-1, reading K-1"},
		{"removed,", "removed K-3"},
		{"alert,incident,job", ""},
	}
	for _, tt := range tests {
		t.Run(tt.types, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *site) {
				l := listen(t, s, "types="+tt.types, "viewer")
				s.hub.Kiosk("K-1")
				s.report("K-1", 1)
				s.hub.Command(fleet.Command{Serial: "K-1"})
				s.hub.Removed("K-3")
				if got := l.heard(); names(got) != tt.want {
					t.Errorf("heard %v, want %s", got, tt.want)
				}
			})
		})
	}
	s := newSite(t)
	if p := decode[problem](t, s.do("GET", "/events?types=kiosk,weather", "", as("viewer")), 422); p.Violations[0].Field != "types" {
		t.Errorf("an unknown type: %+v", p)
	}
	if rec := s.do("GET", "/events", ""); rec.Code != 401 {
		t.Errorf("without credentials: %d", rec.Code)
	}
}

func TestAKioskThatIsGoneIsNotToldOf(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		s.hub.Kiosk("K-9")
		s.hub.Reading("K-9")
		s.hub.Reading("K-1") // it has no reading yet
		s.hub.Kiosk("K-2")
		s.report("K-2", 1)
		s.remove("K-2")
		s.hub.Removed("K-2")
		if got := l.heard(); names(got) != "removed K-2" {
			t.Errorf("heard %v", got)
		}
		// Registered again before the client has taken the removal: it must end up knowing the new one.
		s.hub.Removed("K-2")
		s.add("K-2")
		s.hub.Kiosk("K-2")
		if got := l.heard(); len(got) != 2 || got[0].name != "removed" || got[1].name != "kiosk" {
			t.Errorf("heard %v", got)
		}
	})
}

func TestASlowClientGetsTheNewestOrIsToldToLoadAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		l.w.stall()
		s.hub.Kiosk("K-1")
		time.Sleep(2 * coalesce) // the stream is stuck in writing this
		for i := range maxQueued {
			s.hub.Command(fleet.Command{ID: fmt.Sprint(i), Serial: "K-2"})
		}
		for range 10_000 {
			s.hub.Kiosk("K-3")
		}
		l.w.readOn()
		if got := l.heard(); len(got) != maxQueued+2 || got[0].String() != "kiosk K-1" || got[1].data["id"] != "0" || got[len(got)-1].String() != "kiosk K-3" {
			t.Errorf("heard %d events", len(got))
		}

		l.w.stall()
		s.hub.Kiosk("K-1")
		time.Sleep(2 * coalesce)
		for i := range maxQueued + 1 {
			s.hub.Command(fleet.Command{ID: fmt.Sprint(i), Serial: "K-2"})
		}
		s.hub.Kiosk("K-2")
		l.w.readOn()
		if got := l.heard(); fmt.Sprint(got) != "[kiosk K-1 resync kiosk K-2]" {
			t.Errorf("heard %d events: %v", len(got), got[:min(5, len(got))])
		}
		s.hub.Command(fleet.Command{ID: "after", Serial: "K-2"})
		if got := l.heard(); names(got) != "command K-2" {
			t.Errorf("after the resync: %v", got)
		}
	})
}

func TestAClientThatStopsReadingIsLetGo(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		other := listen(t, s, "", "viewer")
		l.w.stall()
		s.hub.Kiosk("K-1")
		if got := other.heard(); names(got) != "kiosk K-1" {
			t.Errorf("the other client heard %v", got)
		}
		time.Sleep(writeTimeout - 10*coalesce)
		if l.ended() {
			t.Error("it was let go too soon")
		}
		time.Sleep(20 * coalesce)
		if !l.ended() || other.ended() || len(s.hub.clients) != 1 {
			t.Errorf("ended: %v, the other: %v, %d clients", l.ended(), other.ended(), len(s.hub.clients))
		}
	})
}

func TestAQuietStreamShowsThatItLives(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		time.Sleep(2*heartbeatEvery + time.Second)
		synctest.Wait()
		l.w.mu.Lock()
		text := l.w.text.String()
		l.w.mu.Unlock()
		if n := strings.Count(text, ": alive\n\n"); n != 2 {
			t.Errorf("%d signs of life in %s", n, 2*heartbeatEvery)
		}
	})
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		l := listen(t, s, "", "viewer")
		s.mu.Lock()
		s.failing = errInner // a database that is away ends no session
		s.mu.Unlock()
		time.Sleep(heartbeatEvery)
		if l.ended() {
			t.Error("ended by a failing database")
		}
		s.mu.Lock()
		s.failing = fleet.ErrUnauthorized
		s.mu.Unlock()
		time.Sleep(heartbeatEvery)
		if !l.ended() {
			t.Error("the stream outlives its session")
		}
	})
}

func TestCloseEndsEveryStream(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		first, second := listen(t, s, "", "viewer"), listen(t, s, "serial=K-1", "viewer")
		s.hub.Close()
		time.Sleep(2 * coalesce)
		if !first.ended() || !second.ended() {
			t.Errorf("ended: %v, %v", first.ended(), second.ended())
		}
		late := listen(t, s, "", "viewer")
		time.Sleep(2 * coalesce)
		if !late.ended() {
			t.Error("a stream that came after Close stays open")
		}
		if len(s.hub.clients) != 0 {
			t.Errorf("%d clients stay", len(s.hub.clients))
		}
		s.hub.Kiosk("K-1") // nobody listens; it must not block or panic
		s.hub.Close()
	})
}

func TestTheHubIsSafeForConcurrentUse(t *testing.T) {
	hub := NewHub()
	var wg sync.WaitGroup
	for i := range 8 {
		serial := fmt.Sprintf("K-%d", i)
		wg.Go(func() {
			for range 500 {
				hub.Kiosk(serial)
				hub.Reading(serial)
				hub.Command(fleet.Command{Serial: serial})
				hub.Removed(serial)
			}
		})
		wg.Go(func() {
			for range 50 {
				c := hub.join("")
				for range 10 {
					d := c.take()
					for range d.kiosks {
						continue
					}
				}
				hub.leave(c)
			}
		})
	}
	wg.Wait()
	if len(hub.clients) != 0 {
		t.Errorf("%d clients left", len(hub.clients))
	}
}

// Over a real connection, as browsers read it.
func TestTheStreamOverHTTP(t *testing.T) {
	s := newSite(t)
	s.add("K-1")
	srv := httptest.NewServer(s)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+Prefix+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	as("viewer")(req)
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != ": connected" {
		t.Fatalf("first line = %q, %v", lines.Text(), lines.Err())
	}
	s.hub.Kiosk("K-1")
	for lines.Scan() && lines.Text() != "event: kiosk" {
		continue
	}
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `data: {"serial":"K-1"`) {
		t.Errorf("data = %q, %v", lines.Text(), lines.Err())
	}
	s.hub.Close()
	for lines.Scan() {
		continue
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream did not end cleanly: %v", err)
	}
}
