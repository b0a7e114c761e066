package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Sync brings the TSDB's logs to disk: those for samples in order and for late ones. The TSDB syncs a
// segment when it begins the next, not at each commit, so the newest two of each log are enough.
func (s *Store) Sync(context.Context) error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	for _, log := range []string{"wal", "wbl"} {
		if err := syncNewest(filepath.Join(s.db.Dir(), log)); err != nil {
			return fmt.Errorf("sync embedded time series: %w", err)
		}
	}
	return nil
}

func syncNewest(dir string) error {
	entries, err := os.ReadDir(dir) // sorted by name, and so by age
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, fs.DirEntry.IsDir) // checkpoints, which the TSDB syncs
	for _, e := range entries[max(0, len(entries)-2):] {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed by a checkpoint meanwhile, and so no longer needed
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
