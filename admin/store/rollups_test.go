package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// rollups lists what is there as day serial data.
func rollups(t *testing.T, s *Store, metric string, serials []string, first, last int64) []string {
	t.Helper()
	out := []string{}
	must(t, s.Rollups(t.Context(), metric, serials, first, last, func(serial string, day int64, data []byte) error {
		out = append(out, fmt.Sprintf("%d %s %s", day, serial, data))
		return nil
	}))
	return out
}

func TestRollupsAreKeptByDayMetricAndKiosk(t *testing.T) {
	s := open(t)
	must(t, s.SaveRollups(t.Context(), []fleet.Rollup{
		{Metric: "a.b", Serial: "K-2", Day: 7, Data: []byte("first")}, {Metric: "a.b", Serial: "K-1", Day: 7, Data: []byte("x")},
		{Metric: "a.b", Serial: "K-2", Day: 8, Data: []byte("y")}, {Metric: "a.c", Serial: "K-2", Day: 7, Data: []byte("z")},
	}, nil))
	must(t, s.SaveRollups(t.Context(), []fleet.Rollup{{Metric: "a.b", Serial: "K-2", Day: 7, Data: []byte("second")}}, nil))
	for _, c := range []struct {
		name        string
		serials     []string
		first, last int64
		want        []string
	}{
		{"all", nil, 0, 10, []string{"7 K-1 x", "7 K-2 second", "8 K-2 y"}},
		{"one kiosk", []string{"K-2"}, 7, 8, []string{"7 K-2 second", "8 K-2 y"}},
		{"one day", []string{"K-2", "K-1", "K-3"}, 7, 7, []string{"7 K-1 x", "7 K-2 second"}},
		{"no kiosk", []string{}, 0, 10, []string{}},
		{"no day", nil, 9, 10, []string{}},
	} {
		if got := rollups(t, s, "a.b", c.serials, c.first, c.last); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	many := []string{"K-2", "K-1"}
	for i := range 2 * serialsPerStatement {
		many = append(many, fmt.Sprintf("none-%d", i))
	}
	if got := rollups(t, s, "a.b", many, 0, 10); !slices.Equal(got, []string{"7 K-1 x", "7 K-2 second", "8 K-2 y"}) {
		t.Errorf("many kiosks: %q", got)
	}
}

func TestAMarkThatIsSetAgainOutlivesItsRollup(t *testing.T) {
	s := open(t)
	must(t, s.MarkRollups(t.Context(), []fleet.RollupMark{{Serial: "K-1", Day: 7, Late: true}, {Serial: "K-2", Day: 8}, {Serial: "", Day: 9}}))
	seen, err := s.RollupMarks(t.Context())
	must(t, err)
	if want := []fleet.RollupMark{{Day: 9, Version: 1}, {Serial: "K-2", Day: 8, Version: 1}, {Serial: "K-1", Day: 7, Version: 1, Late: true}}; !slices.Equal(seen, want) {
		t.Fatalf("got %v, want %v", seen, want)
	}
	must(t, s.MarkRollups(t.Context(), []fleet.RollupMark{{Serial: "K-1", Day: 7}, {Serial: "K-2", Day: 8, Late: true}}))
	must(t, s.SaveRollups(t.Context(), nil, seen))
	left, err := s.RollupMarks(t.Context())
	must(t, err)
	if want := []fleet.RollupMark{{Serial: "K-2", Day: 8, Version: 2, Late: true}, {Serial: "K-1", Day: 7, Version: 2, Late: true}}; !slices.Equal(left, want) {
		t.Errorf("got %v, want %v", left, want)
	}
}

func TestTheProgressOfRollupsIsKept(t *testing.T) {
	s := open(t)
	if p, err := s.RollupProgress(t.Context()); err != nil || p != (fleet.RollupProgress{}) {
		t.Errorf("at first: %v, %v", p, err)
	}
	want := fleet.RollupProgress{From: now, Until: now.Add(time.Hour), Target: now.Add(2 * time.Hour)}
	must(t, s.SaveRollupProgress(t.Context(), want))
	if p, err := s.RollupProgress(t.Context()); err != nil || p != want {
		t.Errorf("got %v, %v, want %v", p, err, want)
	}
}

func TestOneProcessAtATimeWorksOnRollups(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		owner     string
		at, until time.Duration
		want      bool
	}{
		{"a", 0, time.Minute, true},
		{"b", time.Second, time.Minute, false},
		{"a", 2 * time.Second, 2 * time.Minute, true},
		{"b", 2*time.Minute - 1, time.Hour, false},
		{"b", 2 * time.Minute, 3 * time.Minute, true},
		{"a", 150 * time.Second, time.Hour, false},
		{"b", 151 * time.Second, 0, true}, // given back
		{"a", 152 * time.Second, time.Hour, true},
	} {
		got, err := s.LeaseRollups(t.Context(), c.owner, now.Add(c.at), now.Add(c.until))
		if err != nil || got != c.want {
			t.Errorf("%s after %v: %t, %v", c.owner, c.at, got, err)
		}
	}
}

func TestOldRollupsGo(t *testing.T) {
	s := open(t)
	for day := int64(1); day <= 4; day++ {
		must(t, s.SaveRollups(t.Context(), []fleet.Rollup{{Metric: "a.b", Serial: "K-1", Day: day, Data: []byte("x")}, {Metric: "a.c", Serial: "K-1", Day: day, Data: []byte("x")}}, nil))
		must(t, s.MarkRollups(t.Context(), []fleet.RollupMark{{Serial: "K-1", Day: day}}))
	}
	n, err := s.DeleteRollups(t.Context(), 3)
	if err != nil || n != 4 {
		t.Errorf("%d removed, %v", n, err)
	}
	if n, err := s.DeleteRollups(t.Context(), 3); err != nil || n != 0 {
		t.Errorf("again %d, %v", n, err)
	}
	if got := rollups(t, s, "a.b", nil, 0, 9); !slices.Equal(got, []string{"3 K-1 x", "4 K-1 x"}) {
		t.Errorf("left: %q", got)
	}
	if marks, err := s.RollupMarks(t.Context()); err != nil || len(marks) != 2 {
		t.Errorf("marks %v, %v", marks, err)
	}
}
