package detect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// version of the binary form; another one is not read, since a state that fits only half is worse than a new one.
const version = 2

// ErrState is returned for bytes that are not the state of a metric, or that of another version.
var ErrState = errors.New("not a detector state of this version")

// AppendBinary appends the whole state: a Metric that is made of it gives the same evidence from then on, bit for bit.
//
// Errors: none; the signature is that of encoding.BinaryAppender.
func (m *Metric) AppendBinary(b []byte) ([]byte, error) {
	w := wire{b: append(b, version)}
	m.state(&w)
	grown := uint32(0)
	if m.trees != nil {
		grown = 1
	}
	if w.u32(&grown); grown == 1 {
		m.trees.state(&w)
	}
	return w.b, nil
}

// MarshalBinary returns the whole state.
func (m *Metric) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary replaces the state of a Metric that New made by a saved one. Trees are only kept if the Config has
// them, and begin anew if the saved state has none.
//
// Errors: ErrState; the Metric is then as it was.
func (m *Metric) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != version {
		return fmt.Errorf("%w: its first byte is not %d", ErrState, version)
	}
	w := wire{b: b[1:], reads: true}
	read := Metric{cfg: m.cfg}
	read.state(&w)
	var grown uint32
	t := read.trees
	if w.u32(&grown); grown == 1 {
		t = new(trees)
		t.state(&w)
	}
	if w.bad || len(w.b) > 0 || grown > 1 {
		return fmt.Errorf("%w: %d bytes are too few, too many or out of bounds", ErrState, len(b))
	}
	if m.cfg.Trees {
		if read.trees = t; t == nil {
			read.trees = new(trees)
		}
	}
	*m = read
	return nil
}

// wire writes or reads fields one after the other: one list of fields for both, which therefore agree.
type wire struct {
	b     []byte // what was written, or what is left to read
	reads bool
	bad   bool // something could not be read
}

func (w *wire) take(n int) []byte {
	if w.bad || len(w.b) < n {
		w.bad = true
		return nil
	}
	taken := w.b[:n]
	w.b = w.b[n:]
	return taken
}

// u32 is short for small numbers, which most counts are.
func (w *wire) u32(v *uint32) {
	if !w.reads {
		w.b = binary.AppendUvarint(w.b, uint64(*v))
		return
	}
	got, n := binary.Uvarint(w.b)
	if w.bad || n <= 0 || got > math.MaxUint32 {
		w.bad = true
		return
	}
	*v, w.b = uint32(got), w.b[n:]
}

func (w *wire) u16s(vs []uint16) {
	for i := range vs {
		v := uint32(vs[i])
		w.u32(&v)
		if v > math.MaxUint16 {
			w.bad = true
		}
		vs[i] = uint16(v)
	}
}

func (w *wire) u8s(vs []uint8) {
	if w.reads {
		copy(vs, w.take(len(vs)))
	} else {
		w.b = append(w.b, vs...)
	}
}

func (w *wire) i64(v *int64) {
	if !w.reads {
		w.b = binary.LittleEndian.AppendUint64(w.b, uint64(*v))
	} else if got := w.take(8); got != nil {
		*v = int64(binary.LittleEndian.Uint64(got))
	}
}

func (w *wire) f64(v *float64) {
	bits := int64(math.Float64bits(*v))
	w.i64(&bits)
	*v = math.Float64frombits(uint64(bits))
	w.bad = w.bad || math.IsNaN(*v) || math.IsInf(*v, 0)
}

func (w *wire) f32(vs ...*float32) {
	for _, v := range vs {
		if !w.reads {
			w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(*v))
		} else if got := w.take(4); got != nil {
			*v = math.Float32frombits(binary.LittleEndian.Uint32(got))
			w.bad = w.bad || *v-*v != 0 // NaN or infinite
		}
	}
}

func (w *wire) f32s(vs []float32) {
	for i := range vs {
		w.f32(&vs[i])
	}
}

func (m *Metric) state(w *wire) {
	w.f64(&m.origin)
	w.i64(&m.last)
	w.u32(&m.n)
	w.f32(&m.step)

	w.f32s(m.season.mean[:])
	w.f32s(m.season.weekend[:])
	w.f32s(m.season.spread[:])
	w.u16s(m.season.count[:])
	w.u16s(m.season.ends[:])
	w.f32(&m.season.allMean, &m.season.all, &m.season.slow, &m.season.quick)

	w.f32(&m.course.level, &m.course.all)
	w.f32s(m.course.season[:])
	w.f32s(m.course.scale[:])

	w.f64(&m.bounds.low)
	w.f64(&m.bounds.high)
	w.f32(&m.bounds.rate, &m.bounds.size)

	w.f64(&m.still.anchor)
	w.u32(&m.still.run)
	w.u32(&m.still.longest)
	m.still.runs.state(w)

	zero := uint32(0)
	if m.gone.was {
		zero = 1
	}
	w.u32(&zero)
	m.gone.was = zero == 1
	w.f32(&m.gone.share)

	for _, t := range m.tails() {
		t.state(w)
	}
	w.f32s(m.held[:])
	rare := uint32(m.rare)
	w.u32(&rare)
	m.rare = uint8(rare)
	w.bad = w.bad || rare >= rareEach
	w.bad = w.bad || m.bounds.rate <= 0 || m.bounds.size <= 0 || m.season.all < 0
}

// tails returns the calibrations of all statistics that every metric has.
func (m *Metric) tails() [6]*Tail {
	return [6]*Tail{&m.level, &m.slow, &m.quick.up, &m.quick.down, &m.change.up, &m.change.down}
}

func (t *Tail) state(w *wire) {
	w.u16s(t.bins[:])
	w.u32(&t.from)
	w.u32(&t.next)
	if t.from >= tailBins {
		w.bad, t.from = true, 0
	}
	if t.from > 0 {
		w.f32(&t.scale, &t.shape)
		w.bad = w.bad || t.scale <= 0 || t.shape < 0
	}
	t.count()
}

// count finds what follows from the bins.
func (t *Tail) count() {
	t.n, t.above = 0, 0
	for i, c := range t.bins {
		t.n += uint32(c)
		if t.from > 0 && i >= int(t.from) {
			t.above += uint32(c)
		}
	}
}

func (t *trees) state(w *wire) {
	for k := range t.seen {
		w.u8s(t.seen[k][:])
		w.u8s(t.now[k][:])
	}
	w.u32(&t.count)
	w.u32(&t.filled)
	w.u32(&t.since)
	w.f32s(t.lags[:])
	w.f32(&t.smooth)
	t.rarity.state(w)
	t.mean.state(w)
}
