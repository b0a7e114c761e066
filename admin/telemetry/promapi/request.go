package promapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds of a request.
const (
	maxFormBytes  = 1 << 20
	maxQueryBytes = 128 << 10 // of one expression or selector
	// maxParts bounds the operators and brackets of an expression. Checking and printing what is nested takes
	// time that grows with the square of the depth, which no deadline ends, and a stack as deep.
	maxParts    = 1000
	maxMatchers = 100
	// maxPoints is how many points a series of a range query may have, as in Prometheus.
	maxPoints = 11_000
)

// Bounds of an instant, in seconds of the Unix epoch: about the year 31000 in both directions. Durations
// are added to it in milliseconds, and must not overflow.
const maxSeconds = 1e12

// The range of a call that names none: everything.
var (
	minTime = time.Unix(-maxSeconds, 0).UTC()
	maxTime = time.Unix(maxSeconds, 0).UTC()
)

// request is a parsed request.
type request struct {
	form     url.Values // of address and body together
	path     func(name string) string
	finishes []func()
}

// parse reads the form of a request. It answers a method that is not among the given ones with 405.
func parse(w http.ResponseWriter, r *http.Request, methods []string) (*request, error) {
	if !slices.Contains(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return nil, fault(http.StatusMethodNotAllowed, "bad_data", "use "+strings.Join(methods, " or "))
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, fault(http.StatusRequestEntityTooLarge, "bad_data", fmt.Sprintf("the form has more than %d bytes", maxFormBytes))
		}
		return nil, fault(http.StatusBadRequest, "bad_data", "error parsing form values: "+err.Error())
	}
	return &request{form: r.Form, path: r.PathValue}, nil
}

// onFinish has f called when the answer is written.
func (r *request) onFinish(f func()) { r.finishes = append(r.finishes, f) }

func (r *request) finish() {
	for _, f := range slices.Backward(r.finishes) {
		f()
	}
}

// expression returns the parameter query.
func (r *request) expression() (string, error) {
	text := r.form.Get("query")
	if len(text) > maxQueryBytes {
		return "", badParameter("query", fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), maxQueryBytes))
	}
	if parts(text) > maxParts {
		return "", badParameter("query", fmt.Errorf("it has more than %d operators and brackets", maxParts))
	}
	return text, nil
}

// parts counts the operators and brackets of an expression up to the first error in it, but not far beyond
// maxParts.
func parts(text string) int {
	lexer := parser.Lex(text)
	n := 0
	for item := (parser.Item{}); n <= maxParts; {
		lexer.NextItem(&item)
		switch {
		case item.Typ == parser.EOF || item.Typ == parser.ERROR:
			return n
		case item.Typ == parser.LEFT_PAREN || item.Typ == parser.LEFT_BRACKET || item.Typ.IsOperator():
			n++
		}
	}
	return n
}

// instant reads a parameter such as 1767323045.678 or 2026-01-02T03:04:05Z; missing is for an absent one.
func (r *request) instant(name string, missing time.Time) (time.Time, error) {
	text := r.form.Get(name)
	if text == "" {
		return missing, nil
	}
	t, err := parseInstant(text)
	if err != nil {
		return t, badParameter(name, err)
	}
	return t, nil
}

// required is instant for a parameter that must be there.
func (r *request) required(name string) (time.Time, error) {
	if r.form.Get(name) == "" {
		return time.Time{}, badParameter(name, errors.New("it is missing; give seconds of the Unix epoch or a time such as 2026-01-02T03:04:05Z"))
	}
	return r.instant(name, time.Time{})
}

func parseInstant(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(seconds) <= maxSeconds) {
			return time.Time{}, fmt.Errorf("%q is too far away for a time", text)
		}
		// To the millisecond, which is the store's resolution: more digits are not exact in a float.
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("cannot parse %q to a valid timestamp", text)
	}
	return t.UTC(), nil
}

// span reads start and end of a call that needs neither.
func (r *request) span() (from, to int64, err error) {
	start, err := r.instant("start", minTime)
	if err != nil {
		return 0, 0, err
	}
	end, err := r.instant("end", maxTime)
	if err != nil {
		return 0, 0, err
	}
	if end.Before(start) {
		return 0, 0, badParameter("end", errors.New("end timestamp must not be before start timestamp"))
	}
	return timestamp.FromTime(start), timestamp.FromTime(end), nil
}

// duration reads a parameter such as 15, 0.5 (seconds) or 1m30s; missing is for an absent one.
func (r *request) duration(name string, missing time.Duration) (time.Duration, error) {
	text := r.form.Get(name)
	if text == "" {
		return missing, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return 0, badParameter(name, err)
	}
	return d, nil
}

// maxDuration bounds steps and the like: a hundred years.
const maxDuration = 100 * 365 * 24 * time.Hour

func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(seconds) <= maxDuration.Seconds()) {
			return 0, fmt.Errorf("%q is too long for a duration", text)
		}
		return time.Duration(math.Round(seconds*1000)) * time.Millisecond, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil || time.Duration(d) > maxDuration {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
	}
	return time.Duration(d), nil
}

// timeout returns the client's own limit, 0 when it set none.
func (r *request) timeout() (time.Duration, error) {
	d, err := r.duration("timeout", 0)
	if err == nil && d <= 0 && r.form.Get("timeout") != "" {
		err = badParameter("timeout", errors.New("it must be positive"))
	}
	return d, err
}

// limit returns how many results the client wants, 0 for all.
func (r *request) limit(name string) (int, error) {
	text := r.form.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badParameter(name, fmt.Errorf("%q is not a number of results", text))
	}
	return int(n), nil
}

// matchers reads the parameters match[]: each is a selector, and any of them may match.
func (r *request) matchers(p parser.Parser) ([][]*labels.Matcher, error) {
	texts := r.form["match[]"]
	if len(texts) > maxMatchers {
		return nil, badParameter("match[]", fmt.Errorf("there are %d of them, at most %d are allowed", len(texts), maxMatchers))
	}
	sets := make([][]*labels.Matcher, 0, len(texts))
	for _, text := range texts {
		if len(text) > maxQueryBytes {
			return nil, badParameter("match[]", fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), maxQueryBytes))
		}
		set, err := p.ParseMetricSelector(text)
		if err != nil {
			return nil, badParameter("match[]", err)
		}
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, badParameter("match[]", fmt.Errorf("%s: at least one matcher must not match an empty text", text))
		}
		sets = append(sets, set)
	}
	return sets, nil
}
