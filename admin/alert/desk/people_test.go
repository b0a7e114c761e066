package desk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// fields lists the fields that a validation error names.
func fields(err error) string {
	var v *fleet.ValidationError
	if !errors.As(err, &v) {
		return ""
	}
	var out []string
	for _, f := range v.Violations {
		out = append(out, f.Field)
	}
	return strings.Join(out, " ")
}

func isMissing(err error) bool { return errors.Is(err, fleet.ErrNotFound) }

func TestWhatPeopleDoToAnAlert(t *testing.T) {
	inWorld(t, map[string]int{"T2": 5}, func(w *world) {
		ctx, d, id := context.Background(), w.desk, "cash_full/T2-0"
		w.apply(opened("cash_full", "T2-0"))
		w.news()
		for _, tt := range []struct {
			name string
			do   func() (fleet.Alert, error)
			want string // event
			ok   func(a fleet.Alert) bool
		}{
			{"acknowledge", func() (fleet.Alert, error) { return d.Acknowledge(ctx, id, "on my way", "ana") },
				"acknowledged cash_full/T2-0 ana on my way", func(a fleet.Alert) bool { return a.AcknowledgedBy == "ana" && a.AcknowledgedAt != nil }},
			{"acknowledge what is acknowledged", func() (fleet.Alert, error) { return d.Acknowledge(ctx, id, "me too", "ben") },
				"commented cash_full/T2-0 ben me too", func(a fleet.Alert) bool { return a.AcknowledgedBy == "ana" }},
			{"assign", func() (fleet.Alert, error) { return d.Assign(ctx, id, "ben", "ana") },
				"assigned cash_full/T2-0 ana to ben", func(a fleet.Alert) bool { return a.Assignee == "ben" }},
			{"assign to the same", func() (fleet.Alert, error) { return d.Assign(ctx, id, "ben", "ana") },
				"", func(a fleet.Alert) bool { return a.Assignee == "ben" }},
			{"take it away", func() (fleet.Alert, error) { return d.Assign(ctx, id, "", "ana") },
				"assigned cash_full/T2-0 ana to nobody", func(a fleet.Alert) bool { return a.Assignee == "" }},
			{"unacknowledge", func() (fleet.Alert, error) { return d.Unacknowledge(ctx, id, "ana") },
				"unacknowledged cash_full/T2-0 ana it was acknowledged by ana", func(a fleet.Alert) bool { return a.AcknowledgedAt == nil && a.AcknowledgedBy == "" }},
			{"snooze", func() (fleet.Alert, error) { return d.Snooze(ctx, id, time.Now().Add(time.Hour), "after lunch", "ana") },
				"snoozed cash_full/T2-0 ana until 2000-01-01T01:00:00Z: after lunch", func(a fleet.Alert) bool { return a.SnoozedUntil != nil }},
			{"wake", func() (fleet.Alert, error) { return d.Snooze(ctx, id, time.Time{}, "", "ana") },
				"awake cash_full/T2-0 ana", func(a fleet.Alert) bool { return a.SnoozedUntil == nil }},
			{"comment", func() (fleet.Alert, error) { return w.alert(id), d.Comment(ctx, id, "the van is late", "ana") },
				"commented cash_full/T2-0 ana the van is late", func(fleet.Alert) bool { return true }},
			{"resolve", func() (fleet.Alert, error) { return d.Resolve(ctx, id, "emptied", "ben") },
				"resolved cash_full/T2-0 ben emptied", func(a fleet.Alert) bool { return !a.Open() && a.ResolvedWhy == fleet.ResolvedPerson }},
		} {
			before := w.alert(id).UpdatedAt
			a, err := tt.do()
			if err != nil || !tt.ok(a) || !tt.ok(w.alert(id)) {
				t.Errorf("%s: %v, %+v", tt.name, err, a)
			}
			if got := w.news(); got != tt.want {
				t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
			}
			if tt.name != "comment" && !w.alert(id).UpdatedAt.After(before) {
				t.Errorf("%s: the alert's UpdatedAt did not grow", tt.name)
			}
		}

		// Until its condition was clear once, the engine holds it to be open.
		w.apply([]fleet.AlertChange{change(fleet.AlertEventReason, alertOf("cash_full", "T2-0"))}, ended("cash_full", "T2-0"))
		w.wantNews("the engine goes on with it")
		w.must(d.Comment(ctx, id, "the lock is worn", "ben"))
		w.wantNews("a comment afterwards", "commented cash_full/T2-0 ben the lock is worn")
		again := alertOf("cash_full", "T2-0")
		again.ID = "cash_full/T2-0/2"
		w.apply([]fleet.AlertChange{change(fleet.AlertEventOpened, again)})
		w.wantNews("it is full again", "opened cash_full/T2-0/2 cash_full holds")

		timeline, err := d.AlertTimeline(ctx, id, 0, 3)
		w.must(err)
		if len(timeline) != 3 || timeline[0].Text != "the lock is worn" || timeline[2].Text != "the van is late" {
			t.Errorf("%v", timeline)
		}
		older, err := d.AlertTimeline(ctx, id, timeline[2].ID, 100)
		w.must(err)
		if len(older) != 8 || older[7].Kind != fleet.AlertEventOpened {
			t.Errorf("%d older events", len(older))
		}
	})
}

