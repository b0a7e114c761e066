package rollup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"kioskfleet/admin/telemetry"
)

// dayWith returns a day in which value is asked for every reading; 0 in a bucket means a gap.
func dayWith(perBucket int, value func(i int) float64) *record {
	r := &record{until: bucketsPerDay, sketch: &telemetry.Sketch{}}
	for i := range r.buckets {
		if i%50 == 49 {
			continue
		}
		for j := range perBucket {
			v := value(i*perBucket + j)
			r.buckets[i].merge(bucket{1, v, v, v})
			r.sketch.Add(v)
		}
	}
	return r
}

func days() map[string]*record {
	random := rand.New(rand.NewPCG(1, 2))
	walk := 50.0
	return map[string]*record{
		"empty":       {},
		"a sensor":    dayWith(60, func(int) float64 { walk += 0.2 * random.NormFloat64(); return math.Round(10*walk) / 10 }),
		"percent":     dayWith(60, func(i int) float64 { return float64(int(50+40*math.Sin(float64(i)/3000))) / 100 }),
		"whole":       dayWith(5, func(i int) float64 { return float64(i) }),
		"a position":  dayWith(60, func(int) float64 { return 40.416775 + random.NormFloat64()/1e4 }),
		"constant":    dayWith(60, func(int) float64 { return -0.3 }),
		"small":       dayWith(3, func(int) float64 { return random.NormFloat64() * 1e-300 }),
		"large":       dayWith(3, func(int) float64 { return random.NormFloat64() * 1e300 }),
		"about zero":  dayWith(60, func(int) float64 { return math.Round(random.NormFloat64()*10) / 10 }),
		"overflowing": dayWith(3, func(int) float64 { return math.MaxFloat64 }),
	}
}

func TestARecordComesBackToTheLastBit(t *testing.T) {
	for name, want := range days() {
		t.Run(name, func(t *testing.T) {
			data, err := want.encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if got.until != want.until || got.buckets != want.buckets {
				t.Errorf("%d bytes: the buckets differ", len(data))
			}
			again, err := got.encode(nil)
			if err != nil || !bytes.Equal(again, data) && want.sketch != nil {
				t.Errorf("written again it differs: %v", err)
			}
			h, _, err := open(data)
			if total := want.total(); err != nil || h.total != total || (h.sketch == nil) != (want.sketch == nil) {
				t.Errorf("the header has %v, %v, want %v", h.total, err, total)
			}
		})
	}
}

func TestADayOfASensorTakesAboutOneAndAHalfKilobytes(t *testing.T) {
	data, err := days()["a sensor"].encode(nil)
	if err != nil || len(data) > 2000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	data, err := days()["a sensor"].encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		broken := bytes.Clone(data)
		broken[i] ^= 0x10
		if _, err := decode(broken); err == nil {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
		if _, err := decode(data[:i]); err == nil {
			t.Fatalf("cut off at %d and nobody noticed", i)
		}
	}
}

// sealed gives data the right checksum.
func sealed(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(data), crc32.Checksum(data, castagnoli))
}

func FuzzRecord(f *testing.F) {
	for _, r := range days() {
		data, err := r.encode(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decode(sealed(data)) // must not panic, whatever it holds
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, name := range []string{"a sensor", "a position"} {
		r := days()[name]
		data, err := r.encode(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encode %s", name), func(b *testing.B) {
			for b.Loop() {
				if _, err := r.encode(data[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data)), "B/day")
		})
		b.Run(fmt.Sprintf("decode %s", name), func(b *testing.B) {
			for b.Loop() {
				if _, err := decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
