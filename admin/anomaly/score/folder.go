package score

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadFolder reads every .csv file in dir and the folders below it, in order of their names, without labels.
//
// A file has the columns timestamp and value; a first line that names them is optional, and more columns are
// passed over. Times are "2006-01-02 15:04:05" in UTC or RFC 3339. Windows line ends, a byte order mark and
// empty lines do no harm.
//
// Errors: of the file system; one that names file and line for a row that cannot be read; one if there is no
// .csv file at all.
func ReadFolder(dir string) ([]Series, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("read data folder: %w", err)
	}
	var all []Series
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !strings.EqualFold(filepath.Ext(path), ".csv") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		s, err := ReadSeries(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s.Name = filepath.ToSlash(name)
		all = append(all, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read data folder: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read data folder: no .csv file in %s: give the folder that holds <category>/<file>.csv", dir)
	}
	return all, nil
}

// ReadSeries reads one file; see ReadFolder. The series is named after the file, without its folder.
func ReadSeries(path string) (Series, error) {
	f, err := os.Open(path)
	if err != nil {
		return Series{}, err
	}
	defer f.Close()
	s, line, err := readSeries(f)
	if err != nil {
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			line, err = syntax.Line, syntax.Err
		}
		return Series{}, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	s.Name = filepath.Base(path)
	return s, nil
}

// readSeries reads rows; an error comes with the number of its line.
func readSeries(r io.Reader) (s Series, line int, err error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3) // they have just been peeked at
	}
	rows := csv.NewReader(in)
	rows.FieldsPerRecord = -1
	columns := header{timestamp: 0, value: 1}
	for first := true; ; first = false {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, 0, err
		}
		line, _ = rows.FieldPos(0)
		if first && isHeader(row) {
			if columns, err = headerOf(row); err != nil {
				return s, line, err
			}
			continue
		}
		if err := s.add(row, columns); err != nil {
			return s, line, err
		}
	}
	if len(s.Points) == 0 {
		return s, line, errors.New("no rows of timestamp,value")
	}
	return s, line, nil
}

// header says in which columns timestamp and value are.
type header struct{ timestamp, value int }

// isHeader reports whether none of a row's fields begins as a time or a number does.
func isHeader(row []string) bool {
	return !slices.ContainsFunc(row, func(field string) bool {
		return field != "" && strings.ContainsRune("0123456789+-.", rune(field[0]))
	})
}

func headerOf(row []string) (header, error) {
	find := func(name string) int {
		return slices.IndexFunc(row, func(field string) bool { return strings.EqualFold(strings.TrimSpace(field), name) })
	}
	h := header{find("timestamp"), find("value")}
	if h.timestamp < 0 || h.value < 0 {
		return h, fmt.Errorf("columns %q: one must be called timestamp and one value", strings.Join(row, ","))
	}
	return h, nil
}

func (s *Series) add(row []string, h header) error {
	if len(row) <= max(h.timestamp, h.value) {
		return fmt.Errorf("%q: a row needs a timestamp and a value", strings.Join(row, ","))
	}
	stamp, text := row[h.timestamp], row[h.value]
	at, err := parseTime(strings.TrimSpace(stamp))
	if err != nil {
		return err
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("value %q: not a finite number", text)
	}
	s.Points = append(s.Points, Point{At: at, Value: x})
	s.stamps, s.values = append(s.stamps, stamp), append(s.values, text)
	return nil
}

// stampLayout is how the benchmark writes times; fractions of seconds are read as well.
const stampLayout = "2006-01-02 15:04:05"

func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(stampLayout, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("timestamp %q: neither %q in UTC nor RFC 3339", text, "2006-01-02 15:04:05")
	}
	return t.UTC(), nil
}

// Labels are the windows of many series, by name.
type Labels map[string][]Window

// ReadLabels reads a file as the benchmark's combined_windows.json: for each series a list of pairs of times,
// first and last of a window.
//
// Errors: of the file system; one that names file and series for windows that cannot be read, end before
// they begin or overlap.
func ReadLabels(path string) (Labels, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	var pairs map[string][][]string
	if err := json.Unmarshal(content, &pairs); err != nil {
		return nil, fmt.Errorf("read labels: %s: %w", path, err)
	}
	labels := make(Labels, len(pairs))
	for name, list := range pairs {
		windows, err := windowsOf(list)
		if err != nil {
			return nil, fmt.Errorf("read labels: %s: %s: %w", path, name, err)
		}
		labels[name] = windows
	}
	return labels, nil
}

func windowsOf(pairs [][]string) ([]Window, error) {
	var windows []Window
	for _, pair := range pairs {
		if len(pair) != 2 {
			return nil, fmt.Errorf("a window is a pair of times, not %d of them", len(pair))
		}
		from, err := parseTime(pair[0])
		if err != nil {
			return nil, err
		}
		to, err := parseTime(pair[1])
		if err != nil {
			return nil, err
		}
		if to.Before(from) {
			return nil, fmt.Errorf("the window from %s ends before it begins", pair[0])
		}
		windows = append(windows, Window{From: from, To: to})
	}
	windows = sorted(windows)
	for i := 1; i < len(windows); i++ {
		if !windows[i].From.After(windows[i-1].To) {
			return nil, fmt.Errorf("the windows from %s and from %s overlap",
				windows[i-1].From.Format(stampLayout), windows[i].From.Format(stampLayout))
		}
	}
	return windows, nil
}

// Label gives each series its windows and returns the names of series that the labels do not know, and of
// labels whose series are not there, both in order. A series without labels has no windows.
func (l Labels) Label(series []Series) (unlabelled, missing []string) {
	left := make(map[string]bool, len(l))
	for name := range l {
		left[name] = true
	}
	for i := range series {
		windows, ok := l[series[i].Name]
		if !ok {
			unlabelled = append(unlabelled, series[i].Name)
		}
		delete(left, series[i].Name)
		series[i].Windows = windows
	}
	for name := range left {
		missing = append(missing, name)
	}
	slices.Sort(unlabelled)
	slices.Sort(missing)
	return unlabelled, missing
}
