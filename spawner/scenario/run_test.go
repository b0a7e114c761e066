package scenario

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

var begin = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return begin.Add(d) }

// scheduledFaults returns the scheduled faults of a kiosk.
func scheduledFaults(run *Run, k roster.Kiosk) []fault.Fault {
	plan, _ := run.Fate(k)
	return slices.DeleteFunc(plan.During(begin, run.End().Add(time.Hour)), func(f fault.Fault) bool { return !strings.HasPrefix(f.ID, k.Serial+"/") })
}

func ofKind(faults []fault.Fault, kind fault.Kind) []fault.Fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f fault.Fault) bool { return f.Kind != kind })
}

func TestFaultsBefallTheirTargetsInTheirTime(t *testing.T) {
	s, kiosks := mustRoster(t, full)
	run := s.At(begin, kiosks)
	count := map[fault.Kind]int{}
	moments := map[time.Time]bool{}
	for _, k := range kiosks {
		faults := scheduledFaults(run, k)
		for _, f := range faults {
			count[f.Kind]++
		}
		outage := ofKind(faults, fault.SiteOutage)
		if (len(outage) == 1) != (k.Site == "Madrid Atocha") {
			t.Errorf("%s of %s has %d outages", k.Serial, k.Site, len(outage))
		}
		for _, f := range outage {
			if !f.From.Equal(at(130*time.Second)) || !f.To.Equal(at(280*time.Second)) || f.Params.Text("how") != "cut" {
				t.Errorf("%+v", f)
			}
		}
		for _, f := range ofKind(faults, fault.Overheating) {
			moments[f.From] = true
			if late := f.From.Sub(at(140 * time.Second)); late < 0 || late >= time.Minute || f.To.Sub(f.From) != 30*time.Second || f.Params.Number("by") != 12.5 {
				t.Errorf("%+v", f)
			}
		}
		for _, f := range ofKind(faults, fault.Drift) {
			if k.Model != "PayStation Duo" || !f.From.Equal(at(2*time.Minute)) || !f.To.Equal(at(6*time.Minute)) || f.Params.Text("metric") != "hardware.cpu_temp" {
				t.Errorf("%+v", f)
			}
		}
		for _, f := range ofKind(faults, fault.Crash) {
			if !f.From.Equal(at(2*time.Minute)) || !f.To.Equal(at(5*time.Minute)) {
				t.Errorf("%+v", f)
			}
		}
	}
	if want := map[fault.Kind]int{fault.SiteOutage: 20, fault.Overheating: 6, fault.Drift: 3, fault.Crash: 30}; !reflect.DeepEqual(count, want) {
		t.Errorf("%v, want %v", count, want)
	}
	if len(moments) < 5 {
		t.Errorf("the spread gives %d moments", len(moments))
	}
	again, _ := mustRoster(t, full)
	for _, k := range kiosks {
		if !reflect.DeepEqual(scheduledFaults(again.At(begin, kiosks), k), scheduledFaults(run, k)) {
			t.Errorf("%s has other faults the second time", k.Serial)
		}
	}
}

func TestFaultsHaveTheirOwnIDs(t *testing.T) {
	s, kiosks := mustRoster(t, "name: x\nfleets: [{name: a, kiosks: 2}]\nphases:\n  - {name: a, for: 1m, faults: [{fault: crash, for: 1s}, {fault: crash, at: 5s}]}\n  - {name: b, for: 1m, faults: [{fault: crash}]}\n")
	run := s.At(begin, kiosks)
	ids := map[string]bool{}
	for _, k := range kiosks {
		for _, f := range scheduledFaults(run, k) {
			ids[f.ID] = true
		}
	}
	if len(ids) != 6 || !ids["K-002/crash/2.1"] {
		t.Errorf("%v", ids)
	}
}

func TestPhasesChangeWhatIsAroundAKiosk(t *testing.T) {
	s, kiosks := mustRoster(t, full)
	run := s.At(begin, kiosks)
	if want := []Phase{{"quiet", at(0), at(2 * time.Minute)}, {"trouble", at(2 * time.Minute), at(5 * time.Minute)}, {"after", at(5 * time.Minute), at(6 * time.Minute)}}; !reflect.DeepEqual(run.Phases(), want) || !run.End().Equal(at(6*time.Minute)) || run.Seed() != 42 {
		t.Errorf("%+v until %s", run.Phases(), run.End())
	}
	_, madrid := run.Fate(kiosks[0])
	_, lisbon := run.Fate(kiosks[25])
	want := []device.Condition{
		{From: at(0), To: at(2 * time.Minute), Demand: 1.5},
		{From: at(2 * time.Minute), To: at(5 * time.Minute), Warmer: -1.5, Demand: 3},
		{From: at(5 * time.Minute), To: at(6 * time.Minute), Demand: 1.5},
		{From: at(6 * time.Minute), Demand: 1.5},
	}
	if !reflect.DeepEqual(madrid, want) {
		t.Errorf("%+v", madrid)
	}
	if want := []device.Condition{{From: at(2 * time.Minute), To: at(5 * time.Minute), Warmer: -1.5, Demand: 2}}; !reflect.DeepEqual(lisbon, want) {
		t.Errorf("%+v", lisbon)
	}
	if plan, around := run.Fate(roster.Kiosk{Serial: "STRANGER"}); plan != nil || around != nil {
		t.Errorf("%v, %v", plan, around)
	}
}

