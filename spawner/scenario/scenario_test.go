package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// full has every key.
const full = `name: everything
description: |
  All that a scenario may say.
seed: 42
start: 2026-03-02T06:00:00+01:00
chance: none
rates: {crash: 0.5}
fleets:
  - name: madrid
    site: Madrid Atocha
    model: TicketPoint T5
    timezone: Europe/Madrid
    location: {lat: 40.4066, lng: -3.6891}
    kiosks: 20
    interval: 1s
    tags: [tickets, indoors]
    demand: 1.5
    chance: ordinary
    rates: {paper_jam: 0.25, crash: 0}
  - name: lisbon
    site: Lisbon LIS
    model: PayStation Duo
    tags: [indoors]
    kiosks: 10
    first: 101
phases:
  - name: quiet
    for: 2m
  - name: trouble
    for: 3m
    demand: 2
    warmer: -1.5
    faults:
      - fault: site_outage
        of: {site: Madrid Atocha}
        at: 10s
        for: 2m30s
        with: {how: cut}
      - fault: overheating
        of: {fleet: [madrid, lisbon], tag: indoors, share: 20%, draw: hot}
        at: 20s
        spread: 1m
        for: 30s
        with: {by: 12.5}
      - {fault: drift, of: {model: PayStation Duo, count: 3}, until: end}
      - {fault: crash}
    commands:
      - {command: update, params: {version: "2.0.0"}, of: {fleet: madrid, share: 50%}, at: 20s}
      - {command: ping}
      - {command: maintenance, params: {enabled: true}, of: {serials: [K-101, K-102]}, at: 5s}
    expect:
      - {presence: [offline, stale], of: {site: Madrid Atocha}, at: 10s, within: 2m}
      - {verdict: cannot_serve, status: offline, share: 90%}
  - name: after
    for: 1m
`

