package watch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unique"
)

// version is the first byte of a kiosk's state.
const version = 1

var errShort = errors.New("it ends too early")

// coder writes state to b, or reads it from there; which of the two is its direction. The same code does both, so that
// they cannot differ.
type coder struct {
	b    []byte
	read bool
	err  error
}

// take returns the next n bytes to read, or n new ones to write; nil after an error.
func (c *coder) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if c.read {
		if len(c.b) < n {
			c.err = errShort
			return nil
		}
		out := c.b[:n]
		c.b = c.b[n:]
		return out
	}
	c.b = append(c.b, make([]byte, n)...)
	return c.b[len(c.b)-n:]
}

func (c *coder) byte(x *uint8) {
	switch b := c.take(1); {
	case b == nil:
	case c.read:
		*x = b[0]
	default:
		b[0] = *x
	}
}

func (c *coder) bool(x *bool) {
	var n uint8
	if *x {
		n = 1
	}
	c.byte(&n)
	*x = n == 1
}

func (c *coder) word(x *uint32) {
	switch b := c.take(4); {
	case b == nil:
	case c.read:
		*x = binary.LittleEndian.Uint32(b)
	default:
		binary.LittleEndian.PutUint32(b, *x)
	}
}

func (c *coder) long(x *int64) {
	switch b := c.take(8); {
	case b == nil:
	case c.read:
		*x = int64(binary.LittleEndian.Uint64(b))
	default:
		binary.LittleEndian.PutUint64(b, uint64(*x))
	}
}

func (c *coder) short(x *uint16) {
	switch b := c.take(2); {
	case b == nil:
	case c.read:
		*x = binary.LittleEndian.Uint16(b)
	default:
		binary.LittleEndian.PutUint16(b, *x)
	}
}

// floats are finite and not a sign of a broken state, if they are what was written.
func (c *coder) floats(all ...*float32) {
	for _, x := range all {
		n := math.Float32bits(*x)
		c.word(&n)
		*x = math.Float32frombits(n)
		if c.read && *x-*x != 0 {
			c.fail("a number in it is not finite")
		}
	}
}

func (c *coder) doubles(all ...*float64) {
	for _, x := range all {
		n := int64(math.Float64bits(*x))
		c.long(&n)
		*x = math.Float64frombits(uint64(n))
		if c.read && *x-*x != 0 {
			c.fail("a number in it is not finite")
		}
	}
}

func (c *coder) fail(text string) {
	if c.err == nil {
		c.err = errors.New(text)
	}
}

// count writes a length, or reads one of at most limit.
func (c *coder) count(n, limit int) int {
	x := uint16(n)
	c.short(&x)
	if int(x) > limit {
		c.fail("a length in it is too large")
		return 0
	}
	return int(x)
}

// state is what writes and reads itself.
type state interface {
	AppendBinary(b []byte) ([]byte, error)
	UnmarshalBinary(b []byte) error
}

// other writes or reads the state of another type, behind its length.
func (c *coder) other(s state) {
	var length uint32
	at := len(c.b)
	c.word(&length)
	switch {
	case c.err != nil:
	case !c.read:
		if c.b, c.err = s.AppendBinary(c.b); c.err == nil {
			binary.LittleEndian.PutUint32(c.b[at:], uint32(len(c.b)-at-4))
		}
	case int64(length) > int64(len(c.b)):
		c.fail("a length in it is too large")
	default:
		c.err = s.UnmarshalBinary(c.take(int(length)))
	}
}

// AppendBinary appends the kiosk's state to b. Restored into a kiosk with the same prior, which is no part of it, the
// state goes on exactly as the kiosk would have.
func (k *Kiosk) AppendBinary(b []byte) ([]byte, error) {
	c := coder{b: append(b, version)}
	k.code(&c)
	if c.err != nil {
		return b, fmt.Errorf("write a kiosk's detectors: %w", c.err)
	}
	return c.b, nil
}

// UnmarshalBinary restores a state into a kiosk made by New, whose prior stays.
//
// Errors: a state of another version, or a broken one; the kiosk is as new then.
func (k *Kiosk) UnmarshalBinary(b []byte) error {
	fresh := New(k.cfg, k.prior)
	if len(b) == 0 || b[0] != version {
		*k = *fresh
		return fmt.Errorf("read a kiosk's detectors: they are of another version than %d; let the kiosk learn anew", version)
	}
	c := coder{b: b[1:], read: true}
	*k = *fresh
	k.code(&c)
	if c.err == nil && len(c.b) > 0 {
		c.fail("there is more than belongs to it")
	}
	if c.err != nil {
		*k = *fresh
		return fmt.Errorf("read a kiosk's detectors: %w; let the kiosk learn anew", c.err)
	}
	return nil
}

