package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"kioskfleet/kiosk/outbox"
)

// lines reads one kiosk's readings back. It is used by one goroutine.
type lines struct {
	name    string
	file    *os.File
	decoder *zstd.Decoder // nil: not compressed
	reader  *bufio.Reader
	shift   time.Duration
	number  int64 // of the last line
	next    []byte
}

// maxLine bounds a reading; see what admin accepts of one message.
const maxLine = outbox.MaxBatchBytes - len("[]")

// openLines opens a kiosk's file and passes over the first lines. Times come out moved by shift.
func openLines(dir string, f *KioskFile, skip int64, shift time.Duration) (*lines, error) {
	path := filepath.Join(dir, filepath.FromSlash(f.Name))
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &lines{name: path, file: file, shift: shift}
	var under io.Reader = file
	if strings.HasSuffix(path, ".zst") {
		// Many kiosks are read at a time, each by one goroutine.
		if l.decoder, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
		}
		under = l.decoder
	}
	l.reader = bufio.NewReaderSize(under, 16<<10)
	for l.number < skip {
		if _, err := l.line(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s has fewer lines than were loaded: %w", path, err), l.close())
		}
	}
	return l, nil
}

func (l *lines) close() error {
	if l.decoder != nil {
		l.decoder.Close()
	}
	return l.file.Close()
}

// line returns the next line without its end; it is the caller's. At the end: io.EOF.
func (l *lines) line() ([]byte, error) {
	line, err := l.reader.ReadBytes('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read %s, line %d: %w", l.name, l.number+1, err)
	}
	l.number++
	line = line[:len(line)-1]
	if len(line) > maxLine {
		return nil, fmt.Errorf("%s, line %d: a reading of %d bytes is more than the platform takes", l.name, l.number, len(line))
	}
	return line, nil
}

// batch is one message.
type batch struct {
	payload  []byte
	readings int64
	session  string // of its last reading
}

// take returns the next readings as an array, as many as go into one message. At the end: io.EOF.
func (l *lines) take() (batch, error) {
	var b batch
	var last []byte
	for b.readings < outbox.MaxBatchReadings {
		if l.next == nil {
			line, err := l.line()
			if err == nil {
				line, err = l.moved(line)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return b, err
			}
			l.next = line
		}
		if b.readings > 0 && len(b.payload)+len(l.next)+2 > outbox.MaxBatchBytes {
			break
		}
		separator := byte(',')
		if b.readings == 0 {
			separator = '['
		}
		b.payload = append(append(b.payload, separator), l.next...)
		b.readings++
		last, l.next = l.next, nil
	}
	if b.readings == 0 {
		return b, io.EOF
	}
	b.payload = append(b.payload, ']')
	var named struct {
		Session string `json:"session"`
	}
	if err := json.Unmarshal(last, &named); err != nil {
		return b, l.fault(err.Error())
	}
	b.session = named.Session
	return b, nil
}

// head is how each line begins: protocol.Reading has its timestamp first.
var head = []byte(`{"timestamp":"`)

// moved returns the line with its time moved by shift. Only the time is decoded: the rest of a reading is
// many times as long and stays as it is.
func (l *lines) moved(line []byte) ([]byte, error) {
	if l.shift == 0 {
		return line, nil
	}
	rest, ok := bytes.CutPrefix(line, head)
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return nil, l.fault("it does not begin with a timestamp")
	}
	t, err := time.Parse(time.RFC3339Nano, string(rest[:end]))
	if err != nil {
		return nil, l.fault(err.Error())
	}
	out := make([]byte, 0, len(line)+len(".000"))
	out = append(out, head...)
	out = t.Add(l.shift).AppendFormat(out, time.RFC3339Nano)
	return append(out, rest[end:]...), nil
}

func (l *lines) fault(what string) error {
	return fmt.Errorf("%s, line %d: %s", l.name, l.number, what)
}
