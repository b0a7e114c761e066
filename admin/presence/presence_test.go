package presence

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// watch is a tracker with a fake clock that notes what observers are told.
type watch struct {
	*Tracker
	t       *testing.T
	now     time.Time
	changes []Change
}

func newWatch(t *testing.T) *watch {
	w := &watch{t: t, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	w.Tracker = New(func() time.Time { return w.now })
	w.Observe(func(c Change) { w.changes = append(w.changes, c) })
	return w
}

// pass lets time go by, with the ticks of the outflow.
func (w *watch) pass(d time.Duration) {
	for ; d > 0; d -= tickEvery {
		w.now = w.now.Add(min(d, tickEvery))
		w.tick(w.now)
	}
}

func (w *watch) connect(id string) {
	w.Connection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: id, Connected: true, At: w.now})
}

func (w *watch) disconnect(id string, how func(*fleet.ConnectionEvent)) {
	e := fleet.ConnectionEvent{Serial: "K-1", ConnectionID: id, At: w.now}
	if how != nil {
		how(&e)
	}
	w.Connection(e)
}

func clean(e *fleet.ConnectionEvent)     { e.Clean = true }
func takenOver(e *fleet.ConnectionEvent) { e.TakenOver = true }

func (w *watch) join(session string) {
	w.Joined(fleet.Origin{Serial: "K-1", At: w.now}, protocol.Join{Session: session, BootID: "boot-" + session, AgentVersion: "1.0"})
}

func (w *watch) bye(connection, session, reason string) {
	w.Tracker.Bye(fleet.Origin{Serial: "K-1", ConnectionID: connection, At: w.now}, protocol.Bye{Session: session, Reason: reason})
}

// reading takes a reading that the kiosk took age ago, by its clock.
func (w *watch) reading(session string, age time.Duration, change ...func(*fleet.Reading)) {
	r := &fleet.Reading{Serial: "K-1", Session: session, Time: w.now.Add(-age), ReceivedAt: w.now, Status: protocol.StateOnline}
	for _, f := range change {
		f(r)
	}
	w.Tracker.Reading(r)
}

func (w *watch) live() *fleet.Live { return w.Get("K-1") }

func (w *watch) want(p fleet.Presence, why fleet.PresenceReason) {
	w.t.Helper()
	if l := w.live(); l.Presence != p || l.PresenceReason != why {
		w.t.Errorf("presence = %s (%s), want %s (%s)", l.Presence, l.PresenceReason, p, why)
	}
}

// events lists what observers were told since the last call, as kind:from>to.
func (w *watch) events() string {
	var out []string
	for _, c := range w.changes {
		for _, e := range c.Events {
			out = append(out, fmt.Sprintf("%s:%s>%s", e.Kind, e.From, e.To))
		}
	}
	w.changes = nil
	return strings.Join(out, " ")
}

