package backtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	temp    = "hardware.cpu_temp"
	printer = "peripherals.printer_status"
)

var start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// past is a history of readings, each as it came, with a log of changes.
type past struct {
	readings []fleet.Reading
	count    int            // answer of Count, if it is not 0
	before   func(n int)    // called before each reading; nil: not
	events   []fleet.Event  // in order
	kiosks   []*fleet.Kiosk // registered
	now      time.Time      // zero: long after
	oldest   time.Time      // of the journal
}

func (p *past) Count(context.Context, Query) (int, error) { return p.count, nil }

func (p *past) Replay(_ context.Context, q Query, each func(*fleet.Reading) error) error {
	for i := range p.readings {
		if p.before != nil {
			p.before(i)
		}
		r := &p.readings[i]
		if !slices.Contains(q.Serials, r.Serial) || r.ReceivedAt.Before(q.From) || !r.ReceivedAt.Before(q.To) {
			continue
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) All() []*fleet.Kiosk { return p.kiosks }

func (p *past) EventsBetween(_ context.Context, serial string, kind fleet.EventKind, from, to time.Time, limit int) ([]fleet.Event, error) {
	var out []fleet.Event
	for _, e := range p.events {
		if e.Serial == serial && e.Kind == kind && !e.At.Before(from) && e.At.Before(to) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (p *past) EventBefore(_ context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error) {
	for _, e := range slices.Backward(p.events) {
		if e.Serial == serial && e.Kind == kind && (subject == "" || e.Subject == subject) && e.At.Before(at) {
			return &e, nil
		}
	}
	return nil, nil
}

func (p *past) EventFrom(_ context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error) {
	for _, e := range p.events {
		if e.Serial == serial && e.Kind == kind && (subject == "" || e.Subject == subject) && !e.At.Before(at) {
			return &e, nil
		}
	}
	return nil, nil
}

// log adds an event.
func (p *past) log(e fleet.Event) {
	if e.Serial == "" {
		e.Serial = "K-1"
	}
	e.ID = int64(len(p.events) + 1)
	p.events = append(p.events, e)
}

func (p *past) presence(seconds float64, from, to fleet.Presence, why fleet.PresenceReason) {
	p.log(fleet.Event{At: at(seconds), Kind: fleet.EventPresence, From: string(from), To: string(to), Reason: string(why)})
}

// came adds a reading that was not delayed.
func (p *past) came(seconds float64, values ...any) *fleet.Reading {
	r := fleet.Reading{Serial: "K-1", Time: at(seconds), ReceivedAt: at(seconds), Status: protocol.StateOnline, Source: fleet.Source{Record: uint64(len(p.readings) + 1)}}
	for i := 0; i < len(values); i += 2 {
		name, _ := values[i].(string)
		switch v := values[i+1].(type) {
		case int:
			r.Values = append(r.Values, fleet.Value{Metric: name, Value: float64(v)})
		case string:
			r.Texts = append(r.Texts, fleet.Text{Metric: name, Text: v})
		}
	}
	p.readings = append(p.readings, r)
	return &p.readings[len(p.readings)-1]
}

func (p *past) backtest() *Backtest {
	if p.kiosks == nil {
		p.kiosks = []*fleet.Kiosk{{Serial: "K-1", Site: "Hall 1"}}
	}
	if p.now.IsZero() {
		p.now = at(1e6)
	}
	return New(Config{
		Kiosks: p, Events: p, Series: p, Journal: p,
		Oldest: func(context.Context) (time.Time, error) { return p.oldest, nil },
		Now:    func() time.Time { return p.now },
	})
}

func hot(more func(*fleet.Rule)) fleet.Rule {
	r := fleet.Rule{Name: "hot", Severity: fleet.SeverityWarning, Condition: temp + " > 75", Version: 3}
	if more != nil {
		more(&r)
	}
	return r
}

// lines writes alerts as people read them.
func lines(alerts []fleet.Alert) []string {
	out := []string{}
	for _, a := range alerts {
		line := fmt.Sprintf("%s %g", a.Serial, a.OpenedAt.Sub(start).Seconds())
		if a.ResolvedAt != nil {
			line += fmt.Sprintf(" to %g", a.ResolvedAt.Sub(start).Seconds())
		}
		if a.Flapping {
			line += " flapping"
		}
		if a.NoData {
			line += " no data"
		}
		out = append(out, strings.TrimPrefix(line, "K-1 "))
	}
	return out
}
