package desk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const heldBack = "held back: the kiosk is not there"

func TestOfflineHoldsBackWhatFollowsFromIt(t *testing.T) {
	inWorld(t, map[string]int{"T2": 5}, func(w *world) {
		w.apply(opened("cpu_temp_high", "T2-0"), opened("disk_usage_high", "T2-0"), opened("left_location", "T2-0"))
		w.news()
		w.present("T2-0", fleet.PresenceOffline)
		w.wantNews("it went", "suppressed cpu_temp_high/T2-0 "+heldBack, "suppressed disk_usage_high/T2-0 "+heldBack)
		w.apply(opened("offline", "T2-0"), opened("cash_full", "T2-0"))
		w.wantNews("its alert", "opened offline/T2-0 offline holds", "opened cash_full/T2-0 cash_full holds", "suppressed cash_full/T2-0 "+heldBack)

		w.after(time.Hour)
		w.present("T2-0", fleet.PresenceOnline)
		w.apply(ended("offline", "T2-0"))
		w.wantNews("it is back", "resolved offline/T2-0 it is over")
		w.after(10 * time.Second)
		w.apply(ended("cpu_temp_high", "T2-0"), opened("latency_high", "T2-0"))
		w.wantNews("a first value cleared one, and opened one", "resolved cpu_temp_high/T2-0 it is over", "opened latency_high/T2-0 latency_high holds")
		w.after(20*time.Second - 1)
		w.wantNews("just before the grace ends")
		w.after(1)
		w.wantNews("the grace has ended", "released cash_full/T2-0 no longer held back: cash_full holds",
			"released disk_usage_high/T2-0 no longer held back: disk_usage_high holds")

		suppressed := true
		n, err := w.desk.CountAlerts(context.Background(), fleet.AlertFilter{Suppressed: &suppressed})
		w.must(err)
		if n[fleet.SeverityWarning] != 1 || len(n) != 1 {
			t.Errorf("%v alerts are or ended suppressed, not 1: the one that ended within the grace", n)
		}
	})
}

func TestAbsenceThatTellsNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		live *fleet.Live
		want string
	}{
		{"connected and reporting", &fleet.Live{Presence: fleet.PresenceOnline}, ""},
		{"connected and silent", &fleet.Live{Presence: fleet.PresenceStale, PresenceReason: fleet.ReasonNoData}, fleet.SuppressedOffline},
		{"gone", &fleet.Live{Presence: fleet.PresenceOffline, PresenceReason: fleet.ReasonConnectionLost}, fleet.SuppressedOffline},
		{"not back since the platform restarted", &fleet.Live{Presence: fleet.PresenceOffline, PresenceReason: fleet.ReasonAdminRestart}, ""},
		{"unknown", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, map[string]int{"T2": 1}, func(w *world) {
				w.fleet.live["T2-0"] = tt.live
				w.apply(opened("cpu_temp_high", "T2-0"))
				if got := w.alert("cpu_temp_high/T2-0").Suppressed; got != tt.want {
					t.Errorf("suppressed %q, not %q", got, tt.want)
				}
			})
		})
	}
}

func TestAKioskThatIsRemovedReleasesNothing(t *testing.T) {
	inWorld(t, map[string]int{"T2": 2}, func(w *world) {
		w.present("T2-0", fleet.PresenceOffline)
		w.reports("T2-1", protocol.StateMaintenance)
		w.apply(opened("cpu_temp_high", "T2-0", "T2-1"))
		w.news()
		for _, serial := range serials("T2", 2) {
			w.fleet.mu.Lock()
			delete(w.fleet.kiosks, serial)
			delete(w.fleet.live, serial)
			w.fleet.mu.Unlock()
			w.desk.Changed(serial)
		}
		w.after(time.Minute)
		w.wantNews("removed")
	})
}

