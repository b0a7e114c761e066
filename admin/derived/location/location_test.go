package location

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
)

var (
	start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	place = fleet.Location{Lat: 40.4168, Lng: -3.7038}
)

func TestHaversine(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b fleet.Location
		want float64 // m
	}{
		{"nowhere", place, place, 0},
		{"a degree of the equator", fleet.Location{}, fleet.Location{Lng: 1}, 111_195},
		{"over the date line", fleet.Location{Lng: 179.5}, fleet.Location{Lng: -179.5}, 111_195},
		{"pole to pole", fleet.Location{Lat: 90}, fleet.Location{Lat: -90}, 20_015_115},
		{"Madrid to Buenos Aires", place, fleet.Location{Lat: -34.6037, Lng: -58.3816}, 10_040_000},
	} {
		if got := Haversine(tt.a, tt.b); math.Abs(got-tt.want) > 1+tt.want/1000 {
			t.Errorf("%s: %.0f m, want %.0f", tt.name, got, tt.want)
		}
	}
}

// kiosk is a simulated kiosk whose readings are judged.
type kiosk struct {
	device *device.Simulated
	watch  *Watch
	state  State
	remote string
	north  float64 // metres that its receiver is wrong by
}

func newKiosk(serial string, faults ...fault.Fault) *kiosk {
	return &kiosk{
		device: device.NewSimulated(device.Simulation{
			Serial: serial, Site: "Mall", Seed: 7, Position: device.Position{Lat: place.Lat, Lng: place.Lng},
			Faults: fault.NewPlan(7, serial, "Mall", faults, nil),
		}),
		watch: New(Config{}), remote: "192.0.2.1",
	}
}

func (k *kiosk) at(at time.Time) {
	g := k.device.Sample(at, true).Location
	r := fleet.Reading{Time: at, ReceivedAt: at, Values: []fleet.Value{
		{Metric: "location.accuracy", Value: g["accuracy"].(float64)},
		{Metric: "location.lat", Value: g["lat"].(float64) + k.north/111_195},
		{Metric: "location.lng", Value: g["lng"].(float64)},
	}}
	k.watch.Step(&k.state, &r, &place, k.remote)
}

func (k *kiosk) run(from, to time.Time, every time.Duration, look func(at time.Time, moved, jumped bool)) {
	for at := from; at.Before(to); at = at.Add(every) {
		k.at(at)
		moved, _ := k.state.Value(Moved)
		jumped, _ := k.state.Value(Jumped)
		look(at, moved == 1, jumped == 1)
	}
}

func planned(kind fault.Kind, metres float64, from, to time.Time) fault.Fault {
	p, err := fault.Complete(kind, map[string]string{"metres": fmt.Sprint(metres)})
	if err != nil {
		panic(err)
	}
	return fault.Fault{Kind: kind, Params: p, From: from, To: to}
}

func TestOrdinaryJitterMovesNobody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kiosks int
		days   int
		every  time.Duration
	}{
		{"a month", 200, 30, 20 * time.Minute},
		{"a day of readings each 5 seconds", 10, 1, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for n := range tt.kiosks {
				k := newKiosk(fmt.Sprintf("K-%03d", n))
				// Each at other moments of its noise.
				k.run(start.Add(time.Duration(n)*time.Second), start.AddDate(0, 0, tt.days), tt.every, func(at time.Time, moved, _ bool) {
					if moved {
						t.Fatalf("kiosk %d moved at %s: %+v", n, at, k.state)
					}
				})
			}
		})
	}
}

func TestAReceiverThatRavesMovesNobody(t *testing.T) {
	for n := range 20 {
		for _, every := range []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute} {
			end := start.Add(6 * time.Hour)
			k := newKiosk(fmt.Sprintf("K-%03d", n), planned(fault.GPSJitter, 150, start.Add(time.Hour), end))
			far := 0.0
			k.run(start, end.Add(time.Hour), every, func(at time.Time, moved, _ bool) {
				far = max(far, k.state.Distance)
				if moved {
					t.Fatalf("kiosk %d, a reading every %s: moved at %s: %+v", n, every, at, k.state)
				}
			})
			if far < 300 {
				t.Fatalf("the receiver raved by %.0f m only", far)
			}
		}
	}
}

