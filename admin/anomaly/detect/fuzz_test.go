package detect_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// FuzzStep feeds any numbers at any times.
func FuzzStep(f *testing.F) {
	add := func(xs ...float64) {
		var b []byte
		for i, x := range xs {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
			b = append(b, byte(i*37))
		}
		f.Add(b)
	}
	add(1, 2, 3)
	add(math.MaxFloat64, -math.MaxFloat64, 0, math.SmallestNonzeroFloat64, -5e-324, 1e308)
	add(0, 0, 0, 0, 1, 0, 0)
	add(1e18, 1e-18, -1e18, 1e30, 1e-300)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := fresh(t, true)
		when := begin
		for len(b) >= 9 {
			x := math.Float64frombits(binary.LittleEndian.Uint64(b))
			step := b[8]
			b = b[9:]
			if math.IsNaN(x) || math.IsInf(x, 0) {
				continue
			}
			// Many times each, since most of what can go wrong needs more than a few values.
			for range 1 + int(step%64) {
				switch {
				case step < 20: // the same time
				case step < 40:
					when = when.Add(-time.Hour) // a clock that was set back
				default:
					when = when.Add(time.Duration(step) * time.Duration(step) * time.Second)
				}
				e := m.Step(when, x)
				for _, v := range []float64{e.Surprise, e.Score, e.Expected, e.Low, e.High} {
					if math.IsNaN(v) || math.IsInf(v, 0) && math.Abs(x) < 1e300 {
						t.Fatalf("%+v after %v", e, x)
					}
				}
				if e.Surprise < 0 || e.Score < 0 || e.Score > 1 {
					t.Fatalf("%+v after %v", e, x)
				}
			}
		}
		state, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := fresh(t, true).UnmarshalBinary(state); err != nil {
			t.Fatalf("its own state: %v", err)
		}
	})
}

// FuzzUnmarshal reads any bytes; what is accepted must work.
func FuzzUnmarshal(f *testing.F) {
	m := fresh(f, false)
	run(m, days(2, 1))
	state, _ := m.AppendBinary(nil)
	f.Add(state)
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := fresh(t, true)
		if m.UnmarshalBinary(b) != nil {
			return
		}
		for i := range 50 {
			if e := m.Step(at(i), float64(i%7)); math.IsNaN(e.Surprise) || e.Surprise < 0 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
