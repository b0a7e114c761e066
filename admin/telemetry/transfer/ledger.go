package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// ledger is the file that notes which days of which kiosks are done: a line that names the target, then a line
// for each. A line is added when its day is in the target, so a kill at any time leaves at most a torn last line,
// and that day is copied again.
type ledger struct {
	file  *os.File
	noted map[string]struct{}
}

const headline = "# copied to "

// openLedger reads the file, or begins a new one.
func openLedger(path, target string, again bool) (*ledger, error) {
	l := &ledger{noted: map[string]struct{}{}}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("note the progress: %w", err)
	}
	head := headline + target + "\n"
	switch {
	case again || len(text) == 0 || !bytes.Contains(text, []byte("\n")):
		text = nil
	case !strings.HasPrefix(string(text), head):
		first, _, _ := strings.Cut(string(text), "\n")
		return nil, fmt.Errorf("%s is of another copy (%s); remove it, or use --again to copy everything", path, strings.TrimPrefix(first, headline))
	}
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("note the progress: %w", err)
	}
	keep := 0
	if text != nil {
		keep = bytes.LastIndexByte(text, '\n') + 1
		for line := range strings.SplitSeq(string(text[len(head):keep]), "\n") {
			if line != "" {
				l.noted[line] = struct{}{}
			}
		}
	}
	if err := l.begin(int64(keep), head); err != nil {
		return nil, errors.Join(fmt.Errorf("note the progress: %w", err), l.file.Close())
	}
	return l, nil
}

// begin cuts the file after what is kept of it; a new one gets its first line.
func (l *ledger) begin(keep int64, head string) error {
	if err := l.file.Truncate(keep); err != nil {
		return err
	}
	if _, err := l.file.Seek(keep, 0); err != nil {
		return err
	}
	if keep > 0 {
		return nil
	}
	_, err := l.file.WriteString(head)
	return err
}

func line(serial string, day time.Time) string { return serial + " " + day.Format(time.DateOnly) }

func (l *ledger) done(serial string, day time.Time) bool {
	_, ok := l.noted[line(serial, day)]
	return ok
}

func (l *ledger) note(serial string, day time.Time) error {
	if _, err := l.file.WriteString(line(serial, day) + "\n"); err != nil {
		return fmt.Errorf("note the progress: %w", err)
	}
	return nil
}

func (l *ledger) close() error { return errors.Join(l.file.Sync(), l.file.Close()) }
