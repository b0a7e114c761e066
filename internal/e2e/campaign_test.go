package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/testkit/load"
)

// The campaigns put a platform under load, break something, and then hold the store to what was
// acknowledged, reading by reading. They share what is in this file.

// The wait until the time-series store has what the journal holds ends after settling, or after stalled
// without any progress.
const (
	settling = 2 * time.Minute
	stalled  = 25 * time.Second
)

// publishers enrols n kiosks with serials that begin with the prefix; each changes what a client does.
func (p *platform) publishers(t *testing.T, n int, prefix string, each func(i int, c *load.Config)) []*load.Client {
	t.Helper()
	serials := make([]string, n)
	for i := range serials {
		serials[i] = fmt.Sprintf("SIM-KIOSK-%s%03d", prefix, i)
	}
	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), serials)
	if err != nil {
		t.Fatal(err)
	}
	stats := new(load.Stats)
	clients := make([]*load.Client, n)
	for i, id := range ids {
		cfg := load.Config{Broker: id.Broker, TLS: id.TLS, Serial: id.Serial, QoS: 1, Stats: stats}
		each(i, &cfg)
		if clients[i], err = load.New(cfg); err != nil {
			t.Fatal(err)
		}
	}
	return clients
}

// mix spreads clients evenly over the versions of MQTT and the qualities that acknowledge.
func mix(i int, c *load.Config) {
	c.Version = []byte{load.MQTT311, load.MQTT5}[i%2]
	c.QoS = []byte{1, 2}[i/2%2]
}

// acked is how many readings of the clients were acknowledged.
func acked(clients []*load.Client) (n int) {
	for _, c := range clients {
		n += c.Ledger().Acked()
	}
	return n
}

// awaitAcked waits until more readings were acknowledged.
func awaitAcked(t *testing.T, clients []*load.Client, more int) {
	t.Helper()
	enough := acked(clients) + more
	within(t, patience, 2*time.Millisecond, fmt.Sprintf("%d more acknowledged readings", more), func() error {
		if n := acked(clients); n < enough {
			return fmt.Errorf("%d are missing; %s; last failure: %s", enough-n, clients[0].Stats(), clients[0].Stats().LastFailure())
		}
		return nil
	})
}

// sentBy collects what clients have sent, by serial.
func sentBy(clients []*load.Client) map[string][]load.Entry {
	out := map[string][]load.Entry{}
	for _, c := range clients {
		out[c.Serial()] = append(out[c.Serial()], c.Ledger().Entries()...)
	}
	return out
}

// holdToAcknowledged compares the time-series store with what was sent, one by one: every acknowledged
// reading is in the store, once, under its time, and the store has nothing that was not sent. A reading
// that was sent and not acknowledged may be there or not. What is missing has some time to come out of
// the journal.
func (p *platform) holdToAcknowledged(t *testing.T, sent map[string][]load.Entry) {
	t.Helper()
	begin, moved := time.Now(), time.Now()
	total, faults := 0, 0
	for serial, entries := range sent {
		if len(entries) == 0 {
			continue
		}
		n, missing, wrong := p.compare(t, serial, entries)
		for len(missing) > 0 && len(wrong) == 0 && time.Since(begin) < settling && time.Since(moved) < stalled {
			if p.ended() {
				t.Fatalf("admin has ended: %v", p.err)
			}
			time.Sleep(100 * time.Millisecond)
			before := len(missing)
			if n, missing, wrong = p.compare(t, serial, entries); len(missing) != before {
				moved = time.Now()
			}
		}
		total += n
		for i, fault := range append(missing, wrong...) {
			if faults++; i < 3 && faults <= 20 {
				t.Error(fault)
			}
		}
	}
	if total == 0 {
		t.Error("nothing was acknowledged")
	}
	if faults > 0 {
		t.Errorf("%d acknowledged readings of %d kiosks, %d faults", total, len(sent), faults)
		return
	}
	t.Logf("%d acknowledged readings of %d kiosks are all in the store, once", total, len(sent))
}

func (p *platform) compare(t *testing.T, serial string, entries []load.Entry) (acknowledged int, missing, wrong []string) {
	t.Helper()
	from, to := entries[0].Time, entries[0].Time
	for _, e := range entries {
		if e.Time.Before(from) {
			from = e.Time
		}
		if e.Time.After(to) {
			to = e.Time
		}
	}
	points, err := p.points(serial, "custom.number", from, to.Add(time.Millisecond))
	if err != nil { // the store may still be opening
		return 0, []string{err.Error()}, nil
	}
	return judge(serial, entries, points)
}

// judge compares the points of a kiosk with what it has sent.
func judge(serial string, entries []load.Entry, points []point) (acknowledged int, missing, wrong []string) {
	due := map[int64]load.Entry{} // by time: no two readings of a kiosk share one
	for _, e := range entries {
		due[e.Time.UnixMilli()] = e
		if e.Acked {
			acknowledged++
		}
	}
	for _, point := range points {
		at := point.Time.UnixMilli()
		e, ok := due[at]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s: a point at %s with number %v is in the store twice, or was never sent", serial, point.Time, point.Value))
		case point.Value != float64(e.Seq):
			wrong = append(wrong, fmt.Sprintf("%s: at %s the store has number %v, %d was sent", serial, point.Time, point.Value, e.Seq))
		}
		delete(due, at)
	}
	for _, e := range entries {
		if left, ok := due[e.Time.UnixMilli()]; ok && left.Acked {
			missing = append(missing, fmt.Sprintf("%s: reading %d of %s was acknowledged and is not in the store", serial, e.Seq, e.Time))
		}
	}
	return acknowledged, missing, wrong
}

