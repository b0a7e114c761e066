package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestTheRoutesAreThoseOfTheContract(t *testing.T) {
	s := newSite(t)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(s.spec, &doc); err != nil {
		t.Fatal(err)
	}
	var written, served []string
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "parameters" {
				written = append(written, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for _, r := range s.echo.Routes() {
		path, ok := strings.CutPrefix(r.Path, Prefix)
		if !ok || r.Method == "echo_route_not_found" {
			continue
		}
		parts := strings.Split(path, "/")
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		served = append(served, r.Method+" "+strings.Join(parts, "/"))
	}
	slices.Sort(written)
	slices.Sort(served)
	if len(served) < 20 {
		t.Fatalf("only %d routes were found", len(served))
	}
	for _, r := range served {
		if !slices.Contains(written, r) {
			t.Errorf("%s is served and not in openapi.yaml", r)
		}
	}
	for _, r := range written {
		if !slices.Contains(served, r) {
			t.Errorf("%s is in openapi.yaml and not served", r)
		}
	}
}

// Every call with the least role that may make it.
var calls = []struct {
	method, path, body string
	least              fleet.Role
	status             int
}{
	{"DELETE", "/session", "", fleet.RoleViewer, 204},
	{"GET", "/me", "", fleet.RoleViewer, 200},
	{"GET", "/openapi.json", "", fleet.RoleViewer, 200},
	{"GET", "/kiosks", "", fleet.RoleViewer, 200},
	{"GET", "/kiosks/K-1", "", fleet.RoleViewer, 200},
	{"GET", "/kiosks/K-1/telemetry?metric=hardware.cpu_temp", "", fleet.RoleViewer, 200},
	{"POST", "/query", `{"series":[{"metric":"hardware.cpu_temp"}]}`, fleet.RoleViewer, 200},
	{"GET", "/kiosks/K-1/commands", "", fleet.RoleViewer, 200},
	{"GET", "/kiosks/K-1/events", "", fleet.RoleViewer, 200},
	{"GET", "/commands/c1", "", fleet.RoleViewer, 200},
	{"GET", "/summary", "", fleet.RoleViewer, 200},
	{"GET", "/sites", "", fleet.RoleViewer, 200},
	{"GET", "/metrics", "", fleet.RoleViewer, 200},
	{"GET", "/ingest", "", fleet.RoleViewer, 200},
	{"GET", "/dead-letters", "", fleet.RoleViewer, 200},
	{"GET", "/dead-letters/1", "", fleet.RoleViewer, 200},
	{"POST", "/dead-letters/1/replay", "", fleet.RoleOperator, 202},
	{"POST", "/dead-letters/replay?all=true", "", fleet.RoleOperator, 200},
	{"DELETE", "/dead-letters/1", "", fleet.RoleOperator, 204},
	{"DELETE", "/dead-letters?all=true", "", fleet.RoleOperator, 200},
	{"POST", "/kiosks/K-1/commands", `{"name":"ping"}`, fleet.RoleTechnician, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"restart"}`, fleet.RoleTechnician, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"maintenance","params":{"enabled":true}}`, fleet.RoleTechnician, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"block"}`, fleet.RoleOperator, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"unblock"}`, fleet.RoleOperator, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"update"}`, fleet.RoleOperator, 202},
	{"POST", "/kiosks/K-1/commands", `{"name":"what-comes-next"}`, fleet.RoleOperator, 202},
	{"POST", "/kiosks", `{"serial":"K-2"}`, fleet.RoleAdmin, 201},
	{"PATCH", "/kiosks/K-1", `{"site":"Lobby"}`, fleet.RoleAdmin, 200},
	{"DELETE", "/kiosks/K-1", "", fleet.RoleAdmin, 204},
	{"POST", "/kiosks/K-1/revocation", "", fleet.RoleAdmin, 200},
	{"GET", "/enrollment-tokens", "", fleet.RoleAdmin, 200},
	{"POST", "/enrollment-tokens", `{"serial_pattern":"K-*"}`, fleet.RoleAdmin, 201},
	{"DELETE", "/enrollment-tokens/t1", "", fleet.RoleAdmin, 204},
	{"GET", "/tokens", "", fleet.RoleAdmin, 200},
	{"POST", "/tokens", `{"name":"grafana","scope":"read"}`, fleet.RoleAdmin, 201},
	{"DELETE", "/tokens/a1", "", fleet.RoleAdmin, 204},
	{"GET", "/alerts", "", fleet.RoleViewer, 200},
	{"GET", "/alerts/summary", "", fleet.RoleViewer, 200},
	{"GET", "/alert-statistics", "", fleet.RoleViewer, 200},
	{"GET", "/incidents", "", fleet.RoleViewer, 200},
	{"GET", "/alerts/a1", "", fleet.RoleViewer, 200},
	{"GET", "/alerts/a1/timeline", "", fleet.RoleViewer, 200},
	{"POST", "/alerts/a1/acknowledge", "", fleet.RoleTechnician, 200},
	{"POST", "/alerts/a1/unacknowledge", "", fleet.RoleTechnician, 200},
	{"POST", "/alerts/a1/assign", `{"assignee":"ann"}`, fleet.RoleTechnician, 200},
	{"POST", "/alerts/a1/snooze", `{"until":"+1h"}`, fleet.RoleTechnician, 200},
	{"POST", "/alerts/a1/comment", `{"comment":"on my way"}`, fleet.RoleTechnician, 200},
	{"POST", "/alerts/a1/resolve", `{"comment":"done"}`, fleet.RoleOperator, 200},
	{"GET", "/incidents/i1", "", fleet.RoleViewer, 200},
	{"GET", "/incidents/i1/timeline", "", fleet.RoleViewer, 200},
	{"POST", "/incidents/i1/acknowledge", "", fleet.RoleTechnician, 200},
	{"POST", "/incidents/i1/unacknowledge", "", fleet.RoleTechnician, 200},
	{"POST", "/incidents/i1/assign", `{"assignee":"ann"}`, fleet.RoleTechnician, 200},
	{"POST", "/incidents/i1/snooze", `{"until":"+1h"}`, fleet.RoleTechnician, 200},
	{"POST", "/incidents/i1/comment", `{"comment":"on my way"}`, fleet.RoleTechnician, 200},
	{"POST", "/incidents/i1/resolve", `{"comment":"done"}`, fleet.RoleOperator, 200},
	{"GET", "/silences", "", fleet.RoleViewer, 200},
	{"POST", "/silences/preview", `{"matchers":[{"name":"site","op":"=","value":"Hall"}]}`, fleet.RoleViewer, 200},
	{"POST", "/silences", `{"matchers":[{"name":"site","op":"=","value":"Hall"}],"until":"+1h","comment":"works"}`, fleet.RoleOperator, 201},
	{"DELETE", "/silences/s1", "", fleet.RoleOperator, 200},
	{"GET", "/maintenance-windows", "", fleet.RoleViewer, 200},
	{"POST", "/maintenance-windows", `{"scope":{"sites":["Hall"]},"until":"+1h"}`, fleet.RoleOperator, 201},
	{"DELETE", "/maintenance-windows/w1", "", fleet.RoleOperator, 204},
	{"GET", "/alert-rules", "", fleet.RoleViewer, 200},
	{"GET", "/alert-rules/vocabulary", "", fleet.RoleViewer, 200},
	{"GET", "/alert-rules/cpu_temp_high", "", fleet.RoleViewer, 200},
	{"GET", "/alert-rules/cpu_temp_high/versions", "", fleet.RoleViewer, 200},
	{"POST", "/alert-rules/check", `{"name":"hot","summary":"hot","severity":"warning","condition":"hardware.cpu_temp > 85"}`, fleet.RoleOperator, 204},
	{"POST", "/alert-rules/backtest", `{"rule":{"name":"hot","summary":"hot","severity":"warning","condition":"hardware.cpu_temp > 85"}}`, fleet.RoleOperator, 200},
	{"POST", "/alert-rules", `{"name":"hot","summary":"hot","severity":"warning","condition":"hardware.cpu_temp > 85"}`, fleet.RoleAdmin, 201},
	{"PUT", "/alert-rules/cpu_temp_high", `{"summary":"hot","severity":"warning","condition":"hardware.cpu_temp > 85","version":2}`, fleet.RoleAdmin, 200},
	{"DELETE", "/alert-rules/cpu_temp_high", "", fleet.RoleAdmin, 204},
	{"POST", "/alert-rules/cpu_temp_high/enable", "", fleet.RoleAdmin, 200},
	{"POST", "/alert-rules/cpu_temp_high/disable", "", fleet.RoleAdmin, 200},
	{"GET", "/notification-targets", "", fleet.RoleViewer, 200},
	{"POST", "/notification-targets", `{"name":"desk","kind":"webhook","url":"https://desk.example/"}`, fleet.RoleAdmin, 201},
	{"POST", "/notification-targets/test", `{"id":"t1"}`, fleet.RoleAdmin, 204},
	{"PATCH", "/notification-targets/t1", `{"disabled":true}`, fleet.RoleAdmin, 200},
	{"DELETE", "/notification-targets/t1", "", fleet.RoleAdmin, 204},
	{"GET", "/notification-routes", "", fleet.RoleViewer, 200},
	{"PUT", "/notification-routes", `{"version":3,"routes":[]}`, fleet.RoleAdmin, 200},
	{"GET", "/notification-deliveries", "", fleet.RoleViewer, 200},
	{"POST", "/notification-deliveries/d1/replay", "", fleet.RoleOperator, 202},
	{"GET", "/availability", "", fleet.RoleViewer, 200},
	{"GET", "/visits", "", fleet.RoleViewer, 200},
	{"GET", "/kiosks/K-1/forecasts", "", fleet.RoleViewer, 200},
	{"GET", "/anomalies", "", fleet.RoleViewer, 200},
	{"GET", "/anomalies/n1", "", fleet.RoleViewer, 200},
	{"POST", "/anomalies/n1/feedback", `{"verdict":"noise"}`, fleet.RoleOperator, 200},
	{"GET", "/anomalies/tuning", "", fleet.RoleViewer, 200},
	{"DELETE", "/anomalies/tuning/hardware.cpu_temp", "", fleet.RoleOperator, 204},
	{"GET", "/kiosks/K-1/anomaly", "", fleet.RoleViewer, 200},
	{"GET", "/models", "", fleet.RoleViewer, 200},
	{"GET", "/models/training", "", fleet.RoleViewer, 200},
	{"POST", "/models/train", "", fleet.RoleAdmin, 202},
	{"POST", "/models/rollback", "", fleet.RoleAdmin, 200},
	{"GET", "/models/built-in", "", fleet.RoleViewer, 200},
	{"POST", "/models/built-in/promote", "", fleet.RoleAdmin, 200},
}

func callSite(t *testing.T) *site {
	s := newSite(t)
	s.begin()
	return s
}

// begin sets what the calls are about, and forgets what was done.
func (s *site) begin() {
	clear(s.kiosks)
	s.add("K-1")
	s.commands["K-1"] = []fleet.Command{{ID: "c1", Serial: "K-1", Status: fleet.CommandQueued}}
	s.letters = []fleet.DeadLetter{{ID: 1, Serial: "K-1", Reason: "schema", ReceivedAt: start}}
	s.watched, s.unusual = someAlerts(), someAnomalies()
	s.calls, s.sent = nil, nil
}

func TestWhoMayCallWhat(t *testing.T) {
	s := newSite(t)
	for _, call := range calls {
		for _, role := range append([]fleet.Role{"", "stranger"}, fleet.Roles()...) {
			want := http.StatusForbidden
			switch {
			case role == "" || role == "stranger":
				want = http.StatusUnauthorized
			case role.Includes(call.least):
				want = call.status
			}
			for name, authenticate := range map[string]func(string) func(*http.Request){"token": as, "session": withSession} {
				if role == "" && name == "session" {
					continue
				}
				s.begin()
				rec := s.do(call.method, call.path, call.body, authenticate(string(role)))
				if rec.Code != want {
					t.Errorf("%s %s %s by %s of %q: %d, want %d: %s", call.method, call.path, call.body, name, role, rec.Code, want, rec.Body)
				}
				if done := len(s.calls) + len(s.sent); want >= 400 && done != 0 {
					t.Errorf("%s %s by %q was refused and done: %v %v", call.method, call.path, role, s.calls, s.sent)
				}
				if want == http.StatusUnauthorized && rec.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s: 401 without WWW-Authenticate", call.method, call.path)
				}
			}
		}
	}
}

func TestEveryRouteIsInTheAccessTable(t *testing.T) {
	s := newSite(t)
	open := []string{"POST /session", "POST /enroll", "GET /events"}
	for _, r := range s.echo.Routes() {
		path, ok := strings.CutPrefix(r.Path, Prefix)
		if !ok || r.Method == "echo_route_not_found" || slices.Contains(open, r.Method+" "+path) {
			continue
		}
		// Ids are of any kind, so only their number of parts is held to the table.
		pattern := regexp.MustCompile("^" + regexp.MustCompile(":[a-z]+").ReplaceAllString(path, "[^/?]+") + `(\?.*)?$`)
		if !slices.ContainsFunc(calls, func(c struct {
			method, path, body string
			least              fleet.Role
			status             int
		}) bool {
			return c.method == r.Method && pattern.MatchString(c.path)
		}) {
			t.Errorf("%s %s is not in the table", r.Method, path)
		}
	}
}

func TestCredentials(t *testing.T) {
	tests := []struct {
		name   string
		change []func(*http.Request)
		want   int
	}{
		{"a token", []func(*http.Request){header("Authorization", "Bearer viewer")}, 200},
		{"the scheme's case does not matter", []func(*http.Request){header("Authorization", "bearer viewer")}, 200},
		{"spaces around", []func(*http.Request){header("Authorization", "Bearer   viewer ")}, 200},
		{"another scheme", []func(*http.Request){header("Authorization", "Basic dmlld2VyOg==")}, 401},
		{"no scheme", []func(*http.Request){header("Authorization", "viewer")}, 401},
		{"no token", []func(*http.Request){header("Authorization", "Bearer ")}, 401},
		{"a bad token beside a good session", []func(*http.Request){header("Authorization", "Bearer nobody"), withSession("admin")}, 401},
		{"an empty cookie", []func(*http.Request){withSession("")}, 401},
		{"a token as a cookie of another name", []func(*http.Request){func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: "admin"}) }}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if rec := newSite(t).do("GET", "/me", "", tt.change...); rec.Code != tt.want {
				t.Errorf("status = %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
		})
	}
}

func TestMeSaysWhoItIs(t *testing.T) {
	s := newSite(t)
	if got := decode[meView](t, s.do("GET", "/me", "", as("operator")), 200); got != (meView{"operator", fleet.RoleOperator, "token"}) {
		t.Errorf("me = %+v", got)
	}
	if got := decode[meView](t, s.do("GET", "/me", "", withSession("viewer")), 200); got != (meView{"viewer", fleet.RoleViewer, "user"}) {
		t.Errorf("me = %+v", got)
	}
}

func TestAnotherSitesPageChangesNothing(t *testing.T) {
	crossSite := header("Sec-Fetch-Site", "cross-site")
	foreign := header("Origin", "https://evil.example")
	own := header("Origin", "https://fleet.example")
	tests := []struct {
		name   string
		method string
		path   string
		body   string
		change []func(*http.Request)
		want   int
	}{
		{"a session from a foreign page", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin"), crossSite}, 403},
		{"by an older browser", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin"), foreign}, 403},
		{"a sibling subdomain", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin"), header("Sec-Fetch-Site", "same-site")}, 403},
		{"deletion", "DELETE", "/kiosks/K-1", "", []func(*http.Request){withSession("admin"), crossSite}, 403},
		{"a command", "POST", "/kiosks/K-1/commands", `{"name":"ping"}`, []func(*http.Request){withSession("admin"), crossSite}, 403},
		{"logging somebody in", "POST", "/session", `{"username":"viewer","password":"right"}`, []func(*http.Request){crossSite}, 403},
		{"from the own page", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin"), header("Sec-Fetch-Site", "same-origin"), own}, 201},
		{"from the own page by an older browser", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin"), own}, 201},
		{"by no browser", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){withSession("admin")}, 201},
		{"with a token", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){as("admin"), crossSite, foreign}, 201},
		{"with a token beside a session", "POST", "/kiosks", `{"serial":"K-2"}`, []func(*http.Request){as("admin"), withSession("viewer"), crossSite}, 201},
		{"reading", "GET", "/kiosks", "", []func(*http.Request){withSession("viewer"), crossSite}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := callSite(t)
			rec := s.do(tt.method, tt.path, tt.body, tt.change...)
			if rec.Code != tt.want {
				t.Errorf("status = %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
			if tt.want == 403 && len(s.calls)+len(s.sent) != 0 {
				t.Errorf("it was done: %v %v", s.calls, s.sent)
			}
		})
	}
}

func TestLoginAndLogout(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newSite(t, func(c *Config) { c.Secure = secure })
		rec := s.do("POST", "/session", `{"username":"operator","password":"right"}`, func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1234" })
		if got := decode[meView](t, rec, 200); got.Username != "operator" {
			t.Errorf("me = %+v", got)
		}
		cookies := rec.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("cookies = %v", cookies)
		}
		c := cookies[0]
		if c.Name != sessionCookie || c.Value != "operator" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure != secure || c.MaxAge != int((7*24*time.Hour).Seconds()) {
			t.Errorf("cookie = %+v", c)
		}
		if !slices.Equal(s.calls, []string{"login operator 192.0.2.7"}) {
			t.Errorf("calls = %q", s.calls)
		}
		rec = s.do("DELETE", "/session", "", func(r *http.Request) { r.AddCookie(c) })
		if rec.Code != 204 || s.calls[1] != "logout operator" {
			t.Errorf("logout: %d %q", rec.Code, s.calls)
		}
		if gone := rec.Result().Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Value != "" {
			t.Errorf("cookie after it = %v", gone)
		}
	}
	s := newSite(t)
	if rec := s.do("POST", "/session", `{"username":"operator","password":"wrong"}`); rec.Code != 401 || len(rec.Result().Cookies()) != 0 {
		t.Errorf("a wrong password: %d %v", rec.Code, rec.Result().Cookies())
	}
	if p := decode[problem](t, s.do("POST", "/session", `{}`), 422); len(p.Violations) != 2 {
		t.Errorf("violations = %v", p.Violations)
	}
	if rec := s.do("DELETE", "/session", "", as("viewer")); rec.Code != 204 || len(s.calls) != 1 {
		t.Errorf("logout of a token: %d %q", rec.Code, s.calls)
	}
}

func TestMetricsAreForThisMachineAndForTokens(t *testing.T) {
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	tests := []struct {
		name   string
		change []func(*http.Request)
		want   int
	}{
		{"loopback", []func(*http.Request){from("127.0.0.1:9")}, 200},
		{"loopback, IPv6", []func(*http.Request){from("[::1]:9")}, 200},
		{"all of 127/8", []func(*http.Request){from("127.9.9.9:9")}, 200},
		{"elsewhere", []func(*http.Request){from("192.0.2.1:9")}, 401},
		{"an address that is none", []func(*http.Request){from("@")}, 401},
		{"a proxy on this machine", []func(*http.Request){from("127.0.0.1:9"), header("X-Forwarded-For", "192.0.2.1")}, 401},
		{"a proxy that speaks RFC 7239", []func(*http.Request){from("127.0.0.1:9"), header("Forwarded", "for=192.0.2.1")}, 401},
		{"who claims to be loopback", []func(*http.Request){from("192.0.2.1:9"), header("X-Forwarded-For", "127.0.0.1")}, 401},
		{"elsewhere with a token", []func(*http.Request){from("192.0.2.1:9"), as("viewer")}, 200},
		{"elsewhere with a bad token", []func(*http.Request){from("192.0.2.1:9"), as("nobody")}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := newSite(t).raw("GET", "/metrics", "", tt.change...)
			if rec.Code != tt.want || (rec.Code == 200) != strings.Contains(rec.Body.String(), "kioskfleet_test") {
				t.Errorf("status = %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
		})
	}
	if rec := newSite(t, func(c *Config) { c.Metrics = nil }).raw("GET", "/metrics", "", from("127.0.0.1:9")); rec.Body.String() != "the page" {
		t.Errorf("without metrics: %d %s", rec.Code, rec.Body)
	}
}

func TestSecretsLeaveOnlyOnce(t *testing.T) {
	s := newSite(t)
	for path, body := range map[string]string{"/tokens": `{"name":"grafana","scope":"read"}`, "/enrollment-tokens": `{"serial_pattern":"K-*"}`} {
		if created := s.do("POST", path, body, as("admin")); !strings.Contains(created.Body.String(), ".secret") {
			t.Errorf("%s does not tell the new token: %s", path, created.Body)
		}
		if listed := s.do("GET", path, "", as("admin")).Body.String(); strings.Contains(listed, "secret") || strings.Contains(listed, "hash") {
			t.Errorf("%s lists secrets: %s", path, listed)
		}
	}
}

func TestAnswersAreNotCachedAndStayInTheirFrame(t *testing.T) {
	s := newSite(t)
	for _, rec := range []*httptest.ResponseRecorder{s.do("GET", "/kiosks", "", as("viewer")), s.do("GET", "/kiosks", "")} {
		if got := rec.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%d: Cache-Control = %q", rec.Code, got)
		}
	}
	h := s.raw("GET", "/", "").Header()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'self'"} {
		if !strings.HasPrefix(h.Get(name), want) {
			t.Errorf("%s = %q", name, h.Get(name))
		}
	}
}

func TestUnknownResources(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		method, target, role string
		want                 int
	}{
		{"GET", "/api/v1/nothing", "", 404},
		{"GET", "/api/v1/nothing", "viewer", 404},
		{"POST", "/api/v1/nothing", "admin", 404},
		{"GET", "/api/v2/kiosks", "", 404},
		{"GET", "/api/", "", 404},
		{"GET", "/api/v1/kiosks/K-9", "viewer", 404},
		{"GET", "/api/v1/kiosks/K-9/events", "viewer", 404},
		{"GET", "/api/v1/kiosks/K-9/commands", "viewer", 404},
		{"GET", "/api/v1/kiosks/K-9/telemetry?metric=a.b", "viewer", 404},
		{"POST", "/api/v1/kiosks/K-9/commands", "operator", 404},
		{"GET", "/api/v1/commands/nobody", "viewer", 404},
		{"PUT", "/api/v1/kiosks", "admin", 404},
		{"GET", "/api/v1/dead-letters/9", "viewer", 404},
		{"GET", "/api/v1/dead-letters/x", "viewer", 404},
		{"GET", "/api/v1/dead-letters/0", "viewer", 404},
		{"GET", "/api/v1/dead-letters/99999999999999999999", "viewer", 404},
		{"POST", "/api/v1/dead-letters/9/replay", "operator", 404},
		{"POST", "/api/v1/dead-letters/x/replay", "operator", 404},
		{"DELETE", "/api/v1/dead-letters/9", "operator", 404},
		{"DELETE", "/api/v1/dead-letters/-1", "operator", 404},
		{"DELETE", "/api/v1/tokens/nobody", "admin", 404},
		{"DELETE", "/api/v1/enrollment-tokens/nobody", "admin", 404},
		{"POST", "/", "", 405},
		{"HEAD", "/api/v1/kiosks", "viewer", 404},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target+" "+tt.role, func(t *testing.T) {
			if rec := s.raw(tt.method, tt.target, "", as(tt.role)); rec.Code != tt.want {
				t.Errorf("status = %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
		})
	}
}
