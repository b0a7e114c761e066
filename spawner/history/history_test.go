package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
)

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// at is a time of the history's first day.
func at(hour, minute int) time.Time {
	return begin.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

func configOf(t *testing.T, kiosks, days int) Config {
	t.Helper()
	return Config{Dir: filepath.Join(t.TempDir(), "history"), Kiosks: roster.Plan(nil, "SIM-KIOSK-", kiosks), Start: begin, Days: days, Seed: 7}
}

// written writes a history and opens it again.
func written(t *testing.T, cfg Config) *Manifest {
	t.Helper()
	if _, err := Write(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	m, err := Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// befalls gives every kiosk the same faults.
func befalls(t *testing.T, faults ...fault.Fault) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
	t.Helper()
	for i := range faults {
		params := map[string]string{}
		for name, value := range faults[i].Params {
			params[name] = fmt.Sprint(value)
		}
		var err error
		if faults[i].Params, err = fault.Complete(faults[i].Kind, params); err != nil {
			t.Fatal(err)
		}
	}
	return func(k roster.Kiosk) (*fault.Plan, []device.Condition) {
		return fault.NewPlan(1, k.Serial, k.Site, faults, nil), nil
	}
}

// content returns a file of the history, without its compression.
func content(t *testing.T, dir, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".zst") {
		d, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r = d
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decodeLines[T any](t *testing.T, text []byte) (out []T) {
	t.Helper()
	s := bufio.NewScanner(bytes.NewReader(text))
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func readingsOf(t *testing.T, dir string, f KioskFile) []protocol.Reading {
	t.Helper()
	return decodeLines[protocol.Reading](t, content(t, dir, f.Name))
}

func truthOf(t *testing.T, dir string, kinds ...truth.Kind) (out []truth.Event) {
	t.Helper()
	for _, e := range decodeLines[truth.Event](t, content(t, dir, truthFile)) {
		if slices.Contains(kinds, e.Event) {
			out = append(out, e)
		}
	}
	return out
}

// filesOf returns all files of a folder by name.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(text)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func TestTheSameArgumentsGiveTheSameBytes(t *testing.T) {
	rates, err := Rates(ChaoticFaults)
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, format := range []string{JSONLines, CSV} {
		t.Run(format, func(t *testing.T) {
			var first map[string]string
			for _, cores := range []int{1, 4} {
				runtime.GOMAXPROCS(cores)
				cfg := configOf(t, 6, 2)
				cfg.Format, cfg.Fate = format, Chance(7, rates)
				written(t, cfg)
				files := filesOf(t, cfg.Dir)
				if first == nil {
					first = files
					continue
				}
				if len(files) != 8 || len(first) != 8 {
					t.Errorf("%d and %d files, want a list, the truth and 6 kiosks", len(first), len(files))
				}
				for name, text := range files {
					if first[name] != text {
						t.Errorf("%s differs", name)
					}
				}
			}
		})
	}
	t.Run("another seed", func(t *testing.T) {
		var texts []string
		for _, seed := range []uint64{7, 8} {
			cfg := configOf(t, 1, 1)
			cfg.Seed = seed
			m := written(t, cfg)
			texts = append(texts, filesOf(t, cfg.Dir)[m.Kiosks[0].Name])
		}
		if texts[0] == texts[1] {
			t.Error("two seeds give the same readings")
		}
	})
}

func TestAQuietKioskReportsEachInterval(t *testing.T) {
	cfg := configOf(t, 3, 2)
	m := written(t, cfg)
	if m.Readings != 3*2*1440 || len(m.Kiosks) != 3 || m.LeftOut != 0 {
		t.Errorf("%d readings of %d kiosks, %d left out", m.Readings, len(m.Kiosks), m.LeftOut)
	}
	starts := map[time.Time]bool{}
	for _, f := range m.Kiosks {
		readings := readingsOf(t, cfg.Dir, f)
		if int64(len(readings)) != f.Readings || f.Sessions != 1 {
			t.Fatalf("%d readings in %d sessions, the list says %d", len(readings), f.Sessions, f.Readings)
		}
		for i, r := range readings {
			want := readings[0].Timestamp.Add(time.Duration(i) * time.Minute)
			if r.Serial != f.Kiosk.Serial || r.Seq != uint64(i+1) || r.Session == "" || r.Session != readings[0].Session || r.Status != protocol.StateOnline || !r.Timestamp.Equal(want) {
				t.Fatalf("reading %d is %+v", i, r)
			}
		}
		first, last := readings[0].Timestamp, readings[len(readings)-1].Timestamp
		if !f.First.Equal(first) || !f.Last.Equal(last) || first.Before(begin) || !last.Before(begin.Add(48*time.Hour)) {
			t.Errorf("from %s to %s, the list says %s to %s", first, last, f.First, f.Last)
		}
		starts[first] = true
	}
	if len(starts) != 3 {
		t.Error("kiosks report in step")
	}
	if boots := truthOf(t, cfg.Dir, truth.Boot); len(boots) != 3 {
		t.Errorf("%d boots", len(boots))
	}
}

// gap returns the readings around a stretch of time, which must hold none.
func gap(t *testing.T, readings []protocol.Reading, from, to time.Time) (before, after protocol.Reading) {
	t.Helper()
	i := slices.IndexFunc(readings, func(r protocol.Reading) bool { return !r.Timestamp.Before(from) })
	if i < 1 {
		t.Fatalf("no readings around %s", from)
	}
	if at := readings[i].Timestamp; at.Before(to) {
		t.Fatalf("a reading at %s, between %s and %s", at, from, to)
	}
	return readings[i-1], readings[i]
}

func TestFaultsOfTheAgentLeaveWhatTheyDo(t *testing.T) {
	cfg := configOf(t, 1, 1)
	cfg.Fate = befalls(t,
		fault.Fault{Kind: fault.Crash, From: at(3, 0), To: at(3, 20)},
		fault.Fault{Kind: fault.RebootLoop, From: at(6, 0), To: at(6, 30), Params: fault.Params{"every": "9m", "down": "1m"}},
	)
	m := written(t, cfg)
	readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
	var starts, ends, boots []time.Time
	for _, e := range truthOf(t, cfg.Dir, truth.FaultStart, truth.FaultEnd, truth.Boot) {
		switch e.Event {
		case truth.FaultStart:
			starts = append(starts, e.Time)
		case truth.FaultEnd:
			ends = append(ends, e.Time)
		case truth.Boot:
			boots = append(boots, e.Time)
		}
	}
	if !slices.Equal(starts, []time.Time{at(3, 0), at(6, 0)}) || !slices.Equal(ends, []time.Time{at(3, 20), at(6, 30)}) {
		t.Errorf("the truth tells of faults from %v to %v", starts, ends)
	}
	if want := []time.Time{at(3, 20), at(6, 1), at(6, 11), at(6, 21)}; !slices.Equal(boots[1:], want) {
		t.Errorf("boots at %v, want %v", boots[1:], want)
	}
	for _, down := range [][2]time.Time{{at(3, 0), at(3, 20)}, {at(6, 0), at(6, 1)}, {at(6, 10), at(6, 11)}, {at(6, 20), at(6, 21)}} {
		before, after := gap(t, readings, down[0], down[1])
		if after.Session == before.Session || after.Seq != 1 || !after.Timestamp.Equal(down[1]) {
			t.Errorf("after the gap at %s comes %s number %d at %s, before it was %s", down[0], after.Session, after.Seq, after.Timestamp, before.Session)
		}
		if down[0].Sub(before.Timestamp) > time.Minute {
			t.Errorf("the last reading before %s is of %s", down[0], before.Timestamp)
		}
	}
	if m.Kiosks[0].Sessions != 5 {
		t.Errorf("%d sessions", m.Kiosks[0].Sessions)
	}
}

func TestAnOutageLosesNothing(t *testing.T) {
	cfg := configOf(t, 1, 1)
	cfg.Fate = befalls(t,
		fault.Fault{Kind: fault.SiteOutage, From: at(3, 0), To: at(4, 0)},
		fault.Fault{Kind: fault.Flapping, From: at(3, 30), To: at(4, 30), Params: fault.Params{"every": "10m"}},
	)
	m := written(t, cfg)
	readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
	if len(readings) < 1440 {
		t.Errorf("%d readings", len(readings))
	}
	var changes []time.Time
	for i := 1; i < len(readings); i++ {
		r, before := readings[i], readings[i-1]
		if step := r.Timestamp.Sub(before.Timestamp); step <= 0 || step > time.Minute {
			t.Errorf("%s follows %s", r.Timestamp, before.Timestamp)
		}
		if r.Session != before.Session {
			changes = append(changes, r.Timestamp)
		}
	}
	// The agent reports at once over each new connection; within the outage there is none.
	if want := []time.Time{at(4, 0), at(4, 10), at(4, 20)}; !slices.Equal(changes, want) {
		t.Errorf("new sessions at %v, want %v", changes, want)
	}
}

func TestFaultsThatChangeReadings(t *testing.T) {
	plain := configOf(t, 1, 1)
	m := written(t, plain)
	healthy := readingsOf(t, plain.Dir, m.Kiosks[0])

	t.Run("clock skew", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.ClockSkew, From: at(3, 0), To: at(4, 0), Params: fault.Params{"by": "10m"}},
			fault.Fault{Kind: fault.ClockSkew, From: at(5, 0), To: at(6, 0), Params: fault.Params{"by": "-10m"}})
		m := written(t, cfg)
		readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
		if len(readings) != len(healthy) {
			t.Fatalf("%d readings", len(readings))
		}
		for i, r := range readings {
			when := healthy[i].Timestamp
			want := when
			if !when.Before(at(3, 0)) && when.Before(at(4, 0)) {
				want = when.Add(10 * time.Minute)
			}
			if !when.Before(at(5, 0)) && when.Before(at(6, 0)) {
				want = when.Add(-10 * time.Minute)
			}
			if i > 0 && !want.After(readings[i-1].Timestamp) {
				want = readings[i-1].Timestamp.Add(time.Millisecond) // as outbox.Stamp does
			}
			if !r.Timestamp.Equal(want) {
				t.Fatalf("the reading of %s says %s, want %s", when, r.Timestamp, want)
			}
		}
	})
	t.Run("slow network", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.SlowNetwork, From: at(3, 0), To: at(4, 0), Params: fault.Params{"delay": "700ms", "bytes_per_second": 7000}})
		m := written(t, cfg)
		for i, r := range readingsOf(t, cfg.Dir, m.Kiosks[0]) {
			want := 0.0
			if !r.Timestamp.Before(at(3, 0)) && r.Timestamp.Before(at(4, 0)) {
				want = 1500
			}
			if more := r.Network["latency"].(float64) - healthy[i].Network["latency"].(float64); more < want-0.2 || more > want+0.2 {
				t.Fatalf("at %s the latency is %v ms more, want %v", r.Timestamp, more, want)
			}
		}
	})
	t.Run("refused readings", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.MalformedPayload, From: at(3, 0), To: at(4, 0), Params: fault.Params{"share": 0.5}},
			fault.Fault{Kind: fault.SerialMismatch, From: at(5, 0), To: at(6, 0)})
		m := written(t, cfg)
		f := m.Kiosks[0]
		readings := readingsOf(t, cfg.Dir, f)
		hours := map[int]int{}
		for _, r := range readings {
			hours[r.Timestamp.Hour()]++
			// Their numbers are used up: the platform sees that something is missing.
			if i := int(r.Seq) - 1; !healthy[i].Timestamp.Equal(r.Timestamp) {
				t.Fatalf("number %d is of %s", r.Seq, r.Timestamp)
			}
		}
		if hours[3] < 15 || hours[3] > 45 || hours[5] != 0 || hours[2] != 60 || hours[6] != 60 {
			t.Errorf("readings by hour: %v", hours)
		}
		if f.LeftOut != int64(1440-len(readings)) || m.LeftOut != f.LeftOut {
			t.Errorf("%d readings, %d left out", len(readings), f.LeftOut)
		}
	})
}

