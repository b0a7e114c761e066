package e2e

import (
	"encoding/json"
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

// outage is a scenario in which one site loses its uplink with a bang, and another one in silence.
const outage = `
name: outage
fleets:
  - {name: cut, site: Atocha, kiosks: 20, interval: 1s}
  - {name: silent, site: Sants, kiosks: 5, interval: 1s}
  - {name: spared, site: Chamartin, kiosks: 5, interval: 1s}
phases:
  - name: all is well
    for: 15s
    expect:
      - {presence: online, within: 14s}
  - name: outage
    for: 30s
    faults:
      - {fault: site_outage, of: {site: Atocha}, at: 2s, for: 20s, with: {how: cut}}
      - {fault: site_outage, of: {site: Sants}, at: 2s, for: 28s, with: {how: silent}}
    expect:
      - {presence: offline, of: {site: Atocha}, at: 2s, within: 10s}
      - {presence: [stale, offline], of: {site: Sants}, at: 2s, within: 26s}
      - {presence: online, of: {site: Chamartin}, within: 1s}
  - name: all is well again
    for: 45s
    expect:
      - {presence: online, within: 44s}
`

// outageLasts is how long the scenario takes.
const outageLasts = 90 * time.Second

// The platform may take so long to notice: a connection that broke; silence (15 s, looked for every so
// often); a kiosk that is back, whose attempts to connect are up to 30 s apart.
var slackOf = map[string]struct{ begin, end time.Duration }{
	fault.OutageCut:    {8 * time.Second, 40 * time.Second},
	fault.OutageSilent: {24 * time.Second, 40 * time.Second},
}

func TestPresenceEqualsTheTruthInASiteOutage(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, nil)
	dir := t.TempDir()
	file, record, summary := filepath.Join(dir, "outage.yaml"), filepath.Join(dir, "truth.jsonl"), filepath.Join(dir, "summary.json")
	if err := os.WriteFile(file, []byte(outage), 0o600); err != nil {
		t.Fatal(err)
	}
	// The spawner ends by itself when the scenario does; its status says whether the expectations were met.
	if out, err := runWithin(t, 2*outageLasts, "spawner", p.agentEnv(nil), "--scenario", file, "--truth-file", record, "--summary", summary, "--ramp-up", "100"); err != nil {
		t.Errorf("%v; it said:\n%s", err, out)
	}

	events, err := truth.ReadAll(record)
	if err != nil {
		t.Fatal(err)
	}
	outages := map[string]truth.Interval{}
	for _, i := range truth.Intervals(events) {
		if i.Fault == fault.SiteOutage {
			outages[i.Serial] = i
		}
	}
	if len(outages) != 25 {
		t.Errorf("the truth log tells of outages of %d kiosks, want 25", len(outages))
	}
	kiosks := p.kiosks(t)
	if len(kiosks) != 30 {
		t.Fatalf("%d kiosks", len(kiosks))
	}
	for _, k := range kiosks {
		absences := p.absences(t, k.Serial)
		real, down := outages[k.Serial]
		if down != (k.Site != "Chamartin") {
			t.Errorf("%s of %s: an outage by the truth log: %v", k.Serial, k.Site, down)
		}
		switch {
		case !down && len(absences) > 0:
			t.Errorf("%s was always there and the platform says that it was away: %v", k.Serial, absences)
		case down && len(absences) != 1:
			t.Errorf("%s was away once, the platform says: %v", k.Serial, absences)
		case down:
			slack := slackOf[real.Params.Text("how")]
			// The platform's times are in whole milliseconds.
			late := absences[0].from.Sub(real.From.Truncate(time.Millisecond))
			back := absences[0].to.Sub(real.To.Truncate(time.Millisecond))
			if late < 0 || late > slack.begin || back < 0 || back > slack.end {
				t.Errorf("%s was away from %s to %s, the platform says from %s to %s", k.Serial, real.From, real.To, absences[0].from, absences[0].to)
			}
		}
	}
	p.holdsTheSummary(t, summary)
}

type absence struct{ from, to time.Time }

func (a absence) String() string { return fmt.Sprintf("%s to %s", a.from, a.to) }

// absences are the times in which the platform held that a kiosk was not online, after it first was and
// before it said goodbye.
func (p *platform) absences(t *testing.T, serial string) (out []absence) {
	t.Helper()
	type event struct {
		Time           time.Time
		Kind, From, To string
		Reason         string
	}
	var events []event
	for cursor := ""; ; {
		var page struct {
			Items      []event
			NextCursor string `json:"next_cursor"`
		}
		p.call(t, "GET", "/kiosks/"+serial+"/events?limit=100&cursor="+url.QueryEscape(cursor), nil, http.StatusOK, &page)
		events = append(events, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	slices.Reverse(events)
	met, away := false, time.Time{}
	for _, e := range events {
		if e.Kind != "presence" {
			continue
		}
		switch {
		case e.To == "online":
			if !away.IsZero() {
				out = append(out, absence{away, e.Time})
			}
			met, away = true, time.Time{}
		case met && away.IsZero():
			away = e.Time
		}
	}
	return out
}

// holdsTheSummary compares the spawner's summary with what the store has.
func (p *platform) holdsTheSummary(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Kiosks   int
		Readings struct{ Acknowledged, Waiting int }
	}
	if err := json.Unmarshal(text, &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Kiosks != 30 || summary.Readings.Waiting != 0 {
		t.Errorf("summary: %s", text)
	}
	within(t, settling, 200*time.Millisecond, "as many readings in the store as were acknowledged", func() error {
		stored := 0
		for _, k := range p.kiosks(t) {
			points, err := p.points(k.Serial, "hardware.cpu_temp", time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
			if err != nil {
				return err
			}
			stored += len(points)
		}
		if stored != summary.Readings.Acknowledged {
			return fmt.Errorf("%d are stored, %d were acknowledged", stored, summary.Readings.Acknowledged)
		}
		return nil
	})
}
