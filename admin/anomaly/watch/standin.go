// Package watch stands in for the real one.
package watch

import (
	"encoding/json"
	"math"
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

type Config struct {
	Detect detect.Config
	Budget float64
}

func Default() Config { return Config{Budget: 0.5} }

const MaxMetrics = 32

type Prior struct{ Metrics map[string]*detect.Prior }

func (p *Prior) Add(k *Kiosk) {}

type Tuning func(metric string) float64

type Finding struct {
	Score        float64
	Fired, Ended bool
}

type run struct{ N, Mean, Var, X float64 }

type Kiosk struct {
	cfg     *Config
	Metrics map[string]*run
	Open    bool
	Active  int64
	Worst   string
	Fired   float64
}

func New(cfg *Config, prior *Prior) *Kiosk { return &Kiosk{cfg: cfg, Metrics: map[string]*run{}} }

func (k *Kiosk) Step(at time.Time, values []fleet.Value, tuning Tuning) Finding {
	worst := 0.0
	for _, v := range values {
		m := k.Metrics[v.Metric]
		if m == nil {
			m = &run{}
			k.Metrics[v.Metric] = m
		}
		if m.N > 20 {
			z := math.Abs(v.Value-m.Mean) / (math.Sqrt(m.Var) + 0.1)
			if tuning != nil {
				z *= tuning(v.Metric)
			}
			if z > worst {
				worst = z
				if z > 6 {
					k.Worst = v.Metric
				}
			}
			if z > 6 {
				m.X = v.Value
				continue
			}
		}
		m.X = v.Value
		m.N++
		d := v.Value - m.Mean
		m.Mean += d / min(m.N, 1000)
		m.Var += (d*d - m.Var) / min(m.N, 1000)
	}
	f := Finding{Score: 1 - math.Exp(-worst*worst/8)}
	switch {
	case worst > 6 && !k.Open:
		k.Open, k.Fired, f.Fired = true, worst, true
	case worst > 6 && worst > 2*k.Fired:
		k.Fired, f.Fired = worst, true
	}
	if worst > 3 {
		k.Active = at.UnixMilli()
	}
	if k.Open && at.UnixMilli()-k.Active > 600_000 {
		k.Open, f.Ended = false, true
	}
	return f
}

func (k *Kiosk) Explain() []fleet.AnomalySensor {
	m := k.Metrics[k.Worst]
	if m == nil {
		return nil
	}
	s := math.Sqrt(m.Var)
	return []fleet.AnomalySensor{{Metric: k.Worst, Kind: fleet.AnomalyLevel, Share: 1, Value: m.X, Low: m.Mean - 3*s, High: m.Mean + 3*s, Text: k.Worst + " is unusual"}}
}

func (k *Kiosk) Learning() bool                   { return len(k.Metrics) == 0 }
func (k *Kiosk) Bands() []fleet.AnomalyMetricBand { return nil }

func (k *Kiosk) AppendBinary(b []byte) ([]byte, error) {
	d, err := json.Marshal(k)
	return append(b, d...), err
}
func (k *Kiosk) UnmarshalBinary(b []byte) error { return json.Unmarshal(b, k) }
