package swarm

import (
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
)

// fate gives the first kiosk a fault of each layer, the second a crash.
func fate(begin time.Time) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
	return func(k roster.Kiosk) (*fault.Plan, []device.Condition) {
		on := map[string][]fault.Kind{
			"SIM-KIOSK-001": {fault.CommandIgnored, fault.FanFailure, fault.SlowNetwork},
			"SIM-KIOSK-002": {fault.Crash},
		}
		var faults []fault.Fault
		for _, kind := range on[k.Serial] {
			params, err := fault.Complete(kind, nil)
			if err != nil {
				panic(err)
			}
			switch kind {
			case fault.CommandIgnored:
				params["command"] = "block"
			case fault.SlowNetwork:
				params["delay"] = fault.Duration(10 * time.Millisecond)
			}
			faults = append(faults, fault.Fault{Kind: kind, Params: params, From: begin, To: begin.Add(time.Hour)})
		}
		return fault.NewPlan(0, k.Serial, k.Site, faults, nil), nil
	}
}

// known are the events about planned faults, commands and boots of one kiosk.
func known(events []truth.Event, serial string) (faults, commands, boots []truth.Event) {
	for _, e := range events {
		switch {
		case e.Serial != serial:
		case e.Event == truth.Boot:
			boots = append(boots, e)
		case e.Event == truth.Command:
			commands = append(commands, e)
		case e.Fault != "" && len(e.ID) > len(serial) && e.ID[:len(serial)+1] == serial+"/":
			faults = append(faults, e)
		}
	}
	return faults, commands, boots
}

func TestASwarmWritesDownWhatReallyHappens(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "truth.jsonl")
	begin := time.Now().Add(-time.Minute)
	run := func(do func(cfg Config)) []truth.Event {
		t.Helper()
		record, err := truth.Open(truth.LogConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		cfg := w.config(3, dir)
		for i := range cfg.Kiosks {
			cfg.Kiosks[i].Site = []string{"A", "B", "A"}[i]
		}
		cfg.Fate, cfg.Truth = fate(begin), record.Write
		stop := run(t, cfg)
		eventually(t, "two connected and the third down", func() bool {
			return cfg.Counters.Totals().Connected == 2 && len(w.hub.Messages("SIM-KIOSK-001", protocol.ChannelTelemetry)) > 0
		})
		do(cfg)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if a, b := cfg.Counters.Site("A").Faults.Load(), cfg.Counters.Site("B").Faults.Load(); a != 0 || b != 0 {
			t.Errorf("after the end %d and %d faults are on", a, b)
		}
		if err := record.Close(); err != nil {
			t.Fatal(err)
		}
		events, err := truth.ReadAll(path)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	var paper float64
	events := run(func(cfg Config) {
		a, b := cfg.Counters.Site("A"), cfg.Counters.Site("B")
		// Customers and wear may bring about more of them.
		eventually(t, "faults by site", func() bool { return a.Faults.Load() >= 3 && b.Faults.Load() >= 1 })
		for id, name := range map[string]string{"c-1": "block", "c-2": "ping"} {
			text, _ := json.Marshal(protocol.Command{ID: id, Name: protocol.CommandName(name)})
			w.hub.Send("SIM-KIOSK-001", protocol.ChannelCmd, text)
		}
		eventually(t, "both answers", func() bool {
			return cfg.Counters.Totals().Commands.Executed == 1 && cfg.Counters.Totals().Commands.Pretended == 1
		})
		var last protocol.Reading
		w.last("SIM-KIOSK-003", protocol.ChannelTelemetry, &last)
		paper, _ = last.Custom["paper_level"].(float64)
	})
	faults, commands, boots := known(events, "SIM-KIOSK-001")
	if len(faults) != 6 || len(boots) != 1 || len(commands) != 2 {
		t.Errorf("%d starts and ends of faults, %d boots, %d commands", len(faults), len(boots), len(commands))
	}
	for _, e := range commands {
		if e.Command.Executed != (e.Command.ID == "c-2") || e.Command.Status != "succeeded" {
			t.Errorf("%+v", e.Command)
		}
	}
	var join protocol.Join
	if !w.last("SIM-KIOSK-001", protocol.ChannelJoin, &join) || boots[0].Boot.ID != join.BootID || boots[0].Boot.Version != join.AgentVersion {
		t.Errorf("%+v, it joined with %+v", boots[0].Boot, join)
	}
	faults, _, boots = known(events, "SIM-KIOSK-002")
	if len(faults) != 2 || len(boots) != 0 {
		t.Errorf("of a kiosk that is down all the time: %d events about faults, %d boots", len(faults), len(boots))
	}

	// Another process: what is still on is one interval with what was, and the kiosk is as it was.
	events = run(func(Config) {
		var now protocol.Reading
		if w.last("SIM-KIOSK-003", protocol.ChannelTelemetry, &now); now.Custom["paper_level"] == nil {
			t.Errorf("%+v", now)
		}
		if level, _ := now.Custom["paper_level"].(float64); level > paper || level < paper-5 {
			t.Errorf("paper went from %v to %v", paper, level)
		}
	})
	intervals := truth.Intervals(events)
	for _, kind := range []fault.Kind{fault.CommandIgnored, fault.FanFailure, fault.SlowNetwork, fault.Crash} {
		var of []truth.Interval
		for _, i := range intervals {
			if i.Fault == kind && i.Serial <= "SIM-KIOSK-002" {
				of = append(of, i)
			}
		}
		if len(of) != 1 || of[0].From.Sub(begin).Abs() > time.Millisecond || !of[0].To.After(begin) {
			t.Errorf("%s: %+v", kind, of)
		}
	}
	if _, _, boots := known(events, "SIM-KIOSK-001"); len(boots) != 2 || boots[0].Boot.ID == boots[1].Boot.ID {
		t.Errorf("%d boots of two processes", len(boots))
	}
}

// TestASwarmTellsOfCustomers: six hours within a moment.
func TestASwarmTellsOfCustomers(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(2, t.TempDir())
	const span = 6 * time.Hour
	began := time.Now().Add(-span)
	cfg.Interval, cfg.Clock = time.Minute, clock.NewCatchUp(span, 20_000)
	cfg.Fate = func(roster.Kiosk) (*fault.Plan, []device.Condition) {
		return nil, []device.Condition{{From: began, Demand: 20}} // also at night
	}
	var mu sync.Mutex // guards sessions
	sessions := map[string]int{}
	cfg.Truth = func(e truth.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Event != truth.Session {
			return
		}
		sessions[e.Serial]++
		if e.Session.Ended.Before(began) || e.Session.Ended.After(time.Now()) || e.Time.Before(e.Session.Arrived) || e.Time.After(e.Session.Ended) || e.Time.Location() != time.UTC {
			t.Errorf("%s: %+v", e.Time, e.Session)
		}
	}
	stop := run(t, cfg)
	eventually(t, "customers", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return sessions["SIM-KIOSK-001"] > 10 && sessions["SIM-KIOSK-002"] > 10
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}
