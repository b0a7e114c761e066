package truth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// DefaultMaxBytes bounds a truth log's file. The one before it is kept, so that there is twice that.
	DefaultMaxBytes = 256 << 20
	minMaxBytes     = 4 << 10
	// flushEvery is how long an event may stay in memory.
	flushEvery = time.Second
	// flushBytes is what is written at once, pendingBytes what may wait for a disk that refuses.
	flushBytes   = 64 << 10
	pendingBytes = 1 << 20
)

// LogConfig describes a truth log. Path is required.
type LogConfig struct {
	Path     string
	MaxBytes int64 // when the file would exceed it, it becomes <Path>.1; default 256 MiB, at least 4 KiB
	Log      *slog.Logger
}

// Log writes events as JSON lines, whole lines only. Nothing that goes wrong with its file stops those
// who write: what cannot be written waits, and is lost and counted when too much waits. Safe for
// concurrent use within one process; two processes need two files. Open it, and Close it in the end.
type Log struct {
	path    string
	max     int64
	pending int // bound of buf
	flushAt int // size of buf from which on it is written
	log     *slog.Logger

	mu     sync.Mutex // guards all below; held while writing, not while encoding
	buf    []byte     // whole lines that are not in the file yet
	lines  int64      // in buf
	timer  *time.Timer
	file   *os.File // nil: must be opened
	size   int64    // of the file
	lost   int64
	told   bool // about the first thing that went wrong
	closed bool
}

// Open opens the log, and makes its folder and file if they are missing. Events are appended to those
// that are there; the rest of a line that was cut off by a crash is removed.
//
// Errors: the path is a folder; it cannot be read or written.
func Open(cfg LogConfig) (*Log, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	size := max(cfg.MaxBytes, minMaxBytes)
	// Half of the file at most waits or is written at once: so it always fits into a new file.
	l := &Log{path: cfg.Path, max: size, pending: int(min(pendingBytes, size/2)), flushAt: int(min(flushBytes, size/4)), log: cfg.Log}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("truth log: %w", err)
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("truth log: %w", err)
	}
	return l, nil
}

// Write notes an event. It returns at once, unless the file is being written to.
func (l *Log) Write(e Event) {
	line, err := json.Marshal(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.lost++
		l.tell(fmt.Errorf("encode an event of %s: %w", e.Serial, err))
		return
	case l.closed || len(l.buf)+len(line)+1 > l.pending:
		l.lost++
		return
	}
	l.buf = append(append(l.buf, line...), '\n')
	l.lines++
	if len(l.buf) >= l.flushAt && !l.told {
		l.try()
	}
	if len(l.buf) > 0 && l.timer == nil {
		l.timer = time.AfterFunc(flushEvery, l.flushNow)
	}
}

// Lost returns how many events are not, and will never be, in the file.
func (l *Log) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Close writes what waits and closes the file. Events that come later are lost.
//
// Errors: that of the last attempt to write; the number of events that are lost.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	err := l.flush()
	l.lost += l.lines
	l.buf, l.lines = nil, 0
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	if l.lost > 0 {
		err = errors.Join(err, fmt.Errorf("%d events are lost", l.lost))
	}
	if err != nil {
		return fmt.Errorf("truth log: %w", err)
	}
	return nil
}

// flushNow is what the timer calls. It comes again as long as something waits.
func (l *Log) flushNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if l.closed {
		return
	}
	l.try()
	if len(l.buf) > 0 {
		l.timer = time.AfterFunc(flushEvery, l.flushNow)
	}
}

// try flushes. What cannot be written goes on waiting. The caller holds mu.
func (l *Log) try() {
	if err := l.flush(); err != nil {
		l.tell(err)
		return
	}
	l.told = false
}

// flush writes what waits. The caller holds mu.
func (l *Log) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(l.buf)) > l.max {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if _, err := l.file.Write(l.buf); err != nil {
		// What got through would come twice. The file is opened anew, in case it is another one by then.
		err = errors.Join(err, l.file.Truncate(l.size), l.file.Close())
		l.file = nil
		return err
	}
	l.size += int64(len(l.buf))
	l.buf, l.lines = l.buf[:0], 0
	return nil
}

// rotate makes the file the one before and begins a new one.
func (l *Log) rotate() error {
	if err := os.Rename(l.path, previous(l.path)); err != nil {
		return err
	}
	err := l.file.Close()
	l.file = nil
	return errors.Join(err, l.open())
}

// tell logs the first of several errors in a row.
func (l *Log) tell(err error) {
	if !l.told {
		l.told = true
		l.log.Error("truth log cannot be written; events wait in memory and may be lost", "path", l.path, "error", err)
	}
}

func previous(path string) string { return path + ".1" }

// open opens the file and repairs its end.
func (l *Log) open() error {
	if info, err := os.Stat(l.path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name a file", l.path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := repair(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", l.path, err)
	}
	l.file, l.size = f, size
	return nil
}

// repair removes what follows the last end of line, and returns the size.
func repair(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return 0, err
	}
	block := make([]byte, 64<<10)
	for at := end; at > 0; {
		n := min(at, int64(len(block)))
		at -= n
		if _, err := f.ReadAt(block[:n], at); err != nil {
			return 0, err
		}
		i := bytes.LastIndexByte(block[:n], '\n')
		if i < 0 {
			continue
		}
		whole := at + int64(i) + 1
		if whole == end {
			return end, nil
		}
		return whole, f.Truncate(whole)
	}
	return 0, f.Truncate(0)
}
