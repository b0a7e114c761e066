package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

// AlertsOf returns up to limit alerts of an incident, those that stand first, the oldest of them first.
func (s *Store) AlertsOf(ctx context.Context, incidentID string, limit int) ([]fleet.Alert, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT data FROM alerts WHERE incident_id <> '' AND incident_id = $1
		ORDER BY state <> 'open', opened_at, id LIMIT $2`, incidentID, limit)
	out, err := collect(rows, err, fromData[fleet.Alert])
	if err != nil {
		return nil, fmt.Errorf("alerts of incident %s: %w", incidentID, err)
	}
	return out, nil
}

// The readers of alert events, each with its own cursor.
const (
	cursorRoutes = "routes"
	cursorFeed   = "feed"
)

func (s *Store) cursor(ctx context.Context, name string) (id int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT event_id FROM notification_cursors WHERE name = $1`, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

func setCursor(ctx context.Context, tx *sql.Tx, name string, id int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO notification_cursors (name, event_id) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET event_id = excluded.event_id`, name, id)
	return err
}

// NotificationGroups returns everything that is kept of groups, and up to which alert event it was brought.
func (s *Store) NotificationGroups(ctx context.Context) (groups []fleet.NotificationGroup, cursor int64, err error) {
	if cursor, err = s.cursor(ctx, cursorRoutes); err == nil {
		var rows *sql.Rows
		rows, err = s.read.QueryContext(ctx, `SELECT key, data FROM notification_groups ORDER BY key`)
		groups, err = collect(rows, err, func(row scanner) (g fleet.NotificationGroup, err error) {
			err = row.Scan(&g.Key, &g.Data)
			return g, err
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("notification groups: %w", err)
	}
	return groups, cursor, nil
}

// SaveNotificationStep writes a step in one transaction.
func (s *Store) SaveNotificationStep(ctx context.Context, step fleet.NotificationStep) error {
	return s.change(ctx, "save a notification step", func(tx *sql.Tx) error {
		if err := setCursor(ctx, tx, cursorRoutes, step.Cursor); err != nil {
			return err
		}
		for _, g := range step.Groups {
			query, args := `INSERT INTO notification_groups (key, data) VALUES ($1, $2)
				ON CONFLICT (key) DO UPDATE SET data = excluded.data`, []any{g.Key, string(g.Data)}
			if len(g.Data) == 0 {
				query, args = `DELETE FROM notification_groups WHERE key = $1`, args[:1]
			}
			if _, err := tx.ExecContext(ctx, query, args...); err != nil {
				return err
			}
		}
		for _, d := range step.Deliveries {
			if err := insertDelivery(ctx, tx, d); err != nil {
				return err
			}
		}
		return saveAlertEvents(ctx, tx, &fleet.AlertBatch{Events: step.Events})
	})
}

// PublishedAlerts returns the ids of the alerts and incidents whose beginning was published and whose end was
// not, and up to which alert event the feed was published.
func (s *Store) PublishedAlerts(ctx context.Context) (ids []string, cursor int64, err error) {
	if cursor, err = s.cursor(ctx, cursorFeed); err == nil {
		var rows *sql.Rows
		rows, err = s.read.QueryContext(ctx, `SELECT id FROM notification_published`)
		ids, err = collect(rows, err, func(row scanner) (id string, err error) {
			err = row.Scan(&id)
			return id, err
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("published alerts: %w", err)
	}
	return ids, cursor, nil
}

// SavePublished notes how far the feed was published, whose beginning and whose end was in it.
func (s *Store) SavePublished(ctx context.Context, cursor int64, begun, ended []string) error {
	return s.change(ctx, "save what was published", func(tx *sql.Tx) error {
		for _, id := range begun {
			if _, err := tx.ExecContext(ctx, `INSERT INTO notification_published (id) VALUES ($1) ON CONFLICT DO NOTHING`, id); err != nil {
				return err
			}
		}
		for _, id := range ended {
			if _, err := tx.ExecContext(ctx, `DELETE FROM notification_published WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return setCursor(ctx, tx, cursorFeed, cursor)
	})
}

// NotificationRoutes returns the routes.
func (s *Store) NotificationRoutes(ctx context.Context) (r fleet.NotificationRoutes, err error) {
	var routes string
	var at int64
	err = s.read.QueryRowContext(ctx, `SELECT version, routes, updated_at, updated_by FROM notification_routes WHERE id = 1`).Scan(&r.Version, &routes, &at, &r.UpdatedBy)
	if err == nil {
		r.UpdatedAt = fromMillis(at)
		err = json.Unmarshal([]byte(routes), &r.Routes)
	}
	if err != nil {
		return r, fmt.Errorf("notification routes: %w", err)
	}
	return r, nil
}

