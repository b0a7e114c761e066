package influxd

import (
	"os/exec"
	"syscall"
)

// dieWithUs makes the system kill the server when the test's process ends without a clean-up, as it
// does after its time limit.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
