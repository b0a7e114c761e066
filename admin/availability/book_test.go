package availability

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/store"
	"kioskfleet/internal/protocol"
)

// world is a database, a clock and what is registered; it outlives runs of the book.
type world struct {
	t       testing.TB
	db      *store.Store
	now     time.Time
	sites   map[string]string
	windows map[string]span // Unix ms
	broken  bool
	book    *Book
}

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-03-02 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, db: db, now: at("10:00:00"), sites: map[string]string{"A": "north", "B": "north", "C": "south"}, windows: map[string]span{}}
	w.open()
	return w
}

type faulty struct {
	*store.Store
	w *world
}

func (f faulty) SaveAvailability(ctx context.Context, c fleet.AvailabilityChange) error {
	if f.w.broken {
		return errors.New("disk is full")
	}
	return f.Store.SaveAvailability(ctx, c)
}

func (w *world) open() {
	w.t.Helper()
	b, err := Open(w.t.Context(), Config{
		Store: faulty{w.db, w}, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler), Retention: 1000 * time.Hour,
		Site: func(serial string) (string, bool) { s, ok := w.sites[serial]; return s, ok },
		Maintenance: func(serial string, at time.Time) bool {
			s := w.windows[serial]
			return at.UnixMilli() >= s.from && at.UnixMilli() < s.to
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.book = b
}

// is tells the book that a kiosk is online with a verdict, or maintenance, now.
func (w *world) is(serial, what string) {
	l := &fleet.Live{Serial: serial, Presence: fleet.PresenceOnline, Verdict: fleet.Verdict(what), Status: "online", LastSeen: w.now, LastReading: &fleet.Reading{ReceivedAt: w.now}}
	switch what {
	case "maintenance":
		l.Status, l.Verdict = what, fleet.VerdictCannotServe
	case "offline":
		l.Presence, l.PresenceReason, l.Verdict = fleet.PresenceOffline, fleet.ReasonConnectionLost, fleet.VerdictUnknown
	case "restarted":
		l.LastSeen = time.Time{}
		l.Presence, l.PresenceReason, l.Verdict = fleet.PresenceOffline, fleet.ReasonAdminRestart, fleet.VerdictUnknown
	case "joined": // with its reading from before
		l.Verdict, l.LastReading = fleet.VerdictCanServe, &fleet.Reading{ReceivedAt: at("10:00:00")}
	}
	w.book.Changed(nil, l, w.now)
}

func (w *world) flush(alive bool) {
	w.t.Helper()
	if err := w.book.flush(w.t.Context(), alive); err != nil && !w.broken {
		w.t.Fatal(err)
	}
}

func (w *world) query(q fleet.AvailabilityQuery) []fleet.Availability {
	w.t.Helper()
	rows, err := w.book.Query(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// line writes a row short: can degraded cannot unknown maintenance, in seconds.
func line(a fleet.Availability) string {
	return fmt.Sprintf("%s can=%v degraded=%v cannot=%v unknown=%v maintenance=%v kiosks=%d", a.Name, a.Seconds[fleet.VerdictCanServe],
		a.Seconds[fleet.VerdictDegraded], a.Seconds[fleet.VerdictCannotServe], a.Seconds[fleet.VerdictUnknown], a.Maintenance, a.Kiosks)
}

// story is what happens at which time of one day: "10:00:05 A can_serve".
func (w *world) play(story string) {
	w.t.Helper()
	for _, text := range strings.Split(strings.TrimSpace(story), "\n") {
		f := strings.Fields(text)
		if clock := at(f[0]); clock.After(w.now) {
			w.now = clock
		}
		switch f[1] {
		case "flush":
			w.flush(false)
		case "alive":
			w.flush(true)
		case "sweep":
			w.book.sweep(w.now)
		case "crash":
			w.open()
		case "broken", "mended":
			w.broken = f[1] == "broken"
		default:
			serial := f[1]
			switch f[2] {
			case "window":
				w.windows[serial] = span{at(f[3]).UnixMilli(), at(f[4]).UnixMilli()}
			case "moves":
				w.sites[serial] = f[3]
				w.book.Registered(serial, &fleet.Kiosk{Site: f[3]})
			case "deleted":
				delete(w.sites, serial)
				w.book.Registered(serial, nil)
			case "gone": // deleted while nobody runs
				delete(w.sites, serial)
			default:
				w.is(serial, f[2])
			}
		}
	}
}

func TestWhatCountsAsWhat(t *testing.T) {
	tests := []struct {
		name, story, want string // of kiosk A until 11:00:00
	}{
		{"from the first connection on", "10:00:10 A can_serve", "A can=3590 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"each verdict", "10:00:00 A can_serve\n10:10:00 A degraded\n10:30:00 A cannot_serve\n10:31:00 A offline", "A can=600 degraded=1200 cannot=60 unknown=1740 maintenance=0 kiosks=1"},
		{"written in between", "10:00:00 A can_serve\n10:10:00 A degraded\n10:10:01 flush\n10:30:00 A cannot_serve\n10:30:01 flush\n10:31:00 A offline", "A can=600 degraded=1200 cannot=60 unknown=1740 maintenance=0 kiosks=1"},
		{"a time before the last one", "10:00:00 A can_serve\n10:20:00 A degraded\n10:10:00 A can_serve", "A can=3600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"maintenance that it reports", "10:00:00 A can_serve\n10:10:00 A maintenance\n10:20:00 A can_serve", "A can=3000 degraded=0 cannot=0 unknown=0 maintenance=600 kiosks=1"},
		{"a window, offline inside", "10:00:00 A can_serve\n10:00:00 A window 10:10:00 10:20:00\n10:10:03 sweep\n10:15:00 A offline\n10:17:00 A can_serve\n10:20:09 sweep", "A can=3000 degraded=0 cannot=0 unknown=0 maintenance=600 kiosks=1"},
		{"offline when the window ends", "10:00:00 A can_serve\n10:00:00 A window 10:10:00 10:20:00\n10:10:00 sweep\n10:15:00 A offline\n10:20:00 sweep", "A can=600 degraded=0 cannot=0 unknown=2400 maintenance=600 kiosks=1"},
		{"deleted", "10:00:00 A can_serve\n10:10:00 A deleted", "A can=600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"deleted and written", "10:00:00 A can_serve\n10:05:00 flush\n10:10:00 A deleted\n10:10:01 flush\n10:30:00 crash", "A can=600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"deleted while nobody ran", "10:00:00 A can_serve\n10:10:00 alive\n10:20:00 A gone\n10:30:00 crash", "A can=600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"both sites together", "10:00:00 A can_serve\n10:10:00 A moves south\n10:20:00 A degraded", "A can=1200 degraded=2400 cannot=0 unknown=0 maintenance=0 kiosks=1"},

		{"back as it was after a crash", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:12:30 A can_serve", "A can=3600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"back otherwise", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:12:30 A degraded", "A can=600 degraded=2850 cannot=0 unknown=150 maintenance=0 kiosks=1"},
		{"joined says nothing yet", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:12:10 A joined\n10:12:30 A degraded", "A can=600 degraded=2850 cannot=0 unknown=150 maintenance=0 kiosks=1"},
		{"not back", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted", "A can=600 degraded=0 cannot=0 unknown=3000 maintenance=0 kiosks=1"},
		{"back too late", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:17:00 sweep\n10:20:00 A can_serve", "A can=3000 degraded=0 cannot=0 unknown=600 maintenance=0 kiosks=1"},
		{"connected in time, its reading late", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:12:10 A joined\n10:17:00 sweep", "A can=3600 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"a second crash before it is back", "10:00:00 A can_serve\n10:10:00 alive\n10:12:00 crash\n10:12:00 A restarted\n10:12:10 alive\n10:14:00 crash\n10:14:10 A can_serve", "A can=3350 degraded=0 cannot=0 unknown=250 maintenance=0 kiosks=1"},
		{"offline before, offline after", "10:00:00 A can_serve\n10:05:00 A offline\n10:10:00 alive\n10:12:00 crash\n10:20:00 A can_serve", "A can=2700 degraded=0 cannot=0 unknown=900 maintenance=0 kiosks=1"},
		{"a crash before anything was written", "10:00:00 A can_serve\n10:10:00 crash\n10:10:30 A can_serve", "A can=2970 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1"},
		{"a database that is away for a while", "10:00:00 A can_serve\n10:00:01 flush\n10:01:00 broken\n10:10:00 A degraded\n10:10:01 flush\n10:20:00 A can_serve\n10:20:01 flush\n10:25:00 mended\n10:25:01 alive\n10:25:02 crash\n10:25:03 A restarted\n10:25:04 A can_serve", "A can=3000 degraded=600 cannot=0 unknown=0 maintenance=0 kiosks=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.play(tt.story)
			w.now = at("11:00:00")
			for _, when := range []string{"in memory", "written", "written twice"} {
				rows := w.query(fleet.AvailabilityQuery{Scope: "kiosk", Name: "A", From: at("00:00:00"), To: at("12:00:00")})
				if len(rows) != 1 || line(rows[0]) != tt.want {
					t.Fatalf("%s: %v, want %s", when, rows, tt.want)
				}
				w.flush(true)
			}
		})
	}
}

func TestAnHourWithoutThePlatformIsTooLongToBridge(t *testing.T) {
	w := newWorld(t)
	w.play("10:00:00 A can_serve\n10:10:00 alive\n11:10:01 crash\n11:10:01 A restarted\n11:10:11 A can_serve")
	w.now = at("11:20:11")
	rows := w.query(fleet.AvailabilityQuery{Scope: "fleet", From: at("10:00:00"), To: w.now})
	if want := " can=1200 degraded=0 cannot=0 unknown=3611 maintenance=0 kiosks=1"; len(rows) != 1 || line(rows[0]) != want {
		t.Errorf("%v, want %s", rows, want)
	}
}

func TestASiteCountsTheKiosksThatItHadThen(t *testing.T) {
	w := newWorld(t)
	w.play("10:00:00 A can_serve\n10:00:00 B can_serve\n10:00:00 C degraded\n10:15:00 A moves south\n10:30:00 flush\n10:45:00 C moves east")
	w.now = at("11:00:00")
	var got []string
	for _, r := range w.query(fleet.AvailabilityQuery{Scope: "site", From: at("10:00:00"), To: at("11:00:00")}) {
		got = append(got, line(r))
	}
	want := []string{
		"east can=0 degraded=900 cannot=0 unknown=0 maintenance=0 kiosks=1",
		"north can=4500 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=2",
		"south can=2700 degraded=2700 cannot=0 unknown=0 maintenance=0 kiosks=2",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if rows := w.query(fleet.AvailabilityQuery{Scope: "site", Name: "south", From: at("10:45:00"), To: at("11:00:00")}); len(rows) != 1 || line(rows[0]) != "south can=900 degraded=0 cannot=0 unknown=0 maintenance=0 kiosks=1" {
		t.Errorf("the south after ten: %v", rows)
	}
}

// The real tracker tells of a restart in its own way.
func TestARestartAsPresenceTellsIt(t *testing.T) {
	w := newWorld(t)
	run := func(saved []fleet.LiveState) *presence.Tracker {
		w.open()
		tracker := presence.New(func() time.Time { return w.now })
		tracker.Observe(func(c presence.Change) { w.book.Changed(c.Old, c.New, c.At) })
		tracker.Restore(saved)
		w.book.Restore(tracker.All())
		tracker.Started(w.now)
		return tracker
	}
	reading := func(tracker *presence.Tracker, printer string) {
		tracker.Reading(&fleet.Reading{Serial: "A", Session: "s", Time: w.now, ReceivedAt: w.now, Status: "online", Texts: []fleet.Text{{Metric: "peripherals.printer_status", Text: printer}}})
	}
	tracker := run(nil)
	tracker.Joined(fleet.Origin{Serial: "A", At: w.now}, protocol.Join{Session: "s"})
	reading(tracker, "ready")
	w.flush(true)
	w.now = at("10:10:00")
	reading(tracker, "low_ink")
	saved := []fleet.LiveState{{Live: *tracker.Get("A")}} // presence has written it, availability has not
	w.now = at("10:11:00")
	tracker = run(saved)
	w.now = at("10:12:00")
	tracker.Joined(fleet.Origin{Serial: "A", At: w.now}, protocol.Join{Session: "s"})
	reading(tracker, "low_ink")
	w.now = at("10:20:00")
	rows := w.query(fleet.AvailabilityQuery{Scope: "kiosk", From: at("10:00:00"), To: w.now})
	if want := "A can=600 degraded=600 cannot=0 unknown=0 maintenance=0 kiosks=1"; len(rows) != 1 || line(rows[0]) != want {
		t.Errorf("%v, want %s", rows, want)
	}
}

// A random life of some kiosks, with restarts, against a plain list of seconds.
func TestARandomHistoryAddsUp(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		start, total := w.now.Add(-10*time.Hour), 2*24*3600
		w.now = start
		truth := map[string][]string{} // a kind for each second
		words := []string{"can_serve", "degraded", "cannot_serve", "offline", "maintenance"}
		is := map[string]string{}
		for second := range total {
			w.now = start.Add(time.Duration(second) * time.Second)
			for _, serial := range []string{"A", "B", "C"} {
				if random.IntN(2000) == 0 {
					is[serial] = words[random.IntN(len(words))]
					w.is(serial, is[serial])
				}
				truth[serial] = append(truth[serial], is[serial])
			}
			switch random.IntN(5000) {
			case 0, 1, 2:
				w.flush(true)
			case 3: // down for no time at all
				w.flush(true)
				w.open()
				for serial, what := range is {
					w.is(serial, "restarted")
					w.is(serial, what)
				}
			}
		}
		w.now = w.now.Add(time.Second)
		zone, err := time.LoadLocation("Asia/Kathmandu") // 5:45 before UTC
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range w.query(fleet.AvailabilityQuery{Scope: "kiosk", From: start, To: w.now, Period: "day", Zone: zone}) {
			want := map[string]float64{}
			for i, what := range truth[r.Name] {
				if second := start.Add(time.Duration(i) * time.Second); !second.Before(r.From) && second.Before(r.To) {
					want[what]++
				}
			}
			got := fmt.Sprint(r.Seconds[fleet.VerdictCanServe], r.Seconds[fleet.VerdictDegraded], r.Seconds[fleet.VerdictCannotServe], r.Seconds[fleet.VerdictUnknown], r.Maintenance)
			if expected := fmt.Sprint(want["can_serve"], want["degraded"], want["cannot_serve"], want["offline"], want["maintenance"]); got != expected {
				t.Errorf("seed %d, %s from %s: %s, want %s", seed, r.Name, r.From, got, expected)
			}
		}
	}
}
