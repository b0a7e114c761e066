//go:build !unix

package model

import "os"

// lockFile opens the lock's file. This system has no flock: nothing keeps a second process from changing the index at
// the same moment, and one of the two changes may be lost.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
