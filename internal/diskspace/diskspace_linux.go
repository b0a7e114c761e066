// Package diskspace tells how much room a disk has left.
package diskspace

import "syscall"

// Free returns how many bytes the file system of a folder has left for us.
func Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
