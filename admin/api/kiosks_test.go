package api

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// so sets the verdict and since when it stands.
func so(v fleet.Verdict, since time.Time) func(*fleet.Kiosk, *fleet.Live) {
	return func(_ *fleet.Kiosk, l *fleet.Live) {
		l.Verdict, l.VerdictSince, l.Presence, l.PresenceReason = v, since, fleet.PresenceOnline, fleet.ReasonReporting
	}
}

type kioskPage struct {
	Items      []kioskView
	Total      int
	NextCursor string `json:"next_cursor"`
}

func serials(items []kioskView) string {
	var out []string
	for _, k := range items {
		out = append(out, k.Serial)
	}
	return strings.Join(out, " ")
}

// pages walks through a list with a page size and returns each page's serials.
func pages(t *testing.T, s *site, query string, limit int) []string {
	t.Helper()
	var out []string
	cursor := ""
	for range 1000 {
		p := decode[kioskPage](t, s.do("GET", fmt.Sprintf("/kiosks?limit=%d&cursor=%s&%s", limit, cursor, query), "", as("viewer")), 200)
		out = append(out, serials(p.Items))
		if cursor = p.NextCursor; cursor == "" {
			return out
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func TestKiosksAreListedWorstFirst(t *testing.T) {
	s := newSite(t)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	s.add("FINE-LONG", so(fleet.VerdictCanServe, at(0)))
	s.add("FINE", so(fleet.VerdictCanServe, at(5)))
	s.add("NEVER") // unknown since ever: last among the unknown
	s.add("GONE", so(fleet.VerdictUnknown, at(3)))
	s.add("BROKEN-B", so(fleet.VerdictCannotServe, at(2)))
	s.add("BROKEN-A", so(fleet.VerdictCannotServe, at(2)))
	s.add("BROKEN-LONG", so(fleet.VerdictCannotServe, at(1)))
	s.add("HALF", so(fleet.VerdictDegraded, at(9)))
	want := "BROKEN-LONG BROKEN-A BROKEN-B HALF GONE NEVER FINE-LONG FINE"
	for limit := 1; limit <= 9; limit++ {
		got := pages(t, s, "", limit)
		if all := strings.Join(got, " "); all != want {
			t.Errorf("by %d: %s, want %s", limit, all, want)
		}
		for i, p := range got {
			if n := len(strings.Fields(p)); n != limit && i != len(got)-1 || n == 0 {
				t.Errorf("by %d: page %d has %d kiosks", limit, i, n)
			}
		}
	}
	if got := pages(t, s, "sort=serial", 3); strings.Join(got, "|") != "BROKEN-A BROKEN-B BROKEN-LONG|FINE FINE-LONG GONE|HALF NEVER" {
		t.Errorf("by serial: %q", got)
	}
	p := decode[kioskPage](t, s.do("GET", "/kiosks?limit=2", "", as("viewer")), 200)
	if p.Total != 8 || len(p.Items) != 2 {
		t.Errorf("total = %d of %d items", p.Total, len(p.Items))
	}
}

// Ties, and a fleet that changes between two pages: nobody who stays where he is is left out or listed
// twice.
func TestPagesNeitherSkipNorRepeat(t *testing.T) {
	s := newSite(t)
	var all []string
	for i := range 200 {
		serial := fmt.Sprintf("K-%03d", i)
		all = append(all, serial)
		s.add(serial, so(fleet.Verdicts()[i%3], start.Add(time.Duration(i%2)*time.Microsecond))) // within one millisecond
	}
	got := strings.Fields(strings.Join(pages(t, s, "", 7), " "))
	slices.Sort(got)
	if !slices.Equal(got, all) {
		t.Errorf("%d kiosks listed of %d", len(got), len(all))
	}

	seen := map[string]int{}
	cursor := ""
	for {
		p := decode[kioskPage](t, s.do("GET", "/kiosks?limit=13&cursor="+cursor, "", as("viewer")), 200)
		for _, k := range p.Items {
			seen[k.Serial]++
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
		gone := fmt.Sprintf("K-%03d", rand.IntN(200))
		s.remove(gone)
		delete(seen, gone)
	}
	for _, k := range s.All() {
		if seen[k.Serial] != 1 {
			t.Errorf("%s was listed %d times", k.Serial, seen[k.Serial])
		}
	}
}

func TestKiosksAreFiltered(t *testing.T) {
	s := newSite(t)
	s.add("AIR-1", so(fleet.VerdictCanServe, start), func(k *fleet.Kiosk, _ *fleet.Live) {
		k.Site, k.Model, k.Tags = "Airport", "Check-in 3", []string{"north", "ticket"}
	})
	s.add("AIR-2", so(fleet.VerdictDegraded, start), func(k *fleet.Kiosk, _ *fleet.Live) { k.Site, k.Tags = "Airport", []string{"south"} })
	s.add("MALL-1", func(k *fleet.Kiosk, _ *fleet.Live) { k.Site, k.Tags = "Mall", []string{"north"} })
	for query, want := range map[string]string{
		"":                             "AIR-1 AIR-2 MALL-1",
		"site=Airport":                 "AIR-1 AIR-2",
		"site=airport":                 "",
		"tag=north":                    "AIR-1 MALL-1",
		"tag=nor":                      "",
		"site=Airport&tag=north":       "AIR-1",
		"presence=never":               "MALL-1",
		"presence=online":              "AIR-1 AIR-2",
		"verdict=degraded":             "AIR-2",
		"verdict=cannot_serve":         "",
		"q=air":                        "AIR-1 AIR-2",
		"q=check-IN":                   "AIR-1",
		"q=" + url.QueryEscape(" ma "): "MALL-1",
		"q=sou":                        "AIR-2",
		"q=nobody":                     "",
	} {
		p := decode[kioskPage](t, s.do("GET", "/kiosks?sort=serial&"+query, "", as("viewer")), 200)
		if got := serials(p.Items); got != want || p.Total != len(p.Items) {
			t.Errorf("%s: %q, total %d; want %q", query, got, p.Total, want)
		}
	}
	sum := decode[summaryView](t, s.do("GET", "/summary", "", as("viewer")), 200)
	if sum.Total != 3 || sum.Verdicts[fleet.VerdictDegraded] != 1 || sum.Presences[fleet.PresenceNever] != 1 || len(sum.Verdicts) != len(fleet.Verdicts()) || len(sum.Presences) != len(fleet.Presences()) {
		t.Errorf("summary = %+v", sum)
	}
	if sum := decode[summaryView](t, s.do("GET", "/summary?site=Mall", "", as("viewer")), 200); sum.Total != 1 {
		t.Errorf("summary of a site = %+v", sum)
	}
	sites := decode[page[siteView]](t, s.do("GET", "/sites", "", as("viewer")), 200)
	if !slices.Equal(sites.Items, []siteView{{"Airport", 2}, {"Mall", 1}}) {
		t.Errorf("sites = %+v", sites.Items)
	}
}

func TestAnEmptyFleetIsAnEmptyList(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/kiosks", "/sites"} {
		if got := s.do("GET", path, "", as("viewer")).Body.String(); !strings.Contains(got, `"items":[]`) {
			t.Errorf("%s = %s", path, got)
		}
	}
}

func TestAKioskIsShownWithWhatIsSoOfIt(t *testing.T) {
	s := newSite(t)
	s.add("NEW")
	s.add("K-1", func(k *fleet.Kiosk, l *fleet.Live) {
		k.Site, k.Tags, k.Location = "Mall", []string{"a"}, &fleet.Location{Lat: 1, Lng: 2}
		l.Presence, l.PresenceReason, l.Status, l.Model = fleet.PresenceOnline, fleet.ReasonReporting, "online", "announced"
		l.Skew, l.Interval, l.Revision, l.Verdict, l.Reasons = -1500*time.Millisecond, 5*time.Second, 42, fleet.VerdictCanServe, nil
		l.LastReading = &fleet.Reading{
			Serial: "K-1", Time: start, ReceivedAt: start, Seq: 9, Session: "s", Status: "online",
			Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: 51.5}, {Metric: "hardware.fan", Value: 1}, {Metric: "vendor.x", Value: 2}},
			Texts:  []fleet.Text{{Metric: "peripherals.printer_status", Text: "ready"}},
		}
	})
	k := decode[map[string]any](t, s.do("GET", "/kiosks/K-1", "", as("viewer")), 200)
	reading, _ := k["last_reading"].(map[string]any)
	if got := fmt.Sprint(reading["hardware"], reading["vendor"], reading["peripherals"], reading["seq"]); got != "map[cpu_temp:51.5 fan:1] map[x:2] map[printer_status:ready] 9" {
		t.Errorf("last reading = %s", got)
	}
	if k["model"] != "announced" || k["clock_skew_seconds"] != -1.5 || k["interval_seconds"] != 5.0 || k["revision"] != 42.0 || fmt.Sprint(k["reasons"]) != "[]" {
		t.Errorf("kiosk = %v", k)
	}
	k = decode[map[string]any](t, s.do("GET", "/kiosks/NEW", "", as("viewer")), 200)
	if _, ok := k["last_reading"]; ok || k["presence"] != "never" || k["presence_since"] != nil || k["verdict_since"] != nil {
		t.Errorf("a kiosk that was never seen = %v", k)
	}
	reasons, _ := k["reasons"].([]any)
	if first, _ := reasons[0].(map[string]any); first["since"] != start.Format(time.RFC3339) {
		t.Errorf("never seen since %v, want since its registration", first["since"])
	}
	if l := s.lives["NEW"]; !l.Reasons[0].Since.IsZero() {
		t.Error("the answer changed the live state")
	}
}

func TestChangesOfKiosksNameTheirActor(t *testing.T) {
	s := newSite(t)
	rec := s.do("POST", "/kiosks", `{"serial":"K-1"}`, withSession("admin"))
	if rec.Code != 201 || rec.Header().Get("Location") != "/api/v1/kiosks/K-1" {
		t.Errorf("%d, Location %q", rec.Code, rec.Header().Get("Location"))
	}
	got := decode[kioskView](t, s.do("PATCH", "/kiosks/K-1", `{"site":"Mall","tags":[],"location":{"lat":3,"lng":4}}`, as("admin")), 200)
	if got.Site != "Mall" || got.Location == nil || got.Location.Lat != 3 {
		t.Errorf("changed = %+v", got)
	}
	s.do("POST", "/kiosks/K-1/revocation", "", as("admin"))
	s.do("DELETE", "/kiosks/K-1", "", as("admin"))
	if want := []string{"add K-1 admin", "change K-1 token:admin", "revoke K-1 token:admin", "delete K-1 token:admin"}; !slices.Equal(s.calls, want) {
		t.Errorf("calls = %q, want %q", s.calls, want)
	}
}

func TestHistoryIsPagedNewestFirst(t *testing.T) {
	s := newSite(t)
	s.add("K-1")
	var ids []string
	for i := 25; i > 0; i-- {
		s.events["K-1"] = append(s.events["K-1"], fleet.Event{ID: int64(i), Serial: "K-1", At: start.Add(time.Duration(i/7) * time.Second), Kind: fleet.EventPresence})
		s.commands["K-1"] = append(s.commands["K-1"], fleet.Command{ID: fmt.Sprintf("c%02d", i), Serial: "K-1", Status: fleet.CommandSent, CreatedAt: start, ExpiresAt: start})
		ids = append(ids, fmt.Sprint(i))
	}
	walk := func(path string) []string {
		var out []string
		cursor := ""
		for range 100 {
			type entry struct{ ID string }
			p := decode[page[entry]](t, s.do("GET", path+"?limit=4&cursor="+cursor, "", as("viewer")), 200)
			for _, e := range p.Items {
				out = append(out, strings.TrimLeft(strings.TrimPrefix(e.ID, "c"), "0"))
			}
			if cursor = p.NextCursor; cursor == "" {
				break
			}
		}
		return out
	}
	for _, path := range []string{"/kiosks/K-1/events", "/kiosks/K-1/commands"} {
		if got := walk(path); !slices.Equal(got, ids) {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestTheCatalogueOfMetrics(t *testing.T) {
	got := decode[page[metricView]](t, newSite(t).do("GET", "/metrics", "", as("viewer")), 200)
	for _, m := range got.Items {
		if (m.Kind == "gauge") != (m.Min != nil && m.Max != nil) || m.Description == "" {
			t.Errorf("metric = %+v", m)
		}
	}
	if len(got.Items) < 10 {
		t.Errorf("%d metrics", len(got.Items))
	}
}
