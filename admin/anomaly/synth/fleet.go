package synth

import (
	"slices"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/internal/hashed"
)

// partners are metrics whose course follows another one's so closely that a break shows.
var partners = map[string][]string{
	"hardware.cpu_temp":  {"hardware.cpu_usage"},
	"hardware.cpu_usage": {"hardware.cpu_temp", "hardware.ram_usage"},
	"hardware.ram_usage": {"hardware.cpu_usage"},
}

// InjectKiosk returns the kiosk with up to n faults of the given kinds (all kinds if none is given) in turn, each
// in one of its metrics, one after the other and labelled. What Inject says holds here as well, but faults come
// from Learnt on. A correlation
// break is put into a metric that goes with another one; the window names both. The readings may be real ones.
func InjectKiosk(k Kiosk, seed uint64, n int, kinds ...Kind) Kiosk {
	made := k
	made.Values, made.Windows = make([][]float64, len(k.Values)), slices.Clone(k.Windows)
	signals := make([]signal, len(k.Metrics))
	for m := range signals {
		made.Values[m] = slices.Clone(k.Values[m])
		signals[m] = signal{times: k.Times, values: made.Values[m]}
		signals[m].bound(k.Metrics[m])
	}
	if len(signals) == 0 || len(k.Times) == 0 {
		return made
	}
	learnt, _ := slices.BinarySearchFunc(k.Times, k.Learnt(), time.Time.Compare)
	signals[0].occupy(k.Windows, learnt)
	for m := range signals {
		// One fault at a time in the whole kiosk.
		signals[m].taken, signals[m].first = signals[0].taken, signals[0].first
	}
	random := draws(seed, hashed.Text(k.Serial))
	for _, kind := range random.turns(n, kinds) {
		for _, m := range random.Perm(len(signals)) {
			if w, ok := made.placeIn(random, signals, m, kind); ok {
				made.Windows = append(made.Windows, w)
				break
			}
		}
	}
	slices.SortFunc(made.Windows, func(a, b score.Window) int { return a.From.Compare(b.From) })
	return made
}

// placeIn puts a fault of a kind into metric m.
func (k *Kiosk) placeIn(random source, signals []signal, m int, kind Kind) (score.Window, bool) {
	name := k.Metrics[m]
	var partner *signal
	with := []string{name}
	if kind == CorrelationBreak {
		for _, p := range partners[name] {
			if i := slices.Index(k.Metrics, p); i >= 0 {
				partner = &signals[i]
				with = append(with, p)
				break
			}
		}
		if partner == nil {
			return score.Window{}, false
		}
	}
	w, ok := signals[m].place(random, kind, partner)
	w.Metrics = with
	return w, ok
}

// bound sets what a metric can show: what the catalogue's sensors can, and for others not below 0 if they never were.
func (s *signal) bound(metric string) {
	for _, g := range gauges {
		if g.name == metric {
			s.step, s.low, s.high = g.step, g.low, g.high
			return
		}
	}
	s.unbounded()
}
