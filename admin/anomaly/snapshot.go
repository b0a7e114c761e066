package anomaly

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// stateVersion is that of what appendState writes around the state of the detectors, which has a version of its own.
const stateVersion = 1

// load reads the snapshot of a shard, once. Kiosks whose state cannot be used begin anew, and so does the whole shard
// when its snapshot is damaged.
func (w *Watch) load(s *shard) {
	s.once.Do(func() {
		states, err := w.cfg.States.LoadStates(s.number)
		if err != nil {
			w.cfg.Log.Error("what was learnt of some kiosks cannot be read, they begin anew", "shard", s.number, "error", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var first error
		anew := 0
		for i := range states {
			st := &states[i]
			k, err := w.cfg.Kiosks.Get(st.Serial)
			if err != nil {
				s.changed = true // it was deleted while nobody watched
				continue
			}
			e, err := w.restore(st, k)
			if err == nil && e.id != k.ID {
				continue // it was deleted, and this is another one
			}
			if err != nil {
				if anew++; first == nil {
					first = fmt.Errorf("%s: %w", st.Serial, err)
				}
				continue
			}
			s.adopt(st.Serial, e)
		}
		if anew > 0 {
			w.cfg.Log.Warn("kiosks begin anew, because what was learnt of them cannot be used", "kiosks", anew, "error", first)
		}
	})
}

// appendState appends what is to be kept of a kiosk. The entry's lock is held.
func (e *entry) appendState(b []byte) ([]byte, error) {
	b = append(b, stateVersion)
	b = binary.AppendVarint(b, e.id)
	b = binary.AppendVarint(b, e.newest)
	b = binary.AppendVarint(b, e.since)
	b = binary.AppendVarint(b, e.peers)
	score := e.score
	if !e.scored {
		score = math.NaN()
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(score))
	open := ""
	if e.open != nil && e.orphan == 0 {
		open = e.open.ID
	}
	b = binary.AppendUvarint(b, uint64(len(open)))
	b = append(b, open...)
	return e.kiosk.AppendBinary(b)
}

var errState = errors.New("a state of an unknown form")

// restore makes an entry of what appendState wrote of a kiosk.
func (w *Watch) restore(st *fleet.AnomalyState, k *fleet.Kiosk) (*entry, error) {
	b := st.Data
	if len(b) == 0 || b[0] != stateVersion {
		return nil, errState
	}
	b = b[1:]
	var numbers [4]int64
	for i := range numbers {
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, errState
		}
		numbers[i], b = v, b[n:]
	}
	if len(b) < 8 {
		return nil, errState
	}
	score := math.Float64frombits(binary.LittleEndian.Uint64(b))
	b = b[8:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, errState
	}
	known, b := string(b[n:n+int(size)]), b[n+int(size):]
	e := &entry{id: numbers[0], newest: numbers[1], since: numbers[2], peers: numbers[3], known: known, source: st.Source}
	if !math.IsNaN(score) {
		e.score, e.scored = score, true
	}
	e.model = w.model.Load()
	e.kiosk = watch.New(&w.cfg.Detect, w.prior(e.model, k))
	if err := e.kiosk.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	return e, nil
}

// takeChanged reports whether something has changed since the latest snapshot.
func (s *shard) takeChanged(all []named) bool {
	s.mu.Lock()
	changed := s.changed
	s.changed = false
	s.mu.Unlock()
	for i := range all {
		if changed {
			break
		}
		all[i].mu.Lock()
		changed = all[i].changed
		all[i].mu.Unlock()
	}
	return changed
}

// snapshot writes a shard if something in it has changed. Each kiosk is copied by itself, so that its readings wait for
// no other's. What the readings so far have led to is stored before what was learnt from them: a crash in between must
// not leave a state that knows of an anomaly which is nowhere else.
func (w *Watch) snapshot(ctx context.Context, s *shard) error {
	w.load(s)
	began := time.Now()
	all := s.all()
	if !s.takeChanged(all) {
		return nil
	}
	buf := w.copies[:0]
	states := make([]fleet.AnomalyState, 0, len(all))
	var err error
	for i := range all {
		e := all[i].entry
		start := len(buf)
		e.mu.Lock()
		e.changed = false
		source := e.source
		buf, err = e.appendState(buf)
		e.mu.Unlock()
		if err != nil {
			err = fmt.Errorf("state of %s: %w", all[i].serial, err)
			break
		}
		states = append(states, fleet.AnomalyState{Serial: all[i].serial, Source: source, Data: buf[start:len(buf):len(buf)]})
	}
	w.copies = buf
	if err == nil {
		err = w.Checkpoint(ctx)
	}
	if err == nil {
		err = w.cfg.States.SaveStates(s.number, states)
	}
	if err != nil {
		s.mu.Lock()
		s.changed = true
		s.mu.Unlock()
		w.counts.snapshotsFailed.Add(1)
		return fmt.Errorf("snapshot of detectors, shard %d: %w", s.number, err)
	}
	w.counts.snapshotBytes[s.number].Store(int64(len(buf)))
	w.counts.snapshots.Add(1)
	w.counts.snapshotTime.Add(int64(time.Since(began)))
	return nil
}
