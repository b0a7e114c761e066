package life

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/mqttbroker"
	"kioskfleet/internal/testkit/pkitest"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/outbox"
	"kioskfleet/kiosk/truth"
)

// handClock is the machine's clock, put forward by hand: so a fault begins when the test is ready for it.
type handClock struct{ ahead atomic.Int64 }

// newHandClock returns a clock at the noon of the next Sunday. On every other day staff may come in the middle of
// a test, and their weekly service frees the memory and mends what is broken.
func newHandClock() *handClock {
	c := &handClock{}
	now := c.Now().UTC()
	noon := time.Date(now.Year(), now.Month(), now.Day()+7-int(now.Weekday()), 12, 0, 0, 0, time.UTC)
	c.ahead.Store(int64(noon.Sub(now)))
	return c
}

func (c *handClock) Now() time.Time                  { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }
func (c *handClock) Until(t time.Time) time.Duration { return max(0, t.Sub(c.Now())) }
func (*handClock) CaughtUp() time.Time               { return time.Time{} }

// counted is an outbox that remembers the readings it was given.
type counted struct {
	*outbox.Box
	mu    sync.Mutex // guards added
	added []outbox.Item
}

func (c *counted) Add(i outbox.Item) error {
	if i.AckKey == "" {
		c.mu.Lock()
		c.added = append(c.added, i)
		c.mu.Unlock()
	}
	return c.Box.Add(i)
}

func (c *counted) readings() []outbox.Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.added)
}

// kiosk is a life under test, with a broker that others may use too.
type kiosk struct {
	t      *testing.T
	b      *mqttbroker.Broker
	serial string
	cfg    Config
	clock  *handClock
	began  time.Time // of the plan
	box    *counted
	ended  func() error
	life   *Life
	count  agent.Counters

	mu    sync.Mutex // guards the rest
	truth []truth.Event
	took  []time.Duration // the acknowledgements
	sent  int             // commands
}

var serials atomic.Int64

// at returns a fault between two times of the plan; with `to` 0 it has no end.
func at(kind fault.Kind, from, to time.Duration, params ...any) fault.Fault {
	p, err := fault.Complete(kind, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(params); i += 2 {
		name, _ := params[i].(string)
		p[name] = params[i+1]
	}
	f := fault.Fault{Kind: kind, Params: p, From: time.Time{}.Add(from)}
	if to != 0 {
		f.To = time.Time{}.Add(to)
	}
	return f
}

// newKiosk returns a life that has not begun, with faults at times from now on.
func newKiosk(t *testing.T, b *mqttbroker.Broker, faults ...fault.Fault) *kiosk {
	t.Helper()
	k := &kiosk{t: t, b: b, serial: fmt.Sprintf("K-%03d", serials.Add(1)), clock: newHandClock()}
	k.began = k.clock.Now()
	for i := range faults {
		f := &faults[i]
		if !f.To.IsZero() {
			f.To = k.began.Add(f.To.Sub(time.Time{}))
		}
		f.From = k.began.Add(f.From.Sub(time.Time{}))
	}
	log, err := outbox.Open(outbox.Config{Dir: filepath.Join(t.TempDir(), "outbox")})
	if err != nil {
		t.Fatal(err)
	}
	box, err := log.Box(k.serial, outbox.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	k.box = &counted{Box: box}
	agenda := NewAgenda(k.clock)
	ended := run(agenda)
	t.Cleanup(func() {
		ended()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	k.cfg = Config{
		Agent: agent.Config{
			Identity: enroll.Identity{
				Serial: k.serial, KioskID: 1, Brokers: []string{b.URL()},
				TLS: pki.ClientTLS(pkitest.Kiosk(t, b.Authority, k.serial, 0), b.Authority.Pool()),
			},
			Store: agent.StateFile(filepath.Join(t.TempDir(), "state.json")), Outbox: k.box, Counters: &k.count,
			Interval: 50 * time.Millisecond, RestartTime: 50 * time.Millisecond, UpdateTime: 50 * time.Millisecond,
			Backoff: mqttclient.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond},
			Hooks: agent.Hooks{Acknowledged: func(_ protocol.Channel, took time.Duration) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.took = append(k.took, took)
			}},
		},
		Device: device.Simulation{Serial: k.serial, Faults: fault.NewPlan(0, k.serial, "", faults, nil)},
		Clock:  k.clock, Agenda: agenda,
		Truth: func(e truth.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.truth = append(k.truth, e)
		},
	}
	return k
}

// start lets the life begin; it ends with the test.
func (k *kiosk) start() *kiosk {
	k.life = New(k.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.life.Run(ctx) }()
	k.ended = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	k.t.Cleanup(func() { _ = k.ended() })
	return k
}

// live is newKiosk that is online.
func live(t *testing.T, b *mqttbroker.Broker, faults ...fault.Fault) *kiosk {
	t.Helper()
	k := newKiosk(t, b, faults...).start()
	k.await("readings at first", func() bool { return len(k.said(protocol.ChannelTelemetry)) > 3 })
	return k
}

// stop ends the life.
func (k *kiosk) stop() {
	k.t.Helper()
	if err := k.ended(); err != nil {
		k.t.Error(err)
	}
}

// goTo puts the clock forward to a time of the plan.
func (k *kiosk) goTo(offset time.Duration) {
	k.clock.ahead.Add(int64(k.clock.Until(k.began.Add(offset))))
	k.cfg.Agenda.At(k.began, func() {}) // the first of all: it looks at the clock anew
}

func (k *kiosk) await(what string, ok func() bool) {
	k.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			k.t.Fatalf("never: %s; it is told: %s; it said %d messages", what, k.story(), len(k.said()))
		}
		time.Sleep(2 * time.Millisecond) // between polls
	}
}