func TestHeldBackOverARestart(t *testing.T) {
	inWorld(t, map[string]int{"T2": 5}, func(w *world) {
		w.present("T2-0", fleet.PresenceOffline)
		w.apply(opened("cpu_temp_high", "T2-0"))
		w.news()
		w.stop()
		w.live("T2-0", func(l *fleet.Live) { l.PresenceReason = fleet.ReasonAdminRestart })
		w.start()
		w.after(time.Hour)
		w.wantNews("the platform restarted and it is still gone")
		w.present("T2-0", fleet.PresenceOnline)
		w.after(29 * time.Second)
		w.restart()
		w.wantNews("within the grace")
		w.after(time.Second)
		w.wantNews("after the grace", "released cpu_temp_high/T2-0 no longer held back: cpu_temp_high holds")
	})
}

func TestMaintenance(t *testing.T) {
	const inMaintenance = "held back: the kiosk is in maintenance"
	inWorld(t, map[string]int{"T2": 5}, func(w *world) {
		ctx := context.Background()
		w.reports("T2-0", protocol.StateMaintenance)
		w.apply(opened("cpu_temp_high", "T2-0"), opened("left_location", "T2-0"))
		w.wantNews("it says that it is worked on", "opened cpu_temp_high/T2-0 cpu_temp_high holds",
			"opened left_location/T2-0 left_location holds", "suppressed cpu_temp_high/T2-0 "+inMaintenance)
		w.present("T2-0", fleet.PresenceOffline)
		w.apply(opened("offline", "T2-0"))
		w.wantNews("it is switched off for work", "opened offline/T2-0 offline holds", "suppressed offline/T2-0 "+inMaintenance)
		w.apply(ended("offline", "T2-0"))
		w.present("T2-0", fleet.PresenceOnline)
		w.reports("T2-0", protocol.StateOnline)
		w.wantNews("it works again", "resolved offline/T2-0 it is over", "released cpu_temp_high/T2-0 no longer held back: cpu_temp_high holds")

		w.apply(opened("cash_full", "T2-1"))
		w.news()
		_, err := w.desk.CreateMaintenance(ctx, fleet.MaintenanceWindow{
			Scope: fleet.RuleScope{Serials: []string{"T2-1"}}, From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour),
		}, "ana")
		w.must(err)
		w.after(time.Hour - 1)
		w.wantNews("before the window")
		w.after(1)
		w.wantNews("the window begins", "suppressed cash_full/T2-1 "+inMaintenance)
		w.restart()
		w.after(time.Hour)
		w.wantNews("the window ends", "released cash_full/T2-1 no longer held back: cash_full holds")

		window, err := w.desk.CreateMaintenance(ctx, fleet.MaintenanceWindow{
			Scope: fleet.RuleScope{Sites: []string{"T*"}}, Until: time.Now().Add(time.Hour),
		}, "ana")
		w.must(err)
		if n := strings.Count(w.news(), inMaintenance); n != 2 {
			t.Errorf("%d alerts were held back at once, not 2", n)
		}
		w.must(w.desk.DeleteMaintenance(ctx, window.ID, "ana"))
		if n := strings.Count(w.news(), "released"); n != 2 {
			t.Errorf("%d alerts were released, not 2", n)
		}
	})
}

