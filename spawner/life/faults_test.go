package life

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/mqttbroker"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

const minute = time.Minute

func ms(n int) fault.Duration { return fault.Duration(time.Duration(n) * time.Millisecond) }

// TestWhatTheBrokerSeesOfAFault: each fault begins in the tenth minute and ends in the twentieth.
func TestWhatTheBrokerSeesOfAFault(t *testing.T) {
	b := mqttbroker.Start(t)
	for name, tt := range map[string]struct {
		faults []fault.Fault
		see    func(*testing.T, *kiosk)
		spoils bool // readings
	}{
		"crash":                {faults: []fault.Fault{at(fault.Crash, 10*minute, 20*minute)}, see: seeCrash},
		"reboot loop":          {faults: []fault.Fault{at(fault.RebootLoop, 10*minute, 20*minute, "every", ms(700), "down", ms(150))}, see: seeRebootLoop},
		"flapping":             {faults: []fault.Fault{at(fault.Flapping, 10*minute, 20*minute, "every", ms(300))}, see: seeFlapping},
		"slow network":         {faults: []fault.Fault{at(fault.SlowNetwork, 10*minute, 20*minute, "delay", ms(60))}, see: seeSlowNetwork},
		"silent outage":        {faults: []fault.Fault{at(fault.SiteOutage, 10*minute, 20*minute)}, see: seeSilence},
		"cut outage":           {faults: []fault.Fault{at(fault.SiteOutage, 10*minute, 20*minute, "how", fault.OutageCut)}, see: seeCutOutage},
		"clock ahead":          {faults: []fault.Fault{at(fault.ClockSkew, 10*minute, 20*minute, "by", fault.Duration(5*minute))}, see: seeClockAhead},
		"command ignored":      {faults: []fault.Fault{at(fault.CommandIgnored, 10*minute, 20*minute)}, see: seeCommandsIgnored},
		"one command ignored":  {faults: []fault.Fault{at(fault.CommandIgnored, 10*minute, 20*minute, "command", "block")}, see: seeBlockIgnored},
		"malformed":            {faults: []fault.Fault{at(fault.MalformedPayload, 10*minute, 20*minute)}, see: seeMalformed, spoils: true},
		"half malformed":       {faults: []fault.Fault{at(fault.MalformedPayload, 10*minute, 20*minute, "share", 0.5)}, see: seeHalfMalformed, spoils: true},
		"serial":               {faults: []fault.Fault{at(fault.SerialMismatch, 10*minute, 20*minute)}, see: seeAnotherSerial},
		"bad firmware reboots": {faults: []fault.Fault{at(fault.BadFirmware, 10*minute, 100*minute, "version", "6.6.6", "every", ms(900), "down", ms(150))}, see: seeFirmwareReboot},
		"bad firmware is busy": {faults: []fault.Fault{at(fault.BadFirmware, 10*minute, 20*minute, "effect", fault.EffectBusy)}, see: seeFirmwareBusy},
		"bad firmware leaks":   {faults: []fault.Fault{at(fault.BadFirmware, 10*minute, 100*minute, "version", "6.6.6", "effect", fault.EffectLeak)}, see: seeFirmwareLeak},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := live(t, b, tt.faults...)
			tt.see(t, k)
			k.online()
			k.stop()
			k.await("the goodbye", func() bool { return slices.Contains(k.byes(), protocol.ByeStopped) })
			if byes := k.byes(); byes[len(byes)-1] != protocol.ByeStopped {
				t.Errorf("byes: %q", byes)
			}
			k.truthful()
			if !tt.spoils {
				k.complete()
			}
			for _, e := range k.events() {
				f := tt.faults[0]
				if e.Fault == f.Kind && f.Kind != fault.BadFirmware && (e.Event == truth.FaultStart && !e.Time.Equal(f.From) || e.Event == truth.FaultEnd && !e.Time.Equal(f.To)) {
					t.Errorf("%+v, planned from %s to %s", e, f.From, f.To)
				}
			}
		})
	}
}

