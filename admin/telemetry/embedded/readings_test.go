package embedded

import (
	"fmt"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestReadingsAreThoseThatWereAppended(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, _, ok := s.Span(); ok {
		t.Error("an empty store has a span")
	}
	if kiosks, err := s.Kiosks(t.Context()); err != nil || len(kiosks) != 0 {
		t.Errorf("an empty store has %v, %v", kiosks, err)
	}
	at := func(minutes int) time.Time { return time.Date(2026, 3, 2, 12, minutes, 0, 0, time.UTC) }
	r := func(serial, site string, minutes int, values ...fleet.Value) fleet.Reading {
		return fleet.Reading{Serial: serial, Site: site, Time: at(minutes), Values: values}
	}
	want := []fleet.Reading{
		r("K-1", "hall-1", -24*60, fleet.Value{Metric: "a.b", Value: 1}, fleet.Value{Metric: "hardware.cpu_temp", Value: 40}),
		r("K-1", "", 0, fleet.Value{Metric: "a.b", Value: 2}),
		r("K-1", "hall-1", 1, fleet.Value{Metric: "a.b", Value: -0.5}, fleet.Value{Metric: "a_b.c", Value: 3}),
		r("K-1", "hall-2", 2, fleet.Value{Metric: "a.b", Value: 4}),
	}
	late := []fleet.Reading{want[2], want[3], r("K-2", "hall-1", 1, fleet.Value{Metric: "a.b", Value: 9}), want[0], want[1]}
	if err := s.Append(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	from, to, ok := s.Span()
	if !ok || from.After(at(-24*60)) || to.Before(at(2)) {
		t.Errorf("span %v to %v, %v", from, to, ok)
	}
	if kiosks, err := s.Kiosks(t.Context()); err != nil || fmt.Sprint(kiosks) != "[K-1 K-2]" {
		t.Errorf("kiosks %v, %v", kiosks, err)
	}
	got, err := s.Readings(t.Context(), "K-1", at(-48*60), at(3))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	got, err = s.Readings(t.Context(), "K-1", at(0), at(2)) // from is included, to is not
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want[1:3]) {
		t.Errorf("got %v, %v\nwant %v", got, err, want[1:3])
	}
}
