package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/derived"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/internal/protocol"
)

// bench is a platform without broker and clock: what it is told happens when it says that it came.
type bench struct {
	mu       sync.Mutex
	kiosks   map[string]*fleet.Kiosk
	tracker  *presence.Tracker
	derived  *derived.Values
	engine   *engine.Engine
	events   []fleet.Event
	alerts   map[string]*fleet.Alert // by id
	readings int
}

func (b *bench) All() []*fleet.Kiosk {
	var out []*fleet.Kiosk
	for _, k := range b.kiosks {
		out = append(out, k)
	}
	return out
}

func (b *bench) Kiosk(serial string) *fleet.Kiosk   { return b.kiosks[serial] }
func (b *bench) Live(serial string) *fleet.Live     { return b.tracker.Get(serial) }
func (b *bench) Derived(serial string) rule.Derived { return b.derived.For(serial) }
func (b *bench) Get(serial string) (*fleet.Kiosk, error) {
	if k := b.kiosks[serial]; k != nil {
		return k, nil
	}
	return nil, fleet.ErrNotFound
}

func (b *bench) Apply(_ context.Context, changes []fleet.AlertChange, _ []fleet.AlertEngineState) error {
	for _, c := range changes {
		switch c.Kind {
		case fleet.AlertEventOpened:
			a := c.Alert
			b.alerts[a.ID] = &a
		case fleet.AlertEventResolved:
			b.alerts[c.Alert.ID].ResolvedAt = c.Alert.ResolvedAt
		}
	}
	return nil
}

func (b *bench) happens(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.engine.Settle()
}

func (b *bench) Reading(_ context.Context, r *fleet.Reading) {
	b.happens(func() {
		if b.kiosks[r.Serial] == nil {
			return
		}
		b.readings++
		b.tracker.Reading(r)
		b.derived.Reading(r)
		b.engine.Reading(r)
	})
}

func (b *bench) Joined(_ context.Context, o fleet.Origin, j protocol.Join) {
	b.happens(func() { b.tracker.Joined(o, j) })
}

func (b *bench) Bye(_ context.Context, o fleet.Origin, bye protocol.Bye) {
	b.happens(func() { b.tracker.Bye(o, bye) })
}

func (b *bench) Acked(context.Context, fleet.Origin, protocol.Ack) {}
func (b *bench) Connection(context.Context, fleet.ConnectionEvent) {}
func (b *bench) Started(context.Context)                           {}
func (b *bench) Room(context.Context)                              {}
func (b *bench) Checkpoint(context.Context) error                  { return nil }

type noStates struct{}

func (noStates) SaveDerived(context.Context, []fleet.DerivedState, time.Time) error { return nil }

