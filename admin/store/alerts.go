package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"kioskfleet/admin/fleet"
)

// SaveAlerts stores a batch in one transaction. Events get ids in the order of the batch.
func (s *Store) SaveAlerts(ctx context.Context, b fleet.AlertBatch) error {
	return s.change(ctx, fmt.Sprintf("save %d alerts and %d incidents", len(b.Alerts), len(b.Incidents)), func(tx *sql.Tx) error {
		for _, save := range []func(context.Context, *sql.Tx, *fleet.AlertBatch) error{
			saveAlertStates, saveAlerts, saveIncidents, saveAlertEvents, saveSilences, saveWindows,
		} {
			if err := save(ctx, tx, &b); err != nil {
				return err
			}
		}
		for _, e := range b.Audit {
			if err := audit(ctx, tx, e.At, e.Actor, e.Action, e.Target, e.Detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// saveAlertStates keeps the states, and removes those without data: their kiosks are gone.
func saveAlertStates(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	var kept, gone []fleet.AlertEngineState
	for _, st := range b.States {
		if len(st.Data) == 0 {
			gone = append(gone, st)
		} else {
			kept = append(kept, st)
		}
	}
	if err := each(ctx, tx, `DELETE FROM alert_states WHERE serial = $1`, gone, func(st *fleet.AlertEngineState) ([]any, error) {
		return []any{st.Serial}, nil
	}); err != nil {
		return err
	}
	return each(ctx, tx, `INSERT INTO alert_states (serial, record, item, data) VALUES ($1, $2, $3, $4)
		ON CONFLICT (serial) DO UPDATE SET record = excluded.record, item = excluded.item, data = excluded.data`,
		kept, func(st *fleet.AlertEngineState) ([]any, error) {
			return []any{st.Serial, int64(st.Source.Record), st.Source.Item, st.Data}, nil
		})
}

// saveAlerts writes those first that are resolved, so that an alert may follow one of the same rule and kiosk.
func saveAlerts(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	ordered := make([]fleet.Alert, 0, len(b.Alerts))
	for _, state := range []fleet.AlertState{fleet.AlertResolved, fleet.AlertOpen} {
		for _, a := range b.Alerts {
			if a.State == state {
				ordered = append(ordered, a)
			}
		}
	}
	return each(ctx, tx, `INSERT INTO alerts
			(id, rule, serial, site, badness, state, incident_id, assignee, suppressed, opened_at, acknowledged_at, resolved_at, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET badness = excluded.badness, state = excluded.state, incident_id = excluded.incident_id,
			assignee = excluded.assignee, suppressed = excluded.suppressed, acknowledged_at = excluded.acknowledged_at,
			resolved_at = excluded.resolved_at, data = excluded.data`,
		ordered, func(a *fleet.Alert) ([]any, error) {
			data, err := json.Marshal(a)
			if err != nil {
				return nil, fmt.Errorf("alert %s: %w", a.ID, err)
			}
			return []any{
				a.ID, a.Rule, a.Serial, a.Site, badness(a.Severity), string(a.State), a.IncidentID, a.Assignee, a.Suppressed,
				millis(a.OpenedAt), nullMillis(a.AcknowledgedAt), nullMillis(a.ResolvedAt), string(data),
			}, nil
		})
}

// badness grows with how bad a severity is.
func badness(s fleet.Severity) int { return len(fleet.Severities()) - 1 - s.Rank() }

func saveIncidents(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	return each(ctx, tx, `INSERT INTO incidents (id, site, state, opened_at, resolved_at, data) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET site = excluded.site, state = excluded.state, resolved_at = excluded.resolved_at, data = excluded.data`,
		b.Incidents, func(i *fleet.Incident) ([]any, error) {
			data, err := json.Marshal(i)
			if err != nil {
				return nil, fmt.Errorf("incident %s: %w", i.ID, err)
			}
			return []any{i.ID, i.Site, string(i.State), millis(i.OpenedAt), nullMillis(i.ResolvedAt), string(data)}, nil
		})
}

func saveAlertEvents(ctx context.Context, tx *sql.Tx, b *fleet.AlertBatch) error {
	return each(ctx, tx, `INSERT INTO alert_events (at, kind, alert_id, incident_id, actor, text) VALUES ($1, $2, $3, $4, $5, $6)`,
		b.Events, func(e *fleet.AlertEvent) ([]any, error) {
			return []any{millis(e.At), string(e.Kind), e.AlertID, e.IncidentID, e.Actor, e.Text}, nil
		})
}

// fromData scans the JSON of a whole row.
func fromData[T any](row scanner) (T, error) {
	var item T
	var data []byte
	err := row.Scan(&data)
	if err == nil {
		err = json.Unmarshal(data, &item)
	}
	return item, err
}

// OpenAlerts returns the open incidents and the alerts that matter to them: every open one, and those resolved
// of open incidents, oldest first.
func (s *Store) OpenAlerts(ctx context.Context) ([]fleet.Alert, []fleet.Incident, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT data FROM incidents WHERE state = 'open' ORDER BY opened_at, id`)
	incidents, err := collect(rows, err, fromData[fleet.Incident])
	if err != nil {
		return nil, nil, fmt.Errorf("open incidents: %w", err)
	}
	rows, err = s.read.QueryContext(ctx, `SELECT data FROM (
			SELECT data, opened_at, id FROM alerts WHERE state = 'open'
			UNION ALL
			SELECT alerts.data, alerts.opened_at, alerts.id FROM incidents JOIN alerts ON alerts.incident_id = incidents.id AND alerts.incident_id <> ''
				WHERE incidents.state = 'open' AND alerts.state = 'resolved') AS found ORDER BY opened_at, id`)
	alerts, err := collect(rows, err, fromData[fleet.Alert])
	if err != nil {
		return nil, nil, fmt.Errorf("open alerts: %w", err)
	}
	return alerts, incidents, nil
}

// KnownAlerts returns which of these ids are of alerts that are stored.
func (s *Store) KnownAlerts(ctx context.Context, ids []string) (map[string]bool, error) {
	known := make(map[string]bool, len(ids))
	stmt, err := s.read.PrepareContext(ctx, `SELECT EXISTS (SELECT 1 FROM alerts WHERE id = $1)`)
	if err != nil {
		return nil, fmt.Errorf("known alerts: %w", err)
	}
	defer stmt.Close()
	for _, id := range ids {
		var found bool
		if err := stmt.QueryRowContext(ctx, id).Scan(&found); err != nil {
			return nil, fmt.Errorf("known alerts: %w", err)
		}
		if found {
			known[id] = true
		}
	}
	return known, nil
}

// Alert returns one alert, or fleet.ErrNotFound.
func (s *Store) Alert(ctx context.Context, id string) (fleet.Alert, error) {
	a, err := fromData[fleet.Alert](s.read.QueryRowContext(ctx, `SELECT data FROM alerts WHERE id = $1`, id))
	if err != nil {
		return a, fmt.Errorf("alert %s: %w", id, known(err))
	}
	return a, nil
}

// Incident returns one incident, or fleet.ErrNotFound.
func (s *Store) Incident(ctx context.Context, id string) (fleet.Incident, error) {
	i, err := fromData[fleet.Incident](s.read.QueryRowContext(ctx, `SELECT data FROM incidents WHERE id = $1`, id))
	if err != nil {
		return i, fmt.Errorf("incident %s: %w", id, known(err))
	}
	return i, nil
}
