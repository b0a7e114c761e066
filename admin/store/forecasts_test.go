package store

import (
	"reflect"
	"testing"

	"kioskfleet/admin/fleet"
)

func TestDerivedStatesAreKeptAsLongAsTheirKiosk(t *testing.T) {
	s := open(t)
	addKiosk(t, s, "K-1")
	addKiosk(t, s, "K-2")
	one := fleet.DerivedState{Serial: "K-1", Source: fleet.Source{Record: 1 << 40, Item: 3}, Data: []byte(`{"a":1}`)}
	two := fleet.DerivedState{Serial: "K-2", Source: fleet.Source{Record: 5}, Data: []byte(`{}`)}
	must(t, s.SaveDerived(t.Context(), []fleet.DerivedState{one, {Serial: "GONE", Data: []byte("x")}}, now))
	one.Source.Item, one.Data = 4, []byte(`{"a":2}`)
	must(t, s.SaveDerived(t.Context(), []fleet.DerivedState{one, two}, now))
	if got, err := s.Derived(t.Context()); err != nil || !reflect.DeepEqual(got, []fleet.DerivedState{one, two}) {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, s.DeleteKiosk(t.Context(), "K-1", "ana", now))
	if got, err := s.Derived(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("after the kiosk was deleted: %+v, %v", got, err)
	}
	addKiosk(t, s, "K-1")
	if got, err := s.Derived(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("another kiosk with that serial begins with %+v, %v", got, err)
	}
}
