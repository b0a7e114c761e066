package notify

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

// after sleeps on the test's clock and lets everybody finish.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestWhatIsTold(t *testing.T) {
	soon := 3 * time.Second
	tests := []struct {
		name  string
		route fleet.NotificationRoute
		story func(w *world)
		want  string
	}{
		{"one alert, after the wait", fleet.NotificationRoute{}, func(w *world) {
			w.opened("a", nil)
		}, "ops opened a 10s"},
		{"over within the wait", fleet.NotificationRoute{Resolved: true}, func(w *world) {
			w.opened("a", nil)
			after(soon)
			w.change("a", fleet.AlertEventResolved, resolved)
		}, ""},
		{"suppressed within the wait, released later", fleet.NotificationRoute{}, func(w *world) {
			w.opened("a", nil)
			after(soon)
			w.change("a", fleet.AlertEventSuppressed, func(a *fleet.Alert) { a.Suppressed = fleet.SuppressedOffline })
			after(time.Hour)
			w.change("a", fleet.AlertEventReleased, func(a *fleet.Alert) { a.Suppressed = "" })
		}, "ops opened a 1h0m13s"},
		{"snoozed within the wait", fleet.NotificationRoute{}, func(w *world) {
			w.opened("a", nil)
			after(soon)
			until := time.Now().Add(10 * time.Hour)
			w.change("a", fleet.AlertEventSnoozed, func(a *fleet.Alert) { a.SnoozedUntil = &until })
		}, ""},
		{"acknowledged within the wait is told once", fleet.NotificationRoute{RepeatInterval: time.Minute}, func(w *world) {
			w.opened("a", nil)
			after(soon)
			w.change("a", fleet.AlertEventAcknowledged, acknowledged)
			after(time.Hour)
		}, "ops opened a 10s"},
		{"the end, when it is wanted", fleet.NotificationRoute{Resolved: true}, func(w *world) {
			w.opened("a", nil)
			after(10 * time.Minute)
			w.change("a", fleet.AlertEventResolved, resolved)
		}, "ops opened a 10s; ops resolved a 10m0s"},
		{"the end, when it is not wanted", fleet.NotificationRoute{}, func(w *world) {
			w.opened("a", nil)
			after(10 * time.Minute)
			w.change("a", fleet.AlertEventResolved, resolved)
		}, "ops opened a 10s"},
		{"again until somebody acknowledges", fleet.NotificationRoute{RepeatInterval: time.Hour}, func(w *world) {
			w.opened("a", nil)
			after(2*time.Hour + time.Minute)
			w.change("a", fleet.AlertEventAcknowledged, acknowledged)
			after(5 * time.Hour)
		}, "ops opened a 10s; ops repeated a 1h0m10s; ops repeated a 2h0m10s"},
		{"worse", fleet.NotificationRoute{}, func(w *world) {
			w.opened("a", nil)
			after(5 * time.Minute)
			w.change("a", fleet.AlertEventReason, func(a *fleet.Alert) { a.Severity = fleet.SeverityCritical })
		}, "ops opened a 10s; ops worse a 5m0s"},
		{"a group gathers, then keeps its distance", fleet.NotificationRoute{GroupBy: []string{"site"}, GroupInterval: 5 * time.Minute}, func(w *world) {
			w.opened("a", nil)
			after(soon)
			w.opened("b", nil)
			w.opened("c", func(a *fleet.Alert) { a.Site = "Hall 2" })
			after(time.Minute)
			w.opened("d", nil)
		}, "ops opened a,b 10s; ops opened c 13s; ops opened d 5m10s"},
		{"escalated in steps", fleet.NotificationRoute{Escalations: []fleet.Escalation{
			{After: 15 * time.Minute, Targets: []string{"boss"}}, {After: time.Hour, Targets: []string{"boss", "chief"}},
		}, Resolved: true}, func(w *world) {
			w.opened("a", nil)
			after(2 * time.Hour)
			w.change("a", fleet.AlertEventResolved, resolved)
		}, "boss escalated a 15m10s; boss escalated a 1h0m10s; boss resolved a 2h0m0s; chief escalated a 1h0m10s; chief resolved a 2h0m0s; ops opened a 10s; ops resolved a 2h0m0s"},
		{"escalation stops at acknowledgement", fleet.NotificationRoute{Escalations: []fleet.Escalation{
			{After: 15 * time.Minute, Targets: []string{"boss"}}, {After: time.Hour, Targets: []string{"chief"}},
		}}, func(w *world) {
			w.opened("a", nil)
			after(20 * time.Minute)
			w.change("a", fleet.AlertEventAcknowledged, acknowledged)
			after(5 * time.Hour)
		}, "boss escalated a 15m10s; ops opened a 10s"},
		{"escalation stops at resolution", fleet.NotificationRoute{Escalations: []fleet.Escalation{{After: 15 * time.Minute, Targets: []string{"boss"}}}}, func(w *world) {
			w.opened("a", nil)
			after(10 * time.Minute)
			w.change("a", fleet.AlertEventResolved, resolved)
		}, "ops opened a 10s"},
		{"another severity is not for it", fleet.NotificationRoute{Severities: []fleet.Severity{fleet.SeverityCritical}}, func(w *world) {
			w.opened("a", nil)
		}, ""},
		{"another site is not for it", fleet.NotificationRoute{Sites: []string{"Gate *"}}, func(w *world) {
			w.opened("a", nil)
			w.opened("b", func(a *fleet.Alert) { a.Site = "Gate 7" })
		}, "ops opened b 10s"},
		{"matchers", fleet.NotificationRoute{Matchers: []fleet.Matcher{{Name: "rule", Op: "=~", Value: "printer_.*"}}}, func(w *world) {
			w.opened("a", nil)
			w.opened("b", func(a *fleet.Alert) { a.Rule = "printer_offline" })
		}, "ops opened b 10s"},
		// The test's clock begins at midnight UTC, which is 1:00 in Madrid.
		{"the schedule is by the kiosk's clock", fleet.NotificationRoute{Schedule: &fleet.Schedule{From: "01:00", To: "02:00"}, RepeatInterval: 50 * time.Minute}, func(w *world) {
			w.opened("a", nil)
			after(2 * time.Hour)
			w.opened("b", nil)
			after(time.Hour)
		}, "ops opened a 10s; ops repeated a 50m10s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
				w.webhooks(n, "ops", "boss", "chief")
				tt.route.Name, tt.route.Targets = "all", []string{"ops"}
				w.routes(n, tt.route)
				w.run(n)
				tt.story(w)
				after(20 * time.Minute)
				if got := w.told(start); got != tt.want {
					t.Errorf("told\n%s\nwant\n%s", got, tt.want)
				}
			})
		})
	}
}

