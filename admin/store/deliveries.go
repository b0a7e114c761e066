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

const deliveryColumns = `id, target, route, group_key, status, attempts, error, created_at, updated_at, next_at, give_up_at, incident_id, alert_ids, payload`

func scanDelivery(row scanner) (fleet.Delivery, error) {
	var d fleet.Delivery
	var created, updated, giveUp int64
	var next sql.NullInt64
	var alerts, payload string
	err := row.Scan(&d.ID, &d.Target, &d.Route, &d.Group, &d.Status, &d.Attempts, &d.Error, &created, &updated, &next, &giveUp, &d.IncidentID, &alerts, &payload)
	if err != nil {
		return d, err
	}
	d.CreatedAt, d.UpdatedAt, d.NextAt, d.GiveUpAt = fromMillis(created), fromMillis(updated), fromNull(next), fromMillis(giveUp)
	d.Payload = json.RawMessage(payload)
	return d, json.Unmarshal([]byte(alerts), &d.AlertIDs)
}

func insertDelivery(ctx context.Context, tx *sql.Tx, d fleet.Delivery) error {
	if d.AlertIDs == nil {
		d.AlertIDs = []string{}
	}
	alerts, err := json.Marshal(d.AlertIDs)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO notification_deliveries (`+deliveryColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		d.ID, d.Target, d.Route, d.Group, string(d.Status), d.Attempts, d.Error, millis(d.CreatedAt), millis(d.UpdatedAt), nullMillis(d.NextAt),
		millis(d.GiveUpAt), d.IncidentID, string(alerts), string(d.Payload))
	for i := 0; err == nil && i < len(d.AlertIDs); i++ {
		_, err = tx.ExecContext(ctx, `INSERT INTO notification_delivery_alerts (alert_id, delivery_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, d.AlertIDs[i], d.ID)
	}
	return err
}

// PendingDeliveries returns every delivery that is still to be made, oldest first.
func (s *Store) PendingDeliveries(ctx context.Context) ([]fleet.Delivery, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM notification_deliveries WHERE status = 'pending' ORDER BY id`)
	out, err := collect(rows, err, scanDelivery)
	if err != nil {
		return nil, fmt.Errorf("pending deliveries: %w", err)
	}
	return out, nil
}

// Delivery returns one delivery, or fleet.ErrNotFound.
func (s *Store) Delivery(ctx context.Context, id string) (fleet.Delivery, error) {
	d, err := scanDelivery(s.read.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM notification_deliveries WHERE id = $1`, id))
	if err != nil {
		return d, fmt.Errorf("delivery %s: %w", id, known(err))
	}
	return d, nil
}

// Deliveries returns up to limit deliveries of a filter with ids below before (empty: from the newest), newest
// first.
func (s *Store) Deliveries(ctx context.Context, f fleet.DeliveryFilter, before string, limit int) ([]fleet.Delivery, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM notification_deliveries
		WHERE ($1 = '' OR id < $1) AND ($2 = '' OR target = $2) AND ($3 = '' OR status = $3)
		AND ($4 = '' OR id IN (SELECT delivery_id FROM notification_delivery_alerts WHERE alert_id = $4)) ORDER BY id DESC LIMIT $5`,
		before, f.Target, string(f.Status), f.AlertID, limit)
	out, err := collect(rows, err, scanDelivery)
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	return out, nil
}

// SettleDelivery writes what became of an attempt, in one transaction. A delivery or target that is gone
// meanwhile is passed over.
func (s *Store) SettleDelivery(ctx context.Context, o fleet.DeliveryOutcome) error {
	return s.change(ctx, "settle delivery "+o.Delivery.ID, func(tx *sql.Tx) error {
		d := o.Delivery
		err := touched(tx.ExecContext(ctx, `UPDATE notification_deliveries SET status = $1, attempts = $2, error = $3, updated_at = $4, next_at = $5
			WHERE id = $6 AND status = 'pending'`, string(d.Status), d.Attempts, d.Error, millis(d.UpdatedAt), nullMillis(d.NextAt), d.ID))
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		if err := setProblem(ctx, tx, o.TargetID, o.Problem, o.Since); err != nil {
			return err
		}
		return saveAlertEvents(ctx, tx, &fleet.AlertBatch{Events: o.Events})
	})
}

// SetTargetProblem notes whether a target can be reached; empty: it can.
func (s *Store) SetTargetProblem(ctx context.Context, id, problem string, since *time.Time) error {
	return s.change(ctx, "note the problem of target "+id, func(tx *sql.Tx) error {
		return setProblem(ctx, tx, id, problem, since)
	})
}

func setProblem(ctx context.Context, tx *sql.Tx, id, problem string, since *time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE notification_targets SET problem = $1, since = $2 WHERE id = $3`, problem, nullMillis(since), id)
	return err
}

// ReplayDelivery makes a delivery pending again, with the same id. Errors: fleet.ErrNotFound; a
// *fleet.ValidationError when it is pending.
func (s *Store) ReplayDelivery(ctx context.Context, id, actor string, now, giveUpAt time.Time) (d fleet.Delivery, err error) {
	err = s.change(ctx, "replay delivery "+id, func(tx *sql.Tx) error {
		if d, err = scanDelivery(tx.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM notification_deliveries WHERE id = $1`, id)); err != nil {
			return err
		}
		if d.Status == fleet.DeliveryPending {
			return fleet.Invalid("id", "the delivery is pending: it will be made at %s", d.NextAt.Format(time.RFC3339))
		}
		d.Status, d.Error, d.UpdatedAt, d.NextAt, d.GiveUpAt = fleet.DeliveryPending, "", now, &now, giveUpAt
		_, err := tx.ExecContext(ctx, `UPDATE notification_deliveries SET status = $1, error = '', updated_at = $2, next_at = $2, give_up_at = $3 WHERE id = $4`,
			string(d.Status), millis(now), millis(giveUpAt), id)
		if err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "notification_delivery.replay", d.Target, id)
	})
	return d, err
}

// pruneAtOnce is how many deliveries one transaction of PruneDeliveries removes.
const pruneAtOnce = 1_000

// PruneDeliveries removes deliveries that were settled before a time, or that a target which is switched off
// should have got by then, and returns how many: at most 1,000, so
// that nobody waits long.
func (s *Store) PruneDeliveries(ctx context.Context, before time.Time) (n int64, err error) {
	err = s.change(ctx, "prune deliveries", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM notification_deliveries WHERE id IN
			(SELECT id FROM notification_deliveries WHERE updated_at < $1 AND (status <> 'pending' OR give_up_at < $1) LIMIT $2)`, millis(before), pruneAtOnce)
		if err == nil {
			n, err = r.RowsAffected()
		}
		return err
	})
	return n, err
}
