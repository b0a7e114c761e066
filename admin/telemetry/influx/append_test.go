package influx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/testkit/influxd"
)

func TestAReadingIsOneLine(t *testing.T) {
	r := fleet.Reading{
		Serial: "SIM-KIOSK-007", Site: `a b,c=d\e"f`, Time: time.UnixMilli(1772452800123), Status: "online",
		Values: []fleet.Value{{Metric: "custom.Foo_1", Value: 1e300}, {Metric: "hardware.cpu_temp", Value: 51.2}, {Metric: "network.signal_strength", Value: -61}},
		Texts:  []fleet.Text{{Metric: "peripherals.card_reader", Text: `say "hi" \o/`}},
	}
	l := newLine(0, &r)
	want := `kiosk_telemetry,serial=SIM-KIOSK-007,site=a\ b\,c\=d\e"f custom.Foo_1=1e+300,hardware.cpu_temp=51.2,network.signal_strength=-61,peripherals.card_reader="say \"hi\" \\o/",status="online" 1772452800123`
	if l.text != want {
		t.Errorf("got\n%s\nwant\n%s", l.text, want)
	}
	l.drop("hardware.cpu_temp", "x")
	l.drop("status", "y")
	want = `kiosk_telemetry,serial=SIM-KIOSK-007,site=a\ b\,c\=d\e"f custom.Foo_1=1e+300,network.signal_strength=-61,peripherals.card_reader="say \"hi\" \\o/" 1772452800123`
	if l.text != want {
		t.Errorf("without two fields\n%s\nwant\n%s", l.text, want)
	}
	bare := fleet.Reading{Serial: "K-1", Time: time.UnixMilli(0)}
	if l := newLine(0, &bare); l.text != "" {
		t.Errorf("a reading without anything to store: %q", l.text)
	}
}

func TestNumbersAreWrittenShortAndExact(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", -1: "-1", 51.2: "51.2", 0.000001: "0.000001", 0.0000001: "1e-07", 999999999999999: "999999999999999", 1e15: "1e+15",
		math.MaxFloat64: "1.7976931348623157e+308", math.SmallestNonzeroFloat64: "5e-324", 1.0 / 3: "0.3333333333333333",
	} {
		if got := string(appendNumber(nil, v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestReadingsOlderThanTheRetentionPolicyAreRejected(t *testing.T) {
	server := influxd.Start(t)
	s := open(t, fresh(server))
	if _, err := s.column(t.Context(), "CREATE RETENTION POLICY short ON "+quoteIdentifier(s.database)+" DURATION 1h REPLICATION 1 DEFAULT", ""); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	var batch []fleet.Reading
	for i := range 20 {
		r := reading("K-1", 0, float64(i))
		r.Time = now.Add(-time.Duration(i) * time.Second)
		if i == 3 || i == 11 || i == 12 {
			r.Time = r.Time.Add(-48 * time.Hour)
		}
		batch = append(batch, r)
	}
	reasons := rejections(t, s.Append(t.Context(), batch))
	if len(reasons) != 3 || !strings.Contains(reasons[3], "retention policy") || reasons[11] == "" || reasons[12] == "" {
		t.Errorf("rejected %v, want the readings 3, 11 and 12", reasons)
	}
	all, err := s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: now.Add(-72 * time.Hour), To: now.Add(time.Hour)})
	if err != nil || len(all) != 1 || len(all[0].Points) != 17 {
		t.Errorf("%v, %v, want the other 17 points", all, err)
	}
}

func TestAFieldOfAnotherTypeIsSetAsideAlone(t *testing.T) {
	s := open(t, fresh(influxd.Start(t)))
	number := func(serial string, offset time.Duration) fleet.Reading {
		r := reading(serial, offset, 1)
		r.Values = append([]fleet.Value{{Metric: "custom.door", Value: 7}}, r.Values...)
		return r
	}
	text := func(serial string, offset time.Duration) fleet.Reading {
		r := reading(serial, offset, 1)
		r.Texts = []fleet.Text{{Metric: "custom.door", Text: "open"}}
		return r
	}
	mustAppend(t, s, number("K-0", 0))
	only := text("K-6", 0)
	only.Values = nil
	both := text("K-7", 0)
	both.Texts = append(both.Texts, fleet.Text{Metric: metric, Text: "hot"})
	both.Values = []fleet.Value{{Metric: "hardware.cpu_usage", Value: 9}}
	batch := []fleet.Reading{number("K-1", 0), text("K-2", 0), number("K-3", 0), text("K-4", 0), number("K-5", 0), only, both}
	reasons := rejections(t, s.Append(t.Context(), batch))
	if len(reasons) != 4 {
		t.Errorf("rejected %v, want the readings 1, 3, 5 and 6", reasons)
	}
	for _, i := range []int{1, 3} {
		if want := "metric custom.door is of type string, but InfluxDB has it as float; the other metrics were kept"; reasons[i] != want {
			t.Errorf("reading %d: %q, want %q", i, reasons[i], want)
		}
	}
	if want := "metric custom.door is of type string, but InfluxDB has it as float"; reasons[5] != want {
		t.Errorf("the reading with nothing else: %q, want %q", reasons[5], want)
	}
	if reasons[6] == "" {
		t.Error("the reading with two such fields is not rejected")
	}
	for _, serial := range []string{"K-1", "K-3", "K-5"} {
		expect(t, s, serial, "custom.door", 7)
	}
	for _, serial := range []string{"K-1", "K-2", "K-3", "K-4", "K-5"} {
		expect(t, s, serial, metric, 1)
	}
	expect(t, s, "K-6", metric)
	expect(t, s, "K-7", "hardware.cpu_usage", 9)
}

func TestADatabaseThatWentAwayIsNotTheReadingsFault(t *testing.T) {
	s := open(t, fresh(influxd.Start(t)))
	if _, err := s.column(t.Context(), "DROP DATABASE "+quoteIdentifier(s.database), ""); err != nil {
		t.Fatal(err)
	}
	err := s.Append(t.Context(), []fleet.Reading{reading("K-1", 0, 1)})
	var rejected *telemetry.RejectedError
	if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "database not found") {
		t.Errorf("Append: %v, want a plain error that names the database", err)
	}
	if _, err := s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: noon, To: noon.Add(time.Hour)}); err == nil {
		t.Error("Range of a missing database is no error")
	}
}

