package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var errInner = errors.New("secret detail of ours")

// world is everything behind the API, in memory. Its zero parts answer like an empty platform.
type world struct {
	mu       sync.Mutex
	kiosks   map[string]*fleet.Kiosk
	lives    map[string]*fleet.Live
	commands map[string][]fleet.Command // by serial, newest first
	events   map[string][]fleet.Event   // by serial, newest first
	ledgers  map[string]fleet.LedgerCounts
	refusals map[string][]fleet.Refusals // by serial
	letters  []fleet.DeadLetter          // newest first
	refused  map[int64]error             // what a replay of a letter answers, unless it succeeds
	intake   fleet.IntakeStatus
	points   []Point
	asked    []Range
	answers  map[string]Answer
	// mostPoints makes every series have a point a minute, and an answer at most so many; 0: see Range.
	mostPoints int
	sent       []string // orders, as serial name params expires key actor
	calls      []string // changes, as verb target actor
	failing    error    // every call that may fail returns it
	watched
	unusual
}

func newWorld() *world {
	return &world{
		kiosks: map[string]*fleet.Kiosk{}, lives: map[string]*fleet.Live{},
		commands: map[string][]fleet.Command{}, events: map[string][]fleet.Event{},
		ledgers: map[string]fleet.LedgerCounts{}, refusals: map[string][]fleet.Refusals{}, refused: map[int64]error{},
	}
}

func (w *world) add(serial string, change ...func(*fleet.Kiosk, *fleet.Live)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := &fleet.Kiosk{ID: int64(len(w.kiosks) + 1), Serial: serial, CreatedAt: start}
	l := unseen(serial)
	for _, f := range change {
		f(k, l)
	}
	w.kiosks[serial], w.lives[serial] = k, l
}

func (w *world) remove(serial string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.kiosks, serial)
}

func unseen(serial string) *fleet.Live {
	return &fleet.Live{
		Serial: serial, Presence: fleet.PresenceNever, PresenceReason: fleet.ReasonNeverSeen, Status: fleet.StatusUnknown,
		Verdict: fleet.VerdictUnknown, Reasons: []fleet.VerdictReason{{Code: "never_seen", Text: "Never seen"}},
	}
}

func (w *world) called(format string, args ...any) error {
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
	return w.failing
}

// Registry.

func (w *world) Get(serial string) (*fleet.Kiosk, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k, ok := w.kiosks[serial]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("kiosk %s: %w", serial, fleet.ErrNotFound)
}

func (w *world) All() []*fleet.Kiosk {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*fleet.Kiosk
	for _, k := range w.kiosks {
		out = append(out, k)
	}
	return out
}

func (w *world) Add(_ context.Context, k fleet.Kiosk, actor string) (*fleet.Kiosk, error) {
	if err := k.Normalise(); err != nil {
		return nil, err
	}
	if _, err := w.Get(k.Serial); err == nil {
		return nil, fmt.Errorf("register kiosk %s: %w", k.Serial, fleet.ErrExists)
	}
	w.add(k.Serial, func(added *fleet.Kiosk, _ *fleet.Live) { k.ID, k.CreatedAt = added.ID, added.CreatedAt; *added = k })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kiosks[k.Serial], w.called("add %s %s", k.Serial, actor)
}

func (w *world) Change(_ context.Context, serial string, p fleet.KioskPatch, actor string) (*fleet.Kiosk, error) {
	k, err := w.Get(serial)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := *k
	changed.Apply(p)
	w.kiosks[serial] = &changed
	return &changed, w.called("change %s %s", serial, actor)
}

func (w *world) Revoke(_ context.Context, serial, actor string) (*fleet.Kiosk, error) {
	k, err := w.Get(serial)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return k, w.called("revoke %s %s", serial, actor)
}

func (w *world) Delete(_ context.Context, serial, actor string) error {
	if _, err := w.Get(serial); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.kiosks, serial)
	return w.called("delete %s %s", serial, actor)
}

// presences is the Presence of a world.
type presences struct{ w *world }

func (p presences) Get(serial string) *fleet.Live {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if l, ok := p.w.lives[serial]; ok {
		return l
	}
	return unseen(serial)
}

func (p presences) Ledger(serial string) fleet.LedgerCounts {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.ledgers[serial]
}

// enrolments is the Enrolment of a world; it knows one token, "t1".
type enrolments struct{ w *world }

func (e enrolments) Create(_ context.Context, pattern string, maxUses int, expiresIn time.Duration, actor string) (fleet.EnrollmentToken, string, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	t := fleet.EnrollmentToken{ID: "t1", SerialPattern: pattern, MaxUses: maxUses, CreatedAt: start, ExpiresAt: start.Add(expiresIn)}
	return t, "kfe1.t1.secret.ca", e.w.called("enrolment token %s %d %s %s", pattern, maxUses, expiresIn, actor)
}

