package life

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/mqttbroker"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

func TestFaultsThatMeet(t *testing.T) {
	b := mqttbroker.Start(t)
	for name, tt := range map[string]struct {
		faults []fault.Fault
		steps  []time.Duration // at each, the clock is put forward
		want   string
		or     string // the same in another order, which is as true
	}{
		"one crash follows another at once": {
			faults: []fault.Fault{at(fault.Crash, 10*minute, 20*minute), at(fault.Crash, 20*minute, 30*minute)},
			steps:  []time.Duration{10 * minute, 20 * minute, 30 * minute},
			want:   "boot +crash +crash -crash -crash boot",
		},
		"crashes overlap": {
			faults: []fault.Fault{at(fault.Crash, 10*minute, 25*minute), at(fault.Crash, 20*minute, 30*minute)},
			steps:  []time.Duration{10 * minute, 20 * minute, 25 * minute, 30 * minute},
			want:   "boot +crash +crash -crash -crash boot",
		},
		"a crash in a reboot loop": {
			faults: []fault.Fault{at(fault.RebootLoop, 10*minute, 30*minute, "down", fault.Duration(time.Second), "every", fault.Duration(time.Hour)), at(fault.Crash, 10*minute, 20*minute)},
			steps:  []time.Duration{10 * minute, 15 * minute, 20 * minute, 30 * minute},
			want:   "boot +reboot_loop +crash -crash boot -reboot_loop",
		},
		"a reboot loop ends while it lies": {
			faults: []fault.Fault{at(fault.RebootLoop, 10*minute, 11*minute, "down", fault.Duration(time.Hour))},
			steps:  []time.Duration{10 * minute, 11 * minute, 3 * time.Hour},
			want:   "boot +reboot_loop -reboot_loop boot",
		},
		"a crash without an end to the run": {
			faults: []fault.Fault{at(fault.Crash, 10*minute, 0)},
			steps:  []time.Duration{10 * minute},
			want:   "boot +crash",
		},
		"a crash from before": {
			faults: []fault.Fault{at(fault.Crash, -10*minute, 20*minute)},
			steps:  []time.Duration{0, 10 * minute, 20 * minute},
			want:   "+crash -crash boot",
		},
		"a crash in the far future": {
			faults: []fault.Fault{at(fault.Crash, 20*time.Hour, 21*time.Hour)},
			steps:  []time.Duration{5 * time.Hour, 11 * time.Hour, 17 * time.Hour, 20 * time.Hour, 21 * time.Hour},
			want:   "boot +crash -crash boot",
		},
		"one crash follows another that began long ago": {
			faults: []fault.Fault{at(fault.Crash, time.Hour, 20*time.Hour), at(fault.Crash, 20*time.Hour, 21*time.Hour)},
			steps:  []time.Duration{time.Hour, 7 * time.Hour, 13 * time.Hour, 19 * time.Hour, 20 * time.Hour, 21 * time.Hour},
			want:   "boot +crash +crash -crash -crash boot",
		},
		"all at one moment, in the past": {
			faults: []fault.Fault{at(fault.Crash, 10*minute, 20*minute), at(fault.SiteOutage, 10*minute, 20*minute, "how", fault.OutageCut)},
			steps:  []time.Duration{30 * minute},
			want:   "boot +crash +site_outage -crash -site_outage boot",
			or:     "boot +crash +site_outage -crash boot -site_outage", // it was quick to boot
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKiosk(t, b, tt.faults...).start()
			if strings.HasPrefix(tt.want, "boot") {
				k.await("readings", func() bool { return len(k.said(protocol.ChannelTelemetry)) > 3 })
			}
			for i, step := range tt.steps {
				k.goTo(step)
				k.settled()
				if i == len(tt.steps)-1 {
					k.await("the truth "+tt.want, func() bool { story := k.story(); return story == tt.want || story == tt.or && tt.or != "" })
				}
			}
			running := strings.HasSuffix(tt.want, "boot") || strings.HasSuffix(tt.want, "loop")
			if running {
				k.online()
			}
			k.stop()
			k.truthful()
			// A kiosk that crashed for good may keep what it had not sent.
			if _, waiting := k.box.Next(); waiting && running {
				k.await("all readings", func() bool { _, waiting := k.box.Next(); return !waiting })
			} else if waiting {
				return
			}
			k.complete()
		})
	}
}

