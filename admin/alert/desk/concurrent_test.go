package desk_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// Eight shards of the engine apply changes, kiosks come and go, and people work, all at the same time. What is in
// memory and in SQL afterwards is the same, and every alert and incident has one beginning and one end.
func TestManyAtOnce(t *testing.T) {
	inWorld(t, map[string]int{"T2": 8, "Gate": 8}, func(w *world) {
		ctx := context.Background()
		ok := func(err error) { // must would end the wrong goroutine
			if err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for shard := range 8 {
			all.Go(func() {
				for round := range 10 {
					for _, site := range []string{"T2", "Gate"} {
						serial := fmt.Sprintf("%s-%d", site, shard)
						a := alertOf("offline", serial)
						a.ID = fmt.Sprintf("%s/%d", a.ID, round)
						ok(w.desk.Apply(ctx, []fleet.AlertChange{change(fleet.AlertEventOpened, a)}, nil))
						w.desk.Changed(serial)
						if _, err := w.desk.Acknowledge(ctx, a.ID, "", "ana"); err != nil && fields(err) != "id" {
							t.Error(err)
						}
						ok(w.desk.Apply(ctx, []fleet.AlertChange{change(fleet.AlertEventResolved, a)}, nil))
					}
				}
			})
		}
		all.Go(func() {
			for range 10 {
				s, err := w.desk.CreateSilence(ctx, fleet.Silence{
					Matchers: []fleet.Matcher{{Name: "site", Op: "=", Value: "T2"}}, Until: time.Now().Add(time.Hour), Comment: "x",
				}, "ben")
				ok(err)
				incidents, _, err := w.desk.Incidents(ctx, fleet.IncidentFilter{}, "", 100)
				ok(err)
				for _, i := range incidents {
					if _, err := w.desk.ResolveIncident(ctx, i.ID, "by hand", "ben"); err != nil && fields(err) != "id" {
						t.Error(err)
					}
				}
				_, err = w.desk.EndSilence(ctx, s.ID, "ben")
				ok(err)
			}
		})
		all.Wait()
		w.wantOpen("all is over", 0, 0)

		events, err := w.store.AlertEvents(ctx, 0, 10_000)
		w.must(err)
		begun, over := map[string]int{}, map[string]int{}
		for _, e := range events {
			about := e.AlertID
			if about == "" {
				about = e.IncidentID
			}
			switch e.Kind {
			case fleet.AlertEventOpened:
				begun[about]++
			case fleet.AlertEventResolved:
				over[about]++
			}
		}
		if len(begun) < 160 {
			t.Errorf("%d alerts and incidents began, not 160 alerts", len(begun))
		}
		for about, n := range begun {
			if n != 1 || over[about] != 1 {
				t.Errorf("%s began %d times and ended %d times", about, n, over[about])
			}
		}
	})
}
