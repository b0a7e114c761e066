package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/durablefile"
)

// Files keeps states in a folder, a file for each shard. A file is replaced as a whole, so a crash leaves the old one
// or the new one; a checksum over all of it finds what the disk has spoilt.
type Files struct {
	dir string
	buf []byte // memory of SaveStates
}

// OpenFiles returns the files of a folder, which is made if need be.
func OpenFiles(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of detectors: %w", err)
	}
	return &Files{dir: dir}, nil
}

// snapshotMagic begins each file; its last character is the version of the form.
const snapshotMagic = "KFDETEC1"

const checksumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged is of a snapshot that is not as it was written.
var ErrDamaged = errors.New("snapshot is damaged")

func (f *Files) path(shard int) string {
	return filepath.Join(f.dir, fmt.Sprintf("%02d.snap", shard))
}

// LoadStates implements States.
//
// Errors: ErrDamaged; those of reading the file.
func (f *Files) LoadStates(shard int) ([]fleet.AnomalyState, error) {
	data, err := os.ReadFile(f.path(shard))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	states, err := decodeStates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(shard), err)
	}
	return states, nil
}

// SaveStates implements States. It is for one goroutine at a time.
func (f *Files) SaveStates(shard int, states []fleet.AnomalyState) error {
	f.buf = encodeStates(f.buf[:0], states)
	return durablefile.Write(f.path(shard), f.buf, 0o600)
}

// encodeStates appends a file's content: magic, number of states, each with its serial, source and data, and the
// CRC-32C of all that.
func encodeStates(b []byte, states []fleet.AnomalyState) []byte {
	b = append(b, snapshotMagic...)
	b = binary.AppendUvarint(b, uint64(len(states)))
	for i := range states {
		s := &states[i]
		b = binary.AppendUvarint(b, uint64(len(s.Serial)))
		b = append(b, s.Serial...)
		b = binary.AppendUvarint(b, s.Source.Record)
		b = binary.AppendUvarint(b, uint64(s.Source.Item))
		b = binary.AppendUvarint(b, uint64(len(s.Data)))
		b = append(b, s.Data...)
	}
	return checked(b)
}

// checked appends the checksum.
func checked(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeStates is the reverse of encodeStates. The states' data are part of b.
func decodeStates(b []byte) ([]fleet.AnomalyState, error) {
	end := len(b) - checksumBytes
	if end < len(snapshotMagic) || string(b[:len(snapshotMagic)]) != snapshotMagic || binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, ErrDamaged
	}
	b = b[len(snapshotMagic):end]
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	bytes := func() []byte {
		n := min(number(), uint64(len(b)))
		out := b[:n:n]
		b = b[n:]
		return out
	}
	count := number()
	states := make([]fleet.AnomalyState, 0, min(count, uint64(len(b))))
	for range count {
		if len(b) == 0 {
			return nil, ErrDamaged
		}
		s := fleet.AnomalyState{Serial: string(bytes())}
		s.Source = fleet.Source{Record: number(), Item: int(number())}
		s.Data = bytes()
		states = append(states, s)
	}
	return states, nil
}
