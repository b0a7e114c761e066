package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// command is what the tests read of a command.
type command struct {
	ID     string
	Name   string
	Status string
	Error  string
	Steps  []struct{ Status string }
}

// send gives an order and waits until the kiosk has given its final answer and the platform its proof.
func (p *platform) send(t *testing.T, serial, body string) command {
	t.Helper()
	var c command
	p.call(t, "POST", "/kiosks/"+serial+"/commands", body, http.StatusAccepted, &c)
	eventually(t, "final status of "+body, func() error {
		p.call(t, "GET", "/commands/"+c.ID, nil, http.StatusOK, &c)
		final := []string{"verified", "unverified", "failed", "rejected", "expired"}
		if c.Name == "ping" {
			final = append(final, "succeeded")
		}
		if !slices.Contains(final, c.Status) {
			return fmt.Errorf("status is %s", c.Status)
		}
		return nil
	})
	return c
}

func (p *platform) kiosk(t *testing.T, serial string) kiosk {
	t.Helper()
	var k kiosk
	p.call(t, "GET", "/kiosks/"+serial, nil, http.StatusOK, &k)
	return k
}

func TestFromKioskToStoreAndBack(t *testing.T) {
	p := startAdmin(t, nil)
	for _, serial := range []string{"K-1", "K-2", "K-3"} {
		p.call(t, "POST", "/kiosks", map[string]any{"serial": serial, "site": "Test hall", "location": map[string]float64{"lat": 40.4, "lng": -3.7}}, http.StatusCreated, nil)
	}
	var token struct{ Token string }
	p.call(t, "POST", "/enrollment-tokens", map[string]any{"serial_pattern": "K-?", "max_uses": 3}, http.StatusCreated, &token)
	for _, serial := range []string{"K-1", "K-2", "K-3"} {
		start(t, "kiosk", p.agentEnv(map[string]string{"ENROLLMENT_TOKEN": token.Token}), "--serial", serial, "--interval", "200ms")
	}
	p.awaitOnline(t, 3, time.Time{})

	t.Run("readings are in the store", func(t *testing.T) {
		for _, serial := range []string{"K-1", "K-2", "K-3"} {
			eventually(t, "points of "+serial, func() error {
				var out struct {
					Unit   string
					Points []struct{ Value float64 }
				}
				p.call(t, "GET", "/kiosks/"+serial+"/telemetry?metric=hardware.cpu_temp&step=1m&agg=mean", nil, http.StatusOK, &out)
				if len(out.Points) == 0 || out.Unit != "°C" {
					return fmt.Errorf("got %+v", out)
				}
				if v := out.Points[0].Value; v < 20 || v > 90 {
					t.Fatalf("the mean CPU temperature is %v", v)
				}
				return nil
			})
		}
	})

	t.Run("commands are obeyed and proven", func(t *testing.T) {
		for _, body := range []string{
			`{"name":"ping"}`, `{"name":"block"}`, `{"name":"unblock"}`, `{"name":"maintenance","params":{"enabled":true}}`,
			`{"name":"maintenance","params":{"enabled":false}}`, `{"name":"restart"}`, `{"name":"update","params":{"version":"9.8.7"}}`,
		} {
			before := p.kiosk(t, "K-1")
			c := p.send(t, "K-1", body)
			want := "verified"
			if c.Name == "ping" {
				want = "succeeded"
			}
			if c.Status != want {
				t.Errorf("%s ended as %s (%s): %+v", body, c.Status, c.Error, c.Steps)
			}
			after := p.kiosk(t, "K-1")
			switch {
			case c.Name == "block" && (after.Verdict != "cannot_serve" || after.Reasons[0].Code != "blocked"):
				t.Errorf("a blocked kiosk is %s, %+v", after.Verdict, after.Reasons)
			case c.Name == "restart" && after.BootID == before.BootID:
				t.Error("a restart left the boot id as it was")
			case c.Name == "update" && after.AgentVersion != "9.8.7":
				t.Errorf("after the update the version is %s", after.AgentVersion)
			}
		}
	})

	t.Run("a blocked kiosk goes on reporting", func(t *testing.T) {
		p.send(t, "K-2", `{"name":"block"}`)
		since := time.Now()
		eventually(t, "a reading of the blocked kiosk", func() error {
			k := p.kiosk(t, "K-2")
			if !k.LastReading.ReceivedAt.After(since) || k.Status != "blocked" {
				return fmt.Errorf("status %s, reading of %s", k.Status, k.LastReading.ReceivedAt)
			}
			return nil
		})
	})

	t.Run("what happened is kept", func(t *testing.T) {
		var events struct{ Items []struct{ Kind string } }
		p.call(t, "GET", "/kiosks/K-1/events?limit=1000", nil, http.StatusOK, &events)
		for _, kind := range []string{"registered", "enrolled", "joined", "presence", "status", "verdict", "command"} {
			if !slices.ContainsFunc(events.Items, func(e struct{ Kind string }) bool { return e.Kind == kind }) {
				t.Errorf("no event of kind %s", kind)
			}
		}
		var newer, older struct {
			Items []command
			Next  string `json:"next_cursor"`
		}
		p.call(t, "GET", "/kiosks/K-1/commands?limit=4", nil, http.StatusOK, &newer)
		p.call(t, "GET", "/kiosks/K-1/commands?limit=4&cursor="+url.QueryEscape(newer.Next), nil, http.StatusOK, &older)
		if len(newer.Items) != 4 || len(older.Items) != 3 || older.Next != "" || newer.Items[3].ID <= older.Items[0].ID {
			t.Errorf("pages of %d and %d commands, cursors %q and %q", len(newer.Items), len(older.Items), newer.Next, older.Next)
		}
	})

	t.Run("the live stream tells of readings and commands", func(t *testing.T) {
		res, err := p.http.Get(p.url + "/api/v1/events?serial=K-3")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		p.call(t, "POST", "/kiosks/K-3/commands", `{"name":"block"}`, http.StatusAccepted, nil)
		seen := map[string]bool{}
		scanner := bufio.NewScanner(res.Body)
		scanner.Buffer(nil, 1<<20)
		for (!seen["reading"] || !seen["command"] || !seen["kiosk"]) && scanner.Scan() {
			if name, ok := strings.CutPrefix(scanner.Text(), "event: "); ok {
				seen[name] = true
			}
			if strings.HasPrefix(scanner.Text(), "data: ") && !strings.Contains(scanner.Text(), "K-3") {
				t.Errorf("an event of another kiosk: %s", scanner.Text())
			}
		}
		if err := scanner.Err(); err != nil || len(seen) < 3 {
			t.Errorf("saw %v, %v", seen, err)
		}
	})

	t.Run("admin ends cleanly on SIGINT while kiosks are connected", func(t *testing.T) {
		if took := p.interrupt(); p.err != nil {
			t.Errorf("it ended with %v after %s", p.err, took)
		}
	})
}