func TestPresenceFollowsWhatHappens(t *testing.T) {
	const (
		online  = fleet.PresenceOnline
		offline = fleet.PresenceOffline
	)
	tests := []struct {
		name string
		play func(*watch)
		want fleet.Presence
		why  fleet.PresenceReason
	}{
		{"nothing", func(*watch) {}, fleet.PresenceNever, fleet.ReasonNeverSeen},
		{"connected, but has not said a word", func(w *watch) { w.connect("1") }, fleet.PresenceNever, fleet.ReasonNeverSeen},
		{"connected and gone without a word", func(w *watch) { w.connect("1"); w.disconnect("1", nil) }, fleet.PresenceNever, fleet.ReasonNeverSeen},
		{"joined", func(w *watch) { w.connect("1"); w.join("a") }, online, fleet.ReasonReporting},
		{"a reading without a join", func(w *watch) { w.connect("1"); w.reading("", 0) }, online, fleet.ReasonReporting},
		{"said goodbye", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.bye("1", "a", protocol.ByeStopped)
			w.disconnect("1", clean)
		}, offline, fleet.ReasonCleanDisconnect},
		{"went without a goodbye, but orderly", func(w *watch) { w.connect("1"); w.join("a"); w.disconnect("1", clean) }, offline, fleet.ReasonCleanDisconnect},
		{"its connection broke", func(w *watch) { w.connect("1"); w.join("a"); w.disconnect("1", nil) }, offline, fleet.ReasonConnectionLost},
		{"its will, behind an external broker", func(w *watch) { w.join("a"); w.bye("", "a", protocol.ByeConnectionLost) }, offline, fleet.ReasonConnectionLost},
		{"a will without a session", func(w *watch) { w.join("a"); w.bye("", "", protocol.ByeConnectionLost) }, offline, fleet.ReasonConnectionLost},
		{"the late will of an older session", func(w *watch) {
			w.join("a")
			w.join("b")
			w.bye("", "a", protocol.ByeConnectionLost)
		}, online, fleet.ReasonReporting},
		{"the will of a connection that was replaced, before the new join", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.connect("2")
			w.bye("1", "a", protocol.ByeConnectionLost)
		}, online, fleet.ReasonReporting},
		{"taken over", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.connect("2")
			w.disconnect("1", takenOver)
			w.join("b")
		}, online, fleet.ReasonReporting},
		{"taken over, and the new one not there yet", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.disconnect("1", takenOver)
		}, offline, fleet.ReasonTakenOver},
		{"taken over, the old end told last", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.connect("2")
			w.join("b")
			w.bye("1", "a", protocol.ByeConnectionLost)
			w.disconnect("1", takenOver)
		}, online, fleet.ReasonReporting},
		{"the second connection ends too", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.connect("2")
			w.disconnect("1", takenOver)
			w.disconnect("2", nil)
		}, offline, fleet.ReasonConnectionLost},
		{"a reading from before the goodbye, worked on after it", func(w *watch) {
			w.join("a")
			w.bye("", "a", protocol.ByeStopped)
			w.reading("a", 0)
		}, offline, fleet.ReasonCleanDisconnect},
		{"a reading after the goodbye, on a connection that stands", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.bye("1", "a", protocol.ByeStopped)
			w.reading("a", 0)
		}, online, fleet.ReasonReporting},
		{"a reading of the next session", func(w *watch) {
			w.join("a")
			w.bye("", "a", protocol.ByeStopped)
			w.reading("b", 0)
		}, online, fleet.ReasonReporting},
		{"a goodbye without a session, then a reading without one", func(w *watch) {
			w.reading("", 0)
			w.bye("", "", protocol.ByeStopped)
			w.pass(time.Second)
			w.reading("", 0)
		}, online, fleet.ReasonReporting},
		{"a goodbye of nobody", func(w *watch) { w.bye("", "a", protocol.ByeStopped) }, fleet.PresenceNever, fleet.ReasonNeverSeen},
		{"revoked while connected", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.SetRevoked("K-1", true)
			w.bye("1", "a", protocol.ByeConnectionLost)
			w.disconnect("1", nil)
		}, offline, fleet.ReasonRevoked},
		{"revoked while connected, the end told first", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.SetRevoked("K-1", true)
			w.disconnect("1", nil)
			w.bye("1", "a", protocol.ByeConnectionLost)
		}, offline, fleet.ReasonRevoked},
		{"revoked while offline", func(w *watch) {
			w.join("a")
			w.bye("", "a", protocol.ByeStopped)
			w.SetRevoked("K-1", true)
		}, offline, fleet.ReasonRevoked},
		{"enrolled again and lost again", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.SetRevoked("K-1", true)
			w.disconnect("1", nil)
			w.SetRevoked("K-1", false)
			w.connect("2")
			w.join("b")
			w.disconnect("2", nil)
		}, offline, fleet.ReasonConnectionLost},
		{"revoked, then let in again and lost", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.SetRevoked("K-1", true)
			w.disconnect("1", nil)
			w.connect("2")
			w.join("b")
			w.disconnect("2", nil)
		}, offline, fleet.ReasonConnectionLost},
		{"said goodbye, then the connection broke", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.bye("1", "a", protocol.ByeStopped)
			w.disconnect("1", nil)
		}, offline, fleet.ReasonCleanDisconnect},
		{"revoked before it was ever seen", func(w *watch) {
			w.SetRevoked("K-1", true)
			w.join("a")
		}, online, fleet.ReasonReporting},
		{"deleted: the end of its connection is not about anybody", func(w *watch) {
			w.connect("1")
			w.join("a")
			w.Forget("K-1")
			w.bye("1", "a", protocol.ByeConnectionLost)
			w.disconnect("1", nil)
		}, fleet.PresenceNever, fleet.ReasonNeverSeen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatch(t)
			tt.play(w)
			w.want(tt.want, tt.why)
		})
	}
}

