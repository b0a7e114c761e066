package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

// AvailabilityStates returns what the time of each kiosk counts as, and up to when everything is known: zero
// before the first time.
func (s *Store) AvailabilityStates(ctx context.Context) (states []fleet.AvailabilityState, alive time.Time, err error) {
	var until int64
	if err := s.read.QueryRowContext(ctx, `SELECT until FROM availability_alive WHERE id = 1`).Scan(&until); err != nil {
		return nil, alive, fmt.Errorf("availability: %w", err)
	}
	if until > 0 {
		alive = fromMillis(until)
	}
	rows, err := s.read.QueryContext(ctx, `SELECT serial, site, kind, since, doubt FROM availability_states`)
	states, err = collect(rows, err, func(row scanner) (a fleet.AvailabilityState, err error) {
		var since, doubt int64
		err = row.Scan(&a.Serial, &a.Site, &a.Kind, &since, &doubt)
		a.Since = fromMillis(since)
		if doubt > 0 {
			a.Doubt = fromMillis(doubt)
		}
		return a, err
	})
	if err != nil {
		return nil, alive, fmt.Errorf("availability of kiosks: %w", err)
	}
	return states, alive, nil
}

// SaveAvailability keeps a change, all of it or nothing.
func (s *Store) SaveAvailability(ctx context.Context, c fleet.AvailabilityChange) error {
	return s.change(ctx, fmt.Sprintf("save the availability of %d kiosks", len(c.States)), func(tx *sql.Tx) error {
		err := each(ctx, tx, `INSERT INTO availability_weeks (week, serial, site, data) VALUES ($1, $2, $3, $4)
				ON CONFLICT (week, serial, site) DO UPDATE SET data = excluded.data`, c.Weeks, func(w *fleet.AvailabilityWeek) ([]any, error) {
			return []any{w.Week, w.Serial, w.Site, w.Data}, nil
		})
		if err != nil {
			return err
		}
		for _, serial := range c.Ended {
			if _, err := tx.ExecContext(ctx, `DELETE FROM availability_states WHERE serial = $1`, serial); err != nil {
				return err
			}
		}
		err = each(ctx, tx, `INSERT INTO availability_states (serial, site, kind, since, doubt) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (serial) DO UPDATE SET site = excluded.site, kind = excluded.kind, since = excluded.since, doubt = excluded.doubt`,
			c.States, func(a *fleet.AvailabilityState) ([]any, error) {
				var doubt int64
				if !a.Doubt.IsZero() {
					doubt = millis(a.Doubt)
				}
				return []any{a.Serial, a.Site, a.Kind, millis(a.Since), doubt}, nil
			})
		if err != nil || c.Alive.IsZero() {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE availability_alive SET until = $1 WHERE id = 1`, millis(c.Alive))
		return err
	})
}

// AvailabilityWeeks passes the records of the weeks from first to last to found, week by week: of one kiosk, of one
// site, or of all where both are empty. The data must not be kept.
func (s *Store) AvailabilityWeeks(ctx context.Context, serial, site string, first, last int64, found func(fleet.AvailabilityWeek) error) error {
	query, args := `SELECT serial, site, data FROM availability_weeks WHERE week = $1`, []any{int64(0)}
	switch {
	case serial != "":
		query, args = query+` AND serial = $2`, append(args, serial)
	case site != "":
		query, args = query+` AND site = $2`, append(args, site)
	}
	stmt, err := s.read.PrepareContext(ctx, query)
	if err != nil {
		return fmt.Errorf("availability: %w", err)
	}
	defer stmt.Close()
	for week := first; week <= last; week++ {
		args[0] = week
		if err := eachAvailability(ctx, stmt, args, week, found); err != nil {
			return fmt.Errorf("availability of week %d: %w", week, err)
		}
	}
	return nil
}

func eachAvailability(ctx context.Context, stmt *sql.Stmt, args []any, week int64, found func(fleet.AvailabilityWeek) error) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var data sql.RawBytes
	for rows.Next() {
		w := fleet.AvailabilityWeek{Week: week}
		if err := rows.Scan(&w.Serial, &w.Site, &data); err != nil {
			return err
		}
		w.Data = data
		if err := found(w); err != nil {
			return err
		}
	}
	return rows.Err()
}

// DeleteAvailability removes the records of weeks before that one.
func (s *Store) DeleteAvailability(ctx context.Context, before int64) error {
	return s.change(ctx, "delete old availability", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM availability_weeks WHERE week < $1`, before)
		return err
	})
}
