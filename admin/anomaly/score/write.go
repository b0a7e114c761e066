package score

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"
)

// Write writes what a detector scored in the benchmark's layout, <dir>/<detector>/<category>/<detector>_<file>.csv
// with the columns timestamp,value,anomaly_score,label: the rows of the series in their order, times and values
// as they were read, and 1 as label inside a known window. Files that are there are replaced.
//
// tracks[i] belongs to series[i]. Errors: of the file system; one for a detector's name that is empty or has an
// underscore (the benchmark takes it from the file's name) or a slash.
func Write(dir, detector string, series []Series, tracks []Track) error {
	if !validDetector(detector) {
		return fmt.Errorf("write results: detector %q: give it a name without underscore and slash", detector)
	}
	for i, s := range series {
		folder, file := path.Split(s.Name)
		target := filepath.Join(dir, detector, filepath.FromSlash(folder), detector+"_"+file)
		if err := writeFile(target, func(w io.Writer) error { return writeResult(w, s, tracks[i].Scores) }); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

func writeResult(w io.Writer, s Series, scores []float64) error {
	if len(scores) != len(s.Points) {
		return fmt.Errorf("%s: %d scores for %d rows", s.Name, len(scores), len(s.Points))
	}
	if _, err := io.WriteString(w, "timestamp,value,anomaly_score,label\n"); err != nil {
		return err
	}
	for i, p := range s.Points {
		label := 0
		if inside(s.Windows, p.At) {
			label = 1
		}
		// Whatever rounding does, a score stays in 0 to 1.
		text := strconv.FormatFloat(min(max(scores[i], 0), 1), 'g', 9, 64)
		if math.IsNaN(scores[i]) {
			text = "0"
		}
		if _, err := fmt.Fprintf(w, "%s,%s,%s,%d\n", s.stamp(i), s.value(i), text, label); err != nil {
			return err
		}
	}
	return nil
}

func inside(windows []Window, t time.Time) bool {
	for _, w := range windows {
		if w.contains(t, 0) {
			return true
		}
	}
	return false
}

// stamp returns the time of a row as the file said it.
func (s *Series) stamp(i int) string {
	if i < len(s.stamps) {
		return s.stamps[i]
	}
	return s.Points[i].At.UTC().Format(stampLayout)
}

// value returns the value of a row as the file said it.
func (s *Series) value(i int) string {
	if i < len(s.values) {
		return s.values[i]
	}
	return strconv.FormatFloat(s.Points[i].Value, 'g', -1, 64)
}

// WriteFolder writes series and their windows as the benchmark keeps them: <dir>/data/<name> with the columns
// timestamp,value, and <dir>/labels/combined_windows.json. What kind a window is of is not kept.
func WriteFolder(dir string, series []Series) error {
	labels := make(map[string][][2]string, len(series))
	for _, s := range series {
		target := filepath.Join(dir, "data", filepath.FromSlash(s.Name))
		if err := writeFile(target, func(w io.Writer) error { return writeData(w, s) }); err != nil {
			return fmt.Errorf("write series: %w", err)
		}
		labels[s.Name] = [][2]string{}
		for _, w := range s.Windows {
			labels[s.Name] = append(labels[s.Name], [2]string{w.From.UTC().Format(labelLayout), w.To.UTC().Format(labelLayout)})
		}
	}
	err := writeFile(filepath.Join(dir, "labels", "combined_windows.json"), func(w io.Writer) error {
		to := json.NewEncoder(w)
		to.SetIndent("", " ")
		return to.Encode(labels)
	})
	if err != nil {
		return fmt.Errorf("write labels: %w", err)
	}
	return nil
}

// labelLayout is how the benchmark writes the times of windows.
const labelLayout = "2006-01-02 15:04:05.000000"

func writeData(w io.Writer, s Series) error {
	if _, err := io.WriteString(w, "timestamp,value\n"); err != nil {
		return err
	}
	for i := range s.Points {
		if _, err := fmt.Fprintf(w, "%s,%s\n", s.stamp(i), s.value(i)); err != nil {
			return err
		}
	}
	return nil
}

// writeFile creates a file with the folders that it is in.
func writeFile(target string, content func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	w := bufio.NewWriter(f)
	if err := content(w); err != nil {
		return err
	}
	return w.Flush()
}
