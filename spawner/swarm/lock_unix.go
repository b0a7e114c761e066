//go:build unix

package swarm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// lockBytes locks a part of a file for this process, or returns who has some of it. The system frees it
// when the process ends, however it ends, and when it closes the file.
func lockBytes(f *os.File, start, length int64) (*holder, error) {
	for {
		want := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: start, Len: length}
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &want)
		if err == nil {
			return nil, nil
		}
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		other := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: start, Len: length}
		if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &other); err != nil {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if other.Type != syscall.F_UNLCK { // else it was given back meanwhile
			return &holder{int(other.Pid), max(other.Start, min(start, 1)), other.Start + other.Len - 1}, nil
		}
	}
}

// unlockBytes gives back what lockBytes has locked.
func unlockBytes(f *os.File, start, length int64) error {
	part := syscall.Flock_t{Type: syscall.F_UNLCK, Whence: io.SeekStart, Start: start, Len: length}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &part); err != nil {
		return fmt.Errorf("unlock %s: %w", f.Name(), err)
	}
	return nil
}
