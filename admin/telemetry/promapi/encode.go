package promapi

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// answer is what a call returns: the data, which is a parser.Value or anything that encoding/json writes.
type answer struct {
	data  any
	query string // that the notes are about
	notes annotations.Annotations
}

// maxNotes bounds the warnings and infos of an answer, each.
const maxNotes = 10

// checkEvery is how many series are written between two looks at the context.
const checkEvery = 128

// writeAnswer writes an answer in Prometheus' shape, piece by piece: the text of a large matrix is many
// times as large as its values.
func writeAnswer(ctx context.Context, w http.ResponseWriter, a answer) error {
	w.Header().Set("Content-Type", "application/json")
	e := &encoder{ctx: ctx, out: bufio.NewWriterSize(w, 32<<10)}
	e.text(`{"status":"success","data":`)
	switch data := a.data.(type) {
	case parser.Value:
		e.result(data)
	case []labels.Labels:
		e.list(len(data), func(i int) { e.labels(data[i]) })
	default:
		e.json(data)
	}
	warnings, infos := a.notes.AsStrings(a.query, maxNotes, maxNotes)
	for _, list := range []struct {
		name  string
		texts []string
	}{{"warnings", warnings}, {"infos", infos}} {
		if len(list.texts) > 0 {
			slices.Sort(list.texts) // they come from a map
			e.text(`,"` + list.name + `":`)
			e.json(list.texts)
		}
	}
	e.text("}")
	if e.err != nil {
		return e.err
	}
	return e.out.Flush()
}

// encoder writes JSON; after its first error it writes nothing more.
type encoder struct {
	ctx context.Context
	out *bufio.Writer
	buf []byte // to be used again
	err error
}

func (e *encoder) text(s string) {
	if e.err == nil {
		_, e.err = e.out.WriteString(s)
	}
}

func (e *encoder) json(v any) {
	text, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.text(string(text))
}

// list writes an array of n elements.
func (e *encoder) list(n int, element func(i int)) {
	e.text("[")
	for i := range n {
		if i%checkEvery == checkEvery-1 && e.err == nil {
			e.err = e.ctx.Err()
		}
		if e.err != nil {
			return
		}
		if i > 0 {
			e.text(",")
		}
		element(i)
	}
	e.text("]")
}

func (e *encoder) result(v parser.Value) {
	e.text(`{"resultType":"` + string(v.Type()) + `","result":`)
	switch v := v.(type) {
	case promql.Matrix:
		e.list(len(v), func(i int) {
			e.text(`{"metric":`)
			e.labels(v[i].Metric)
			e.text(`,"values":`)
			e.list(len(v[i].Floats), func(j int) { e.point(v[i].Floats[j].T, v[i].Floats[j].F) })
			e.text("}")
		})
	case promql.Vector:
		e.list(len(v), func(i int) {
			e.text(`{"metric":`)
			e.labels(v[i].Metric)
			e.text(`,"value":`)
			e.point(v[i].T, v[i].F)
			e.text("}")
		})
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.text("[" + string(appendSeconds(nil, v.T)) + ",")
		e.json(v.V)
		e.text("]")
	}
	e.text("}")
}

func (e *encoder) labels(l labels.Labels) {
	e.text("{")
	first := true
	l.Range(func(one labels.Label) {
		if !first {
			e.text(",")
		}
		first = false
		e.json(one.Name)
		e.text(":")
		e.json(one.Value)
	})
	e.text("}")
}

// point writes [seconds,"value"].
func (e *encoder) point(ms int64, value float64) {
	if e.err != nil {
		return
	}
	e.buf = append(e.buf[:0], '[')
	e.buf = appendSeconds(e.buf, ms)
	e.buf = append(e.buf, `,"`...)
	e.buf = appendValue(e.buf, value)
	e.buf = append(e.buf, `"]`...)
	_, e.err = e.out.Write(e.buf)
}

// appendSeconds writes Unix milliseconds as seconds, with three decimals where they are not whole.
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	rest := ms % 1000
	if rest == 0 {
		return b
	}
	return append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

// appendValue writes the shortest text that is the same number; NaN, +Inf and -Inf are words.
func appendValue(b []byte, v float64) []byte {
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e' // as in JavaScript
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}