// SetNotificationRoutes replaces the routes if their version is still r.Version, and returns them with the next
// one. Errors: *fleet.ValidationError when somebody else was faster.
func (s *Store) SetNotificationRoutes(ctx context.Context, r fleet.NotificationRoutes) (fleet.NotificationRoutes, error) {
	routes, err := json.Marshal(r.Routes)
	if err != nil {
		return r, fmt.Errorf("set the notification routes: %w", err)
	}
	err = s.change(ctx, "set the notification routes", func(tx *sql.Tx) error {
		err := touched(tx.ExecContext(ctx, `UPDATE notification_routes SET version = version + 1, routes = $1, updated_at = $2, updated_by = $3
			WHERE id = 1 AND version = $4`, string(routes), millis(r.UpdatedAt), r.UpdatedBy, r.Version))
		if errors.Is(err, fleet.ErrNotFound) {
			return fleet.Invalid("version", "the routes are no longer at version %d: somebody has changed them, load them again", r.Version)
		} else if err != nil {
			return err
		}
		r.Version++
		return audit(ctx, tx, r.UpdatedAt, r.UpdatedBy, "notification_routes.set", "", fmt.Sprintf("version %d, %d routes", r.Version, len(r.Routes)))
	})
	return r, err
}

const targetColumns = `id, name, kind, url, secret, disabled, problem, since, updated_at`

func scanTarget(row scanner) (t fleet.NotificationTarget, err error) {
	var disabled, updated int64
	var since sql.NullInt64
	err = row.Scan(&t.ID, &t.Name, &t.Kind, &t.URL, &t.Secret, &disabled, &t.Problem, &since, &updated)
	t.Disabled, t.Since, t.UpdatedAt = disabled != 0, fromNull(since), fromMillis(updated)
	return t, err
}

// NotificationTargets returns every target with its secrets, by name.
func (s *Store) NotificationTargets(ctx context.Context) ([]fleet.NotificationTarget, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+targetColumns+` FROM notification_targets ORDER BY name`)
	out, err := collect(rows, err, scanTarget)
	if err != nil {
		return nil, fmt.Errorf("notification targets: %w", err)
	}
	return out, nil
}

// AddNotificationTarget stores a target. Errors: fleet.ErrExists for a name that there is.
func (s *Store) AddNotificationTarget(ctx context.Context, t fleet.NotificationTarget, actor string) error {
	return s.change(ctx, "add notification target "+t.Name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO notification_targets (`+targetColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			t.ID, t.Name, string(t.Kind), t.URL, t.Secret, t.Disabled, t.Problem, nullMillis(t.Since), millis(t.UpdatedAt))
		if err != nil {
			return err
		}
		return audit(ctx, tx, t.UpdatedAt, actor, "notification_target.add", t.Name, string(t.Kind))
	})
}

// ChangeNotificationTarget writes a target anew; what becomes of its deliveries starts anew, too.
func (s *Store) ChangeNotificationTarget(ctx context.Context, t fleet.NotificationTarget, actor, detail string) error {
	return s.change(ctx, "change notification target "+t.Name, func(tx *sql.Tx) error {
		err := touched(tx.ExecContext(ctx, `UPDATE notification_targets SET url = $1, secret = $2, disabled = $3, problem = $4, since = $5, updated_at = $6 WHERE id = $7`,
			t.URL, t.Secret, t.Disabled, t.Problem, nullMillis(t.Since), millis(t.UpdatedAt), t.ID))
		if err != nil {
			return err
		}
		return audit(ctx, tx, t.UpdatedAt, actor, "notification_target.change", t.Name, detail)
	})
}

// DeleteNotificationTarget removes a target; what waits for it is given up.
func (s *Store) DeleteNotificationTarget(ctx context.Context, id, actor string, now time.Time) error {
	return s.change(ctx, "delete notification target "+id, func(tx *sql.Tx) error {
		var name string
		if err := tx.QueryRowContext(ctx, `DELETE FROM notification_targets WHERE id = $1 RETURNING name`, id).Scan(&name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE notification_deliveries SET status = 'gave_up', error = 'the target was deleted', next_at = NULL, updated_at = $1
			WHERE target = $2 AND status = 'pending'`, millis(now), name)
		if err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "notification_target.delete", name, "")
	})
}
