package score

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// Write writes what a detector scored in the benchmark's layout, <dir>/<detector>/<category>/<detector>_<file>.csv
// with the columns timestamp,value,anomaly_score,label: the rows of the series in their order, times and values
// as they were read. The label is 0 throughout: what is known of the truth leaves no trace in results. Files that are there are
// replaced, each as a whole.
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

// scoreColumn is by what results can be told from series.
const scoreColumn = "anomaly_score"

func writeResult(w io.Writer, s Series, scores []float64) error {
	if len(scores) != len(s.Points) {
		return fmt.Errorf("%s: %d scores for %d rows", s.Name, len(scores), len(s.Points))
	}
	if _, err := io.WriteString(w, "timestamp,value,"+scoreColumn+",label\n"); err != nil {
		return err
	}
	for i := range s.Points {
		// Whatever rounding does, a score stays in 0 to 1.
		text := strconv.FormatFloat(min(max(scores[i], 0), 1), 'g', 9, 64)
		if math.IsNaN(scores[i]) {
			text = "0"
		}
		if _, err := fmt.Fprintf(w, "%s,%s,%s,0\n", s.stamp(i), s.value(i), text); err != nil {
			return err
		}
	}
	return nil
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

// writeFile makes a file, with the folders that it is in, or leaves what was there.
func writeFile(target string, content func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.Create(target + ".unfinished")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriter(f)
	err = content(w)
	if err == nil {
		err = w.Flush()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}
