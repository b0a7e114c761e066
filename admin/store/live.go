package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// SaveLive adds events and writes what is known of some kiosks right now, for the next start, in one
// transaction.
func (s *Store) SaveLive(ctx context.Context, events []fleet.Event, states []fleet.LiveState, now time.Time) error {
	if len(events) == 0 && len(states) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("save %d events and the state of %d kiosks", len(events), len(states)), func(tx *sql.Tx) error {
		if err := insertEvents(ctx, tx, events...); err != nil {
			return err
		}
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		// A kiosk deleted meanwhile gets no row.
		return each(ctx, tx, `INSERT INTO kiosk_live (serial, state, written_at)
			SELECT serial, $2, $3 FROM kiosks WHERE serial = $1
			ON CONFLICT (serial) DO UPDATE SET state = excluded.state, written_at = excluded.written_at`,
			states, func(st *fleet.LiveState) ([]any, error) {
				text.Reset()
				if err := encoder.Encode(st); err != nil {
					return nil, err
				}
				return []any{st.Serial, strings.TrimSuffix(text.String(), "\n"), millis(now)}, nil
			})
	})
}

// Live returns what SaveLive last wrote of every kiosk.
func (s *Store) Live(ctx context.Context) ([]fleet.LiveState, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT state FROM kiosk_live`)
	out, err := collect(rows, err, func(row scanner) (l fleet.LiveState, err error) {
		var text string
		if err := row.Scan(&text); err != nil {
			return l, err
		}
		return l, json.Unmarshal([]byte(text), &l)
	})
	if err != nil {
		return nil, fmt.Errorf("load the state of kiosks: %w", err)
	}
	return out, nil
}