func seeCrash(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.await("the will", func() bool { return k.wills() == 1 })
	k.told("boot +crash")
	said, taken := len(k.said()), len(k.box.readings())
	k.goTo(20 * minute)
	k.await("another boot", func() bool { return len(k.joins()) == 2 })
	if joins := k.joins(); joins[0].BootID == joins[1].BootID {
		t.Error("the boot is the same")
	}
	if m := k.said()[said]; m.Channel != protocol.ChannelJoin {
		t.Errorf("it said %+v while it was down", m)
	}
	if first := k.box.readings()[taken]; first.Time.Before(k.began.Add(20 * minute)) {
		t.Errorf("it took a reading at %s, while it was down", first.Time)
	}
	k.told("boot +crash -crash boot")
	if slices.Contains(k.byes(), protocol.ByeStopped) {
		t.Error("it said goodbye")
	}
}

func seeRebootLoop(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.await("wills and joins", func() bool { return k.wills() >= 3 && len(k.joins()) >= 4 })
	k.goTo(20 * minute)
	k.await("the end", func() bool { return strings.Contains(k.story(), "-reboot_loop") })
	k.online()
	joins := k.joins()
	ids := map[string]bool{}
	for _, j := range joins {
		ids[j.BootID] = true
	}
	if len(ids) != len(joins) || k.boots() < len(joins) {
		t.Errorf("%d joins of %d boots, of which the truth tells %d", len(joins), len(ids), k.boots())
	}
	n := k.boots()
	for range 10 {
		k.online()
	}
	if k.boots() != n {
		t.Error("the loop goes on after its end")
	}
}

func seeFlapping(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.await("wills and joins", func() bool { return k.wills() >= 3 && len(k.joins()) >= 4 })
	k.goTo(20 * minute)
	k.told("boot +flapping -flapping")
	k.online()
	joins := k.joins()
	for _, j := range joins {
		if j.BootID != joins[0].BootID {
			t.Error("it booted")
		}
	}
	for range 10 {
		k.online()
	}
	if n := len(k.joins()); n != len(joins) {
		t.Errorf("%d joins, after the end %d", len(joins), n)
	}
}

func seeSlowNetwork(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +slow_network")
	k.await("a slow acknowledgement", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.took[len(k.took)-1] >= 120*time.Millisecond
	})
	k.goTo(20 * minute)
	k.told("boot +slow_network -slow_network")
	k.await("a quick acknowledgement", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.took[len(k.took)-1] < 120*time.Millisecond
	})
	if len(k.joins()) != 1 {
		t.Error("the connection broke")
	}
}

// taken awaits n more readings.
func (k *kiosk) taken(n int) {
	k.t.Helper()
	n += len(k.box.readings())
	k.await("readings are taken", func() bool { return len(k.box.readings()) >= n })
}

func seeSilence(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +site_outage")
	k.taken(3) // what was under way has come by now
	n := len(k.said())
	k.taken(8)
	if len(k.said()) != n {
		t.Error("something came through")
	}
	k.goTo(20 * minute)
	k.told("boot +site_outage -site_outage")
	k.online()
	if len(k.joins()) != 1 || k.wills() != 0 {
		t.Errorf("%d joins, %d wills: the connection should have lasted", len(k.joins()), k.wills())
	}
}

func seeCutOutage(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.await("the will", func() bool { return k.wills() == 1 })
	k.await("attempts", func() bool { return k.count.Unreachable.Load() > 3 })
	k.taken(5)
	if len(k.joins()) != 1 {
		t.Error("it came back")
	}
	k.goTo(20 * minute)
	k.await("a second connection", func() bool { return len(k.joins()) == 2 })
	if joins := k.joins(); joins[0].BootID != joins[1].BootID {
		t.Error("it booted")
	}
	k.told("boot +site_outage -site_outage")
}

