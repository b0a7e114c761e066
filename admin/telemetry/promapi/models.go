package promapi

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry/embedded"
)

// labelModel names the label that is added here. It is not stored: a kiosk whose model is set or mended
// later would go on in other series, and its past would stay without.
const labelModel = "model"

// modelled adds the label model to the series of a store. One query sees the registry as it was at its
// beginning.
type modelled struct {
	storage.Queryable
	kiosks func() []*fleet.Kiosk
}

// Querier implements storage.Queryable.
func (m *modelled) Querier(mint, maxt int64) (storage.Querier, error) {
	inner, err := m.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return &modelQuerier{Querier: inner, models: sync.OnceValue(func() map[string]string {
		models := map[string]string{}
		for _, k := range m.kiosks() {
			if k.Model != "" {
				models[k.Serial] = k.Model
			}
		}
		return models
	})}, nil
}

// modelQuerier turns matchers on model into one on serial, and answers the rest from the store.
type modelQuerier struct {
	storage.Querier
	models func() map[string]string // by serial, without kiosks that have none
}

// stored returns matchers for the store that select what the given ones do. Kiosks that are not
// registered have no model. None says that nothing can match.
func (q *modelQuerier) stored(matchers []*labels.Matcher) (out []*labels.Matcher, none bool, err error) {
	var onModel []*labels.Matcher
	for _, m := range matchers {
		if m.Name == labelModel {
			onModel = append(onModel, m)
		} else {
			out = append(out, m)
		}
	}
	if len(onModel) == 0 {
		return matchers, false, nil
	}
	matches := func(model string) bool {
		return !slices.ContainsFunc(onModel, func(m *labels.Matcher) bool { return !m.Matches(model) })
	}
	// Where no model matches too, name those kiosks whose model does not.
	operator, wanted := labels.MatchRegexp, true
	if matches("") {
		operator, wanted = labels.MatchNotRegexp, false
	}
	verdicts := map[string]bool{} // by model: there are few
	var serials []string
	for serial, model := range q.models() {
		verdict, known := verdicts[model]
		if !known {
			verdict = matches(model)
			verdicts[model] = verdict
		}
		if verdict == wanted {
			serials = append(serials, regexp.QuoteMeta(serial))
		}
	}
	if len(serials) == 0 {
		return out, wanted, nil
	}
	slices.Sort(serials)
	// A plain list of texts is no regular expression for the TSDB, but a look-up of each, or in a map.
	onSerial, err := labels.NewMatcher(operator, embedded.LabelSerial, strings.Join(serials, "|"))
	return append(out, onSerial), false, err
}

// Select implements storage.Querier.
func (q *modelQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	matchers, none, err := q.stored(matchers)
	switch {
	case err != nil:
		return storage.ErrSeriesSet(err)
	case none:
		return storage.EmptySeriesSet()
	}
	set := &modelSet{SeriesSet: q.Querier.Select(ctx, sorted, hints, matchers...), models: q.models()}
	if !sorted {
		return set
	}
	return newSortedSet(ctx, set)
}

// LabelValues implements storage.LabelQuerier.
func (q *modelQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	matchers, none, err := q.stored(matchers)
	if err != nil || none {
		return nil, nil, err
	}
	if name != labelModel {
		return q.Querier.LabelValues(ctx, name, hints, matchers...)
	}
	// All serials, whatever the limit: many have the same model.
	serials, notes, err := q.Querier.LabelValues(ctx, embedded.LabelSerial, nil, matchers...)
	models := q.models()
	var values []string
	for _, serial := range serials {
		if model, ok := models[serial]; ok {
			values = append(values, model)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), notes, err
}

// LabelNames implements storage.LabelQuerier.
func (q *modelQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	matchers, none, err := q.stored(matchers)
	if err != nil || none {
		return nil, nil, err
	}
	names, notes, err := q.Querier.LabelNames(ctx, hints, matchers...)
	if err != nil || len(q.models()) == 0 {
		return names, notes, err
	}
	serials, more, err := q.Querier.LabelValues(ctx, embedded.LabelSerial, nil, matchers...)
	notes.Merge(more)
	models := q.models()
	if slices.ContainsFunc(serials, func(serial string) bool { return models[serial] != "" }) {
		names = append(slices.Clone(names), labelModel)
		slices.Sort(names)
	}
	return names, notes, err
}

// modelSet adds the label to each series as it comes.
type modelSet struct {
	storage.SeriesSet
	models map[string]string
}

// At implements storage.SeriesSet.
func (s *modelSet) At() storage.Series {
	one := s.SeriesSet.At()
	l := one.Labels()
	model := s.models[l.Get(embedded.LabelSerial)]
	if model == "" {
		return one
	}
	return modelSeries{one, labels.NewBuilder(l).Set(labelModel, model).Labels()}
}

type modelSeries struct {
	storage.Series
	labels labels.Labels
}

// Labels implements storage.Series.
func (s modelSeries) Labels() labels.Labels { return s.labels }

// sortedSet is a set whose order the additional label has changed: model comes before serial.
type sortedSet struct {
	storage.SeriesSet
	all []storage.Series
	at  int
	err error
}

func newSortedSet(ctx context.Context, set storage.SeriesSet) *sortedSet {
	s := &sortedSet{SeriesSet: set, at: -1}
	for set.Next() {
		s.all = append(s.all, set.At())
		if len(s.all)%checkEvery == 0 && ctx.Err() != nil {
			s.all, s.err = nil, ctx.Err()
			return s
		}
	}
	s.err = set.Err()
	slices.SortFunc(s.all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return s
}

// Next implements storage.SeriesSet.
func (s *sortedSet) Next() bool {
	s.at++
	return s.err == nil && s.at < len(s.all)
}

// At implements storage.SeriesSet.
func (s *sortedSet) At() storage.Series { return s.all[s.at] }

// Err implements storage.SeriesSet.
func (s *sortedSet) Err() error { return s.err }
