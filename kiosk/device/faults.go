package device

import "time"

// What peripherals report; see protocol.Metrics.
const (
	ready          = "ready"
	printerLowInk  = "low_ink"
	printerJam     = "paper_jam"
	printerOffline = "offline"
	cashFull       = "full"
	failed         = "error"
)

// faults are the peripherals' troubles. Each has an end: somebody comes and repairs it.
type faults struct {
	printer trouble // jam or offline
	cash    trouble
	card    trouble
}

type trouble struct {
	state string
	until time.Time
}

func (f trouble) at(now time.Time) (state string, on bool) {
	return f.state, f.state != "" && now.Before(f.until)
}

// step lets faults begin. The rates make a kiosk fail about every other hour at busy times, so that
// ten of them show something now and then.
func (f *faults) step(s *Simulated, now time.Time, dt float64) {
	begin := func(f *trouble, state string, perHour float64) {
		// The draws come first: they must not depend on what else is broken.
		comes, minutes := s.happens(perHour, dt), s.between(2, 9)
		if _, broken := f.at(now); comes && !broken {
			*f = trouble{state, now.Add(time.Duration(minutes * float64(time.Minute)))}
		}
	}
	begin(&f.printer, printerJam, 0.6*s.load)
	begin(&f.printer, printerOffline, 0.04)
	begin(&f.cash, failed, 0.06+0.25*s.load)
	begin(&f.card, failed, 0.06+0.25*s.load)
}

// clearElectronics ends the faults that a restart cures.
func (f *faults) clearElectronics() {
	f.cash, f.card = trouble{}, trouble{}
	if f.printer.state == printerOffline {
		f.printer = trouble{}
	}
}

func (f *faults) printerWorks(now time.Time) bool {
	_, broken := f.printer.at(now)
	return !broken
}

func (f *faults) printerStatus(left supplies, now time.Time) string {
	if state, broken := f.printer.at(now); broken {
		return state
	}
	switch {
	case left.paper <= 0:
		return printerOffline
	case left.ink < lowInk:
		return printerLowInk
	}
	return ready
}

func (f *faults) cashStatus(left supplies, now time.Time) string {
	if state, broken := f.cash.at(now); broken {
		return state
	}
	if left.cash >= cashBoxFull {
		return cashFull
	}
	return ready
}

func (f *faults) cardStatus(now time.Time) string {
	if state, broken := f.card.at(now); broken {
		return state
	}
	return ready
}

// supplies are what customers use up, in % of what fits in.
type supplies struct {
	paper, ink, cash       float64
	paperBy, inkBy, cashBy time.Time // when staff will have come; zero while nobody is called
}

const (
	lowPaper    = 9.0
	lowInk      = 10.0
	cashBoxFull = 97.0

	// Per customer, in %: a roll lasts 600 receipts, a cartridge 900, a cash box takes 500 payments.
	paperPerCustomer = 100.0 / 600
	inkPerCustomer   = 100.0 / 900
	cashPerCustomer  = 100.0 / 500
)

// step uses supplies up and has them refilled some minutes after they run low.
func (p *supplies) step(s *Simulated, now time.Time, customers float64) {
	p.paper = clamp(p.paper-customers*paperPerCustomer, 0, 100)
	p.ink = clamp(p.ink-customers*inkPerCustomer, 0, 100)
	p.cash = clamp(p.cash+customers*cashPerCustomer, 0, 100)
	serve := func(level *float64, by *time.Time, low bool, refilled float64) {
		switch {
		case !low:
		case by.IsZero():
			*by = now.Add(time.Duration(s.between(4, 20) * float64(time.Minute)))
		case !now.Before(*by):
			*level, *by = refilled, time.Time{}
		}
	}
	serve(&p.paper, &p.paperBy, p.paper < lowPaper, 100)
	serve(&p.ink, &p.inkBy, p.ink < lowInk, 100)
	serve(&p.cash, &p.cashBy, p.cash >= cashBoxFull, 0)
}
