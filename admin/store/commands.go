package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const commandColumns = `id, serial, name, params, status, error, result, actor, boot_id, created_at, expires_at, updated_at`

func scanCommand(row scanner) (fleet.Command, error) {
	var c fleet.Command
	var name, params, result string
	var created, expires, updated int64
	err := row.Scan(&c.ID, &c.Serial, &name, &params, &c.Status, &c.Error, &result, &c.Actor, &c.BootID, &created, &expires, &updated)
	c.Name = protocol.CommandName(name)
	if params != "" {
		c.Params = json.RawMessage(params)
	}
	if result != "" {
		c.Result = json.RawMessage(result)
	}
	c.CreatedAt, c.ExpiresAt, c.UpdatedAt = fromMillis(created), fromMillis(expires), fromMillis(updated)
	return c, err
}

// AddCommand stores a new command with its first steps, durably. When the kiosk already has a command
// with the same non-empty key, that one is returned and created is false.
func (s *Store) AddCommand(ctx context.Context, c fleet.Command, key string) (stored fleet.Command, created bool, err error) {
	err = s.change(ctx, fmt.Sprintf("add command %s of %s", c.Name, c.Serial), func(tx *sql.Tx) error {
		if key != "" {
			stored, err = scanCommand(tx.QueryRowContext(ctx, `SELECT `+commandColumns+` FROM commands WHERE serial = $1 AND idempotency_key = $2`, c.Serial, key))
			if err == nil {
				return nil
			} else if !errors.Is(known(err), fleet.ErrNotFound) {
				return err
			}
		}
		var registered bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM kiosks WHERE serial = $1)`, c.Serial).Scan(&registered); err != nil {
			return err
		}
		if !registered {
			return fleet.ErrNotFound
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO commands (`+commandColumns+`, idempotency_key)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			c.ID, c.Serial, string(c.Name), string(c.Params), string(c.Status), c.Error, string(c.Result), c.Actor, c.BootID,
			millis(c.CreatedAt), millis(c.ExpiresAt), millis(c.UpdatedAt), sql.NullString{String: key, Valid: key != ""})
		if err != nil {
			return err
		}
		for i, step := range c.Steps {
			if err := insertStep(ctx, tx, c.ID, i, step); err != nil {
				return err
			}
		}
		stored, created = c, true
		return audit(ctx, tx, c.CreatedAt, c.Actor, "command."+string(c.Name), c.Serial, c.ID)
	})
	if err == nil && !created {
		stored.Steps, err = s.steps(ctx, stored.ID)
	}
	return stored, created, err
}

// StepCommand writes a command's new status with the step that led there, and event unless nil.
func (s *Store) StepCommand(ctx context.Context, c fleet.Command, event *fleet.Event) error {
	return s.change(ctx, "step command "+c.ID, func(tx *sql.Tx) error {
		err := touched(tx.ExecContext(ctx, `UPDATE commands SET status = $1, error = $2, result = $3, boot_id = $4, updated_at = $5 WHERE id = $6`,
			string(c.Status), c.Error, string(c.Result), c.BootID, millis(c.UpdatedAt), c.ID))
		if err != nil {
			return err
		}
		n := len(c.Steps) - 1
		if err := insertStep(ctx, tx, c.ID, n, c.Steps[n]); err != nil {
			return err
		}
		if event != nil {
			return insertEvents(ctx, tx, *event)
		}
		return nil
	})
}

func insertStep(ctx context.Context, tx *sql.Tx, id string, n int, step fleet.CommandStep) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO command_steps (command_id, seq, status, at, note) VALUES ($1, $2, $3, $4, $5)`,
		id, n, string(step.Status), millis(step.At), step.Note)
	return err
}

// Command returns one command with its steps, or fleet.ErrNotFound.
func (s *Store) Command(ctx context.Context, id string) (fleet.Command, error) {
	c, err := scanCommand(s.read.QueryRowContext(ctx, `SELECT `+commandColumns+` FROM commands WHERE id = $1`, id))
	if err == nil {
		c.Steps, err = s.steps(ctx, id)
	}
	if err != nil {
		return c, fmt.Errorf("command %s: %w", id, known(err))
	}
	return c, nil
}

// Commands returns up to limit commands of a kiosk with ids below before (empty: from the newest),
// newest first, with their steps.
func (s *Store) Commands(ctx context.Context, serial, before string, limit int) ([]fleet.Command, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+commandColumns+` FROM commands
		WHERE serial = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, serial, before, limit)
	return s.withSteps(ctx, "commands of "+serial, rows, err)
}

// UnsettledCommands returns every command that may still change: open, or succeeded and not verified.
func (s *Store) UnsettledCommands(ctx context.Context) ([]fleet.Command, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+commandColumns+` FROM commands
		WHERE status IN ('queued', 'sent', 'received', 'running', 'succeeded') ORDER BY id`)
	return s.withSteps(ctx, "unsettled commands", rows, err)
}

func (s *Store) withSteps(ctx context.Context, what string, rows *sql.Rows, err error) ([]fleet.Command, error) {
	out, err := collect(rows, err, scanCommand)
	for i := 0; err == nil && i < len(out); i++ {
		out[i].Steps, err = s.steps(ctx, out[i].ID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}

func (s *Store) steps(ctx context.Context, id string) ([]fleet.CommandStep, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT status, at, note FROM command_steps WHERE command_id = $1 ORDER BY seq`, id)
	return collect(rows, err, func(row scanner) (step fleet.CommandStep, err error) {
		var at int64
		err = row.Scan(&step.Status, &at, &step.Note)
		step.At = fromMillis(at)
		return step, err
	})
}
