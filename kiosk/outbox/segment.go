package outbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// file is what a log needs of a file; tests replace it with one that fails.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// openFile opens a segment's file, and makes it if there is none.
func openFile(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// segment is one file of a log. Fields are guarded by the log's lock.
type segment struct {
	number uint64
	path   string
	file   file
	size   int64 // end of its last good record
	live   int64 // bytes of records that are still needed
	held   bool  // its copies may not be on disk
	// sealed says that nothing more may be written to it: a write or a sync has failed in a way that
	// leaves its end unknown.
	sealed bool
	// unsynced says that it has bytes that a loss of power would take; unlisted that its folder does
	// not durably name it yet.
	unsynced, unlisted bool
}

const (
	segmentSuffix = ".outbox"
	// segmentMagic begins every segment; its last byte is the version of the format.
	segmentMagic = "KFOUTBX1"
)

// Errors of a segment's beginning.
var (
	errVersion  = errors.New("was written by another version of this program")
	errNoHeader = errors.New("does not begin like a segment")
)

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d", number)+segmentSuffix)
}

// listSegments returns the segments of a folder, oldest first, not opened.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segments []*segment
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		path := filepath.Join(dir, e.Name())
		number, err := strconv.ParseUint(text, 10, 63)
		if err != nil || path != segmentPath(dir, number) {
			return nil, fmt.Errorf("%s is no segment of an outbox: move it away", path)
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		segments = append(segments, &segment{number: number, path: path, size: info.Size()})
	}
	slices.SortFunc(segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return segments, nil
}

// newSegment makes an empty segment.
func newSegment(dir string, number uint64, open func(string) (file, error)) (*segment, error) {
	path := segmentPath(dir, number)
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt([]byte(segmentMagic), 0); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return &segment{number: number, path: path, file: f, size: int64(len(segmentMagic)), unsynced: true, unlisted: true}, nil
}

// scan calls yield for each good record in a segment's bytes and returns where they end. The record is
// good until yield returns.
//
// Errors: errVersion; errNoHeader; errBadRecord, wrapped, when bytes follow that are no record.
func scan(data []byte, yield func(r *record, offset int64, size int)) (end int64, err error) {
	if len(data) < len(segmentMagic) {
		return 0, errNoHeader
	}
	head := data[:len(segmentMagic)]
	if string(head) != segmentMagic {
		if bytes.HasPrefix(head, []byte(segmentMagic[:len(segmentMagic)-1])) {
			return 0, errVersion
		}
		return 0, errNoHeader
	}
	at := len(segmentMagic)
	var r record // one for all: yield makes it escape
	for at < len(data) {
		var size int
		if r, size, err = decodeRecord(data[at:]); err != nil {
			return int64(at), err
		}
		yield(&r, int64(at), size)
		at += size
	}
	return int64(at), nil
}

// remove closes a segment's file and deletes it.
func (s *segment) remove() error {
	return errors.Join(s.file.Close(), os.Remove(s.path))
}
