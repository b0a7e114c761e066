package journal

import (
	"errors"
	"os"
	"syscall"
)

// preallocate gives the file its full size on disk, so that a later write finds its room and a sync
// has no size to record. Where the file system cannot, the file just grows to it.
func preallocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
