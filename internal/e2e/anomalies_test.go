package e2e

import (
	"errors"
	"fmt"
	"maps"
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

const (
	cpuTemp  = "hardware.cpu_temp"
	cpuUsage = "hardware.cpu_usage"
)

// A fleet lives five days of ordinary life, which are loaded as a history. Then comes an evening at a hundred and twenty
// times the speed, in which the fans of some kiosks slow down; that crosses no threshold. At last, in real time (rules
// look at what is new only), their cases get hot, and the threshold is crossed. The evening begins between six and seven
// by the kiosks' clocks whenever the test runs: staff, who change much, have gone by then, and customers come still.
const (
	worn     = 4 // kiosks whose fans slow down
	healthy  = 3
	learning = 5 * 24 * time.Hour
	evening  = time.Hour
	speed    = 120
	// forgets is how much learning a kill may lose.
	forgets = 5 * time.Second

	fleetOfFans = `
fleets:
  - {name: hall, site: Madrid Atocha, model: fan-test, timezone: %s, kiosks: %d, interval: %s}
phases:
`
	ordinaryLife = "name: ordinary life" + fleetOfFans + `
  - {name: ordinary life, for: %s}
`
	wornFans = "name: worn fans" + fleetOfFans + `
  - name: fans slow down
    for: %s
    faults:
      - {fault: fan_failure, of: {count: %d, draw: worn}, with: {by: 10, over: 30m}}
`
	hotCases = "name: hot cases" + fleetOfFans + `
  - name: cases get hot
    for: %s
    faults:
      - {fault: fan_failure, of: {count: %[5]d, draw: worn}, with: {by: 10}}
      - {fault: overheating, of: {count: %[5]d, draw: worn}, with: {by: 100}}
`
)

// zoneAt returns a time zone in which it is between six and seven in the evening.
func zoneAt(t time.Time) string {
	east := 18 - t.UTC().Hour()
	if east > 14 {
		east -= 24
	}
	return fmt.Sprintf("Etc/GMT%+d", -east) // which counts to the west
}

// unusual is what the tests read of an anomaly.
type unusual struct {
	ID, Serial, Site, Text string
	OpenedAt               time.Time  `json:"opened_at"`
	ClosedAt               *time.Time `json:"closed_at"`
	Score                  float64
	Sensors                []struct {
		Metric, Kind, Text string
		Share              float64
		With               []string
	}
	Feedback *struct{ Verdict, By string }
}

// names reports whether the anomaly names a metric, by itself or as one that another no longer goes with.
func (u *unusual) names(metric string) bool {
	for _, s := range u.Sensors {
		if s.Metric == metric || slices.Contains(s.With, metric) {
			return true
		}
	}
	return false
}

// unusuals returns the anomalies of all kiosks since a time.
func (p *platform) unusuals(since time.Time) (out []unusual, err error) {
	for cursor := ""; ; {
		var page struct {
			Items      []unusual
			NextCursor string `json:"next_cursor"`
		}
		query := url.Values{"limit": {"100"}, "from": {since.UTC().Format(time.RFC3339)}, "cursor": {cursor}}
		if err := p.try("GET", "/anomalies?"+query.Encode(), nil, http.StatusOK, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return out, nil
		}
	}
}

// learnt is what the tests read of what is known of a kiosk.
type learnt struct {
	State string
	Since time.Time
}

func (p *platform) learnt(t *testing.T, serial string) (out learnt) {
	t.Helper()
	p.call(t, "GET", "/kiosks/"+serial+"/anomaly", nil, http.StatusOK, &out)
	return out
}

// writeScenario writes a scenario into a new folder and returns its path.
func writeScenario(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAFailingFanIsAnAnomaly: a temperature that slowly leaves its load curve is told with the sensors that explain
// it, long before the threshold is crossed; what people say of that and what was learnt survive a kill.
func TestAFailingFanIsAnAnomaly(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, map[string]string{"ANOMALY_SNAPSHOT_EVERY": forgets.String()})
	begins := time.Now().Add(-evening).UTC().Truncate(time.Minute)
	zone := zoneAt(begins)

	history := filepath.Join(t.TempDir(), "history")
	file := writeScenario(t, fmt.Sprintf(ordinaryLife, zone, worn+healthy, time.Minute, learning))
	if out, err := run(t, "spawner", nil, "history", "--scenario", file, "--start", begins.Add(-learning).Format(time.RFC3339), "--out", history); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := runWithin(t, 2*patience, "spawner", p.agentEnv(nil), "history", "load", history); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var serials []string
	for _, k := range p.kiosks(t) {
		serials = append(serials, k.Serial)
	}
	before := map[string]learnt{}
	eventually(t, "all kiosks are learnt", func() error {
		for _, serial := range serials {
			if before[serial] = p.learnt(t, serial); before[serial].State == "learning" || before[serial].State == "unknown" {
				return fmt.Errorf("%s: %+v", serial, before[serial])
			}
		}
		return nil
	})
	learntAt := time.Now()

	file = writeScenario(t, fmt.Sprintf(wornFans, zone, worn+healthy, time.Minute, evening, worn))
	record := filepath.Join(t.TempDir(), "truth.jsonl")
	spawner := start(t, "spawner", p.agentEnv(nil), "--scenario", file, "--time-scale", fmt.Sprint(speed), "--ramp-up", "100", "--truth-file", record)

	// What a kiosk went through in its five days may have used up its budget: it may take one longer than the hour.
	found := map[string]unusual{}
	within(t, 2*time.Minute, 250*time.Millisecond, "the worn fans are found", func() error {
		if spawner.ended() {
			t.Fatal("the spawner has ended")
		}
		events, err := truth.ReadAll(record)
		if err != nil {
			return err
		}
		all, err := p.unusuals(begins)
		if err != nil {
			return err
		}
		for _, u := range all {
			fails := slices.ContainsFunc(events, func(e truth.Event) bool {
				return e.Serial == u.Serial && e.Fault == fault.FanFailure && e.Event == truth.FaultStart && !u.OpenedAt.Before(e.Time)
			})
			if _, known := found[u.Serial]; known || !fails || !u.names(cpuTemp) || !u.names(cpuUsage) {
				continue
			}
			for _, a := range p.alerts(t) {
				if a.Rule == "cpu_temp_high" {
					t.Fatalf("the threshold was crossed before %+v: %+v", u, a)
				}
			}
			found[u.Serial] = u
		}
		if len(found) < worn-1 {
			return fmt.Errorf("%d of %d are, among %d anomalies", len(found), worn, len(all))
		}
		return nil
	})
	first := found[slices.Sorted(maps.Keys(found))[0]]
	if first.Text == "" || first.Site != "Madrid Atocha" || first.Score < 0.99 {
		t.Errorf("%+v", first)
	}

	eventually(t, "the score is in the time series", func() error {
		scores, err := p.points(first.Serial, "anomaly.score", begins, time.Now())
		if err != nil {
			return err
		}
		for _, point := range scores {
			if point.Value >= 0.99 && !point.Time.Before(first.OpenedAt) {
				return nil
			}
		}
		return fmt.Errorf("%d points, none of at least 0.99 since %s", len(scores), first.OpenedAt)
	})

	said := map[string]string{"verdict": "useful", "comment": "The fan is dusty."}
	p.call(t, "POST", "/anomalies/"+first.ID+"/feedback", said, http.StatusOK, nil)

	within(t, patience, 100*time.Millisecond, "what may be lost is new", func() error {
		if since := time.Since(learntAt); since < 2*forgets {
			return fmt.Errorf("the kiosks were learnt %s ago", since)
		}
		return nil
	})
	p.kill()
	p.boot(t)
	for _, serial := range serials {
		if now := p.learnt(t, serial); !now.Since.Equal(before[serial].Since) || now.State == "learning" {
			t.Errorf("%s was %+v before the kill and is %+v", serial, before[serial], now)
		}
	}
	var again unusual
	p.call(t, "GET", "/anomalies/"+first.ID, nil, http.StatusOK, &again)
	if again.Serial != first.Serial || !again.OpenedAt.Equal(first.OpenedAt) || again.Feedback == nil || again.Feedback.Verdict != "useful" || again.Feedback.By != "admin" {
		t.Errorf("after the kill it is %+v, was %+v", again, first)
	}

	select {
	case <-spawner.done:
	case <-time.After(patience):
		t.Fatal("the evening does not end")
	}
	file = writeScenario(t, fmt.Sprintf(hotCases, zone, worn+healthy, 5*time.Second, 10*time.Minute, worn))
	start(t, "spawner", p.agentEnv(nil), "--scenario", file, "--ramp-up", "100")
	within(t, 5*time.Minute, time.Second, "alerts where the cases got hot", func() error {
		hot, odd := map[string]bool{}, map[string]bool{}
		for _, a := range p.alerts(t) {
			switch a.Rule {
			case "cpu_temp_high":
				hot[a.Serial] = true
			case "anomaly":
				odd[a.Serial] = true
			}
		}
		if len(hot) != worn {
			return fmt.Errorf("%v are too hot, want %d kiosks", hot, worn)
		}
		if len(odd) == 0 {
			return errors.New("no rule says that a kiosk is unusual")
		}
		return nil
	})
}