// send sends what a kiosk has to say in a quarter of an hour: readings every 5 seconds that take 200 ms, of which some
// are kept back and come all at once, come twice or are broken, and two absences. The punctual one sends no such.
func send(t *testing.T, in *ingest.Ingest, serial string, random *rand.Rand, base time.Time, punctual bool) {
	t.Helper()
	accept := func(at time.Time, channel protocol.Channel, payload any) {
		t.Helper()
		text, ok := payload.([]byte)
		if !ok {
			var err error
			if text, err = json.Marshal(payload); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Accept(ingest.Message{Serial: serial, Channel: channel, Payload: text, ReceivedAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	var keptBack []protocol.Reading
	level := 70.0
	for i := range 180 {
		at := base.Add(time.Duration(i)*5*time.Second + time.Duration(random.IntN(100))*time.Millisecond)
		came := at.Add(200 * time.Millisecond)
		session := fmt.Sprintf("s%d", i/60)
		switch i % 60 {
		case 0:
			accept(came.Add(-100*time.Millisecond), protocol.ChannelJoin, protocol.Join{Serial: serial, Session: session, BootID: "b", AgentVersion: "1.0"})
		case 45:
			accept(came, protocol.ChannelBye, protocol.Bye{Session: session, Reason: protocol.ByeConnectionLost})
		}
		if i%60 >= 45 {
			continue
		}
		level = max(60, min(90, level+random.NormFloat64()*4))
		r := protocol.Reading{
			Timestamp: at, Serial: serial, Session: session, Seq: uint64(i), Status: protocol.StateOnline,
			Hardware: protocol.Group{"cpu_temp": level, "cpu_usage": 20}, Peripherals: protocol.Group{"printer_status": "ready"},
			Location: protocol.Group{"lat": 40.0 + float64(i/90)*0.01, "lng": -3.0, "accuracy": 5.0},
		}
		if i%30 > 24 {
			r.Peripherals["printer_status"] = "paper_jam"
		}
		switch x := random.IntN(12); {
		case !punctual && x == 0:
			keptBack = append(keptBack, r)
			continue
		case !punctual && x == 1:
			accept(came, protocol.ChannelTelemetry, []byte(`{"timestamp":`))
			continue
		case !punctual && x == 2 && len(keptBack) > 0:
			accept(came.Add(-50*time.Millisecond), protocol.ChannelTelemetry, append(keptBack, r))
			keptBack = nil
		}
		accept(came, protocol.ChannelTelemetry, r)
	}
}

func newBench(t testing.TB, rules []fleet.Rule) *bench {
	t.Helper()
	b := &bench{kiosks: map[string]*fleet.Kiosk{}, alerts: map[string]*fleet.Alert{}, tracker: presence.New(time.Now)}
	compiled, err := rule.CompileAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	b.derived = derived.New(derived.Config{Kiosks: b, Presence: b.tracker, Store: noStates{}})
	b.engine = engine.New(engine.Config{Desk: b, Fleet: b, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	b.engine.SetRules(engine.NewRules(rule.NewSet(compiled)))
	b.tracker.Observe(func(c presence.Change) {
		b.events = append(b.events, c.Events...)
		if !c.Reading { // its reading follows at once
			b.engine.Changed(c.New.Serial, c.At)
		}
	})
	return b
}

func TestABacktestFindsWhatLiveFound(t *testing.T) {
	rules := []fleet.Rule{
		{Name: "hot", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 75", For: 8 * time.Second, Text: "CPU at {{hardware.cpu_temp}}"},
		{Name: "jam", Severity: fleet.SeverityWarning, Condition: `peripherals.printer_status == "paper_jam"`},
		{Name: "left", Severity: fleet.SeverityWarning, Condition: "location.moved == 1"},
		{Name: "silent", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 1000", NoData: 12 * time.Second},
		{Name: "offline", Severity: fleet.SeverityCritical, Condition: `presence == "offline"`, For: 20 * time.Second},
	}
	b := newBench(t, rules)
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	database, err := store.Open(t.Context(), filepath.Join(dir, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	numbers, err := embedded.Open(embedded.Config{Dir: filepath.Join(dir, "telemetry"), Retention: 24 * time.Hour, OutOfOrderWindow: 2 * time.Hour, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer numbers.Close()
	records, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	in, err := ingest.Open(ingest.Config{
		Journal: records, Live: b, Series: series{numbers}, DeadLetters: database, Rejected: rejectedReadings, Retry: retryAfter, Lost: lostPoints,
		SiteOf: func(string) string { return "Hall" }, Window: time.Hour, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}

	from := time.Now().UTC().Truncate(time.Second).Add(-30 * time.Minute)
	to := from.Add(16 * time.Minute)
	if err := in.Accept(ingest.Message{Serial: "K-0", Channel: protocol.ChannelTelemetry, Payload: []byte("first"), ReceivedAt: from.Add(-2 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	const punctual = "K-1"
	for _, serial := range []string{punctual, "K-2", "K-3"} {
		b.kiosks[serial] = &fleet.Kiosk{Serial: serial, Site: "Hall", Location: &fleet.Location{Lat: 40, Lng: -3}}
		send(t, in, serial, random, from.Add(5*time.Second), serial == punctual)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it works off what is there, and ends
	if err := in.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for serial := range b.kiosks {
		b.engine.Changed(serial, to)
	}
	b.engine.Settle()
	b.engine.Finish(t.Context())
	if err := database.SaveLive(t.Context(), b.events, nil, time.Now()); err != nil {
		t.Fatal(err)
	}

	test := newBacktest(b, b.tracker, database, numbers, in, time.Now)
	for _, r := range rules {
		t.Run(r.Name, func(t *testing.T) {
			live := func(alone string) (out []string) {
				for _, a := range b.alerts {
					if a.Rule == r.Name && (alone == "" || a.Serial == alone) {
						out = append(out, line(a))
					}
				}
				slices.Sort(out)
				return out
			}
			got, err := test.Run(t.Context(), fleet.BacktestRequest{Rule: r, From: from, To: to})
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for i := range got.Alerts {
				have = append(have, line(&got.Alerts[i]))
			}
			slices.Sort(have)
			if want := live(""); got.Source != "journal" || got.Readings != b.readings || len(want) == 0 || !slices.Equal(have, want) {
				t.Errorf("of %s, %d readings of %d:\ngot  %q\nlive %q", got.Source, got.Readings, b.readings, have, want)
			}
			if (len(got.Approximate) > 0) != (r.Name == "offline") {
				t.Errorf("approximate: %q", got.Approximate)
			}

			// From before the journal began the time series answer: readings count as received when they were taken.
			got, err = test.Run(t.Context(), fleet.BacktestRequest{Rule: r, From: from.Add(-time.Minute), To: to, Serials: []string{punctual}})
			if err != nil {
				t.Fatal(err)
			}
			have = nil
			const slack = time.Second
			near := func(a, b time.Time) bool { return a.Sub(b).Abs() < slack }
			for i := range got.Alerts {
				a := &got.Alerts[i]
				same := false
				for _, l := range b.alerts {
					same = same || l.Rule == a.Rule && l.Serial == a.Serial && near(l.OpenedAt, a.OpenedAt) && (l.ResolvedAt == nil) == (a.ResolvedAt == nil) &&
						(a.ResolvedAt == nil || near(*l.ResolvedAt, *a.ResolvedAt))
				}
				if have = append(have, line(a)); !same {
					t.Errorf("live did not find %s", line(a))
				}
			}
			if want := live(punctual); got.Source != "series" || len(got.Approximate) == 0 || len(have) != len(want) {
				t.Errorf("of %s:\ngot  %q\nlive %q", got.Source, have, want)
			}
		})
	}
}

func line(a *fleet.Alert) string {
	out := fmt.Sprintf("%s %s %s %s %q", a.Serial, a.OpenedAt.Format("15:04:05.000"), a.Rule, a.ID, a.Reason)
	if a.ResolvedAt != nil {
		out += " until " + a.ResolvedAt.Format("15:04:05.000")
	}
	return out
}