func seeClockAhead(_ *testing.T, k *kiosk) {
	ahead := func(by time.Duration) func(protocol.Reading) bool {
		return func(r protocol.Reading) bool {
			now := k.clock.Now().Add(by)
			return r.Timestamp.After(now.Add(-minute)) && r.Timestamp.Before(now.Add(minute))
		}
	}
	k.next("a right time", ahead(0))
	k.goTo(10 * minute)
	k.next("a wrong time", ahead(5*minute))
	k.goTo(20*minute - time.Second/2)
	k.next("still a wrong time", ahead(5*minute))
	k.goTo(20 * minute)
	k.told("boot +clock_skew -clock_skew")
	k.goTo(26 * minute) // its clock has passed the newest reading
	k.next("a right time again", ahead(0))
}

func seeCommandsIgnored(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +command_ignored")
	for _, name := range []protocol.CommandName{protocol.CommandBlock, protocol.CommandUpdate, protocol.CommandRestart} {
		if ack := k.obey(name, ""); ack.Status != protocol.AckSucceeded {
			t.Errorf("%s: %+v", name, ack)
		}
	}
	if ack := k.obey("dance", ""); ack.Status != protocol.AckRejected {
		t.Errorf("an unknown command: %+v", ack)
	}
	k.next("it is not blocked", func(r protocol.Reading) bool { return r.Status == protocol.StateOnline })
	if joins := k.joins(); len(joins) != 1 || joins[0].AgentVersion != "1.0.0" {
		t.Errorf("joins: %+v", joins)
	}
	k.goTo(20 * minute)
	k.told("boot +command_ignored block(succeeded, false) update(succeeded, false) restart(succeeded, false) dance(rejected, false) -command_ignored")
	if ack := k.obey(protocol.CommandBlock, ""); ack.Status != protocol.AckSucceeded {
		t.Errorf("%+v", ack)
	}
	k.next("it is blocked", func(r protocol.Reading) bool { return r.Status == protocol.StateBlocked })
}

func seeBlockIgnored(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +command_ignored")
	k.obey(protocol.CommandBlock, "")
	k.obey(protocol.CommandUpdate, `{"version":"1.2.0"}`)
	k.await("the new version", func() bool { return len(k.joins()) == 2 })
	if v := k.joins()[1].AgentVersion; v != "1.2.0" {
		t.Errorf("version %s", v)
	}
	k.told("boot +command_ignored block(succeeded, false) update(succeeded, true)")
	k.goTo(20 * minute)
}

// telemetry returns the messages since the n-th, and how many of them are no JSON.
func (k *kiosk) telemetry(n int) (fresh []mqttbroker.Message, malformed int) {
	fresh = k.said(protocol.ChannelTelemetry)[n:]
	for _, m := range fresh {
		if !json.Valid(m.Payload) {
			malformed++
		}
	}
	return fresh, malformed
}

func seeMalformed(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +malformed_payload")
	n := len(k.said(protocol.ChannelTelemetry)) + 1 // one may be under way
	k.await("messages", func() bool { return len(k.said(protocol.ChannelTelemetry)) > n+5 })
	if fresh, malformed := k.telemetry(n); malformed != len(fresh) {
		t.Errorf("%d of %d are malformed", malformed, len(fresh))
	}
	if ack := k.obey(protocol.CommandPing, ""); ack.Status != protocol.AckSucceeded {
		t.Errorf("%+v", ack)
	}
	k.goTo(20 * minute)
	k.told("boot +malformed_payload ping(succeeded, true) -malformed_payload")
	n = len(k.said(protocol.ChannelTelemetry)) + 1
	k.await("messages again", func() bool { return len(k.said(protocol.ChannelTelemetry)) > n+3 })
	if _, malformed := k.telemetry(n); malformed > 0 {
		t.Errorf("%d are malformed after the end", malformed)
	}
	k.b.Forget(k.serial, protocol.ChannelTelemetry)
}

