//go:build unix && !linux

package swarm

import "syscall"

// processAttributes puts a kiosk process into a group of its own.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
