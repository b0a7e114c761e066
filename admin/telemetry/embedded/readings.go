package embedded

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"kioskfleet/admin/fleet"
)

// Span returns the times between which there are points; ok is false when there are none.
func (s *Store) Span() (from, to time.Time, ok bool) {
	release, err := s.use()
	if err != nil {
		return from, to, false
	}
	defer release()
	oldest, newest := s.db.Head().MinTime(), s.db.Head().MaxTime()
	for _, b := range s.db.Blocks() {
		oldest, newest = min(oldest, b.MinTime()), max(newest, b.MaxTime())
	}
	oldest = min(oldest, s.db.Head().MinOOOTime()) // late points, which the head does not count otherwise
	if oldest > newest {
		return from, to, false
	}
	return time.UnixMilli(oldest).UTC(), time.UnixMilli(newest).UTC(), true
}

// Kiosks returns the serials of all kiosks that have points, sorted.
func (s *Store) Kiosks(ctx context.Context) ([]string, error) {
	from, to, ok := s.Span()
	if !ok {
		return nil, nil
	}
	querier, err := s.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	serials, _, err := querier.LabelValues(ctx, labelSerial, nil)
	if err != nil {
		return nil, fmt.Errorf("list the kiosks with points: %w", err)
	}
	out := make([]string, len(serials))
	for i, serial := range serials {
		out[i] = string([]byte(serial)) // it is gone with the querier
	}
	return out, nil
}

// Readings puts together again what Append took of one kiosk in [from, to): its numbers, by time. What was never
// kept here, texts and the state, is missing.
func (s *Store) Readings(ctx context.Context, serial string, from, to time.Time) ([]fleet.Reading, error) {
	querier, err := s.Querier(from.UnixMilli(), to.UnixMilli()-1)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	type key struct {
		site string
		ms   int64
	}
	found := map[key]*fleet.Reading{}
	var iterator chunkenc.Iterator
	set := querier.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, labelSerial, serial))
	for set.Next() {
		one := set.At()
		l := one.Labels()
		metric, site := l.Get(labelMetric), l.Get(labelSite)
		for iterator = one.Iterator(iterator); iterator.Next() == chunkenc.ValFloat; {
			ms, value := iterator.At()
			k := key{site, ms}
			r := found[k]
			if r == nil {
				r = &fleet.Reading{Serial: serial, Site: site, Time: time.UnixMilli(ms).UTC()}
				found[k] = r
			}
			r.Values = append(r.Values, fleet.Value{Metric: metric, Value: value})
		}
		if err := iterator.Err(); err != nil {
			return nil, fmt.Errorf("readings of kiosk %s: %w", serial, err)
		}
	}
	if err := set.Err(); err != nil {
		return nil, fmt.Errorf("readings of kiosk %s: %w", serial, err)
	}
	out := make([]fleet.Reading, 0, len(found))
	for r := range maps.Values(found) {
		// A metric whose unit the catalogue learnt later has two series.
		slices.SortStableFunc(r.Values, func(a, b fleet.Value) int { return cmp.Compare(a.Metric, b.Metric) })
		r.Values = slices.CompactFunc(r.Values, func(a, b fleet.Value) bool { return a.Metric == b.Metric })
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b fleet.Reading) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Site, b.Site))
	})
	return out, nil
}