func TestADeletedKioskLeavesNothingBehind(t *testing.T) {
	w := newWatch(t)
	w.connect("1")
	w.join("a")
	w.Forget("K-1")
	w.bye("1", "a", protocol.ByeConnectionLost)
	w.disconnect("1", nil)
	if all := w.All(); len(all) != 0 {
		t.Errorf("still known: %+v", all[0])
	}
}

func TestTheLatestReadingIsTheNewestByTheKiosksClock(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	value := func(x float64) func(*fleet.Reading) {
		return func(r *fleet.Reading) { r.Values = []fleet.Value{{Metric: "custom.x", Value: x}} }
	}
	w.reading("a", 0, value(1))
	told := len(w.changes)
	w.reading("a", time.Minute, value(2)) // backfill
	w.reading("a", 0, value(3))           // the same instant: the first stays
	if x, _ := w.live().LastReading.Value("custom.x"); x != 1 {
		t.Errorf("latest = %v, want the newest by device time", x)
	}
	if len(w.changes) != told {
		t.Errorf("observers were told of %d older readings", len(w.changes)-told)
	}
	w.pass(time.Second)
	w.reading("a", 0, value(4))
	if x, _ := w.live().LastReading.Value("custom.x"); x != 4 || !w.changes[len(w.changes)-1].Reading {
		t.Errorf("latest = %v, want 4", x)
	}
}

func TestSilenceMakesAKioskStale(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	w.reading("a", 0)
	w.events()
	w.pass(staleMin)
	w.want(fleet.PresenceOnline, fleet.ReasonReporting)
	w.pass(time.Second)
	w.want(fleet.PresenceStale, fleet.ReasonNoData)
	if l := w.live(); l.Status != fleet.StatusStale || l.Verdict != fleet.VerdictUnknown || !l.PresenceSince.Equal(w.now) || !l.VerdictSince.Equal(w.now) {
		t.Errorf("stale: %+v", l)
	}
	if got := w.events(); got != "presence:online>stale verdict:can_serve>unknown" {
		t.Errorf("events = %q", got)
	}
	since := w.now
	w.pass(time.Minute)
	if l := w.live(); !l.PresenceSince.Equal(since) || len(w.changes) != 0 {
		t.Errorf("stale since %s, %d more changes", l.PresenceSince, len(w.changes))
	}
	w.reading("a", 0)
	w.want(fleet.PresenceOnline, fleet.ReasonReporting)
	if got := w.events(); got != "presence:stale>online verdict:unknown>can_serve" {
		t.Errorf("events = %q", got)
	}
}

func TestAnOlderReadingEndsSilenceToo(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	w.reading("a", 0)
	w.pass(time.Minute)
	w.want(fleet.PresenceStale, fleet.ReasonNoData)
	w.reading("a", time.Hour)
	w.want(fleet.PresenceOnline, fleet.ReasonReporting)
}

// A long backfill, or a clock that was set back, brings only readings that are older than the latest.
func TestAKioskThatSendsOnlyOlderReadingsIsNotSilent(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	w.reading("a", 0)
	before := w.live()
	w.events()
	for range 12 {
		w.pass(5 * time.Second)
		w.reading("a", time.Hour)
		w.want(fleet.PresenceOnline, fleet.ReasonReporting)
	}
	if got := w.events(); got != "" {
		t.Errorf("events = %q", got)
	}
	if l := w.live(); !l.LastSeen.Equal(w.now) || l.LastReading != before.LastReading {
		t.Errorf("last seen %s, reading of %s", l.LastSeen, l.LastReading.Time)
	}
	if !before.LastSeen.Before(w.now) {
		t.Error("a state that was handed out has changed")
	}
}

