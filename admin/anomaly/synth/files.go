package synth

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kioskfleet/admin/anomaly/score"
)

// A fleet's folder holds fleet.json, which lists the kiosks with what is wrong with them, and for each kiosk
// kiosks/<serial>.csv: a line of column names, timestamp and the metrics, and a line for each reading.
const (
	indexFile   = "fleet.json"
	kiosksIn    = "kiosks"
	indexFormat = 1
)

// Entry is a kiosk of a folder.
type Entry struct {
	Serial  string  `json:"serial"`
	Model   string  `json:"model,omitempty"`
	Site    string  `json:"site,omitempty"`
	Windows []fault `json:"faults"`
}

// fault is a window as the file has it.
type fault struct {
	Kind    string    `json:"kind"`
	Metrics []string  `json:"metrics"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
}

// index is the content of fleet.json.
type index struct {
	Format int     `json:"format"`
	Kiosks []Entry `json:"kiosks"`
}

// WriteFleet writes kiosks into a folder, one after the other. Files that are there are replaced.
// Errors: of the file system; one for a serial that cannot be a file's name.
func WriteFleet(dir string, kiosks iter.Seq[Kiosk]) error {
	all := index{Format: indexFormat, Kiosks: []Entry{}}
	if err := os.MkdirAll(filepath.Join(dir, kiosksIn), 0o755); err != nil {
		return fmt.Errorf("write fleet: %w", err)
	}
	for k := range kiosks {
		path, err := kioskFile(dir, k.Serial)
		if err != nil {
			return fmt.Errorf("write fleet: %w", err)
		}
		if err := write(path, func(w io.Writer) error { return writeKiosk(w, &k) }); err != nil {
			return fmt.Errorf("write fleet: %w", err)
		}
		entry := Entry{Serial: k.Serial, Model: k.Model, Site: k.Site, Windows: []fault{}}
		for _, w := range k.Windows {
			entry.Windows = append(entry.Windows, fault{Kind: w.Kind, Metrics: w.Metrics, From: w.From, To: w.To})
		}
		all.Kiosks = append(all.Kiosks, entry)
	}
	err := write(filepath.Join(dir, indexFile), func(w io.Writer) error {
		to := json.NewEncoder(w)
		to.SetIndent("", " ")
		return to.Encode(all)
	})
	if err != nil {
		return fmt.Errorf("write fleet: %w", err)
	}
	return nil
}

// kioskFile returns where a kiosk's readings are. A serial from a file may be anything; it must not lead elsewhere.
func kioskFile(dir, serial string) (string, error) {
	name := serial + ".csv"
	if serial == "" || !filepath.IsLocal(name) || filepath.Base(name) != name {
		return "", fmt.Errorf("serial %q cannot be a file's name", serial)
	}
	return filepath.Join(dir, kiosksIn, name), nil
}

func write(path string, content func(io.Writer) error) (err error) {
	f, err := os.Create(path)
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

func writeKiosk(w io.Writer, k *Kiosk) error {
	rows := csv.NewWriter(w)
	row := append([]string{"timestamp"}, k.Metrics...)
	if err := rows.Write(row); err != nil {
		return err
	}
	for i, t := range k.Times {
		row = append(row[:0], t.UTC().Format(time.RFC3339Nano))
		for m := range k.Metrics {
			row = append(row, strconv.FormatFloat(k.Values[m][i], 'g', -1, 64))
		}
		if err := rows.Write(row); err != nil {
			return err
		}
	}
	rows.Flush()
	return rows.Error()
}

// Folder is a fleet in files, of which one kiosk after the other can be read.
type Folder struct {
	dir    string
	Kiosks []Entry
}

// OpenFolder reads the list of kiosks of a folder that WriteFleet wrote.
// Errors: of the file system; one that says so for another format.
func OpenFolder(dir string) (*Folder, error) {
	content, err := os.ReadFile(filepath.Join(dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read fleet: %w: give a folder as admin model synth writes it", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read fleet: %w", err)
	}
	var all index
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("read fleet: %s: %w", filepath.Join(dir, indexFile), err)
	}
	if all.Format != indexFormat {
		return nil, fmt.Errorf("read fleet: %s has format %d, known is %d: make it anew", filepath.Join(dir, indexFile), all.Format, indexFormat)
	}
	return &Folder{dir: dir, Kiosks: all.Kiosks}, nil
}

// Kiosk reads kiosk n of the list.
// Errors: of the file system; one that names file and line for a row that cannot be read.
func (f *Folder) Kiosk(n int) (Kiosk, error) {
	entry := f.Kiosks[n]
	k := Kiosk{Serial: entry.Serial, Model: entry.Model, Site: entry.Site}
	for _, w := range entry.Windows {
		k.Windows = append(k.Windows, score.Window{Kind: w.Kind, Metrics: w.Metrics, From: w.From, To: w.To})
	}
	path, err := kioskFile(f.dir, entry.Serial)
	if err != nil {
		return Kiosk{}, fmt.Errorf("read fleet: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return Kiosk{}, fmt.Errorf("read fleet: %w", err)
	}
	defer in.Close()
	if line, err := k.read(bufio.NewReader(in)); err != nil {
		return Kiosk{}, fmt.Errorf("read fleet: %s:%d: %w", path, line, err)
	}
	return k, nil
}

// read fills in the readings; an error comes with the number of its line.
func (k *Kiosk) read(r io.Reader) (line int, err error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return 1, errors.New("the file is empty")
	}
	if err != nil {
		return 1, err
	}
	if header[0] != "timestamp" || !slices.IsSorted(header[1:]) {
		return 1, errors.New("the first line has to be timestamp and the metrics in order of their names")
	}
	k.Metrics = slices.Clone(header[1:])
	k.Values = make([][]float64, len(k.Metrics))
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return line, nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return syntax.Line, syntax.Err
		}
		if err != nil {
			return line + 1, err
		}
		line, _ = rows.FieldPos(0)
		t, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			return line, fmt.Errorf("timestamp %q: not RFC 3339", row[0])
		}
		if n := len(k.Times); n > 0 && !t.After(k.Times[n-1]) {
			return line, fmt.Errorf("timestamp %q: not after the line before", row[0])
		}
		k.Times = append(k.Times, t)
		for m, text := range row[1:] {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				return line, fmt.Errorf("%s %q: not a finite number", k.Metrics[m], text)
			}
			k.Values[m] = append(k.Values[m], x)
		}
	}
}
