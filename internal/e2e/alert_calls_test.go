package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTheCallsAboutAlerts makes an alert and goes through what people do with it, from the rule to the webhook; every
// answer is held to the contract.
func TestTheCallsAboutAlerts(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, nil)
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.Path }))
	defer hook.Close()

	// Whom to tell.
	var target struct{ ID, URL string }
	p.call(t, "POST", "/notification-targets", fmt.Sprintf(`{"name":"hook","kind":"webhook","url":"%s/told","secret":"0123456789abcdef"}`, hook.URL), 201, &target)
	p.call(t, "POST", "/notification-targets/test", fmt.Sprintf(`{"id":%q}`, target.ID), 204, nil)
	<-told
	p.call(t, "POST", "/notification-targets/test", `{"name":"x","kind":"webhook","url":"http://127.0.0.1:1/","secret":"0123456789abcdef"}`, 502, nil)
	p.call(t, "GET", "/notification-targets", nil, 200, nil)
	p.call(t, "PATCH", "/notification-targets/"+target.ID, `{"disabled":false}`, 200, nil)
	var routes struct{ Version int64 }
	p.call(t, "GET", "/notification-routes", nil, 200, &routes)
	all := fmt.Sprintf(`{"version":%d,"routes":[{"name":"all","targets":["hook"],"group_wait":"1s","resolved":true,"escalations":[{"after":"15m","targets":["hook"]}]}]}`, routes.Version)
	p.call(t, "PUT", "/notification-routes", all, 200, nil)
	p.call(t, "PUT", "/notification-routes", all, 422, nil) // it is another version now

	// The rule.
	const rule = `"summary":"never seen","severity":"warning","condition":"presence == \"never\"","labels":{"team":"it"}`
	p.call(t, "POST", "/alert-rules/check", `{"name":"never_seen",`+rule+`}`, 204, nil)
	var fault struct {
		Violations []struct{ Field, Reason string }
	}
	p.call(t, "POST", "/alert-rules", `{"name":"never_seen","summary":"x","severity":"warning","condition":"presences == 1"}`, 422, &fault)
	if len(fault.Violations) != 1 || fault.Violations[0].Field != "condition" || !strings.Contains(fault.Violations[0].Reason, "presence") {
		t.Errorf("the fault of a rule: %+v", fault)
	}
	p.call(t, "POST", "/alert-rules", `{"name":"never_seen",`+rule+`}`, 201, nil)
	p.call(t, "POST", "/alert-rules", `{"name":"never_seen",`+rule+`}`, 409, nil)
	p.call(t, "PUT", "/alert-rules/never_seen", `{"version":7,`+rule+`}`, 409, nil)
	p.call(t, "PUT", "/alert-rules/never_seen", `{"version":1,"for":"0s",`+rule+`}`, 200, nil)
	p.call(t, "GET", "/alert-rules/never_seen/versions", nil, 200, nil)
	p.call(t, "POST", "/alert-rules/cpu_temp_high/disable", nil, 200, nil)
	p.call(t, "DELETE", "/alert-rules/cpu_temp_high", nil, 422, nil) // it is of a file
	p.call(t, "GET", "/alert-rules", nil, 200, nil)
	p.call(t, "GET", "/alert-rules/vocabulary", nil, 200, nil)
	p.call(t, "POST", "/alert-rules/backtest", `{"rule":{"name":"hot","summary":"hot","severity":"info","condition":"hardware.cpu_temp > 85"},"from":"-1h"}`, 200, nil)

	// The alert.
	p.call(t, "POST", "/kiosks", `{"serial":"API-KIOSK-0001","site":"Hall"}`, 201, nil)
	type item struct{ ID, State, Suppressed string }
	var page struct{ Items []item }
	deadline := time.Now().Add(20 * time.Second)
	for len(page.Items) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no alert has opened")
		}
		time.Sleep(20 * time.Millisecond)
		p.call(t, "GET", "/alerts?rule=never_seen&state=open&sort=severity&acknowledged=false", nil, 200, &page)
	}
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told")
	}
	alert := "/alerts/" + page.Items[0].ID
	for action, body := range map[string]string{
		"acknowledge": "", "unacknowledge": "", "assign": `{"assignee":"ann"}`, "snooze": `{"until":"+1h","comment":"lunch"}`, "comment": `{"comment":"on my way"}`,
	} {
		p.call(t, "POST", alert+"/"+action, body, 200, nil)
	}
	p.call(t, "POST", alert+"/snooze", `{"until":"now"}`, 200, nil)
	p.call(t, "POST", alert+"/comment", `{}`, 422, nil)
	p.call(t, "GET", alert+"/timeline?limit=2", nil, 200, nil)
	p.call(t, "GET", "/alerts/summary", nil, 200, nil)
	p.call(t, "GET", "/alert-statistics", nil, 200, nil)
	p.call(t, "GET", "/incidents", nil, 200, nil)
	p.call(t, "GET", "/incidents/none", nil, 404, nil)

	// Keeping it quiet.
	const matchers = `"matchers":[{"name":"team","op":"=~","value":"it|ops"}]`
	p.call(t, "POST", "/silences/preview", `{`+matchers+`}`, 200, nil)
	p.call(t, "POST", "/silences", `{"matchers":[],"until":"+1h","comment":"all"}`, 422, nil)
	var silence, window item
	p.call(t, "POST", "/silences", `{`+matchers+`,"until":"+1h","comment":"works"}`, 201, &silence)
	var got item
	if p.call(t, "GET", alert, nil, 200, &got); got.Suppressed != "silence:"+silence.ID {
		t.Errorf("in a silence: %+v", got)
	}
	p.call(t, "GET", "/silences?state=active", nil, 200, nil)
	p.call(t, "DELETE", "/silences/"+silence.ID, nil, 200, nil)
	p.call(t, "DELETE", "/silences/"+silence.ID, nil, 422, nil)
	p.call(t, "POST", "/maintenance-windows", `{"scope":{"sites":["Hall"]},"until":"+1h","schedule":{"from":"00:00"},"comment":"new printers"}`, 201, &window)
	p.call(t, "GET", "/maintenance-windows?all=true", nil, 200, nil)
	p.call(t, "DELETE", "/maintenance-windows/"+window.ID, nil, 204, nil)
	p.call(t, "DELETE", "/maintenance-windows/"+window.ID, nil, 404, nil)

	// The end of it.
	if p.call(t, "POST", alert+"/resolve", `{"comment":"done"}`, 200, &got); got.State != "resolved" {
		t.Errorf("resolved: %+v", got)
	}
	p.call(t, "POST", alert+"/acknowledge", nil, 422, nil)
	var deliveries struct{ Items []item }
	if p.call(t, "GET", "/notification-deliveries?target=hook&status=delivered", nil, 200, &deliveries); len(deliveries.Items) == 0 {
		t.Error("no delivery is in the log")
	} else {
		p.call(t, "POST", "/notification-deliveries/"+deliveries.Items[0].ID+"/replay", nil, 202, nil)
	}
	p.call(t, "DELETE", "/notification-targets/"+target.ID, nil, 422, nil) // a route names it
	p.call(t, "DELETE", "/alert-rules/never_seen", nil, 204, nil)

	// How it was.
	for _, query := range []string{"", "?scope=kiosk&period=day&tz=Europe/Madrid", "?scope=site&name=Hall&from=-2h", "?scope=site&format=csv"} {
		p.call(t, "GET", "/availability"+query, nil, 200, nil)
	}
	p.call(t, "GET", "/availability?scope=fleet&name=Hall", nil, 422, nil)
	p.call(t, "GET", "/visits", nil, 200, nil)
	p.call(t, "GET", "/kiosks/API-KIOSK-0001/forecasts", nil, 200, nil)
}
