package swarm

import "syscall"

// processAttributes puts a kiosk process into a group of its own, and ends it when the spawner is
// killed: nobody else would.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
