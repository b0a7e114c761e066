package history

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// Intervals between words on how it goes, on a terminal and in a log.
const (
	terminalInterval = 500 * time.Millisecond
	logInterval      = 5 * time.Second
)

// telling runs work and says meanwhile on the command's error stream how it goes: in one line that stays
// the last on a terminal, or in lines of the log.
func telling(cmd *cobra.Command, s *Spawner, say func(took time.Duration) (string, []any), work func(*slog.Logger) error) error {
	out := cmd.ErrOrStderr()
	every := logInterval
	var last *lastLine
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb" {
		last, every = &lastLine{out: out}, terminalInterval
		out = last
	}
	log, err := s.Logger(out)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- work(log) }()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if last != nil {
				last.show("")
			}
			return err
		case <-ticker.C:
			line, attributes := say(time.Since(began))
			if last != nil {
				last.show(line)
			} else {
				log.Info("progress", attributes...)
			}
		}
	}
}

// lastLine is a line that stays the last on a terminal; what is written to it appears above. Safe for
// concurrent use.
type lastLine struct {
	out io.Writer

	mu   sync.Mutex // guards text
	text string
}

const clearLine = "\r\x1b[K"

// show replaces the line. Nothing can be done about a terminal that has gone, so errors are ignored.
func (l *lastLine) show(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = text
	_, _ = io.WriteString(l.out, clearLine+text)
}

// Write puts whole lines above the line.
func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.out, clearLine+string(b)+l.text)
	return len(b), err
}
