package api

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// shelve puts n letters on the shelf: of K-1 and K-2 in turns, the reasons malformed, schema and future in turns.
func (s *site) shelve(n int) {
	for id := 1; id <= n; id++ {
		s.letters = append([]fleet.DeadLetter{{
			ID: int64(id), Serial: []string{"K-2", "K-1"}[id%2], Site: "Hall", Channel: protocol.ChannelTelemetry,
			Reason: []string{"future", "malformed", "schema"}[id%3], Detail: "why", Payload: []byte(`{"a":1}`), Size: 7, ReceivedAt: start,
		}}, s.letters...)
	}
}

type letterAnswer struct {
	Items      []letterView
	Total      int
	Reasons    map[string]int
	NextCursor string `json:"next_cursor"`
}

func ids(items []letterView) string {
	var out []string
	for _, d := range items {
		out = append(out, d.ID)
	}
	return strings.Join(out, " ")
}

func TestLettersAreListedNewestFirst(t *testing.T) {
	s := newSite(t)
	s.add("K-1")
	s.shelve(9)
	for query, want := range map[string]string{
		"":                         "9 8 7 6 5 4 3 2 1 of 9 map[future:3 malformed:3 schema:3]",
		"serial=K-1":               "9 7 5 3 1 of 5 map[future:2 malformed:2 schema:1]",
		"reason=schema":            "8 5 2 of 3 map[future:3 malformed:3 schema:3]",
		"serial=K-1&reason=schema": "5 of 1 map[future:2 malformed:2 schema:1]",
		"serial=GONE":              " of 0 map[]",
		"reason=never_heard_of":    " of 0 map[future:3 malformed:3 schema:3]",
	} {
		for limit := 1; limit <= 10; limit++ {
			var all []letterView
			var last letterAnswer
			for cursor := ""; ; cursor = last.NextCursor {
				last = decode[letterAnswer](t, s.do("GET", fmt.Sprintf("/dead-letters?limit=%d&cursor=%s&%s", limit, cursor, query), "", as("viewer")), 200)
				if all = append(all, last.Items...); last.NextCursor == "" {
					break
				}
				if len(last.Items) != limit {
					t.Errorf("%s by %d: a page of %d", query, limit, len(last.Items))
				}
			}
			if got := fmt.Sprintf("%s of %d %v", ids(all), last.Total, last.Reasons); got != want {
				t.Errorf("%s by %d: %s, want %s", query, limit, got, want)
			}
		}
	}
	p := decode[letterAnswer](t, s.do("GET", "/dead-letters?limit=2", "", as("viewer")), 200)
	want := letterView{ID: "9", Serial: "K-1", Registered: true, Site: "Hall", Channel: "telemetry", Reason: "future", Detail: "why", ReceivedAt: start, Size: 7}
	if p.Items[0] != want || p.Items[1].Registered {
		t.Errorf("items = %+v", p.Items)
	}
}

func TestALetterShowsItsPayload(t *testing.T) {
	s := newSite(t)
	for id, payload := range map[int64]string{1: `{"a":"é\u0000"}`, 2: "\xff\x00", 3: "", 4: "a\x00b"} {
		s.letters = []fleet.DeadLetter{{ID: id, Serial: "K-1", Reason: "malformed", Detail: "bad \xff byte", Payload: []byte(payload), Size: 70_000, Truncated: true, ReceivedAt: start}}
		d := decode[fullLetterView](t, s.do("GET", fmt.Sprint("/dead-letters/", id), "", as("viewer")), 200)
		got := d.Payload
		if d.Encoding == "base64" {
			raw, err := base64.StdEncoding.DecodeString(d.Payload)
			if err != nil || id != 2 {
				t.Errorf("letter %d: %v", id, err)
			}
			got = string(raw)
		} else if id == 2 {
			t.Errorf("letter %d is %s", id, d.Encoding)
		}
		if got != payload || !d.Truncated || d.Size != 70_000 || d.Detail != "bad \uFFFD byte" {
			t.Errorf("letter %d: %+v", id, d)
		}
	}
}

