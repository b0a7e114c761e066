package fault

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"kioskfleet/internal/hashed"
)

// Rates says how often faults come by chance: per kiosk and day, by kind. A site outage befalls all
// kiosks of a site together, so its rate is that of the site.
type Rates map[Kind]float64

// MaxPerDay bounds a rate; what is above counts as this.
const MaxPerDay = 1000

// Plan says when which fault befalls one kiosk: what a scenario has scheduled and what comes by
// chance. It is a function of its arguments and of time, so that it can be asked about any time in any
// order. A nil plan has no faults. Safe for concurrent use.
type Plan struct {
	scheduled []Fault // by From
	rates     []rate  // by kind
}

// rate is a Poisson process: faults of one kind that begin at random moments.
type rate struct {
	spec   *Spec // not a copy: there may be 24 rates for each of many kiosks
	perDay float64
	seed   uint64
}

// slot is the stretch of time that the moments are drawn for at once.
const slot = 12 * time.Hour

// longest bounds how long a fault of chance lasts, so that it is known how far to look back.
func (r *rate) longest() time.Duration { return min(4*r.spec.Typical, slot) }

// NewPlan returns the plan of a kiosk. Scheduled faults need a Kind, complete Params and times; those
// without an ID get one, and those that end before they begin are none. The same seed, serial, site and
// rates give the same faults of chance. A kiosk without a site has its outages for itself.
func NewPlan(seed uint64, serial, site string, scheduled []Fault, rates Rates) *Plan {
	p := &Plan{scheduled: slices.Clone(scheduled)}
	p.scheduled = slices.DeleteFunc(p.scheduled, func(f Fault) bool { return !f.To.IsZero() && !f.To.After(f.From) })
	slices.SortStableFunc(p.scheduled, func(a, b Fault) int { return a.From.Compare(b.From) })
	for i := range p.scheduled {
		if f := &p.scheduled[i]; f.ID == "" {
			f.ID = serial + "/" + string(f.Kind) + "/" + strconv.Itoa(i+1)
		}
	}
	p.rates = make([]rate, 0, len(rates))
	for kind, perDay := range rates {
		i := slices.IndexFunc(specs, func(s Spec) bool { return s.Kind == kind })
		if i < 0 || !(perDay > 0) {
			continue
		}
		whom := serial
		if kind == SiteOutage && site != "" {
			whom = "site " + site
		}
		seed := hashed.Of(seed, hashed.Text(string(kind)), hashed.Text(whom))
		p.rates = append(p.rates, rate{&specs[i], min(perDay, MaxPerDay), seed})
	}
	slices.SortFunc(p.rates, func(a, b rate) int { return cmp.Compare(a.spec.Kind, b.spec.Kind) })
	return p
}

// moments are the times at which faults of one kind begin in one slot. They take no memory, because
// plans are asked often and most slots have none.
type moments struct {
	key   uint64 // of the rate and the slot
	count uint64
	begin time.Time
	gap   float64 // mean time between two, s
	at    float64 // the last one, from the begin of the slot, s
}

func (r *rate) moments(n int64) moments {
	return moments{key: hashed.Of(r.seed, uint64(n)), begin: time.Unix(n*int64(slot/time.Second), 0).UTC(), gap: 24 * 3600 / r.perDay}
}

// next returns the next one, in whole seconds, if there is one.
func (m *moments) next() (time.Time, bool) {
	m.count++
	m.at -= math.Log1p(-hashed.Uniform(hashed.Of(m.key, m.count))) * m.gap
	if m.at >= slot.Seconds() {
		return time.Time{}, false
	}
	return m.begin.Add(time.Duration(m.at) * time.Second), true
}

// inSlot calls yield with the faults that begin in slot number n, by their begin, until it returns false.
// Each ends when the next of its kind begins, at the latest.
func (r *rate) inSlot(n int64, yield func(Fault) bool) {
	drawn := r.moments(n)
	var last Fault
	for from, ok := drawn.next(); ok; from, ok = drawn.next() {
		if !from.After(last.From) {
			continue // two within one second are one
		}
		if !last.From.IsZero() {
			last.To = earlier(last.To, from)
			if !yield(last) {
				return
			}
		}
		last = r.fault(from, rand.New(rand.NewPCG(drawn.key, drawn.count)))
	}
	if last.From.IsZero() {
		return
	}
	following := r.moments(n + 1)
	if next, ok := following.next(); ok {
		last.To = earlier(last.To, next)
	}
	yield(last)
}

// fault draws one that begins at from.
func (r *rate) fault(from time.Time, random *rand.Rand) Fault {
	length := time.Duration((0.4 + random.ExpFloat64()*0.6) * float64(r.spec.Typical)).Truncate(time.Second)
	params := Params{}
	for _, param := range r.spec.Params {
		params[param.Name] = param.Default
		if param.Type == TypeMetric {
			params[param.Name] = sensors[random.IntN(len(sensors))]
		}
	}
	id := string(r.spec.Kind) + "/" + strconv.FormatUint(r.seed, 36) + "/" + strconv.FormatInt(from.Unix(), 10)
	return Fault{ID: id, Kind: r.spec.Kind, Params: params, From: from, To: from.Add(min(max(length, time.Second), r.longest()))}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sensors are the metrics whose sensors fail by chance.
var sensors = []string{
	"environmental.temperature", "environmental.humidity", "environmental.air_quality",
	"hardware.cpu_temp", "hardware.cpu_usage", "hardware.ram_usage", "network.latency", "network.signal_strength",
}

func slotOf(t time.Time) int64 { return floorDiv(t.Unix(), int64(slot/time.Second)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// During returns the faults that are there at some moment of [from, to), by their begin.
func (p *Plan) During(from, to time.Time) []Fault {
	if p == nil || !from.Before(to) {
		return nil
	}
	var out []Fault
	for _, f := range p.scheduled {
		if f.From.Before(to) && (f.To.IsZero() || f.To.After(from)) {
			out = append(out, f)
		}
	}
	last := slotOf(to.Add(-1))
	for i := range p.rates {
		for n := slotOf(from.Add(-p.rates[i].longest())); n <= last; n++ {
			p.rates[i].inSlot(n, func(f Fault) bool {
				if f.From.Before(to) && f.To.After(from) {
					out = append(out, f)
				}
				return f.From.Before(to)
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return a.From.Compare(b.From) })
	return out
}

// Empty reports whether no fault ever befalls the kiosk.
func (p *Plan) Empty() bool { return p == nil || len(p.scheduled) == 0 && len(p.rates) == 0 }