func TestTheIntervalIsLearnt(t *testing.T) {
	tests := []struct {
		name  string
		every time.Duration
		skew  time.Duration // of the kiosk's clock
		n     int
		want  time.Duration // ± 10%
	}{
		{"as assumed", 5 * time.Second, 0, 4, 5 * time.Second},
		{"slow", time.Minute, 0, 12, time.Minute},
		{"fast", time.Second, 0, 12, time.Second},
		{"clock ahead", time.Minute, 4 * time.Minute, 12, time.Minute},
		{"clock far behind", time.Minute, -2 * time.Hour, 12, time.Minute},
		{"too slow to be an interval", 2 * time.Hour, 0, 4, defaultInterval},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatch(t)
			w.join("a")
			for range tt.n {
				w.pass(tt.every)
				w.reading("a", -tt.skew)
			}
			l := w.live()
			if d := (l.Interval - tt.want).Abs(); d > tt.want/10 {
				t.Errorf("interval = %s, want %s", l.Interval, tt.want)
			}
			if l.Skew != tt.skew {
				t.Errorf("skew = %s, want %s", l.Skew, tt.skew)
			}
			if tt.every > maxInterval {
				return
			}
			w.pass(max(staleMin, staleIntervals*tt.every*9/10))
			w.want(fleet.PresenceOnline, fleet.ReasonReporting)
			w.pass(staleMin + staleIntervals*tt.every/5)
			w.want(fleet.PresenceStale, fleet.ReasonNoData)
		})
	}
}

func TestBackfillSaysNothingOfClockAndInterval(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	for range 4 {
		w.pass(5 * time.Second)
		w.reading("a", 100*time.Millisecond)
	}
	before := w.live()
	w.pass(10 * time.Minute) // the connection was lost
	w.join("b")
	for age := 10 * time.Minute; age > time.Minute; age -= 5 * time.Second {
		w.now = w.now.Add(10 * time.Millisecond)
		w.reading("a", age)
	}
	if l := w.live(); l.Skew != before.Skew || l.Interval != before.Interval {
		t.Errorf("skew %s, interval %s after backfill; before %s, %s", l.Skew, l.Interval, before.Skew, before.Interval)
	}
	w.reading("b", 0)
	w.pass(5 * time.Second)
	w.reading("b", 0)
	if l := w.live(); l.Interval != defaultInterval {
		t.Errorf("interval = %s: the time without a connection counts", l.Interval)
	}
}

func TestPeripheralChangesAreEvents(t *testing.T) {
	texts := func(pairs ...string) func(*fleet.Reading) {
		return func(r *fleet.Reading) {
			for i := 0; i < len(pairs); i += 2 {
				r.Texts = append(r.Texts, fleet.Text{Metric: pairs[i], Text: pairs[i+1]})
			}
		}
	}
	w := newWatch(t)
	w.join("a")
	w.reading("a", 0, texts(metricPrinter, "ready", metricCard, "ready"))
	w.pass(time.Second)
	w.events()
	w.reading("a", 0, texts(metricPrinter, "paper_jam", metricCard, "ready", metricCash, "ready"))
	var got *fleet.Event
	for _, e := range w.changes[0].Events {
		if e.Kind == fleet.EventPeripheral {
			if got != nil {
				t.Errorf("a second event: %+v", e)
			}
			got = &e
		}
	}
	want := fleet.Event{Serial: "K-1", At: w.now, Kind: fleet.EventPeripheral, Subject: metricPrinter, From: "ready", To: "paper_jam"}
	if got == nil || *got != want {
		t.Errorf("event = %+v, want %+v", got, want)
	}
	if all := w.events(); all != "peripheral:ready>paper_jam verdict:can_serve>cannot_serve" {
		t.Errorf("events = %q", all)
	}
	w.reading("a", time.Minute, texts(metricPrinter, "low_ink")) // backfill is no change of now
	if all := w.events(); all != "" {
		t.Errorf("events of backfill = %q", all)
	}
	w.pass(time.Minute)
	w.events()
	w.reading("a", time.Hour, texts(metricPrinter, "low_ink"))
	if all := w.events(); all != "presence:stale>online verdict:unknown>cannot_serve" {
		t.Errorf("events of backfill that ends silence = %q", all)
	}
}

