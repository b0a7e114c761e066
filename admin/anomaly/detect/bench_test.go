package detect_test

import (
	"testing"
	"time"
	"unsafe"

	"kioskfleet/admin/anomaly/detect"
)

func bench(b *testing.B, trees bool) {
	m := fresh(b, trees)
	xs := days(14, 1)
	run(m, xs)
	now := at(len(xs))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(5 * time.Second)
		m.Step(now, xs[i%len(xs)])
	}
}

func BenchmarkStep(b *testing.B)      { bench(b, false) }
func BenchmarkStepTrees(b *testing.B) { bench(b, true) }

func BenchmarkAppendBinary(b *testing.B) {
	m := fresh(b, false)
	run(m, days(14, 1))
	var state []byte
	b.ReportAllocs()
	for b.Loop() {
		state, _ = m.AppendBinary(state[:0])
	}
	b.ReportMetric(float64(len(state)), "bytes")
}

func TestStateIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(detect.Metric{}); size > 2048 {
		t.Errorf("a metric takes %d bytes", size)
	}
	m := fresh(t, false)
	now := begin
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(5 * time.Second)
		m.Step(now, float64(now.Unix()%17))
	}); n != 0 {
		t.Errorf("%v allocations for a value", n)
	}
}