func TestFiltersOfLettersAreChecked(t *testing.T) {
	reading := []string{"serial=a/b", "serial=" + strings.Repeat("x", 65), "reason=Schema", "reason=a-b", "reason=" + strings.Repeat("x", 65), "limit=0", "limit=x", "cursor=x"}
	acting := []string{
		"", "all=false", "all=yes", "all=true&serial=K-1", "all=true&reason=schema", "serial=", "serial=&reason=schema", "reason=schema&serail=K-1",
		"all=true&all=true", "serial=K-1&serial=K-2", "all=true&through=x", "all=true&through=0", "through=5", "serial=a/b", "reason=A", "all=true&limit=5",
	}
	s := newSite(t)
	s.shelve(3)
	for _, q := range reading {
		if p := decode[problem](t, s.do("GET", "/dead-letters?"+q, "", as("viewer")), 422); len(p.Violations) == 0 {
			t.Errorf("%s: %+v", q, p)
		}
	}
	for _, q := range acting {
		for _, call := range []string{"POST /dead-letters/replay?", "DELETE /dead-letters?"} {
			method, path, _ := strings.Cut(call, " ")
			if p := decode[problem](t, s.do(method, path+q, "", as("operator")), 422); len(p.Violations) == 0 {
				t.Errorf("%s%s: %+v", call, q, p)
			}
		}
	}
	if rec := s.do("POST", "/dead-letters/replay?all=true&cursor=x", "", as("operator")); rec.Code != 422 {
		t.Errorf("a cursor that is none: %d", rec.Code)
	}
	if len(s.calls) != 0 || len(s.letters) != 3 {
		t.Errorf("it was done: %q, %d letters are left", s.calls, len(s.letters))
	}
}

func TestReplayingALetter(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.Classify = func(err error) (Fault, bool) {
			return Fault{Status: 503, Title: "Journal full", RetryAfter: 7 * time.Second}, err == errInner
		}
	})
	s.shelve(3)
	s.refused[2] = fmt.Errorf("replay dead letter 2: %w", fleet.Invalid("payload", "timestamp is missing"))
	s.refused[3] = errInner
	if got := decode[replayedView](t, s.do("POST", "/dead-letters/1/replay", "", as("operator")), 202); got != (replayedView{Replayed: 1}) {
		t.Errorf("answer = %+v", got)
	}
	p := decode[problem](t, s.do("POST", "/dead-letters/2/replay", "", as("operator")), 422)
	if len(p.Violations) != 1 || !strings.Contains(p.Detail, "timestamp is missing") {
		t.Errorf("problem = %+v", p)
	}
	rec := s.do("POST", "/dead-letters/3/replay", "", as("operator"))
	if rec.Code != 503 || rec.Header().Get("Retry-After") != "7" {
		t.Errorf("a journal that does not accept: %d, %v", rec.Code, rec.Header())
	}
	if len(s.letters) != 2 || !slices.Equal(s.calls, []string{"replay 1 token:operator"}) {
		t.Errorf("%d letters are left, calls %q", len(s.letters), s.calls)
	}
	if rec := s.do("POST", "/dead-letters/1/replay", "", as("operator")); rec.Code != 404 {
		t.Errorf("replayed twice: %d", rec.Code)
	}
}

func TestReplayingManyGoesOnWhereItStopped(t *testing.T) {
	s := newSite(t)
	s.shelve(9)
	s.refused[5] = errInner
	var total replayedView
	for calls := 0; ; calls++ {
		got := decode[replayedView](t, s.do("POST", "/dead-letters/replay?serial=K-1&through=8&cursor="+url.QueryEscape(total.NextCursor), "", as("operator")), 200)
		total.Replayed += got.Replayed
		total.Refused += got.Refused
		if total.NextCursor = got.NextCursor; total.NextCursor == "" || calls > 5 {
			break
		}
	}
	if total != (replayedView{Replayed: 3, Refused: 1}) || len(s.letters) != 6 {
		t.Errorf("settled %+v, %d letters are left", total, len(s.letters))
	}
	want := []string{"replay {Serial:K-1 Reason: Through:8} 0 token:operator", "replay {Serial:K-1 Reason: Through:8} 3 token:operator"}
	if !slices.Equal(s.calls, want) {
		t.Errorf("calls = %q", s.calls)
	}
}

