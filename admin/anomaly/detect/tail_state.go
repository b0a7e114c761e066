package detect

import (
	"fmt"
	"math"
)

// AppendBinary appends the whole state, as Metric.AppendBinary does.
//
// Errors: none; the signature is that of encoding.BinaryAppender.
func (t *Tail) AppendBinary(b []byte) ([]byte, error) {
	w := wire{b: b}
	t.state(&w)
	return w.b, nil
}

// UnmarshalBinary replaces the state by a saved one.
//
// Errors: ErrState; the Tail is then as it was.
func (t *Tail) UnmarshalBinary(b []byte) error {
	w := wire{b: b, reads: true}
	var read Tail
	read.state(&w)
	if w.bad || len(w.b) > 0 {
		return fmt.Errorf("%w: %d bytes are too few, too many or out of bounds", ErrState, len(b))
	}
	*t = read
	return nil
}

// Shares returns the share of values in each bin; nil before anything was learnt.
func (t *Tail) Shares() []float64 {
	if t.n == 0 {
		return nil
	}
	shares := make([]float64, tailBins)
	for b, c := range t.bins {
		shares[b] = float64(c) / float64(t.n)
	}
	return shares
}

// Expect makes the Tail as if it had learnt so many values with these shares, which Shares gave; other shares are as none.
func (t *Tail) Expect(shares []float64, values int) {
	*t = Tail{}
	if len(shares) != tailBins {
		return
	}
	for b, share := range shares {
		t.bins[b] = uint16(math.Round(min(max(share*float64(values), 0), tailMost)))
	}
	t.count()
	if t.n >= tailFirst {
		t.fit()
	}
}