// settled awaits that the agenda has done what is due by now, and what that has added for times before.
func (k *kiosk) settled() {
	k.t.Helper()
	done := make(chan struct{})
	k.cfg.Agenda.At(k.clock.Now(), func() { close(done) })
	k.await("the agenda", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// TestARevivalBeforeTheCrashIsNoticed: the agent still ends when the power is back already.
func TestARevivalBeforeTheCrashIsNoticed(t *testing.T) {
	k := live(t, mqttbroker.Start(t), at(fault.Crash, -time.Hour, -minute))
	for n := 2; n < 7; n++ {
		f := at(fault.Crash, 0, 0)
		k.life.strike(f)
		k.life.mend(f)
		k.await("another boot", func() bool { return k.boots() == n })
		k.online()
	}
	k.stop()
	if k.boots() != 6 {
		t.Errorf("%d boots", k.boots())
	}
	k.complete()
}

func TestACrashAtABadMoment(t *testing.T) {
	b := mqttbroker.Start(t)
	crash := at(fault.Crash, 10*minute, 20*minute)
	t.Run("while it connects", func(t *testing.T) {
		t.Parallel()
		mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer mute.Close()
		k := newKiosk(t, b, crash)
		k.cfg.Agent.Identity.Brokers = []string{"mqtts://" + mute.Addr().String()}
		k.start()
		k.taken(3)
		for _, step := range []time.Duration{10 * minute, 20 * minute} {
			k.goTo(step)
		}
		k.told("boot +crash -crash boot")
		k.stop()
		k.truthful()
	})
	t.Run("while it restarts", func(t *testing.T) {
		t.Parallel()
		k := newKiosk(t, b, crash)
		k.cfg.Agent.RestartTime = time.Hour
		k.start()
		k.online()
		k.send("r", protocol.CommandRestart, "")
		k.await("the goodbye", func() bool { return slices.Equal(k.byes(), []string{protocol.ByeRestarting}) })
		k.goTo(10 * minute)
		k.told("boot +crash")
		k.goTo(20 * minute)
		k.told("boot +crash -crash boot restart(succeeded, true)")
		k.online()
		k.stop()
		k.complete()
	})
	t.Run("while it updates", func(t *testing.T) {
		t.Parallel()
		k := newKiosk(t, b, crash)
		k.cfg.Agent.UpdateTime = time.Hour
		k.start()
		k.online()
		k.send("u", protocol.CommandUpdate, "")
		k.await("the begin", func() bool { return len(k.acks("u")) == 2 })
		k.goTo(10 * minute)
		k.told("boot +crash")
		k.goTo(20 * minute)
		k.told("boot +crash -crash boot update(failed, false)")
		k.online()
		k.stop()
		k.complete()
	})
}

// TestTheEndInTheMiddleOfAFault: the goodbye leaves if anybody can hear it, and nothing holds the end up.
func TestTheEndInTheMiddleOfAFault(t *testing.T) {
	b := mqttbroker.Start(t)
	for name, tt := range map[string]struct {
		fault fault.Fault
		bye   bool
	}{
		"crash":              {at(fault.Crash, 10*minute, 20*minute), false},
		"silent outage":      {at(fault.SiteOutage, 10*minute, 20*minute), false},
		"cut outage":         {at(fault.SiteOutage, 10*minute, 20*minute, "how", fault.OutageCut), false},
		"slow network":       {at(fault.SlowNetwork, 10*minute, 20*minute, "delay", fault.Duration(4*time.Second)), true},
		"no end":             {at(fault.SlowNetwork, 10*minute, 0, "delay", fault.Duration(time.Millisecond)), true},
		"command ignored":    {at(fault.CommandIgnored, 10*minute, 20*minute), true},
		"device":             {at(fault.OutOfPaper, 10*minute, 20*minute), true},
		"reboot loop, alone": {at(fault.RebootLoop, 10*minute, 20*minute, "down", fault.Duration(time.Hour)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := live(t, b, tt.fault)
			begun := func() bool {
				return slices.ContainsFunc(k.events(), func(e truth.Event) bool { return e.Event == truth.FaultStart && e.Fault == tt.fault.Kind })
			}
			k.goTo(10 * minute)
			k.await("the fault", begun)
			began := time.Now()
			k.stop()
			// A swarm waits a little less than three seconds. The rest is for a busy machine.
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("the end took %s", took)
			}
			k.truthful()
			if tt.bye {
				k.await("the goodbye", func() bool { return slices.Equal(k.byes(), []string{protocol.ByeStopped}) })
			}
			n := len(k.events())
			k.goTo(30 * minute)
			k.settled()
			if len(k.events()) != n {
				t.Errorf("something is told of a life that is over: %s", k.story())
			}
		})
	}
}

// TestALifeThatBeginsAgainGoesOn: a fault that is still on is told anew, with its own begin.
func TestALifeThatBeginsAgainGoesOn(t *testing.T) {
	b := mqttbroker.Start(t)
	k := live(t, b, at(fault.CommandIgnored, 10*minute, 40*minute), at(fault.PaperJam, 10*minute, 40*minute),
		at(fault.FanFailure, 10*minute, 20*minute), at(fault.SerialMismatch, 10*minute, 20*minute))
	k.goTo(10 * minute)
	k.told("boot +command_ignored +serial_mismatch")
	k.online()
	k.stop()
	k.goTo(30 * minute)
	k.settled()
	k.start()
	k.online()
	k.goTo(40 * minute)
	k.told("boot +command_ignored +serial_mismatch -command_ignored -serial_mismatch +command_ignored boot -command_ignored")
	k.online()
	k.stop()
	k.truthful()
	got := map[fault.Kind]truth.Interval{}
	for _, i := range truth.Intervals(k.events()) {
		if i.ID != "" && strings.HasPrefix(i.ID, k.serial+"/") {
			if _, twice := got[i.Fault]; twice {
				t.Errorf("%s is told as two", i.Fault)
			}
			got[i.Fault] = i
		}
	}
	for kind, to := range map[fault.Kind]time.Duration{fault.CommandIgnored: 40 * minute, fault.PaperJam: 40 * minute} {
		if i := got[kind]; !i.From.Equal(k.began.Add(10*minute)) || !i.To.Equal(k.began.Add(to)) {
			t.Errorf("%s from %s to %s", kind, i.From, i.To)
		}
	}
	for _, kind := range []fault.Kind{fault.FanFailure, fault.SerialMismatch} {
		if i := got[kind]; i.To.IsZero() || i.To.After(k.began.Add(11*minute)) {
			t.Errorf("%s ended with the first life, not at %s", kind, i.To)
		}
	}
}

// brokenStore has no state.
type brokenStore struct{ agent.Store }

var errBroken = errors.New("the state is unreadable")

func (brokenStore) Load() (agent.State, error) { return agent.State{}, errBroken }

func TestALifeThatFailsIsOver(t *testing.T) {
	k := newKiosk(t, mqttbroker.Start(t), at(fault.CommandIgnored, 10*minute, 20*minute))
	k.cfg.Agent.Store = brokenStore{}
	l := New(k.cfg)
	if err := l.Run(context.Background()); !errors.Is(err, errBroken) {
		t.Errorf("error = %v", err)
	}
	k.goTo(30 * minute)
	k.settled()
	if got := k.story(); got != "" {
		t.Errorf("it is told: %s", got)
	}
}

// TestWithoutAPlanNothingIsInTheWay: such a kiosk is given no hook that a fault would need.
func TestWithoutAPlanNothingIsInTheWay(t *testing.T) {
	k := newKiosk(t, mqttbroker.Start(t))
	l := New(k.cfg)
	if h := l.agent.Hooks; h.Dial != nil || h.Publish != nil || h.Pretends != nil || h.Acknowledged == nil || !reflect.DeepEqual(l.agent.Clock, k.cfg.Clock) {
		t.Errorf("hooks: %+v", h)
	}
	k.start()
	k.online()
	k.update("2.0.0")
	k.stop()
	k.told("boot update(succeeded, true)")
	k.truthful()
	k.complete()
}

// TestADayOfChaos: everything at random for four hours, and then no reading is lost and the truth adds up.
func TestADayOfChaos(t *testing.T) {
	b := mqttbroker.Start(t)
	for seed := range uint64(2) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			k := newKiosk(t, b)
			k.clock.ahead.Store(0) // the clock that it lives by reaches the true time
			k.began = k.clock.Now().Add(-5 * time.Hour)
			rates := fault.Rates{}
			for _, s := range fault.Specs() {
				if s.Layer != fault.LayerDevice && s.Kind != fault.MalformedPayload && s.Kind != fault.SerialMismatch && s.Kind != fault.ClockSkew {
					rates[s.Kind] = 40
				}
			}
			const scale = 3000
			fast := clock.NewCatchUp(4*time.Hour, scale)
			agenda := NewAgenda(fast)
			defer run(agenda)()
			k.cfg.Device.Faults = fault.NewPlan(seed, k.serial, "", nil, rates)
			k.cfg.Clock, k.cfg.Agenda, k.cfg.Agent.Interval = fast, agenda, minute
			k.start()
			for i := 0; fast.Now().Before(fast.CaughtUp()); i++ {
				// Whoever is there obeys, now and then.
				if i%100 == 0 {
					name := []protocol.CommandName{protocol.CommandUpdate, protocol.CommandRestart}[i/100%2]
					k.send(strconv.Itoa(i), name, "")
				}
				time.Sleep(2 * time.Millisecond) // between polls
			}
			k.stop()
			k.truthful()
			if k.boots() < 5 || len(k.joins()) == 0 { // more are a matter of how fast the machine is
				t.Errorf("%d boots, %d joins: that is no chaos", k.boots(), len(k.joins()))
			}
			k.cfg.Device.Faults = nil
			k.start()
			k.await("what waited", func() bool { _, waiting := k.box.Next(); return !waiting })
			k.stop()
			k.complete()
		})
	}
}
