// Package forecast says when kiosks run out of paper and ink, and when cash boxes and disks are full: with an
// interval that holds the truth in 80 of 100 cases. It learns how much each kiosk uses at which hour and weekday.
package forecast

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

// Names of the values for rules: the hours until the earliest end of the 80% interval.
const (
	PaperHours = "forecast.paper_hours"
	InkHours   = "forecast.ink_hours"
	CashHours  = "forecast.cash_hours"
	DiskHours  = "forecast.disk_hours"
)

// kind is how one metric behaves.
type kind struct {
	metric, value string
	need          string
	limit         float64
	sign          float64 // of changes towards the limit
	refill        float64 // a step of more than that away from the limit is somebody's doing, in %
	surge         float64 // and so is one of more than that towards it
	weekly        bool    // customers change it, who come by the day of the week
	burst         float64 // excess in an hour that counts as a new rate, in %; 0: none does
	drift         float64 // share by which the rate itself may change meanwhile, standard deviation
	warmUp        int     // hours
	// What a day, a day of the week and an hour weigh after the next of their kind.
	keep, dayKeep, hourKeep float64
}

// kinds are the metrics that are forecast, the index of state.Series.
var kinds = [...]kind{
	{metric: "custom.paper_level", value: PaperHours, need: "paper", sign: -1},
	{metric: "custom.ink_level", value: InkHours, need: "ink", sign: -1},
	{metric: "custom.cash_level", value: CashHours, need: "cash", sign: 1, limit: 100},
	{metric: "hardware.disk_usage", value: DiskHours, need: "disk", sign: 1, limit: 100},
}

func init() {
	for i := range kinds {
		k := &kinds[i]
		k.refill, k.surge, k.weekly, k.warmUp, k.drift = 3, 15, true, 7*24, 0.045
		k.keep, k.dayKeep = 0.98, 0.97
		if k.need == "disk" {
			k.weekly, k.warmUp, k.burst, k.keep, k.drift = false, 3*24, 1, 0.95, 0
		}
		k.hourKeep = math.Pow(k.keep, 1.0/24)
	}
}

// exposure is what the variance of an hour's change grows with: with the change itself where it is made of many
// small uses, with time elsewhere.
func (k *kind) exposure(change float64) float64 {
	if k.weekly {
		return max(change, 0)
	}
	return 1.0 / 24
}

const (
	// horizon is how far ahead is looked, in hours; what comes later counts as never.
	horizon = 90 * 24
	// A forecast is made anew after so long, or when the level has changed by so much.
	renewAfter = int64(10 * time.Minute / time.Millisecond)
	renewAt    = 0.5 // %
)

// Forecasts holds what is learnt of each kiosk. It is safe for concurrent use; readings of one kiosk come in
// order.
type Forecasts struct {
	mu     sync.RWMutex
	kiosks map[string]*state
}

// state is what is known of a kiosk.
type state struct {
	Site   string             `json:"site"`
	Series [len(kinds)]series `json:"series"`
}

// New returns Forecasts that know nothing yet.
func New() *Forecasts { return &Forecasts{kiosks: map[string]*state{}} }

// Reading learns from a reading. One that is older than the latest teaches nothing. It reports whether an hour was
// completed: then what was learnt should be kept. If it is lost after that, the next reading bridges the gap.
func (f *Forecasts) Reading(r *fleet.Reading) (completed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, ok := f.kiosks[r.Serial]
	for _, v := range r.Values {
		i := kindOf(v.Metric)
		if i < 0 || math.IsNaN(v.Value) || v.Value < 0 || v.Value > 100 {
			continue
		}
		if !ok {
			st, ok = &state{}, true
			f.kiosks[r.Serial] = st
		}
		s, k := &st.Series[i], &kinds[i]
		completed = s.take(k, r.Time, v.Value) || completed
		if s.ready(k) && (s.Made == 0 || s.At-s.Made >= renewAfter || math.Abs(s.Level-s.MadeLevel) >= renewAt) {
			s.predict(k)
		}
	}
	if ok {
		st.Site = r.Site
	}
	return completed
}

// kindOf returns the number of a metric's kind, -1 if it is not forecast.
func kindOf(metric string) int {
	for i := range kinds {
		if kinds[i].metric == metric {
			return i
		}
	}
	return -1
}

// Value returns one of the values for rules, in hours from the kiosk's latest reading on; +Inf when the limit is
// not reached within 90 days, false while too little is known.
func (f *Forecasts) Value(serial, name string) (float64, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	st, ok := f.kiosks[serial]
	if !ok {
		return 0, false
	}
	for i := range kinds {
		if kinds[i].value == name && st.Series[i].Made != 0 {
			return st.Series[i].hours(0), true
		}
	}
	return 0, false
}

// hours returns one quantile of the forecast, counted from the latest reading.
func (s *series) hours(i int) float64 {
	if s.Hour[i] == never {
		return math.Inf(1)
	}
	return max(s.Hour[i]-float64(s.At-s.Made)/hour, 0)
}

// Forecasts returns what is forecast of a kiosk, in the order paper, ink, cash, disk; nothing while too little is
// known.
func (f *Forecasts) Forecasts(serial string) []fleet.Forecast {
	f.mu.RLock()
	defer f.mu.RUnlock()
	st, ok := f.kiosks[serial]
	if !ok {
		return nil
	}
	return st.forecasts(serial)
}

func (st *state) forecasts(serial string) []fleet.Forecast {
	var out []fleet.Forecast
	for i := range kinds {
		s, k := &st.Series[i], &kinds[i]
		if s.Made == 0 {
			continue
		}
		out = append(out, fleet.Forecast{
			Serial: serial, Site: st.Site, Metric: k.metric, Level: s.Level, Limit: k.limit, PerHour: s.PerHour,
			Earliest: s.hours(0), Hours: s.hours(1), Latest: s.hours(2), At: time.UnixMilli(s.At).UTC(),
		})
	}
	return out
}

// All returns all forecasts, the most urgent first.
func (f *Forecasts) All() []fleet.Forecast {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []fleet.Forecast
	for serial, st := range f.kiosks {
		out = append(out, st.forecasts(serial)...)
	}
	slices.SortFunc(out, func(a, b fleet.Forecast) int {
		return cmp.Or(cmp.Compare(a.Earliest, b.Earliest), cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Metric, b.Metric))
	})
	return out
}

// Forget drops a kiosk that is no longer registered.
func (f *Forecasts) Forget(serial string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.kiosks, serial)
}

// Snapshot returns what is known of a kiosk, for Restore; nil when nothing is.
func (f *Forecasts) Snapshot(serial string) ([]byte, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	st, ok := f.kiosks[serial]
	if !ok {
		return nil, nil
	}
	data, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("encode the forecasts of %s: %w", serial, err)
	}
	return data, nil
}

// Restore sets what Snapshot returned.
func (f *Forecasts) Restore(serial string, data []byte) error {
	st := &state{}
	if err := json.Unmarshal(data, st); err != nil {
		return fmt.Errorf("decode the forecasts of %s: %w", serial, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kiosks[serial] = st
	return nil
}