func TestAJoinIsAnEventOnlyWhenItBringsSomethingNew(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	if got := w.events(); got != "joined:>1.0 presence:never>online" {
		t.Errorf("events = %q", got)
	}
	booted := w.live().BootedAt
	w.pass(time.Second)
	w.join("a")
	if got := w.events(); got != "" || !w.live().BootedAt.Equal(booted) {
		t.Errorf("events = %q, booted at %s", got, w.live().BootedAt)
	}
	w.Joined(fleet.Origin{Serial: "K-1", At: w.now}, protocol.Join{Session: "b", BootID: "boot-a", AgentVersion: "1.0"})
	if got := w.events(); got != "joined:1.0>1.0" || !w.live().BootedAt.Equal(booted) {
		t.Errorf("a new session: %q, booted at %s", got, w.live().BootedAt)
	}
	w.Joined(fleet.Origin{Serial: "K-1", At: w.now}, protocol.Join{Session: "c", BootID: "boot-c", AgentVersion: "1.1"})
	if got := w.events(); got != "joined:1.0>1.1" || !w.live().BootedAt.Equal(w.now) {
		t.Errorf("a new boot: %q, booted at %s", got, w.live().BootedAt)
	}
}

func TestAStateChangeIsAnEvent(t *testing.T) {
	w := newWatch(t)
	w.join("a")
	state := func(s protocol.State) func(*fleet.Reading) { return func(r *fleet.Reading) { r.Status = s } }
	w.reading("a", 0)
	w.events()
	w.pass(time.Second)
	w.reading("a", 0, state(protocol.StateBlocked))
	if got := w.events(); got != "status:online>blocked verdict:can_serve>cannot_serve" {
		t.Errorf("events = %q", got)
	}
	if l := w.live(); l.Status != "blocked" || !l.PresenceSince.Equal(w.now.Add(-time.Second)) || !l.VerdictSince.Equal(w.now) || !l.Reasons[0].Since.Equal(w.now) {
		t.Errorf("%+v", l)
	}
	since := w.now
	w.pass(time.Second)
	w.reading("a", 0, state(protocol.StateBlocked))
	if l := w.live(); !l.VerdictSince.Equal(since) || !l.Reasons[0].Since.Equal(since) || w.events() != "" {
		t.Errorf("still blocked: %+v", l)
	}
}

