package truth

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/kiosk/fault"
)

func TestAMalformedLineIsAnErrorWithItsNumber(t *testing.T) {
	const good = `{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"boot","boot":{"id":"0","version":"1"}}`
	tests := map[string]struct{ line, want string }{
		"no JSON":           {`{"time":`, "not an event"},
		"empty":             {``, "not an event"},
		"unknown field":     {`{"when":1}`, `unknown field "when"`},
		"two in a line":     {good + good, "there is more after it"},
		"unknown kind":      {`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"party"}`, `unknown kind "party"`},
		"no time":           {`{"serial":"K-1","event":"boot","boot":{"id":"0","version":"1"}}`, "no time or no serial"},
		"no serial":         {`{"time":"2026-03-02T06:00:00Z","event":"boot","boot":{"id":"0","version":"1"}}`, "no time or no serial"},
		"lacks its part":    {`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"session"}`, "session lacks its part"},
		"fault without":     {`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"fault_start","id":"a"}`, "fault_start lacks its part"},
		"bad parameter":     {`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"fault_start","id":"a","fault":"overheating","params":{"by":-1}}`, `by: "-1" is not a number`},
		"strange parameter": {`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"fault_start","id":"a","fault":"overheating","params":{"by":[]}}`, "by is neither"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "truth.jsonl")
			if err := os.WriteFile(path, []byte(good+"\n"+tt.line+"\n"+good+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			events, errs := 0, []string{}
			for _, err := range Read(path) {
				if err != nil {
					errs = append(errs, err.Error())
					continue
				}
				events++
			}
			if events != 2 || len(errs) != 1 || !strings.Contains(errs[0], path+":2: ") || !strings.Contains(errs[0], tt.want) {
				t.Errorf("%d events, %q, want %q", events, errs, tt.want)
			}
			if some, err := ReadAll(path); len(some) != 1 || err == nil {
				t.Errorf("%d events, %v", len(some), err)
			}
		})
	}
}

func TestAReaderMayStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	l := open(t, LogConfig{Path: path})
	for n := range 10 {
		l.Write(booted("K-1", n))
	}
	l.Close()
	seen := 0
	for range Read(path) {
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("%d", seen)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"fault_start","id":"a","fault":"drift","params":{"metric":"network.latency"}}`))
	f.Add([]byte(`{"event":"session","session":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := decode(line); err == nil && (e.Serial == "" || e.Time.IsZero()) {
			t.Errorf("%q became %+v", line, e)
		}
	})
}

func TestIntervals(t *testing.T) {
	at := func(minutes int) time.Time { return morning.Add(time.Duration(minutes) * time.Minute) }
	start := func(minutes int, serial, id string, kind fault.Kind) Event {
		return Event{Time: at(minutes), Serial: serial, Event: FaultStart, ID: id, Fault: kind}
	}
	end := func(minutes int, serial, id string, kind fault.Kind) Event {
		return Event{Time: at(minutes), Serial: serial, Event: FaultEnd, ID: id, Fault: kind}
	}
	got := Intervals([]Event{
		booted("K-1", 0),
		end(1, "K-9", "old", fault.Drift), // started before the log
		start(2, "K-2", "o", fault.SiteOutage),
		start(2, "K-1", "o", fault.SiteOutage), // the same outage, another kiosk
		start(3, "K-1", "a", fault.Crash),
		start(4, "K-1", "b", fault.Crash), // overlaps
		end(5, "K-1", "a", fault.Crash),
		start(6, "K-2", "o", fault.SiteOutage), // the spawner was started anew
		end(7, "K-1", "o", fault.SiteOutage),
		start(8, "K-1", "a", fault.Crash), // again
		start(9, "K-3", "d", fault.Drift),
		end(10, "K-3", "d", fault.Drift),  // with the spawner
		start(9, "K-3", "d", fault.Drift), // and the next one finds that it has gone on
		end(12, "K-3", "d", fault.Drift),
	})
	want := []Interval{
		{Serial: "K-1", Fault: fault.Crash, ID: "a", From: at(3), To: at(5)},
		{Serial: "K-1", Fault: fault.Crash, ID: "b", From: at(4)},
		{Serial: "K-1", Fault: fault.Crash, ID: "a", From: at(8)},
		{Serial: "K-1", Fault: fault.SiteOutage, ID: "o", From: at(2), To: at(7)},
		{Serial: "K-2", Fault: fault.SiteOutage, ID: "o", From: at(2)},
		{Serial: "K-3", Fault: fault.Drift, ID: "d", From: at(9), To: at(12)},
		{Serial: "K-9", Fault: fault.Drift, ID: "old", To: at(1)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if i := want[0]; i.Contains(at(2)) || !i.Contains(at(3)) || i.Contains(at(5)) || !want[1].Contains(at(1000)) || !want[6].Contains(at(-100)) {
		t.Error("Contains")
	}
	if Intervals(nil) != nil {
		t.Error("no events have intervals")
	}
}