func TestKilledAdminKeepsItsKiosks(t *testing.T) {
	p := startAdmin(t, nil)
	start(t, "spawner", p.agentEnv(nil), "-n", "5")
	p.awaitOnline(t, 5, time.Time{})
	p.send(t, "SIM-KIOSK-002", `{"name":"block"}`)
	before := p.kiosks(t)

	p.kill()
	restarted := time.Now()
	p.boot(t)
	if after := p.kiosks(t); len(after) != len(before) {
		t.Errorf("%d kiosks registered before, %d after", len(before), len(after))
	}
	p.awaitOnline(t, 5, restarted)
	if k := p.kiosk(t, "SIM-KIOSK-002"); k.Status != "blocked" || k.Site == "" {
		t.Errorf("after the restart: %+v", k)
	}
}

func TestAdminRestartsOnTheSameDataAfterACleanEnd(t *testing.T) {
	p := startAdmin(t, nil)
	p.call(t, "POST", "/kiosks", map[string]any{"serial": "K-1", "tags": []string{"b", "a", "a"}}, http.StatusCreated, nil)
	p.interrupt()
	p.boot(t)
	if ks := p.kiosks(t); len(ks) != 1 || ks[0].Presence != "never" {
		t.Errorf("kiosks after the restart: %+v", ks)
	}
}
