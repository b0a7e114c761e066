package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

// SaveDerived writes what was learnt of some kiosks, for the next start, in one transaction.
func (s *Store) SaveDerived(ctx context.Context, states []fleet.DerivedState, now time.Time) error {
	if len(states) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("save the derived values of %d kiosks", len(states)), func(tx *sql.Tx) error {
		// A kiosk deleted meanwhile gets no row.
		return each(ctx, tx, `INSERT INTO kiosk_derived (serial, record, item, state, written_at)
			SELECT serial, $2, $3, $4, $5 FROM kiosks WHERE serial = $1
			ON CONFLICT (serial) DO UPDATE SET record = excluded.record, item = excluded.item,
				state = excluded.state, written_at = excluded.written_at`,
			states, func(d *fleet.DerivedState) ([]any, error) {
				return []any{d.Serial, int64(d.Source.Record), d.Source.Item, d.Data, millis(now)}, nil
			})
	})
}

// Derived returns what SaveDerived last wrote of every registered kiosk.
func (s *Store) Derived(ctx context.Context) ([]fleet.DerivedState, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT d.serial, d.record, d.item, d.state
		FROM kiosk_derived d JOIN kiosks k ON k.serial = d.serial ORDER BY d.serial`)
	out, err := collect(rows, err, func(row scanner) (d fleet.DerivedState, err error) {
		var record int64
		err = row.Scan(&d.Serial, &record, &d.Source.Item, &d.Data)
		d.Source.Record = uint64(record)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("load the derived values of kiosks: %w", err)
	}
	return out, nil
}