func TestWhatPeopleCannotDo(t *testing.T) {
	inWorld(t, map[string]int{"T2": 5}, func(w *world) {
		ctx, d := context.Background(), w.desk
		w.apply(opened("cash_full", "T2-0", "T2-1"))
		w.apply(ended("cash_full", "T2-1"))
		w.news()
		long := strings.Repeat("x", 2001)
		alert := func(_ fleet.Alert, err error) error { return err }
		incident := func(_ fleet.Incident, err error) error { return err }
		for _, tt := range []struct {
			name   string
			err    error
			fields string // empty: not found
		}{
			{"acknowledge the unknown", alert(d.Acknowledge(ctx, "x", "", "ana")), ""},
			{"comment on the unknown", d.Comment(ctx, "x", "hello", "ana"), ""},
			{"acknowledge an unknown incident", incident(d.AcknowledgeIncident(ctx, "x", "", "ana")), ""},
			{"comment on an unknown incident", d.CommentIncident(ctx, "x", "hello", "ana"), ""},
			{"acknowledge what is over", alert(d.Acknowledge(ctx, "cash_full/T2-1", "", "ana")), "id"},
			{"assign what is over", alert(d.Assign(ctx, "cash_full/T2-1", "ben", "ana")), "id"},
			{"snooze what is over", alert(d.Snooze(ctx, "cash_full/T2-1", time.Now().Add(time.Hour), "", "ana")), "id"},
			{"resolve what is over", alert(d.Resolve(ctx, "cash_full/T2-1", "done", "ana")), "id"},
			{"resolve without a word", alert(d.Resolve(ctx, "cash_full/T2-0", " ", "ana")), "comment"},
			{"comment nothing", d.Comment(ctx, "cash_full/T2-0", "", "ana"), "comment"},
			{"a novel", alert(d.Acknowledge(ctx, "cash_full/T2-0", long, "ana")), "comment"},
			{"a crowd", alert(d.Assign(ctx, "cash_full/T2-0", long, "ana")), "assignee"},
			{"snooze into the past", alert(d.Snooze(ctx, "cash_full/T2-0", time.Now(), "", "ana")), "until"},
			{"snooze for ever", alert(d.Snooze(ctx, "cash_full/T2-0", time.Now().Add(31*24*time.Hour), "", "ana")), "until"},
		} {
			if tt.fields == "" && !isMissing(tt.err) || fields(tt.err) != tt.fields {
				t.Errorf("%s: %v", tt.name, tt.err)
			}
		}
		if news := w.news(); news != "" {
			t.Errorf("something happened: %s", news)
		}
		if _, err := d.AlertTimeline(ctx, "x", 0, 10); !isMissing(err) {
			t.Errorf("the timeline of the unknown: %v", err)
		}
		if _, err := d.IncidentTimeline(ctx, "x", 0, 10); !isMissing(err) {
			t.Errorf("the timeline of an unknown incident: %v", err)
		}
	})
}

func TestSnoozesEndAtTheirTime(t *testing.T) {
	inWorld(t, map[string]int{"T2": 3}, func(w *world) {
		ctx := context.Background()
		w.apply(opened("offline", serials("T2", 3)...))
		id := w.incidents()[0].ID
		_, err := w.desk.Snooze(ctx, "offline/T2-0", time.Now().Add(time.Hour), "", "ana")
		w.must(err)
		_, err = w.desk.SnoozeIncident(ctx, id, time.Now().Add(2*time.Hour), "", "ana")
		w.must(err)
		w.news()
		w.after(time.Hour - 1)
		w.wantNews("just before the first ends")
		w.after(1)
		w.wantNews("the first ends", "awake offline/T2-0 no longer snoozed: offline holds")
		w.restart()
		w.after(time.Hour)
		w.wantNews("the second ends", "awake incident no longer snoozed: T2: 3 of 3 kiosks offline")
		if i := w.incidents()[0]; i.SnoozedUntil != nil || w.alert("offline/T2-0").SnoozedUntil != nil {
			t.Errorf("%+v", i)
		}
	})
}

