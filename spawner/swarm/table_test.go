package swarm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/latency"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func busyView() *view {
	v := &view{
		first: 7501, kiosks: 7500, up: 83*time.Minute + 7*time.Second,
		simulated: time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC), phase: "morning rush",
		rates:   rates{1503.42, 1499.96, 3.5},
		publish: latency.Summary{Count: 15_000, P50: 3.14, P99: 48.71}, answers: latency.Summary{Count: 400, P99: 2612.9},
		totals: Totals{
			Enrolled: 7500, Connected: 7312, Started: 7500,
			Readings: Readings{Waiting: 18234, Dropped: 12},
			Commands: Commands{Received: 412, Executed: 400, Rejected: 7, Failed: 5},
			Errors:   []ErrorCount{{"kiosk_gave_up", 0}, {"connection_lost", 188}, {"connection_unreachable", 913}, {"connection_refused", 2}},
		},
	}
	for i, name := range []string{"Buenos Aires EZE", "Madrid Atocha", "São Paulo GRU", "東京駅八重洲口", "A site whose name is longer than any column would like it to be", "Lisbon\x1b[31m LIS"} {
		v.sites = append(v.sites, SiteTotals{name, 900, 900, 0})
		if i == 2 {
			v.sites[i].Connected, v.sites[i].Faults = 712, 20
		}
	}
	for i := range 30 {
		v.sites = append(v.sites, SiteTotals{fmt.Sprintf("Site %02d", i), 70, 70, int64(i % 2)})
	}
	return v
}

func text(lines []line) string {
	marks := map[style]string{plain: " ", bold: "*", warning: "!"}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(marks[l.style]+" "+l.text, " ") + "\n")
	}
	return b.String()
}

func TestTheTable(t *testing.T) {
	calm := &view{
		first: 1, kiosks: 10, up: 12 * time.Second, totals: Totals{Enrolled: 10, Connected: 10, Started: 10},
		sites: []SiteTotals{{"Buenos Aires EZE", 4, 4, 0}, {"Madrid Atocha", 3, 3, 0}, {"Lisbon LIS", 3, 3, 0}},
	}
	processes := &view{first: 1, kiosks: 10, processes: true, totals: Totals{Started: 10, Running: 9, Errors: []ErrorCount{{"kiosk_gave_up", 1}}}}
	for _, columns := range []int{60, 80, 120} {
		var b strings.Builder
		for _, v := range []*view{busyView(), calm, processes} {
			lines := v.lines(columns, 50)
			if len(lines) > maxTableLines {
				t.Errorf("%d lines", len(lines))
			}
			b.WriteString(text(lines) + "\n")
		}
		golden(t, fmt.Sprintf("table-%d.txt", columns), b.String())
	}
}

func TestTheTableFitsEveryTerminal(t *testing.T) {
	v := busyView()
	for columns := 1; columns < 150; columns++ {
		for _, height := range []int{1, 2, 8, 12, 15, 24, 100} {
			lines := v.lines(columns, height)
			if len(lines) == 0 || len(lines) > max(height-1, 1) {
				t.Fatalf("%d×%d: %d lines", columns, height, len(lines))
			}
			for _, l := range lines {
				if textWidth(l.text) > max(columns, minTableWidth) || strings.ContainsAny(l.text, "\x1b\n\r") {
					t.Fatalf("%d×%d: %q", columns, height, l.text)
				}
			}
		}
	}
}

// terminal is enough of one to follow a screen: it knows the sequences that a Screen writes.
type terminal struct {
	columns int

	mu   sync.Mutex // guards the rest
	rows []string
	row  int
}

func (s *terminal) shown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

func (s *terminal) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := string(b)
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, clearBelow):
			s.rows = append(s.rows[:s.row], "")
			rest = rest[len(clearBelow):]
		case strings.HasPrefix(rest, "\x1b["):
			end := strings.IndexFunc(rest[2:], func(r rune) bool { return r >= 'A' }) + 2
			var n int
			if _, err := fmt.Sscanf(rest[2:end+1], "%dA", &n); err == nil {
				s.row -= n
			}
			rest = rest[end+1:]
		case strings.HasPrefix(rest, "\r\n"), rest[0] == '\n':
			s.row++
			s.rows = append(s.rows, "")
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, "\r"), "\n")
		default:
			s.rows[s.row] += rest[:1]
			rest = rest[1:]
		}
	}
	return len(b), nil
}

// narrow breaks the lines as a terminal does that becomes narrower.
func (s *terminal) narrow(columns int) {
	var rows []string
	for _, r := range s.rows {
		for len(r) > columns {
			rows = append(rows, r[:columns])
			r = r[columns:]
		}
		rows = append(rows, r)
	}
	s.columns, s.rows, s.row = columns, rows, len(rows)-1
}

func TestTheBlockStaysBelowTheLog(t *testing.T) {
	out := &terminal{columns: 80, rows: []string{""}}
	s := &Screen{out: out, size: func() (int, int) { return out.columns, 24 }, colour: true}
	check := func(want ...string) {
		t.Helper()
		if strings.Join(out.rows, "|") != strings.Join(want, "|") {
			t.Errorf("the terminal shows\n%q, want\n%q", out.rows, want)
		}
	}
	_, _ = fmt.Fprint(s, "one\n")
	s.show([]line{{"a", bold}, {"b", plain}, {"c", warning}})
	check("one", "a", "b", "c")
	_, _ = fmt.Fprint(s, "two\nthree\n")
	check("one", "two", "three", "a", "b", "c")
	s.show([]line{{"d", plain}})
	check("one", "two", "three", "d")
	s.show([]line{{"12345678", bold}, {"123456", plain}})
	check("one", "two", "three", "12345678", "123456")
	out.narrow(5)
	check("one", "two", "three", "12345", "678", "12345", "6")
	s.show([]line{{"e", plain}, {"f", plain}})
	check("one", "two", "three", "e", "f")
	s.Clear()
	check("one", "two", "three", "")
	_, _ = fmt.Fprint(s, "four\n")
	check("one", "two", "three", "four", "")
}

func TestColours(t *testing.T) {
	var b bytes.Buffer
	for _, colour := range []bool{true, false} {
		b.Reset()
		s := &Screen{out: &b, size: func() (int, int) { return 80, 24 }, colour: colour}
		s.show([]line{{"a", bold}, {"b", plain}, {"c", warning}})
		want := map[bool]string{true: "\x1b[1ma\x1b[0m\r\nb\r\n\x1b[33mc\x1b[0m", false: "a\r\nb\r\nc"}[colour]
		if b.String() != want {
			t.Errorf("colour %v: %q, want %q", colour, b.String(), want)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if NewScreen(os.Stderr).colour {
		t.Error("NO_COLOR makes no difference")
	}
}
