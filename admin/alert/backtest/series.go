package backtest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// chunk is the time of which the points of one kiosk are held in memory.
const chunk = 24 * time.Hour

// pulse is a metric that kiosks report in every reading. It tells when there were readings where a rule looks at no
// numbers of its own.
const pulse = "hardware.cpu_usage"

// Points gives stored numbers.
type Points interface {
	// Points returns all of one metric of a kiosk in [from, to), oldest first.
	Points(ctx context.Context, metric, serial string, from, to time.Time) ([]Point, error)
	// Count returns how many there are of some kiosks together.
	Count(ctx context.Context, metric string, serials []string, from, to time.Time) (int, error)
}

// Point is one value; Time is the reading's own.
type Point struct {
	Time  time.Time
	Value float64
}

// Series is the History of what is kept as time series. The numbers of one instant are one reading, which counts as
// received then. Texts hold from one change in the log to the next.
type Series struct {
	Points Points
	Events Events
	Live   func(serial string) *fleet.Live // has the texts that never changed; nil for a kiosk that is not known
}

// isText reports whether a metric is known to be a text.
func isText(metric string) bool {
	m, _ := protocol.LookupMetric(metric)
	return m.Kind == protocol.KindState
}

// numbers returns the metrics that may be numbers, sorted, with the pulse when no other is known to be.
func numbers(metrics []string) []string {
	var out []string
	sure := false
	for _, name := range metrics {
		if !isText(name) {
			_, known := protocol.LookupMetric(name)
			out, sure = append(out, name), sure || known
		}
	}
	if !sure {
		out = append(out, pulse)
		slices.Sort(out)
	}
	return out
}

// texts returns the metrics that may be texts.
func texts(metrics []string) []string {
	return slices.DeleteFunc(slices.Clone(metrics), func(name string) bool {
		m, known := protocol.LookupMetric(name)
		return known && m.Kind != protocol.KindState
	})
}