func (k *Kiosk) code(c *coder) {
	c.long(&k.clock.last)
	c.floats(&k.clock.interval)
	c.doubles(&k.clock.dt)
	n := c.count(len(k.sensors), MaxMetrics)
	if c.read && c.err == nil {
		k.sensors = make([]sensor, n)
		for i := range k.sensors {
			k.sensors[i].metric.Begin(&k.cfg.Detect, nil)
		}
		k.joint.cov = make([]float32, row(moves*n))
	}
	for i := range k.sensors {
		k.sensors[i].code(c)
		if r := &k.sensors[i].rel; c.read && !r.valid(n) {
			c.fail("a relation in it is to no sensor")
		}
	}
	c.long(&k.joint.last)
	c.byte(&k.joint.next)
	c.byte(&k.joint.skip)
	for i := range k.joint.cov {
		c.floats(&k.joint.cov[i])
	}
	for i := range k.budgets {
		k.budgets[i].code(c)
	}
	k.episode.code(c, n)
}

func (s *sensor) code(c *coder) {
	name := c.take(c.count(len(s.name), math.MaxUint8))
	if c.read {
		s.name = unique.Make(string(name)).Value()
	} else {
		copy(name, s.name)
	}
	c.other(&s.metric)
	c.doubles(&s.origin, &s.x)
	c.long(&s.last)
	c.long(&s.since)
	c.long(&s.ready)
	c.byte(&s.awake)
	c.floats(&s.v, &s.mean, &s.soon, &s.later, &s.leap, &s.steps, &s.grain)
	for m := range s.move {
		c.floats(&s.move[m])
	}
	s.rel.code(c)
	s.habit.code(c)
	s.peer.code(c)
	s.top.code(c)
}

func (r *relation) code(c *coder) {
	c.byte(&r.count)
	for i := range r.from {
		c.byte(&r.from[i])
		c.floats(&r.by[i])
	}
	c.word(&r.sensors)
	c.floats(&r.left, &r.n, &r.allowance, &r.size, &r.own, &r.drift, &r.noise, &r.drifts, &r.swing)
	c.other(&r.point)
	c.other(&r.lasts)
}

// valid reports whether all partners are among n sensors.
func (r *relation) valid(n int) bool {
	if r.count > partners {
		return false
	}
	for _, f := range r.from[:r.count] {
		if int(f) >= moves*n {
			return false
		}
	}
	return true
}

func (p *peer) code(c *coder) {
	c.floats(&p.sum, &p.count, &p.mean, &p.away, &p.sway, &p.hours)
	c.long(&p.done)
	c.long(&p.until)
	p.found.code(c)
	c.short(&p.among)
}

func (p *part) code(c *coder) {
	c.floats(&p.evidence)
	c.byte(&p.kind)
	c.doubles(&p.value, &p.low, &p.high)
	if int(p.kind) >= len(kinds) {
		c.fail("a kind in it is unknown")
	}
}

func (h *habit) code(c *coder) {
	h.peaks.code(c)
	h.tail.code(c)
	c.floats(&h.high)
}

func (p *Peaks) code(c *coder) {
	for i := range p.Counts {
		c.floats(&p.Counts[i])
	}
}

func (t *tail) code(c *coder) { c.floats(&t.from, &t.scale, &t.share) }

func (b *budget) code(c *coder) {
	b.peaks.code(c)
	b.tail.code(c)
	c.floats(&b.high, &b.shift, &b.rate, &b.edge, &b.level)
}

func (e *episode) code(c *coder, sensors int) {
	c.bool(&e.open)
	c.bool(&e.armed)
	c.long(&e.hour)
	c.floats(&e.score, &e.hours, &e.level, &e.peak)
	c.long(&e.fired)
	c.long(&e.active)
	n := c.count(len(e.parts), sensors)
	if c.read && c.err == nil {
		e.parts = make([]kept, n)
	}
	for i := range e.parts {
		p := &e.parts[i]
		p.part.code(c)
		for o := range p.partners {
			c.byte(&p.partners[o])
			if int(p.partners[o]) > sensors {
				c.fail("a partner in it is no sensor")
			}
		}
		c.short(&p.among)
	}
}
