//go:build !unix

package outbox

import "os"

// lockFile opens the lock's file. This system has no flock: nothing keeps a second process away.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