func load(t *testing.T, text string) (*Scenario, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func mustRoster(t *testing.T, text string, given ...roster.Kiosk) (*Scenario, []roster.Kiosk) {
	t.Helper()
	s, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	kiosks, err := s.Roster("K-", given)
	if err != nil {
		t.Fatal(err)
	}
	return s, kiosks
}

func TestAScenarioSaysWhoTakesPart(t *testing.T) {
	s, kiosks := mustRoster(t, full, roster.Kiosk{Serial: "OTHER"})
	if s.Name != "everything" || s.Seed != 42 || s.Length() != 6*time.Minute || s.Description == "" ||
		!s.Start.Equal(time.Date(2026, 3, 2, 5, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	if len(kiosks) != 30 || kiosks[0].Serial != "K-001" || kiosks[19].Serial != "K-020" || kiosks[20].Serial != "K-101" {
		t.Fatalf("%d kiosks: %+v", len(kiosks), kiosks)
	}
	places := map[device.Position]bool{}
	for _, k := range kiosks[:20] {
		if k.Site != "Madrid Atocha" || k.Model != "TicketPoint T5" || k.Timezone != "Europe/Madrid" || k.Interval != roster.Duration(time.Second) || len(k.Tags) != 2 {
			t.Errorf("%+v", k)
		}
		if d := k.Location.Lat - 40.4066; d > 0.001 || d < -0.001 || *k.Location != *k.RealLocation {
			t.Errorf("%s stands at %+v", k.Serial, k.Location)
		}
		places[*k.Location] = true
	}
	if len(places) < 15 || kiosks[25].Location != nil {
		t.Errorf("%d places; %+v", len(places), kiosks[25])
	}
}

func TestWithoutFleetsTheGivenKiosksTakePart(t *testing.T) {
	const text = "name: x\nchance: ordinary\nphases:\n  - {name: a, for: 1m, faults: [{fault: crash, of: {site: Lisbon, serials: [A, B]}}]}\n"
	given := []roster.Kiosk{{Serial: "A", Site: "Lisbon"}, {Serial: "B", Site: "Madrid"}, {Serial: "C", Site: "Lisbon"}}
	s, kiosks := mustRoster(t, text, given...)
	if !reflect.DeepEqual(kiosks, given) {
		t.Errorf("%+v", kiosks)
	}
	run := s.At(time.Now(), kiosks)
	for _, k := range kiosks {
		plan, _ := run.Fate(k)
		crashes := 0
		for _, f := range plan.During(run.Phases()[0].From, run.End()) {
			if strings.HasPrefix(f.ID, k.Serial+"/") {
				crashes++
			}
		}
		if (crashes == 1) != (k.Serial == "A") || plan.Empty() {
			t.Errorf("%s has %d crashes", k.Serial, crashes)
		}
	}
	for target, want := range map[string]string{
		"{fleet: x}":                       `unknown fleet "x" (there are none)`,
		"{site: lisbon}":                   `unknown site "lisbon", did you mean Lisbon? (known are Lisbon, Madrid)`,
		"{serials: [A, AB]}":               `unknown serial "AB", did you mean A?`,
		"{serials: [A], site: Madrid}":     `no kiosk is all of this: site Madrid, serial A`,
		"{site: Lisbon, count: 3}":         `count: want 3 kiosks of 2`,
		"{model: T5, site: Porto, tag: x}": `unknown model "T5"`,
	} {
		s, err := load(t, "name: x\nphases:\n  - {name: a, for: 1m, faults: [{fault: crash, of: "+target+"}]}\n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Roster("K-", given); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "it.yaml:3:") {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}

func TestSerialsAreCheckedWhenTheyAreKnown(t *testing.T) {
	s, err := load(t, full)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Roster("SIM-", nil); err == nil || !strings.Contains(err.Error(), `unknown serial "K-101", did you mean SIM-101?`) && !strings.Contains(err.Error(), `unknown serial "K-101"`) {
		t.Errorf("error = %v", err)
	}
	if _, err := s.Roster("a/b", nil); err == nil || !strings.Contains(err.Error(), "fleet madrid: serial a/b020") {
		t.Errorf("error = %v", err)
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	// Each is put at the end of a good beginning, so that its first line is line 2.
	phases := func(inside string) string { return "phases:\n  - name: a\n    for: 1m\n" + inside }
	faults := func(item string) string { return phases("    faults:\n      - " + item) } // line 6
	fleets := func(items ...string) string {
		return "phases: [{name: a, for: 1m}]\nfleets:\n  - " + strings.Join(items, "\n  - ") // line 4
	}
	tests := map[string]struct{ text, want string }{
		"unknown key":           {phases("") + "fleet: []", `:5:1: scenario: unknown key "fleet", did you mean fleets?`},
		"unknown key of phase":  {phases("    fautls: []"), `:5:5: phase 1: unknown key "fautls", did you mean faults? (known are commands, demand, expect, faults, for, name, warmer)`},
		"unknown key of fault":  {faults("{fault: crash, sited: x}"), `:6:24: fault: unknown key "sited"`},
		"unknown fault":         {faults("{fault: paperjam}"), `:6:17: fault: unknown value "paperjam", did you mean paper_jam? (known are overheating,`},
		"unknown parameter":     {faults("{fault: drift, with: {metrc: x}}"), `with: unknown key "metrc", did you mean metric?`},
		"bad parameter":         {faults("{fault: overheating, with: {by: 500}}"), `overheating: by: "500" is not a number from 1 to 100`},
		"list as parameter":     {faults("{fault: overheating, with: {by: [1]}}"), `by: want one value, not a list`},
		"no parameters":         {faults("{fault: paper_jam, with: {by: 5}}"), `paper_jam has no parameters`},
		"fault without a kind":  {faults("{at: 5s}"), `:6:9: fault lacks fault`},
		"outside of its phase":  {faults("{fault: crash, at: 1m}"), `at: 1m0s is outside of the phase, which lasts 1m0s`},
		"beyond its phase":      {faults("{fault: crash, at: 30s, for: 31s}"), `:6:9: the fault reaches beyond its phase: at 30s, spread 0s and for 31s are more than 1m0s; make the phase longer or say until: end`},
		"spread too long":       {faults("{fault: crash, spread: 1m}"), `the spread leaves no time`},
		"for and until":         {faults("{fault: crash, for: 1s, until: end}"), `for and until exclude each other`},
		"until what":            {faults("{fault: crash, until: noon}"), `until: unknown value "noon" (known are end)`},
		"negative offset":       {faults("{fault: crash, at: -1s}"), `at: -1s is not within 0s to`},
		"number for duration":   {faults("{fault: crash, at: 10}"), `at: want a duration such as 90s or 2m30s, not "10"`},
		"negative count":        {faults("{fault: crash, of: {count: -1}}"), `count: want a whole number from 1 to 100000, not "-1"`},
		"share above all":       {faults("{fault: crash, of: {share: 120%}}"), `share: want a part above 0% and up to 100%, such as 20%, not "120%"`},
		"share as a number":     {faults("{fault: crash, of: {share: 0.2}}"), `such as 20%, not "0.2"`},
		"count and share":       {faults("{fault: crash, of: {count: 1, share: 1%}}"), `count and share exclude each other`},
		"twice in a list":       {faults("{fault: crash, of: {serials: [A, B, A]}}"), `:6:45: A is listed twice`},
		"empty list":            {faults("{fault: crash, of: {serials: []}}"), `serials: the list is empty`},
		"target is a word":      {faults("{fault: crash, of: madrid}"), `of: want keys and values; the keys are count, draw, fleet`},
		"phase without a time":  {"phases:\n  - name: a", `:3:5: phase 1 lacks for`},
		"phase of no time":      {"phases: [{name: a, for: 0s}]", `for: 0s is not within 1s to`},
		"too long":              {"phases: [{name: a, for: 80000h}, {name: b, for: 80000h}]", `the scenario is longer than 87840h0m0s`},
		"no phases":             {"seed: 1", `:1:1: scenario lacks phases`},
		"phases are no list":    {"phases: {a: 1m}", `phases: want a list`},
		"empty phases":          {"phases: []", `phases: the list is empty`},
		"demand":                {phases("    demand: -1"), `demand: want a number from 0 to 100, not "-1"`},
		"warmer":                {phases("    warmer: .nan"), `warmer: want a number from -40 to 40, not ".nan"`},
		"unknown command":       {phases("    commands: [{command: unblok}]"), `command: unknown value "unblok", did you mean unblock?`},
		"command needs params":  {phases("    commands: [{command: maintenance}]"), `maintenance lacks params: {enabled: …}`},
		"command has no params": {phases("    commands: [{command: ping, params: {x: 1}}]"), `ping has no params`},
		"version is a number":   {phases("    commands: [{command: update, params: {version: 2.0}}]"), `version: want a text; put it in quotes if it is one`},
		"enabled is a text":     {phases("    commands: [{command: maintenance, params: {enabled: \"yes\"}}]"), `enabled: want true or false, not "yes"`},
		"unknown presence":      {phases("    expect: [{presence: [offline, gone]}]"), `presence: unknown value "gone" (known are online, stale, offline, never)`},
		"expects nothing":       {phases("    expect: [{within: 5s}]"), `the expectation lacks presence, verdict or status`},
		"expects too late":      {phases("    expect: [{presence: online, at: 50s, within: 11s}]"), `the expectation reaches beyond its phase`},
		"bad start":             {phases("") + "start: 2026-03-02T06:00:00", `start: want a time with its zone such as 2026-03-02T06:00:00Z`},
		"bad seed":              {phases("") + "seed: -1", `seed: want a whole number from 0 to 18446744073709551615, not "-1"`},
		"unknown profile":       {phases("") + "chance: wild", `chance: unknown value "wild" (known are none, ordinary, chaotic)`},
		"negative rate":         {phases("") + "rates: {crash: -1}", `crash: want a number from 0 to 1000, not "-1"`},
		"rate of what":          {phases("") + "rates: {crashes: 1}", `rates: unknown key "crashes", did you mean crash?`},
		"interval too short":    {fleets("{name: m, kiosks: 1, interval: 1ms}"), `:4:36: interval: 1ms is not within 10ms to 24h0m0s`},
		"unknown time zone":     {fleets("{name: m, kiosks: 1, timezone: Europe/Madird}"), `timezone "Europe/Madird" is not an IANA time zone`},
		"not on Earth":          {fleets("{name: m, kiosks: 1, location: {lat: 91, lng: 0}}"), `lat: want a number from -90 to 90, not "91"`},
		"half a place":          {fleets("{name: m, kiosks: 1, location: {lat: 9}}"), `location lacks lng`},
		"too many kiosks":       {fleets("{name: m, kiosks: 100001}"), `kiosks: want a whole number from 1 to 100000`},
		"too many in all":       {fleets("{name: m, kiosks: 60000}", "{name: n, kiosks: 60000}"), `:5:5: fleet n: more than 100000 kiosks in all`},
		"fleet without kiosks":  {fleets("{name: m}"), `fleet 1 lacks kiosks`},
		"fleet twice":           {fleets("{name: m, kiosks: 1}", "{name: m, kiosks: 1}"), `:5:5: fleet m is already at line 4`},
		"serials overlap":       {fleets("{name: m, kiosks: 10}", "{name: n, kiosks: 5, first: 10}"), `fleet n: its serials 10 to 14 overlap with 1 to 10 of fleet m`},
		"site too long":         {fleets("{name: m, kiosks: 1, site: " + strings.Repeat("x", 65) + "}"), `site has 65 bytes, at most 64 are allowed`},
		"unknown site":          {fleets("{name: m, kiosks: 1, site: Madrid}") + "\nphasis:", `unknown key "phasis", did you mean phases?`},
		"site of no fleet": {strings.Replace(fleets("{name: m, kiosks: 1, site: Madrid}"), "for: 1m", "for: 1m, faults: [{fault: crash, of: {site: Madird}}]", 1),
			`:2:64: unknown site "Madird", did you mean Madrid? (known are Madrid)`},
		"more than there are": {strings.Replace(fleets("{name: m, kiosks: 4}"), "for: 1m", "for: 1m, faults: [{fault: crash, of: {fleet: m, count: 5}}]", 1),
			`count: want 5 kiosks of 4`},
		"duplicate key":   {phases("") + "phases: []", `:5:1: scenario: phases is already at line 2`},
		"no value":        {phases("    faults:"), `:5:5: faults has no value`},
		"alias":           {"phases: [&a {name: a, for: 1m}, *a]", `:2:10: anchors and aliases are not allowed`},
		"second document": {phases("") + "---\nname: y", `there is a second document`},
		"syntax":          {"phases: [", `not YAML: `},
		"tab":             {"phases:\n\t- name: a", `:3: not YAML: found character that cannot start any token`},
		"too deep":        {"phases: " + strings.Repeat("[", 30) + strings.Repeat("]", 30), `it is nested too deep`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "name: x\n"+tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "it.yaml:") {
				t.Errorf("error = %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"": "the file is empty", " \n\n": "the file is empty", "# only\n": "the file is empty", "just words": "scenario: want keys and values",
		"[]": "want keys and values", "name: \xff": "not YAML", strings.Repeat("#", 1<<20+1): "is larger than 1 MiB",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "it.yaml") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir+" is a folder") {
		t.Errorf("error = %v", err)
	}
	if _, err := Load(filepath.Join(dir, "nothing.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}

func TestAllErrorsAreToldInTheOrderOfTheFile(t *testing.T) {
	linesOf := func(err error) (at []string) {
		if err == nil {
			t.Fatal("it is accepted")
		}
		for _, line := range strings.Split(err.Error(), "\n") {
			at = append(at, strings.Split(line, ":")[1])
		}
		return at
	}
	phases := []string{"for: 2m\n", "for: 2\n", "fault: site_outage", "fault: outage", "seed: 42", "seed: x", "command: ping", "command: pong",
		"tag: indoors", "tag: outdoors"}
	_, err := load(t, strings.NewReplacer(phases...).Replace(full))
	if at, want := linesOf(err), []string{"4", "28", "34", "40", "49"}; !reflect.DeepEqual(at, want) {
		t.Errorf("lines %v, want %v:\n%v", at, want, err)
	}
	// A mistake in a fleet is told once, not at each target.
	_, err = load(t, strings.NewReplacer(append(phases, "lat: 40.4066", "lat: 140", "name: madrid", "name: [madrid]")...).Replace(full))
	if at, want := linesOf(err), []string{"4", "9", "13", "28", "34", "49"}; !reflect.DeepEqual(at, want) {
		t.Errorf("lines %v, want %v:\n%v", at, want, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("name: x\nphases: [{name: a, for: 1m}]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse("f.yaml", text)
		if err != nil {
			return
		}
		total := 0
		for _, fl := range s.fleets {
			total += fl.count
		}
		if total > 1000 {
			return
		}
		kiosks, err := s.Roster("K-", []roster.Kiosk{{Serial: "A"}})
		if err != nil {
			return
		}
		run := s.At(time.Unix(0, 0), kiosks)
		for _, k := range kiosks {
			plan, _ := run.Fate(k)
			for _, ev := range plan.During(run.start, run.start.Add(time.Minute)) {
				if _, ok := fault.Lookup(ev.Kind); !ok {
					t.Errorf("%+v", ev)
				}
			}
		}
		_ = fmt.Sprint(run.Commands(), run.Expectations())
	})
}
