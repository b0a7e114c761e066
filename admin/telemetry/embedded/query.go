package embedded

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

// serialsPerSelect bounds one look into the index. Up to 256 alternatives the TSDB turns a regular
// expression into plain look-ups of these values.
const serialsPerSelect = 250

// Range answers the query from the TSDB's own iterators, point by point; see telemetry.Store.
func (s *Store) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	defer release()
	return telemetry.Answer(ctx, q, &source{store: s})
}

// Summaries implements telemetry.Store. It computes all fields, and a sketch when asked.
func (s *Store) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	if err := (&source{store: s}).Summaries(ctx, sel, grid, fields, add); err != nil {
		return fmt.Errorf("summaries of %s: %w", sel.Metric, err)
	}
	return nil
}

// Metrics implements telemetry.Store.
func (s *Store) Metrics(ctx context.Context) ([]string, error) {
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	defer release()
	querier, err := s.db.Querier(0, math.MaxInt64)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer querier.Close()
	names, _, err := querier.LabelValues(ctx, labelMetric, nil)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	// What the TSDB returns may be part of a file that it closes later.
	for i := range names {
		names[i] = strings.Clone(names[i])
	}
	return names, nil
}

// source reads an open store; it is of use for one query.
type source struct {
	store    *Store
	seen     int
	iterator chunkenc.Iterator // kept to be used again
}

// Samples implements telemetry.Source.
func (r *source) Samples(ctx context.Context, sel telemetry.Selection, add func(serial string, ms int64, value float64) error) error {
	return r.kiosks(ctx, sel, func(serial string, series []storage.Series) error {
		return r.each(ctx, sel, series, func(ms int64, value float64) error { return add(serial, ms, value) })
	})
}

// Summaries implements telemetry.Source.
func (r *source) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	return r.kiosks(ctx, sel, func(serial string, series []storage.Series) error {
		w := telemetry.NewWindows(grid, "")
		var sketch *telemetry.Sketch
		if fields&telemetry.FieldSketch != 0 {
			sketch = &telemetry.Sketch{}
		}
		err := r.each(ctx, sel, series, func(ms int64, value float64) error {
			w.Add(ms, value)
			if w.Len() > telemetry.MaxPoints {
				return telemetry.ErrTooLarge
			}
			if sketch != nil {
				sketch.Add(value)
			}
			return nil
		})
		if err != nil || w.Len() == 0 {
			return err
		}
		return add(telemetry.KioskWindows{Serial: serial, Windows: w.Summaries(), Sketch: sketch})
	})
}

// kiosks passes the series of each kiosk of the selection to read.
func (r *source) kiosks(ctx context.Context, sel telemetry.Selection, read func(serial string, series []storage.Series) error) error {
	if !protocol.ValidMetricName(sel.Metric) || sel.From >= sel.To {
		return ctx.Err()
	}
	querier, err := r.store.db.Querier(sel.From, sel.To-1)
	if err != nil {
		return err
	}
	defer querier.Close() // reading only: nothing can be lost
	if sel.Serials == nil {
		return readSelected(ctx, querier, sel.Metric, nil, read)
	}
	for some := range slices.Chunk(sel.Serials, serialsPerSelect) {
		if err := readSelected(ctx, querier, sel.Metric, some, read); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// readSelected passes the series of these kiosks, in their order, or of all, in the order of serials.
func readSelected(ctx context.Context, querier storage.Querier, metric string, serials []string, read func(serial string, series []storage.Series) error) error {
	bySerial, err := selectSeries(ctx, querier, metric, serials)
	if err != nil {
		return err
	}
	if serials == nil {
		serials = slices.Sorted(maps.Keys(bySerial))
	}
	for _, serial := range serials {
		if series := bySerial[serial]; len(series) > 0 {
			if err := read(serial, series); err != nil {
				return err
			}
		}
	}
	return nil
}

// selectSeries returns the series of the metric by serial: one for each site where the kiosk was. No
// serials mean every kiosk.
func selectSeries(ctx context.Context, querier storage.Querier, metric string, serials []string) (map[string][]storage.Series, error) {
	// By the label and not by __name__, which changes when the catalogue learns a metric's unit.
	matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labelMetric, metric)}
	switch len(serials) {
	case 0:
	case 1:
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, labelSerial, serials[0]))
	default:
		quoted := make([]string, len(serials))
		for i, serial := range serials {
			quoted[i] = regexp.QuoteMeta(serial)
		}
		any, err := labels.NewMatcher(labels.MatchRegexp, labelSerial, strings.Join(quoted, "|"))
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, any)
	}
	set := querier.Select(ctx, false, nil, matchers...)
	bySerial := make(map[string][]storage.Series, len(serials))
	for set.Next() {
		one := set.At()
		serial := one.Labels().Get(labelSerial)
		bySerial[serial] = append(bySerial[serial], one)
	}
	return bySerial, set.Err()
}

// each passes every point of one kiosk, whose series may overlap in time, to add.
func (r *source) each(ctx context.Context, sel telemetry.Selection, series []storage.Series, add func(ms int64, value float64) error) error {
	if len(series) == 1 {
		r.iterator = series[0].Iterator(r.iterator)
	} else { // merges by time, and takes one of several points of the same millisecond
		r.iterator = storage.ChainSampleIteratorFromSeries(nil, series)
	}
	for r.iterator.Next() == chunkenc.ValFloat {
		ms, value := r.iterator.At()
		if ms < sel.From {
			continue
		}
		if ms >= sel.To {
			break
		}
		if r.seen++; r.seen%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := add(ms, value); err != nil {
			return err
		}
	}
	return r.iterator.Err()
}