// openFake opens a store on a server that passes for an InfluxDB 3, whose queries and writes go to the
// handler.
func openFake(t *testing.T, handler http.Handler) *opened {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			fmt.Fprint(w, `{"version":"3.0.0","revision":"abc"}`)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return open(t, Config{URL: server.URL, Bucket: "fleet"})
}

// strict is a server that refuses a whole request for one bad line, as InfluxDB 2 does when it cannot
// parse one, with no hint which it was.
type strict struct {
	mu       sync.Mutex
	bad      func(line string) bool
	stored   map[string]int
	requests int
}

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	body, _ := io.ReadAll(r.Body)
	lines := strings.Split(string(body), "\n")
	for _, l := range lines {
		if s.bad(l) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"code":"invalid","message":"unable to parse"}`)
			return
		}
	}
	for _, l := range lines {
		s.stored[l]++
	}
	w.WriteHeader(http.StatusNoContent)
}

func TestBadPointsAreFoundByHalvesAndTheRestIsKept(t *testing.T) {
	for _, c := range []struct {
		name     string
		n        int
		bad      []int
		requests int // at most
	}{
		{"one of one", 1, []int{0}, 1},
		{"the first of many", 1000, []int{0}, 21},
		{"the last of many", 1000, []int{999}, 21},
		{"two neighbours", 1000, []int{499, 500}, 41},
		{"all", 64, nil, 127},
		{"in the second request", 1500, []int{1200}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			isBad := map[int]bool{}
			for _, i := range c.bad {
				isBad[i] = true
			}
			if c.bad == nil {
				for i := range c.n {
					isBad[i] = true
				}
			}
			fake := &strict{stored: map[string]int{}, bad: func(l string) bool { return strings.Contains(l, "=666") }}
			s := openFake(t, fake)
			batch := make([]fleet.Reading, c.n)
			for i := range batch {
				batch[i] = reading("K-1", time.Duration(i)*time.Second, float64(i%100))
				if isBad[i] {
					batch[i].Values[0].Value = 666
				}
			}
			reasons := rejections(t, s.Append(t.Context(), batch))
			if len(reasons) != len(isBad) {
				t.Errorf("%d rejected, want %d", len(reasons), len(isBad))
			}
			for i := range isBad {
				if want := "the server answers 400: unable to parse"; reasons[i] != want {
					t.Errorf("reading %d: %q, want %q", i, reasons[i], want)
				}
			}
			if len(fake.stored) != c.n-len(isBad) {
				t.Errorf("%d stored, want %d", len(fake.stored), c.n-len(isBad))
			}
			if fake.requests > c.requests {
				t.Errorf("%d requests, want at most %d", fake.requests, c.requests)
			}
		})
	}
}

func TestAnAnswerThatIsNotAboutTheDataIsAPlainError(t *testing.T) {
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name       string
		code       int
		header     string
		temporary  bool
		after, dev time.Duration
	}{
		{"slow down", http.StatusTooManyRequests, "17", true, 17 * time.Second, 0},
		{"unavailable", http.StatusServiceUnavailable, "", true, 0, 0},
		{"unavailable until a time", http.StatusServiceUnavailable, date, true, time.Hour, 10 * time.Second},
		{"nonsense to wait for", http.StatusServiceUnavailable, "soon", true, 0, 0},
		{"server error", http.StatusInternalServerError, "", true, 0, 0},
		{"bad gateway", http.StatusBadGateway, "", true, 0, 0},
		{"unauthorised", http.StatusUnauthorized, "", false, 0, 0},
		{"forbidden", http.StatusForbidden, "", false, 0, 0},
		{"not found", http.StatusNotFound, "", false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			s := openFake(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				http.Error(w, "no", c.code)
			}))
			check := func(what string, err error) {
				t.Helper()
				var rejected *telemetry.RejectedError
				var later *telemetry.RetryAfterError
				if err == nil || errors.As(err, &rejected) {
					t.Fatalf("%s: %v, want a plain error", what, err)
				}
				if errors.As(err, &later) != c.temporary {
					t.Errorf("%s: %v, temporary is to be %t", what, err, c.temporary)
				}
				if later != nil && (later.After > c.after || later.After < c.after-c.dev) {
					t.Errorf("%s: after %v, want %v", what, later.After, c.after)
				}
				if !strings.Contains(err.Error(), fmt.Sprint(c.code)) {
					t.Errorf("%s: %q does not name the status", what, err)
				}
			}
			check("Append", s.Append(t.Context(), []fleet.Reading{reading("K-1", 0, 1), reading("K-2", 0, 1)}))
			if requests != 1 {
				t.Errorf("%d requests for one Append", requests)
			}
			_, err := s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: noon, To: noon.Add(time.Hour)})
			check("Range", err)
		})
	}
}

func TestAnAnswerThatIsCutOffIsAnError(t *testing.T) {
	piece := `{"results":[{"statement_id":0,"series":[{"name":"kiosk_telemetry","tags":{"serial":"K-1"},"columns":["time","v"],"values":[[1772452800000,1]]}]}]}` + "\n"
	for name, body := range map[string]string{
		"in the middle":         piece + piece[:60],
		"an error at the end":   piece + `{"results":[{"statement_id":0,"error":"timeout"}]}`,
		"an error of the whole": `{"error":"query interrupted"}`,
		"not JSON":              "<html>",
	} {
		t.Run(name, func(t *testing.T) {
			s := openFake(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
			for _, a := range []telemetry.Aggregate{"", telemetry.AggregateMax, telemetry.AggregateP95} {
				q := telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: noon, To: noon.Add(time.Hour), Step: time.Minute, Aggregate: a}
				if a == "" {
					q.Step = 0
				}
				if got, err := s.Range(t.Context(), q); err == nil || got != nil {
					t.Errorf("aggregate %q: %v, %v, want an error", a, got, err)
				}
			}
		})
	}
}
