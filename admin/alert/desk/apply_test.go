package desk_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestThirtyOfThirtyIsOneIncident(t *testing.T) {
	inWorld(t, map[string]int{"T2": 30}, func(w *world) {
		for _, s := range serials("T2", 30) {
			w.apply(opened("offline", s))
			w.after(100 * time.Millisecond)
		}
		w.wantOpen("thirty went", 30, 1)
		i := w.incidents()[0]
		if i.Title != "T2: 30 of 30 kiosks offline" || i.Open != 30 || i.Kiosks != 30 || i.Site != "T2" || i.Severity != fleet.SeverityWarning {
			t.Errorf("%+v", i)
		}
		if n := strings.Count(w.news(), "opened incident"); n != 1 {
			t.Errorf("%d incidents were told", n)
		}
		w.restart()
		w.apply(ended("offline", serials("T2", 30)[1:]...))
		w.wantOpen("29 are back", 1, 1)
		w.news()
		w.apply(ended("offline", "T2-0"))
		w.wantNews("all are back", "resolved offline/T2-0 it is over", "resolved incident T2: 30 of 30 kiosks offline: over")
		w.wantOpen("all are back", 0, 0)
	})
}

func TestOneOfThirtyIsOneAlert(t *testing.T) {
	inWorld(t, map[string]int{"T2": 30}, func(w *world) {
		w.apply(opened("offline", "T2-7"))
		w.wantNews("one went", "opened offline/T2-7 offline holds")
		w.after(time.Hour)
		w.apply(ended("offline", "T2-7"))
		w.wantNews("it is back", "resolved offline/T2-7 it is over")
		if len(w.incidents()) != 0 {
			t.Errorf("%v", w.incidents())
		}
		a := w.alert("offline/T2-7")
		if a.State != fleet.AlertResolved || a.ResolvedWhy != fleet.ResolvedCleared || a.ResolvedAt == nil || a.ResolvedAt.Sub(a.OpenedAt) != time.Hour {
			t.Errorf("%+v", a)
		}
	})
}

func TestTwoSitesAndASlowTrickle(t *testing.T) {
	inWorld(t, map[string]int{"T2": 4, "Gate": 4, "Pier": 4}, func(w *world) {
		for i := range 4 {
			w.apply(opened("offline", fmt.Sprintf("T2-%d", i), fmt.Sprintf("Gate-%d", i)))
			w.after(10 * time.Second)
		}
		for i := range 4 {
			w.apply(opened("cash_full", fmt.Sprintf("Pier-%d", i)))
			w.after(2 * time.Minute)
		}
		w.wantOpen("two sites failed, one trickles", 12, 2)
	})
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	inWorld(t, map[string]int{"T2": 3}, func(w *world) {
		first := opened("offline", serials("T2", 3)...)
		changed := alertOf("offline", "T2-0")
		changed.Severity, changed.Reason = fleet.SeverityCritical, "gone for an hour"
		flapping := alertOf("offline", "T2-1")
		flapping.Flapping = true
		second := []fleet.AlertChange{change(fleet.AlertEventReason, changed), change(fleet.AlertEventFlapping, flapping)}
		third := ended("offline", "T2-2")
		for _, changes := range [][]fleet.AlertChange{first, second, third} {
			w.apply(changes)
			if news := w.news(); news == "" {
				t.Fatal("nothing happened")
			}
			before := w.alert(changes[0].Alert.ID)
			for _, how := range []string{"again", "once more", "after a restart"} {
				if how == "after a restart" {
					w.restart()
				}
				told := len(w.toldAlerts)
				w.apply(changes)
				w.wantNews("applied " + how)
				if len(w.toldAlerts) != told || !reflect.DeepEqual(w.alert(before.ID), before) {
					t.Errorf("applied %s: it changed", how)
				}
			}
		}
		w.apply(opened("offline", "T2-2")) // it ended before
		w.wantNews("opened again by its old id")
		if i := w.incidents()[0]; i.Severity != fleet.SeverityCritical || i.Open != 2 {
			t.Errorf("%+v", i)
		}
	})
}

func TestAFailedTransactionChangesNothing(t *testing.T) {
	broken := errors.New("the disk is full")
	for _, tt := range []struct {
		name          string
		before, after error
		told          int // alerts, of the first try
	}{
		{"nothing was stored", broken, nil, 0},
		{"all was stored, and nobody knew", nil, broken, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, map[string]int{"T2": 3, "Gate": 3}, func(w *world) {
				w.apply(opened("offline", serials("T2", 3)...))
				w.news()
				w.toldAlerts, w.toldIncidents = nil, nil
				changes := append(opened("offline", serials("Gate", 3)...), ended("offline", "T2-0")...)
				w.store.refuse(tt.before, tt.after)
				if err := w.desk.Apply(context.Background(), changes, nil); !errors.Is(err, broken) {
					t.Fatal(err)
				}
				if len(w.toldAlerts) != 0 {
					t.Errorf("observers were told of %d alerts", len(w.toldAlerts))
				}
				w.store.refuse(nil, nil)
				w.apply(changes) // as the engine does
				w.wantOpen("tried again", 5, 2)
				if n := strings.Count(w.news(), "opened incident"); n != 1 {
					t.Errorf("the second incident was told %d times", n)
				}
				w.apply(ended("offline", append(serials("Gate", 3), "T2-1", "T2-2")...))
				w.wantOpen("all is over", 0, 0)
			})
		})
	}
}

func TestTheEngineBeginsAnew(t *testing.T) {
	inWorld(t, map[string]int{"T2": 3}, func(w *world) {
		w.apply(opened("offline", "T2-0"))
		w.news()
		again := alertOf("offline", "T2-0")
		again.ID += "/later"
		w.apply([]fleet.AlertChange{change(fleet.AlertEventOpened, again)})
		w.wantNews("another alert of the same rule and kiosk", "resolved offline/T2-0 it is over", "opened offline/T2-0/later offline holds")
		w.wantOpen("then", 1, 0)
	})
}

func TestFlapping(t *testing.T) {
	const held = "it came and went so often that it is held open"
	inWorld(t, map[string]int{"T2": 9}, func(w *world) {
		a := alertOf("latency_high", "T2-0")
		a.Flapping = true
		w.apply([]fleet.AlertChange{change(fleet.AlertEventOpened, a), change(fleet.AlertEventFlapping, a)})
		w.wantNews("it opens held open", "opened latency_high/T2-0 latency_high holds", "flapping latency_high/T2-0 "+held)
		b := alertOf("latency_high", "T2-1")
		w.apply([]fleet.AlertChange{change(fleet.AlertEventOpened, b)})
		b.Flapping = true
		w.apply([]fleet.AlertChange{change(fleet.AlertEventFlapping, b)})
		w.wantNews("it is held open later", "opened latency_high/T2-1 latency_high holds", "flapping latency_high/T2-1 "+held)
		if !w.alert(a.ID).Flapping || !w.alert(b.ID).Flapping {
			t.Error("the alerts do not say so")
		}
		w.apply(ended("latency_high", "T2-0"))
		if w.alert(a.ID).Flapping {
			t.Error("it is resolved and still held open")
		}
	})
}

func TestAWrongChange(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if err := w.desk.Apply(context.Background(), []fleet.AlertChange{{Kind: fleet.AlertEventCommented}}, nil); err == nil {
			t.Error("the engine may comment")
		}
	})
}