// Count implements History: readings are at least as many as the points of the most frequent metric.
func (s Series) Count(ctx context.Context, q Query) (int, error) {
	most := 0
	for _, metric := range numbers(q.Metrics) {
		n, err := s.Points.Count(ctx, metric, q.Serials, q.From, q.To)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// Replay implements History, kiosk by kiosk.
func (s Series) Replay(ctx context.Context, q Query, each func(*fleet.Reading) error) error {
	names, words := numbers(q.Metrics), texts(q.Metrics)
	for _, serial := range q.Serials {
		m := &merge{serial: serial, each: each, numbers: names}
		if err := s.words(ctx, m, words, q); err != nil {
			return err
		}
		for from := q.From; from.Before(q.To); from = from.Add(chunk) {
			to := from.Add(chunk)
			if to.After(q.To) {
				to = q.To
			}
			m.points = make([][]Point, len(names))
			for i, name := range names {
				var err error
				if m.points[i], err = s.Points.Points(ctx, name, serial, from, to); err != nil {
					return err
				}
			}
			if err := m.run(to); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// words finds out what the kiosk's texts and its state were at the beginning, and how they changed.
func (s Series) words(ctx context.Context, m *merge, metrics []string, q Query) error {
	start, err := s.seen(ctx, m.serial, q)
	if err != nil {
		return err
	}
	var now *fleet.Reading
	if l := s.Live(m.serial); l != nil {
		now = l.LastReading
	}
	reported := ""
	if now != nil {
		reported = string(now.Status)
	}
	status, err := s.before(ctx, m.serial, fleet.EventStatus, "", q.From, reported)
	if err != nil {
		return err
	}
	m.status = protocol.State(status)
	for _, metric := range metrics {
		reported = ""
		if now != nil {
			reported, _ = now.Text(metric)
		}
		text, err := s.before(ctx, m.serial, fleet.EventPeripheral, metric, q.From, reported)
		if err != nil {
			return err
		}
		if text != "" {
			m.texts = append(m.texts, fleet.Text{Metric: metric, Text: text})
		}
	}
	if (m.status != "" || len(m.texts) > 0) && start.Before(q.To) {
		m.changes = append(m.changes, fleet.Event{At: start, Kind: fleet.EventStatus, To: status})
	}
	for _, kind := range []fleet.EventKind{fleet.EventStatus, fleet.EventPeripheral} {
		found, err := eventsBetween(ctx, s.Events, m.serial, kind, q.From, q.To)
		if err != nil {
			return err
		}
		for _, e := range found {
			if kind == fleet.EventStatus || slices.Contains(metrics, e.Subject) {
				m.changes = append(m.changes, e)
			}
		}
	}
	slices.SortFunc(m.changes, func(a, b fleet.Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return nil
}

// seen returns from when on the kiosk had been heard of, From at the earliest.
func (s Series) seen(ctx context.Context, serial string, q Query) (time.Time, error) {
	before, err := s.Events.EventBefore(ctx, serial, fleet.EventPresence, "", q.From)
	if err != nil || before != nil {
		return q.From, err
	}
	first, err := s.Events.EventFrom(ctx, serial, fleet.EventPresence, "", q.From)
	if err != nil || first == nil || first.From != string(fleet.PresenceNever) {
		return q.From, err
	}
	return first.At, nil
}

// before returns what a text was at a time: what it had become before, or what it was before it became another, or,
// if it never did, what it is now.
func (s Series) before(ctx context.Context, serial string, kind fleet.EventKind, subject string, at time.Time, now string) (string, error) {
	if last, err := s.Events.EventBefore(ctx, serial, kind, subject, at); err != nil {
		return "", err
	} else if last != nil {
		return last.To, nil
	}
	if first, err := s.Events.EventFrom(ctx, serial, kind, subject, at); err != nil {
		return "", err
	} else if first != nil {
		return first.From, nil
	}
	return now, nil
}

// merge makes readings of one kiosk from points of several metrics and changes of texts.
type merge struct {
	serial  string
	each    func(*fleet.Reading) error
	numbers []string  // metrics, sorted
	points  [][]Point // of each that are still to come
	changes []fleet.Event
	texts   []fleet.Text // as they are, sorted; never changed in place
	status  protocol.State
	values  []fleet.Value // of the last reading
}

// run passes the readings before a time.
func (m *merge) run(to time.Time) error {
	for {
		next := to
		for _, points := range m.points {
			if len(points) > 0 && points[0].Time.Before(next) {
				next = points[0].Time
			}
		}
		if len(m.changes) > 0 && m.changes[0].At.Before(next) {
			next = m.changes[0].At
		}
		if !next.Before(to) {
			return nil
		}
		for len(m.changes) > 0 && m.changes[0].At.Equal(next) {
			m.change(m.changes[0])
			m.changes = m.changes[1:]
		}
		// A change becomes known with a reading, shortly after the time that the reading itself has: its numbers stand.
		var values []fleet.Value
		for i, points := range m.points {
			if len(points) > 0 && points[0].Time.Equal(next) {
				if values == nil {
					values = make([]fleet.Value, 0, len(m.points))
				}
				values = append(values, fleet.Value{Metric: m.numbers[i], Value: points[0].Value})
				m.points[i] = points[1:]
			}
		}
		if values != nil {
			m.values = values
		}
		if err := m.each(&fleet.Reading{Serial: m.serial, Time: next, ReceivedAt: next, Status: m.status, Values: m.values, Texts: m.texts}); err != nil {
			return err
		}
	}
}

// change makes a text or the state another.
func (m *merge) change(e fleet.Event) {
	if e.Kind == fleet.EventStatus {
		m.status = protocol.State(e.To)
		return
	}
	texts := slices.Clone(m.texts)
	i, found := slices.BinarySearchFunc(texts, e.Subject, func(t fleet.Text, name string) int { return strings.Compare(t.Metric, name) })
	if found {
		texts[i].Text = e.To
	} else {
		texts = slices.Insert(texts, i, fleet.Text{Metric: e.Subject, Text: e.To})
	}
	m.texts = texts
}
