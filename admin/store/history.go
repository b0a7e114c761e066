package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

const eventColumns = `id, serial, at, kind, subject, from_, to_, reason, actor`

func scanEvent(row scanner) (e fleet.Event, err error) {
	var at int64
	err = row.Scan(&e.ID, &e.Serial, &at, &e.Kind, &e.Subject, &e.From, &e.To, &e.Reason, &e.Actor)
	e.At = fromMillis(at)
	return e, err
}

// EventsBetween returns up to limit events of one kind of a kiosk in [from, to), oldest first.
func (s *Store) EventsBetween(ctx context.Context, serial string, kind fleet.EventKind, from, to time.Time, limit int) ([]fleet.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE serial = $1 AND at >= $2 AND at < $3 AND kind = $4 ORDER BY at, id LIMIT $5`, serial, millis(from), millis(to), string(kind), limit)
	out, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("%s events of %s: %w", kind, serial, err)
	}
	return out, nil
}

// EventBefore returns the last event of one kind of a kiosk before a time, nil when there is none. A subject that is not
// empty must be the event's.
func (s *Store) EventBefore(ctx context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE serial = $1 AND at < $2 AND kind = $3 AND ($4 = '' OR subject = $4) ORDER BY at DESC, id DESC LIMIT 1`, serial, millis(at), string(kind), subject)
	return oneEvent(serial, kind, rows, err)
}

// EventFrom returns the first event of one kind of a kiosk at a time or later, nil when there is none. A subject that is
// not empty must be the event's.
func (s *Store) EventFrom(ctx context.Context, serial string, kind fleet.EventKind, subject string, at time.Time) (*fleet.Event, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE serial = $1 AND at >= $2 AND kind = $3 AND ($4 = '' OR subject = $4) ORDER BY at, id LIMIT 1`, serial, millis(at), string(kind), subject)
	return oneEvent(serial, kind, rows, err)
}

func oneEvent(serial string, kind fleet.EventKind, rows *sql.Rows, err error) (*fleet.Event, error) {
	found, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("%s events of %s: %w", kind, serial, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0], nil
}
