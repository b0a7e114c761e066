package truth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/kiosk/fault"
)

var morning = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func booted(serial string, n int) Event {
	return Event{Time: morning.Add(time.Duration(n) * time.Second), Serial: serial, Event: Boot, Boot: &BootEvent{ID: fmt.Sprint(n), Version: "1.0.0"}}
}

func open(t *testing.T, cfg LogConfig) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	params, err := fault.Complete(fault.RebootLoop, map[string]string{"every": "90s"})
	if err != nil {
		t.Fatal(err)
	}
	jam, err := fault.Complete(fault.Drift, map[string]string{"per_hour": "-0.25"})
	if err != nil {
		t.Fatal(err)
	}
	events := []Event{
		booted("K-1", 1),
		{Time: morning, Serial: "K-1", Event: FaultStart, ID: "a", Fault: fault.RebootLoop, Params: params},
		{Time: morning, Serial: "K-2", Event: FaultStart, ID: "b", Fault: fault.Drift, Params: jam},
		{Time: morning, Serial: "K-2", Event: FaultStart, ID: "c", Fault: "worn_out", Params: fault.Params{"how": "badly"}},
		{Time: morning.Add(time.Minute), Serial: "K-1", Event: FaultEnd, ID: "a", Fault: fault.RebootLoop},
		{Time: morning, Serial: "K-1", Event: Session, Session: &CustomerSession{Arrived: morning, Ended: morning.Add(time.Minute), Outcome: Served, Paid: "card", Printed: 2}},
		{Time: morning, Serial: "K-1", Event: Command, Command: &CommandEvent{ID: "7", Name: "update", Params: json.RawMessage("{\"version\":\n\"2\"}"), Status: "succeeded", Executed: true}},
	}
	path := filepath.Join(t.TempDir(), "new", "truth.jsonl")
	l := open(t, LogConfig{Path: path})
	for _, e := range events {
		l.Write(e)
	}
	if err := l.Close(); err != nil || l.Lost() != 0 || l.Close() != nil {
		t.Fatalf("%v, %d lost", err, l.Lost())
	}
	got, err := ReadAll(path)
	events[6].Command.Params = json.RawMessage(`{"version":"2"}`) // one line
	if err != nil || !reflect.DeepEqual(got, events) {
		t.Errorf("%+v, %v, want\n%+v", got, err, events)
	}
	if d := got[1].Params.Duration("every"); d != 90*time.Second {
		t.Errorf("every is %v", d)
	}
}

func TestManyWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	l := open(t, LogConfig{Path: path})
	const writers, each = 20, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				l.Write(booted(fmt.Sprintf("K-%d", w), n))
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	events, err := ReadAll(path)
	if err != nil || len(events) != writers*each {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for _, e := range events {
		if e.Boot.ID != fmt.Sprint(next[e.Serial]) {
			t.Fatalf("%s: %s, want %d", e.Serial, e.Boot.ID, next[e.Serial])
		}
		next[e.Serial]++
	}
}

func TestEventsAreWrittenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "truth.jsonl")
		l := open(t, LogConfig{Path: path})
		for n := range 3 {
			l.Write(booted("K-1", n))
			if got, err := ReadAll(path); err != nil || len(got) != n {
				t.Fatalf("at once: %d events, %v", len(got), err)
			}
			time.Sleep(time.Second) // of the bubble
			synctest.Wait()
			if got, err := ReadAll(path); err != nil || len(got) != n+1 {
				t.Fatalf("after a second: %d events, %v", len(got), err)
			}
		}
	})
}

func TestTheFileIsBounded(t *testing.T) {
	const limit = 8 << 10
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	l := open(t, LogConfig{Path: path, MaxBytes: limit})
	const n = 1000
	for i := range n {
		l.Write(booted("K-1", i))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > limit || info.Size() < limit/10 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 2 {
		t.Errorf("files: %v", files)
	}
	events, err := ReadAll(path)
	if err != nil || len(events) < 50 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events { // the last ones, none missing between the two files
		if want := fmt.Sprint(n - len(events) + i); e.Boot.ID != want {
			t.Fatalf("event %d is %s, want %s", i, e.Boot.ID, want)
		}
	}
}

func TestATornLineIsRemoved(t *testing.T) {
	line := `{"time":"2026-03-02T06:00:00Z","serial":"K-1","event":"boot","boot":{"id":"0","version":"1"}}` + "\n"
	long := strings.Repeat("x", 200_000)
	for name, tt := range map[string]struct {
		text string
		kept int
	}{
		"empty": {"", 0}, "whole": {line + line, 2}, "torn": {line + line[:40], 1}, "only torn": {line[:40], 0},
		"torn before its end of line": {line + line[:len(line)-1], 1}, "zeros": {line + "\x00\x00\x00", 1},
		"long and torn": {line + line + long, 2}, "long": {long, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "truth.jsonl")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, LogConfig{Path: path})
			l.Write(booted("K-2", 1))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			events, err := ReadAll(path)
			if err != nil || len(events) != tt.kept+1 || events[tt.kept].Serial != "K-2" {
				t.Errorf("%v, %v", events, err)
			}
		})
	}
}

func TestAFullDiskIsToldOnceAndStopsNobody(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "truth.jsonl")
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Fatal(err)
		}
		var logged bytes.Buffer
		l := open(t, LogConfig{Path: path, Log: slog.New(slog.NewTextHandler(&logged, nil))})
		l.Write(booted("K-1", 0))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || !strings.Contains(logged.String(), path) {
			t.Errorf("told %d times:\n%s", n, logged.String())
		}
		// There is space again: what waited is written.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		l.Write(booted("K-1", 1))
		time.Sleep(time.Second)
		synctest.Wait()
		if events, err := ReadAll(path); err != nil || len(events) != 2 || l.Lost() != 0 {
			t.Errorf("%v, %v, %d lost", events, err, l.Lost())
		}
	})
}

func TestWhatWaitsIsBoundedAndCounted(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	l := open(t, LogConfig{Path: path, MaxBytes: 8 << 10})
	const n = 500
	for i := range n {
		l.Write(booted("K-1", i))
	}
	waiting := n - l.Lost()
	if waiting < 10 || waiting > 100 {
		t.Errorf("%d events wait in 4 KiB", waiting)
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "500 events are lost") {
		t.Errorf("error = %v", err)
	}
	l.Write(booted("K-1", n))
	if l.Lost() != n+1 {
		t.Errorf("%d are lost", l.Lost())
	}
}

func TestAnEventThatCannotBeEncodedIsCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	l := open(t, LogConfig{Path: path})
	l.Write(Event{Time: morning, Serial: "K-1", Event: FaultStart, ID: "a", Fault: fault.Drift, Params: fault.Params{"per_hour": math.NaN()}})
	l.Write(booted("K-1", 1))
	if err := l.Close(); err == nil || l.Lost() != 1 {
		t.Errorf("%v, %d lost", err, l.Lost())
	}
	if events, err := ReadAll(path); err != nil || len(events) != 1 {
		t.Errorf("%v, %v", events, err)
	}
}

func TestAPathThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "is a folder", filepath.Join(file, "truth.jsonl"): "not a directory"} {
		if _, err := Open(LogConfig{Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ReadAll(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}
