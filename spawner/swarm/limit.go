package swarm

import (
	"errors"
	"fmt"
	"strings"
)

// Open files that a swarm needs.
const (
	filesOfOne = 1 // a kiosk's connection
	// filesOfOneProcess is for a kiosk in a process of its own: the pipe it writes to, and the system's
	// handle of the process.
	filesOfOneProcess = 2
	// filesBesides is for the outbox's segments (256 MiB of readings take twice that in segments of 4 MiB,
	// at most), states that are being saved, enrolments under way, and the program itself.
	filesBesides = 256
)

// CheckOpenFiles returns an error that says what to do if this process may not open as many files as
// that many kiosks need, numbered from first; processes says that each has a process of its own.
func CheckOpenFiles(first, kiosks int, processes bool) error {
	// The Go runtime has raised the soft limit to the hard one.
	limit, known := openFileLimit()
	if !known {
		return nil
	}
	return checkOpenFiles(first, kiosks, processes, limit)
}

func checkOpenFiles(first, kiosks int, processes bool, limit uint64) error {
	each := filesOfOne
	if processes {
		each = filesOfOneProcess
	}
	needed := uint64(each*kiosks + filesBesides)
	if needed <= limit {
		return nil
	}
	text := fmt.Sprintf("%d kiosks need %d open files, this process may open %d: raise the limit (ulimit -n %d; LimitNOFILE=%d in a systemd unit)",
		kiosks, needed, limit, needed, needed)
	if room := int(min(limit, needed)) - filesBesides; room >= each {
		text += ", or share the kiosks among processes: " + strings.Join(ranges(first, kiosks, room/each), ", ")
	}
	return errors.New(text)
}

// ranges returns the flags of processes that run at most so many kiosks each; of many processes the first
// two and the last.
func ranges(first, kiosks, most int) []string {
	processes := (kiosks + most - 1) / most
	flags := func(i int) string {
		from, to := kiosks*i/processes, kiosks*(i+1)/processes
		return fmt.Sprintf("--first %d -n %d", first+from, to-from)
	}
	if processes > 4 {
		return []string{flags(0), flags(1), "… (" + fmt.Sprint(processes) + " in all)", flags(processes - 1)}
	}
	list := make([]string, processes)
	for i := range list {
		list[i] = flags(i)
	}
	return list
}
