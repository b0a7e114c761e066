package promapi

import (
	"context"
	"net/url"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// counting counts the series that are read of a store.
type counting struct {
	storage.Queryable
	read int
}

func (c *counting) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.Queryable.Querier(mint, maxt)
	return countingQuerier{q, c}, err
}

type countingQuerier struct {
	storage.Querier
	of *counting
}

func (q countingQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return countingSet{q.Querier.Select(ctx, sorted, hints, matchers...), q.of}
}

type countingSet struct {
	storage.SeriesSet
	of *counting
}

func (s countingSet) Next() bool {
	s.of.read++
	return s.SeriesSet.Next()
}

func TestManySelectorsOfSeriesReadNoMoreThanIsAskedFor(t *testing.T) {
	store := newStore(t)
	a := newAPI(t, store, nil)
	form := url.Values{"limit": {"3"}}
	for range maxMatchers {
		form.Add("match[]", `{__name__!=""}`)
	}
	of := &counting{Queryable: store}
	out, err := a.series(t.Context(), &request{form: form}, &modelled{Queryable: of, kiosks: a.cfg.Kiosks})
	if all, _ := out.data.([]labels.Labels); err != nil || len(all) != 3 || of.read > 5 {
		t.Errorf("%d series of %d that were read, %v", len(all), of.read, err)
	}
}
