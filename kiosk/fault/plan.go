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
// kiosks of a site together.
type Rates map[Kind]float64

// Plan says when which fault befalls one kiosk: what a scenario has scheduled and what comes by
// chance. It is a function of its arguments and of time, so that it can be asked about any time in any
// order. A nil plan has no faults. Safe for concurrent use.
type Plan struct {
	scheduled []Fault // by From
	rates     []rate  // by kind
}

type rate struct {
	spec   Spec
	perDay float64
	seed   uint64
}

// slot is the stretch of time that chance is drawn for: at most one fault of a kind begins in one, and
// ends within it.
const slot = 12 * time.Hour

// NewPlan returns the plan of a kiosk. Scheduled faults need a Kind, complete Params and times; those
// without an ID get one. The same seed, serial, site and rates give the same faults of chance.
func NewPlan(seed uint64, serial, site string, scheduled []Fault, rates Rates) *Plan {
	p := &Plan{scheduled: slices.Clone(scheduled)}
	slices.SortStableFunc(p.scheduled, func(a, b Fault) int { return a.From.Compare(b.From) })
	for i := range p.scheduled {
		if f := &p.scheduled[i]; f.ID == "" {
			f.ID = serial + "/" + string(f.Kind) + "/" + strconv.Itoa(i+1)
		}
	}
	for kind, perDay := range rates {
		spec, ok := Lookup(kind)
		if !ok || !(perDay > 0) {
			continue
		}
		whom := serial
		if kind == SiteOutage {
			whom = "site " + site
		}
		p.rates = append(p.rates, rate{spec, perDay, hashed.Of(seed, hashed.Text(string(kind)), hashed.Text(whom))})
	}
	slices.SortFunc(p.rates, func(a, b rate) int { return cmp.Compare(a.spec.Kind, b.spec.Kind) })
	return p
}

// inSlot returns the fault of a rate that begins in slot number n.
func (r *rate) inSlot(n int64) (Fault, bool) {
	random := rand.New(rand.NewPCG(r.seed, uint64(n)))
	if random.Float64() >= -math.Expm1(-r.perDay*slot.Hours()/24) {
		return Fault{}, false
	}
	begin := time.Unix(n*int64(slot/time.Second), 0).UTC()
	from := begin.Add(time.Duration(random.Float64() * 0.8 * float64(slot))).Truncate(time.Second)
	length := time.Duration((0.4 + random.ExpFloat64()*0.6) * float64(r.spec.Typical)).Truncate(time.Second)
	to := from.Add(max(length, time.Second))
	if end := begin.Add(slot); to.After(end) {
		to = end
	}
	params, err := Complete(r.spec.Kind, nil)
	if err != nil {
		return Fault{}, false // Lookup knew the kind
	}
	for _, param := range r.spec.Params {
		if param.Type == TypeMetric {
			params[param.Name] = sensors[random.IntN(len(sensors))]
		}
	}
	id := string(r.spec.Kind) + "/" + strconv.FormatUint(r.seed, 36) + "/" + strconv.FormatInt(from.Unix(), 10)
	return Fault{ID: id, Kind: r.spec.Kind, Params: params, From: from, To: to}, true
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
		for n := slotOf(from); n <= last; n++ {
			if f, ok := p.rates[i].inSlot(n); ok && f.From.Before(to) && f.To.After(from) {
				out = append(out, f)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return a.From.Compare(b.From) })
	return out
}

// Empty reports whether no fault ever befalls the kiosk.
func (p *Plan) Empty() bool { return p == nil || len(p.scheduled) == 0 && len(p.rates) == 0 }
