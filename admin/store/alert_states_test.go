package store

import (
	"testing"

	"kioskfleet/admin/fleet"
)

func TestAlertStates(t *testing.T) {
	s := open(t)
	state := fleet.AlertEngineState{Serial: "K-1", Source: fleet.Source{Record: 5, Item: 2}, Data: []byte("{}")}
	platform := fleet.AlertEngineState{Data: []byte("{}")}
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{States: []fleet.AlertEngineState{state, platform}}))
	got, err := s.AlertStates(t.Context())
	if err != nil || len(got) != 2 || got[1].Serial != "K-1" || got[1].Source != state.Source || string(got[1].Data) != "{}" {
		t.Fatalf("got %+v, %v", got, err)
	}
	// A kiosk that is gone leaves nothing, also one of which nothing was kept.
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{States: []fleet.AlertEngineState{{Serial: "K-1"}, {Serial: "K-2"}}}))
	if got, err = s.AlertStates(t.Context()); err != nil || len(got) != 1 || got[0].Serial != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}
