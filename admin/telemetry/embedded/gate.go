package embedded

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// gateEvery is how much time passes between two looks whether the TSDB may compact.
const gateEvery = 2 * time.Second

// gate keeps the TSDB from compacting by itself until it has begun a file of head chunks since it was opened.
//
// A compaction removes the files of head chunks that nothing needs any more, and when all of them go it counts
// from 0 again. In between it holds no lock: if a late reading fills a chunk just then, and so begins the first
// file, the chunks after it are noted under a number that no file has. They cannot be read, and nothing can be
// compacted, until the logs are replayed at the next start; or, if the number of the new file is another than
// was planned, the TSDB ends the program. The file that it writes to is never removed. So once there is one,
// there is never a moment with all of them gone.
//
// A head that waits stays small: no series has filled a chunk, or the TSDB would have begun a file for it
// within a minute. That is at most 120 points of a series, and 32 late ones. So the wait needs no end.
// Source: ChunkDiskMapper.Truncate in tsdb/chunks/head_chunks.go of github.com/prometheus/prometheus v0.316.
type gate struct {
	dir    string
	before map[string]time.Time // the files that were there before the TSDB was opened, with their times of change
}

// newGate notes what is in the folder of a TSDB that is about to be opened.
func newGate(dir string) *gate {
	g := &gate{dir: filepath.Join(dir, "chunks_head")}
	g.before = g.files()
	return g
}

// openGate lets the TSDB compact as soon as that is safe, and ends then, or when the store closes.
func (s *Store) openGate() {
	tick := time.NewTicker(gateEvery)
	defer tick.Stop()
	for open := false; !open; {
		select {
		case <-s.closing:
			return
		case <-tick.C:
			release, err := s.use()
			if err != nil {
				return
			}
			open = s.tryGate()
			release()
		}
	}
}

// tryGate lets the TSDB compact if that is safe, and reports whether it is. Chunks that are full go to a file at once rather
// than within the minute, so that a compaction that is due does not wait for it.
func (s *Store) tryGate() (open bool) {
	s.db.ForceHeadMMap()
	if !s.gate.begun() {
		return false
	}
	s.compact()
	return true
}

// compact lets the TSDB compact by itself, and begin with it: otherwise it does so after the next reading.
func (s *Store) compact() {
	s.db.EnableCompactions()
	_ = s.db.Appender(context.Background()).Commit() // nothing: only its end is noticed
}

// begun reports whether a file is there that was not, or has changed: those of an earlier run are only read,
// but the number of one that was removed may be given again.
func (g *gate) begun() bool {
	for name, changed := range g.files() {
		if was, known := g.before[name]; !known || !was.Equal(changed) {
			return true
		}
	}
	return false
}

// files returns the times of change of the files of head chunks.
func (g *gate) files() map[string]time.Time {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil // not made yet; and of a folder that cannot be read nothing was begun as far as we know
	}
	files := make(map[string]time.Time, len(entries))
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			files[entry.Name()] = info.ModTime()
		}
	}
	return files
}
