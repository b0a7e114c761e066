//go:build !unix

package swarm

// usage is not known on this system.
func usage() (Usage, bool) { return Usage{}, false }