func TestChanceIsThatOfTheFleet(t *testing.T) {
	s, kiosks := mustRoster(t, full)
	madrid, lisbon := s.fleets[0].rates, s.fleets[1].rates
	if madrid[fault.PaperJam] != 0.25 || madrid[fault.Crash] != 0 || madrid[fault.FanFailure] != fault.Ordinary()[fault.FanFailure] {
		t.Errorf("madrid: %v", madrid)
	}
	if !reflect.DeepEqual(lisbon, fault.Rates{fault.Crash: 0.5}) {
		t.Errorf("lisbon: %v", lisbon)
	}
	run := s.At(begin, kiosks)
	crashes := map[string]int{}
	for _, k := range kiosks {
		plan, _ := run.Fate(k)
		later := run.End().Add(time.Hour)
		crashes[k.Site] += len(ofKind(plan.During(later, later.Add(100*24*time.Hour)), fault.Crash))
	}
	if crashes["Madrid Atocha"] != 0 || crashes["Lisbon LIS"] < 350 || crashes["Lisbon LIS"] > 650 {
		t.Errorf("%v", crashes)
	}
}

func TestCommandsAndExpectations(t *testing.T) {
	s, kiosks := mustRoster(t, full)
	run := s.At(begin, kiosks)
	var said []string
	for _, c := range run.Commands() {
		said = append(said, string(c.Name)+" "+string(c.Params)+" "+c.At.Sub(begin).String())
	}
	if want := []string{`ping  2m0s`, `maintenance {"enabled":true} 2m5s`, `update {"version":"2.0.0"} 2m20s`}; !reflect.DeepEqual(said, want) {
		t.Errorf("%q", said)
	}
	for i, want := range []int{30, 2, 10} {
		if n := len(run.Commands()[i].Serials); n != want {
			t.Errorf("command %d goes to %d kiosks, want %d", i, n, want)
		}
	}
	expect := run.Expectations()
	if len(expect) != 2 || len(expect[0].Serials) != 30 || len(expect[1].Serials) != 20 {
		t.Fatalf("%+v", expect)
	}
	if e := expect[0]; !e.From.Equal(at(2*time.Minute)) || !e.Deadline.Equal(at(5*time.Minute)) || e.Share != 0.9 || e.Verdict[0] != "cannot_serve" || e.Status[0] != "offline" || e.Presence != nil {
		t.Errorf("%+v", e)
	}
	if e := expect[1]; !e.From.Equal(at(130*time.Second)) || !e.Deadline.Equal(at(250*time.Second)) || e.Share != 1 || len(e.Presence) != 2 || e.Phase != "trouble" {
		t.Errorf("%+v", e)
	}
}

func TestADrawIsTheSameEverywhereAndOthersAreNot(t *testing.T) {
	const text = `name: x
fleets: [{name: a, kiosks: 100}]
phases:
  - name: p
    for: 1m
    commands:
      - {command: ping, of: {share: 50%, draw: first}}
      - {command: ping, of: {share: 50%, draw: first}}
      - {command: ping, of: {count: 10, draw: first}}
      - {command: ping, of: {share: 50%}}
      - {command: ping, of: {share: 50%}}
      - {command: ping, of: {share: 0.1%}}
      - {command: ping, of: {count: 100}}
`
	s, kiosks := mustRoster(t, text)
	c := s.At(begin, kiosks).Commands()
	if len(c[0].Serials) != 50 || !reflect.DeepEqual(c[0].Serials, c[1].Serials) || !slices.IsSorted(c[0].Serials) {
		t.Errorf("%v\n%v", c[0].Serials, c[1].Serials)
	}
	if len(c[2].Serials) != 10 || slices.ContainsFunc(c[2].Serials, func(serial string) bool { return !slices.Contains(c[0].Serials, serial) }) {
		t.Errorf("%v is no part of %v", c[2].Serials, c[0].Serials)
	}
	common := 0
	for _, serial := range c[3].Serials {
		if slices.Contains(c[4].Serials, serial) {
			common++
		}
	}
	if common < 10 || common > 40 {
		t.Errorf("two draws of half have %d kiosks in common", common)
	}
	if len(c[5].Serials) != 1 || len(c[6].Serials) != 100 {
		t.Errorf("%d, %d", len(c[5].Serials), len(c[6].Serials))
	}
	other, _ := mustRoster(t, "seed: 7\n"+text)
	if reflect.DeepEqual(other.At(begin, kiosks).Commands()[0].Serials, c[0].Serials) {
		t.Error("another seed draws the same kiosks")
	}
}

func BenchmarkFate(b *testing.B) {
	s, err := Load("../../configs/scenarios/heat-wave.yaml")
	if err != nil {
		b.Fatal(err)
	}
	kiosks, err := s.Roster("K-", nil)
	if err != nil {
		b.Fatal(err)
	}
	run := s.At(begin, kiosks)
	b.ReportAllocs()
	for b.Loop() {
		run.Fate(kiosks[0])
	}
}
