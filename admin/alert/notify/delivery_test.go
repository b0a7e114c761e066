package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
)

// eventually waits on the real clock until a condition holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// receiver is a webhook's other side: it fails, then hangs, then takes what is signed well.
type receiver struct {
	mu    sync.Mutex
	ids   []string // X-Kioskfleet-Delivery of each attempt
	taken []string // bodies
	wrong []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	r.ids = append(r.ids, req.Header.Get(target.HeaderDelivery))
	attempt := len(r.ids)
	if want := target.Signature("0123456789abcdef", req.Header.Get(target.HeaderTimestamp), body); err != nil || req.Header.Get(target.HeaderSignature) != want {
		r.wrong = append(r.wrong, req.Header.Get(target.HeaderSignature))
	}
	r.mu.Unlock()
	switch attempt {
	case 1:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case 2:
		<-req.Context().Done() // until the other side has had enough
	default:
		r.mu.Lock()
		r.taken = append(r.taken, string(body))
		r.mu.Unlock()
	}
}

func (r *receiver) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.taken) > 0
}

// hasty returns a notifier with real targets that does not wait long.
func (w *world) hasty() *Notifier {
	n := w.notifier()
	n.newSender = target.New
	n.delay = func(int) time.Duration { return 10 * time.Millisecond }
	n.timeout = 200 * time.Millisecond
	return n
}

func TestAWebhookThatFailsAtFirst(t *testing.T) {
	w, r := newWorld(t), &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	n := w.hasty()
	_, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "hook", Kind: fleet.TargetWebhook, URL: server.URL + "/secret-path", Secret: "0123456789abcdef"}, "ana")
	w.must(err)
	w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"hook"}, GroupWait: time.Second})
	w.run(n)
	w.opened("a", nil)
	n.Wake()
	eventually(t, "the message is taken and noted", func() bool { return r.done() && w.story("a") == "notified hook" })
	if len(r.wrong) > 0 || len(r.ids) != 3 || r.ids[0] != r.ids[1] || r.ids[1] != r.ids[2] {
		t.Errorf("signatures that are wrong: %q; ids: %q", r.wrong, r.ids)
	}
	log, err := n.Deliveries(t.Context(), fleet.DeliveryFilter{Target: "hook", AlertID: "a"}, "", 10)
	w.must(err)
	if len(log) != 1 || log[0].Status != fleet.DeliveryDelivered || log[0].Attempts != 3 || log[0].ID != r.ids[0] || string(log[0].Payload) != r.taken[0] {
		t.Errorf("log: %+v", log)
	}
	if s := n.Stats(); s.Delivered != 1 || s.FailedAttempts != 2 || s.Pending != 0 {
		t.Errorf("stats: %+v", s)
	}
	// Once more by hand: the same id and the same words.
	_, err = n.Replay(t.Context(), log[0].ID, "ana")
	w.must(err)
	eventually(t, "it is taken again", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.taken) == 2 })
	if r.ids[3] != r.ids[0] || r.taken[1] != r.taken[0] {
		t.Errorf("replayed as %s: %s", r.ids[3], r.taken[1])
	}
}

// The first process ends while the receiver holds its message; the next one begins on the same file.
func TestARestartInTheMiddle(t *testing.T) {
	w := newWorld(t)
	arrived, ids := make(chan string, 10), []string{}
	var first sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		hang := false
		first.Do(func() { hang = true })
		arrived <- req.Header.Get(target.HeaderDelivery)
		if hang {
			<-req.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	n := w.hasty()
	n.timeout = target.Timeout
	_, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "hook", Kind: fleet.TargetWebhook, URL: server.URL, Secret: "0123456789abcdef"}, "ana")
	w.must(err)
	w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"hook"}, GroupWait: time.Second})
	stop := w.run(n)
	w.opened("a", nil)
	ids = append(ids, <-arrived)
	stop()
	// What we cut short ourselves is no failure of the target.
	if s := n.Stats(); s.FailedAttempts != 0 || n.Targets()[0].Problem != "" {
		t.Errorf("stats: %+v, targets: %+v", s, n.Targets())
	}
	w.must(w.store.Close())
	w.opened("b", nil) // while nobody looks
	w.opened("over", nil)
	w.change("over", fleet.AlertEventResolved, resolved)

	w.open()
	n = w.hasty()
	w.run(n)
	ids = append(ids, <-arrived, <-arrived)
	eventually(t, "both are noted", func() bool { return w.story("a") == "notified hook" && w.story("b") == "notified hook" })
	if ids[1] != ids[0] || ids[2] == ids[0] {
		t.Errorf("ids: %q, want the first again and another", ids)
	}
	if s := w.story("over"); s != "" {
		t.Errorf("what was over by then was told: %s", s)
	}
	select {
	case id := <-arrived:
		t.Errorf("one more came: %s", id)
	default:
	}
}

func TestARestartRepeatsNothingAndForgetsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.webhooks(n, "ops", "boss")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}, Resolved: true, RepeatInterval: time.Hour, Escalations: []fleet.Escalation{{After: 2 * time.Hour, Targets: []string{"boss"}}}})
		stop := w.run(n)
		restart := func() {
			stop()
			w.must(w.store.Close())
			w.open()
			stop = w.run(w.notifier())
		}
		w.opened("a", nil)
		after(3 * time.Second)
		restart() // while it waits
		after(10 * time.Second)
		restart() // after it was told
		after(90 * time.Minute)
		restart()
		after(60 * time.Minute)
		w.change("a", fleet.AlertEventResolved, resolved)
		restart()
		after(5 * time.Minute)
		want := "boss escalated a 2h0m10s; boss resolved a 2h30m13s; ops opened a 10s; ops repeated a 1h0m10s; ops repeated a 2h0m10s; ops resolved a 2h30m13s"
		if got := w.told(start); got != want {
			t.Errorf("told\n%s\nwant\n%s", got, want)
		}
	})
}

func TestATargetThatHangsDelaysNoOther(t *testing.T) {
	w := newWorld(t)
	n := w.notifier()
	w.webhooks(n, "hangs", "works")
	hanging, release := make(chan struct{}), make(chan struct{})
	w.answers["hangs"] = func(_ context.Context, try int) error {
		if try == 1 {
			close(hanging)
		}
		<-release
		return nil
	}
	w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"hangs", "works"}, GroupWait: time.Second})
	w.run(n)
	w.opened("a", nil)
	<-hanging // from here on only the release lets it go on
	w.opened("b", nil)
	eventually(t, "both reach the other", func() bool { return w.story("a") == "notified works" && w.story("b") == "notified works" })
	close(release)
	eventually(t, "and the one that hung", func() bool { return strings.Contains(w.story("b"), "notified hangs") })
}

func TestRetries(t *testing.T) {
	busy := &target.Failure{Text: "HTTP 429", RetryAfter: time.Hour}
	for _, tt := range []struct {
		name    string
		answer  func(n int) error
		within  time.Duration
		want    string // the story
		tries   int    // at least
		failing int
	}{
		{"refused for good", func(int) error { return &target.Failure{Text: "HTTP 400: what?", Final: true} }, 10 * time.Minute, "not_notified ops: HTTP 400: what?", 1, 1},
		{"down for a while", func(n int) error {
			if n < 5 {
				return &target.Failure{Text: "HTTP 503"}
			}
			return nil
		}, 10 * time.Minute, "notified ops", 5, 0},
		{"down", func(int) error { return errors.New("connection refused") }, 10 * time.Minute, "", 6, 1},
		{"down for more than a day", func(int) error { return &target.Failure{Text: "HTTP 503"} }, 25 * time.Hour, "not_notified ops: given up after N attempts: HTTP 503", 90, 1},
		{"asks to be left alone", func(n int) error {
			if n == 1 {
				return busy
			}
			return nil
		}, 61 * time.Minute, "notified ops", 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, n *Notifier, _ time.Time) {
				w.webhooks(n, "ops")
				w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}})
				w.answers["ops"] = func(_ context.Context, n int) error { return tt.answer(n) }
				w.run(n)
				w.opened("a", nil)
				after(tt.within)
				got := w.story("a")
				if i := strings.Index(got, "after "); i > 0 {
					var attempts int
					_, _ = fmt.Sscanf(got[i:], "after %d", &attempts)
					got = strings.Replace(got, fmt.Sprint(attempts), "N", 1)
				}
				if got != tt.want || w.tries["ops"] < tt.tries || tt.tries < 3 && w.tries["ops"] != tt.tries || n.Failing() != tt.failing {
					t.Errorf("story %q, %d tries, %d failing; want %q, %d, %d", got, w.tries["ops"], n.Failing(), tt.want, tt.tries, tt.failing)
				}
			})
		})
	}
}

func TestMessagesOfAGroupStayInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.webhooks(n, "ops")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}, Resolved: true, GroupInterval: time.Second})
		n.delay = func(int) time.Duration { return time.Minute }
		w.answers["ops"] = func(_ context.Context, n int) error {
			if n == 1 {
				return &target.Failure{Text: "HTTP 503"}
			}
			return nil
		}
		w.run(n)
		w.opened("a", nil)
		after(13 * time.Second) // the first attempt has failed, the next is far off
		w.opened("b", nil)      // of another group, so nothing holds it up
		w.change("a", fleet.AlertEventResolved, resolved)
		after(10 * time.Minute)
		if got, want := w.told(start), "ops opened a 1m10s; ops opened b 23s; ops resolved a 1m10s"; got != want || w.sent[1].m.Notification.Event != "opened" {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

func TestThatATargetFailsIsNotToldToIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.webhooks(n, "bad", "good")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"bad", "good"}, Resolved: true, RepeatInterval: time.Hour})
		w.answers["bad"] = func(context.Context, int) error {
			if time.Since(start) < 5*time.Hour {
				return &target.Failure{Text: "HTTP 503"}
			}
			return nil
		}
		w.run(n)
		w.opened("a", nil)
		after(10 * time.Minute)
		if n.Failing() != 1 {
			t.Fatalf("%d failing", n.Failing())
		}
		w.opened("f", func(a *fleet.Alert) { a.Rule, a.Serial, a.Site = ruleTargetFailing, "", "" })
		after(150 * time.Minute)
		waiting, err := n.Deliveries(t.Context(), fleet.DeliveryFilter{Target: "bad", AlertID: "f"}, "", 10)
		w.must(err)
		if len(waiting) > 0 {
			t.Errorf("%d messages about itself", len(waiting))
		}
		w.change("a", fleet.AlertEventAcknowledged, acknowledged)
		after(4 * time.Hour)
		w.change("f", fleet.AlertEventResolved, resolved)
		after(10 * time.Minute)
		for _, s := range w.sent {
			if s.target == "bad" && s.m.Notification.Alerts[0].ID == "f" && s.m.Notification.Event == "resolved" && !strings.Contains(w.told(start), "bad repeated f") {
				t.Errorf("an end without a beginning: %s", w.told(start))
			}
		}
		if n.Failing() != 0 || !strings.Contains(w.told(start), "good opened f") {
			t.Errorf("%d failing; told %s", n.Failing(), w.told(start))
		}
	})
}

func TestTooManyMessagesWait(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, _ time.Time) {
		w.webhooks(n, "ops")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}})
		w.answers["ops"] = func(context.Context, int) error { return &target.Failure{Text: "HTTP 503"} }
		w.run(n)
		n.room = 5
		for i := range 8 {
			w.opened(fmt.Sprint(i), nil)
		}
		after(time.Minute)
		if s := n.Stats(); s.Dropped != 3 || s.Pending != 5 || !strings.Contains(w.story("7"), "5 messages to this target wait already") {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestAlertmanagerIsToldAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		mu.Lock()
		bodies = append(bodies, req.URL.Path+" "+string(body))
		mu.Unlock()
	}))
	t.Cleanup(server.Close)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(bodies) }
	n := w.hasty()
	_, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "am", Kind: fleet.TargetAlertmanager, URL: server.URL + "/am/"}, "ana")
	w.must(err)
	w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"am"}, GroupWait: time.Second, GroupInterval: time.Second})
	stop := w.run(n)
	w.opened("a", func(a *fleet.Alert) { a.Labels = map[string]string{"team.name": "blue"} })
	eventually(t, "it is told", func() bool { return w.story("a") == "notified am" })
	before := count()
	stop()
	w.run(w.hasty()) // which tells what stands at once, and then every minute
	eventually(t, "it is told again", func() bool { return count() > before })
	mu.Lock()
	last := bodies[len(bodies)-1]
	mu.Unlock()
	for _, part := range []string{"/am/api/v2/alerts ", `"alertname":"cpu_temp_high"`, `"serial":"K-a"`, `"team_name":"blue"`, `"startsAt":"20`, `"generatorURL":"https://fleet.example/alerts/a"`} {
		if !strings.Contains(last, part) {
			t.Errorf("no %s in %s", part, last)
		}
	}
	w.change("a", fleet.AlertEventResolved, resolved) // its end is told although the route does not want ends
	a, _ := w.Alert(t.Context(), "a")
	end := a.ResolvedAt.Format(`"endsAt":"2006-01-02T15:04:05.999999999Z"`)
	eventually(t, "its end is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(bodies[len(bodies)-1], end)
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	var log strings.Builder
	var mu sync.Mutex
	n := w.hasty()
	n.cfg.Log = slog.New(slog.NewTextHandler(writer(func(p []byte) { mu.Lock(); defer mu.Unlock(); log.Write(p) }), nil))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		http.Error(rw, "no such page: "+req.URL.Path, http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	address := strings.Replace(server.URL, "http://", "http://robot:hunter22@", 1) + "/hooks/T0KEN-T0KEN"
	_, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "hook", Kind: fleet.TargetWebhook, URL: address, Secret: "0123456789abcdef"}, "ana")
	w.must(err)
	w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"hook"}, GroupWait: time.Second})
	w.run(n)
	w.opened("a", nil)
	eventually(t, "it is given up", func() bool { return w.story("a") != "" })
	eventually(t, "it is logged", func() bool { mu.Lock(); defer mu.Unlock(); return strings.Contains(log.String(), "given up") })
	shownNow := n.Targets()[0]
	err = n.Test(t.Context(), shownNow)
	for what, text := range map[string]string{"log": log.String(), "story": w.story("a"), "target": shownNow.URL + shownNow.Problem + shownNow.Secret, "test": fmt.Sprint(err)} {
		for _, secret := range []string{"hunter22", "T0KEN", "0123456789abcdef"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s: %s", what, secret, text)
			}
		}
	}
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("test: %v", err)
	}
}

type writer func([]byte)

func (f writer) Write(p []byte) (int, error) { f(p); return len(p), nil }
