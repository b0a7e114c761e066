package embedded

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/prometheus/prometheus/storage"

	"kioskfleet/admin/fleet"
)

// valuesOf returns values of those metrics.
func valuesOf(metrics ...string) []fleet.Value {
	var out []fleet.Value
	for _, m := range metrics {
		out = append(out, fleet.Value{Metric: m})
	}
	return out
}

func TestTheCacheFindsTheSeriesOfEachValue(t *testing.T) {
	c := newSeriesCache()
	all := map[string]*cachedSeries{}
	for _, metrics := range [][]string{
		{"b.b", "d.d"}, {"b.b", "d.d"}, {"a.a", "b.b", "c.c", "d.d", "e.e"}, {"c.c"}, {"e.e", "a.a"}, {}, {"b.b", "z.z"},
	} {
		got := c.lookup(&fleet.Reading{Serial: "K-1", Site: "gate", Values: valuesOf(metrics...)}, nil)
		if len(got) != len(metrics) {
			t.Fatalf("%d series of %v", len(got), metrics)
		}
		for i, m := range metrics {
			if l := got[i].labels; l.Get(labelMetric) != m || l.Get(labelSerial) != "K-1" || l.Get(labelSite) != "gate" {
				t.Errorf("%s has the labels %s", m, l)
			}
			if before := all[m]; before != nil && got[i] != before {
				t.Errorf("%s has another series than before", m)
			}
			all[m] = got[i]
		}
	}
	if other := c.lookup(&fleet.Reading{Serial: "K-2", Site: "gate", Values: valuesOf("b.b")}, nil); other[0] == all["b.b"] {
		t.Error("two kiosks share a series")
	}
	key := kioskKey{"K-1", "gate"}
	all["c.c"].ref.Store(7)
	c.forget(8, key, "c.c")
	if got := c.lookup(&fleet.Reading{Serial: "K-1", Site: "gate", Values: valuesOf("c.c")}, nil); got[0] != all["c.c"] {
		t.Error("a series that was created anew is forgotten")
	}
	c.forget(7, key, "c.c")
	got := c.lookup(&fleet.Reading{Serial: "K-1", Site: "gate", Values: valuesOf("b.b", "c.c", "d.d")}, nil)
	if got[0] != all["b.b"] || got[1] == all["c.c"] || got[2] != all["d.d"] || got[1].ref.Load() != 0 {
		t.Error("not only the series that went is forgotten")
	}
	for i, m := range []string{"a.a", "b.b", "c.c", "d.d", "e.e", "z.z"} {
		one := c.lookup(&fleet.Reading{Serial: "K-1", Site: "gate", Values: valuesOf(m)}, nil)[0]
		one.ref.Store(uint64(i) + 1)
		c.forget(storage.SeriesRef(i+1), key, m)
	}
	if len(c.kiosks) != 1 {
		t.Errorf("%d kiosks in the cache, of which one has series", len(c.kiosks))
	}
}

// BenchmarkSeriesCache finds the series of a kiosk's 16 metrics, and reports what the cache takes for each kiosk.
func BenchmarkSeriesCache(b *testing.B) {
	const kiosks = 1000
	var metrics []string
	for i := range 16 {
		metrics = append(metrics, fmt.Sprintf("hardware.metric_%02d", i))
	}
	r := fleet.Reading{Site: "gate", Values: valuesOf(metrics...)}
	c := newSeriesCache()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	serials := make([]string, kiosks)
	for i := range serials {
		serials[i] = fmt.Sprintf("K-%04d", i)
		r.Serial = serials[i]
		c.lookup(&r, nil)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	var list []*cachedSeries
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r.Serial = serials[n%kiosks]
		list = c.lookup(&r, list[:0])
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/kiosks, "B/kiosk")
	b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/kiosks, "objects/kiosk")
}
