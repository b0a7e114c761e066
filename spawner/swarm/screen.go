package swarm

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/term"
)

// line is one line of a screen's block, in one style.
type line struct {
	text  string
	style style
}

// style is how a terminal shows a line.
type style byte

const (
	plain style = iota
	bold
	warning
)

// Screen shows a block of lines that is updated in place at the end of a terminal's output. What others
// write to the terminal passes through it, so that it appears above the block. Safe for concurrent use.
type Screen struct {
	out    io.Writer
	size   func() (columns, lines int)
	colour bool

	mu    sync.Mutex // guards block
	block []line
}

// Size of a terminal that does not tell it.
const (
	defaultColumns = 80
	defaultLines   = 24
)

// NewScreen returns a screen on a terminal. It is without colours if the environment variable NO_COLOR
// is not empty (https://no-color.org).
func NewScreen(terminal *os.File) *Screen {
	size := func() (columns, lines int) {
		columns, lines, err := term.GetSize(int(terminal.Fd()))
		if err != nil || columns <= 0 || lines <= 0 {
			return defaultColumns, defaultLines
		}
		return columns, lines
	}
	return &Screen{out: terminal, size: size, colour: os.Getenv("NO_COLOR") == ""}
}

// Control sequences of ECMA-48.
const (
	clearBelow = "\r\x1b[J"
	noStyle    = "\x1b[0m"
)

var styles = map[style]string{bold: "\x1b[1m", warning: "\x1b[33m"}

// show replaces the block. Nothing can be done about a terminal that has gone, so errors are ignored.
func (s *Screen) show(block []line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	s.rewind(&b)
	s.block = block
	s.draw(&b)
	_, _ = s.out.Write(b.Bytes())
}

// Write puts whole lines above the block.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.block) == 0 {
		return s.out.Write(text)
	}
	var b bytes.Buffer
	s.rewind(&b)
	b.Write(text)
	s.draw(&b)
	_, err := s.out.Write(b.Bytes())
	return len(text), err
}

// Clear removes the block.
func (s *Screen) Clear() { s.show(nil) }

// rewind goes to the begin of the block and clears it. A terminal that has become narrower meanwhile has
// broken its lines.
func (s *Screen) rewind(b *bytes.Buffer) {
	if len(s.block) == 0 {
		return
	}
	columns, _ := s.size()
	rows := 0
	for _, l := range s.block {
		rows += max((textWidth(l.text)+columns-1)/columns, 1)
	}
	if rows > 1 {
		b.WriteString("\x1b[" + strconv.Itoa(rows-1) + "A")
	}
	b.WriteString(clearBelow)
}

// draw writes the block and leaves the cursor at its end.
func (s *Screen) draw(b *bytes.Buffer) {
	for i, l := range s.block {
		if i > 0 {
			b.WriteString("\r\n")
		}
		text := l.text
		if start := styles[l.style]; s.colour && start != "" {
			text = start + text + noStyle
		}
		b.WriteString(text)
	}
}