func seeHalfMalformed(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.told("boot +malformed_payload")
	n := len(k.said(protocol.ChannelTelemetry)) + 1
	k.await("messages", func() bool { return len(k.said(protocol.ChannelTelemetry)) >= n+40 })
	// Of 40 fair coins, fewer than 5 or more than 35 heads come once in ten million times.
	if fresh, malformed := k.telemetry(n); malformed < 5 || len(fresh)-malformed < 5 {
		t.Errorf("%d of %d are malformed", malformed, len(fresh))
	}
	k.goTo(20 * minute)
	k.told("boot +malformed_payload -malformed_payload")
	k.b.Forget(k.serial, protocol.ChannelTelemetry)
}

func seeAnotherSerial(t *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.next("another serial", func(r protocol.Reading) bool { return r.Serial == "SOMEBODY-ELSE" })
	k.goTo(20 * minute)
	k.next("its own serial", func(r protocol.Reading) bool { return r.Serial == k.serial })
	k.told("boot +serial_mismatch -serial_mismatch")
	for _, m := range k.said(protocol.ChannelJoin) {
		if !bytes.Contains(m.Payload, []byte(k.serial)) {
			t.Errorf("join %s", m.Payload)
		}
	}
}

// update updates the kiosk, again while a crash interrupts that.
func (k *kiosk) update(version string) {
	k.t.Helper()
	k.await("version "+version, func() bool {
		return k.obey(protocol.CommandUpdate, `{"version":"`+version+`"}`).Status == protocol.AckSucceeded
	})
}

func seeFirmwareReboot(t *testing.T, k *kiosk) {
	k.update("5.0.0")
	k.goTo(10 * minute)
	k.update("5.0.1")
	k.told("boot update(succeeded, true) update(succeeded, true)")
	for round := 1; round <= 2; round++ {
		wills := k.wills()
		k.update("6.6.6")
		k.await("wills", func() bool { return k.wills() >= wills+2 })
		if got := strings.Count(k.story(), "+bad_firmware"); got != round {
			t.Errorf("begun %d times: %s", got, k.story())
		}
		k.update("6.6.7")
		k.await("the end", func() bool { return strings.Count(k.story(), "-bad_firmware") == round })
	}
	k.online()
	n := k.boots()
	for range 25 { // longer than it takes to fall
		k.online()
	}
	if k.boots() != n {
		t.Error("it reboots with good firmware")
	}
}

// gauge returns a metric of the hardware.
func gauge(r protocol.Reading, name string) float64 { v, _ := r.Hardware[name].(float64); return v }

func seeFirmwareBusy(_ *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	k.update("7.0.0")
	k.told("boot update(succeeded, true) +bad_firmware")
	k.next("a busy CPU", func(r protocol.Reading) bool { return gauge(r, "cpu_usage") > 80 })
	k.update("7.0.1") // every update is bad
	k.told("boot update(succeeded, true) +bad_firmware update(succeeded, true)")
	k.goTo(20 * minute)
	k.told("boot update(succeeded, true) +bad_firmware update(succeeded, true) -bad_firmware")
	k.goTo(25 * minute)
	k.next("a CPU with some rest", func(r protocol.Reading) bool { return gauge(r, "cpu_usage") < 80 })
}

func seeFirmwareLeak(_ *testing.T, k *kiosk) {
	k.goTo(10 * minute)
	var before float64
	k.next("the memory", func(r protocol.Reading) bool { before = gauge(r, "ram_usage"); return true })
	k.update("6.6.6")
	k.goTo(40 * minute) // 20 % leak away
	k.next("less memory", func(r protocol.Reading) bool { return gauge(r, "ram_usage") > min(before+12, 97) })
	k.update("6.6.7")
	k.told("boot update(succeeded, true) +bad_firmware update(succeeded, true) -bad_firmware")
	k.next("memory again", func(r protocol.Reading) bool { return gauge(r, "ram_usage") < before+12 })
}