func TestAStartTakesNobodyForConnected(t *testing.T) {
	earlier := newWatch(t)
	earlier.join("a")
	earlier.reading("a", 0, func(r *fleet.Reading) { r.Texts = []fleet.Text{{Metric: metricPrinter, Text: "low_ink"}} })
	saved := []fleet.LiveState{{Live: *earlier.live()}}
	goodbye := *earlier.live()
	goodbye.Serial, goodbye.Presence, goodbye.PresenceReason = "K-2", fleet.PresenceOffline, fleet.ReasonCleanDisconnect
	goodbye.PresenceSince, goodbye.VerdictSince, goodbye.Verdict = earlier.now, earlier.now, fleet.VerdictUnknown
	goodbye.Reasons = []fleet.VerdictReason{{Code: "offline", Value: "clean_disconnect", Since: earlier.now}}
	stale := *earlier.live()
	stale.Serial, stale.Presence = "K-3", fleet.PresenceStale
	saved = append(saved, fleet.LiveState{Live: goodbye}, fleet.LiveState{Live: stale})

	w := newWatch(t)
	w.now = earlier.now.Add(time.Hour)
	w.Restore(saved)
	w.tick(w.now)
	w.want(fleet.PresenceOnline, fleet.ReasonReporting) // what happened since it was saved is told next
	w.Started(w.now)
	w.want(fleet.PresenceOffline, fleet.ReasonAdminRestart)
	l := w.live()
	if l.Status != fleet.StatusOffline || l.Verdict != fleet.VerdictUnknown || !l.VerdictSince.Equal(w.now) || !l.PresenceSince.Equal(w.now) || codes(l.Reasons) != "offline" {
		t.Errorf("%+v", l)
	}
	if l.BootID != "boot-a" || l.LastReading == nil || l.Revision <= earlier.live().Revision {
		t.Errorf("boot id %q, revision %d after %d", l.BootID, l.Revision, earlier.live().Revision)
	}
	if k2 := w.Get("K-2"); k2.PresenceReason != fleet.ReasonCleanDisconnect || !k2.PresenceSince.Equal(earlier.now) || !k2.VerdictSince.Equal(earlier.now) || !k2.Reasons[0].Since.Equal(earlier.now) {
		t.Errorf("who was offline before: %+v", k2)
	}
	if k3 := w.Get("K-3"); k3.PresenceReason != fleet.ReasonAdminRestart {
		t.Errorf("who was silent before: %+v", k3)
	}
	w.pass(time.Second)
	w.reading("a", 0) // behind an external broker its connection stood all the time
	w.want(fleet.PresenceOnline, fleet.ReasonReporting)
}

// For whoever looks at a kiosk, a restart of the platform changed nothing about it.
func TestWhatStoodBeforeARestartStandsSinceThen(t *testing.T) {
	texts := func(printer, card string) func(*fleet.Reading) {
		return func(r *fleet.Reading) {
			r.Texts = []fleet.Text{{Metric: metricPrinter, Text: printer}, {Metric: metricCard, Text: card}}
		}
	}
	earlier := newWatch(t)
	earlier.join("a")
	earlier.reading("a", 0, texts("low_ink", "ready"))
	began := earlier.now
	saved := []fleet.LiveState{{Live: *earlier.live()}}
	for _, tt := range []struct {
		name         string
		reading      func(*fleet.Reading)
		verdictSince time.Duration // after the restart; negative: since before
	}{
		{"the same", texts("low_ink", "ready"), -1},
		{"the same and more", texts("low_ink", "error"), time.Minute},
		{"another verdict", texts("ready", "ready"), time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatch(t)
			w.now = began.Add(time.Hour)
			restarted := w.now
			w.Restore(saved)
			w.Started(w.now)
			w.pass(time.Minute)
			w.reading("a", 0, tt.reading)
			want := began
			if tt.verdictSince >= 0 {
				want = restarted.Add(tt.verdictSince)
			}
			if l := w.live(); !l.VerdictSince.Equal(want) {
				t.Errorf("%s since %s, want %s", l.Verdict, l.VerdictSince, want)
			}
			for _, r := range w.live().Reasons {
				if since := map[bool]time.Time{true: began, false: w.now}[r.Code == "printer_low_ink"]; !r.Since.Equal(since) {
					t.Errorf("%s since %s, want %s", r.Code, r.Since, since)
				}
			}
			// Only the return resumes: what changes later is new.
			w.pass(time.Second)
			w.reading("a", 0, texts("ready", "ready"))
			w.pass(time.Second)
			w.reading("a", 0, texts("low_ink", "ready"))
			if l := w.live(); !l.VerdictSince.Equal(w.now) || !l.Reasons[0].Since.Equal(w.now) {
				t.Errorf("low ink again: %s since %s, want %s", l.Verdict, l.VerdictSince, w.now)
			}
		})
	}
}

func TestRevisionsGrowAlsoOverAForgottenKiosk(t *testing.T) {
	w := newWatch(t)
	last := uint64(0)
	check := func(what string) {
		t.Helper()
		if r := w.live().Revision; r <= last {
			t.Errorf("%s: revision %d after %d", what, r, last)
		} else {
			last = r
		}
	}
	w.join("a")
	check("join")
	w.reading("a", 0)
	check("reading")
	w.pass(time.Minute)
	check("stale")
	w.Forget("K-1")
	w.join("b")
	check("registered again")
}

