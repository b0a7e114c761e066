package fleet

import (
	"reflect"
	"testing"
	"time"
)

func TestWordsTuneWithinBounds(t *testing.T) {
	at := time.Unix(1000, 0).UTC()
	for _, test := range []struct {
		name  string
		words string // n: noise, u: useful
		want  float64
	}{
		{"nothing was said", "", 1},
		{"noise halves", "n", 0.5},
		{"useful adds a quarter", "u", 1.25},
		{"at least a sixteenth", "nnnnnnnnn", 1.0 / 16},
		{"back from the bottom at once", "nnnnnnnnnu", 1.25 / 16},
		{"at most four", "uuuuuuuuuuuuuuuuu", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			tuning := NewAnomalyTuning("m.a")
			for _, w := range test.words {
				tuning.Add(map[rune]AnomalyVerdict{'n': AnomalyNoise, 'u': AnomalyUseful}[w], at)
			}
			if tuning.Factor != test.want || tuning.Useful+tuning.Noise != len(test.words) {
				t.Errorf("%+v, want factor %v", tuning, test.want)
			}
		})
	}
}

func TestMainMetrics(t *testing.T) {
	of := func(shares ...float64) *Anomaly {
		a := &Anomaly{}
		for i, s := range shares {
			a.Sensors = append(a.Sensors, AnomalySensor{Metric: string(rune('a' + i)), Share: s})
		}
		return a
	}
	for _, test := range []struct {
		name string
		a    *Anomaly
		want []string
	}{
		{"none", of(), nil},
		{"one stands out", of(0.7, 0.2, 0.1), []string{"a"}},
		{"two together", of(0.5, 0.3, 0.2), []string{"a", "b"}},
		{"exactly half", of(0.5, 0.25, 0.25), []string{"a", "b", "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.a.MainMetrics(); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
