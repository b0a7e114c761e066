package embedded

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Names of the labels; PromQL users see them.
const (
	labelMetric = "metric"
	labelSerial = "serial"
	labelSite   = "site"
)

// unitSuffixes are the Prometheus names of the catalogue's units.
var unitSuffixes = map[string]string{
	"°C":  "_celsius",
	"%":   "_percent",
	"ms":  "_milliseconds",
	"m":   "_meters",
	"°":   "_degrees",
	"dBm": "_dbm",
	"AQI": "_aqi",
}

// SeriesName returns the Prometheus name of a metric, such as kiosk_hardware_cpu_temp_celsius. Two
// metrics may share one (a.b_c and a_b.c), so the label metric tells them apart.
func SeriesName(metric string) string {
	known, _ := protocol.LookupMetric(metric)
	return "kiosk_" + strings.Replace(metric, ".", "_", 1) + unitSuffixes[known.Unit]
}

// UnitName returns the unit of a metric as Prometheus spells it, such as celsius; empty for none.
func UnitName(metric string) string {
	known, _ := protocol.LookupMetric(metric)
	return strings.TrimPrefix(unitSuffixes[known.Unit], "_")
}

// seriesLabels returns the labels of a kiosk's metric. A kiosk without a site has no label site.
func seriesLabels(metric, serial, site string) labels.Labels {
	b := labels.NewScratchBuilder(4)
	b.Add(model.MetricNameLabel, SeriesName(metric))
	b.Add(labelMetric, metric)
	b.Add(labelSerial, serial)
	if site != "" {
		b.Add(labelSite, site)
	}
	b.Sort()
	return b.Labels()
}

// seriesCache remembers the TSDB's reference of each series, which spares looking it up by labels for
// every point. It holds no more than the TSDB's head does, since the head tells what it forgets.
//
// A reference may go stale at any time. That does no harm: the TSDB never gives a reference twice, and
// when it does not know one it falls back on the labels.
type seriesCache struct {
	mu     sync.RWMutex // guards kiosks
	kiosks map[kioskKey]*kioskSeries
}

type kioskKey struct{ serial, site string }

// kioskSeries are the series of a kiosk.
type kioskSeries struct {
	mu  sync.RWMutex    // guards all
	all []*cachedSeries // by metric
}

// cachedSeries is one series. Those that come in one reading are one piece of memory.
type cachedSeries struct {
	metric string // part of labels
	labels labels.Labels
	ref    atomic.Uint64 // storage.SeriesRef; 0 when the TSDB has not given one
	newest atomic.Int64  // time of the newest point, Unix milliseconds; of several callers at once, about
}

func newSeriesCache() *seriesCache {
	return &seriesCache{kiosks: map[kioskKey]*kioskSeries{}}
}

// lookup appends the series of the reading's values to list, in their order. It holds no lock when it
// returns: the TSDB is never called under one.
func (c *seriesCache) lookup(r *fleet.Reading, list []*cachedSeries) []*cachedSeries {
	kiosk := c.kiosk(kioskKey{r.Serial, r.Site})
	kiosk.mu.RLock()
	list, unknown := kiosk.find(r, list)
	kiosk.mu.RUnlock()
	if unknown == 0 {
		return list
	}

	kiosk.mu.Lock()
	defer kiosk.mu.Unlock()
	list, unknown = kiosk.find(r, list[:len(list)-len(r.Values)])
	kiosk.add(r, list[len(list)-len(r.Values):], unknown)
	return list
}

// find appends the series of the reading's values to list, nil for each that is unknown, and counts those. A lock is held.
func (k *kioskSeries) find(r *fleet.Reading, list []*cachedSeries) (found []*cachedSeries, unknown int) {
	next := 0 // most readings have the metrics of the one before
	for i := range r.Values {
		metric := r.Values[i].Metric
		if next == len(k.all) || k.all[next].metric != metric {
			at, ok := k.place(metric)
			if !ok {
				list, unknown = append(list, nil), unknown+1
				continue
			}
			next = at
		}
		list = append(list, k.all[next])
		next++
	}
	return list, unknown
}

// place returns where the series of a metric is, or belongs.
func (k *kioskSeries) place(metric string) (at int, ok bool) {
	return slices.BinarySearchFunc(k.all, metric, func(s *cachedSeries, metric string) int { return strings.Compare(s.metric, metric) })
}

// add makes the series that list, which is of the reading's values, lacks. The lock is held for writing.
func (k *kioskSeries) add(r *fleet.Reading, list []*cachedSeries, lacks int) {
	fresh := make([]cachedSeries, lacks)
	all := make([]*cachedSeries, len(k.all), len(k.all)+lacks)
	copy(all, k.all)
	k.all = all
	for i, v := range r.Values {
		if list[i] != nil {
			continue
		}
		at, ok := k.place(v.Metric)
		if !ok {
			one := &fresh[0]
			fresh = fresh[1:]
			one.labels = seriesLabels(v.Metric, r.Serial, r.Site)
			one.metric = one.labels.Get(labelMetric) // since the reading's may be part of a large message
			k.all = slices.Insert(k.all, at, one)
		}
		list[i] = k.all[at]
	}
}

func (c *seriesCache) kiosk(key kioskKey) *kioskSeries {
	c.mu.RLock()
	kiosk := c.kiosks[key]
	c.mu.RUnlock()
	if kiosk != nil {
		return kiosk
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kiosk = c.kiosks[key]; kiosk == nil {
		kiosk = &kioskSeries{}
		c.kiosks[kioskKey{strings.Clone(key.serial), strings.Clone(key.site)}] = kiosk
	}
	return kiosk
}

// PreCreation, PostCreation and PostDeletion are the TSDB's view of the cache.
func (c *seriesCache) PreCreation(labels.Labels) error { return nil }

// PostCreation does nothing: Append learns the reference by itself.
func (c *seriesCache) PostCreation(labels.Labels) {}

// PostDeletion forgets series that the head dropped because they had no points for hours.
func (c *seriesCache) PostDeletion(deleted map[chunks.HeadSeriesRef]labels.Labels) {
	for ref, l := range deleted {
		c.forget(storage.SeriesRef(ref), kioskKey{l.Get(labelSerial), l.Get(labelSite)}, l.Get(labelMetric))
	}
}

// forget removes the series unless it has been created anew under another reference. Somebody who has
// just looked it up can go on with it: its reference is stale, no more.
func (c *seriesCache) forget(ref storage.SeriesRef, key kioskKey, metric string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kiosk := c.kiosks[key]
	if kiosk == nil {
		return
	}
	kiosk.mu.Lock()
	defer kiosk.mu.Unlock()
	if at, ok := kiosk.place(metric); ok && kiosk.all[at].ref.Load() == uint64(ref) {
		kiosk.all = slices.Delete(kiosk.all, at, at+1)
	}
	if len(kiosk.all) == 0 {
		delete(c.kiosks, key)
	}
}
