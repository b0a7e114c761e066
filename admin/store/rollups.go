package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

const (
	serialsPerStatement = 500
	// deleteRollupsAtOnce bounds how long others wait for the database.
	deleteRollupsAtOnce = 5000
)

// RollupProgress returns how far rollups are.
func (s *Store) RollupProgress(ctx context.Context) (p fleet.RollupProgress, err error) {
	var from, until, target int64
	err = s.read.QueryRowContext(ctx, `SELECT rolled_from, rolled_until, target FROM rollup_progress WHERE id = 1`).Scan(&from, &until, &target)
	if err != nil {
		return p, fmt.Errorf("progress of rollups: %w", err)
	}
	if until > 0 {
		p = fleet.RollupProgress{From: fromMillis(from), Until: fromMillis(until), Target: fromMillis(target)}
	}
	return p, nil
}

// SaveRollupProgress keeps how far rollups are.
func (s *Store) SaveRollupProgress(ctx context.Context, p fleet.RollupProgress) error {
	return s.change(ctx, "save the progress of rollups", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE rollup_progress SET rolled_from = $1, rolled_until = $2, target = $3 WHERE id = 1`,
			millis(p.From), millis(p.Until), millis(p.Target))
		return err
	})
}

// LeaseRollups lets the owner work on rollups until then, or lets it go on; false when somebody else does.
// An owner that is empty or until in the past gives the lease back.
func (s *Store) LeaseRollups(ctx context.Context, owner string, now, until time.Time) (taken bool, err error) {
	err = s.change(ctx, "lease the rollups", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE rollup_progress SET owner = $1, lease_until = $2 WHERE id = 1 AND (owner = $1 OR lease_until <= $3)`,
			owner, millis(until), millis(now))
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		taken = n > 0
		return err
	})
	return taken, err
}

// SaveRollups writes rollups in the place of those that were there, and removes the marks whose days they
// are, unless these were set again meanwhile. All of it happens or nothing.
func (s *Store) SaveRollups(ctx context.Context, rollups []fleet.Rollup, settled []fleet.RollupMark) error {
	if len(rollups) == 0 && len(settled) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("save %d rollups", len(rollups)), func(tx *sql.Tx) error {
		save, err := tx.PrepareContext(ctx, `INSERT INTO rollups (day, metric, serial, data) VALUES ($1, $2, $3, $4)
			ON CONFLICT (day, metric, serial) DO UPDATE SET data = excluded.data`)
		if err != nil {
			return err
		}
		defer save.Close()
		for i := range rollups {
			r := &rollups[i]
			if _, err := save.ExecContext(ctx, r.Day, r.Metric, r.Serial, r.Data); err != nil {
				return err
			}
		}
		for _, m := range settled {
			if _, err := tx.ExecContext(ctx, `DELETE FROM rollup_marks WHERE serial = $1 AND day = $2 AND version = $3`, m.Serial, m.Day, m.Version); err != nil {
				return err
			}
		}
		return nil
	})
}

// Rollups passes the rollups of a metric of some kiosks (nil: of all) on the days from first to last to
// found, day by day. The data must not be kept.
func (s *Store) Rollups(ctx context.Context, metric string, serials []string, first, last int64, found func(serial string, day int64, data []byte) error) error {
	if serials == nil {
		return s.someRollups(ctx, metric, nil, first, last, found)
	}
	for day := first; day <= last; {
		until := last
		if len(serials) > serialsPerStatement {
			until = day // so that the days come one after the other
		}
		for from := 0; from < len(serials); from += serialsPerStatement {
			some := serials[from:min(from+serialsPerStatement, len(serials))]
			if err := s.someRollups(ctx, metric, some, day, until, found); err != nil {
				return err
			}
		}
		day = until + 1
	}
	return nil
}

func (s *Store) someRollups(ctx context.Context, metric string, serials []string, first, last int64, found func(serial string, day int64, data []byte) error) error {
	what := fmt.Sprintf("rollups of %s", metric)
	// Day by day with equality: the index has the metric behind the day.
	query := `SELECT serial, data FROM rollups WHERE day = $1 AND metric = $2`
	args := []any{int64(0), metric}
	if serials != nil {
		var in strings.Builder
		for i, serial := range serials {
			if i > 0 {
				in.WriteByte(',')
			}
			in.WriteString("$" + strconv.Itoa(len(args)+1))
			args = append(args, serial)
		}
		query += ` AND serial IN (` + in.String() + `)`
	}
	stmt, err := s.read.PrepareContext(ctx, query+` ORDER BY serial`)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer stmt.Close()
	for day := first; day <= last; day++ {
		args[0] = day
		if err := eachRollup(ctx, stmt, args, func(serial string, data []byte) error { return found(serial, day, data) }); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

func eachRollup(ctx context.Context, stmt *sql.Stmt, args []any, found func(serial string, data []byte) error) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var serial string
	var data sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&serial, &data); err != nil {
			return err
		}
		if err := found(serial, data); err != nil {
			return err
		}
	}
	return rows.Err()
}

// MarkRollups marks days to be made again.
func (s *Store) MarkRollups(ctx context.Context, marks []fleet.RollupMark) error {
	if len(marks) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("mark %d rollups", len(marks)), func(tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, `INSERT INTO rollup_marks (serial, day, version, late) VALUES ($1, $2, 1, $3)
			ON CONFLICT (serial, day) DO UPDATE SET version = rollup_marks.version + 1,
			late = CASE WHEN excluded.late = 1 THEN 1 ELSE rollup_marks.late END`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for _, m := range marks {
			late := 0
			if m.Late {
				late = 1
			}
			if _, err := stmt.ExecContext(ctx, m.Serial, m.Day, late); err != nil {
				return err
			}
		}
		return nil
	})
}

// RollupMarks returns the marks, the newest day first.
func (s *Store) RollupMarks(ctx context.Context) ([]fleet.RollupMark, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT serial, day, version, late FROM rollup_marks ORDER BY day DESC, serial`)
	out, err := collect(rows, err, func(row scanner) (m fleet.RollupMark, err error) {
		return m, row.Scan(&m.Serial, &m.Day, &m.Version, &m.Late)
	})
	if err != nil {
		return nil, fmt.Errorf("marks of rollups: %w", err)
	}
	return out, nil
}

// DeleteRollups removes some of the rollups of days before that one and returns how many; 0 says that none
// is left.
func (s *Store) DeleteRollups(ctx context.Context, before int64) (n int, err error) {
	err = s.change(ctx, "delete old rollups", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM rollup_marks WHERE day < $1`, before); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `DELETE FROM rollups WHERE (day, metric, serial) IN
			(SELECT day, metric, serial FROM rollups WHERE day < $1 ORDER BY day LIMIT $2)`, before, deleteRollupsAtOnce)
		if err != nil {
			return err
		}
		removed, err := r.RowsAffected()
		n = int(removed)
		return err
	})
	return n, err
}
