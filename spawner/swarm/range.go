package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kioskfleet/kiosk/outbox"
	"kioskfleet/spawner/roster"
)

// Several processes share a fleet and its data folder by range: each runs the kiosks of some numbers.
// The lock file stands for the numbers, a byte for each, of which a process locks its own; so two ranges
// that share a part cannot both run. Byte 0 is locked while a process starts: it may then look into the
// outboxes of ranges that nobody runs.
const (
	rangeLockFile = "range.lock"
	startByte     = 0
	startPoll     = 50 * time.Millisecond
	// startWait is long enough for another process to read a full outbox.
	startWait = time.Minute
)

// errStarting means that another process is starting.
var errStarting = errors.New("another spawner is starting in this data folder")

// claim is the right to run a range of kiosks. It ends with the process at the latest.
type claim struct{ file *os.File }

// claimRange takes the numbers from first to first+n-1, and byte 0, which the caller gives back by started.
//
// Errors: another process has some of them; it has been starting for too long; the folder cannot be written.
func claimRange(ctx context.Context, dataDir string, first, n int) (*claim, error) {
	dir := filepath.Join(dataDir, DataPart)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the swarm's folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, rangeLockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the swarm's range: %w", err)
	}
	c := &claim{file}
	if err := c.take(ctx, first, n); err != nil {
		c.release()
		return nil, fmt.Errorf("run kiosks %d to %d: %w", first, first+n-1, err)
	}
	return c, nil
}

func (c *claim) take(ctx context.Context, first, n int) error {
	other, err := lockBytes(c.file, int64(first), int64(n))
	if err != nil {
		return err
	}
	if other != nil {
		return fmt.Errorf("%s runs kiosks %d to %d; choose others with --first and -n, or another --data-dir", other.process(), other.from, other.to)
	}
	limit := time.NewTimer(startWait)
	defer limit.Stop()
	for {
		other, err := lockBytes(c.file, startByte, 1)
		if err != nil || other == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return errStarting
		case <-time.After(startPoll):
		}
	}
}

// started says that this process has done what others must not disturb.
func (c *claim) started() error { return unlockBytes(c.file, startByte, 1) }

func (c *claim) release() { _ = c.file.Close() }

// holder is who has locked what we want.
type holder struct {
	pid      int
	from, to int64 // bytes, both included
}

func (h *holder) process() string {
	if h.pid <= 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d", h.pid)
}

const outboxName = "outbox"

// PartName returns what a file or folder of the range that begins with first is called: name itself for 1.
func PartName(name string, first int) string {
	if first == 1 {
		return name
	}
	return name + "-" + strconv.Itoa(first)
}

// openOutbox opens the outbox of the range that begins with first. What waits elsewhere for these kiosks,
// because the ranges were others before, is moved here, unless a process still has it. What waits for
// kiosks that this process does not run is told.
func openOutbox(dataDir string, first int, kiosks []roster.Kiosk, log *slog.Logger) (*outbox.Log, error) {
	dir := filepath.Join(dataDir, DataPart)
	own, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, PartName(outboxName, first)), Log: log})
	if err != nil {
		return nil, err
	}
	ours := make(map[string]bool, len(kiosks))
	for _, k := range kiosks {
		ours[k.Serial] = true
	}
	tellStrangers(own, PartName(outboxName, first), ours, log)
	for _, name := range outboxesBeside(dir, PartName(outboxName, first)) {
		if err := adopt(own, filepath.Join(dir, name), ours, log); err != nil {
			log.Warn("what waits in another outbox stays there", "outbox", filepath.Join(dir, name), "error", err)
		}
	}
	return own, nil
}

// outboxesBeside names the other outboxes of a folder.
func outboxesBeside(dir, own string) (names []string) {
	entries, _ := os.ReadDir(dir) // it was just written to
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), outboxName+"-")
		if _, err := strconv.Atoi(number); e.IsDir() && e.Name() != own && (e.Name() == outboxName || ok && err == nil) {
			names = append(names, e.Name())
		}
	}
	return names
}

// adopt moves what waits for our kiosks in the outbox of another range, if nobody runs that.
func adopt(own *outbox.Log, dir string, ours map[string]bool, log *slog.Logger) error {
	other, err := outbox.Open(outbox.Config{Dir: dir, Log: log})
	if errors.Is(err, outbox.ErrInUse) {
		return nil // its process tells what waits there
	}
	if err != nil {
		return err
	}
	items, err := other.HandOver(own, func(serial string) bool { return ours[serial] })
	if err == nil {
		if items > 0 {
			log.Info("adopted what waited in the outbox of another range", "outbox", dir, "items", items)
		}
		tellStrangers(other, filepath.Base(dir), ours, log)
	}
	return errors.Join(err, other.Close())
}

// tellStrangers warns of what waits for kiosks that this process does not run.
func tellStrangers(box *outbox.Log, name string, ours map[string]bool, log *slog.Logger) {
	kiosks, items := 0, 0
	from, to := "", ""
	for serial, n := range box.Waiting() {
		if ours[serial] {
			continue
		}
		kiosks++
		items += n
		if from == "" || shorter(serial, from) {
			from = serial
		}
		if to == "" || shorter(to, serial) {
			to = serial
		}
	}
	if kiosks > 0 {
		log.Warn("an outbox holds readings of kiosks that this process does not run; they are sent when a spawner starts that runs these kiosks while no other has this outbox open",
			"outbox", name, "kiosks", kiosks, "items", items, "first", from, "last", to)
	}
}

// shorter orders serials of one prefix by their number.
func shorter(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }
