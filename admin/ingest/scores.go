package ingest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// MaxScores is how many scores one record of the journal holds at most.
const MaxScores = 1000

// AcceptScores takes the anomaly scores of readings, at most MaxScores; when it returns nil they are on disk, and are
// stored beside the readings. A score that was taken before changes nothing, so after a crash they may come again.
//
// Errors: what the journal says when it is full or the disk is; the scores are not kept then.
func (in *Ingest) AcceptScores(scores []fleet.KioskScore) error {
	if len(scores) == 0 {
		return nil
	}
	if len(scores) > MaxScores {
		return fmt.Errorf("accept %d scores: at most %d at once", len(scores), MaxScores)
	}
	buf, _ := in.buffers.Get().(*[]byte)
	defer in.buffers.Put(buf)
	at := time.Now().UTC().Truncate(time.Millisecond)
	payload := encodeScores((*buf)[:0], at, scores)
	*buf = payload
	return in.append(record{kind: kindScores, at: at, payload: payload})
}

// encodeScores appends the scores to buf: their number, then each with its site only where that is another one than
// that of the score before. Times are relative to the record's.
func encodeScores(buf []byte, at time.Time, scores []fleet.KioskScore) []byte {
	sorted := slices.Clone(scores)
	slices.SortStableFunc(sorted, func(a, b fleet.KioskScore) int { return strings.Compare(a.Site, b.Site) })
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	buf = binary.AppendUvarint(buf, uint64(len(sorted)))
	for i := range sorted {
		s := &sorted[i]
		if i > 0 && s.Site == sorted[i-1].Site {
			buf = append(buf, 0)
		} else {
			buf = append(buf, 1)
			text(s.Site)
		}
		text(s.Serial)
		buf = binary.AppendVarint(buf, s.Time.UnixMilli()-at.UnixMilli())
		buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(s.Score))
		buf = binary.AppendUvarint(buf, s.Source.Record)
		buf = binary.AppendUvarint(buf, uint64(s.Source.Item))
	}
	return buf
}

// decodeScores appends the scores of a record to readings, each as a reading of that one metric with the source of the
// reading that it is about.
func decodeScores(readings []fleet.Reading, r *record) ([]fleet.Reading, error) {
	d := scoreDecoder{data: r.payload}
	site := ""
	n := d.uvarint()
	values := make([]fleet.Value, 0, min(n, MaxScores))
	for ; n > 0 && d.err == nil; n-- {
		if d.byte() == 1 {
			site = d.text()
		}
		one := fleet.Reading{Serial: d.text(), Site: site, ReceivedAt: r.at}
		one.Time = time.UnixMilli(r.at.UnixMilli() + d.varint()).UTC()
		score := math.Float64frombits(d.uint64())
		one.Source = fleet.Source{Record: d.uvarint(), Item: int(d.uvarint())}
		if d.err == nil {
			values = append(values, fleet.Value{Metric: fleet.AnomalyMetric, Value: score})
			one.Values = values[len(values)-1 : len(values) : len(values)]
			readings = append(readings, one)
		}
	}
	if d.err == nil && len(d.data) > 0 {
		d.err = fmt.Errorf("%d bytes too many", len(d.data))
	}
	if d.err != nil {
		return readings, fmt.Errorf("scores of record %d: %w", r.number, d.err)
	}
	return readings, nil
}

// scoreDecoder reads what encodeScores wrote. After the first fault it returns zeros.
type scoreDecoder struct {
	data []byte
	err  error
}

func (d *scoreDecoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.data) {
		d.err = errShortRecord
		return nil
	}
	out := d.data[:n]
	d.data = d.data[n:]
	return out
}

func (d *scoreDecoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *scoreDecoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *scoreDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.err = errShortRecord
		return 0
	}
	d.take(n)
	return v
}

func (d *scoreDecoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.err = errShortRecord
		return 0
	}
	d.take(n)
	return v
}

func (d *scoreDecoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.err = errShortRecord
		return ""
	}
	return identities.of(d.take(int(n)))
}
