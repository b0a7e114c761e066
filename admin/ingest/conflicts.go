package ingest

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

// conflicts finds readings that no store can keep beside another one: two different readings of one kiosk
// in the same millisecond. Readings that come in the order of their times cannot conflict, so only late
// ones, and the first of each kiosk after a start, cost a question to the store. It compares numbers:
// readings with no metric in common, and those with texts only, do not conflict.
type conflicts struct {
	store  Series
	seed   maphash.Seed
	kiosks map[string]*recent

	// Memory that is used again for each batch.
	verdicts []verdict
	hashes   []uint64
}

// recentReadings is how many readings of a kiosk are remembered: enough for what is sent again after a
// connection broke.
const recentReadings = 16

// recent holds the newest readings of a kiosk, those that came in order.
type recent struct {
	newest int64 // Unix ms
	ring   [recentReadings]mark
	at     int
}

// mark is a reading's time and a hash of what it says.
type mark struct {
	ms   int64
	hash uint64
}

func newConflicts(store Series) *conflicts {
	return &conflicts{store: store, seed: maphash.MakeSeed(), kiosks: map[string]*recent{}}
}

// verdict on a reading.
type verdict byte

const (
	isNew verdict = iota
	isRepeated
	isConflict
)

// judge returns a verdict for each reading, good until the next call; those of one kiosk stand in the order
// in which they came. An error means that the store does not answer.
func (c *conflicts) judge(ctx context.Context, readings []fleet.Reading) ([]verdict, error) {
	c.verdicts = append(c.verdicts[:0], make([]verdict, len(readings))...)
	c.hashes = append(c.hashes[:0], make([]uint64, len(readings))...)
	verdicts, hashes := c.verdicts, c.hashes
	// Of a kiosk that was not heard of since the start only the store knows how new its newest reading is.
	var first []int
	for i := range readings {
		r := &readings[i]
		if len(r.Values) > 0 && c.kiosks[r.Serial] == nil {
			c.kiosks[r.Serial] = newRecent(r.Time.UnixMilli(), c.hash(r))
			first = append(first, i)
		}
	}
	if err := c.judgeFirst(ctx, readings, first, verdicts); err != nil {
		return nil, err
	}
	for _, i := range first {
		if verdicts[i] == isConflict {
			clear(c.kiosks[readings[i].Serial].ring[:]) // it is not stored: the one that is may come again
		}
	}
	var late []int // readings that only the store can judge
	for i := range readings {
		if len(first) > 0 && first[0] == i {
			first = first[1:]
			continue
		}
		r := &readings[i]
		if len(r.Values) == 0 {
			continue
		}
		ms := r.Time.UnixMilli()
		hashes[i] = c.hash(r)
		k := c.kiosks[r.Serial]
		switch {
		case ms > k.newest:
			k.push(ms, hashes[i])
		default:
			known, same := k.find(ms, hashes[i])
			switch {
			case same:
				verdicts[i] = isRepeated
			case known:
				verdicts[i] = isConflict
			default:
				late = append(late, i)
			}
		}
	}
	return verdicts, c.judgeLate(ctx, readings, late, hashes, verdicts)
}

// forget drops what is remembered: the store may not have it any more.
func (c *conflicts) forget() { clear(c.kiosks) }

func newRecent(ms int64, hash uint64) *recent {
	k := &recent{}
	k.push(ms, hash)
	return k
}

func (k *recent) push(ms int64, hash uint64) {
	k.newest = ms
	k.ring[k.at] = mark{ms, hash}
	k.at = (k.at + 1) % recentReadings
}

func (k *recent) find(ms int64, hash uint64) (known, same bool) {
	for _, s := range k.ring {
		if s.ms == ms && s.hash != 0 {
			return true, s.hash == hash
		}
	}
	return false, false
}

// hash hashes what a reading says; it is never 0.
func (c *conflicts) hash(r *fleet.Reading) uint64 {
	const prime = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := maphash.String(c.seed, r.Session) ^ r.Seq*prime
	for i := range r.Values {
		h = (h ^ math.Float64bits(r.Values[i].Value) ^ maphash.String(c.seed, r.Values[i].Metric)) * prime
		h ^= h >> 32
	}
	for i := range r.Texts {
		h = (h ^ maphash.String(c.seed, r.Texts[i].Metric)) * prime
		h = (h ^ maphash.String(c.seed, r.Texts[i].Text)) * prime
	}
	return h | 1
}

// span is a range of time in Unix milliseconds, both ends included.
type span struct{ from, to int64 }

func (s *span) include(ms int64) { s.from, s.to = min(s.from, ms), max(s.to, ms) }

