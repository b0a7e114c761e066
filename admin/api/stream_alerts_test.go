package api

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

// told names what came, in order, with ids where there is one.
func told(messages []message) string {
	var out []string
	for _, m := range messages {
		if id, ok := m.data["id"]; ok {
			out = append(out, fmt.Sprint(m.name, " ", id))
		} else {
			out = append(out, m.name)
		}
	}
	return strings.Join(out, ", ")
}

func TestTheStreamTellsOfAlertsAndIncidents(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		all := listen(t, s, "", "viewer")
		one := listen(t, s, "serial=K-1", "viewer")
		alerts := listen(t, s, "types=alert", "viewer")
		incidents := listen(t, s, "types=incident", "viewer")

		s.hub.Alert(fleet.Alert{ID: "a1", Serial: "K-1", State: fleet.AlertOpen, Severity: fleet.SeverityCritical, OpenedAt: start, UpdatedAt: start})
		s.hub.Alert(fleet.Alert{ID: "a2", Serial: "K-2"})
		s.hub.Alert(fleet.Alert{ID: "a0"}) // of the platform itself
		s.hub.Incident(fleet.Incident{ID: "i1", Kind: fleet.IncidentSite, Key: "Hall", State: fleet.AlertOpen})
		s.hub.Alert(fleet.Alert{ID: "a1", Serial: "K-1", State: fleet.AlertResolved})

		got := all.heard()
		if told(got) != "alert a1, alert a2, alert a0, alert a1, incident i1" {
			t.Fatalf("heard %s", told(got))
		}
		if a := got[0].data; a["serial"] != "K-1" || a["severity"] != "critical" || a["state"] != "open" || a["opened_at"] != "2026-03-04T05:06:07Z" || got[3].data["state"] != "resolved" {
			t.Errorf("alerts = %v and %v", a, got[3].data)
		}
		if i := got[4].data; i["kind"] != "site" || i["key"] != "Hall" || i["state"] != "open" {
			t.Errorf("incident = %v", i)
		}
		for name, tt := range map[string]struct {
			l    *listener
			want string
		}{
			"of one kiosk":   {one, "alert a1, alert a1"},
			"only alerts":    {alerts, "alert a1, alert a2, alert a0, alert a1"},
			"only incidents": {incidents, "incident i1"},
		} {
			if got := told(tt.l.heard()); got != tt.want {
				t.Errorf("the stream %s told %s, want %s", name, got, tt.want)
			}
		}
	})
}

// However many alerts open while a client does not read, what waits for it is bounded.
func TestAClientThatIsTooSlowForAlertsIsToldToLoadAgain(t *testing.T) {
	flood := map[string]func(*Hub, int){
		"alert":    func(h *Hub, i int) { h.Alert(fleet.Alert{ID: fmt.Sprint(i), Serial: "K-2"}) },
		"incident": func(h *Hub, i int) { h.Incident(fleet.Incident{ID: fmt.Sprint(i)}) },
	}
	for name, tell := range flood {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *site) {
				l := listen(t, s, "", "viewer")
				stuck := func(n int) {
					l.w.stall()
					s.hub.Kiosk("K-1")
					time.Sleep(2 * coalesce) // the stream is stuck in writing this
					for i := range n {
						tell(s.hub, i)
					}
				}
				stuck(maxQueued)
				l.w.readOn()
				if got := l.heard(); len(got) != maxQueued+1 || told(got[1:3]) != name+" 0, "+name+" 1" {
					t.Errorf("heard %d events", len(got))
				}
				stuck(3 * maxQueued)
				for c := range s.hub.clients {
					if waits := len(c.alerts) + len(c.incidents); waits != 0 || !c.resync {
						t.Errorf("%d wait, load again: %v", waits, c.resync)
					}
				}
				l.w.readOn()
				if got := l.heard(); told(got) != "kiosk, resync" {
					t.Errorf("heard %d events: %s", len(got), told(got[:min(5, len(got))]))
				}
				tell(s.hub, 7)
				if got := l.heard(); told(got) != name+" 7" {
					t.Errorf("after the resync: %s", told(got))
				}
			})
		})
	}
}

// alertsAmong returns at which places of what came the alerts are, by id.
func alertsAmong(messages []message) map[any]int {
	places := map[any]int{}
	for i, m := range messages {
		if m.name == "alert" {
			places[m.data["id"]] = i
		}
	}
	return places
}

func TestAlertsDoNotWaitForThousandsOfKiosks(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		const kiosks = 6 * atOnce
		for i := range kiosks {
			s.add(fmt.Sprint("X-", i))
		}
		l := listen(t, s, "", "viewer")
		for i := range kiosks {
			s.hub.Kiosk(fmt.Sprint("X-", i))
		}
		s.hub.Alert(fleet.Alert{ID: "a1", Serial: "X-1"})
		time.Sleep(coalesce)
		synctest.Wait()
		s.hub.Alert(fleet.Alert{ID: "a2", Serial: "X-2"}) // some kiosks are told of by now
		time.Sleep(6 * coalesce)
		got := l.heard()
		places := alertsAmong(got)
		if len(got) != kiosks+2 || places["a1"] != 0 || places["a2"] != atOnce+1 {
			t.Errorf("%d events, alerts at %v", len(got), places)
		}

		// So it is with readings.
		for i := range kiosks {
			s.report(fmt.Sprint("X-", i), 1)
		}
		time.Sleep(coalesce)
		synctest.Wait()
		s.hub.Alert(fleet.Alert{ID: "a3", Serial: "X-1"})
		time.Sleep(6 * coalesce)
		got = l.heard()
		if places = alertsAmong(got); len(got) != kiosks+1 || places["a3"] != atOnce {
			t.Errorf("%d events, alerts at %v", len(got), places)
		}
	})
}
