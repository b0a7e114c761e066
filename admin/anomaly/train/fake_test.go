package train

import (
	"context"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/fleet"
)

// memory is a source of synthetic kiosks, changed as a test wants.
type memory struct {
	kiosks []synth.Kiosk
}

func (m *memory) Kiosks(context.Context) ([]fleet.Kiosk, error) {
	var out []fleet.Kiosk
	for _, k := range m.kiosks {
		out = append(out, fleet.Kiosk{Serial: k.Serial, Model: k.Model, Site: k.Site})
	}
	return out, nil
}

func (m *memory) Readings(ctx context.Context, serial string, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	i := slices.IndexFunc(m.kiosks, func(k synth.Kiosk) bool { return k.Serial == serial })
	return pass(ctx, &m.kiosks[i], from, to, each)
}

// holed is a source with readings of its own.
type holed struct {
	*memory
	readings func(each func(time.Time, []fleet.Value) error) error
}

func (h holed) Readings(_ context.Context, _ string, _, _ time.Time, each func(time.Time, []fleet.Value) error) error {
	return h.readings(each)
}

func (m *memory) span() (from, to time.Time) {
	times := m.kiosks[0].Times
	return times[0], times[len(times)-1].Add(time.Millisecond)
}

// fleets keeps what was made: making takes longer than what is tested.
var fleets sync.Map

// made returns a fleet in which nothing is wrong, for the caller to change.
func made(kiosks, days int, seed uint64) *memory {
	o := synth.Options{Kiosks: kiosks, Days: days, Step: 5 * time.Minute, Seed: seed}
	once, _ := fleets.LoadOrStore(o, sync.OnceValue(func() []synth.Kiosk { return slices.Collect(o.Fleet()) }))
	m := &memory{}
	for _, k := range once.(func() []synth.Kiosk)() {
		k.Values = slices.Clone(k.Values)
		for i := range k.Values {
			k.Values[i] = slices.Clone(k.Values[i])
		}
		m.kiosks = append(m.kiosks, k)
	}
	return m
}

// change applies f to a metric of the kiosks with the given numbers, all if none, from a day until another.
func (m *memory) change(metric string, from, to int, f func(i, n int, x float64) float64, numbers ...int) *memory {
	for j := range m.kiosks {
		if len(numbers) > 0 && !slices.Contains(numbers, j) {
			continue
		}
		k := &m.kiosks[j]
		column := k.Values[slices.Index(k.Metrics, metric)]
		begin := k.Times[0]
		first := -1
		for i, at := range k.Times {
			if day := int(at.Sub(begin).Hours() / 24); day >= from && day < to {
				if first < 0 {
					first = i
				}
				column[i] = f(i, i-first, column[i])
			}
		}
	}
	return m
}

// Faults that somebody took for normal.

func constant(value float64) func(int, int, float64) float64 {
	return func(int, int, float64) float64 { return value }
}

// held is a sensor that goes on with its last value.
func held() func(int, int, float64) float64 {
	last := 0.0
	return func(_, n int, x float64) float64 {
		if n == 0 {
			last = x
		}
		return last
	}
}

func saturated(limit float64) func(int, int, float64) float64 {
	return func(_, _ int, x float64) float64 { return min(x, limit) }
}

func jittering(value, step float64) func(int, int, float64) float64 {
	return func(i, _ int, _ float64) float64 { return value + step*float64(i*7919%3-1) }
}

func shifted(by float64) func(int, int, float64) float64 {
	return func(_, _ int, x float64) float64 { return x + by }
}

func noisy(by float64) func(int, int, float64) float64 {
	return func(i, _ int, x float64) float64 { return x + by*(float64(i*7919%1000)/500-1) }
}

// warming is a new season.
func warming(by float64, over int) func(int, int, float64) float64 {
	return func(_, n int, x float64) float64 { return x + by*min(1, float64(n)/float64(over)) }
}

func times(factor float64, low float64) func(int, int, float64) float64 {
	return func(_, _ int, x float64) float64 { return low + factor*(x-low) }
}