func TestMaintenanceByTheKiosksClock(t *testing.T) {
	// The bubble begins on Saturday, 1 January 2000, at midnight UTC: one o'clock in Madrid, 19:00 of Friday in New York.
	inWorld(t, map[string]int{"T2": 2}, func(w *world) {
		w.fleet.kiosks["T2-1"].Timezone = "America/New_York"
		_, err := w.desk.CreateMaintenance(context.Background(), fleet.MaintenanceWindow{
			Scope: fleet.RuleScope{Sites: []string{"T2"}}, Until: time.Now().Add(48 * time.Hour),
			Schedule: &fleet.Schedule{Days: []string{"sat"}, From: "02:00", To: "04:00"},
		}, "ana")
		w.must(err)
		w.apply(opened("cash_full", "T2-0", "T2-1"))
		w.news()
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{time.Hour, "suppressed cash_full/T2-0"}, {2 * time.Hour, "released cash_full/T2-0"},
			{4 * time.Hour, "suppressed cash_full/T2-1"}, {2 * time.Hour, "released cash_full/T2-1"}, {20 * time.Hour, ""},
		} {
			w.after(step.after - 1)
			w.wantNews("just before " + step.want)
			w.after(1)
			if got := w.news(); !strings.HasPrefix(got, step.want) || strings.Contains(got, "\n") || (got == "") != (step.want == "") {
				t.Errorf("%q, not %q", got, step.want)
			}
		}
	})
}

func TestASilenceInTheMiddle(t *testing.T) {
	inWorld(t, map[string]int{"T2": 20, "Gate": 20}, func(w *world) {
		ctx := context.Background()
		w.apply(opened("cpu_temp_high", "T2-0", "T2-1", "Gate-0"))
		w.news()
		matchers := []fleet.Matcher{{Name: "rule", Op: "=", Value: "cpu_temp_high"}, {Name: "site", Op: "=", Value: "T2"}}
		would, err := w.desk.Preview(ctx, matchers)
		w.must(err)
		if len(would) != 2 || would[0].Site != "T2" || would[1].Site != "T2" {
			t.Errorf("it would silence %v", would)
		}
		s, err := w.desk.CreateSilence(ctx, fleet.Silence{
			Matchers: matchers, From: time.Now().Add(time.Minute), Until: time.Now().Add(time.Hour), Comment: "heat wave",
		}, "ana")
		w.must(err)
		list := func(after string, state fleet.SilenceState) {
			t.Helper()
			for _, each := range []fleet.SilenceState{fleet.SilencePending, fleet.SilenceActive, fleet.SilenceExpired} {
				found, err := w.desk.Silences(ctx, each)
				w.must(err)
				if (len(found) == 1) != (each == state) {
					t.Errorf("%s, %d are %s", after, len(found), each)
				}
			}
		}
		list("before it begins", fleet.SilencePending)
		w.wantNews("before it begins")
		w.after(time.Minute)
		list("it has begun", fleet.SilenceActive)
		text := " silenced by ana until 2000-01-01T01:00:00Z: heat wave"
		w.wantNews("it has begun", "suppressed cpu_temp_high/T2-0"+text, "suppressed cpu_temp_high/T2-1"+text)
		if got := w.alert("cpu_temp_high/T2-0").Suppressed; got != fleet.SuppressedSilence+s.ID {
			t.Errorf("suppressed %q", got)
		}
		w.apply(opened("cpu_temp_high", "T2-2", "Gate-1"))
		w.wantNews("while it holds", "opened cpu_temp_high/T2-2 cpu_temp_high holds", "opened cpu_temp_high/Gate-1 cpu_temp_high holds",
			"suppressed cpu_temp_high/T2-2"+text)
		w.restart()
		w.apply(ended("cpu_temp_high", "T2-0"))
		w.news()
		w.after(59*time.Minute - 1)
		w.wantNews("just before it ends")
		w.after(1)
		w.wantNews("it has ended", "released cpu_temp_high/T2-1 no longer held back: cpu_temp_high holds",
			"released cpu_temp_high/T2-2 no longer held back: cpu_temp_high holds")
		list("it has ended", fleet.SilenceExpired)

		early, err := w.desk.CreateSilence(ctx, fleet.Silence{Matchers: matchers, Until: time.Now().Add(time.Hour), Comment: "again"}, "ana")
		w.must(err)
		w.news()
		_, err = w.desk.EndSilence(ctx, early.ID, "ben")
		w.must(err)
		if n := strings.Count(w.news(), "released"); n != 2 {
			t.Errorf("%d were released when it was ended early", n)
		}
		if _, err = w.desk.EndSilence(ctx, early.ID, "ben"); err == nil {
			t.Error("it ended twice")
		}
	})
}

