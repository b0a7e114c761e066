package detect

import "math"

// bounds notices values beyond all before: how rare they are, and how far beyond in units of the range.
type bounds struct {
	low, high float64
	rate      float32 // of new extremes
	size      float32 // mean distance beyond, in ranges
}

// look returns the evidence of v and how far beyond the range it is, in ranges; 0 inside.
func (b *bounds) look(c *Config, v float64) (evidence, beyond float64) {
	over := max(v-b.high, b.low-v)
	if over <= 0 {
		return 0, 0
	}
	beyond = 1.0
	if b.high > b.low {
		beyond = min(over/(b.high-b.low), 10)
	}
	return -log10(float64(b.rate)) + c.rangeShape*log10(1+beyond/(float64(b.size)*c.rangeShape)), beyond
}

func (b *bounds) learn(c *Config, n, v, beyond float64) {
	memory := min(n+1, c.rangePoints)
	if beyond > 0 {
		b.size = max(b.size+float32(0.1*(min(beyond, 1)-float64(b.size))), 1e-3)
		b.rate += (1 - b.rate) / float32(memory)
	} else {
		b.rate = max(b.rate-b.rate/float32(memory), 1e-6)
	}
	b.low, b.high = min(b.low, v), max(b.high, v)
}

// still notices a value that does not move for longer than it usually does.
type still struct {
	anchor  float64 // where the run began
	run     uint32  // points since then that did not move
	longest uint32  // run that is taken to be usual
	runs    Tail    // lengths of runs
}

// look returns the evidence of v and whether it moved. Unit is the usual size of innovations.
func (s *still) look(c *Config, v, unit float64) (evidence float64, moved bool) {
	if math.Abs(v-s.anchor) > c.stillShare*unit {
		return 0, true
	}
	run := float64(s.run) + 1
	if run < 3 || s.runs.n <= 30 || run <= c.stillTimes*float64(s.longest) {
		return 0, false
	}
	return s.runs.Evidence(run + 1), false
}

// learn counts. After the warm-up a single long run, which may be a fault, makes the longest at most stillGrow times as
// long: what comes back is believed in the end.
func (s *still) learn(c *Config, n, v float64, moved bool) {
	if !moved {
		s.run++
		return
	}
	run := s.run
	if n > c.warm {
		run = min(run, uint32(c.stillGrow)*(s.longest+1))
	}
	if n > 1 {
		s.runs.Learn(float64(run)+1, runsMost)
	}
	s.longest = max(s.longest, run)
	s.run, s.anchor = 0, v
}

const runsMost = 5000 // runs that a Tail of them remembers

// gone notices a fall to nothing of what is rarely nothing.
type gone struct {
	share float32 // of values that are 0
	was   bool    // the last value was 0
}

// look returns the evidence at the first of some zeros.
func (g *gone) look(n float64, zero bool) float64 {
	if !zero || g.was {
		return 0
	}
	return max(-log10(float64(g.share)+1/n), 0)
}

func (g *gone) learn(n float64, zero bool) {
	memory := float32(min(n+1, runsMost))
	if g.was = zero; zero {
		g.share += (1 - g.share) / memory
	} else {
		g.share -= g.share / memory
	}
}
