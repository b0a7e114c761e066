package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

const kioskColumns = `id, serial, site, tags, model, timezone, lat, lng, generation, revoked_at, enrolled_at, created_at, updated_at`

func scanKiosk(row scanner) (fleet.Kiosk, error) {
	var k fleet.Kiosk
	var tags string
	var lat, lng sql.NullFloat64
	var revoked, enrolled sql.NullInt64
	var created, updated int64
	if err := row.Scan(&k.ID, &k.Serial, &k.Site, &tags, &k.Model, &k.Timezone, &lat, &lng, &k.Generation, &revoked, &enrolled, &created, &updated); err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(tags), &k.Tags); err != nil {
		return k, fmt.Errorf("tags of %s: %w", k.Serial, err)
	}
	if lat.Valid && lng.Valid {
		k.Location = &fleet.Location{Lat: lat.Float64, Lng: lng.Float64}
	}
	k.RevokedAt, k.EnrolledAt = fromNull(revoked), fromNull(enrolled)
	k.CreatedAt, k.UpdatedAt = fromMillis(created), fromMillis(updated)
	return k, nil
}

// Kiosks returns every registered kiosk, by serial.
func (s *Store) Kiosks(ctx context.Context) ([]fleet.Kiosk, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+kioskColumns+` FROM kiosks ORDER BY serial`)
	out, err := collect(rows, err, scanKiosk)
	if err != nil {
		return nil, fmt.Errorf("list kiosks: %w", err)
	}
	return out, nil
}

// Kiosk returns one kiosk, or fleet.ErrNotFound.
func (s *Store) Kiosk(ctx context.Context, serial string) (fleet.Kiosk, error) {
	k, err := scanKiosk(s.read.QueryRowContext(ctx, `SELECT `+kioskColumns+` FROM kiosks WHERE serial = $1`, serial))
	if err != nil {
		return k, fmt.Errorf("kiosk %s: %w", serial, known(err))
	}
	return k, nil
}

// AddKiosk registers a kiosk and returns it with its id and generation; fleet.ErrExists if the serial
// is taken.
func (s *Store) AddKiosk(ctx context.Context, k fleet.Kiosk, actor string, now time.Time) (fleet.Kiosk, error) {
	k.CreatedAt, k.UpdatedAt = now, now
	err := s.change(ctx, "register kiosk "+k.Serial, func(tx *sql.Tx) error {
		lat, lng := coordinates(k.Location)
		tags, err := json.Marshal(k.Tags)
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `INSERT INTO kiosks (serial, site, tags, model, timezone, lat, lng, generation, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, COALESCE((SELECT generation FROM retired_kiosks WHERE serial = $1), 0), $8, $8) RETURNING id, generation`,
			k.Serial, k.Site, string(tags), k.Model, k.Timezone, lat, lng, millis(now)).Scan(&k.ID, &k.Generation)
		if err != nil {
			return err
		}
		return followUp(ctx, tx, fleet.Event{Serial: k.Serial, At: now, Kind: fleet.EventRegistered, Actor: actor})
	})
	return k, err
}

// ChangeKiosk applies f to the stored kiosk and writes its registration back; f's error ends it.
func (s *Store) ChangeKiosk(ctx context.Context, serial, actor string, now time.Time, f func(*fleet.Kiosk) (fleet.Event, error)) (fleet.Kiosk, error) {
	var k fleet.Kiosk
	err := s.change(ctx, "change kiosk "+serial, func(tx *sql.Tx) (err error) {
		if k, err = scanKiosk(tx.QueryRowContext(ctx, `SELECT `+kioskColumns+` FROM kiosks WHERE serial = $1`, serial)); err != nil {
			return err
		}
		before := k.UpdatedAt
		event, err := f(&k)
		if err != nil {
			return err
		}
		k.UpdatedAt = version(now, before)
		if err := updateKiosk(ctx, tx, k); err != nil {
			return err
		}
		event.Serial, event.At, event.Actor = serial, now, actor
		return followUp(ctx, tx, event)
	})
	return k, err
}

