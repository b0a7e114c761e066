package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/anomaly/score"
)

// nabFlags are what an evaluation of a folder of single series is called with.
type nabFlags struct {
	data, labels, out, detector string
	falsePerDay                 float64
}

// nabOut is what such an evaluation says.
type nabOut struct {
	Detector string       `json:"detector"`
	Out      string       `json:"out,omitempty"` // folder of the results
	Series   int          `json:"series"`
	Rows     int          `json:"rows"`
	Profiles []profileOut `json:"profiles,omitempty"` // only with labels, as all below
	Events   []eventsOut  `json:"events,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
}

type profileOut struct {
	Profile   string  `json:"profile"`
	Score     float64 `json:"score"`
	Threshold float64 `json:"threshold"`
	Extremes  float64 `json:"extremes"` // score of the detector that alerts on every new extreme
}

type eventsOut struct {
	Name        string  `json:"name"`
	Threshold   float64 `json:"threshold"`
	Faults      int     `json:"faults"`
	Found       int     `json:"found"`
	False       int     `json:"false"`
	Recall      float64 `json:"recall"`
	Precision   float64 `json:"precision"`
	DelayPoints float64 `json:"delay_points"`
	FalsePerDay float64 `json:"false_per_series_day"`
}

// evaluateNab scores every series of a folder with the one frozen configuration and writes the results as the Numenta
// benchmark reads them. The labels are laid beside the scores once these are fixed.
func (t *tool) evaluateNab(cmd *cobra.Command, f nabFlags) error {
	if f.data == "" {
		return errors.New("--format nab needs --data, the folder that holds <category>/<file>.csv")
	}
	if strings.ContainsAny(f.detector, "_/\\") || f.detector == "" || strings.HasPrefix(f.detector, ".") {
		return fmt.Errorf("--detector %q: give it a name without underscore and slash", f.detector)
	}
	if f.out == "" && f.labels == "" {
		return errors.New("--format nab needs --out, the folder for the results, or --labels for a report")
	}
	if !(f.falsePerDay > 0 && f.falsePerDay <= 1000) {
		return fmt.Errorf("--false-per-day %g: give more than 0, at most 1000", f.falsePerDay)
	}
	if err := f.apart(); err != nil {
		return err
	}
	var labels score.Labels
	if f.labels != "" {
		var err error
		if labels, err = score.ReadLabels(f.labels); err != nil {
			return fmt.Errorf("--labels: %w", err)
		}
	}
	series, err := score.ReadFolder(f.data, f.out)
	if errors.Is(err, score.ErrPassedOver) {
		return fmt.Errorf("--out: %w", err)
	}
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if f.out != "" { // before the work is done
		if err := writable(f.out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	tracks := make([]score.Track, len(series))
	for i := range series {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		tracks[i] = series[i].Run(frozen())
	}
	out := nabOut{Detector: f.detector, Series: len(series)}
	out.doubt(series)
	if labels != nil {
		unlabelled, missing := labels.Label(series)
		out.warn("the labels do not name", unlabelled)
		out.warn("there is no file for the labels of", missing)
		for i := range series {
			tracks[i].Windows = series[i].Windows
		}
		if err := out.judge(series, tracks, f.falsePerDay); err != nil {
			return err
		}
	}
	if f.out != "" {
		out.Out = filepath.Join(f.out, f.detector)
		if err := score.Write(f.out, f.detector, series, tracks); err != nil {
			return err
		}
	}
	for _, warning := range out.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", warning)
	}
	return t.print(cmd, out, func(w io.Writer) { describeNab(w, &out) })
}

// apart returns an error for results that would lie among the data and be read as such the next time.
func (f *nabFlags) apart() error {
	if f.out == "" {
		return nil
	}
	data := score.DataFolder(f.data)
	for _, out := range []string{f.out, filepath.Join(f.out, f.detector)} {
		if same(out, data) {
			return fmt.Errorf("--out: the results would be in %s, among the data: give another folder", out)
		}
	}
	return nil
}

// same reports whether two paths are of the same file; it need not be there.
func same(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// frozen returns a fresh detector of the one configuration that serves everything. Some recordings repeat the hour in
// which the clock was set back; to the detector no time has passed then.
func frozen() score.Scorer {
	cfg := detect.Default()
	m := detect.New(&cfg, nil)
	var last time.Time
	return func(at time.Time, x float64) float64 {
		if at.Before(last) {
			at = last
		}
		last = at
		return m.Step(at, x).Score
	}
}

// judge fills in what the scores are worth.
func (o *nabOut) judge(series []score.Series, tracks []score.Track, falsePerDay float64) error {
	extremes := score.Run(series, score.Extremes)
	for _, p := range score.Profiles() {
		s, err := score.Numenta(tracks, p)
		if errors.Is(err, score.ErrNoWindows) {
			o.Warnings = append(o.Warnings, "the labels hold no window, so that there is nothing to find")
			break
		}
		if err != nil {
			return err
		}
		e, err := score.Numenta(extremes, p)
		if err != nil {
			return err
		}
		o.Profiles = append(o.Profiles, profileOut{p.Name, s.Score, s.Threshold, e.Score})
	}
	alarms := score.Default()
	o.Events = append(o.Events, outEvents(fmt.Sprintf("at %g false alarms per series and day", falsePerDay), alarms.Evaluate(tracks, alarms.ThresholdFor(tracks, falsePerDay))))
	if len(o.Profiles) > 0 {
		o.Events = append(o.Events, outEvents("at the threshold of the standard profile", alarms.Evaluate(tracks, o.Profiles[0].Threshold)))
	}
	o.Events = append(o.Events, outEvents("every new extreme instead", alarms.Evaluate(extremes, 1)))
	return nil
}

func outEvents(name string, r score.Result) eventsOut {
	found := 0
	for _, f := range r.Faults {
		if f.Found {
			found++
		}
	}
	return eventsOut{name, r.Threshold, len(r.Faults), found, r.False, r.Recall(""), r.Precision(), r.MedianDelay(""), r.FalsePerDay}
}

// doubt counts the rows and warns of what is odd in the data and could be scored all the same.
func (o *nabOut) doubt(series []score.Series) {
	var none, empty, back []string
	for _, s := range series {
		o.Rows += len(s.Points)
		if len(s.Points) == 0 {
			none = append(none, s.Name)
		}
		empty, back = linesOf(empty, s.Name, s.Empty), linesOf(back, s.Name, s.Back)
	}
	o.warn("there is no row of timestamp,value in", none)
	o.warn("rows without a value get the score 0:", empty)
	o.warn("rows are earlier than the one before and count as the same moment:", back)
}

// linesOf appends where in a file something is.
func linesOf(to []string, file string, lines []int) []string {
	switch len(lines) {
	case 0:
		return to
	case 1:
		return append(to, fmt.Sprintf("%s:%d", file, lines[0]))
	case 2:
		return append(to, fmt.Sprintf("%s:%d (and 1 more line)", file, lines[0]))
	}
	return append(to, fmt.Sprintf("%s:%d (and %d more lines)", file, lines[0], len(lines)-1))
}

// warnAtMost is how many names a warning lists.
const warnAtMost = 5

func (o *nabOut) warn(text string, names []string) {
	if len(names) == 0 {
		return
	}
	more := ""
	if n := len(names) - warnAtMost; n > 0 {
		names, more = names[:warnAtMost], fmt.Sprintf(" and %d more", n)
	}
	o.Warnings = append(o.Warnings, fmt.Sprintf("%s %s%s", text, strings.Join(names, ", "), more))
}

func describeNab(w io.Writer, o *nabOut) {
	fmt.Fprintf(w, "scored %d rows of %d series", o.Rows, o.Series)
	if o.Out != "" {
		fmt.Fprintf(w, " into %s", o.Out)
	}
	fmt.Fprintln(w)
	if len(o.Profiles) > 0 {
		fmt.Fprintf(w, "\n%-22s %8s %10s %20s\n", "PROFILE", "SCORE", "THRESHOLD", "EVERY NEW EXTREME")
	}
	for _, p := range o.Profiles {
		fmt.Fprintf(w, "%-22s %8.2f %10.5f %20.2f\n", p.Profile, p.Score, p.Threshold, p.Extremes)
	}
	if len(o.Events) > 0 {
		fmt.Fprintf(w, "\n%-44s %7s %7s %7s %7s %9s %7s %9s\n", "ALARMS", "FAULTS", "FOUND", "FALSE", "RECALL", "PRECISION", "DELAY", "FALSE/DAY")
	}
	for _, e := range o.Events {
		fmt.Fprintf(w, "%-44s %7d %7d %7d %7.3f %9.3f %7g %9.3f\n", e.Name, e.Faults, e.Found, e.False, e.Recall, e.Precision, e.DelayPoints, e.FalsePerDay)
	}
	if len(o.Events) > 0 {
		fmt.Fprintln(w, "delay: median, in points; false/day: per series")
	}
}

// writable makes a folder and proves that files can be made in it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
