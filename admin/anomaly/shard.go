package anomaly

import (
	"slices"
	"strings"
	"sync"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// shardCount is into how many parts kiosks are sorted, each with its snapshot. At 15,000 kiosks one holds about 235 of
// them, some megabytes.
const shardCount = 64

// shard holds some of the kiosks. Their states are read from the snapshot when the first of them is needed: a start
// waits for none of it.
type shard struct {
	number int
	once   sync.Once

	mu      sync.RWMutex // guards the rest
	kiosks  map[string]*entry
	open    map[string]*fleet.Anomaly // of before the start, until their kiosks are loaded
	changed bool                      // a kiosk went: the snapshot holds too much
}

// entry is what is known of one kiosk.
type entry struct {
	mu     sync.Mutex // guards the rest
	id     int64      // of the registration: another kiosk may get the serial
	kiosk  *watch.Kiosk
	model  *Model       // whose prior the kiosk has
	source fleet.Source // of the newest reading that was looked at
	newest int64        // its time, Unix milliseconds
	since  int64        // time of the first reading
	peers  int64        // begin of the latest hour in which the kiosk was compared with its siblings, Unix milliseconds
	score  float64
	scored bool // score is that of the newest reading
	open   *fleet.Anomaly
	known  string // id of the anomaly that was open when the state was written
	// orphan says that open is of before a crash and the detectors, whose state is a little older, know nothing of it:
	// it is over at this time unless they find it again. 0: not so; orphanSoon: it counts from the next reading.
	orphan int64
	// adrift says that the detectors have an anomaly open that was closed meanwhile, and until when they may. 0: not so.
	adrift  int64
	changed bool // since the latest snapshot
	gone    bool // it was forgotten
	zone    string
	place   *time.Location // of zone
}

// shardOf returns the shard of a serial by its FNV-1a hash. It is the same in every process, as snapshots ask.
func shardOf(serial string) int {
	h := uint32(2166136261)
	for i := range len(serial) {
		h = (h ^ uint32(serial[i])) * 16777619
	}
	return int(h % shardCount)
}

func (w *Watch) shard(serial string) *shard { return &w.shards[shardOf(serial)] }

// loaded returns the shard of a kiosk with its snapshot read.
func (w *Watch) loaded(serial string) *shard {
	s := w.shard(serial)
	w.load(s)
	return s
}

// entry returns a kiosk's, nil when nothing is known of it.
func (s *shard) entry(serial string) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.kiosks[serial]
}

// begin returns a kiosk's, a new one unless it is known.
func (w *Watch) begin(s *shard, k *fleet.Kiosk) *entry {
	if e := s.entry(k.Serial); e != nil {
		return e
	}
	m := w.model.Load()
	prior := w.prior(m, k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.kiosks[k.Serial]; ok {
		return e
	}
	e := &entry{id: k.ID, kiosk: watch.New(&w.cfg.Detect, prior), model: m}
	s.adopt(k.Serial, e)
	return e
}

// adopt adds an entry, with the anomaly that was open before the start. The lock is held.
func (s *shard) adopt(serial string, e *entry) {
	if a, ok := s.open[serial]; ok {
		delete(s.open, serial)
		if e.open = a; a.ID != e.known {
			e.orphan = orphanSoon
		}
	} else if e.kiosk.Open() {
		e.adrift = e.newest + adrift.Milliseconds()
	}
	if s.kiosks == nil {
		s.kiosks = map[string]*entry{}
	}
	s.kiosks[serial] = e
}

// all returns the shard's kiosks, by serial.
func (s *shard) all() []named {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]named, 0, len(s.kiosks))
	for serial, e := range s.kiosks {
		out = append(out, named{serial, e})
	}
	slices.SortFunc(out, func(a, b named) int { return strings.Compare(a.serial, b.serial) })
	return out
}

type named struct {
	serial string
	*entry
}

// prior returns what a model knows of kiosks like this one.
func (w *Watch) prior(m *Model, k *fleet.Kiosk) *watch.Prior { return m.Prior(w.modelOf(k), k.Site) }

// followModel gives a kiosk the prior of the model at work, if another one is since. The entry's lock is held.
func (w *Watch) followModel(e *entry, k *fleet.Kiosk) {
	if m := w.model.Load(); m != e.model {
		e.model = m
		e.kiosk.UsePrior(w.prior(m, k))
	}
}

func (w *Watch) modelOf(k *fleet.Kiosk) string {
	if w.cfg.ModelOf != nil {
		return w.cfg.ModelOf(k.Serial)
	}
	return k.Model
}

// Forget drops a kiosk that is no longer registered. What was unusual of it is over.
func (w *Watch) Forget(serial string) {
	if w.cfg.Disabled {
		return
	}
	s := w.loaded(serial)
	s.mu.Lock()
	e := s.kiosks[serial]
	a := s.open[serial]
	delete(s.kiosks, serial)
	delete(s.open, serial)
	s.changed = s.changed || e != nil
	s.mu.Unlock()
	if e != nil {
		e.mu.Lock()
		e.gone = true
		a, e.open = e.open, nil
		e.mu.Unlock()
	}
	if a != nil {
		w.counts.open.Add(-1)
		w.close(a, w.cfg.Now().UTC())
	}
}
