package score

import (
	"bufio"
	"encoding/csv"
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

// ReadFolder reads every .csv file in dir and the folders below it, in order of their names, without labels. What
// begins with a dot is passed over, and so is the folder besides, where results may lie that look like series; it may be
// empty. Of the benchmark's own folder, data is read; see DataFolder.
//
// A file has the columns timestamp and value; a first line that names them is optional, and more columns are
// passed over. Times are "2006-01-02 15:04:05" in UTC or RFC 3339. Windows line ends, a byte order mark and
// empty lines do no harm. Where there is no value (nothing, null, NaN, an infinite one), it is NaN in the series.
//
// Errors: of the file system; one that names file and line for a row that cannot be read; ErrPassedOver for a .csv file
// that no detector wrote in the folder besides; one if there is no .csv file at all.
func ReadFolder(dir, besides string) ([]Series, error) {
	root := DataFolder(dir)
	skip, _ := os.Stat(besides) // nothing to pass over if it is not there
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("read data folder: %w", err)
	}
	var all []Series
	err = walk([]folder{{root, info}}, skip, func(path string) error {
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

// walk calls each with the .csv files of the last of these folders, of which each is in the one before, and of those below
// it, besides one. Links are followed, but not into a folder that they are in. One that leads nowhere is passed over; only if
// it should be a series, that is an error.
func walk(folders []folder, besides fs.FileInfo, each func(path string) error) error {
	dir := folders[len(folders)-1].path
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil && e.Type()&fs.ModeSymlink != 0:
			if !isSeries(path) {
				continue
			}
			err = fmt.Errorf("%w: a link that leads nowhere: remove it, or put back what it leads to", err)
		case err != nil:
		case info.IsDir():
			if os.SameFile(info, besides) {
				err = onlyResults(folder{path, info})
			} else {
				err = enter(folders, folder{path, info}, besides, each)
			}
		case info.Mode().IsRegular() && isSeries(path):
			err = each(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// folder is one that is read.
type folder struct {
	path string
	info fs.FileInfo
}

// enter walks a folder in the last of these, unless it is one of them.
func enter(folders []folder, next folder, besides fs.FileInfo, each func(path string) error) error {
	if slices.ContainsFunc(folders, func(f folder) bool { return os.SameFile(f.info, next.info) }) {
		return nil
	}
	return walk(append(slices.Clip(folders), next), besides, each)
}

func isSeries(path string) bool { return strings.EqualFold(filepath.Ext(path), ".csv") }

// ErrPassedOver is returned for a series in the folder that is passed over.
var ErrPassedOver = errors.New("the series would not be read, since results go into a folder that it is in: give another folder for them")

// onlyResults returns ErrPassedOver for a .csv file in a folder or below that no detector wrote: it lacks their column.
func onlyResults(dir folder) error {
	return walk([]folder{dir}, nil, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if columnOf(strings.Split(line, ","), scoreColumn) < 0 {
			return fmt.Errorf("%s: %w", path, ErrPassedOver)
		}
		return nil
	})
}

// DataFolder returns the folder that ReadFolder reads: data in one that holds the folders data and labels, as the benchmark
// has them, else dir itself.
func DataFolder(dir string) string {
	data := filepath.Join(dir, "data")
	if isFolder(data) && isFolder(filepath.Join(dir, "labels")) {
		return data
	}
	return dir
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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

const byteOrderMark = "\ufeff"

// readSeries reads rows; an error comes with the number of its line.
func readSeries(r io.Reader) (s Series, line int, err error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = in.Discard(len(mark)) // they have just been peeked at
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
		if err := s.add(row, columns, line); err != nil {
			return s, line, err
		}
	}
	return s, line, nil
}

// header says in which columns timestamp and value are.
type header struct{ timestamp, value int }

// isHeader reports whether a row names the columns: one is called timestamp, or none begins as a time or a number does.
func isHeader(row []string) bool {
	return columnOf(row, "timestamp") >= 0 || !slices.ContainsFunc(row, func(field string) bool {
		return field != "" && strings.ContainsRune("0123456789+-.", rune(field[0]))
	})
}

func columnOf(row []string, name string) int {
	return slices.IndexFunc(row, func(field string) bool { return strings.EqualFold(strings.TrimSpace(field), name) })
}

func headerOf(row []string) (header, error) {
	h := header{columnOf(row, "timestamp"), columnOf(row, "value")}
	if h.timestamp < 0 || h.value < 0 {
		return h, fmt.Errorf("columns %q: one must be called timestamp and one value", strings.Join(row, ","))
	}
	return h, nil
}

// add appends a row of a file and notes what is odd about it.
func (s *Series) add(row []string, h header, line int) error {
	if len(row) <= max(h.timestamp, h.value) {
		return fmt.Errorf("%q: a row needs a timestamp and a value", strings.Join(row, ","))
	}
	stamp, text := strings.TrimSpace(row[h.timestamp]), strings.TrimSpace(row[h.value])
	at, err := parseTime(stamp)
	if err != nil {
		return err
	}
	x, err := parseValue(text)
	if err != nil {
		return err
	}
	if math.IsNaN(x) {
		s.Empty = append(s.Empty, line)
	}
	if n := len(s.Points); n > 0 && at.Before(s.Points[n-1].At) {
		s.Back = append(s.Back, line)
	}
	s.Points = append(s.Points, Point{At: at, Value: x})
	s.stamps, s.values = append(s.stamps, stamp), append(s.values, text)
	return nil
}

// stampLayout is how the benchmark writes times; fractions of seconds are read as well.
const stampLayout = "2006-01-02 15:04:05"

// stampLayouts are the ways to write a time that are read; without a zone it is UTC.
var stampLayouts = []string{stampLayout, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", time.DateOnly}

func parseTime(text string) (time.Time, error) {
	for _, layout := range stampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("timestamp %q: neither %q in UTC nor RFC 3339", text, stampLayout)
}

// parseValue returns NaN for what programs write where there is no value, and for infinite ones.
func parseValue(text string) (float64, error) {
	switch strings.ToLower(text) {
	case "", "na", "n/a", "null", "none":
		return math.NaN(), nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return x, fmt.Errorf("value %q: not a number; leave it empty where there is none", text)
	}
	if math.IsInf(x, 0) {
		x = math.NaN()
	}
	return x, nil
}
