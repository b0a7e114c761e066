package api

import (
	"encoding/base64"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestInstant(t *testing.T) {
	tests := []struct {
		text string
		want time.Time
	}{
		{"", start.Add(time.Second)}, // the fallback
		{"now", start},
		{"-1h", start.Add(-time.Hour)},
		{"+1h", start.Add(time.Hour)},
		{" 1h", start.Add(time.Hour)}, // a plus that was not escaped
		{"-90m", start.Add(-90 * time.Minute)},
		{"-1.5d", start.Add(-36 * time.Hour)},
		{"-2w", start.Add(-14 * 24 * time.Hour)},
		{"2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"2026-01-02T03:04:05.678Z", time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)},
		{"2026-01-02T03:04:05+02:00", time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC)},
		{"2026-01-02T03:04:05 02:00", time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC)},
		{"1971-01-01T00:00:00Z", time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := instant("from", tt.text, start, start.Add(time.Second))
			if err != nil || !got.Equal(tt.want) || got.Location() != time.UTC {
				t.Errorf("instant = %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"-", "+", "yesterday", "-0s", "--1h", "-1", "1h", "1767323045", "2026-01-02", "1970-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "-Infd", "-NaNd", "-1e300d", "-99999999w", "2026-13-01T00:00:00Z"} {
		if got, err := instant("from", bad, start, start); err == nil {
			t.Errorf("%q is %s, want an error", bad, got)
		} else if !strings.Contains(err.Error(), "from") {
			t.Errorf("%q: %v does not name the parameter", bad, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1w": 168 * time.Hour, "0.5d": 12 * time.Hour, "1ms": time.Millisecond,
		"36600d": maxDuration,
	} {
		if got, err := duration(text); err != nil || got != want {
			t.Errorf("duration(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "5", "0s", "-1s", "0d", "-1d", "d", "1d1h", "36601d", "878399w", "1e30d", "Infw", "NaNd", "1y"} {
		if got, err := duration(bad); err == nil {
			t.Errorf("duration(%q) = %s, want an error", bad, got)
		}
	}
}

func FuzzInstant(f *testing.F) {
	for _, seed := range []string{"-1h", "now", "2026-01-02T03:04:05Z", "-1e9w", " 3d", "+0x1p-2d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := instant("to", text, start, start)
		if err == nil && (got.Year() < 1900 || got.Year() > 2262) {
			t.Errorf("%q is %s", text, got)
		}
	})
}

func TestListParameters(t *testing.T) {
	tests := []struct {
		query string
		field string // at fault; empty: fine
	}{
		{"limit=1", ""},
		{"limit=1000", ""},
		{"limit=", ""},
		{"limit=0", "limit"},
		{"limit=-1", "limit"},
		{"limit=1001", "limit"},
		{"limit=1e2", "limit"},
		{"limit=ten", "limit"},
		{"limit=99999999999999999999", "limit"},
		{"cursor=", ""},
		{"cursor=%21%21", "cursor"},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"v":`)), "cursor"},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"v":"x"}`)), "cursor"},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`"c1"`)), "cursor"},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"v":1} {"v":2}`)), "cursor"},
		{"cursor=" + base64.StdEncoding.EncodeToString([]byte(`{"v":1}`)), "cursor"},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`null`)), ""},
		{"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"v":99,"t":-9223372036854775808,"s":"zz"}`)), ""},
		{"presence=online", ""},
		{"presence=Online", "presence"},
		{"presence=asleep", "presence"},
		{"verdict=degraded", ""},
		{"verdict=fine", "verdict"},
		{"sort=serial", ""},
		{"sort=severity", ""},
		{"sort=site", "sort"},
		{"site=Lobby&tag=x&q=%25", ""},
	}
	s := callSite(t)
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			rec := s.do("GET", "/kiosks?"+tt.query, "", as("viewer"))
			if tt.field == "" {
				if rec.Code != 200 {
					t.Errorf("status = %d: %s", rec.Code, rec.Body)
				}
				return
			}
			p := decode[problem](t, rec, 422)
			if len(p.Violations) != 1 || p.Violations[0].Field != tt.field {
				t.Errorf("violations = %+v, want %s", p.Violations, tt.field)
			}
		})
	}
	for _, path := range []string{"/kiosks/K-1/events", "/kiosks/K-1/commands"} {
		for query, want := range map[string]int{"limit=0": 422, "cursor=%21": 422, "cursor=" + makeCursor(struct{ I string }{"x"}): 422, "": 200} {
			if rec := s.do("GET", path+"?"+query, "", as("viewer")); rec.Code != want {
				t.Errorf("%s?%s: %d, want %d: %s", path, query, rec.Code, want, rec.Body)
			}
		}
	}
}

