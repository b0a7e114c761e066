package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

// historyValues returns the CPU temperatures that a history holds of a kiosk, by time.
func historyValues(t *testing.T, dir, serial string) map[time.Time]float64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "readings", serial+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[time.Time]float64{}
	s := bufio.NewScanner(bytes.NewReader(text))
	for s.Scan() {
		var r protocol.Reading
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out[r.Timestamp] = r.Hardware["cpu_temp"].(float64)
	}
	return out
}

// stores checks that the store has exactly these values of a kiosk, each once.
func (p *platform) stores(serial string, want map[time.Time]float64) error {
	var out struct {
		Points []struct {
			Time  time.Time
			Value float64
		}
	}
	if err := p.try("GET", "/kiosks/"+serial+"/telemetry?metric=hardware.cpu_temp&from=-100h", nil, http.StatusOK, &out); err != nil {
		return err
	}
	if len(out.Points) != len(want) {
		return fmt.Errorf("%s: %d points of %d readings", serial, len(out.Points), len(want))
	}
	seen := map[time.Time]bool{}
	for _, point := range out.Points {
		at := point.Time.UTC()
		if value, ok := want[at]; !ok || value != point.Value || seen[at] {
			return fmt.Errorf("%s: %v at %s, want %v (known %t, twice %t)", serial, point.Value, at, value, ok, seen[at])
		}
		seen[at] = true
	}
	return nil
}

func TestAHistoryIsLoadedIntoARunningPlatform(t *testing.T) {
	p := startAdmin(t, nil)
	dir := filepath.Join(t.TempDir(), "history")
	if out, err := run(t, "spawner", nil, "history", "--days", "2", "--kiosks", "3", "--interval", "1m", "--compress", "none", "--out", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const each = 2 * 24 * 60
	serials := []string{"SIM-KIOSK-001", "SIM-KIOSK-002", "SIM-KIOSK-003"}
	load := func(want string) {
		t.Helper()
		out, err := run(t, "spawner", p.agentEnv(nil), "history", "load", dir)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("%v, want %q\n%s", err, want, out)
		}
	}
	holds := func(duplicated int) {
		t.Helper()
		for _, serial := range serials {
			want := historyValues(t, dir, serial)
			if len(want) != each {
				t.Fatalf("%s has %d readings in the history", serial, len(want))
			}
			eventually(t, "all that was sent is booked and stored", func() error {
				var k struct {
					Ledger struct{ Received, Missing, Duplicated int }
				}
				if err := p.try("GET", "/kiosks/"+serial, nil, http.StatusOK, &k); err != nil {
					return err
				}
				if k.Ledger.Received != each || k.Ledger.Missing != 0 || k.Ledger.Duplicated != duplicated {
					return fmt.Errorf("%s: the ledger says %+v", serial, k.Ledger)
				}
				return p.stores(serial, want)
			})
		}
		p.awaitLetters(t, "", 0)
	}
	load("8640 sent, 8640 acknowledged, 0 resent")
	holds(0)
	load("0 sent, 0 acknowledged, 0 resent, 8640 in earlier runs")
	holds(0)

	// Nobody is there: the kiosks said goodbye, and no alarm is due.
	eventually(t, "the kiosks are offline in order", func() error {
		for _, k := range p.kiosks(t) {
			if k.Presence != "offline" || k.Verdict != "unknown" || k.Site == "" || len(k.Reasons) != 1 || k.Reasons[0].Code != "offline" || k.BootID != "" {
				return fmt.Errorf("%+v", k)
			}
		}
		return nil
	})

	// Without its note everything is sent again, and nothing is there twice.
	notes, err := filepath.Glob(filepath.Join(dir, "load-*.json"))
	if err != nil || len(notes) != 1 {
		t.Fatalf("notes %v, %v", notes, err)
	}
	if err := os.Remove(notes[0]); err != nil {
		t.Fatal(err)
	}
	load("8640 sent, 8640 acknowledged")
	holds(each)
}

func TestAHistoryThatIsTooOldIsNotSent(t *testing.T) {
	p := startAdmin(t, nil)
	dir := filepath.Join(t.TempDir(), "history")
	if out, err := run(t, "spawner", nil, "history", "--days", "1", "--kiosks", "1", "--interval", "10m", "--start", "2026-01-01T00:00:00Z", "--out", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if said := fails(t, "spawner", p.agentEnv(nil), "history", "load", dir); !strings.Contains(said, "--shift auto") || !strings.Contains(said, "telemetry.window") {
		t.Errorf("it said %s", said)
	}
	if n := len(p.kiosks(t)); n != 0 {
		t.Errorf("%d kiosks are registered", n)
	}
	if out, err := run(t, "spawner", p.agentEnv(nil), "history", "load", dir, "--shift", "auto"); err != nil || !strings.Contains(out, "144 acknowledged") {
		t.Fatalf("%v\n%s", err, out)
	}
	p.awaitLetters(t, "", 0)
}