// nearby bounds the range in which the first readings of many kiosks are looked up together.
const nearby = time.Minute

// judgeFirst judges the first reading of each kiosk since the start, all of them together where they are
// about as old, as live ones are; and it learns which is the newest that the store has of each.
func (c *conflicts) judgeFirst(ctx context.Context, readings []fleet.Reading, first []int, verdicts []verdict) error {
	together := map[string][]int{} // by metric
	for _, i := range first {
		r := &readings[i]
		if r.ReceivedAt.Sub(r.Time).Abs() > nearby {
			if err := c.compare(ctx, readings, []int{i}, verdicts, true); err != nil {
				return err
			}
			continue
		}
		metric := r.Values[0].Metric
		together[metric] = append(together[metric], i)
	}
	for _, some := range together {
		if err := c.compare(ctx, readings, some, verdicts, true); err != nil {
			return err
		}
	}
	return nil
}

// judgeLate judges readings that are older than the newest of their kiosk.
func (c *conflicts) judgeLate(ctx context.Context, readings []fleet.Reading, late []int, hashes []uint64, verdicts []verdict) error {
	type key struct{ serial, metric string }
	type place struct {
		serial string
		ms     int64
	}
	seen := map[place]uint64{}
	groups := map[key][]int{}
	for _, i := range late {
		r := &readings[i]
		at := place{r.Serial, r.Time.UnixMilli()}
		if before, ok := seen[at]; ok {
			verdicts[i] = isConflict
			if before == hashes[i] {
				verdicts[i] = isRepeated
			}
			continue
		}
		seen[at] = hashes[i]
		k := key{r.Serial, r.Values[0].Metric}
		groups[k] = append(groups[k], i)
	}
	for _, some := range groups {
		if err := c.compare(ctx, readings, some, verdicts, false); err != nil {
			return err
		}
	}
	return nil
}

// compare asks the store for the first metric of the readings, which is the same for all, and then, for
// those whose time it knows, for all their metrics. With ahead it asks for newer readings, too.
func (c *conflicts) compare(ctx context.Context, readings []fleet.Reading, some []int, verdicts []verdict, ahead bool) error {
	stored, err := c.values(ctx, readings, some, readings[some[0]].Values[0].Metric, ahead)
	if err != nil || len(stored) == 0 {
		return err
	}
	for at := range stored {
		if k := c.kiosks[at.serial]; ahead && k != nil {
			k.newest = max(k.newest, at.ms)
		}
	}
	var hits []int
	metrics := map[string]map[storedAt]float64{}
	for _, i := range some {
		if _, ok := stored[at(&readings[i])]; ok {
			hits = append(hits, i)
			verdicts[i] = isRepeated
			for _, v := range readings[i].Values {
				metrics[v.Metric] = nil
			}
		}
	}
	for metric := range metrics {
		if metrics[metric], err = c.values(ctx, readings, hits, metric, false); err != nil {
			return err
		}
	}
	for _, i := range hits {
		for _, v := range readings[i].Values {
			if was, ok := metrics[v.Metric][at(&readings[i])]; ok && was != v.Value {
				verdicts[i] = isConflict
			}
		}
		if verdicts[i] == isRepeated {
			// To be stored again: it may have been stored in part only, and it changes nothing.
			verdicts[i] = isNew
		}
	}
	return nil
}

// storedAt is where a value is in the store.
type storedAt struct {
	serial string
	ms     int64
}

func at(r *fleet.Reading) storedAt { return storedAt{r.Serial, r.Time.UnixMilli()} }

// values returns what the store has of a metric around the times of some readings, of their kiosks.
func (c *conflicts) values(ctx context.Context, readings []fleet.Reading, some []int, metric string, ahead bool) (map[storedAt]float64, error) {
	if len(some) == 0 {
		return nil, nil
	}
	when := span{math.MaxInt64, math.MinInt64}
	var serials []string
	known := map[string]bool{}
	for _, i := range some {
		r := &readings[i]
		when.include(r.Time.UnixMilli())
		if ahead {
			when.include(max(r.ReceivedAt.UnixMilli(), r.Time.UnixMilli()) + maxFuture.Milliseconds())
		}
		if !known[r.Serial] {
			known[r.Serial] = true
			serials = append(serials, r.Serial)
		}
	}
	out := map[storedAt]float64{}
	err := c.store.Values(ctx, metric, serials, time.UnixMilli(when.from).UTC(), time.UnixMilli(when.to+1).UTC(), func(serial string, t time.Time, value float64) {
		out[storedAt{serial, t.UnixMilli()}] = value
	})
	if err != nil {
		return nil, fmt.Errorf("look for readings of the same time: %w", err)
	}
	return out, nil
}
