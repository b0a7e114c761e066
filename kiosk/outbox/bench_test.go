package outbox

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// payload is as large as a reading of a simulated kiosk.
var payload = bytes.Repeat([]byte("x"), 600)

func benchItem(i int) Item {
	return Item{Session: "K3MSESSIONWITH26LETTERSXX1", Seq: uint64(i), Time: time.UnixMilli(int64(i)), Payload: payload}
}

// BenchmarkAddAndDone is the life of a reading that is acknowledged at once: kept, taken, confirmed.
func BenchmarkAddAndDone(b *testing.B) {
	for _, boxes := range []int{1, 15_000} {
		b.Run(fmt.Sprintf("boxes=%d", boxes), func(b *testing.B) {
			l := openLog(b, b.TempDir(), 0)
			list := make([]*Box, boxes)
			for i := range list {
				list[i] = boxOf(b, l, fmt.Sprintf("SIM-KIOSK-%05d", i), Limits{MaxReadings: 30})
			}
			b.ReportAllocs()
			b.ResetTimer()
			_ = l.During(func() error {
				for i := range b.N {
					box := list[i%boxes]
					add(b, box, benchItem(i+1))
					batch, _ := box.Next()
					done(b, box, batch)
				}
				b.StopTimer()
				return nil
			})
		})
	}
}

// BenchmarkAddOffline is a reading that stays: of a box that is full, so that each drops one.
func BenchmarkAddOffline(b *testing.B) {
	l := openLog(b, b.TempDir(), 0)
	box := boxOf(b, l, testSerial, Limits{MaxReadings: 8641})
	b.ReportAllocs()
	b.ResetTimer()
	_ = l.During(func() error {
		for i := range b.N {
			add(b, box, benchItem(i+1))
		}
		b.StopTimer()
		return nil
	})
}

// BenchmarkBackfill takes a backlog off in messages; one operation is one reading.
func BenchmarkBackfill(b *testing.B) {
	l := openLog(b, b.TempDir(), 0)
	box := boxOf(b, l, testSerial, Limits{})
	for i := range b.N {
		add(b, box, benchItem(i+1))
	}
	box.Rewind()
	b.ReportAllocs()
	b.ResetTimer()
	for batch, ok := box.Next(); ok; batch, ok = box.Next() {
		done(b, box, batch)
	}
}

// BenchmarkRecovery opens a folder with a million readings.
func BenchmarkRecovery(b *testing.B) {
	for _, boxes := range []int{100, 15_000} {
		b.Run(fmt.Sprintf("readings=1000000/boxes=%d", boxes), func(b *testing.B) {
			const readings = 1_000_000
			dir := b.TempDir()
			l := openLog(b, dir, 0)
			list := make([]*Box, boxes)
			for i := range list {
				list[i] = boxOf(b, l, fmt.Sprintf("SIM-KIOSK-%05d", i), Limits{})
			}
			for i := range readings {
				add(b, list[i%boxes], benchItem(i+1))
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			clear(list)
			l = nil //nolint:wastedassign // its memory is not to be measured
			before := heap()
			for b.Loop() {
				var err error
				if l, err = Open(Config{Dir: dir}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(heap()-before)/readings, "heap-B/reading")
				b.ReportMetric(float64(size(b, dir))/readings, "disk-B/reading")
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				l = nil //nolint:wastedassign // as above
				b.StartTimer()
			}
		})
	}
}

// BenchmarkIdleBox reports what a box takes in memory that was used and is empty.
func BenchmarkIdleBox(b *testing.B) {
	const boxes = 15_000
	for b.Loop() {
		before := heap()
		l := openLog(b, b.TempDir(), 0)
		for i := range boxes {
			box := boxOf(b, l, fmt.Sprintf("SIM-KIOSK-%05d", i), Limits{MaxReadings: 30})
			add(b, box, benchItem(1))
			batch, _ := box.Next()
			done(b, box, batch)
		}
		flushed(b, l)
		b.ReportMetric(float64(heap()-before)/boxes, "heap-B/box")
		runtime.KeepAlive(l)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