func (e enrolments) List(context.Context) ([]fleet.EnrollmentToken, error) {
	return []fleet.EnrollmentToken{{ID: "t1", Hash: "hash-of-t1", SerialPattern: "K-*", MaxUses: 3, Uses: 1, CreatedAt: start, ExpiresAt: start}}, e.w.failing
}

func (e enrolments) Delete(_ context.Context, id, actor string) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if id != "t1" {
		return fleet.ErrNotFound
	}
	return e.w.called("withdraw enrolment token %s %s", id, actor)
}

func (e enrolments) Enroll(_ context.Context, req protocol.EnrollRequest) (protocol.EnrollResponse, error) {
	return protocol.EnrollResponse{Certificate: "cert of " + req.Serial, Chain: "chain", Brokers: []string{"mqtts://h:1"}, KioskID: 1}, e.w.failing
}

// orders is the Commands of a world.
type orders struct{ w *world }

func (o orders) Send(_ context.Context, serial string, name protocol.CommandName, params []byte, expiresIn time.Duration, key, actor string) (fleet.Command, error) {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	o.w.sent = append(o.w.sent, fmt.Sprintf("%s %s %s %s %s %s", serial, name, params, expiresIn, key, actor))
	return fleet.Command{
		ID: "c1", Serial: serial, Name: name, Params: params, Status: fleet.CommandQueued, Actor: actor,
		CreatedAt: start, ExpiresAt: start.Add(time.Hour), Steps: []fleet.CommandStep{{Status: fleet.CommandQueued, At: start}},
	}, o.w.failing
}

// histories is the History of a world.
type histories struct{ w *world }

func (h histories) Command(_ context.Context, id string) (fleet.Command, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for _, commands := range h.w.commands {
		for _, c := range commands {
			if c.ID == id {
				return c, h.w.failing
			}
		}
	}
	return fleet.Command{}, cmp.Or(h.w.failing, fleet.ErrNotFound)
}

