package ingest

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// The oracle decodes messages the slow way, with encoding/json and maps, and by the same rules: what the
// decoder is compared with.

// node is a JSON value with its members in order, the same name more than once where the text has it so.
type node struct {
	kind    byte // first byte of the value: { [ " n t f, and 0 for all numbers
	text    string
	names   []string
	members []node
}

// parseNode returns the value and its levels of objects and arrays; ok is false unless the text is JSON
// that the decoder takes.
func parseNode(text []byte) (n node, levels int, ok bool) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return n, 0, false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var parse func() (node, int)
	token := func() json.Token {
		t, err := dec.Token()
		if err != nil {
			panic(err)
		}
		return t
	}
	parse = func() (node, int) {
		switch t := token().(type) {
		case nil:
			return node{kind: 'n'}, 0
		case bool:
			if t {
				return node{kind: 't'}, 0
			}
			return node{kind: 'f'}, 0
		case string:
			return node{kind: '"', text: t}, 0
		case json.Number:
			return node{kind: '0', text: t.String()}, 0
		case json.Delim:
			n, deepest := node{kind: byte(t)}, 0
			for dec.More() {
				if t == '{' {
					name, _ := token().(string)
					n.names = append(n.names, name)
				}
				member, levels := parse()
				n.members = append(n.members, member)
				deepest = max(deepest, levels)
			}
			token()
			return n, deepest + 1
		}
		panic("no token")
	}
	n, levels = parse()
	return n, levels, levels <= maxNesting
}

// oracle returns what decodeReadings should: the readings, and the items that are refused. whole says
// that the message is refused as such.
func oracle(serial string, payload []byte, receivedAt time.Time, window time.Duration) (readings []fleet.Reading, refused []int, whole bool) {
	if len(payload) > maxPayloadBytes {
		return nil, nil, true
	}
	n, _, ok := parseNode(payload)
	items := []node{n}
	if n.kind == '[' {
		items = n.members
	}
	if !ok || len(items) > maxReadings {
		return nil, nil, true
	}
	for i, item := range items {
		r := fleet.Reading{Serial: serial, ReceivedAt: receivedAt, Source: fleet.Source{Item: i}}
		if judge(&r, item, window) {
			readings = append(readings, r)
		} else {
			refused = append(refused, i)
		}
	}
	return readings, refused, false
}

func unique(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) == len(names)
}

// short returns a text that is taken for a name or a word.
func (n node) short() (string, bool) {
	ok := n.kind == 'n' || n.kind == '"' && len(n.text) <= maxTextBytes && !strings.Contains(n.text, "\x00")
	return n.text, ok
}

func (n node) uint() (uint64, bool) {
	if n.kind == 'n' {
		return 0, true
	}
	u, err := strconv.ParseUint(n.text, 10, 64)
	return u, err == nil && n.kind == '0'
}

func (n node) int() (int64, bool) {
	if n.kind == 'n' {
		return 0, true
	}
	i, err := strconv.ParseInt(n.text, 10, 64)
	return i, err == nil && n.kind == '0'
}

func (n node) levels() int {
	if n.kind != '{' && n.kind != '[' {
		return 0
	}
	deepest := 0
	for _, m := range n.members {
		deepest = max(deepest, m.levels())
	}
	return deepest + 1
}

