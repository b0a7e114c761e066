// Package store keeps everything but time series in SQL: kiosks, commands, events, people and
// tokens. The default is SQLite in one file; a commit is on disk when a method returns.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kioskfleet/admin/fleet"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database. Its methods are safe for concurrent use, also by several processes on
// one file, so that admin's subcommands work while the server runs.
type Store struct {
	write *sql.DB // one connection: SQLite has one writer, and waiting here is cheaper than there
	read  *sql.DB
}

// readers is how many queries may read at the same time.
const readers = 4

// Open opens the database file, making it and its folder if needed, and brings its schema up to date.
func Open(ctx context.Context, file string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	unlock, err := lock(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", file, err)
	}
	s, err := openLocked(ctx, file)
	if err := errors.Join(err, unlock()); err != nil {
		if s != nil {
			_ = s.Close()
		}
		return nil, fmt.Errorf("open the database %s: %w", file, err)
	}
	return s, nil
}

// openLocked is Open for whoever has the lock.
func openLocked(ctx context.Context, file string) (*Store, error) {
	s := &Store{}
	var err error
	if s.write, err = sql.Open("sqlite", dsn(file, "&_txlock=immediate")); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		_ = s.write.Close()
		return nil, err
	}
	if s.read, err = sql.Open("sqlite", dsn(file, "&_pragma=query_only(1)")); err != nil {
		_ = s.write.Close()
		return nil, err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s, nil
}

// dsn returns SQLite's address of the file: write-ahead log, a sync at each commit, and patience with
// another process that writes.
func dsn(file, more string) string {
	return "file:" + (&url.URL{Path: file}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + more
}

func (s *Store) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	for {
		current, target, err := provider.GetVersions(ctx)
		if err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		if current > target {
			return fmt.Errorf("its schema is version %d, this program knows up to %d: run the newer program", current, target)
		}
		if current == target {
			return nil
		}
		if _, err := provider.Up(ctx); err != nil {
			// Another process may have opened the file at the same moment and been faster.
			if now, _, versionErr := provider.GetVersions(ctx); versionErr != nil || now == current {
				return fmt.Errorf("migrations: %w", err)
			}
		}
	}
}

// Close closes the database.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// change runs f in a write transaction.
func (s *Store) change(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", what, known(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each runs one statement for every item, with the arguments that args makes of it. The end of ctx is noticed between two
// items: to be able to end one in its middle, the driver would start a goroutine for each.
func each[T any](ctx context.Context, tx *sql.Tx, statement string, items []T, args func(*T) ([]any, error)) error {
	if len(items) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, statement)
	if err != nil {
		return err
	}
	defer stmt.Close()
	whole := context.WithoutCancel(ctx)
	for i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		values, err := args(&items[i])
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(whole, values...); err != nil {
			// Once ctx has ended, the transaction only says that it is over.
			return cmp.Or(ctx.Err(), err)
		}
	}
	return nil
}

// known turns the driver's errors into the domain's.
func known(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fleet.ErrNotFound
	case errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
		return fleet.ErrExists
	}
	return err
}

// touched returns fleet.ErrNotFound when a statement changed no row.
func touched(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = fleet.ErrNotFound
	}
	return err
}

// collect scans every row of a query.
func collect[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, rows.Err()
}

type scanner interface{ Scan(dest ...any) error }

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func nullMillis(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: millis(*t), Valid: true}
}

func fromNull(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMillis(n.Int64)
	return &t
}
