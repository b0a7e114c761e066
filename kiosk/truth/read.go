package truth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strconv"

	"kioskfleet/kiosk/fault"
)

// maxLine bounds a line that is read, in bytes.
const maxLine = 4 << 20

// Read returns the events of a log, those of the file before it first. A line that is no event is an
// error with file and line number, after which the next line follows; other errors end it. A log that
// is being written should be closed first, or the last events may be missing.
//
// Errors: a missing file; a malformed line.
func Read(path string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		found := false
		for _, name := range []string{previous(path), path} {
			f, err := os.Open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
			found = true
			goOn := read(f, yield)
			f.Close()
			if !goOn {
				return
			}
		}
		if !found {
			yield(Event{}, fmt.Errorf("read the truth log: %w", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}))
		}
	}
}

func read(f *os.File, yield func(Event, error) bool) bool {
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for lines.Scan() {
		number++
		e, err := decode(lines.Bytes())
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", f.Name(), number, err)
		}
		if !yield(e, err) {
			return false
		}
	}
	if err := lines.Err(); err != nil {
		yield(Event{}, fmt.Errorf("%s:%d: %w", f.Name(), number+1, err))
		return false
	}
	return true
}

// ReadAll returns the events of a log, as Read does, up to the first error.
func ReadAll(path string) ([]Event, error) {
	var events []Event
	for e, err := range Read(path) {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

func decode(line []byte) (Event, error) {
	var e Event
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return Event{}, fmt.Errorf("not an event: %w", err)
	}
	if dec.More() {
		return Event{}, errors.New("not an event: there is more after it")
	}
	if err := e.check(); err != nil {
		return Event{}, fmt.Errorf("not an event: %w", err)
	}
	return e, nil
}

// check names what an event lacks, and gives its parameters back their types.
func (e *Event) check() error {
	has := map[Kind]bool{
		FaultStart: e.ID != "" && e.Fault != "", FaultEnd: e.ID != "" && e.Fault != "",
		Session: e.Session != nil, Command: e.Command != nil, Boot: e.Boot != nil,
	}
	complete, known := has[e.Event]
	switch {
	case !known:
		return fmt.Errorf("unknown kind %q", e.Event)
	case e.Time.IsZero() || e.Serial == "":
		return errors.New("it has no time or no serial")
	case !complete:
		return fmt.Errorf("%s lacks its part", e.Event)
	}
	if _, known := fault.Lookup(e.Fault); !known || e.Params == nil {
		return nil
	}
	given := map[string]string{}
	for name, value := range e.Params {
		switch v := value.(type) {
		case string:
			given[name] = v
		case float64:
			given[name] = strconv.FormatFloat(v, 'g', -1, 64)
		default:
			return fmt.Errorf("parameter %s is neither a number nor a text", name)
		}
	}
	var err error
	e.Params, err = fault.Complete(e.Fault, given)
	return err
}
