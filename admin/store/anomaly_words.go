package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

// JudgeAnomaly keeps what a person says of an anomaly, in place of what was said of it before, and tunes the budgets of
// the metrics that it is about. It returns the anomaly with the word and the tunings that changed, by metric.
//
// Errors: *fleet.ValidationError for feedback that cannot be taken; fleet.ErrNotFound.
func (s *Store) JudgeAnomaly(ctx context.Context, id string, f fleet.AnomalyFeedback) (fleet.Anomaly, []fleet.AnomalyTuning, error) {
	var a fleet.Anomaly
	if err := f.Check(); err != nil {
		return a, nil, err
	}
	var changed []fleet.AnomalyTuning
	err := s.change(ctx, "feedback on anomaly "+id, func(tx *sql.Tx) (err error) {
		if a, err = scanAnomaly(tx.QueryRowContext(ctx, `SELECT `+anomalyColumns+` FROM anomalies WHERE id = $1`, id)); err != nil {
			return err
		}
		data, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE anomalies SET feedback = $1 WHERE id = $2`, string(data), id); err != nil {
			return err
		}
		a.Feedback = &f
		metrics, err := countWord(ctx, tx, &a)
		if err != nil {
			return err
		}
		for _, metric := range metrics {
			t, err := tune(ctx, tx, metric)
			if err != nil {
				return err
			}
			changed = append(changed, t)
		}
		return audit(ctx, tx, f.At, f.By, "anomaly.feedback", id, string(f.Verdict))
	})
	return a, changed, err
}

// countWord counts the word on an anomaly for its main metrics, and no longer for those of the word before. It returns
// all of them, sorted.
func countWord(ctx context.Context, tx *sql.Tx, a *fleet.Anomaly) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT metric FROM anomaly_words WHERE anomaly = $1`, a.ID)
	metrics, err := collect(rows, err, func(row scanner) (m string, err error) { return m, row.Scan(&m) })
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM anomaly_words WHERE anomaly = $1`, a.ID); err != nil {
		return nil, err
	}
	now := a.MainMetrics()
	err = each(ctx, tx, `INSERT INTO anomaly_words (anomaly, metric, verdict, at) VALUES ($1, $2, $3, $4)`, now, func(m *string) ([]any, error) {
		return []any{a.ID, *m, string(a.Feedback.Verdict), millis(a.Feedback.At)}, nil
	})
	metrics = append(metrics, now...)
	slices.Sort(metrics)
	return slices.Compact(metrics), err
}

// tune works out what all words on a metric made of its budget.
func tune(ctx context.Context, tx *sql.Tx, metric string) (fleet.AnomalyTuning, error) {
	t := fleet.NewAnomalyTuning(metric)
	rows, err := tx.QueryContext(ctx, `SELECT verdict, at FROM anomaly_words WHERE metric = $1 ORDER BY at, anomaly`, metric)
	_, err = collect(rows, err, func(row scanner) (struct{}, error) {
		var verdict string
		var at int64
		err := row.Scan(&verdict, &at)
		t.Add(fleet.AnomalyVerdict(verdict), fromMillis(at))
		return struct{}{}, err
	})
	if err != nil {
		return t, err
	}
	if t.Useful+t.Noise == 0 {
		_, err = tx.ExecContext(ctx, `DELETE FROM anomaly_tuning WHERE metric = $1`, metric)
		return t, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO anomaly_tuning (metric, factor, useful, noise, updated_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (metric) DO UPDATE SET factor = excluded.factor, useful = excluded.useful, noise = excluded.noise, updated_at = excluded.updated_at`,
		metric, t.Factor, t.Useful, t.Noise, millis(t.UpdatedAt))
	return t, err
}

// AnomalyTunings returns what feedback has made of the budgets, by metric; a metric that nobody said anything of is not
// among them.
func (s *Store) AnomalyTunings(ctx context.Context) ([]fleet.AnomalyTuning, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT metric, factor, useful, noise, updated_at FROM anomaly_tuning ORDER BY metric`)
	out, err := collect(rows, err, func(row scanner) (t fleet.AnomalyTuning, err error) {
		var at int64
		err = row.Scan(&t.Metric, &t.Factor, &t.Useful, &t.Noise, &at)
		t.UpdatedAt = fromMillis(at)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("tuning of anomalies: %w", err)
	}
	return out, nil
}

// ResetAnomalyTuning takes back what feedback has made of a metric's budget: what was said so far does not count any
// more. The words themselves stay with their anomalies.
//
// Errors: fleet.ErrNotFound for a metric that has no tuning.
func (s *Store) ResetAnomalyTuning(ctx context.Context, metric, actor string, now time.Time) error {
	return s.change(ctx, "reset the tuning of "+metric, func(tx *sql.Tx) error {
		if err := touched(tx.ExecContext(ctx, `DELETE FROM anomaly_tuning WHERE metric = $1`, metric)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM anomaly_words WHERE metric = $1`, metric); err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "anomaly.tuning.reset", metric, "")
	})
}
