// Package filelock lets one process at a time work on what belongs to a file. The system frees the lock of a process
// that ends, however it ends. On systems without flock (not Unix) it keeps nobody away.
package filelock

import (
	"errors"
	"os"
)

// ErrHeld says that somebody else has the lock: another process, or another file that this one has opened.
var ErrHeld = errors.New("somebody else has the lock")

// Take waits for the lock of a file, which it makes if need be; closing the file gives it back.
func Take(path string) (*os.File, error) { return open(path, true) }

// Try takes the lock of a file like Take, or returns at once.
//
// Errors: ErrHeld.
func Try(path string) (*os.File, error) { return open(path, false) }

func open(path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f, wait); err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, f.Close())
	}
	return f, nil
}