func TestTheTruthIsInOrder(t *testing.T) {
	rates, err := Rates(ChaoticFaults)
	if err != nil {
		t.Fatal(err)
	}
	cfg := configOf(t, 5, 3)
	cfg.Fate = Chance(3, rates)
	m := written(t, cfg)
	events := decodeLines[truth.Event](t, content(t, cfg.Dir, truthFile))
	if int64(len(events)) != m.Truth.Events || len(events) < 20 {
		t.Fatalf("%d events, the list says %d", len(events), m.Truth.Events)
	}
	open := map[string]bool{}
	for i, e := range events {
		if i > 0 {
			b := events[i-1]
			if c := b.Time.Compare(e.Time); c > 0 || c == 0 && (b.Serial > e.Serial || b.Serial == e.Serial && b.Event > e.Event) {
				t.Errorf("%+v comes after %+v", e, b)
			}
		}
		switch key := e.Serial + e.ID; e.Event {
		case truth.FaultStart:
			open[key] = true
		case truth.FaultEnd:
			if !open[key] {
				t.Errorf("%s of %s ends without a start", e.Fault, e.Serial)
			}
		}
	}
}

func TestATableHasAColumnPerMetric(t *testing.T) {
	cfg := configOf(t, 1, 1)
	cfg.Compress = Plain
	m := written(t, cfg)
	readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
	cfg.Dir, cfg.Format = filepath.Join(t.TempDir(), "table"), CSV
	m = written(t, cfg)
	if m.Kiosks[0].Name != "readings/SIM-KIOSK-001.csv" {
		t.Errorf("the file is %s", m.Kiosks[0].Name)
	}
	rows, err := csv.NewReader(bytes.NewReader(content(t, cfg.Dir, m.Kiosks[0].Name))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(readings)+1 || rows[0][0] != "timestamp" || rows[0][len(leading)] != "environmental.temperature" {
		t.Fatalf("%d rows, the first is %v", len(rows), rows[0])
	}
	for i, r := range readings {
		row := rows[i+1]
		values := valuesOf(&r)
		if row[0] != r.Timestamp.Format(time.RFC3339Nano) || row[1] != r.Session || row[2] != strconv.FormatUint(r.Seq, 10) || row[3] != "online" || len(row) != len(leading)+len(values) {
			t.Fatalf("row %d is %v", i+1, row)
		}
		for c, name := range rows[0][len(leading):] {
			if got := row[len(leading)+c]; got != text(values[name]) {
				t.Fatalf("row %d: %s is %s, want %v", i+1, name, got, values[name])
			}
		}
	}
	late := &protocol.Reading{Hardware: protocol.Group{"cpu_temp": 1.0}}
	table := formatOf(CSV)
	if _, err := table.line(late); err != nil {
		t.Fatal(err)
	}
	late.Hardware["fan_rpm"] = 2.0
	if _, err := table.line(late); err == nil || !strings.Contains(err.Error(), "hardware.fan_rpm") {
		t.Errorf("a metric that comes later: %v", err)
	}
}

func TestBadArgumentsAreNamed(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"days":     {func(c *Config) { c.Days = 0 }, "--days: 0 is not within 1 to 1000"},
		"interval": {func(c *Config) { c.Interval = time.Millisecond }, "--interval: 1ms is not within 1s to 24h"},
		"kiosks":   {func(c *Config) { c.Kiosks = nil }, "--kiosks: there is none"},
		"format":   {func(c *Config) { c.Format = "xml" }, `--format: "xml" is neither jsonl nor csv`},
		"compress": {func(c *Config) { c.Compress = "gzip" }, `--compress: "gzip" is neither zstd nor none`},
		"start":    {func(c *Config) { c.Start = time.Time{} }, "--start: the platform knows no readings of the year 1"},
		"no place": {func(c *Config) { c.Dir = "" }, "--out: name the folder"},
		"a file": {func(c *Config) {
			c.Dir = filepath.Join(c.Dir, "file")
			if err := errors.Join(os.MkdirAll(filepath.Dir(c.Dir), 0o755), os.WriteFile(c.Dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "--out: mkdir"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(t, 1, 1)
			tt.change(&cfg)
			if _, err := Write(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFolderInUseIsLeftAlone(t *testing.T) {
	cfg := configOf(t, 1, 1)
	written(t, cfg)
	before := filesOf(t, cfg.Dir)
	if _, err := Write(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Fatalf("error = %v", err)
	}
	if after := filesOf(t, cfg.Dir); len(after) != len(before) || after[manifestFile] != before[manifestFile] {
		t.Error("the refused run changed the folder")
	}
	own := filepath.Join(cfg.Dir, "thesis.txt")
	note := filepath.Join(cfg.Dir, "load-abc.json")
	if err := errors.Join(os.WriteFile(own, []byte("mine"), 0o600), os.WriteFile(note, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	cfg.Force, cfg.Kiosks = true, roster.Plan(nil, "OTHER-", 1)
	written(t, cfg)
	files := filesOf(t, cfg.Dir)
	if files["thesis.txt"] != "mine" || len(files) != 4 {
		t.Errorf("with force the folder holds %d files", len(files))
	}
}

func TestAnInterruptedHistoryLeavesNothing(t *testing.T) {
	cfg := configOf(t, 4, 300)
	cfg.Progress = &atomic.Int64{}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for cfg.Progress.Load() < 2000 {
			runtime.Gosched()
		}
		cancel()
	}()
	if _, err := Write(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v", err)
	}
	if files := filesOf(t, cfg.Dir); len(files) != 0 {
		t.Errorf("%d files are left", len(files))
	}
	if done := cfg.Progress.Load(); done > 4*300*1440/2 {
		t.Errorf("it went on until %d readings", done)
	}
	if _, err := Open(cfg.Dir); err == nil || !strings.Contains(err.Error(), "holds no whole history") {
		t.Errorf("Open: %v", err)
	}
	written(t, configAt(cfg.Dir, configOf(t, 1, 1))) // without force
}

func configAt(dir string, c Config) Config { c.Dir = dir; return c }

func TestADamagedHistoryIsNotOpened(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"a byte": {func(dir string) error {
			path := filepath.Join(dir, readingsDir, "SIM-KIOSK-001.jsonl.zst")
			text, err := os.ReadFile(path)
			if err == nil {
				text[len(text)/2] ^= 1
				err = os.WriteFile(path, text, 0o600)
			}
			return err
		}, "it was changed or is damaged"},
		"a missing file": {func(dir string) error { return os.Remove(filepath.Join(dir, truthFile)) }, "no such file"},
		"no list":        {func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) }, "holds no whole history"},
		"another version": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"version":2}`), 0o600)
		}, "is of version 2"},
		"a way out": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"version":1,"truth":{"name":"../truth"}}`), 0o600)
		}, "no file of the folder"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(t, 1, 1)
			written(t, cfg)
			if err := tt.damage(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(cfg.Dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}
