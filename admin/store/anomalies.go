package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

const anomalyColumns = `anomalies.id, serial, site, model, opened_at, peak_at, closed_at, score, text, detector, sensors, feedback`

func scanAnomaly(row scanner) (fleet.Anomaly, error) {
	var a fleet.Anomaly
	var opened, peak int64
	var closed sql.NullInt64
	var sensors []byte
	var feedback sql.NullString
	if err := row.Scan(&a.ID, &a.Serial, &a.Site, &a.Model, &opened, &peak, &closed, &a.Score, &a.Text, &a.Detector, &sensors, &feedback); err != nil {
		return a, err
	}
	a.OpenedAt, a.PeakAt, a.ClosedAt = fromMillis(opened), fromMillis(peak), fromNull(closed)
	if err := json.Unmarshal(sensors, &a.Sensors); err != nil {
		return a, fmt.Errorf("sensors of anomaly %s: %w", a.ID, err)
	}
	if feedback.Valid {
		if err := json.Unmarshal([]byte(feedback.String), &a.Feedback); err != nil {
			return a, fmt.Errorf("feedback on anomaly %s: %w", a.ID, err)
		}
	}
	return a, nil
}

// SaveAnomalies stores anomalies, new ones and those that changed, in one transaction; to do it again changes nothing.
// Feedback is left as it is: see JudgeAnomaly.
func (s *Store) SaveAnomalies(ctx context.Context, anomalies []fleet.Anomaly) error {
	if len(anomalies) == 0 {
		return nil
	}
	type sensor struct{ anomaly, metric, kind string }
	var sensors []sensor
	for i := range anomalies {
		for j := range anomalies[i].Sensors {
			of := &anomalies[i].Sensors[j]
			sensors = append(sensors, sensor{anomalies[i].ID, of.Metric, string(of.Kind)})
		}
	}
	return s.change(ctx, fmt.Sprintf("save %d anomalies", len(anomalies)), func(tx *sql.Tx) error {
		err := each(ctx, tx, `INSERT INTO anomalies (id, serial, site, model, opened_at, peak_at, closed_at, score, text, detector, sensors)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET peak_at = excluded.peak_at, closed_at = excluded.closed_at, score = excluded.score,
				text = excluded.text, detector = excluded.detector, sensors = excluded.sensors`,
			anomalies, func(a *fleet.Anomaly) ([]any, error) {
				data, err := json.Marshal(a.Sensors)
				if err != nil {
					return nil, fmt.Errorf("anomaly %s: %w", a.ID, err)
				}
				return []any{
					a.ID, a.Serial, a.Site, a.Model, millis(a.OpenedAt), millis(a.PeakAt), nullMillis(a.ClosedAt), a.Score, a.Text, a.Detector, string(data),
				}, nil
			})
		if err != nil {
			return err
		}
		if err := each(ctx, tx, `DELETE FROM anomaly_sensors WHERE anomaly = $1`, anomalies, func(a *fleet.Anomaly) ([]any, error) {
			return []any{a.ID}, nil
		}); err != nil {
			return err
		}
		return each(ctx, tx, `INSERT INTO anomaly_sensors (anomaly, metric, kind) VALUES ($1, $2, $3) ON CONFLICT (anomaly, metric) DO NOTHING`,
			sensors, func(s *sensor) ([]any, error) { return []any{s.anomaly, s.metric, s.kind}, nil })
	})
}

// Anomaly returns one anomaly, or fleet.ErrNotFound.
func (s *Store) Anomaly(ctx context.Context, id string) (fleet.Anomaly, error) {
	a, err := scanAnomaly(s.read.QueryRowContext(ctx, `SELECT `+anomalyColumns+` FROM anomalies WHERE id = $1`, id))
	if err != nil {
		return a, fmt.Errorf("anomaly %s: %w", id, known(err))
	}
	return a, nil
}

// maxAnomalies is how many anomalies a page has when the filter does not say.
const maxAnomalies = 100

func anomalyCondition(f *fleet.AnomalyFilter) *condition {
	c := &condition{}
	if f.Open != nil {
		c.add(map[bool]string{true: "closed_at IS NULL", false: "closed_at IS NOT NULL"}[*f.Open])
	}
	c.text("serial", f.Serial)
	c.text("site", f.Site)
	switch {
	case f.Metric != "" && f.Kind != "":
		c.add("id IN (SELECT anomaly FROM anomaly_sensors WHERE metric = ? AND kind = ?)", f.Metric, string(f.Kind))
	case f.Metric != "":
		c.add("id IN (SELECT anomaly FROM anomaly_sensors WHERE metric = ?)", f.Metric)
	case f.Kind != "":
		c.add("id IN (SELECT anomaly FROM anomaly_sensors WHERE kind = ?)", string(f.Kind))
	}
	if !f.From.IsZero() {
		c.add("opened_at >= ?", millis(f.From))
	}
	if !f.To.IsZero() {
		c.add("opened_at < ?", millis(f.To))
	}
	return c
}

// Anomalies returns up to f.Limit anomalies of a filter, newest first, after the place of f.Cursor. Next is the cursor
// of the page after, empty when this is the last. A cursor is good for the same filter only.
//
// Errors: *fleet.ValidationError for a cursor that is none.
func (s *Store) Anomalies(ctx context.Context, f fleet.AnomalyFilter) (page []fleet.Anomaly, next string, err error) {
	c := anomalyCondition(&f)
	if f.Cursor != "" {
		p, err := parsePlace(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(opened_at, id) < (?, ?)", p.at, p.id)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = maxAnomalies
	}
	query := `SELECT ` + anomalyColumns + ` FROM anomalies` + c.where() + ` ORDER BY opened_at DESC, id DESC` + c.limit(limit+1)
	rows, err := s.read.QueryContext(ctx, query, c.args...)
	page, err = collect(rows, err, scanAnomaly)
	if err != nil {
		return nil, "", fmt.Errorf("list anomalies: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = listPlace{0, millis(last.OpenedAt), last.ID}.String()
	}
	return page, next, nil
}

// OpenAnomalies returns the anomalies that go on, oldest first.
func (s *Store) OpenAnomalies(ctx context.Context) ([]fleet.Anomaly, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+anomalyColumns+` FROM anomalies WHERE closed_at IS NULL ORDER BY opened_at, id`)
	out, err := collect(rows, err, scanAnomaly)
	if err != nil {
		return nil, fmt.Errorf("open anomalies: %w", err)
	}
	return out, nil
}

// CountAnomalies returns how many anomalies opened in [from, to).
func (s *Store) CountAnomalies(ctx context.Context, from, to time.Time) (n int, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM anomalies WHERE opened_at >= $1 AND opened_at < $2`, millis(from), millis(to)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count anomalies: %w", err)
	}
	return n, nil
}

// PruneAnomalies removes up to limit anomalies that ended before a time, oldest first, and returns how many: 0 when
// there are none left. What is open stays, and so does what was said of them.
func (s *Store) PruneAnomalies(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.change(ctx, "prune anomalies", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM anomalies WHERE id IN
			(SELECT id FROM anomalies WHERE closed_at IS NOT NULL AND closed_at < $1 ORDER BY closed_at LIMIT $2)`, millis(before), limit)
		if err != nil {
			return err
		}
		removed, err := r.RowsAffected()
		n = int(removed)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
