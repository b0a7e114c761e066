package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// kind says what a journal record holds. The numbers are on disk and never change.
type kind byte

const (
	kindMessage      kind = 1
	kindConnected    kind = 2
	kindDisconnected kind = 3
	kindScores       kind = 4 // what the detectors said of readings; see scores.go
)

const (
	flagClean     = 1 << 0
	flagTakenOver = 1 << 1
)

// record is what the journal keeps of a message or a connection: everything that replay needs.
type record struct {
	number     uint64 // in the journal; known when it was read
	kind       kind
	flags      byte
	at         time.Time // received, UTC, whole milliseconds
	serial     string
	site       string // the kiosk's when the message was received
	connection string
	channel    protocol.Channel
	payload    []byte
}

// encode appends the record's bytes: kind, flags, time, four texts with their lengths, payload.
func (r *record) encode(buf []byte) []byte {
	buf = append(buf, byte(r.kind), r.flags)
	buf = binary.AppendVarint(buf, r.at.UnixMilli())
	for _, text := range []string{r.serial, r.site, r.connection, string(r.channel)} {
		buf = binary.AppendUvarint(buf, uint64(len(text)))
		buf = append(buf, text...)
	}
	return append(buf, r.payload...)
}

// errNewer ends a consumer: to pass over what was acknowledged would lose it.
var errNewer = errors.New("the journal holds what only a newer version of the program knows: run that, or move the journal away")

var errShortRecord = errors.New("journal record ends early")

// decodeRecord reads a record. Its payload is part of buf, and good for as long as that is; its texts
// are not, and those that come again and again are allocated once.
func decodeRecord(buf []byte) (record, error) {
	var r record
	if len(buf) < 2 {
		return r, errShortRecord
	}
	r.kind, r.flags = kind(buf[0]), buf[1]
	buf = buf[2:]
	at, n := binary.Varint(buf)
	if n <= 0 {
		return r, errShortRecord
	}
	r.at, buf = time.UnixMilli(at).UTC(), buf[n:]
	var texts [4]string
	for i := range texts {
		size, n := binary.Uvarint(buf)
		if n <= 0 || uint64(len(buf)-n) < size {
			return r, errShortRecord
		}
		texts[i], buf = identities.of(buf[n:n+int(size)]), buf[n+int(size):]
	}
	r.serial, r.site, r.connection, r.channel = texts[0], texts[1], texts[2], protocol.Channel(texts[3])
	r.payload = buf
	if r.kind < kindMessage || r.kind > kindScores {
		return r, fmt.Errorf("%w (kind %d)", errNewer, r.kind)
	}
	return r, nil
}

// payloads copies payloads that are needed for longer than the journal's reader lends them: for the time
// of a batch.
type payloads struct {
	chunks [][]byte // used again for each batch
	n      int      // chunks in use
}

const payloadsBytes = 64 << 10

// keep returns a copy that is good until the next reset.
func (p *payloads) keep(payload []byte) []byte {
	if len(payload) > payloadsBytes/8 {
		return bytes.Clone(payload)
	}
	if p.n == 0 || len(p.chunks[p.n-1])+len(payload) > payloadsBytes {
		if p.n++; p.n > len(p.chunks) {
			p.chunks = append(p.chunks, make([]byte, 0, payloadsBytes))
		}
		p.chunks[p.n-1] = p.chunks[p.n-1][:0]
	}
	chunk := &p.chunks[p.n-1]
	start := len(*chunk)
	*chunk = append(*chunk, payload...)
	return (*chunk)[start:len(*chunk):len(*chunk)]
}

// reset takes everything back.
func (p *payloads) reset() { p.n = 0 }

func connectionRecord(e fleet.ConnectionEvent) record {
	r := record{kind: kindDisconnected, at: e.At, serial: e.Serial, connection: e.ConnectionID}
	if e.Connected {
		r.kind = kindConnected
	}
	if e.Clean {
		r.flags |= flagClean
	}
	if e.TakenOver {
		r.flags |= flagTakenOver
	}
	return r
}

func (r *record) connectionEvent() fleet.ConnectionEvent {
	return fleet.ConnectionEvent{
		Serial: r.serial, ConnectionID: r.connection, Connected: r.kind == kindConnected,
		Clean: r.flags&flagClean != 0, TakenOver: r.flags&flagTakenOver != 0, At: r.at, Source: fleet.Source{Record: r.number},
	}
}

func (r *record) origin() fleet.Origin {
	return fleet.Origin{Serial: r.serial, ConnectionID: r.connection, At: r.at, Source: fleet.Source{Record: r.number}}
}
