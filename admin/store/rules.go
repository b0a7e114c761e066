package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kioskfleet/admin/fleet"
)

// AlertRules returns the newest version of every alert rule that people made and did not delete, and for rules of files
// whether they were switched on or off.
func (s *Store) AlertRules(ctx context.Context) (rules []fleet.Rule, switches map[string]bool, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT r.data FROM alert_rules r JOIN alert_rule_names n ON n.name = r.name
		WHERE n.deleted = 0 AND r.version = (SELECT MAX(version) FROM alert_rules WHERE name = r.name) ORDER BY r.name`)
	if rules, err = collect(rows, err, fromData[fleet.Rule]); err != nil {
		return nil, nil, fmt.Errorf("load the alert rules: %w", err)
	}
	type position struct {
		name string
		on   bool
	}
	rows, err = s.read.QueryContext(ctx, `SELECT name, enabled FROM alert_rule_names WHERE enabled IS NOT NULL`)
	positions, err := collect(rows, err, func(row scanner) (p position, err error) {
		return p, row.Scan(&p.name, &p.on)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("load which alert rules are on: %w", err)
	}
	switches = map[string]bool{}
	for _, p := range positions {
		switches[p.name] = p.on
	}
	return rules, switches, nil
}

// SaveAlertRule adds a version of an alert rule; fleet.ErrConflict when there is one of that number.
func (s *Store) SaveAlertRule(ctx context.Context, r fleet.Rule, action string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = s.change(ctx, "save alert rule "+r.Name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO alert_rules (name, version, data, updated_at, updated_by) VALUES ($1, $2, $3, $4, $5)`,
			r.Name, r.Version, string(data), millis(r.UpdatedAt), r.UpdatedBy); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO alert_rule_names (name, deleted) VALUES ($1, 0)
			ON CONFLICT (name) DO UPDATE SET deleted = 0`, r.Name); err != nil {
			return err
		}
		return audit(ctx, tx, r.UpdatedAt, r.UpdatedBy, action, r.Name, "version "+strconv.FormatInt(r.Version, 10))
	})
	if errors.Is(err, fleet.ErrExists) {
		return fmt.Errorf("alert rule %s has a version %d already: %w", r.Name, r.Version, fleet.ErrConflict)
	}
	return err
}

// SwitchAlertRule notes that an alert rule of a file is on or off, whatever its file says.
func (s *Store) SwitchAlertRule(ctx context.Context, name string, on bool, at time.Time, actor string) error {
	return s.change(ctx, "switch alert rule "+name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO alert_rule_names (name, deleted, enabled) VALUES ($1, 0, $2)
			ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled`, name, on); err != nil {
			return err
		}
		action := "alert_rule.disable"
		if on {
			action = "alert_rule.enable"
		}
		return audit(ctx, tx, at, actor, action, name, "")
	})
}

// DeleteAlertRule notes that an alert rule is no more. Its versions stay, for who asks what it was.
func (s *Store) DeleteAlertRule(ctx context.Context, name string, at time.Time, actor string) error {
	return s.change(ctx, "delete alert rule "+name, func(tx *sql.Tx) error {
		if err := touched(tx.ExecContext(ctx, `UPDATE alert_rule_names SET deleted = 1 WHERE name = $1 AND deleted = 0`, name)); err != nil {
			return err
		}
		return audit(ctx, tx, at, actor, "alert_rule.delete", name, "")
	})
}

// AlertRuleVersions returns all versions of an alert rule, newest first.
func (s *Store) AlertRuleVersions(ctx context.Context, name string) ([]fleet.Rule, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT data FROM alert_rules WHERE name = $1 ORDER BY version DESC`, name)
	out, err := collect(rows, err, fromData[fleet.Rule])
	if err != nil {
		return nil, fmt.Errorf("load the versions of alert rule %s: %w", name, err)
	}
	return out, nil
}
