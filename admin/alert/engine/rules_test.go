package engine

import (
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestKiosksWithTheSameRulesShareTheirList(t *testing.T) {
	rules := compiled(t,
		fleet.Rule{Name: "all", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 80"},
		fleet.Rule{Name: "north", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 70", Scope: fleet.RuleScope{Sites: []string{"north"}}},
	)
	names := func(k *fleet.Kiosk) (out []string) {
		for _, r := range rules.For(k) {
			out = append(out, r.Definition().Name)
		}
		return out
	}
	one, two := &fleet.Kiosk{Serial: "K-1", Site: "north"}, &fleet.Kiosk{Serial: "K-2", Site: "north"}
	other := &fleet.Kiosk{Serial: "K-3", Site: "south"}
	for _, k := range []*fleet.Kiosk{one, two} {
		if got := names(k); !slices.Equal(got, []string{"all", "north"}) {
			t.Errorf("rules of %s: %q", k.Serial, got)
		}
	}
	if &rules.For(one)[0] != &rules.For(two)[0] {
		t.Error("two kiosks with the same rules have a list each")
	}
	if got := names(other); !slices.Equal(got, []string{"all"}) {
		t.Errorf("rules of another site: %q", got)
	}
	moved := *one
	moved.Site, moved.UpdatedAt = "south", time.Unix(1, 0)
	if got := names(&moved); !slices.Equal(got, []string{"all"}) {
		t.Errorf("rules after it moved: %q", got)
	}
	if got := names(two); !slices.Equal(got, []string{"all", "north"}) {
		t.Errorf("rules of the kiosk that stayed: %q", got)
	}
}
