//go:build !unix

package swarm

import "syscall"

// processAttributes asks for nothing special: there are no process groups to speak of.
func processAttributes() *syscall.SysProcAttr { return nil }