// said returns what the broker has heard.
func (k *kiosk) said(channels ...protocol.Channel) []mqttbroker.Message {
	return k.b.Messages(k.serial, channels...)
}

func decode[T any](k *kiosk, payload []byte) (out T) {
	k.t.Helper()
	if err := json.Unmarshal(payload, &out); err != nil {
		k.t.Errorf("%q: %v", payload, err)
	}
	return out
}

func (k *kiosk) joins() (out []protocol.Join) {
	for _, m := range k.said(protocol.ChannelJoin) {
		out = append(out, decode[protocol.Join](k, m.Payload))
	}
	return out
}

// byes returns the reasons of the goodbyes and wills.
func (k *kiosk) byes() (out []string) {
	for _, m := range k.said(protocol.ChannelBye) {
		out = append(out, decode[protocol.Bye](k, m.Payload).Reason)
	}
	return out
}

// wills counts them.
func (k *kiosk) wills() (n int) {
	for _, reason := range k.byes() {
		if reason == protocol.ByeConnectionLost {
			n++
		}
	}
	return n
}

// readings returns what the broker has heard, with repetitions.
func (k *kiosk) readings() (out []protocol.Reading) {
	for _, m := range k.said(protocol.ChannelTelemetry) {
		if m.Payload[0] == '[' {
			out = append(out, decode[[]protocol.Reading](k, m.Payload)...)
		} else {
			out = append(out, decode[protocol.Reading](k, m.Payload))
		}
	}
	return out
}

// next awaits a reading that is taken from now on, and that satisfies ok.
func (k *kiosk) next(what string, ok func(protocol.Reading) bool) {
	k.t.Helper()
	n := len(k.box.readings())
	k.await(what, func() bool {
		fresh := k.box.readings()[n:]
		return slices.ContainsFunc(k.readings(), func(r protocol.Reading) bool {
			return slices.ContainsFunc(fresh, func(i outbox.Item) bool { return i.Session == r.Session && i.Seq == r.Seq }) && ok(r)
		})
	})
}

func (k *kiosk) online() {
	k.t.Helper()
	k.next("a reading", func(protocol.Reading) bool { return true })
}

// complete checks that each reading that was taken has come, and none as two that differ.
func (k *kiosk) complete() {
	k.t.Helper()
	came := map[string]string{}
	for _, r := range k.readings() {
		name := fmt.Sprint(r.Session, " ", r.Seq)
		text, _ := json.Marshal(r)
		if before, again := came[name]; again && before != string(text) {
			k.t.Errorf("reading %s came as %s and as %s", name, before, text)
		}
		came[name] = string(text)
	}
	taken := k.box.readings()
	for _, i := range taken {
		if came[fmt.Sprint(i.Session, " ", i.Seq)] == "" {
			k.t.Errorf("reading %d of session %s is lost", i.Seq, i.Session)
		}
	}
	if len(came) != len(taken) {
		k.t.Errorf("%d readings came, %d were taken", len(came), len(taken))
	}
}

