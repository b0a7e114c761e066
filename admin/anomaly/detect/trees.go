package detect

import (
	"math"
	"math/rand/v2"
)

// Half-space trees: each divides space at random into 32 parts and counts how many of the last values fell into each. A
// value in parts that were rarely visited is unusual. A point of space is the last six values, a quarter of an hour apart
// where they come more often, in units of the range so far: then a window is more than two days, and not every hour of
// the day is a new one.
//
// Source: S. C. Tan, K. M. Ting and T. F. Liu, Fast anomaly detection for streaming data, IJCAI 2011.
const (
	treeCount    = 50
	treeDepth    = 5
	treeLeaves   = 1 << treeDepth
	treeWindow   = 250 // values after which the counts become those that others are held against
	treeLags     = 6
	treesPerHour = 4 // values that count, at most
	treeMemory   = 6 // values over which rarity is smoothed
)

// split is one inner node.
type split struct {
	lag uint8
	at  float32 // of the range
}

// forest is where the trees of all metrics divide space. They are the same everywhere and always, so that a saved state
// fits.
var forest = func() (f [treeCount][treeLeaves]split) {
	r := rand.New(rand.NewPCG(20110716, 19))
	for t := range f {
		var low, high [treeLags]float64
		for lag := range low {
			centre := r.Float64()
			reach := 2 * max(centre, 1-centre)
			low[lag], high[lag] = centre-reach, centre+reach
		}
		grow(r, &f[t], 1, low, high)
	}
	return f
}()

// grow divides the space of a node in the middle of one of its sides.
func grow(r *rand.Rand, tree *[treeLeaves]split, node int, low, high [treeLags]float64) {
	if node >= treeLeaves {
		return
	}
	lag := r.IntN(treeLags)
	middle := (low[lag] + high[lag]) / 2
	tree[node] = split{uint8(lag), float32(middle)}
	left, right := high, low
	left[lag], right[lag] = middle, middle
	grow(r, tree, 2*node, low, left)
	grow(r, tree, 2*node+1, right, high)
}

// trees are the counts of one metric's trees, about 3.5 KB.
type trees struct {
	seen   [treeCount][treeLeaves]uint8 // of the window before
	now    [treeCount][treeLeaves]uint8
	count  uint32            // values in now
	filled uint32            // 1 once there was a whole window
	since  uint32            // values since the last lag
	lags   [treeLags]float32 // values, relative to the metric's origin; the newest first
	smooth float32           // smoothed rarity
	rarity Tail
	mean   Tail
}

// place is where a value is among the trees.
type place struct {
	leaves [treeCount]uint8
	lagged bool    // it becomes a lag
	rarity float64 // 0 is as common as can be
	smooth float64
}

func (t *trees) look(m *Metric, s *sample) {
	var point [treeLags]float32
	scale := 1 / max(m.bounds.high-m.bounds.low, 1e-9)
	at := func(v float64) float32 { return float32(clamp((v-m.bounds.low)*scale, 10)) }
	point[0] = at(s.v)
	for i := 1; i < treeLags; i++ {
		point[i] = at(float64(t.lags[i-1]))
	}
	p := &s.place
	p.lagged = float64(t.since)+1 >= s.moment.perHour/treesPerHour
	mass := 0
	for k := range forest {
		tree := &forest[k]
		node := 1
		for range treeDepth {
			node *= 2
			if n := tree[node/2]; point[n.lag] >= n.at {
				node++
			}
		}
		p.leaves[k] = uint8(node - treeLeaves)
		mass += int(t.seen[k][node-treeLeaves])
	}
	if t.filled == 0 {
		return
	}
	p.rarity = -log10((float64(mass) + 1) / (treeCount*treeWindow + 1))
	p.smooth = float64(t.smooth) + (p.rarity-float64(t.smooth))/treeMemory
	s.parts[byTrees] = (t.rarity.Evidence(p.rarity) + t.mean.Evidence(p.smooth)) / 2
}

func (t *trees) learn(s *sample, limit uint32) {
	p := &s.place
	if t.filled > 0 {
		t.rarity.Learn(p.rarity, limit)
		t.mean.Learn(p.smooth, limit)
		t.smooth = float32(p.smooth)
	}
	if t.since++; !p.lagged {
		return
	}
	t.since = 0
	copy(t.lags[1:], t.lags[:])
	t.lags[0] = float32(s.v)
	for k, leaf := range p.leaves {
		if t.now[k][leaf] < math.MaxUint8 {
			t.now[k][leaf]++
		}
	}
	if t.count++; t.count == treeWindow {
		t.seen, t.now = t.now, [treeCount][treeLeaves]uint8{}
		t.count, t.filled = 0, 1
	}
}
