package outbox

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kioskfleet/internal/protocol"
)

var update = flag.Bool("update", false, "write the fuzz corpus anew")

// encode writes a decoded record again.
func encode(r *record) []byte {
	serial := string(r.serial)
	switch r.kind {
	case kindReading:
		return appendReading(nil, serial, r.mark, r.millis, string(r.session), r.seq, r.payload)
	case kindAck:
		return appendAck(nil, serial, r.mark, string(r.key), r.payload)
	case kindRanges:
		return appendRanges(nil, serial, r.ranges)
	}
	return appendDone(nil, r.kind, serial, r.from, r.to)
}

// samples are one record of each kind, and odd ones.
func samples() map[string][]byte {
	return map[string][]byte{
		"reading":       appendReading(nil, testSerial, 7, 1_800_000_000_123, "K3MSESSION", 41, []byte(`{"seq":41}`)),
		"before-epoch":  appendReading(nil, "K", 1<<63, -1, "", 1<<63, nil),
		"ack":           appendAck(nil, testSerial, 8, "019b succeeded", []byte(`{"id":"019b"}`)),
		"readings-done": appendDone(nil, kindReadingsDone, testSerial, 7, 9),
		"acks-done":     appendDone(nil, kindAcksDone, testSerial, 8, 8),
		"ranges":        appendRanges(nil, testSerial, []protocol.SeqRange{rangeOf("a", 1, 9), rangeOf("", 0, 1<<64-1)}),
		"no-ranges":     appendRanges(nil, testSerial, nil),
		"torn":          appendDone(nil, kindAcksDone, testSerial, 8, 8)[:12],
		"backwards":     appendDone(nil, kindAcksDone, testSerial, 9, 8),
		"unknown-kind":  appendDone(nil, 99, testSerial, 8, 9),
		"huge-length":   {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1},
		"no-length":     {0, 0, 0, 0, 0, 0, 0, 0},
	}
}

// FuzzDecodeRecord: whatever stands on disk, decoding neither panics nor reads beyond it, and what it
// takes for a record means the same when it is written again.
func FuzzDecodeRecord(f *testing.F) {
	if *update {
		dir := filepath.Join("testdata", "fuzz", "FuzzDecodeRecord")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			f.Fatal(err)
		}
		for name, data := range samples() {
			text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, size, err := decodeRecord(data)
		checkDecoded(t, &r, err)
		if err == nil && (size <= recordHeader || size > len(data)) {
			t.Errorf("size %d of %d bytes", size, len(data))
		}
		if len(data) > 0 { // behind the checksum, which fuzzing does not guess
			r, err := decodeContent(data)
			checkDecoded(t, &r, err)
		}
	})
}

func checkDecoded(t *testing.T, r *record, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, errBadRecord) {
			t.Errorf("error %v", err)
		}
		return
	}
	again, _, err := decodeRecord(encode(r))
	if err != nil {
		t.Fatalf("%+v cannot be decoded again: %v", r, err)
	}
	if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", *r) {
		t.Errorf("%+v became %+v", *r, again)
	}
}

func TestRecordsAreDecodedAsTheyWereEncoded(t *testing.T) {
	r, size, err := decodeRecord(append(samples()["reading"], "more"...))
	if err != nil {
		t.Fatal(err)
	}
	want := record{
		kind: kindReading, serial: []byte(testSerial), mark: 7, millis: 1_800_000_000_123,
		session: []byte("K3MSESSION"), seq: 41, payload: []byte(`{"seq":41}`),
	}
	if !reflect.DeepEqual(r, want) || size != len(samples()["reading"]) {
		t.Errorf("got %+v of %d bytes, want %+v", r, size, want)
	}
	for name, data := range samples() {
		_, _, err := decodeRecord(data)
		bad := slices.Contains([]string{"torn", "backwards", "unknown-kind", "huge-length", "no-length"}, name)
		if (err != nil) != bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record that is written must never be too large to be read.
func TestTheLargestRecordsCanBeRead(t *testing.T) {
	long := strings.Repeat("n", maxName)
	serial := strings.Repeat("K", protocol.MaxSerialLength)
	var ranges []protocol.SeqRange
	for i := range maxRanges {
		ranges = append(ranges, rangeOf(long, uint64(i), 1<<64-1))
	}
	for name, data := range map[string][]byte{
		"reading": appendReading(nil, serial, 1<<64-1, 1<<62, long, 1<<64-1, make([]byte, MaxPayload)),
		"ack":     appendAck(nil, serial, 1<<64-1, long, make([]byte, MaxPayload)),
		"ranges":  appendRanges(nil, serial, ranges),
	} {
		if _, size, err := decodeRecord(data); err != nil || size != len(data) {
			t.Errorf("%s of %d bytes: %d, %v", name, len(data), size, err)
		}
	}
}