func TestWhatPeopleDoToAnIncident(t *testing.T) {
	inWorld(t, map[string]int{"T2": 4}, func(w *world) {
		ctx, d := context.Background(), w.desk
		w.apply(opened("offline", serials("T2", 3)...))
		id := w.incidents()[0].ID
		_, err := d.Acknowledge(ctx, "offline/T2-1", "mine", "ben")
		w.must(err)
		w.news()

		i, err := d.AcknowledgeIncident(ctx, id, "the power is out", "ana")
		w.must(err)
		w.wantNews("acknowledged", "acknowledged incident ana the power is out",
			"acknowledged offline/T2-0 ana with its incident", "acknowledged offline/T2-2 ana with its incident")
		if i.AcknowledgedBy != "ana" || w.alert("offline/T2-0").AcknowledgedBy != "ana" || w.alert("offline/T2-1").AcknowledgedBy != "ben" {
			t.Errorf("%+v", i)
		}
		_, err = d.AssignIncident(ctx, id, "eva", "ana")
		w.must(err)
		w.must(d.CommentIncident(ctx, id, "they come at noon", "eva"))
		w.wantNews("assigned and commented", "assigned incident ana to eva", "commented incident eva they come at noon")
		w.restart()
		d = w.desk
		w.apply(opened("offline", "T2-3"))
		w.wantNews("another joins", "opened offline/T2-3 offline holds", "joined offline/T2-3 T2: 4 of 4 kiosks offline")
		if i := w.incidents()[0]; i.AcknowledgedBy != "ana" || i.Assignee != "eva" || i.Open != 4 {
			t.Errorf("%+v", i)
		}
		_, err = d.UnacknowledgeIncident(ctx, id, "ana")
		w.must(err)
		if n := strings.Count(w.news(), "unacknowledged"); n != 4 {
			t.Errorf("%d events, not one of the incident and one of each acknowledged alert", n)
		}
		i, err = d.ResolveIncident(ctx, id, "power is back", "ana")
		w.must(err)
		if i.State != fleet.AlertResolved || i.ResolvedAt == nil || i.Open != 0 {
			t.Errorf("%+v", i)
		}
		w.wantOpen("resolved by hand", 0, 0)
		if _, err := d.AcknowledgeIncident(ctx, id, "", "ana"); fields(err) != "id" {
			t.Errorf("acknowledge what is over: %v", err)
		}
		w.must(d.CommentIncident(ctx, id, "a fuse", "ana"))
		timeline, err := d.IncidentTimeline(ctx, id, 0, 100)
		w.must(err)
		kinds := map[fleet.AlertEventKind]int{}
		for _, e := range timeline {
			kinds[e.Kind]++
		}
		if timeline[0].Text != "a fuse" || kinds[fleet.AlertEventOpened] != 5 || kinds[fleet.AlertEventJoined] != 4 || kinds[fleet.AlertEventResolved] != 5 {
			t.Errorf("%v", kinds)
		}
	})
}

func TestStatistics(t *testing.T) {
	inWorld(t, map[string]int{"T2": 20, "Gate": 20}, func(w *world) {
		ctx, from := context.Background(), time.Now()
		w.apply(opened("cash_full", "T2-0", "Gate-0"), opened("offline", "T2-1"))
		w.after(10 * time.Minute)
		_, err := w.desk.Acknowledge(ctx, "cash_full/T2-0", "", "ana")
		w.must(err)
		w.after(20 * time.Minute)
		_, err = w.desk.Acknowledge(ctx, "offline/T2-1", "", "ana")
		w.must(err)
		w.apply(ended("offline", "T2-1"))
		w.after(30 * time.Minute)
		w.apply(ended("cash_full", "T2-0"))
		s, err := w.desk.AlertStatistics(ctx, from, time.Now())
		w.must(err)
		if s.Opened != 3 || s.Acknowledged != 2 || s.Resolved != 2 || s.MTTA != 20*time.Minute || s.MTTR != 45*time.Minute {
			t.Errorf("%+v", s)
		}
		if len(s.ByRule) != 2 || s.ByRule[0] != (fleet.AlertCount{Name: "cash_full", Count: 2, MTTASeconds: 600, MTTRSeconds: 3600}) {
			t.Errorf("by rule: %+v", s.ByRule)
		}
		if len(s.BySite) != 2 || s.BySite[0] != (fleet.AlertCount{Name: "T2", Count: 2, MTTASeconds: 1200, MTTRSeconds: 2700}) {
			t.Errorf("by site: %+v", s.BySite)
		}
		if s, err = w.desk.AlertStatistics(ctx, time.Now(), time.Now().Add(time.Hour)); err != nil || s.Opened != 0 || s.MTTA != 0 {
			t.Errorf("of a time without alerts: %+v, %v", s, err)
		}
	})
}

func TestOldAlertsGo(t *testing.T) {
	inWorld(t, map[string]int{"T2": 3, "Gate": 9}, func(w *world) {
		w.keep = 10 * time.Hour
		w.restart()
		w.apply(opened("offline", serials("T2", 3)...), opened("cash_full", "Gate-0"))
		w.apply(ended("offline", serials("T2", 3)...))
		w.after(10 * time.Hour)
		if len(w.incidents()) != 1 {
			t.Fatal("gone too early")
		}
		w.after(time.Hour)
		if n := len(w.incidents()); n != 0 {
			t.Errorf("%d incidents are kept", n)
		}
		w.wantOpen("what is open stays", 1, 0)
		events, err := w.store.AlertEvents(context.Background(), 0, 100)
		w.must(err)
		if len(events) != 1 || events[0].AlertID != "cash_full/Gate-0" {
			t.Errorf("%v", events)
		}
	})
}