func TestThirtyAlertsBecomeOneIncidentAndOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.webhooks(n, "ops")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}, Resolved: true})
		w.run(n)
		for i := range 30 {
			w.opened(fmt.Sprintf("%02d", i), nil)
			after(100 * time.Millisecond)
		}
		w.mu.Lock()
		w.incidents["i"] = fleet.Incident{ID: "i", Kind: fleet.IncidentSite, Key: "Hall 1", Site: "Hall 1", Rule: "offline", Severity: fleet.SeverityWarning, State: fleet.AlertOpen, Title: "30 of 30 kiosks of Hall 1 are offline", Kiosks: 30, OfKiosks: 30, Open: 30}
		w.mu.Unlock()
		w.event(fleet.AlertEventOpened, "", "i")
		for i := range 30 {
			w.change(fmt.Sprintf("%02d", i), fleet.AlertEventJoined, func(a *fleet.Alert) { a.IncidentID = "i" })
		}
		after(5 * time.Minute)
		if got, want := w.told(start), "ops opened i 13s"; got != want {
			t.Fatalf("told %s, want %s", got, want)
		}
		w.changeIncident("i", fleet.AlertEventReason, func(i *fleet.Incident) { i.Severity = fleet.SeverityCritical })
		after(5 * time.Minute)
		for i := range 30 {
			w.change(fmt.Sprintf("%02d", i), fleet.AlertEventResolved, resolved)
		}
		w.changeIncident("i", fleet.AlertEventResolved, func(i *fleet.Incident) { i.State = fleet.AlertResolved })
		after(5 * time.Minute)
		if got, want := w.told(start), "ops opened i 13s; ops resolved i 10m3s; ops worse i 5m3s"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		if got, want := w.story("i"), "notified ops; notified ops; notified ops"; got != want {
			t.Errorf("the incident's story: %s, want %s", got, want)
		}
	})
}

func TestEscalationIsInTheStory(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, _ time.Time) {
		w.webhooks(n, "ops", "boss")
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}, Escalations: []fleet.Escalation{{After: 15 * time.Minute, Targets: []string{"boss"}}}})
		w.run(n)
		w.opened("a", nil)
		after(20 * time.Minute)
		if got, want := w.story("a"), "notified ops; escalated not acknowledged for 15m: boss; notified boss"; got != want {
			t.Errorf("story: %s, want %s", got, want)
		}
	})
}

func TestTheFirstRouteDecidesUnlessItGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		goesOn bool
		want   string
	}{"decides": {false, "a opened x 10s"}, "goes on": {true, "a opened x 10s; b opened x 10s"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
				w.webhooks(n, "a", "b")
				w.routes(n, fleet.NotificationRoute{Name: "one", Targets: []string{"a"}, Continue: tt.goesOn}, fleet.NotificationRoute{Name: "two", Targets: []string{"b"}})
				w.run(n)
				w.opened("x", nil)
				after(time.Minute)
				if got := w.told(start); got != tt.want {
					t.Errorf("told %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestNewRoutesTakeWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.webhooks(n, "a", "b")
		w.routes(n, fleet.NotificationRoute{Name: "one", Targets: []string{"a"}})
		w.run(n)
		w.opened("told", nil)
		after(time.Minute)
		w.opened("waits", nil)
		after(3 * time.Second)
		w.routes(n, fleet.NotificationRoute{Name: "two", Targets: []string{"b"}})
		after(10 * time.Minute)
		if got, want := w.told(start), "a opened told 10s; b opened waits 1m13s"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}
