package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
)

func TestRoutesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	n := w.notifier()
	w.webhooks(n, "ops-mail")
	good := fleet.NotificationRoute{Name: "r", Targets: []string{"ops-mail", "mqtt"}}
	for _, tt := range []struct {
		name string
		bad  func(r *fleet.NotificationRoute)
		want string
	}{
		{"no name", func(r *fleet.NotificationRoute) { r.Name = "" }, "routes[0].name: must be a name"},
		{"a target that is mistyped", func(r *fleet.NotificationRoute) { r.Targets = []string{"ops-mial"} }, `routes[0].targets[0]: there is no target "ops-mial"; did you mean "ops-mail"?`},
		{"a target that is not there", func(r *fleet.NotificationRoute) { r.Targets = []string{"pager"} }, `there is no target "pager"; make it first`},
		{"a severity", func(r *fleet.NotificationRoute) { r.Severities = []fleet.Severity{"bad"} }, `routes[0].severities[0]: "bad" is not critical, warning or info`},
		{"a glob", func(r *fleet.NotificationRoute) { r.Sites = []string{"[a"} }, "routes[0].sites[0]"},
		{"a matcher", func(r *fleet.NotificationRoute) { r.Matchers = []fleet.Matcher{{Name: "rule", Op: "~"}} }, "routes[0].matchers[0].op"},
		{"a schedule", func(r *fleet.NotificationRoute) { r.Schedule = &fleet.Schedule{From: "25:00"} }, "routes[0].schedule"},
		{"a wait", func(r *fleet.NotificationRoute) { r.GroupWait = time.Hour }, "routes[0].group_wait: must be 1s to 10m0s"},
		{"a repeat", func(r *fleet.NotificationRoute) { r.RepeatInterval = time.Second }, "routes[0].repeat_interval: must be 1m0s to"},
		{"steps out of order", func(r *fleet.NotificationRoute) {
			r.Escalations = []fleet.Escalation{{After: time.Hour, Targets: []string{"mqtt"}}, {After: time.Minute, Targets: []string{"mqtt"}}}
		}, "routes[0].escalations[1].after: 1m0s is not later than the step before it"},
		{"a step without targets", func(r *fleet.NotificationRoute) { r.Escalations = []fleet.Escalation{{After: time.Hour}} }, "routes[0].escalations[0].targets: is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			tt.bad(&r)
			_, err := n.SetRoutes(t.Context(), []fleet.NotificationRoute{r}, 1, "ana")
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	set, err := n.SetRoutes(t.Context(), []fleet.NotificationRoute{good}, 1, "ana")
	w.must(err)
	if set.Version != 2 || set.Routes[0].GroupWait != DefaultGroupWait || w.notifier().Routes().Routes[0].GroupInterval != DefaultGroupInterval {
		t.Errorf("set: %+v", set)
	}
	if _, err := n.SetRoutes(t.Context(), []fleet.NotificationRoute{good}, 1, "ben"); err == nil || !strings.Contains(err.Error(), "somebody has changed them") {
		t.Errorf("an old version: %v", err)
	}
	if _, err := n.SetRoutes(t.Context(), []fleet.NotificationRoute{good, good}, 2, "ben"); err == nil || !strings.Contains(err.Error(), `"r" is the name of routes[0], too`) {
		t.Errorf("a name twice: %v", err)
	}
}

func TestTargets(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, start time.Time) {
		w.run(n)
		w.webhooks(n, "ops")
		if _, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "ops", Kind: fleet.TargetAlertmanager, URL: "http://x"}, "ana"); !errors.Is(err, fleet.ErrExists) {
			t.Errorf("twice: %v", err)
		}
		if _, err := n.CreateTarget(t.Context(), fleet.NotificationTarget{Name: "m", Kind: fleet.TargetMQTT}, "ana"); err == nil {
			t.Error("a second mqtt was made")
		}
		w.routes(n, fleet.NotificationRoute{Name: "all", Targets: []string{"ops"}})
		id := n.Targets()[1].ID
		if err := n.DeleteTarget(t.Context(), id, "ana"); err == nil || !strings.Contains(err.Error(), "the routes all name ops") {
			t.Errorf("deleted while a route names it: %v", err)
		}
		w.answers["ops"] = func(context.Context, int) error { return &target.Failure{Text: "HTTP 503"} }
		w.opened("a", nil)
		after(time.Minute)
		off, on, shownURL := true, false, n.Targets()[1].URL
		if _, err := n.ChangeTarget(t.Context(), id, fleet.NotificationTargetPatch{Disabled: &off}, "ana"); err != nil {
			t.Fatal(err)
		}
		delete(w.answers, "ops")
		w.opened("b", nil) // told to nobody
		after(time.Hour)
		if got := w.told(start); got != "" {
			t.Errorf("a target that is switched off was told %s", got)
		}
		changed, err := n.ChangeTarget(t.Context(), id, fleet.NotificationTargetPatch{Disabled: &on, URL: &shownURL}, "ana")
		w.must(err)
		after(time.Minute)
		if got := w.told(start); !strings.HasPrefix(got, "ops opened a 1h1m") || changed.Problem != "" {
			t.Errorf("switched on: told %s; %+v", got, changed)
		}
		if full := n.target("ops"); full.URL != "http://127.0.0.1:1/ops" {
			t.Errorf("the address became what was shown: %s", full.URL)
		}
		w.routes(n)
		w.must(n.DeleteTarget(t.Context(), id, "ana"))
		if len(n.Targets()) != 1 {
			t.Errorf("%+v", n.Targets())
		}
		if err := n.DeleteTarget(t.Context(), "mqtt", "ana"); err == nil {
			t.Error("mqtt was deleted")
		}
	})
}