func (h histories) Commands(_ context.Context, serial, before string, limit int) ([]fleet.Command, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var out []fleet.Command
	for _, c := range h.w.commands[serial] {
		if (before == "" || c.ID < before) && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, h.w.failing
}

func (h histories) Events(_ context.Context, serial string, before time.Time, id int64, limit int) ([]fleet.Event, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var out []fleet.Event
	for _, e := range h.w.events[serial] {
		earlier := before.IsZero() || e.At.Before(before) || e.At.Equal(before) && e.ID < id
		if earlier && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, h.w.failing
}

func (h histories) Refusals(_ context.Context, serial string) ([]fleet.Refusals, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.w.refusals[serial], h.w.failing
}

// serieses is the Series of a world.
type serieses struct{ w *world }

// Range gives every kiosk or group the world's points, or those that answers has for the metric.
func (s serieses) Range(ctx context.Context, q Range) (Answer, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.asked = append(s.w.asked, q)
	if s.w.failing != nil || ctx.Err() != nil {
		return Answer{}, cmp.Or(s.w.failing, ctx.Err())
	}
	if of, ok := s.w.answers[q.Metric]; ok {
		return of, nil
	}
	if s.w.mostPoints > 0 {
		return s.w.minutely(q)
	}
	out := Answer{Source: "raw"}
	for _, serial := range q.Serials {
		if len(s.w.points) > 0 {
			out.Series = append(out.Series, NamedSeries{serial, s.w.points})
		}
	}
	for _, g := range q.Groups {
		out.Series = append(out.Series, NamedSeries{g.Name, s.w.points})
	}
	return out, nil
}

// errTooLarge is how the store refuses an answer with too many points.
var errTooLarge = errors.New("too many points")

func (w *world) minutely(q Range) (out Answer, err error) {
	var points []Point
	for at := q.From.Truncate(max(q.Step, time.Millisecond)); at.Before(q.To); at = at.Add(max(q.Step, time.Minute)) {
		points = append(points, Point{at, 1})
	}
	out.Source = "raw"
	for _, serial := range q.Serials {
		out.Series = append(out.Series, NamedSeries{serial, points})
	}
	for _, g := range q.Groups {
		out.Series = append(out.Series, NamedSeries{g.Name, points})
	}
	if len(points)*len(out.Series) > w.mostPoints {
		return Answer{}, errTooLarge
	}
	return out, nil
}

func (s serieses) Metrics(context.Context, string) ([]string, error) {
	return []string{"hardware.cpu_temp", "vendor.sensor_7"}, s.w.failing
}

// shelf is the Letters, Settling and Intake of a world. ReplayMany takes two letters at a time.
type shelf struct{ w *world }

func (s shelf) DeadLetters(_ context.Context, f fleet.DeadLetterFilter, before int64, limit int) ([]fleet.DeadLetter, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []fleet.DeadLetter
	for _, d := range s.w.letters {
		if matchesLetter(f, d) && (before == 0 || d.ID < before) && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, s.w.failing
}

func matchesLetter(f fleet.DeadLetterFilter, d fleet.DeadLetter) bool {
	return (f.Serial == "" || f.Serial == d.Serial) && (f.Reason == "" || f.Reason == d.Reason) && (f.Through == 0 || d.ID <= f.Through)
}

func (s shelf) DeadLetter(_ context.Context, id int64) (fleet.DeadLetter, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, d := range s.w.letters {
		if d.ID == id {
			return d, s.w.failing
		}
	}
	return fleet.DeadLetter{}, cmp.Or(s.w.failing, fleet.ErrNotFound)
}

func (s shelf) CountDeadLetters(_ context.Context, f fleet.DeadLetterFilter) (map[string]int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := map[string]int{}
	for _, d := range s.w.letters {
		if matchesLetter(f, d) {
			out[d.Reason]++
		}
	}
	return out, s.w.failing
}

func (s shelf) TotalDeadLetters(context.Context) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return len(s.w.letters), s.w.failing
}

func (s shelf) Status() fleet.IntakeStatus {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.intake
}

// take removes a letter.
func (s shelf) take(id int64) error {
	for i, d := range s.w.letters {
		if d.ID == id {
			s.w.letters = slices.Delete(s.w.letters, i, i+1)
			return nil
		}
	}
	return fleet.ErrNotFound
}

func (s shelf) Replay(_ context.Context, id int64, actor string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.w.refused[id]; err != nil {
		return err
	}
	if err := s.take(id); err != nil {
		return err
	}
	return s.w.called("replay %d %s", id, actor)
}

func (s shelf) ReplayMany(_ context.Context, f fleet.DeadLetterFilter, after int64, actor string) (Settled, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out Settled
	for _, d := range slices.Backward(slices.Clone(s.w.letters)) {
		if d.ID <= after || !matchesLetter(f, d) {
			continue
		}
		if out.Replayed+out.Refused == 2 {
			return out, s.w.called("replay %+v %d %s", f, after, actor)
		}
		out.Next = d.ID
		if s.w.refused[d.ID] != nil {
			out.Refused++
		} else if s.take(d.ID) == nil {
			out.Replayed++
		}
	}
	out.Next = 0
	return out, s.w.called("replay %+v %d %s", f, after, actor)
}

func (s shelf) Discard(_ context.Context, id int64, actor string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if err := s.take(id); err != nil {
		return err
	}
	return s.w.called("discard %d %s", id, actor)
}

func (s shelf) DiscardMany(_ context.Context, f fleet.DeadLetterFilter, actor string) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	before := len(s.w.letters)
	s.w.letters = slices.DeleteFunc(s.w.letters, func(d fleet.DeadLetter) bool { return matchesLetter(f, d) })
	return before - len(s.w.letters), s.w.called("discard %+v %s", f, actor)
}

// gatekeeper is the Auth of a world: the names of the roles are users, with their own name as session,
// and tokens; all of them but the expired ones.
type gatekeeper struct{ w *world }

func (g gatekeeper) Login(_ context.Context, name, password, remote string) (string, fleet.Principal, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if err := g.w.called("login %s %s", name, remote); err != nil {
		return "", fleet.Principal{}, err
	}
	if password != "right" {
		return "", fleet.Principal{}, fmt.Errorf("wrong user name or password: %w", fleet.ErrUnauthorized)
	}
	return name, fleet.Principal{Name: name, Role: fleet.Role(name)}, nil
}

func (g gatekeeper) Logout(_ context.Context, secret string) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	return g.w.called("logout %s", secret)
}

func (g gatekeeper) BySession(_ context.Context, secret string) (fleet.Principal, error) {
	return g.principal(secret, false)
}

func (g gatekeeper) ByToken(_ context.Context, text string) (fleet.Principal, error) {
	return g.principal(text, true)
}

func (g gatekeeper) principal(role string, token bool) (fleet.Principal, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if !fleet.Role(role).Includes(fleet.RoleViewer) || errors.Is(g.w.failing, fleet.ErrUnauthorized) {
		return fleet.Principal{}, fmt.Errorf("no such %v: %w", map[bool]string{true: "token", false: "session"}[token], fleet.ErrUnauthorized)
	}
	name := role
	if token {
		name = "token:" + role
	}
	return fleet.Principal{Name: name, Role: fleet.Role(role), Token: token}, nil
}

func (g gatekeeper) CreateAPIToken(_ context.Context, name string, scope fleet.Scope, expiresIn time.Duration, actor string) (fleet.APIToken, string, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	return fleet.APIToken{ID: "a1", Name: name, Scope: scope, Hash: "hash-of-a1", CreatedAt: start}, "kfa1.a1.secret", g.w.called("token %s %s %s %s", name, scope, expiresIn, actor)
}

