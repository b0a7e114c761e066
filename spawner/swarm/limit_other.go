//go:build !unix

package swarm

// openFileLimit knows no limit of this system.
func openFileLimit() (limit uint64, known bool) { return 0, false }
