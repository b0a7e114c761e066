package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

const enrollmentColumns = `id, hash, serial_pattern, max_uses, uses, may_register, created_at, expires_at`

func scanEnrollmentToken(row scanner) (fleet.EnrollmentToken, error) {
	var t fleet.EnrollmentToken
	var created, expires int64
	err := row.Scan(&t.ID, &t.Hash, &t.SerialPattern, &t.MaxUses, &t.Uses, &t.MayRegister, &created, &expires)
	t.CreatedAt, t.ExpiresAt = fromMillis(created), fromMillis(expires)
	return t, err
}

// AddEnrollmentToken stores an enrolment token.
func (s *Store) AddEnrollmentToken(ctx context.Context, t fleet.EnrollmentToken, actor string) error {
	return s.change(ctx, "add enrolment token", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO enrollment_tokens (`+enrollmentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			t.ID, t.Hash, t.SerialPattern, t.MaxUses, t.Uses, t.MayRegister, millis(t.CreatedAt), millis(t.ExpiresAt))
		if err != nil {
			return err
		}
		return audit(ctx, tx, t.CreatedAt, actor, "enrollment_token.add", t.ID, t.SerialPattern)
	})
}

// EnrollmentTokens returns every enrolment token, newest first.
func (s *Store) EnrollmentTokens(ctx context.Context) ([]fleet.EnrollmentToken, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+enrollmentColumns+` FROM enrollment_tokens ORDER BY created_at DESC, id`)
	out, err := collect(rows, err, scanEnrollmentToken)
	if err != nil {
		return nil, fmt.Errorf("list enrolment tokens: %w", err)
	}
	return out, nil
}

// EnrollmentToken returns the token of that id when its secret hashes to hash. The other cases are
// fleet.ErrTokenInvalid, without saying which half was wrong.
func (s *Store) EnrollmentToken(ctx context.Context, id, hash string) (fleet.EnrollmentToken, error) {
	t, err := scanEnrollmentToken(s.read.QueryRowContext(ctx, `SELECT `+enrollmentColumns+` FROM enrollment_tokens WHERE id = $1`, id))
	switch {
	case err == nil && subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) == 1:
		return t, nil
	case err == nil || errors.Is(known(err), fleet.ErrNotFound):
		return fleet.EnrollmentToken{}, fleet.ErrTokenInvalid
	}
	return fleet.EnrollmentToken{}, fmt.Errorf("enrolment token: %w", err)
}

// UseEnrollmentToken counts one use of a token and marks the kiosk as enrolled with a certificate of
// that generation, both or neither. Errors: fleet.ErrTokenExpired, fleet.ErrTokenUsedUp,
// fleet.ErrNotRegistered, and fleet.ErrRevoked when the kiosk was revoked meanwhile.
func (s *Store) UseEnrollmentToken(ctx context.Context, id, serial string, generation int64, now time.Time) error {
	return s.change(ctx, "enrol "+serial, func(tx *sql.Tx) error {
		t, err := scanEnrollmentToken(tx.QueryRowContext(ctx, `SELECT `+enrollmentColumns+` FROM enrollment_tokens WHERE id = $1`, id))
		switch {
		case err != nil && errors.Is(known(err), fleet.ErrNotFound):
			return fleet.ErrTokenInvalid
		case err != nil:
			return err
		case !now.Before(t.ExpiresAt):
			return fleet.ErrTokenExpired
		case t.Uses >= t.MaxUses:
			return fleet.ErrTokenUsedUp
		}
		if _, err := tx.ExecContext(ctx, `UPDATE enrollment_tokens SET uses = uses + 1 WHERE id = $1`, id); err != nil {
			return err
		}
		var current, updated int64
		err = tx.QueryRowContext(ctx, `SELECT generation, updated_at FROM kiosks WHERE serial = $1`, serial).Scan(&current, &updated)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fleet.ErrNotRegistered
		case err != nil:
			return err
		case current != generation:
			return fleet.ErrRevoked
		}
		if _, err := tx.ExecContext(ctx, `UPDATE kiosks SET enrolled_at = $1, revoked_at = NULL, updated_at = $2 WHERE serial = $3`,
			millis(now), millis(version(now, fromMillis(updated))), serial); err != nil {
			return err
		}
		return followUp(ctx, tx, fleet.Event{Serial: serial, At: now, Kind: fleet.EventEnrolled, Actor: "enrolment:" + id})
	})
}

// DeleteEnrollmentToken withdraws a token, or returns fleet.ErrNotFound.
func (s *Store) DeleteEnrollmentToken(ctx context.Context, id, actor string, now time.Time) error {
	return s.change(ctx, "delete enrolment token "+id, func(tx *sql.Tx) error {
		if err := touched(tx.ExecContext(ctx, `DELETE FROM enrollment_tokens WHERE id = $1`, id)); err != nil {
			return err
		}
		return audit(ctx, tx, now, actor, "enrollment_token.delete", id, "")
	})
}