func TestTelemetryParameters(t *testing.T) {
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	hour := Range{Serials: []string{"K-1"}, Metric: "hardware.cpu_temp", From: start.Add(-time.Hour), To: start}
	with := func(change func(*Range)) *Range { r := hour; change(&r); return &r }
	tests := []struct {
		query string
		want  *Range
		field string
	}{
		{"metric=hardware.cpu_temp", &hour, ""},
		{"metric=vendor.sensor_7", with(func(r *Range) { r.Metric = "vendor.sensor_7" }), ""},
		{"metric=hardware.cpu_temp&from=-2h&to=-1h", with(func(r *Range) { r.From, r.To = start.Add(-2*time.Hour), start.Add(-time.Hour) }), ""},
		{"metric=hardware.cpu_temp&to=-1h", with(func(r *Range) { r.From, r.To = start.Add(-2*time.Hour), start.Add(-time.Hour) }), ""},
		{"metric=hardware.cpu_temp&step=1m", with(func(r *Range) { r.Step, r.Aggregate = time.Minute, "mean" }), ""},
		{"metric=hardware.cpu_temp&step=1d&agg=p95", with(func(r *Range) { r.Step, r.Aggregate = 24*time.Hour, "p95" }), ""},
		{"", nil, "metric"},
		{"metric=cpu", nil, "metric"},
		{"metric=hardware.cpu_temp;drop", nil, "metric"},
		{"metric=peripherals.printer_status", nil, "metric"},
		{"metric=hardware.cpu_temp&from=then", nil, "from"},
		{"metric=hardware.cpu_temp&to=then", nil, "to"},
		{"metric=hardware.cpu_temp&step=0s", nil, "step"},
		{"metric=hardware.cpu_temp&step=often", nil, "step"},
		{"metric=hardware.cpu_temp&agg=max", nil, "agg"},
		{"metric=hardware.cpu_temp&step=1d&agg=rate&tz=Europe/Madrid", with(func(r *Range) { r.Step, r.Aggregate, r.Zone = 24*time.Hour, "rate", madrid }), ""},
		{"metric=hardware.cpu_temp&step=1d&tz=Mars/Base", nil, "tz"},
		{"metric=hardware.cpu_temp&step=1d&tz=../../etc/passwd", nil, "tz"},
		{"metric=hardware.cpu_temp&step=1d&tz=Local", nil, "tz"},
		{"metric=hardware.cpu_temp&from=now", nil, "from"},
		{"metric=hardware.cpu_temp&from=-1h&to=-2h", nil, "from"},
		{"metric=hardware.cpu_temp&from=1990-01-01T00:00:00Z", nil, "from"},
		{"metric=hardware.cpu_temp&format=xml", nil, "format"},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			s := callSite(t)
			s.points = []Point{{start, 1.5}}
			rec := s.do("GET", "/kiosks/K-1/telemetry?"+strings.ReplaceAll(tt.query, ";", url.QueryEscape(";")), "", as("viewer"))
			if tt.want == nil {
				p := decode[problem](t, rec, 422)
				if len(p.Violations) != 1 || p.Violations[0].Field != tt.field || len(s.asked) != 0 {
					t.Errorf("violations = %+v, want %s", p.Violations, tt.field)
				}
				return
			}
			got := decode[fullSeries](t, rec, 200)
			if len(s.asked) != 1 || !reflect.DeepEqual(s.asked[0], *tt.want) {
				t.Errorf("asked %+v, want %+v", s.asked, *tt.want)
			}
			if len(got.Points) != 1 || got.Points[0] != (pointView{start, 1.5}) || got.Agg != tt.want.Aggregate {
				t.Errorf("answer = %+v", got)
			}
		})
	}
	s := callSite(t)
	if got := decode[fullSeries](t, s.do("GET", "/kiosks/K-1/telemetry?metric=hardware.cpu_temp", "", as("viewer")), 200); got.Points == nil || got.Unit != "°C" {
		t.Errorf("without points: %+v", got)
	}
}

func TestCommandsCarryWhatTheRequestSays(t *testing.T) {
	s := callSite(t)
	rec := s.do("POST", "/kiosks/K-1/commands", `{"name":"maintenance","params":{"enabled": true},"expires_in":"10m"}`, as("technician"), header("Idempotency-Key", "k1"))
	if got := decode[commandView](t, rec, 202); got.ID != "c1" || got.Status != fleet.CommandQueued || len(got.Steps) != 1 {
		t.Errorf("command = %+v", got)
	}
	if got := rec.Header().Get("Location"); got != "/api/v1/commands/c1" {
		t.Errorf("Location = %q", got)
	}
	if len(s.sent) != 1 || s.sent[0] != `K-1 maintenance {"enabled": true} 10m0s k1 token:technician` {
		t.Errorf("sent %q", s.sent)
	}
	long := header("Idempotency-Key", strings.Repeat("k", maxKeyBytes+1))
	if p := decode[problem](t, s.do("POST", "/kiosks/K-1/commands", `{"name":"ping"}`, as("technician"), long), 422); len(p.Violations) != 1 || len(s.sent) != 1 {
		t.Errorf("a key that is too long: %+v", p)
	}
}

func TestTokensHaveTheirDefaults(t *testing.T) {
	s := newSite(t)
	for _, call := range []struct{ path, body, want string }{
		{"/enrollment-tokens", `{"serial_pattern":"K-*"}`, "enrolment token K-* 1 24h0m0s token:admin"},
		{"/enrollment-tokens", `{"serial_pattern":"K-*","max_uses":10,"expires_in":"1w"}`, "enrolment token K-* 10 168h0m0s token:admin"},
		{"/enrollment-tokens", `{"serial_pattern":"K-*","max_uses":0}`, "enrolment token K-* 0 24h0m0s token:admin"}, // for the registry to refuse
		{"/tokens", `{"name":"n","scope":"read"}`, "token n read 0s token:admin"},
		{"/tokens", `{"name":"n","scope":"command","expires_in":"30d"}`, "token n command 720h0m0s token:admin"},
	} {
		s.calls = nil
		if rec := s.do("POST", call.path, call.body, as("admin")); rec.Code != 201 || len(s.calls) != 1 || s.calls[0] != call.want {
			t.Errorf("%s: %d %q, want %q", call.body, rec.Code, s.calls, call.want)
		}
	}
}
