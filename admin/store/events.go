package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

func insertEvents(ctx context.Context, tx *sql.Tx, events ...fleet.Event) error {
	return each(ctx, tx, `INSERT INTO events (serial, at, kind, subject, from_, to_, reason, actor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, events, func(e *fleet.Event) ([]any, error) {
		return []any{e.Serial, millis(e.At), string(e.Kind), e.Subject, e.From, e.To, e.Reason, e.Actor}, nil
	})
}

// Events returns up to limit events of a kiosk, newest first: those before the one at that time with
// that id, or from the newest when before is zero.
func (s *Store) Events(ctx context.Context, serial string, before time.Time, id int64, limit int) ([]fleet.Event, error) {
	at := int64(math.MaxInt64)
	if !before.IsZero() {
		at = millis(before)
	}
	rows, err := s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE serial = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4`, serial, at, id, limit)
	out, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("events of %s: %w", serial, err)
	}
	return out, nil
}

// Audit records that somebody did something to something.
func (s *Store) Audit(ctx context.Context, now time.Time, actor, action, target, detail string) error {
	return s.change(ctx, "audit "+action, func(tx *sql.Tx) error {
		return audit(ctx, tx, now, actor, action, target, detail)
	})
}

func audit(ctx context.Context, tx *sql.Tx, now time.Time, actor, action, target, detail string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (at, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5)`,
		millis(now), actor, action, target, detail)
	return err
}