func TestEachMoveIsFoundAndEnds(t *testing.T) {
	for _, metres := range []float64{150, 250, 2500, 600_000} {
		for _, every := range []time.Duration{5 * time.Second, time.Minute} {
			t.Run(fmt.Sprintf("%.0f m, a reading every %s", metres, every), func(t *testing.T) {
				// It is off for an hour, carried meanwhile, and back hours later in the same way.
				gone, there := start.Add(time.Hour), start.Add(2*time.Hour)
				if metres > 200_000 {
					there = start.Add(5 * time.Hour)
				}
				back := there.Add(3 * time.Hour)
				for n := range 10 {
					k := newKiosk(fmt.Sprintf("K-%03d", n), planned(fault.Relocation, metres, gone, back))
					var begin, end time.Time
					look := func(at time.Time, moved, jumped bool) {
						if moved && begin.IsZero() {
							begin = at
						}
						if !moved && !begin.IsZero() && end.IsZero() {
							end = at
						}
						if jumped {
							t.Fatalf("kiosk %d was carried, and counts as jumped at %s", n, at)
						}
					}
					k.run(start, gone, every, look)
					k.run(there, back, every, look)
					k.run(back.Add(6*time.Hour), back.Add(8*time.Hour), every, look)
					if begin.Sub(there) < 0 || begin.Sub(there) > 15*time.Minute || begin.IsZero() {
						t.Fatalf("kiosk %d: there at %s, found at %s", n, there, begin)
					}
					if late := end.Sub(back.Add(6 * time.Hour)); end.IsZero() || late < 0 || late > 30*time.Minute {
						t.Fatalf("kiosk %d: back at %s, found at %s", n, back.Add(6*time.Hour), end)
					}
				}
			})
		}
	}
}

func TestAJumpIsDoubted(t *testing.T) {
	from, to := start.Add(time.Hour), start.Add(3*time.Hour)
	for _, tt := range []struct {
		name    string
		remote  string // from 5 minutes after the jump on
		doubted bool   // an hour after it
	}{
		{"over the same network path", "192.0.2.1", true},
		{"the network path changes as well", "198.51.100.9", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKiosk("K-1")
			hour := [2]bool{}
			k.run(start, to.Add(time.Hour), 5*time.Second, func(at time.Time, moved, jumped bool) {
				switch {
				case at.Equal(from):
					k.north = 2500
				case at.Equal(from.Add(5 * time.Minute)):
					k.remote = tt.remote
				case at.Equal(to):
					k.north = 0
				}
				if at.Equal(from.Add(time.Hour)) {
					hour = [2]bool{moved, jumped}
				}
				if at.Equal(to.Add(30*time.Minute)) && (moved || jumped) {
					t.Errorf("it is back, but moved %v, jumped %v", moved, jumped)
				}
			})
			if want := [2]bool{true, tt.doubted}; hour != want {
				t.Errorf("moved, jumped = %v, want %v", hour, want)
			}
		})
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	from, to := start.Add(time.Hour), start.Add(2*time.Hour)
	k, again := newKiosk("K-1", planned(fault.Relocation, 900, from, to)), newKiosk("K-1", planned(fault.Relocation, 900, from, to))
	for at := start; at.Before(to.Add(time.Hour)); at = at.Add(10 * time.Second) {
		k.at(at)
		again.at(at)
		kept, err := json.Marshal(again.state)
		if err != nil {
			t.Fatal(err)
		}
		again.state = State{}
		if err := json.Unmarshal(kept, &again.state); err != nil {
			t.Fatal(err)
		}
		if again.state != k.state {
			t.Fatalf("at %s: %+v, want %+v", at, again.state, k.state)
		}
	}
}

func TestWhatIsNotKnownHasNoValue(t *testing.T) {
	w := New(Config{})
	located := fleet.Reading{Time: start, Values: []fleet.Value{{Metric: "location.lat", Value: 1}, {Metric: "location.lng", Value: 1}}}
	older := located
	older.Time, older.Values = start.Add(-time.Hour), []fleet.Value{{Metric: "location.lat", Value: 2}, {Metric: "location.lng", Value: 1}}
	for _, tt := range []struct {
		name     string
		readings []*fleet.Reading
		place    *fleet.Location
		distance float64
		known    bool
	}{
		{"no assigned place", []*fleet.Reading{&located}, nil, 0, false},
		{"no position", []*fleet.Reading{{Time: start}}, &place, 0, false},
		{"both", []*fleet.Reading{&located}, &fleet.Location{Lat: 1, Lng: 1}, 0, true},
		{"a late reading changes nothing", []*fleet.Reading{&located, &older}, &fleet.Location{Lat: 1, Lng: 1}, 0, true},
	} {
		var s State
		for _, r := range tt.readings {
			w.Step(&s, r, tt.place, "")
		}
		if got, ok := s.Value(Distance); ok != tt.known || got != tt.distance {
			t.Errorf("%s: distance %v, %v", tt.name, got, ok)
		}
	}
}