func (g gatekeeper) APITokens(context.Context) ([]fleet.APIToken, error) {
	return []fleet.APIToken{{ID: "a1", Name: "grafana", Scope: fleet.ScopeRead, Hash: "hash-of-a1", CreatedAt: start}}, g.w.failing
}

func (g gatekeeper) DeleteAPIToken(_ context.Context, id, actor string) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if id != "a1" {
		return fleet.ErrNotFound
	}
	return g.w.called("withdraw token %s %s", id, actor)
}

// site is an API on a world, whose answers are held to openapi.yaml.
type site struct {
	*Server
	*world
	t        *testing.T
	hub      *Hub
	contract routers.Router
	ready    error
}

var loadContract = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(contract)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	s := &site{world: newWorld(), t: t, hub: NewHub()}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "kioskfleet_test"}))
	cfg := Config{
		Registry: s.world, Enrolment: enrolments{s.world}, Presence: presences{s.world}, Commands: orders{s.world},
		History: histories{s.world}, Series: serieses{s.world}, Letters: shelf{s.world}, Settling: shelf{s.world}, Intake: shelf{s.world}, Auth: gatekeeper{s.world}, Hub: s.hub,
		Web:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") }),
		Alerts: watch{s.world}, Rules: ruleBook{watch{s.world}}, Backtest: ruleBook{watch{s.world}}, Notifications: teller{watch{s.world}},
		Availability: watch{s.world}, Forecasts: watch{s.world},
		Anomalies: seer{watch{s.world}}, AnomalyCare: seer{watch{s.world}}, Models: seer{watch{s.world}}, Trainer: seer{watch{s.world}},
		Ready: func(context.Context) error { return s.ready }, Metrics: metrics,
		Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler),
		Classify: func(err error) (Fault, bool) {
			return Fault{Status: http.StatusUnprocessableEntity, Title: "Range too large", TooLarge: true}, errors.Is(err, errTooLarge)
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if s.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if s.contract, err = loadContract(); err != nil {
		t.Fatal(err)
	}
	return s
}

// as authenticates a request by a token of that role; empty: not at all.
func as(role string) func(*http.Request) {
	return func(r *http.Request) {
		if role != "" {
			r.Header.Set("Authorization", "Bearer "+role)
		}
	}
}

// withSession authenticates a request by a browser's cookie.
func withSession(role string) func(*http.Request) {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: role}) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// do makes a request below Prefix; body is JSON text or empty.
func (s *site) do(method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.raw(method, Prefix+path, body, change...)
}

func (s *site) raw(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	req.Host = "fleet.example"
	for _, f := range change {
		f(req)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	s.checkContract(req, body, rec)
	return rec
}

// checkContract holds an answer to openapi.yaml, and every error to problem+json.
func (s *site) checkContract(req *http.Request, body string, rec *httptest.ResponseRecorder) {
	s.t.Helper()
	what := fmt.Sprintf("%s %s: %d", req.Method, req.URL, rec.Code)
	if rec.Header().Get("X-Request-Id") == "" {
		s.t.Errorf("%s: no request id", what)
	}
	if strings.Contains(rec.Body.String(), errInner.Error()) && rec.Code == http.StatusInternalServerError {
		s.t.Errorf("%s tells what went wrong inside: %s", what, rec.Body)
	}
	if rec.Code >= 400 && req.URL.Path != "/readyz" {
		var p problem
		dec := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); req.Method != http.MethodHead && (err != nil || p.Status != rec.Code || p.Title == "" || p.Type == "" || p.RequestID != rec.Header().Get("X-Request-Id")) {
			s.t.Errorf("%s is no problem: %v %s", what, err, rec.Body)
		}
		if got := rec.Header().Get("Content-Type"); got != "application/problem+json" {
			s.t.Errorf("%s: Content-Type = %s", what, got)
		}
	}
	if !strings.HasPrefix(req.URL.Path, Prefix+"/") || rec.Code >= 500 {
		return
	}
	plain := req.Clone(context.Background())
	plain.URL = &url.URL{Path: req.URL.Path, RawQuery: req.URL.RawQuery}
	plain.Body = io.NopCloser(strings.NewReader(body))
	route, params, err := s.contract.FindRoute(plain)
	if err != nil {
		if rec.Code < 400 {
			s.t.Errorf("%s is not in the contract: %v", what, err)
		}
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, PathParams: params, Route: route},
		Status:                 rec.Code,
		Header:                 rec.Header(),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(rec.Body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		s.t.Errorf("%s breaks the contract: %v", what, err)
	}
}

func decode[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var out T
	if rec.Code != status {
		t.Fatalf("status = %d, want %d: %s", rec.Code, status, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	return out
}
