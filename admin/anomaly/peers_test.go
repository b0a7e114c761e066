package anomaly

import (
	"fmt"
	"testing"
	"time"
)

func TestKiosksAreComparedWithTheirSiblingsOncePerHour(t *testing.T) {
	var many, few []string
	for i := range 12 {
		many = append(many, fmt.Sprint("K-A", i))
	}
	for i := range 3 {
		few = append(few, fmt.Sprint("K-B", i))
	}
	s := newStage(t, append(many, few...)...)
	for _, serial := range few {
		s.kiosks[serial].Site = "hall"
	}
	const hours, perHour = 30, 12
	states := func() map[string]string {
		out := map[string]string{}
		for serial := range s.kiosks {
			out[serial] = detectors(s, serial)
		}
		return out
	}
	for h := range hours {
		for serial := range s.kiosks {
			s.live(serial, h*perHour, (h+1)*perHour+1) // the reading that shows that the hour is over
		}
		before := states()
		s.compare(t.Context(), monday.Add(time.Duration(h)*time.Hour))
		after := states()
		for _, serial := range many {
			if before[serial] == after[serial] {
				t.Fatalf("hour %d: %s was not compared", h, serial)
			}
		}
		for _, serial := range few {
			if before[serial] != after[serial] {
				t.Fatalf("hour %d: %s was compared, with two", h, serial)
			}
		}
		s.compare(t.Context(), monday.Add(time.Duration(h)*time.Hour))
		for serial, state := range states() {
			if state != after[serial] {
				t.Fatalf("hour %d: %s was compared twice", h, serial)
			}
		}
	}
	s.must(s.Finish(t.Context()))
	after := states()
	s.start()
	s.compare(t.Context(), monday.Add((hours-1)*time.Hour))
	for serial, state := range states() {
		if state != after[serial] {
			t.Errorf("%s was compared again after a restart", serial)
		}
	}
}