// obey sends a command, again while it finds nobody, and returns its final ack.
func (k *kiosk) obey(name protocol.CommandName, params string) (final protocol.Ack) {
	k.t.Helper()
	k.mu.Lock()
	k.sent++
	id := fmt.Sprint("c", k.sent)
	k.mu.Unlock()
	k.send(id, name, params)
	resend := time.Now().Add(500 * time.Millisecond)
	k.await(fmt.Sprintf("the final ack of %s", name), func() bool {
		for _, ack := range k.acks(id) {
			if ack.Status != protocol.AckReceived && ack.Status != protocol.AckRunning {
				final = ack
				return true
			}
		}
		if time.Now().After(resend) {
			k.send(id, name, params)
			resend = time.Now().Add(500 * time.Millisecond)
		}
		return false
	})
	return final
}

func (k *kiosk) send(id string, name protocol.CommandName, params string) {
	k.t.Helper()
	text, err := json.Marshal(protocol.Command{ID: id, Name: name, Params: json.RawMessage(params)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.b.Send(k.serial, protocol.ChannelCmd, text)
}

func (k *kiosk) acks(id string) (out []protocol.Ack) {
	for _, m := range k.said(protocol.ChannelAck) {
		if ack := decode[protocol.Ack](k, m.Payload); ack.ID == id {
			out = append(out, ack)
		}
	}
	return out
}

func (k *kiosk) events() []truth.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.truth)
}

// story tells the truth in short, without what customers and wear bring about.
func (k *kiosk) story() string {
	var out []string
	for _, e := range k.events() {
		spec, _ := fault.Lookup(e.Fault)
		switch {
		case e.Event == truth.Boot:
			out = append(out, "boot")
		case e.Event == truth.Command:
			out = append(out, fmt.Sprintf("%s(%s, %t)", e.Command.Name, e.Command.Status, e.Command.Executed))
		case e.Event == truth.Session || spec.Layer == fault.LayerDevice || strings.Contains(e.ID, "/wear/"):
		case e.Event == truth.FaultStart:
			out = append(out, "+"+string(e.Fault))
		default:
			out = append(out, "-"+string(e.Fault))
		}
	}
	return strings.Join(out, " ")
}

func (k *kiosk) told(what string) {
	k.t.Helper()
	k.await("the truth "+what, func() bool { return k.story() == what })
}

// boots counts those that the truth tells of.
func (k *kiosk) boots() int { return strings.Count(k.story(), "boot") }

// truthful checks that each start has one end with the same parameters, that times are UTC and those of
// the plan, and that each boot that the broker has heard of is told.
func (k *kiosk) truthful() {
	k.t.Helper()
	on := map[string]truth.Event{}
	boots := map[string]bool{}
	for _, e := range k.events() {
		if e.Serial != k.serial || e.Time.Location() != time.UTC || e.Time.Before(k.began.Add(-24*time.Hour)) || e.Time.After(k.clock.Now()) {
			k.t.Errorf("%+v, at %s", e, k.clock.Now())
		}
		start, isOn := on[e.ID]
		switch e.Event {
		case truth.FaultStart:
			if isOn {
				k.t.Errorf("%s begins twice", e.ID)
			}
			on[e.ID] = e
		case truth.FaultEnd:
			if !isOn || start.Fault != e.Fault || fmt.Sprint(start.Params) != fmt.Sprint(e.Params) || e.Time.Before(start.Time) {
				k.t.Errorf("%+v ends as %+v", start, e)
			}
			delete(on, e.ID)
		case truth.Boot:
			boots[e.Boot.ID] = true
		}
	}
	for id := range on {
		k.t.Errorf("%s never ends", id)
	}
	for _, j := range k.joins() {
		if !boots[j.BootID] {
			k.t.Errorf("boot %s is not told", j.BootID)
		}
	}
}
