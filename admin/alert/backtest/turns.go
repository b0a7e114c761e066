package backtest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

const (
	// maxTurns bounds the changes of all kiosks that are held in memory.
	maxTurns = 2_000_000
	// eventPage is how many events are asked for at a time.
	eventPage = 10_000
)

// Events is the log of what became different with kiosks.
type Events interface {
	// EventsBetween returns up to limit events of one kind in [from, to), oldest first.
	EventsBetween(ctx context.Context, serial string, kind fleet.EventKind, from, to time.Time, limit int) ([]fleet.Event, error)
	// EventBefore returns the last one before a time, nil when there is none. An empty subject is any.
	EventBefore(ctx context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error)
	// EventFrom returns the first one at a time or later, nil when there is none.
	EventFrom(ctx context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error)
}

// turn is that something became different with a kiosk, and what holds from then on.
type turn struct {
	at   time.Time
	live *fleet.Live
}

// turns is what the log tells of one kiosk in a time.
type turns struct {
	before    *fleet.Live // at the beginning; nil: nothing is known
	list      []turn      // oldest first, at most one at each time
	restarted bool        // the platform restarted
}

// turnsOf reads presence, verdict and announcements of a kiosk.
func turnsOf(ctx context.Context, log Events, serial string, from, to time.Time) (turns, error) {
	var t turns
	live := &fleet.Live{Serial: serial, Verdict: fleet.VerdictUnknown}
	known := false
	var events []fleet.Event
	for _, kind := range []fleet.EventKind{fleet.EventJoined, fleet.EventPresence, fleet.EventVerdict} {
		found, err := eventsBetween(ctx, log, serial, kind, from, to)
		if err != nil {
			return t, err
		}
		last, err := log.EventBefore(ctx, serial, kind, "", from)
		if err != nil {
			return t, err
		}
		switch {
		case last != nil:
			known = true
			apply(live, last)
		case len(found) > 0:
			known = true
			undo(live, &found[0])
		}
		events = append(events, found...)
	}
	if known && live.Presence != "" {
		t.before = live
	}
	// Of those at one time the order makes no difference: each is about something else, or the later number is the later.
	slices.SortFunc(events, func(a, b fleet.Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for i := range events {
		e := &events[i]
		t.restarted = t.restarted || e.Kind == fleet.EventPresence && e.Reason == string(fleet.ReasonAdminRestart)
		next := *live
		apply(&next, e)
		live = &next
		if live.Presence == "" {
			continue // not heard of yet
		}
		if n := len(t.list); n > 0 && t.list[n-1].at.Equal(e.At) {
			t.list[n-1].live = live
			continue
		}
		t.list = append(t.list, turn{e.At, live})
	}
	return t, nil
}

// apply makes what an event says so.
func apply(l *fleet.Live, e *fleet.Event) {
	switch e.Kind {
	case fleet.EventPresence:
		l.Presence, l.PresenceReason, l.PresenceSince = fleet.Presence(e.To), fleet.PresenceReason(e.Reason), e.At
	case fleet.EventVerdict:
		l.Verdict, l.VerdictSince, l.Reasons = fleet.Verdict(e.To), e.At, nil
		if e.Subject != "" {
			l.Reasons = []fleet.VerdictReason{{Code: e.Subject, Text: e.Reason, Since: e.At}}
		}
	case fleet.EventJoined:
		l.AgentVersion, l.BootID, l.Session = e.To, e.Subject, e.Reason
	}
}

// undo makes so what held before an event.
func undo(l *fleet.Live, e *fleet.Event) {
	switch e.Kind {
	case fleet.EventPresence:
		l.Presence = fleet.Presence(e.From)
		if l.Presence == fleet.PresenceNever {
			l.PresenceReason = fleet.ReasonNeverSeen
		}
	case fleet.EventVerdict:
		l.Verdict = fleet.Verdict(e.From)
	case fleet.EventJoined:
		l.AgentVersion = e.From
	}
}

// heard is what follows from a first reading, where the log says nothing.
func heard(serial string, at time.Time) *fleet.Live {
	return &fleet.Live{Serial: serial, Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, PresenceSince: at, Verdict: fleet.VerdictUnknown}
}

// eventsBetween returns all events of a kind in [from, to), oldest first.
func eventsBetween(ctx context.Context, log Events, serial string, kind fleet.EventKind, from, to time.Time) ([]fleet.Event, error) {
	var all []fleet.Event
	var seen int64
	for {
		page, err := log.EventsBetween(ctx, serial, kind, from, to, eventPage)
		if err != nil {
			return nil, err
		}
		full := len(page) == eventPage
		before := len(all)
		for _, e := range page {
			if e.At.Equal(from) && e.ID <= seen {
				continue // the page before had it
			}
			all = append(all, e)
		}
		switch {
		case !full || len(all) == before:
			return all, nil
		case len(all) > maxTurns:
			return nil, fleet.Invalid("from", "kiosk %s has more than %d changes: choose a later from", serial, maxTurns)
		}
		from, seen = all[len(all)-1].At, all[len(all)-1].ID
	}
}
