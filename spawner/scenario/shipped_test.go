package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
)

const shippedFolder = "../../configs/scenarios"

func shipped(t *testing.T) []*Scenario {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(shippedFolder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*Scenario
	for _, path := range paths {
		s, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != strings.TrimSuffix(filepath.Base(path), ".yaml") || s.Description == "" {
			t.Errorf("%s is called %s: %q", path, s.Name, s.Description)
		}
		all = append(all, s)
	}
	return all
}

func TestTheShippedScenariosShowEverything(t *testing.T) {
	var names []string
	faults, commands, longDays := map[fault.Kind]bool{}, map[protocol.CommandName]bool{}, 0
	for _, s := range shipped(t) {
		names = append(names, s.Name)
		kiosks, err := s.Roster("SIM-KIOSK-", nil)
		if err != nil {
			t.Fatal(err)
		}
		run := s.At(begin, kiosks)
		scheduled := 0
		for _, k := range kiosks {
			if k.Site == "" || k.Model == "" || k.Timezone == "" || k.Location == nil {
				t.Errorf("%s: %+v lacks something", s.Name, k)
			}
			for _, f := range scheduledFaults(run, k) {
				scheduled++
				faults[f.Kind] = true
				if f.From.Before(begin) || f.To.After(run.End()) || !f.From.Before(f.To) {
					t.Errorf("%s: %+v", s.Name, f)
				}
			}
		}
		for _, c := range run.Commands() {
			commands[c.Name] = true
		}
		if len(run.Expectations()) < 2 {
			t.Errorf("%s expects too little", s.Name)
		}
		if s.Length() == 24*time.Hour {
			longDays++
		} else if s.Length() < 5*time.Minute || s.Length() > 30*time.Minute {
			t.Errorf("%s lasts %s", s.Name, s.Length())
		}
		if quiet := s.Name == "quiet-day"; (scheduled == 0) != quiet {
			t.Errorf("%s has %d scheduled faults", s.Name, scheduled)
		}
	}
	if want := []string{"bad-rollout", "chaotic-monday", "heat-wave", "quiet-day", "site-outage"}; !slices.Equal(names, want) || longDays != 2 {
		t.Errorf("%v, %d of them a day long", names, longDays)
	}
	for _, spec := range fault.Specs() {
		if !faults[spec.Kind] {
			t.Errorf("no scenario shows %s", spec.Kind)
		}
	}
	for _, name := range protocol.CommandNames() {
		if !commands[name] {
			t.Errorf("no scenario shows the command %s", name)
		}
	}
}

func TestTheShippedScenariosGoWellTogether(t *testing.T) {
	for _, s := range shipped(t) {
		kiosks, err := s.Roster("SIM-KIOSK-", nil)
		if err != nil {
			t.Fatal(err)
		}
		run := s.At(begin, kiosks)
		for _, e := range run.Expectations() {
			if len(e.Presence) != 1 || e.Presence[0] != "online" {
				continue
			}
			// Whoever must come to be online is not kept from it by a scheduled fault until the end.
			kept := 0
			for _, k := range kiosks {
				if !slices.Contains(e.Serials, k.Serial) {
					continue
				}
				for _, f := range scheduledFaults(run, k) {
					away := f.Kind == fault.SiteOutage || f.Kind == fault.Crash
					if away && !f.From.After(e.From) && !f.To.Before(e.Deadline) {
						kept++
					}
				}
			}
			if float64(len(e.Serials)-kept) < e.Share*float64(len(e.Serials)) {
				t.Errorf("%s, phase %s: %d of %d kiosks cannot be online", s.Name, e.Phase, kept, len(e.Serials))
			}
		}
	}
}

// The guide is held against the code, so that neither grows without the other.
func TestTheGuideDescribesEverything(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	for _, spec := range fault.Specs() {
		if row := faultRow(spec); !strings.Contains(guide, row) {
			t.Errorf("docs/scenarios.md lacks this row:\n%s", row)
		}
	}
	if rows := strings.Count(guide, "\n| `"); rows < len(fault.Specs()) {
		t.Errorf("%d rows", rows)
	}
	for _, key := range knownKeys(t) {
		if !strings.Contains(guide, "| `"+key+"` |") {
			t.Errorf("docs/scenarios.md has no row for the key %s", key)
		}
	}
	for _, s := range shipped(t) {
		if !strings.Contains(guide, "(../configs/scenarios/"+s.Name+".yaml)") {
			t.Errorf("docs/scenarios.md does not name %s", s.Name)
		}
	}
	for name, rates := range map[string]fault.Rates{"ordinary": fault.Ordinary(), "chaotic": fault.Chaotic()} {
		if len(rates) == 0 || !strings.Contains(guide, "`"+name+"`") {
			t.Errorf("docs/scenarios.md does not name the profile %s", name)
		}
	}
}

func TestTheExampleOfTheGuideIsGood(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	s, kiosks := mustRoster(t, example)
	run := s.At(begin, kiosks)
	jammed := run.Expectations()[1].Serials
	for _, k := range kiosks {
		if jam := len(scheduledFaults(run, k)) == 1; jam != slices.Contains(jammed, k.Serial) {
			t.Errorf("%s jams: %v; those that are expected to: %v", k.Serial, jam, jammed)
		}
	}
}

// faultRow is how the guide describes a fault.
func faultRow(s fault.Spec) string {
	number := func(v any) string {
		if f, ok := v.(float64); ok {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
		return fmt.Sprint(v)
	}
	span := func(d time.Duration) string {
		return strings.Replace(strings.Replace(d.String(), "m0s", "m", 1), "h0m", "h", 1)
	}
	var params []string
	for _, p := range s.Params {
		var details []string
		standard := number(p.Default)
		switch p.Type {
		case fault.TypeNumber:
			details = append(details, strings.TrimSpace(fmt.Sprintf("%s to %s %s", number(p.Min), number(p.Max), p.Unit)))
		case fault.TypeDuration:
			seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
			details = append(details, span(seconds(p.Min))+" to "+span(seconds(p.Max)))
			standard = span(time.Duration(p.Default.(fault.Duration)))
		case fault.TypeWord:
			details = append(details, strings.Join(p.Words, ", "))
		}
		if standard != "" {
			details = append(details, "default "+standard)
		}
		text := "`" + p.Name + "`: " + p.Text
		if len(details) > 0 {
			text += " (" + strings.Join(details, "; ") + ")"
		}
		params = append(params, text)
	}
	if params == nil {
		params = []string{"none"}
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", s.Kind, s.Layer, s.Text, strings.Join(params, "<br>"))
}

// knownKeys are the keys that files may have, as the errors about unknown ones list them.
func knownKeys(t *testing.T) []string {
	t.Helper()
	_, err := parse("x.yaml", []byte(`{zz: 1, name: x, fleets: [{zz: 1, name: a, kiosks: 1, location: {zz: 1, lat: 0, lng: 0}}], phases: [{zz: 1, name: p, for: 1m,
  faults: [{zz: 1, fault: crash, of: {zz: 1}}], commands: [{zz: 1, command: ping}], expect: [{zz: 1, presence: online}]}]}`))
	var keys []string
	for _, line := range strings.Split(err.Error(), "\n") {
		_, list, ok := strings.Cut(strings.TrimSuffix(line, ")"), "(known are ")
		if !ok {
			t.Fatal(line)
		}
		keys = append(keys, strings.Split(list, ", ")...)
	}
	if len(keys) < 50 {
		t.Fatalf("only %d keys: %v", len(keys), keys)
	}
	return keys
}