func TestAnIncidentIsSilencedWithAllOfItsAlerts(t *testing.T) {
	inWorld(t, map[string]int{"T2": 3}, func(w *world) {
		ctx := context.Background()
		w.apply(opened("offline", serials("T2", 3)...))
		w.news()
		_, err := w.desk.CreateSilence(ctx, fleet.Silence{
			Matchers: []fleet.Matcher{{Name: "site", Op: "=", Value: "T2"}}, Until: time.Now().Add(time.Hour), Comment: "works",
		}, "ana")
		w.must(err)
		if news := w.news(); !strings.Contains(news, "suppressed incident silenced by ana") || !strings.HasPrefix(w.incidents()[0].Suppressed, "silence:") {
			t.Error(news)
		}
		w.after(time.Hour)
		if news := w.news(); !strings.Contains(news, "released incident") || w.incidents()[0].Suppressed != "" {
			t.Error(news)
		}
	})
}

func TestSilencesThatAreRefused(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		now := time.Now()
		good := []fleet.Matcher{{Name: "rule", Op: "=", Value: "offline"}}
		for _, tt := range []struct {
			name    string
			silence fleet.Silence
			fields  string
		}{
			{"no matchers", fleet.Silence{Until: now.Add(time.Hour), Comment: "x"}, "matchers"},
			{"matchers for everything", fleet.Silence{Matchers: []fleet.Matcher{{Name: "site", Op: "=~", Value: ".*"}}, Until: now.Add(time.Hour), Comment: "x"}, "matchers"},
			{"no comment, no end", fleet.Silence{Matchers: good}, "until comment"},
			{"an end before the beginning", fleet.Silence{Matchers: good, From: now.Add(2 * time.Hour), Until: now.Add(time.Hour), Comment: "x"}, "until"},
			{"an end that has passed", fleet.Silence{Matchers: good, From: now.Add(-2 * time.Hour), Until: now.Add(-time.Hour), Comment: "x"}, "until"},
			{"more than a year", fleet.Silence{Matchers: good, Until: now.Add(400 * 24 * time.Hour), Comment: "x"}, "until"},
			{"everything at once", fleet.Silence{Matchers: []fleet.Matcher{{Name: "rule", Op: "=~", Value: "("}}}, "until comment matchers[0].value"},
		} {
			_, err := w.desk.CreateSilence(context.Background(), tt.silence, "ana")
			if got := fields(err); got != tt.fields {
				t.Errorf("%s: %v names %s, not %s", tt.name, err, got, tt.fields)
			}
		}
		_, err := w.desk.CreateMaintenance(context.Background(), fleet.MaintenanceWindow{
			Until: now.Add(time.Hour), Schedule: &fleet.Schedule{From: "nine"},
		}, "ana")
		if got := fields(err); got != "scope schedule.from" {
			t.Errorf("a bad maintenance window: %v", err)
		}
		if err := w.desk.DeleteMaintenance(context.Background(), "x", "ana"); !isMissing(err) {
			t.Error(err)
		}
		if _, err := w.desk.EndSilence(context.Background(), "x", "ana"); !isMissing(err) {
			t.Error(err)
		}
	})
}

func TestWhatIsDueIsTriedAgain(t *testing.T) {
	inWorld(t, map[string]int{"T2": 20}, func(w *world) {
		w.apply(opened("cpu_temp_high", "T2-0"))
		w.news()
		w.store.refuse(errors.New("the disk is full"), nil)
		w.present("T2-0", fleet.PresenceOffline)
		w.after(time.Minute)
		w.wantNews("while nothing can be stored")
		w.store.refuse(nil, nil)
		w.after(5 * time.Second)
		w.wantNews("once it can", "suppressed cpu_temp_high/T2-0 "+heldBack)
	})
}
