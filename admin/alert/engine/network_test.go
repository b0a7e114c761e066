package engine

import (
	"testing"

	"kioskfleet/admin/fleet"
)

func TestNetwork(t *testing.T) {
	carrier := &fleet.Reading{Texts: []fleet.Text{{Metric: "network.carrier", Text: "Movistar"}}}
	for _, c := range []struct {
		name    string
		reading *fleet.Reading
		live    *fleet.Live
		want    string
	}{
		{"nothing", nil, nil, ""},
		{"it says so", carrier, &fleet.Live{Remote: "203.0.113.7"}, "Movistar"},
		{"by its address", &fleet.Reading{}, &fleet.Live{Remote: "203.0.113.7"}, "203.0.113.7"},
		{"by its address, IPv6", nil, &fleet.Live{Remote: "2001:db8::1"}, "2001:db8::1"},
		{"the same machine", nil, &fleet.Live{Remote: "127.0.0.1"}, ""},
		{"a private network", nil, &fleet.Live{Remote: "192.168.0.7"}, ""},
		{"not known", nil, &fleet.Live{}, ""},
	} {
		if got := Network(c.reading, c.live); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
