package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

const userColumns = `users.id, users.name, users.role, users.password_hash, users.created_at`

func scanUser(row scanner) (fleet.User, error) {
	var u fleet.User
	var created int64
	err := row.Scan(&u.ID, &u.Name, &u.Role, &u.PasswordHash, &created)
	u.CreatedAt = fromMillis(created)
	return u, err
}

// AddUser creates a user; fleet.ErrExists if the name is taken.
func (s *Store) AddUser(ctx context.Context, u fleet.User, actor string) (fleet.User, error) {
	err := s.change(ctx, "add user "+u.Name, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO users (name, role, password_hash, created_at) VALUES ($1, $2, $3, $4) RETURNING id`,
			u.Name, string(u.Role), u.PasswordHash, millis(u.CreatedAt)).Scan(&u.ID)
		if err != nil {
			return err
		}
		return audit(ctx, tx, u.CreatedAt, actor, "user.add", u.Name, string(u.Role))
	})
	return u, err
}

// UserByName returns a user, or fleet.ErrNotFound.
func (s *Store) UserByName(ctx context.Context, name string) (fleet.User, error) {
	u, err := scanUser(s.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name))
	if err != nil {
		return u, fmt.Errorf("user %s: %w", name, known(err))
	}
	return u, nil
}

// CountUsers returns how many users there are.
func (s *Store) CountUsers(ctx context.Context) (n int, err error) {
	if err := s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM users`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return n, nil
}

// SetPassword changes a user's password and ends all of the user's sessions.
func (s *Store) SetPassword(ctx context.Context, name, hash, actor string, now time.Time) error {
	return s.change(ctx, "set the password of "+name, func(tx *sql.Tx) error {
		if err := touched(tx.ExecContext(ctx, `UPDATE users SET password_hash = $1 WHERE name = $2`, hash, name)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM web_sessions WHERE user_id = (SELECT id FROM users WHERE name = $1)`, name); err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "user.password", name, "")
	})
}

// AddWebSession stores a browser's session and forgets the expired ones.
func (s *Store) AddWebSession(ctx context.Context, ws fleet.WebSession) error {
	return s.change(ctx, "add a session", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM web_sessions WHERE expires_at < $1`, millis(ws.CreatedAt)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO web_sessions (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`,
			ws.Hash, ws.UserID, millis(ws.CreatedAt), millis(ws.ExpiresAt))
		return err
	})
}

// WebSessionUser returns the user of a session that has not expired, or fleet.ErrNotFound.
func (s *Store) WebSessionUser(ctx context.Context, hash string, now time.Time) (fleet.User, error) {
	u, err := scanUser(s.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM web_sessions JOIN users ON users.id = user_id
		WHERE hash = $1 AND expires_at > $2`, hash, millis(now)))
	if err != nil {
		return u, fmt.Errorf("session: %w", known(err))
	}
	return u, nil
}

// DeleteWebSession ends a session; it may be gone already.
func (s *Store) DeleteWebSession(ctx context.Context, hash string) error {
	return s.change(ctx, "delete a session", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM web_sessions WHERE hash = $1`, hash)
		return err
	})
}

const apiTokenColumns = `id, name, scope, hash, created_at, expires_at, last_used_at`

func scanAPIToken(row scanner) (fleet.APIToken, error) {
	var t fleet.APIToken
	var created int64
	var expires, used sql.NullInt64
	err := row.Scan(&t.ID, &t.Name, &t.Scope, &t.Hash, &created, &expires, &used)
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = fromMillis(created), fromNull(expires), fromNull(used)
	return t, err
}

// AddAPIToken stores a token; fleet.ErrExists if its name is taken.
func (s *Store) AddAPIToken(ctx context.Context, t fleet.APIToken, actor string) error {
	return s.change(ctx, "add API token "+t.Name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO api_tokens (id, name, scope, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			t.ID, t.Name, string(t.Scope), t.Hash, millis(t.CreatedAt), nullMillis(t.ExpiresAt))
		if err != nil {
			return err
		}
		return audit(ctx, tx, t.CreatedAt, actor, "token.add", t.Name, string(t.Scope))
	})
}

// APIToken returns a token by id, or fleet.ErrNotFound.
func (s *Store) APIToken(ctx context.Context, id string) (fleet.APIToken, error) {
	t, err := scanAPIToken(s.read.QueryRowContext(ctx, `SELECT `+apiTokenColumns+` FROM api_tokens WHERE id = $1`, id))
	if err != nil {
		return t, fmt.Errorf("API token: %w", known(err))
	}
	return t, nil
}

// APITokens returns every token, newest first.
func (s *Store) APITokens(ctx context.Context) ([]fleet.APIToken, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+apiTokenColumns+` FROM api_tokens ORDER BY created_at DESC, id`)
	out, err := collect(rows, err, scanAPIToken)
	if err != nil {
		return nil, fmt.Errorf("list API tokens: %w", err)
	}
	return out, nil
}

// TouchAPIToken notes that a token was used.
func (s *Store) TouchAPIToken(ctx context.Context, id string, now time.Time) error {
	return s.change(ctx, "touch API token", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE api_tokens SET last_used_at = $1 WHERE id = $2`, millis(now), id)
		return err
	})
}

// DeleteAPIToken withdraws a token, or returns fleet.ErrNotFound.
func (s *Store) DeleteAPIToken(ctx context.Context, id, actor string, now time.Time) error {
	return s.change(ctx, "delete API token "+id, func(tx *sql.Tx) error {
		if err := touched(tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE id = $1`, id)); err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "token.delete", id, "")
	})
}