// version returns when a row changed, now, but later than before: a clock that was set back must not make
// a newer row look older.
func version(now, before time.Time) time.Time {
	if next := before.Add(time.Millisecond); next.After(now) {
		return next
	}
	return now
}

func updateKiosk(ctx context.Context, tx *sql.Tx, k fleet.Kiosk) error {
	tags, err := json.Marshal(k.Tags)
	if err != nil {
		return err
	}
	lat, lng := coordinates(k.Location)
	_, err = tx.ExecContext(ctx, `UPDATE kiosks SET site = $1, tags = $2, model = $3, timezone = $4, lat = $5, lng = $6,
		generation = $7, revoked_at = $8, enrolled_at = $9, updated_at = $10 WHERE serial = $11`,
		k.Site, string(tags), k.Model, k.Timezone, lat, lng, k.Generation, nullMillis(k.RevokedAt), nullMillis(k.EnrolledAt), millis(k.UpdatedAt), k.Serial)
	return err
}

// DeleteKiosk removes a kiosk, its live state, what was learnt of it and its counts of refusals. Its commands, events and
// anomalies stay as history, and so do its dead letters: they may be why it was deleted.
func (s *Store) DeleteKiosk(ctx context.Context, serial, actor string, now time.Time) error {
	return s.change(ctx, "delete kiosk "+serial, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO retired_kiosks (serial, generation) SELECT serial, generation + 1 FROM kiosks WHERE serial = $1
			ON CONFLICT (serial) DO UPDATE SET generation = excluded.generation`, serial); err != nil {
			return err
		}
		if err := touched(tx.ExecContext(ctx, `DELETE FROM kiosks WHERE serial = $1`, serial)); err != nil {
			return err
		}
		for _, table := range []string{"kiosk_live", "kiosk_derived", "refusals"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE serial = $1`, serial); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE anomalies SET closed_at = $1 WHERE serial = $2 AND closed_at IS NULL`, millis(now), serial); err != nil {
			return err
		}
		if err := audit(ctx, tx, now, actor, "kiosk.delete", serial, ""); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO kiosk_changes (serial) VALUES ($1)`, serial)
		return err
	})
}

// followUp records a change of a kiosk's row: for other processes, in its history, in the audit log.
func followUp(ctx context.Context, tx *sql.Tx, e fleet.Event) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO kiosk_changes (serial) VALUES ($1)`, e.Serial); err != nil {
		return err
	}
	if err := insertEvents(ctx, tx, e); err != nil {
		return err
	}
	return audit(ctx, tx, e.At, e.Actor, "kiosk."+string(e.Kind), e.Serial, e.Reason)
}

// KioskChanges returns the serials whose rows changed after seq, and the newest seq.
func (s *Store) KioskChanges(ctx context.Context, after int64) (serials []string, newest int64, err error) {
	type change struct {
		seq    int64
		serial string
	}
	rows, err := s.read.QueryContext(ctx, `SELECT seq, serial FROM kiosk_changes WHERE seq > $1 ORDER BY seq`, after)
	changes, err := collect(rows, err, func(row scanner) (c change, err error) {
		return c, row.Scan(&c.seq, &c.serial)
	})
	if err != nil {
		return nil, after, fmt.Errorf("changes of kiosks: %w", err)
	}
	newest = after
	for _, c := range changes {
		serials, newest = append(serials, c.serial), c.seq
	}
	return serials, newest, nil
}

// LastKioskChange returns the newest seq of KioskChanges, 0 when there is none.
func (s *Store) LastKioskChange(ctx context.Context) (int64, error) {
	var seq sql.NullInt64
	if err := s.read.QueryRowContext(ctx, `SELECT MAX(seq) FROM kiosk_changes`).Scan(&seq); err != nil {
		return 0, fmt.Errorf("changes of kiosks: %w", err)
	}
	return seq.Int64, nil
}

func coordinates(l *fleet.Location) (lat, lng sql.NullFloat64) {
	if l == nil {
		return
	}
	return sql.NullFloat64{Float64: l.Lat, Valid: true}, sql.NullFloat64{Float64: l.Lng, Valid: true}
}
