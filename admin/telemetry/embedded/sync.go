package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kioskfleet/admin/telemetry"
)

// Sync brings the TSDB's logs to disk and marks how far they are. The TSDB syncs a segment when it begins
// the next, not at each commit, so the newest two of each log are enough. Errors: *telemetry.BrokenError.
func (s *Store) Sync(context.Context) error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	synced := marks{}
	for _, log := range logs {
		segments, err := newestSegments(filepath.Join(s.dir(), log))
		for _, name := range segments {
			var size int64
			if size, err = syncFile(filepath.Join(s.dir(), log, name)); err != nil {
				break
			}
			if size > 0 {
				synced[log] = mark{name, size}
			}
		}
		if err != nil {
			return &telemetry.BrokenError{Err: fmt.Errorf("sync embedded time series: %w", err)}
		}
	}
	if err := synced.write(s.dir()); err != nil {
		return fmt.Errorf("mark what is synced of the embedded time series: %w", err)
	}
	return nil
}

// syncFile brings a file to disk and returns how much of it there was before.
func syncFile(path string) (size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // removed by a checkpoint meanwhile, and so no longer needed
	}
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
