package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// flushBytes is about how much of an answer is in memory before it is sent.
const flushBytes = 64 << 10

// answerWriter ends the connection when the client does not take what is written for a while: it must not keep a whole
// answer in memory for ever. The server lifts the deadline after the answer.
type answerWriter struct {
	response *echo.Response
	control  *http.ResponseController
}

func newAnswerWriter(c echo.Context) *answerWriter {
	return &answerWriter{c.Response(), http.NewResponseController(c.Response())}
}

// Write implements io.Writer.
func (w *answerWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's recorder has none
	return w.response.Write(b)
}

// pointWriter writes answers with many points as JSON. The standard encoder takes four times as long for
// them; after a failed write it goes on into the void, and says so in the end.
type pointWriter struct {
	to  io.Writer
	buf []byte
	err error

	// The day of the point before, and how it is written.
	day  int64
	date [len("2006-01-02T")]byte
}

func newPointWriter(c echo.Context) *pointWriter {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(http.StatusOK)
	return &pointWriter{to: newAnswerWriter(c), day: math.MinInt64}
}

func (w *pointWriter) text(s string) { w.buf = append(w.buf, s...) }

// object writes v, a struct with at least one field, and leaves it open for more fields.
func (w *pointWriter) object(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: view %T: %v", v, err)) // a programming error: views are plain structs
	}
	w.buf = append(w.buf, text[:len(text)-1]...)
}

// points writes an array.
func (w *pointWriter) points(points []Point) {
	w.text("[")
	for i, p := range points {
		if i > 0 {
			w.text(",")
		}
		w.text(`{"time":"`)
		w.time(p.Time)
		w.text(`","value":`)
		w.number(p.Value)
		w.text("}")
		if len(w.buf) >= flushBytes {
			w.flush()
		}
	}
	w.text("]")
}

// time writes RFC 3339 in UTC, with milliseconds if there are any: stores know no less.
func (w *pointWriter) time(t time.Time) {
	const dayMilli = 24 * 60 * 60 * 1000
	ms := t.UnixMilli()
	day, rest := ms/dayMilli, ms%dayMilli
	if rest < 0 {
		day, rest = day-1, rest+dayMilli
	}
	if day != w.day {
		w.day = day
		copy(w.date[:], t.UTC().Format("2006-01-02T"))
	}
	w.buf = append(w.buf, w.date[:]...)
	two := func(n int64, after byte) { w.buf = append(w.buf, byte('0'+n/10), byte('0'+n%10), after) }
	two(rest/3_600_000, ':')
	two(rest/60_000%60, ':')
	if milli := rest % 1000; milli > 0 {
		two(rest/1000%60, '.')
		w.buf = append(w.buf, byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10), 'Z')
	} else {
		two(rest/1000%60, 'Z')
	}
}

// number writes a finite number in the shortest form that is exactly it.
func (w *pointWriter) number(v float64) {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	w.buf = strconv.AppendFloat(w.buf, v, format, -1, 64)
}

func (w *pointWriter) flush() {
	if w.err == nil {
		_, w.err = w.to.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

func (w *pointWriter) done() error {
	w.text("\n")
	w.flush()
	return w.err
}

// series writes the answer for one kiosk.
func (w *pointWriter) series(v seriesView, points []Point) error {
	w.object(v)
	w.text(`,"points":`)
	w.points(points)
	w.text("}")
	return w.done()
}

// query writes the answer to POST /query.
func (w *pointWriter) query(v queryView, results []result) error {
	w.object(v)
	w.text(`,"series":[`)
	first := true
	for _, r := range results {
		for _, g := range r.groups {
			if !first {
				w.text(",")
			}
			first = false
			w.object(querySeriesView{r.name, g.Name, r.groupBy, r.metric, r.unit, r.agg, r.source})
			w.text(`,"points":`)
			w.points(g.Points)
			w.text("}")
		}
	}
	w.text("]}")
	return w.done()
}
