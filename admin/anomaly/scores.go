package anomaly

import (
	"sync"

	"kioskfleet/admin/fleet"
)

const (
	// scoresAtOnce is how many scores are a record of the journal at most.
	scoresAtOnce = 1000
	// maxScores bounds the scores that wait for the journal; of more, the newest are dropped and counted.
	maxScores = 20_000
)

// scores are those that are not in the journal yet.
type scores struct {
	ready chan struct{} // holds one when there are enough for a record

	writing sync.Mutex // held while they are handed to the journal, so that those of a kiosk stay in order

	mu      sync.Mutex // guards the rest
	waiting []fleet.KioskScore
	spare   []fleet.KioskScore // memory of those handed over before
	dropped int64
	failed  bool // the journal did not take the latest
}

func (s *scores) put(one fleet.KioskScore) {
	s.mu.Lock()
	if len(s.waiting) >= maxScores {
		s.dropped++
		s.mu.Unlock()
		return
	}
	s.waiting = append(s.waiting, one)
	enough := len(s.waiting) == scoresAtOnce
	s.mu.Unlock()
	if enough {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// flushScores hands the scores that wait to the journal. Those that it does not take are dropped: readings matter more
// than what is computed from them.
func (w *Watch) flushScores() {
	s := &w.scores
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	taken := s.waiting
	s.waiting = s.spare[:0]
	s.mu.Unlock()
	var err error
	dropped := 0
	for rest := taken; len(rest) > 0; {
		n := min(len(rest), scoresAtOnce)
		if err = w.cfg.Scores.AcceptScores(rest[:n]); err != nil {
			dropped = len(rest) // the others would be refused as well, each after its time
			break
		}
		rest = rest[n:]
	}
	s.mu.Lock()
	s.spare = taken
	s.dropped += int64(dropped)
	first := err != nil && !s.failed
	s.failed = err != nil || s.failed && len(taken) == 0
	s.mu.Unlock()
	if first {
		w.cfg.Log.Warn("scores dropped, because the journal does not take them", "scores", dropped, "error", err)
	}
}
