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

// planned leaves out what wear brings about, which is part of every device.
func planned(events []truth.Event) []truth.Event {
	return slices.DeleteFunc(events, func(e truth.Event) bool { return strings.Contains(e.ID, "/wear/") })
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
	rates, err := fault.Profile(fault.ProfileChaotic)
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
				cfg.Interval, cfg.Format, cfg.Fate = 5*time.Minute, format, Chance(7, rates)
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
			cfg.Interval, cfg.Seed = 10*time.Minute, seed
			m := written(t, cfg)
			texts = append(texts, filesOf(t, cfg.Dir)[m.Kiosks[0].Name])
		}
		if texts[0] == texts[1] {
			t.Error("two seeds give the same readings")
		}
	})
}

func TestTheTruthIsInOrder(t *testing.T) {
	rates, err := fault.Profile(fault.ProfileChaotic)
	if err != nil {
		t.Fatal(err)
	}
	cfg := configOf(t, 5, 3)
	cfg.Interval, cfg.Fate = 10*time.Minute, Chance(3, rates)
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
	cfg.Interval, cfg.Compress = 10*time.Minute, Plain
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
	cfg.Interval = time.Hour
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
			cfg.Interval = time.Hour
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
