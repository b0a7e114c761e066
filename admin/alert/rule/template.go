package rule

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"kioskfleet/internal/protocol"
)

// template is a text with placeholders such as {hardware.cpu_temp} or {rate(hardware.disk_usage, "1h") | 2}: an
// expression, and how many decimals a number gets. Values of known metrics get their unit. {{ and }} are braces.
type template []piece

type piece struct {
	fixed    string
	value    *expression // nil: fixed
	decimals int         // -1: as many as it needs, at most one
	unit     string
}

func escapeTemplate(text string) string {
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(text)
}

func compileTemplate(text string) (template, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(text), maxText)
	}
	var out template
	var fixed strings.Builder
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			fixed.WriteByte(text[i])
			i += 2
		case text[i] == '}':
			return nil, fmt.Errorf("column %d: a } without its {; a brace itself is written }}", i+1)
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("column %d: a { without its }; a brace itself is written {{", i+1)
			}
			p, err := compilePlaceholder(text[i+1 : i+end])
			if err != nil {
				return nil, fmt.Errorf("placeholder at column %d: %w", i+1, err)
			}
			out = append(out, piece{fixed: fixed.String()}, p)
			fixed.Reset()
			i += end + 1
		default:
			fixed.WriteByte(text[i])
			i++
		}
	}
	return append(out, piece{fixed: fixed.String()}), nil
}

// maxDecimals bounds the decimals of a number.
const maxDecimals = 6

func compilePlaceholder(text string) (piece, error) {
	p := piece{decimals: -1}
	source := text
	if at := strings.LastIndexByte(text, '|'); at > 0 && text[at-1] != '|' {
		n, err := strconv.Atoi(strings.TrimSpace(text[at+1:]))
		if err != nil || n < 0 || n > maxDecimals {
			return p, fmt.Errorf("%q after | must be a number of decimals, 0 to %d", strings.TrimSpace(text[at+1:]), maxDecimals)
		}
		source, p.decimals = text[:at], n
	}
	if strings.TrimSpace(source) == "" {
		return p, errors.New("is empty: write a name such as {hardware.cpu_temp}")
	}
	e, err := compileExpression(source)
	if err != nil {
		return p, err
	}
	if e.metric != "" {
		if m, ok := protocol.LookupMetric(e.metric); ok {
			p.unit = m.Unit
		} else if w := lookupDerived(e.metric); w != nil {
			p.unit = w.Unit
		}
	}
	p.value = e
	return p, nil
}

// write fills in the values of the moment; one that is missing is a question mark.
func (t template) write(v *View) string {
	var b strings.Builder
	for _, p := range t {
		if p.value == nil {
			b.WriteString(p.fixed)
			continue
		}
		b.WriteString(p.write(v))
	}
	return b.String()
}

func (p piece) write(v *View) string {
	const missing = "?"
	switch p.value.kind {
	case KindNumber:
		x, ok := p.value.number(v)
		if !ok {
			return missing
		}
		return p.format(x)
	case KindText:
		if s, ok := p.value.text(v); ok {
			return s
		}
	case KindList:
		if all, ok := p.value.list(v); ok {
			return strings.Join(all, ", ")
		}
	case KindTruth:
		switch p.value.truth(v) {
		case True:
			return "yes"
		case False:
			return "no"
		}
	}
	return missing
}

func (p piece) format(x float64) string {
	text := strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
	if p.decimals >= 0 {
		text = strconv.FormatFloat(x, 'f', p.decimals, 64)
	}
	switch p.unit {
	case "", "°":
		return text + p.unit
	}
	return text + "\u00a0" + p.unit
}