func TestTheTrackerIsSafeForConcurrentUse(t *testing.T) {
	tracker := New(time.Now)
	var mu sync.Mutex
	last := map[string]uint64{}
	tracker.Observe(func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		if c.New.Revision <= last[c.New.Serial] {
			t.Errorf("%s: revision %d after %d", c.New.Serial, c.New.Revision, last[c.New.Serial])
		}
		last[c.New.Serial] = c.New.Revision
	})
	base := time.Now()
	var wg sync.WaitGroup
	for k := range 8 {
		serial := fmt.Sprintf("K-%d", k%4) // two writers a kiosk
		wg.Go(func() {
			for i := range 200 {
				at := base.Add(time.Duration(i) * time.Second)
				tracker.Joined(fleet.Origin{Serial: serial, ConnectionID: "c", At: at}, protocol.Join{Session: "s", BootID: "b"})
				tracker.Reading(&fleet.Reading{Serial: serial, Session: "s", Time: at, ReceivedAt: at})
				tracker.SetRevoked(serial, i%2 == 0)
				tracker.Connection(fleet.ConnectionEvent{Serial: serial, ConnectionID: "c", Connected: i%2 == 0, At: at})
				tracker.Bye(fleet.Origin{Serial: serial, ConnectionID: "c", At: at}, protocol.Bye{Session: "s"})
			}
		})
		wg.Go(func() {
			for i := range 200 {
				tracker.tick(base.Add(time.Duration(i) * time.Minute))
				_ = tracker.Get(serial).Verdict
				_ = len(tracker.All())
			}
		})
	}
	wg.Wait()
}

func TestNotable(t *testing.T) {
	base := fleet.Live{Status: "online", Reasons: []fleet.VerdictReason{{Code: "cash_full", Value: "full", Since: time.Unix(1, 0)}}}
	tests := []struct {
		name   string
		change func(*Change)
		want   bool
	}{
		{"only values", func(c *Change) { c.Reading = true }, false},
		{"the time of a reason", func(c *Change) {
			c.New.Reasons = []fleet.VerdictReason{{Code: "cash_full", Value: "full", Since: time.Unix(2, 0)}}
		}, false},
		{"a new kiosk", func(c *Change) { c.Old = nil }, true},
		{"an event", func(c *Change) { c.Events = []fleet.Event{{}} }, true},
		{"status", func(c *Change) { c.New.Status = "blocked" }, true},
		{"why it is offline", func(c *Change) { c.New.PresenceReason = fleet.ReasonRevoked }, true},
		{"another reason", func(c *Change) { c.New.Reasons = []fleet.VerdictReason{{Code: "printer_low_ink", Value: "low_ink"}} }, true},
		{"one reason less", func(c *Change) { c.New.Reasons = nil }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := base, base
			after.Reasons = slices.Clone(base.Reasons)
			c := Change{Old: &before, New: &after}
			tt.change(&c)
			if c.Notable() != tt.want {
				t.Errorf("Notable = %v", c.Notable())
			}
		})
	}
}

func TestTheAddressOfTheLatestConnectionIsKept(t *testing.T) {
	for _, tt := range []struct{ remote, want string }{
		{"192.0.2.7:50123", "192.0.2.7"},
		{"[2001:db8::1]:50123", "2001:db8::1"},
		{"", ""},
	} {
		w := newWatch(t)
		w.Connection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "a", Connected: true, Remote: "198.51.100.1:9", At: w.now})
		w.Connection(fleet.ConnectionEvent{Serial: "K-1", ConnectionID: "b", Connected: true, Remote: tt.remote, At: w.now})
		if got := w.live().Remote; got != tt.want {
			t.Errorf("connected from %q: address %q, want %q", tt.remote, got, tt.want)
		}
		saved := w.states(map[string]struct{}{"K-1": {}})
		again := newWatch(t)
		again.Restore(saved)
		again.Started(again.now)
		if got := again.live().Remote; got != tt.want {
			t.Errorf("after a restart: address %q, want %q", got, tt.want)
		}
	}
}