func TestTheComparisonFindsWhatIsWrong(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(1_800_000_000_000 + ms).UTC() }
	sent := []load.Entry{{Seq: 1, Time: at(0), Acked: true}, {Seq: 2, Time: at(5)}, {Seq: 3, Time: at(9), Acked: true}}
	for _, tt := range []struct {
		name           string
		points         []point
		missing, wrong int
	}{
		{"all", []point{{at(0), 1}, {at(5), 2}, {at(9), 3}}, 0, 0},
		{"without the one that was not acknowledged", []point{{at(0), 1}, {at(9), 3}}, 0, 0},
		{"an acknowledged one is missing", []point{{at(0), 1}, {at(5), 2}}, 1, 0},
		{"one is there twice", []point{{at(0), 1}, {at(0), 1}, {at(9), 3}}, 0, 1},
		{"under another time", []point{{at(1), 1}, {at(9), 3}}, 1, 1},
		{"another number", []point{{at(0), 1}, {at(9), 4}}, 0, 1},
		{"nothing", nil, 2, 0},
	} {
		n, missing, wrong := judge("K-1", sent, tt.points)
		if n != 2 || len(missing) != tt.missing || len(wrong) != tt.wrong {
			t.Errorf("%s: %d acknowledged, missing %q, wrong %q", tt.name, n, missing, wrong)
		}
	}
}

type point struct {
	Time  time.Time
	Value float64
}

// points asks for the raw points of [from, to).
func (p *platform) points(serial, metric string, from, to time.Time) ([]point, error) {
	query := url.Values{"metric": {metric}, "from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}}
	// Not by try: to hold thousands of points to the contract costs more than the campaign.
	res, err := p.http.Get(p.url + "/api/v1/kiosks/" + serial + "/telemetry?" + query.Encode())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	var out struct{ Points []point }
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("points of %s: status %d: %s", serial, res.StatusCode, text)
	}
	err = json.Unmarshal(text, &out)
	return out.Points, err
}

// behind is the metric that says how far a consumer is behind.
func behind(consumer string) string {
	return `kioskfleet_journal_behind_records{consumer="` + consumer + `"}`
}

var errNoMetric = errors.New("there is no such metric")

// sum sums the metric over all labels, or over those that the name ends with in braces.
func (p *platform) sum(name string) (sum float64, err error) {
	res, err := p.http.Get(p.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	found := false
	scanner := bufio.NewScanner(res.Body)
	for scanner.Scan() {
		rest, ok := strings.CutPrefix(scanner.Text(), name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", scanner.Text(), err)
		}
		sum, found = sum+v, true
	}
	if !found && scanner.Err() == nil {
		return 0, fmt.Errorf("%s: %w", name, errNoMetric)
	}
	return sum, scanner.Err()
}

// count is sum for a counter, which is 0 as long as nobody has counted.
func (p *platform) count(t *testing.T, name string) float64 {
	t.Helper()
	n, err := p.sum(name)
	if err != nil && !errors.Is(err, errNoMetric) {
		t.Fatal(err)
	}
	return n
}

// stream follows the live stream's readings.
type stream struct {
	mu    sync.Mutex
	heard map[string]time.Time     // when a kiosk was last heard
	gap   map[string]time.Duration // the longest silence between two readings
	late  map[string]time.Duration // the largest age of a reading when it came
	err   error
}

// follow follows the live stream until the test ends.
func (p *platform) follow(t *testing.T) *stream {
	t.Helper()
	s := &stream{}
	s.reset()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/events?types=reading", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: p.http.Jar} // p.http has a time limit
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
		_ = res.Body.Close()
	})
	go func() {
		defer close(done)
		s.read(res)
	}()
	return s
}

func (s *stream) read(res *http.Response) {
	scanner := bufio.NewScanner(res.Body)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		data, ok := strings.CutPrefix(scanner.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Serial  string
			Reading struct{ Timestamp time.Time }
		}
		err := json.Unmarshal([]byte(data), &event)
		s.mu.Lock()
		if err != nil {
			s.err = fmt.Errorf("%w: %s", err, data)
		}
		s.note(event.Serial, event.Reading.Timestamp, time.Now())
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf("the live stream ended: %w", errors.Join(scanner.Err(), context.Canceled))
	}
}

func (s *stream) note(serial string, of, now time.Time) {
	if last, ok := s.heard[serial]; ok {
		s.gap[serial] = max(s.gap[serial], now.Sub(last))
	}
	s.heard[serial] = now
	s.late[serial] = max(s.late[serial], now.Sub(of))
}

// reset begins a new span of time.
func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard, s.gap, s.late = map[string]time.Time{}, map[string]time.Duration{}, map[string]time.Duration{}
}

// kept fails the test unless each of n kiosks was heard all the time since the reset, never silent for
// longer than limit, and never with a reading older than that.
func (s *stream) kept(t *testing.T, n int, limit time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		t.Error(s.err)
	}
	if len(s.heard) != n {
		t.Errorf("%d kiosks were on the live stream, want %d", len(s.heard), n)
	}
	var gap, late time.Duration
	for serial, last := range s.heard {
		gap = max(gap, s.gap[serial], time.Since(last))
		late = max(late, s.late[serial])
	}
	if gap > limit || late > limit {
		t.Errorf("on the live stream a kiosk was silent for %s, and a reading was %s old; want at most %s", gap, late, limit)
	}
	t.Logf("live stream: longest silence of a kiosk %s, oldest reading %s", gap.Round(time.Millisecond), late.Round(time.Millisecond))
}
