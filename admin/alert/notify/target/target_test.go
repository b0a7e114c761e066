package target

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const secret = "0123456789abcdef"

func message() Message {
	n := protocol.Notification{ID: "019b", Title: "[critical] K-1: paper jam", Text: "critical K-1: paper jam", Alerts: []protocol.AlertMessage{{ID: "a", Rule: "printer_paper_jam"}}}
	body, _ := json.Marshal(n)
	return Message{Notification: n, Body: body}
}

func newSender(t *testing.T, kind fleet.TargetKind, url string) Sender {
	t.Helper()
	target := fleet.NotificationTarget{Name: "x", Kind: kind, URL: url}
	if kind == fleet.TargetWebhook {
		target.Secret = secret
	}
	var v fleet.Violations
	Check(&v, target)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	s, err := New(target, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := s.(interface{ Close() }); ok {
		t.Cleanup(c.Close)
	}
	return s
}

// The value in docs/integrators.md, so that others can check their own code by it.
func TestSignature(t *testing.T) {
	if got, want := Signature(secret, "1767323045", []byte(`{"id":"019b"}`)), "v1=6043e3e05d0a6c2bcd159bf6cbd269af19a563a996aa48421521887099a191da"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(elsewhere.Close)
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		want   *Failure // nil: success
	}{
		{"taken", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }, nil},
		{"taken, with endless words", func(w http.ResponseWriter) { _, _ = io.CopyN(w, zeros{}, 1<<20) }, nil},
		{"out of order", func(w http.ResponseWriter) { http.Error(w, "no\ndatabase", http.StatusInternalServerError) }, &Failure{Text: "HTTP 500 Internal Server Error: no database"}},
		{"too many", func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, &Failure{Text: "HTTP 429 Too Many Requests", RetryAfter: 2 * time.Minute}},
		{"slow", func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestTimeout) }, &Failure{Text: "HTTP 408 Request Timeout"}},
		{"early", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooEarly) }, &Failure{Text: "HTTP 425 Too Early"}},
		{"wrong", func(w http.ResponseWriter) { http.Error(w, "bad signature", http.StatusForbidden) }, &Failure{Text: "HTTP 403 Forbidden: bad signature", Final: true}},
		{"elsewhere", func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, &Failure{Text: "HTTP 307 Temporary Redirect; redirects are not followed, give the target its final address", Final: true}},
		{"long words", func(w http.ResponseWriter) { http.Error(w, strings.Repeat("x", 5000), http.StatusBadRequest) }, &Failure{Text: "HTTP 400 Bad Request: " + strings.Repeat("x", maxSaid) + "…", Final: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
			t.Cleanup(server.Close)
			err := newSender(t, fleet.TargetWebhook, server.URL).Send(t.Context(), message())
			var got *Failure
			if errors.As(err, &got) != (tt.want != nil) || got != nil && *got != *tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
	if reached {
		t.Error("a redirect was followed")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAWebhookLogsInWithoutShowingIt(t *testing.T) {
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user, password, _ = r.BasicAuth() }))
	t.Cleanup(server.Close)
	address := strings.Replace(server.URL, "http://", "http://robot:p%40ss@", 1)
	if err := newSender(t, fleet.TargetWebhook, address).Send(t.Context(), message()); err != nil || user != "robot" || password != "p@ss" {
		t.Errorf("%v, as %s %s", err, user, password)
	}
	server.Close()
	err := newSender(t, fleet.TargetWebhook, address+"/hook-T0KEN").Send(t.Context(), message())
	if err == nil || strings.Contains(err.Error(), "p%40ss") || strings.Contains(err.Error(), "T0KEN") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

func TestAHangingAttemptEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // what it has accepted in its backlog gets no answer
	for kind, url := range map[fleet.TargetKind]string{
		fleet.TargetWebhook: "http://" + l.Addr().String(), fleet.TargetAlertmanager: "http://" + l.Addr().String(),
		fleet.TargetShoutrrr: "generic+http://" + l.Addr().String(),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := newSender(t, kind, url).Send(ctx, message()); err == nil || err.Error() != "no answer in time" {
			t.Errorf("%s: %v", kind, err)
		}
		cancel()
	}
	// The library goes on in the background; there is an end to that.
	s := newSender(t, fleet.TargetShoutrrr, "generic+http://"+l.Addr().String())
	for range maxHanging {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_ = s.Send(ctx, message())
		cancel()
	}
	if err := s.Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "4 earlier attempts still hang") {
		t.Errorf("one more: %v", err)
	}
}

func TestShoutrrrOverHTTP(t *testing.T) {
	var body string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, _ := io.ReadAll(r.Body)
		body = string(said)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	s := newSender(t, fleet.TargetShoutrrr, "generic+"+server.URL+"?template=json&$token=T0KEN-T0KEN")
	if err := s.Send(t.Context(), message()); err != nil || !strings.Contains(body, "K-1: paper jam") {
		t.Fatalf("%v: %s", err, body)
	}
	status = http.StatusBadGateway
	if err := s.Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "502") || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("%v", err)
	}
}

// mailbox is a mail server for one message at a time.
func mailbox(t *testing.T) (address string, mails <-chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	out := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveMail(conn, out)
		}
	}()
	return l.Addr().String(), out
}

