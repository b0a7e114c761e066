package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// trouble is a scenario with one disaster, some single faults, and what nobody should hear of.
const trouble = `
name: trouble
fleets:
  - {name: hall, site: Atocha, kiosks: 30, demand: 0}
  - {name: street, site: Sants, kiosks: 170, demand: 0}
phases:
  - name: all is well
    for: 45s
    expect:
      - {presence: online, within: 44s}
  - name: trouble
    for: 95s
    faults:
      - {fault: site_outage, of: {site: Atocha}, at: 2s, for: 80s, with: {how: cut}}
      - {fault: site_outage, of: {site: Sants, count: 1, draw: alone}, at: 2s, for: 80s, with: {how: cut}}
      - {fault: site_outage, of: {site: Sants, count: 2, draw: blink}, at: 40s, for: 3s, with: {how: cut}}
      - {fault: paper_jam, of: {site: Sants, count: 2, draw: jammed}, at: 2s, until: end}
      - {fault: reader_dead, of: {site: Sants, count: 1, draw: reader}, at: 2s}
      - {fault: gps_jitter, of: {site: Sants, count: 5, draw: jitter}, at: 2s}
  - name: all is well again
    for: 75s
`

type alert struct {
	ID, Rule, Serial, Site, State, Severity, Reason string
	IncidentID                                      string    `json:"incident_id"`
	OpenedAt                                        time.Time `json:"opened_at"`
}

type incident struct {
	ID, Kind, Key, Rule, State, Title string
	Kiosks                            int
	OfKiosks                          int `json:"of_kiosks"`
	Open                              int
}

// TestAlertsAreThoseOfTheTruth plays trouble on 200 kiosks, kills admin in the middle of it, and holds the alerts and
// incidents against what happened: no more, no less, none twice.
func TestAlertsAreThoseOfTheTruth(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, nil)
	dir := t.TempDir()
	file, record := filepath.Join(dir, "trouble.yaml"), filepath.Join(dir, "truth.jsonl")
	if err := os.WriteFile(file, []byte(trouble), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	spawner := start(t, "spawner", p.agentEnv(nil), "--scenario", file, "--truth-file", record, "--ramp-up", "100")

	within(t, 3*time.Minute, time.Second, "an incident of the whole site", func() error {
		all, err := p.incidents()
		if err == nil && (len(all) != 1 || all[0].Kiosks != 30) {
			err = fmt.Errorf("%+v", all)
		}
		return err
	})
	p.kill()
	p.boot(t)

	select {
	case <-spawner.done:
	case <-time.After(6 * time.Minute):
		t.Fatal("the scenario does not end")
	}
	if spawner.err != nil {
		t.Errorf("the spawner ended with %v:\n%s", spawner.err, spawner.log())
	}
	events, err := truth.ReadAll(record)
	if err != nil {
		t.Fatal(err)
	}
	must, may := expected(truth.Intervals(events), began)
	alerts := p.alerts(t)
	seen := map[string]bool{}
	for _, a := range alerts {
		// That the spawner itself goes at the end is another story.
		if a.Rule == "shut_down" {
			continue
		}
		name := a.Serial + " " + a.Rule
		if seen[name] {
			t.Errorf("twice: %s", name)
		}
		seen[name] = true
		if !must[name] && !may[name] {
			t.Errorf("nothing was wrong: %s: %s, opened at %s", name, a.Reason, a.OpenedAt)
		}
	}
	for name := range must {
		if !seen[name] {
			t.Errorf("nobody was told: %s", name)
		}
	}
	if len(must) < 30+1+2*2+1 {
		t.Errorf("the truth has only %d alerts: %v", len(must), must)
	}
	all, err := p.incidents()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Kind != "site" || all[0].Key != "Atocha" || all[0].Kiosks != 30 || all[0].OfKiosks != 30 || all[0].State != "resolved" {
		t.Errorf("incidents: %+v", all)
	}
	for _, a := range alerts {
		if inside := len(all) > 0 && a.IncidentID == all[0].ID; inside != (a.Site == "Atocha" && a.Rule == "offline") {
			t.Errorf("%s of %s at %s: inside the incident: %v", a.Rule, a.Serial, a.Site, inside)
		}
	}
}

// signs are the rules that a fault of a kiosk makes hold, and how long each waits.
var signs = map[fault.Kind]map[string]time.Duration{
	fault.PaperJam:      {"printer_paper_jam": 30 * time.Second, "cannot_serve": time.Minute},
	fault.OutOfPaper:    {"printer_offline": time.Minute, "cannot_serve": time.Minute},
	fault.PrinterLost:   {"printer_offline": time.Minute, "cannot_serve": time.Minute},
	fault.ReaderDead:    {"card_error": time.Minute},
	fault.CashFull:      {"cash_full": time.Minute},
	fault.AcceptorError: {"cash_error": time.Minute},
}

// expected tells which alerts faults must bring about, and which they may: those that last about as long as their rule
// waits, or that the platform sees late because the kiosk was away. Wear brings faults that no scenario asks for, some of them from
// before the kiosks began.
func expected(faults []truth.Interval, began time.Time) (must, may map[string]bool) {
	must, may = map[string]bool{}, map[string]bool{}
	const late = 45 * time.Second // reading, reconnection and restart
	away := map[string]truth.Interval{}
	for _, f := range faults {
		if f.Fault != fault.SiteOutage {
			continue
		}
		away[f.Serial] = f
		if f.To.Sub(f.From) > 30*time.Second {
			must[f.Serial+" offline"] = true
		}
	}
	for _, f := range faults {
		if f.From.Before(began) {
			f.From = began
		}
		for rule, wait := range signs[f.Fault] {
			seen := f.To.Sub(f.From)
			if gap, was := away[f.Serial]; was && gap.From.Before(f.To) && f.From.Before(gap.To) {
				seen = max(gap.From.Sub(f.From), f.To.Sub(gap.To))
			}
			if name := f.Serial + " " + rule; seen > wait+late {
				must[name] = true
			} else if seen > 0 {
				may[name] = true
			}
		}
	}
	return must, may
}

// alerts are all alerts, by serial and rule.
func (p *platform) alerts(t *testing.T) []alert {
	t.Helper()
	var out []alert
	for cursor := ""; ; {
		var page struct {
			Items      []alert
			NextCursor string `json:"next_cursor"`
		}
		p.call(t, "GET", "/alerts?limit=100&cursor="+url.QueryEscape(cursor), nil, http.StatusOK, &page)
		out = append(out, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b alert) int { return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Rule, b.Rule)) })
	return out
}

func (p *platform) incidents() ([]incident, error) {
	var page struct{ Items []incident }
	err := p.try("GET", "/incidents?limit=100", nil, http.StatusOK, &page)
	return page.Items, err
}
