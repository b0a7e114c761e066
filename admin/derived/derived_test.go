package derived

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/derived/forecast"
	"kioskfleet/admin/derived/location"
	"kioskfleet/admin/fleet"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// world is the registry, the presence and the database of a test.
type world struct {
	mu     sync.Mutex
	kiosks map[string]*fleet.Kiosk
	live   map[string]*fleet.Live
	saved  map[string]fleet.DerivedState
	writes []int // states of each write
	broken error
}

func newWorld(serials ...string) *world {
	w := &world{kiosks: map[string]*fleet.Kiosk{}, live: map[string]*fleet.Live{}, saved: map[string]fleet.DerivedState{}}
	for _, s := range serials {
		w.kiosks[s] = &fleet.Kiosk{Serial: s, Site: "Mall", Location: &fleet.Location{Lat: 40, Lng: -3}}
	}
	return w
}

type presences struct{ *world }

func (w *world) Get(serial string) (*fleet.Kiosk, error) {
	if k, ok := w.kiosks[serial]; ok {
		return k, nil
	}
	return nil, fleet.ErrNotFound
}

func (p presences) Get(serial string) *fleet.Live {
	if l, ok := p.live[serial]; ok {
		return l
	}
	return &fleet.Live{Serial: serial}
}

func (w *world) SaveDerived(_ context.Context, states []fleet.DerivedState, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	for _, s := range states {
		w.saved[s.Serial] = s
	}
	w.writes = append(w.writes, len(states))
	return nil
}

func (w *world) values() *Values {
	return New(Config{
		Kiosks: w, Presence: presences{w}, Store: w, CertificateValidity: 90 * 24 * time.Hour,
		Now: func() time.Time { return start.Add(10 * 24 * time.Hour) },
	})
}

func reading(serial string, n int, lat float64) *fleet.Reading {
	at := start.Add(time.Duration(n) * 10 * time.Minute)
	return &fleet.Reading{
		Serial: serial, Site: "Mall", Time: at, ReceivedAt: at, Source: fleet.Source{Record: uint64(n + 1)},
		Values: []fleet.Value{
			{Metric: "custom.paper_level", Value: 100 - float64(n)/24}, {Metric: "location.accuracy", Value: 4},
			{Metric: "location.lat", Value: lat}, {Metric: "location.lng", Value: -3},
		},
	}
}

func TestValuesByName(t *testing.T) {
	w := newWorld("K-1", "K-2", "K-3")
	w.live["K-1"] = &fleet.Live{Skew: -90 * time.Second, LastReading: &fleet.Reading{}}
	enrolled := start.Add(-20 * 24 * time.Hour)
	w.kiosks["K-1"].EnrolledAt = &enrolled
	w.kiosks["K-3"].EnrolledAt, w.kiosks["K-3"].RevokedAt = &enrolled, &start
	v := w.values()
	for n := range 8 * 24 * 6 {
		v.Reading(reading("K-1", n, 40.001))
	}
	v.Reading(reading("UNKNOWN", 1, 40))
	for _, tt := range []struct {
		serial, name string
		low, high    float64
		known        bool
	}{
		{"K-1", location.Distance, 111, 112, true},
		{"K-1", location.Moved, 1, 1, true},
		{"K-1", location.Jumped, 0, 0, true},
		{"K-1", ClockSkew, -90, -90, true},
		{"K-1", CertificateDays, 60, 60, true},
		{"K-1", forecast.PaperHours, 180, 240, true},
		{"K-1", forecast.InkHours, 0, 0, false},
		{"K-1", "location.nonsense", 0, 0, false},
		{"K-2", location.Distance, 0, 0, false},
		{"K-2", ClockSkew, 0, 0, false},
		{"K-2", CertificateDays, 0, 0, false},
		{"K-3", CertificateDays, 0, 0, false},
		{"UNKNOWN", location.Distance, 0, 0, false},
		{"UNKNOWN", CertificateDays, 0, 0, false},
	} {
		// Moved needs more than 107 m less the radius of 100 m: it stands 111 m away.
		got, ok := v.For(tt.serial).Value(tt.name)
		if ok != tt.known || ok && (got < tt.low || got > tt.high) {
			t.Errorf("%s of %s = %v, %v; want %v to %v, %v", tt.name, tt.serial, got, ok, tt.low, tt.high, tt.known)
		}
	}
	v.Forget("K-1")
	if _, ok := v.For("K-1").Value(location.Distance); ok {
		t.Error("a forgotten kiosk has a distance")
	}
}

func TestARestartNeitherForgetsNorLearnsTwice(t *testing.T) {
	w := newWorld("K-1")
	v := w.values()
	const crash = 8*24*6 + 100
	for n := range crash {
		v.Reading(reading("K-1", n, 40.01))
	}
	if err := v.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := w.values()
	if err := again.Restore([]fleet.DerivedState{w.saved["K-1"], {Serial: "K-2", Data: []byte("{")}}); err == nil {
		t.Error("a broken state is not told")
	}
	for n := crash - 50; n < crash; n++ {
		told := reading("K-1", n, 40) // again, which must not count: the kiosk would be back
		told.Time = told.Time.Add(24 * time.Hour)
		again.Reading(told)
	}
	for _, name := range Names() {
		a, okA := v.For("K-1").Value(name)
		b, okB := again.For("K-1").Value(name)
		if a != b || okA != okB {
			t.Errorf("%s = %v, %v; before the restart %v, %v", name, b, okB, a, okA)
		}
	}
	if moved, _ := again.For("K-1").Value(location.Moved); moved != 1 {
		t.Error("it is not moved any more")
	}
}

func TestCheckpointsWriteWhatMattersAtOnceAndTheRestInParts(t *testing.T) {
	serials := make([]string, 3*perCheckpoint/2)
	for i := range serials {
		serials[i] = fmt.Sprintf("K-%04d", i)
	}
	w := newWorld(serials...)
	v := w.values()
	checkpoint := func() {
		t.Helper()
		if err := v.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range serials {
		v.Reading(reading(s, 0, 40)) // its place is new
	}
	checkpoint()
	for n := 1; n < 7; n++ {
		for _, s := range serials {
			v.Reading(reading(s, n, 40))
		}
	}
	w.broken = errors.New("disk full")
	if err := v.Checkpoint(t.Context()); !errors.Is(err, w.broken) {
		t.Errorf("error = %v", err)
	}
	w.broken = nil
	checkpoint()
	checkpoint()
	checkpoint()
	if got, want := fmt.Sprint(w.writes), fmt.Sprint([]int{len(serials), 2 * perCheckpoint, len(serials) - 2*perCheckpoint}); len(serials) > 2*perCheckpoint && got != want {
		t.Errorf("states by write: %s, want %s", got, want)
	}
	total := 0
	for _, n := range w.writes[1:] {
		total += n
	}
	if total != len(serials) {
		t.Errorf("%v states written after the first hour, want each of %d once", w.writes, len(serials))
	}
}

func BenchmarkReading(b *testing.B) {
	w := newWorld("K-1")
	v := w.values()
	r := reading("K-1", 0, 40)
	r.Values = append(r.Values,
		fleet.Value{Metric: "custom.ink_level", Value: 50}, fleet.Value{Metric: "custom.cash_level", Value: 50},
		fleet.Value{Metric: "hardware.disk_usage", Value: 50})
	for n := 0; b.Loop(); n++ {
		r.Time = start.Add(time.Duration(n) * 5 * time.Second)
		r.ReceivedAt, r.Source.Record = r.Time, uint64(n+1)
		r.Values[0].Value = 100 - float64(n%100_000)/1000
		v.Reading(r)
	}
}
