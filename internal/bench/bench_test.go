package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

func TestFlags(t *testing.T) {
	o, clients, windows, err := parse(nil)
	if err != nil || !slices.Equal(clients, []int{200, 1000}) || !slices.Equal(windows, []int{1, 8}) || o.rounds != 3 || o.duration != 10*time.Second || o.journal != 1024 {
		t.Errorf("the defaults are %+v, %v, %v, %v", o, clients, windows, err)
	}
	o, clients, _, err = parse([]string{"--quick", "--clients", "7"})
	if err != nil || !slices.Equal(clients, []int{7}) || o.rounds != 1 || o.journal != 64 {
		t.Errorf("--quick with a number of clients is %+v, %v, %v", o, clients, err)
	}
	if o.fleet != (fleetOptions{300, 10 * time.Second}) || !o.runs(partFleet) {
		t.Errorf("--quick runs a fleet of %+v", o.fleet)
	}
	if o.series != quickSeries || !o.runs(partSeries) {
		t.Errorf("--quick runs time series of %+v", o.series)
	}
	if o, _, _, err = parse([]string{"--only", "series"}); err != nil || o.series != wholeSeries || o.runs(partFleet) || !o.runs(partSeries) {
		t.Errorf("--only series is %+v, %v", o, err)
	}
	if o, _, _, err = parse([]string{"--only", "fleet", "--kiosks", "9"}); err != nil || o.fleet != (fleetOptions{9, 2 * time.Minute}) || o.runs(partThroughput) || o.runs(partRecovery) || !o.runs(partFleet) {
		t.Errorf("--only fleet is %+v, %v", o, err)
	}
	for _, args := range [][]string{{"--only", "all"}, {"--kiosks", "0"}, {"--kiosks", "20000"}, {"--steady", "0s"}, {"--clients", "0"}, {"--windows", "1,x"}, {"--rounds", "0"}, {"--duration", "1ms"}, {"more"}, {"--journal-mb", "-1"}} {
		if _, _, _, err := parse(args); err == nil {
			t.Errorf("%v is allowed", args)
		}
	}
}

func TestMedianAndSpread(t *testing.T) {
	rounds := []round{{Acked: 3}, {Acked: 1}, {Acked: 10}}
	of := func(r round) float64 { return r.Acked }
	if got := spread(rounds, of); got != "3 (1–10)" {
		t.Errorf("spread is %s", got)
	}
	if got := median(rounds[:2], of); got != 2 {
		t.Errorf("the median of two is %v", got)
	}
}

func TestTheReportSaysWhatIsMissing(t *testing.T) {
	r := &report{Machine: thisMachine(), Seconds: 3, Problems: []string{"recovery: no room"}, Profile: &profile{Problem: "no go command"}, Throughput: []throughput{
		{Target: targetBare, Clients: 200, Window: 1, Rounds: []round{{Acked: 1000}}},
		{Target: targetAdmin, Clients: 200, Window: 1, Ratio: 0.5, Rounds: []round{{Acked: 500, Stored: 400}}},
	}}
	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"recovery: no room", "no go command", "0.50", "400 (400–400)", r.Machine.Go} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if r.Machine.Cores < 1 || r.Machine.Date.IsZero() {
		t.Errorf("the machine is %+v", r.Machine)
	}
}

func TestAProcessIsMeasured(t *testing.T) {
	p, line, err := startProcess(t.Context(), "a shell", environment(map[string]string{"X": "y"}), "ready", "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo ready $KIOSKFLEET_X; while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if line != "ready y" {
		t.Errorf("it said %q", line)
	}
	if cpu, err := p.cpu(); err != nil || cpu <= 0 || cpu > time.Minute {
		t.Errorf("CPU time %s, %v", cpu, err)
	}
	if rss, err := p.peakRSS(); err != nil || rss < 100<<10 {
		t.Errorf("peak memory %d, %v", rss, err)
	}
	if _, _, err := startProcess(t.Context(), "a failure", nil, "ready", "sh", "-c", "echo no room; exit 3"); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a program that fails: %v", err)
	}
}

func TestTheJournalIsFilledWithRealReadings(t *testing.T) {
	var out recovery
	if err := fillJournal(t.Context(), t.TempDir(), 5, 1<<20, &out); err != nil {
		t.Fatal(err)
	}
	if out.Readings < 1500 || out.PayloadBytes < 1<<20 || out.JournalBytes == 0 {
		t.Errorf("filled with %+v", out)
	}
	text, err := json.Marshal(readingOf(3, 9, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	var r protocol.Reading
	if err := json.Unmarshal(text, &r); err != nil || r.Serial != serialOf(3) || r.Seq != 10 || len(text) < 440 || len(text) > 600 {
		t.Errorf("a reading of %d bytes: %+v, %v", len(text), r, err)
	}
}
