package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

// alertSum adds up alerts and, in milliseconds, the times that people took with them.
type alertSum struct {
	opened, acknowledged, resolved int
	toAcknowledge, toResolve       int64
}

func (s *alertSum) add(n alertSum) {
	s.opened += n.opened
	s.acknowledged += n.acknowledged
	s.resolved += n.resolved
	s.toAcknowledge += n.toAcknowledge
	s.toResolve += n.toResolve
}

func (s *alertSum) mtta() time.Duration { return meanMillis(s.toAcknowledge, s.acknowledged) }
func (s *alertSum) mttr() time.Duration { return meanMillis(s.toResolve, s.resolved) }

func meanMillis(sum int64, n int) time.Duration {
	if n == 0 {
		return 0
	}
	return time.Duration(sum) * time.Millisecond / time.Duration(n)
}

type alertSums map[string]alertSum

func (s alertSums) add(name string, n alertSum) {
	sum := s[name]
	sum.add(n)
	s[name] = sum
}

// counts returns the sums by name, most first.
func (s alertSums) counts() []fleet.AlertCount {
	out := make([]fleet.AlertCount, 0, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		sum := s[name]
		out = append(out, fleet.AlertCount{
			Name: name, Count: sum.opened, MTTASeconds: sum.mtta().Seconds(), MTTRSeconds: sum.mttr().Seconds(),
		})
	}
	slices.SortStableFunc(out, func(a, b fleet.AlertCount) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

func saveSilences(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	return each(ctx, tx, `INSERT INTO silences (id, from_at, until_at, data) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET from_at = excluded.from_at, until_at = excluded.until_at, data = excluded.data`,
		b.Silences, func(s *fleet.Silence) ([]any, error) {
			data, err := json.Marshal(s)
			return []any{s.ID, millis(s.From), millis(s.Until), string(data)}, err
		})
}

// Silences returns the silences that end after a time, the one that ends first first.
func (s *Store) Silences(ctx context.Context, endAfter time.Time) ([]fleet.Silence, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT data FROM silences WHERE until_at > $1 ORDER BY until_at, id`, millis(endAfter))
	out, err := collect(rows, err, fromData[fleet.Silence])
	if err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	return out, nil
}

// Silence returns one silence, or fleet.ErrNotFound.
func (s *Store) Silence(ctx context.Context, id string) (fleet.Silence, error) {
	out, err := fromData[fleet.Silence](s.read.QueryRowContext(ctx, `SELECT data FROM silences WHERE id = $1`, id))
	if err != nil {
		return out, fmt.Errorf("silence %s: %w", id, known(err))
	}
	return out, nil
}

func saveWindows(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	for _, id := range b.RemovedWindows {
		if err := touched(tx.ExecContext(ctx, `DELETE FROM maintenance_windows WHERE id = $1`, id)); err != nil {
			return err
		}
	}
	return each(ctx, tx, `INSERT INTO maintenance_windows (id, from_at, until_at, data) VALUES ($1, $2, $3, $4)`,
		b.Windows, func(w *fleet.MaintenanceWindow) ([]any, error) {
			data, err := json.Marshal(w)
			return []any{w.ID, millis(w.From), millis(w.Until), string(data)}, err
		})
}

// MaintenanceWindows returns the windows that end after a time, the one that ends first first.
func (s *Store) MaintenanceWindows(ctx context.Context, endAfter time.Time) ([]fleet.MaintenanceWindow, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT data FROM maintenance_windows WHERE until_at > $1 ORDER BY until_at, id`, millis(endAfter))
	out, err := collect(rows, err, fromData[fleet.MaintenanceWindow])
	if err != nil {
		return nil, fmt.Errorf("list maintenance windows: %w", err)
	}
	return out, nil
}

// PruneAlerts removes up to limit alerts that were resolved before a time, oldest first, with their events, and as
// many incidents; then silences and maintenance windows that ended before it. It returns how many alerts and
// incidents it removed: 0 when there are none left. What is open stays, and so does an incident that has alerts.
func (s *Store) PruneAlerts(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.change(ctx, "prune alerts", func(tx *sql.Tx) error {
		for _, q := range []struct{ find, events, remove string }{
			{
				`SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < $1 ORDER BY resolved_at LIMIT $2`,
				`DELETE FROM alert_events WHERE alert_id <> '' AND alert_id = $1`,
				`DELETE FROM alerts WHERE id = $1`,
			},
			{
				`SELECT id FROM incidents WHERE state = 'resolved' AND resolved_at < $1
					AND NOT EXISTS (SELECT 1 FROM alerts WHERE incident_id <> '' AND incident_id = incidents.id) ORDER BY resolved_at LIMIT $2`,
				`DELETE FROM alert_events WHERE incident_id <> '' AND incident_id = $1`,
				`DELETE FROM incidents WHERE id = $1`,
			},
		} {
			rows, err := tx.QueryContext(ctx, q.find, millis(before), limit)
			ids, err := collect(rows, err, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
			if err != nil {
				return err
			}
			for _, statement := range []string{q.events, q.remove} {
				if err := each(ctx, tx, statement, ids, func(id *string) ([]any, error) { return []any{*id}, nil }); err != nil {
					return err
				}
			}
			n += len(ids)
		}
		for _, statement := range []string{`DELETE FROM silences WHERE until_at < $1`, `DELETE FROM maintenance_windows WHERE until_at < $1`} {
			if _, err := tx.ExecContext(ctx, statement, millis(before)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
