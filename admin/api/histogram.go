package api

import (
	"context"
	"slices"
	"time"

	"kioskfleet/internal/protocol"
)

type histogramView struct {
	Metric  string    `json:"metric"`
	Unit    string    `json:"unit"`
	At      time.Time `json:"at"`
	Kiosks  int       `json:"kiosks"`
	Buckets []binView `json:"buckets"`
}

type binView struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

// freshIntervals is how many of a kiosk's reporting intervals its last value may be old.
const freshIntervals = 3

// ages are the steps to which the age that a kiosk's last value may have is rounded up, so that the
// kiosks of one step are asked for together.
var ages = []time.Duration{15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour}

// histogram sorts the last values of kiosks into classes of equal width. A class holds its lower bound; the
// last one holds its upper bound too.
func (s *Server) histogram(ctx context.Context, q query) (*histogramView, error) {
	h := q.histogram
	byAge := make([][]string, len(ages))
	for _, k := range s.kiosksOf(h.Kiosks) {
		age := freshIntervals * s.cfg.Presence.Get(k.Serial).Interval
		i := slices.IndexFunc(ages, func(a time.Duration) bool { return age <= a })
		if i < 0 {
			i = len(ages) - 1
		}
		byAge[i] = append(byAge[i], k.Serial)
	}
	var values []float64
	for i, serials := range byAge {
		if len(serials) == 0 {
			continue
		}
		slices.Sort(serials)
		answer, err := s.cfg.Series.Range(ctx, Range{
			Metric: h.Metric, Serials: serials, From: q.at.Add(-ages[i]), To: q.at.Add(time.Millisecond), Step: ages[i], Aggregate: "last",
		})
		if err != nil {
			return nil, err
		}
		for _, one := range answer.Series {
			values = append(values, one.Points[len(one.Points)-1].Value)
		}
	}
	info, _ := protocol.LookupMetric(h.Metric)
	out := &histogramView{Metric: h.Metric, Unit: info.Unit, At: q.at, Kiosks: len(values), Buckets: []binView{}}
	if len(values) == 0 {
		return out, nil
	}
	lowest, highest := slices.Min(values), slices.Max(values)
	n := h.Buckets
	if lowest == highest {
		n = 1
	}
	bound := func(i int) float64 {
		share := float64(i) / float64(n)
		return lowest*(1-share) + highest*share // the difference of the two may be too large for a number
	}
	for i := range n {
		out.Buckets = append(out.Buckets, binView{From: bound(i), To: bound(i + 1)})
	}
	out.Buckets[n-1].To = highest
	for _, v := range values {
		i, _ := slices.BinarySearchFunc(out.Buckets, v, func(b binView, v float64) int {
			if b.From <= v {
				return -1
			}
			return 1
		})
		out.Buckets[max(i-1, 0)].Count++
	}
	return out, nil
}
