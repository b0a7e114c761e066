package score

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Labels are the windows of many series, by name.
type Labels map[string][]Window

// ReadLabels reads a file as the benchmark's combined_windows.json: for each series a list of pairs of times,
// first and last of a window. Windows that overlap or touch are one.
//
// Errors: of the file system; one that names file and series for windows that cannot be read or end before
// they begin.
func ReadLabels(path string) (Labels, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	var pairs map[string][][]string
	if err := json.Unmarshal(bytes.TrimPrefix(content, []byte(byteOrderMark)), &pairs); err != nil {
		return nil, fmt.Errorf("read labels: %s: %w; it has to be {\"<category>/<file>.csv\": [[\"<first time>\", \"<last time>\"], …], …}", path, err)
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
	return joined(sorted(windows)), nil
}

// joined makes one window of those that overlap or touch, which are in order of their begin.
func joined(windows []Window) []Window {
	var out []Window
	for _, w := range windows {
		if n := len(out) - 1; n < 0 || w.From.After(out[n].To) {
			out = append(out, w)
		} else if w.To.After(out[n].To) {
			out[n].To = w.To
		}
	}
	return out
}

// Label gives each series its windows and returns the names of series that the labels do not know, and of
// labels whose series are not there, both in order. A series without labels has no windows. Where one side leaves
// folders out, as for a single category, the name of the file is enough if there is only one of it.
func (l Labels) Label(series []Series) (unlabelled, missing []string) {
	byFile := map[string][]string{} // names in the labels
	for name := range l {
		byFile[path.Base(name)] = append(byFile[path.Base(name)], name)
	}
	files := map[string]int{}
	for _, s := range series {
		files[path.Base(s.Name)]++
	}
	used := map[string]bool{}
	for i := range series {
		name := series[i].Name
		if _, ok := l[name]; !ok {
			file := path.Base(name)
			if len(byFile[file]) != 1 || files[file] != 1 || !within(name, byFile[file][0]) {
				unlabelled = append(unlabelled, name)
				series[i].Windows = nil
				continue
			}
			name = byFile[file][0]
		}
		used[name] = true
		series[i].Windows = l[name]
	}
	for name := range l {
		if !used[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(unlabelled)
	slices.Sort(missing)
	return unlabelled, missing
}

// within reports whether one of two names is the end of the other.
func within(a, b string) bool {
	return strings.HasSuffix("/"+a, "/"+b) || strings.HasSuffix("/"+b, "/"+a)
}
