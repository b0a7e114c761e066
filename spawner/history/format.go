package history

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
)

// form turns one kiosk's readings into text; the bytes are good until the next call.
type form interface {
	line(r *protocol.Reading) ([]byte, error)
}

func formatOf(format string) form {
	if format == CSV {
		t := &table{}
		t.writer = csv.NewWriter(&t.text)
		return t
	}
	return &jsonLines{}
}

// jsonLines has each reading in a line as kiosks send it.
type jsonLines struct{}

func (*jsonLines) line(r *protocol.Reading) ([]byte, error) {
	text, err := json.Marshal(r)
	return append(text, '\n'), err
}

// table has a column for each metric of the first reading: the known ones in the order of the catalogue,
// then the others by name.
type table struct {
	text    bytes.Buffer
	writer  *csv.Writer
	columns []string // of metrics
	row     []string
}

var leading = []string{"timestamp", "session", "seq", "status"}

func (t *table) line(r *protocol.Reading) ([]byte, error) {
	t.text.Reset()
	values := valuesOf(r)
	if t.columns == nil {
		t.columns = columnsOf(values)
		if err := t.writer.Write(append(slices.Clone(leading), t.columns...)); err != nil {
			return nil, err
		}
	}
	t.row = append(t.row[:0], r.Timestamp.Format(time.RFC3339Nano), r.Session, strconv.FormatUint(r.Seq, 10), string(r.Status))
	for _, name := range t.columns {
		value, ok := values[name]
		delete(values, name)
		if !ok {
			value = ""
		}
		t.row = append(t.row, text(value))
	}
	for name := range values {
		return nil, fmt.Errorf("%s was not in the first reading, so there is no column for it: use --format %s", name, JSONLines)
	}
	if err := t.writer.Write(t.row); err != nil {
		return nil, err
	}
	t.writer.Flush()
	return t.text.Bytes(), t.writer.Error()
}

func valuesOf(r *protocol.Reading) map[string]any {
	out := map[string]any{}
	for group, fields := range map[string]protocol.Group{
		"environmental": r.Environmental, "hardware": r.Hardware, "peripherals": r.Peripherals,
		"location": r.Location, "network": r.Network, "custom": r.Custom,
	} {
		for name, value := range fields {
			out[group+"."+name] = value
		}
	}
	return out
}

func columnsOf(values map[string]any) []string {
	var known, others []string
	for _, m := range protocol.Metrics() {
		if _, ok := values[m.Name]; ok {
			known = append(known, m.Name)
		}
	}
	for name := range values {
		if !slices.Contains(known, name) {
			others = append(others, name)
		}
	}
	slices.SortFunc(others, strings.Compare)
	return append(known, others...)
}

func text(value any) string {
	if f, ok := value.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}