func judge(r *fleet.Reading, n node, window time.Duration) bool {
	if n.kind != '{' || !unique(n.names) {
		return false
	}
	var at time.Time
	var serial string
	fields, groups := 0, 0
	for i, name := range n.names {
		m := n.members[i]
		var ok bool
		switch name {
		case "timestamp":
			at, ok = oracleTime(m.text)
			ok = ok && len(m.text) <= maxTextBytes && m.kind == '"'
		case "serial":
			serial, ok = m.text, m.kind == '"'
		case "seq":
			r.Seq, ok = m.uint()
		case "session":
			r.Session, ok = m.short()
		case "status":
			var status string
			status, ok = m.short()
			r.Status = protocol.State(status)
		case "config_version":
			r.ConfigVersion, ok = m.int()
		case "kiosk_id":
			ok = m.levels() < maxLevels
		case "dropped":
			ok = judgeDropped(r, m)
		default:
			if knownGroupOf([]byte(name)) < 0 {
				groups++
			}
			fields += len(m.names)
			ok = judgeGroup(r, name, m)
		}
		if !ok {
			return false
		}
	}
	if serial != r.Serial || at.IsZero() || fields > maxFields || groups > maxFields || at.Unix() < 0 || at.Unix() >= lastSecond {
		return false
	}
	if at.After(r.ReceivedAt.Add(maxFuture)) || at.Before(r.ReceivedAt.Add(-window)) {
		return false
	}
	r.Time = at.UTC().Truncate(time.Millisecond)
	slices.SortFunc(r.Values, func(a, b fleet.Value) int { return strings.Compare(a.Metric, b.Metric) })
	slices.SortFunc(r.Texts, func(a, b fleet.Text) int { return strings.Compare(a.Metric, b.Metric) })
	return true
}

func judgeDropped(r *fleet.Reading, n node) bool {
	if n.kind == 'n' {
		return true
	}
	if n.kind != '[' || len(n.members) > maxDropped {
		return false
	}
	for _, m := range n.members {
		var s protocol.SeqRange
		seen := map[string]bool{}
		for i, name := range m.names {
			ok := !seen[name]
			v := m.members[i]
			switch name {
			case "session":
				seen[name] = true
				text, short := v.short()
				s.Session, ok = text, ok && short
			case "from":
				seen[name] = true
				from, number := v.uint()
				s.From, ok = from, ok && number
			case "to":
				seen[name] = true
				to, number := v.uint()
				s.To, ok = to, ok && number
			default:
				ok = v.levels() == 0
			}
			if !ok {
				return false
			}
		}
		if m.kind != '{' || s.From < 1 || s.From > s.To {
			return false
		}
		r.Dropped = append(r.Dropped, s)
	}
	return true
}

func judgeGroup(r *fleet.Reading, group string, n node) bool {
	if n.kind != '{' && n.kind != 'n' || !unique(n.names) || !protocol.ValidMetricName(group+".x") {
		return false
	}
	values, texts := len(r.Values), len(r.Texts)
	if group == "anomaly" { // the platform's
		defer func() { r.Values, r.Texts = r.Values[:values], r.Texts[:texts] }()
	}
	for i, name := range n.names {
		metric, m := group+"."+name, n.members[i]
		if !protocol.ValidMetricName(metric) {
			return false
		}
		switch m.kind {
		case 'n':
		case 't':
			r.Values = append(r.Values, fleet.Value{Metric: metric, Value: 1})
		case 'f':
			r.Values = append(r.Values, fleet.Value{Metric: metric})
		case '"':
			text, ok := m.short()
			if !ok {
				return false
			}
			r.Texts = append(r.Texts, fleet.Text{Metric: metric, Text: text})
		case '0':
			v, err := strconv.ParseFloat(m.text, 64)
			if err != nil || len(m.text) > maxNumberBytes {
				return false
			}
			r.Values = append(r.Values, fleet.Value{Metric: metric, Value: v})
		default:
			return false
		}
	}
	return true
}

// oracleTime parses what encoding/json takes for a time.
func oracleTime(text string) (at time.Time, ok bool) {
	quoted, err := json.Marshal(text)
	return at, err == nil && json.Unmarshal(quoted, &at) == nil && !at.IsZero()
}

// same compares readings; numbers bit by bit.
func same(a, b *fleet.Reading) bool {
	return a.Serial == b.Serial && a.Time.Equal(b.Time) && a.Time.Location() == b.Time.Location() && a.ReceivedAt.Equal(b.ReceivedAt) &&
		a.Seq == b.Seq && a.Session == b.Session && a.Status == b.Status && a.ConfigVersion == b.ConfigVersion && a.Source == b.Source &&
		slices.Equal(a.Texts, b.Texts) && slices.Equal(a.Dropped, b.Dropped) &&
		slices.EqualFunc(a.Values, b.Values, func(v, w fleet.Value) bool {
			return v.Metric == w.Metric && math.Float64bits(v.Value) == math.Float64bits(w.Value)
		})
}
