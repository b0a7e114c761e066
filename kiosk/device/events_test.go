package device

import (
	"testing"
	"time"

	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// moment is when an event is told: a session's is its end.
func moment(e truth.Event) time.Time {
	if e.Session != nil {
		return e.Session.Ended
	}
	return e.Time
}

func TestEventsComeInOrderAndEachBeginHasItsEnd(t *testing.T) {
	kinds := map[fault.Kind]int{}
	outcomes := map[string]int{}
	paid := map[string]int{}
	for n := range 12 {
		sim := simulation(n, start, start)
		if n%2 == 0 {
			sim = plagued(n)
		}
		open := map[string]truth.Event{}
		seen := map[string]bool{}
		first := true
		last := time.Time{}
		sim.Observe = func(e truth.Event) {
			if e.Serial != sim.Serial {
				t.Fatalf("kiosk %d told of %q", n, e.Serial)
			}
			at := moment(e)
			if at.Before(last) {
				t.Fatalf("kiosk %d: %+v of %s was told after one of %s", n, e, at, last)
			}
			last = at
			if first != !at.After(start) {
				t.Fatalf("kiosk %d: %+v was told at the first sample: %t", n, e, first)
			}
			switch e.Event {
			case truth.FaultStart:
				if seen[e.ID] {
					t.Fatalf("kiosk %d: %s began twice", n, e.ID)
				}
				seen[e.ID], open[e.ID] = true, e
				kinds[e.Fault]++
				worn := e.Fault == fault.AcceptorError || e.Fault == fault.PrinterLost
				if spec, ok := fault.Lookup(e.Fault); !worn && (!ok || spec.Layer != fault.LayerDevice || len(e.Params) != len(spec.Params)) {
					t.Fatalf("kiosk %d: %+v is no fault of a device", n, e)
				}
			case truth.FaultEnd:
				begin, ok := open[e.ID]
				if !ok || begin.Fault != e.Fault || !begin.Time.Before(e.Time) {
					t.Fatalf("kiosk %d: %+v is the end of %+v", n, e, begin)
				}
				delete(open, e.ID)
			case truth.Session:
				c := e.Session
				outcomes[c.Outcome]++
				paid[c.Paid]++
				if c.Arrived.After(e.Time) || e.Time.After(c.Ended) || c.Ended.Sub(c.Arrived) > 15*time.Minute {
					t.Fatalf("kiosk %d: session at %s: %+v", n, e.Time, c)
				}
				inside := c.Outcome == truth.Served || c.Outcome == truth.Interrupted
				if !inside && (c.Printed > 0 || c.Paid != "" || !e.Time.Equal(c.Arrived)) || c.Outcome == truth.Served && !c.Ended.After(e.Time) {
					t.Fatalf("kiosk %d: session at %s: %+v", n, e.Time, c)
				}
			}
		}
		s := NewSimulated(sim)
		s.Sample(start, true)
		first = false
		run(s, start, 10*24*time.Hour, time.Minute, true, func(time.Time, Sample) {})
		// What is still open is what the kiosk still has.
		for i := range s.planned {
			if f := &s.planned[i]; f.begun && !f.ended {
				delete(open, f.ID)
			}
		}
		for kind := range troubles {
			if s.troubles[kind] != 0 {
				s.fix(kind, s.last+1)
			}
		}
		for _, e := range open {
			t.Errorf("kiosk %d: %+v has no end", n, e)
		}
	}
	for _, spec := range fault.Specs() {
		if spec.Layer == fault.LayerDevice && kinds[spec.Kind] == 0 {
			t.Errorf("no %s in %v", spec.Kind, kinds)
		}
	}
	for _, kind := range []fault.Kind{fault.AcceptorError, fault.PrinterLost} {
		if kinds[kind] == 0 {
			t.Errorf("no %s in %v", kind, kinds)
		}
	}
	for _, outcome := range []string{truth.Served, truth.Interrupted, truth.TurnedAway, truth.LeftQueue} {
		if outcomes[outcome] == 0 {
			t.Errorf("nobody was %s: %v", outcome, outcomes)
		}
	}
	if outcomes[truth.Served] < 5*(outcomes[truth.Interrupted]+outcomes[truth.LeftQueue]) {
		t.Errorf("few were served: %v", outcomes)
	}
	if paid[card] <= paid[cash] || paid[cash] == 0 || paid[""] == 0 {
		t.Errorf("sessions were paid by %v", paid)
	}
}

func TestPlannedFaultsAreToldExactly(t *testing.T) {
	var told []truth.Event
	sim := simulation(2, faultFrom.Add(123456789), faultTo.Add(987), fault.Overheating)
	sim.Observe = func(e truth.Event) {
		if e.Fault == fault.Overheating {
			told = append(told, e)
		}
	}
	want := sim.Faults.During(faultFrom, faultTo)[0]
	for name, first := range map[string]time.Time{"from before": start, "from within": faultFrom.Add(time.Hour)} {
		told = nil
		s := NewSimulated(sim)
		run(s, first, 4*time.Hour, time.Minute, true, func(time.Time, Sample) {})
		if len(told) != 2 || told[0].Event != truth.FaultStart || told[1].Event != truth.FaultEnd ||
			!told[0].Time.Equal(want.From) || !told[1].Time.Equal(want.To) || told[0].ID != want.ID || told[1].ID != want.ID ||
			told[0].Params.Number("by") != 32 {
			t.Errorf("%s: told %+v, want %+v", name, told, want)
		}
	}
}

func TestSessionsAgreeWithLevels(t *testing.T) {
	for n := range 4 {
		pages, payments := 0, 0
		sim := simulation(n, start, start)
		sim.Observe = func(e truth.Event) {
			if c := e.Session; c != nil {
				pages += c.Printed
				if c.Paid == cash {
					payments++
				}
			}
		}
		s := NewSimulated(sim)
		s.Sample(start, true)
		inside := s.session // who is inside has printed before
		pages -= inside.printed
		var paper, money, printed, paid float64 // at first and after each refill
		var lastPaper, lastMoney float64
		steps := 0
		run(s, start, 5*24*time.Hour, 20*time.Second, true, func(at time.Time, sample Sample) {
			nowPaper := sample.Custom["paper_level"].(float64) * float64(s.traits.paper) / 100
			nowMoney := sample.Custom["cash_level"].(float64) * float64(s.traits.cash) / 100
			nowPrinted, nowPaid := float64(pages+s.session.printed), float64(payments)
			if s.session.step > 0 && s.session.pays == cash {
				nowPaid++
			}
			// Levels are rounded to 0.1 %.
			if off := (paper - nowPaper) - (nowPrinted - printed); steps > 0 && nowPaper <= lastPaper && (off > 1.3 || off < -1.3) {
				t.Fatalf("kiosk %d at %s: paper went from %.1f to %.1f pages, printed were %v", n, at, paper, nowPaper, nowPrinted-printed)
			}
			if off := (nowMoney - money) - (nowPaid - paid); steps > 0 && nowMoney >= lastMoney && (off > 0.6 || off < -0.6) {
				t.Fatalf("kiosk %d at %s: cash went from %.1f to %.1f, paid were %v", n, at, money, nowMoney, nowPaid-paid)
			}
			if nowPaper > lastPaper || steps == 0 {
				paper, printed = nowPaper, nowPrinted
			}
			if nowMoney < lastMoney || steps == 0 {
				money, paid = nowMoney, nowPaid
			}
			lastPaper, lastMoney = nowPaper, nowMoney
			steps++
		})
		if pages < 100 || payments < 20 {
			t.Errorf("kiosk %d: %d pages and %d payments in five days", n, pages, payments)
		}
	}
}

func TestTroublesHaveTheirConsequences(t *testing.T) {
	for _, test := range []struct {
		name   string
		broken []trouble
		serves bool
	}{
		{"nothing broken", nil, true},
		{"reader", []trouble{readerError}, true},
		{"acceptor", []trouble{acceptorError}, true},
		{"cash box", []trouble{cashBoxFull}, true},
		{"jam", []trouble{jam}, false},
		{"printer", []trouble{printerLost}, false},
		{"both ways to pay", []trouble{readerError, acceptorError}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			served, turned := 0, 0
			sim := simulation(3, start, start)
			sim.Observe = func(e truth.Event) {
				if e.Session == nil {
					return
				}
				switch e.Session.Outcome {
				case truth.Served:
					served++
				case truth.TurnedAway:
					turned++
				}
			}
			s := NewSimulated(sim)
			s.Sample(start, true)
			for _, kind := range test.broken {
				s.fail(kind, s.last)
				s.due[dueRepair+int(kind)] = never
			}
			s.Sample(start.Add(3*time.Hour), true)
			if test.serves && (served < 5 || turned > served/2) || !test.serves && (served > 0 || turned < 5) {
				t.Errorf("%d were served and %d turned away", served, turned)
			}
		})
	}
}

func TestNobodyIsInsideWhenStaffServiceTheKiosk(t *testing.T) {
	for n := range 40 {
		sim := simulation(n, start, start)
		sim.Conditions = []Condition{{From: start, Demand: 6}}
		var service time.Time
		closed := 0
		sim.Observe = func(e truth.Event) {
			if c := e.Session; c != nil && c.Arrived.After(service.Add(-time.Duration(closing))) && c.Arrived.Before(service) {
				closed++
			}
		}
		s := NewSimulated(sim)
		s.Sample(start, true)
		for range 3 {
			service = s.due[dueService].time()
			s.Sample(service.Add(-10*time.Minute), true)
			if s.session.who != 0 || len(s.queue) > 0 {
				t.Errorf("kiosk %d: somebody is there ten minutes before the service", n)
			}
			s.Sample(service.Add(time.Hour), true)
		}
		if closed > 0 {
			t.Errorf("kiosk %d: %d customers came while it was closed", n, closed)
		}
	}
}
