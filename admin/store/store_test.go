package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// now is a time in the database's resolution.
var now = time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)

func openAt(t *testing.T, file string) *Store {
	t.Helper()
	s, err := Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "kioskfleet.db"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addKiosk(t *testing.T, s *Store, serial string) fleet.Kiosk {
	t.Helper()
	k, err := s.AddKiosk(t.Context(), fleet.Kiosk{Serial: serial, Tags: []string{}}, "ana", now)
	must(t, err)
	return k
}

// audits lists the audit log as actor action target detail.
func audits(t *testing.T, s *Store) string {
	t.Helper()
	rows, err := s.read.QueryContext(t.Context(), `SELECT actor, action, target, detail FROM audit ORDER BY id`)
	out, err := collect(rows, err, func(row scanner) (string, error) {
		var actor, action, target, detail string
		err := row.Scan(&actor, &action, &target, &detail)
		return strings.TrimSpace(fmt.Sprint(actor, " ", action, " ", target, " ", detail)), err
	})
	must(t, err)
	return strings.Join(out, "; ")
}

func TestOpenMakesTheFolderAndKeepsOthersOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	openAt(t, filepath.Join(dir, "k.db"))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestAFileWithOddCharactersInItsName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b%20?c#d&_pragma=x", "k+1.db")
	addKiosk(t, openAt(t, file), "K-1")
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrittenIsThereAfterReopening(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	s, err := Open(t.Context(), file)
	must(t, err)
	addKiosk(t, s, "K-1")
	must(t, s.Close())
	s = openAt(t, file)
	if _, err := s.Kiosk(t.Context(), "K-1"); err != nil {
		t.Error(err)
	}
	must(t, s.Ping(t.Context()))
	if k := addKiosk(t, s, "K-2"); k.ID != 2 {
		t.Errorf("id = %d", k.ID)
	}
}

// An id stands for one kiosk for ever, for readings carry it.
func TestIDsAreNotUsedTwice(t *testing.T) {
	s := open(t)
	first := addKiosk(t, s, "K-1")
	must(t, s.DeleteKiosk(t.Context(), "K-1", "ana", now))
	if again := addKiosk(t, s, "K-1"); again.ID <= first.ID {
		t.Errorf("id %d after %d", again.ID, first.ID)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	s, err := Open(t.Context(), file)
	must(t, err)
	_, err = s.write.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	must(t, err)
	must(t, s.Close())
	if s, err := Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), "newer program") {
		if s != nil {
			_ = s.Close()
		}
		t.Errorf("error = %v, want one that says to run the newer program", err)
	}
}

func TestAFileThatIsNoDatabaseIsRefusedAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	text := []byte(strings.Repeat("these are somebody's notes\n", 100))
	must(t, os.WriteFile(file, text, 0o600))
	if s, err := Open(t.Context(), file); err == nil {
		_ = s.Close()
		t.Error("opened")
	} else if !strings.Contains(err.Error(), file) {
		t.Errorf("error %v does not name the file", err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(text) {
		t.Error("the file was changed")
	}
}

// Processes that start at the same time on an empty folder: admin, and a subcommand of it.
func TestSeveralOpenANewFileAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	var wg sync.WaitGroup
	stores := make([]*Store, 6)
	for i := range stores {
		wg.Go(func() {
			var err error
			if stores[i], err = Open(t.Context(), file); err != nil {
				t.Error(err)
				return
			}
			if _, err := stores[i].AddKiosk(t.Context(), fleet.Kiosk{Serial: fmt.Sprint("K-", i)}, "ana", now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			continue
		}
		if all, err := s.Kiosks(t.Context()); err != nil || len(all) != len(stores) {
			t.Errorf("%d kiosks, %v", len(all), err)
		}
		must(t, s.Close())
	}
}

// Whoever opens the file waits for another process that does, for as long as the caller wants.
func TestOpenWaitsForItsTurn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	unlock, err := lock(t.Context(), file)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	failed, opened := make(chan error, 1), make(chan *Store, 1)
	go func() {
		s, err := Open(ctx, file)
		if err == nil {
			err = errors.Join(errors.New("it did not wait"), s.Close())
		}
		failed <- err
	}()
	go func() {
		s, err := Open(t.Context(), file)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), file) {
		t.Errorf("error = %v, want one of the canceled context that names the file", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there before its turn: %v", err)
	}
	must(t, unlock())
	if s := <-opened; s != nil {
		must(t, s.Close())
	}
}

func TestTwoStoresWorkOnOneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	stores := []*Store{openAt(t, file), openAt(t, file)}
	const each = 25
	var wg sync.WaitGroup
	for i, s := range stores {
		for range 2 {
			wg.Go(func() {
				for range each {
					if err := s.SaveLive(t.Context(), []fleet.Event{{Serial: "K-1", At: now, Kind: fleet.EventJoined}}, nil, now); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for j := range each {
				if _, err := s.AddKiosk(t.Context(), fleet.Kiosk{Serial: fmt.Sprintf("K-%d-%d", i, j)}, "ana", now); err != nil {
					t.Error(err)
				}
				if _, err := s.Kiosks(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		kiosks, err := s.Kiosks(t.Context())
		must(t, err)
		events, err := s.Events(t.Context(), "K-1", time.Time{}, 0, 1000)
		must(t, err)
		if len(kiosks) != 2*each || len(events) != 4*each {
			t.Errorf("%d kiosks, %d events", len(kiosks), len(events))
		}
	}
}

func TestAFailedChangeLeavesNothing(t *testing.T) {
	s := open(t)
	boom := errors.New("boom")
	err := s.change(t.Context(), "try", func(tx *sql.Tx) error {
		if err := insertEvents(t.Context(), tx, fleet.Event{Serial: "K-1"}); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "try: ") {
		t.Errorf("error = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.SaveLive(ctx, []fleet.Event{{Serial: "K-1"}}, nil, now); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	events, err := s.Events(t.Context(), "K-1", time.Time{}, 0, 10)
	if err != nil || len(events) != 0 {
		t.Errorf("events = %v, %v", events, err)
	}
	must(t, s.SaveLive(t.Context(), nil, nil, now))
}

func TestReadersCannotWrite(t *testing.T) {
	s := open(t)
	if _, err := s.read.ExecContext(t.Context(), `DELETE FROM kiosks`); err == nil {
		t.Error("a reading connection has written")
	}
}

// A commit must survive a power cut when a method returns.
func TestCommitsAreSynced(t *testing.T) {
	s := open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		must(t, s.write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
		if got != want {
			t.Errorf("%s = %s, want %s", pragma, got, want)
		}
	}
}
