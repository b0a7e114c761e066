//go:build unix

package swarm

import (
	"runtime"
	"syscall"
)

// usage asks the system; false: it does not tell.
func usage() (Usage, bool) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{}, false
	}
	unit := int64(1024) // KiB, getrusage(2)
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		unit = 1
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Nano()) / 1e9 }
	return Usage{
		CPUSeconds: seconds(r.Utime) + seconds(r.Stime),
		PeakMemory: int64(r.Maxrss) * unit, //nolint:unconvert // smaller on some systems
	}, true
}