func TestDiscardingLetters(t *testing.T) {
	s := newSite(t)
	s.shelve(9)
	if rec := s.do("DELETE", "/dead-letters/4", "", as("operator")); rec.Code != 204 {
		t.Errorf("status = %d", rec.Code)
	}
	for _, tt := range []struct {
		query string
		want  int
	}{{"reason=schema&serial=K-1", 1}, {"reason=schema&through=7", 1}, {"all=true", 6}, {"all=true", 0}} {
		if got := decode[discardedView](t, s.do("DELETE", "/dead-letters?"+tt.query, "", withSession("operator")), 200); got.Discarded != tt.want {
			t.Errorf("%s: %+v, want %d", tt.query, got, tt.want)
		}
	}
	if s.calls[0] != "discard 4 token:operator" || s.calls[1] != "discard {Serial:K-1 Reason:schema Through:0} operator" {
		t.Errorf("calls = %q", s.calls)
	}
}

func TestAnotherSitesPageDiscardsNothing(t *testing.T) {
	s := newSite(t)
	s.shelve(2)
	for _, call := range [][2]string{{"DELETE", "/dead-letters?all=true"}, {"DELETE", "/dead-letters/1"}, {"POST", "/dead-letters/1/replay"}, {"POST", "/dead-letters/replay?all=true"}} {
		if rec := s.do(call[0], call[1], "", withSession("operator"), header("Sec-Fetch-Site", "cross-site")); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", call, rec.Code)
		}
	}
	if len(s.calls) != 0 {
		t.Errorf("calls = %q", s.calls)
	}
}

func TestTheIntakeIsShown(t *testing.T) {
	s := newSite(t)
	s.shelve(3)
	s.world.intake = fleet.IntakeStatus{
		Refusal: "the journal is full", JournalBytes: 30, JournalMax: 40,
		Consumers: []fleet.ConsumerStatus{
			{Name: "live", Lag: -time.Second},
			{Name: "timeseries", Behind: 12, Lag: 90 * time.Second, Problem: "InfluxDB does not answer", Since: start},
		},
	}
	got := s.do("GET", "/ingest", "", as("viewer")).Body.String()
	want := `{"accepting":false,"refusal":"the journal is full","journal":{"bytes":30,"max_bytes":40,"fill":0.75},"consumers":[` +
		`{"name":"live","behind_records":0,"lag_seconds":0},` +
		`{"name":"timeseries","behind_records":12,"lag_seconds":90,"problem":"InfluxDB does not answer","since":"2026-03-04T05:06:07Z"}],"dead_letters":3}`
	if strings.TrimSpace(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, tt := range []struct {
		bytes, max int64
		want       float64
	}{{0, 0, 0}, {5, 0, 0}, {50, 40, 1}} {
		s.world.intake = fleet.IntakeStatus{Accepting: true, JournalBytes: tt.bytes, JournalMax: tt.max}
		if v := decode[intakeView](t, s.do("GET", "/ingest", "", as("viewer")), 200); v.Journal.Fill != tt.want || v.Consumers == nil {
			t.Errorf("%d of %d: %+v", tt.bytes, tt.max, v)
		}
	}
}

func TestAKioskShowsItsLedger(t *testing.T) {
	s := newSite(t)
	s.add("K-1")
	s.add("K-2")
	s.ledgers["K-1"] = fleet.LedgerCounts{Since: start, Received: 100, Missing: 3, Duplicated: 2, Dropped: 1}
	s.refusals["K-1"] = []fleet.Refusals{{Reason: "schema", Count: 5, LastAt: start}, {Reason: "conflict", Count: 4, LastAt: start}}
	type answer struct{ Ledger *ledgerView }
	got := decode[answer](t, s.do("GET", "/kiosks/K-1", "", as("viewer")), 200).Ledger
	if got == nil || got.Since == nil || !got.Since.Equal(start) || got.Received != 100 || got.Missing != 3 || got.Duplicated != 2 ||
		got.Dropped != 1 || got.Conflicting != 4 || len(got.Refused) != 2 || got.Refused[0] != (refusedView{"schema", 5, start}) {
		t.Errorf("ledger = %+v", got)
	}
	if got := decode[answer](t, s.do("GET", "/kiosks/K-2", "", as("viewer")), 200).Ledger; got == nil || got.Since != nil || got.Received != 0 || got.Refused == nil {
		t.Errorf("ledger of a new kiosk = %+v", got)
	}
	if got := s.do("GET", "/kiosks", "", as("viewer")).Body.String(); strings.Contains(got, "ledger") {
		t.Errorf("the list has ledgers: %s", got)
	}
	s.failing = errInner
	if rec := s.do("GET", "/kiosks/K-1", "", as("viewer")); rec.Code != 500 {
		t.Errorf("a store that fails: %d", rec.Code)
	}
}
