package watch

import (
	"math"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

const (
	hourMillis = 3600 * 1000
	// siblings is how many others a kiosk is compared with, at least.
	siblings = 8
	// far is how many spreads from the middle a kiosk has to be, whatever its usual distance.
	far = 4
	// peerHours is how many hours the usual distance remembers, peerWarm how many it takes to know it.
	peerHours = 14 * 24
	peerWarm  = 24
)

// Peers compares the kiosks of one model and site within an hour: the middle and the spread of their hourly means, by
// metric. It is filled with Add and then asked by each kiosk's Compare; the two may be under different locks, as it
// keeps nothing of the kiosks but numbers.
type Peers struct {
	hour    int64
	means   map[string][]float64
	compare map[string]middle
}

// middle is where kiosks are within an hour.
type middle struct {
	median, spread float64 // the spread is the median distance from the median, as a standard deviation
	kiosks         int
}

// NewPeers returns the comparison of the hour that begins at hour; earlier minutes are cut off.
func NewPeers(hour time.Time) *Peers {
	return &Peers{hour: floorDiv(hour.UnixMilli(), hourMillis), means: map[string][]float64{}}
}

// Add takes in a kiosk's means of the hour, if its readings have gone beyond it. It must not come after Compare.
func (p *Peers) Add(k *Kiosk) {
	for i := range k.sensors {
		s := &k.sensors[i]
		if s.peer.done == p.hour {
			p.means[s.name] = append(p.means[s.name], s.origin+float64(s.peer.mean))
		}
	}
}

// middles computes the middle of each metric, once.
func (p *Peers) middles() map[string]middle {
	if p.compare != nil {
		return p.compare
	}
	p.compare = make(map[string]middle, len(p.means))
	for name, all := range p.means {
		if len(all) <= siblings {
			continue
		}
		slices.Sort(all)
		m := middle{median: all[len(all)/2], kiosks: len(all)}
		for i, x := range all {
			all[i] = math.Abs(x - m.median)
		}
		slices.Sort(all)
		m.spread = 1.4826 * all[len(all)/2] // of normal values, that is the standard deviation
		p.compare[name] = m
	}
	return p.compare
}

// peer is how a sensor compares with its siblings'.
type peer struct {
	sum   float32 // mean of the present hour
	count float32
	done  int64   // the last full hour, since 1970
	mean  float32 // its mean
	away  float32 // usual distance from the siblings, in spreads
	sway  float32 // how far the distance is from that
	hours float32 // that were compared
	until int64   // how long the evidence holds, Unix milliseconds
	found part
	among uint16 // kiosks that were compared
}

// add takes in a value, relative to the sensor's origin.
func (p *peer) add(v float32) {
	p.count++
	p.sum += (v - p.sum) / p.count
}

// end ends an hour.
func (p *peer) end(hour int64) {
	if p.count > 0 {
		p.done, p.mean = hour, p.sum
	}
	p.sum, p.count = 0, 0
}

// Compare judges the kiosk by its siblings in the hour of p, and learns how far it usually is from them. What it finds
// is evidence in the readings of the hour that follows.
func (k *Kiosk) Compare(p *Peers) {
	middles := p.middles()
	for i := range k.sensors {
		s := &k.sensors[i]
		m, ok := middles[s.name]
		if !ok || s.peer.done != p.hour {
			continue
		}
		value := s.origin + float64(s.peer.mean)
		// Where all are alike, a step of the sensor is the least that tells them apart.
		spread := max(m.spread, float64(s.grain), 1e-4*math.Abs(m.median), 1e-9)
		s.peer.found = part{}
		s.peer.judge(float32(min(max((value-m.median)/spread, -1e6), 1e6)))
		s.peer.until = (p.hour + 2) * hourMillis
		s.peer.among = uint16(min(m.kiosks-1, math.MaxUint16))
		if f := &s.peer.found; f.evidence > 0 {
			usual := m.median + float64(s.peer.away)*spread
			f.value, f.low, f.high = value, usual-3*spread, usual+3*spread
		}
	}
}

// judge compares a distance with the usual one, then learns it. Distances are taken for exponential around the usual
// one: beyond what is seen they are seldom well known, and the budget of the kiosk sees to the rest.
func (p *peer) judge(distance float32) {
	size := p.sway + 0.5
	off := abs(distance-p.away) / size
	if p.hours >= peerWarm && abs(distance) > far {
		p.found = part{evidence: min(off*math.Log10E, most), kind: peersKind}
	}
	p.hours++
	gain := 1 / min(p.hours, peerHours)
	step := distance - p.away
	if p.hours > peerWarm {
		step = min(max(step, -4*size), 4*size)
	}
	p.away += gain * step
	p.sway += gain * (abs(step) - p.sway)
}

var peersKind = kindNumber(fleet.AnomalyPeers)

// part returns the evidence that still holds.
func (p *peer) part(now int64) part {
	if now >= p.until {
		return part{}
	}
	return p.found
}