func serveMail(conn net.Conn, out chan<- string) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewScanner(conn)
	say := func(s string) { _, _ = fmt.Fprintf(conn, "%s\r\n", s) }
	say("220 mail")
	var mail strings.Builder
	inData := false
	for in.Scan() {
		line := in.Text()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case inData && line == ".":
			inData = false
			out <- mail.String()
			say("250 ok")
		case inData:
			mail.WriteString(line + "\n")
		case verb == "EHLO":
			say("250-mail\r\n250 AUTH PLAIN")
		case verb == "AUTH":
			if strings.Contains(line, "AHJvYm90AGh1bnRlcjIy") { // robot, hunter22
				say("235 welcome")
			} else {
				say("535 wrong password")
			}
		case verb == "RCPT" && strings.Contains(line, "nobody@"):
			say("550 nobody of that name")
		case verb == "DATA":
			inData = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestShoutrrrMail(t *testing.T) {
	address, mails := mailbox(t)
	mail := func(password, to string) error {
		return newSender(t, fleet.TargetShoutrrr, "smtp://robot:"+password+"@"+address+"/?fromAddress=fleet@example.com&toAddresses="+to).Send(t.Context(), message())
	}
	if err := mail("hunter22", "ops@example.com"); err != nil {
		t.Fatal(err)
	}
	got := <-mails
	for _, part := range []string{"Subject: [critical] K-1: paper jam", "critical K-1: paper jam"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in %s", part, got)
		}
	}
	if err := mail("hunter23", "ops@example.com"); err == nil || !strings.Contains(err.Error(), "wrong password") || strings.Contains(err.Error(), "hunter23") {
		t.Errorf("%v", err)
	}
	if err := mail("hunter22", "nobody@example.com"); err == nil || !strings.Contains(err.Error(), "nobody of that name") {
		t.Errorf("%v", err)
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		kind fleet.TargetKind
		url  string
		want string
	}{
		{fleet.TargetWebhook, "ftp://x", "url: must begin with http:// or https://"},
		{fleet.TargetWebhook, "http://", "url: has no host"},
		{fleet.TargetWebhook, "http://x\x7f", "url: is not a URL"},
		{fleet.TargetWebhook, "http://x/#a", "url: must not have a fragment"},
		{fleet.TargetShoutrrr, "me@example.com", "url: must begin with a service"},
		{fleet.TargetShoutrrr, "telegrm://T0KEN", `url: "telegrm" is not a service that is known; did you mean telegram?`},
		{fleet.TargetShoutrrr, "telegram://T0KEN", "url: is not an address of that service"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			target := fleet.NotificationTarget{Kind: tt.kind, URL: tt.url}
			if tt.kind == fleet.TargetWebhook {
				target.Secret = secret
			}
			var v fleet.Violations
			Check(&v, target)
			if err := v.Err(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "T0KEN") {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	var v fleet.Violations
	Check(&v, fleet.NotificationTarget{Kind: fleet.TargetWebhook, URL: "http://x", Secret: "short"})
	if err := v.Err(); err == nil || !strings.Contains(err.Error(), "secret: must have 16") {
		t.Errorf("%v", err)
	}
}

func TestRedacted(t *testing.T) {
	for _, tt := range []struct {
		kind      fleet.TargetKind
		url, want string
	}{
		{fleet.TargetWebhook, "https://user:pw@hooks.example.com:8443/services/T0KEN?key=T0KEN", "https://hooks.example.com:8443/…"},
		{fleet.TargetWebhook, "https://hooks.example.com/", "https://hooks.example.com"},
		{fleet.TargetAlertmanager, "http://am:9093", "http://am:9093"},
		{fleet.TargetShoutrrr, "telegram://T0KEN@telegram?chats=1", "telegram://…"},
		{fleet.TargetShoutrrr, "smtp://robot:pw@mail.example.com:587/?to=a@b", "smtp://mail.example.com:587/…"},
	} {
		if got := Redacted(fleet.NotificationTarget{Kind: tt.kind, URL: tt.url}); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.url, got, tt.want)
		}
	}
}

func TestWhatAlertmanagerIsTold(t *testing.T) {
	var got []map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var part []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&part); err != nil || r.URL.Path != "/api/v2/alerts" {
			http.Error(w, "what?", http.StatusBadRequest)
		}
		got = append(got, part...)
	}))
	t.Cleanup(server.Close)
	s := newSender(t, fleet.TargetAlertmanager, server.URL)
	m := message()
	m.Notification.Alerts = nil
	over := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range postAtOnce + 1 {
		m.Notification.Alerts = append(m.Notification.Alerts, protocol.AlertMessage{ID: fmt.Sprint(i), Rule: "offline", Serial: "K-1", Severity: "critical", Reason: "gone", ResolvedAt: &over, Labels: map[string]string{"1st-team": "blue", "serial": "not this"}})
	}
	if err := s.Send(t.Context(), m); err != nil || len(got) != postAtOnce+1 {
		t.Fatalf("%v: %d alerts", err, len(got))
	}
	want := `{"annotations":{"summary":"gone"},"endsAt":"2026-03-04T05:06:07Z","labels":{"_1st_team":"blue","alert_id":"0","alertname":"offline","serial":"K-1","severity":"critical"},"startsAt":"0001-01-01T00:00:00Z"}`
	if first, _ := json.Marshal(got[0]); string(first) != want {
		t.Errorf("%s\nwant %s", first, want)
	}
	got = nil
	m.Notification.Incident = &protocol.IncidentMessage{ID: "i", Kind: "site", Key: "Hall 1", Site: "Hall 1", Rule: "offline", Severity: "critical", Title: "30 of 30"}
	if err := s.(Refresher).Refresh(t.Context(), []protocol.Notification{m.Notification}); err != nil || len(got) != 1 {
		t.Fatalf("an incident is one alert: %v, %d", err, len(got))
	}
	end, err := time.Parse(time.RFC3339, got[0]["endsAt"].(string))
	if err != nil || time.Until(end) < 3*time.Minute {
		t.Errorf("what stands ends at %v", got[0]["endsAt"])
	}
}
