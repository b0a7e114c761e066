package fleet

import (
	"hash/fnv"
	"slices"
	"time"
)

// LedgerCounts says which of a kiosk's readings arrived since a time. Readings are counted by session
// and seq; those without a seq count as received only.
type LedgerCounts struct {
	Since      time.Time // when counting began; zero: nothing was received yet
	Received   uint64    // different readings
	Missing    uint64    // gaps in the numbers that nothing explains, so far
	Duplicated uint64    // came again, as after a lost acknowledgement
	Dropped    uint64    // the kiosk said that its outbox gave them up
}

// Ledger books a kiosk's readings by session and seq, in whatever order they come, and so knows which
// are missing. Its size is bounded: of gaps and sessions that are too many it keeps only the counts.
// The zero Ledger is empty. It is not safe for concurrent use.
type Ledger struct {
	Since      time.Time       `json:"since,omitzero"`
	Received   uint64          `json:"received,omitempty"`
	Duplicated uint64          `json:"duplicated,omitempty"`
	Dropped    uint64          `json:"dropped,omitempty"`
	GivenUp    uint64          `json:"given_up,omitempty"` // missing in gaps that are no longer kept
	Sessions   []LedgerSession `json:"sessions,omitempty"` // by when they were last heard of
	// Closed holds hashes of the sessions that are no longer kept, so that a latecomer of one is not
	// taken for the beginning of a new one.
	Closed []uint32 `json:"closed,omitempty"`
}

// LedgerSession is what the ledger knows of one session.
type LedgerSession struct {
	ID   string `json:"id"`
	From uint64 `json:"from"` // number of the first reading that is expected
	// Runs are the numbers that arrived or were reported as dropped: [first, last] pairs, ascending,
	// with gaps between them.
	Runs []SeqRun `json:"runs"`
}

// SeqRun is a run of numbers, both ends included.
type SeqRun [2]uint64

// Bounds of a Ledger. A kiosk that reconnects all the time has many sessions with readings in its outbox.
const (
	maxLedgerSessions = 16
	maxLedgerRuns     = 32 // of one session
	maxLedgerClosed   = 64
	// maxLedgerSeq is the largest number that counts as one: a kiosk that reports each millisecond needs
	// 285,000 years for it, and it is exact in JSON.
	maxLedgerSeq = 1 << 53
)

// Book counts a reading that was received at that time, and what it says of dropped ones.
func (l *Ledger) Book(r *Reading) {
	if l.Since.IsZero() {
		l.Since = r.ReceivedAt
	}
	for _, d := range r.Dropped {
		if d.From == 0 || d.To < d.From || d.To > maxLedgerSeq {
			continue
		}
		s := l.session(d.Session, d.From)
		l.Dropped += s.add(d.From, d.To)
		l.bound(s)
	}
	switch {
	case r.OnlyReports():
	case r.Seq == 0 || r.Seq > maxLedgerSeq:
		l.Received++
	default:
		s := l.session(r.Session, r.Seq)
		if s.add(r.Seq, r.Seq) == 0 {
			l.Duplicated++
		} else {
			l.Received++
		}
		l.bound(s)
	}
}

// Counts returns the sums.
func (l *Ledger) Counts() LedgerCounts {
	missing := l.GivenUp
	for i := range l.Sessions {
		missing += l.Sessions[i].missing()
	}
	return LedgerCounts{Since: l.Since, Received: l.Received, Missing: missing, Duplicated: l.Duplicated, Dropped: l.Dropped}
}

// Clone returns a copy that shares nothing with l.
func (l *Ledger) Clone() Ledger {
	c := *l
	c.Closed = slices.Clone(l.Closed)
	c.Sessions = slices.Clone(l.Sessions)
	for i := range c.Sessions {
		c.Sessions[i].Runs = slices.Clone(c.Sessions[i].Runs)
	}
	return c
}

// session returns the session of that id, which is the latest from here on. Numbers count from 1 in each
// session; only of the first session that we ever saw, and of one that was closed here, nobody can say
// what came before.
func (l *Ledger) session(id string, seq uint64) *LedgerSession {
	last := len(l.Sessions) - 1
	i := last
	for i >= 0 && l.Sessions[i].ID != id {
		i--
	}
	switch {
	case i < 0:
		from := uint64(1)
		if len(l.Sessions) == 0 || slices.Contains(l.Closed, sessionHash(id)) {
			from = seq
		}
		if len(l.Sessions) >= maxLedgerSessions {
			l.close(0)
		}
		l.Sessions = append(l.Sessions, LedgerSession{ID: id, From: from})
	case i < last:
		s := l.Sessions[i]
		l.Sessions = append(slices.Delete(l.Sessions, i, i+1), s)
	}
	return &l.Sessions[len(l.Sessions)-1]
}

// close gives a session up; what it misses is missing for good.
func (l *Ledger) close(i int) {
	l.GivenUp += l.Sessions[i].missing()
	if len(l.Closed) >= maxLedgerClosed {
		l.Closed = slices.Delete(l.Closed, 0, 1)
	}
	l.Closed = append(l.Closed, sessionHash(l.Sessions[i].ID))
	l.Sessions = slices.Delete(l.Sessions, i, i+1)
}

// bound gives up the oldest gap of a session with too many.
func (l *Ledger) bound(s *LedgerSession) {
	if len(s.Runs) > maxLedgerRuns {
		l.GivenUp += s.Runs[1][0] - s.Runs[0][1] - 1
		s.Runs[1][0] = s.Runs[0][0]
		s.Runs = slices.Delete(s.Runs, 0, 1)
	}
}

// add books the numbers from first to last and returns how many of them are new.
func (s *LedgerSession) add(first, last uint64) (fresh uint64) {
	s.From = min(s.From, first)
	// The usual case: the next number.
	if n := len(s.Runs); n > 0 && s.Runs[n-1][1]+1 == first {
		s.Runs[n-1][1] = last
		return last - first + 1
	}
	// The runs that touch the new one become one with it.
	begin, _ := slices.BinarySearchFunc(s.Runs, first, func(r SeqRun, first uint64) int {
		if r[1]+1 < first {
			return -1
		}
		return 1
	})
	fresh = last - first + 1
	end, whole := begin, SeqRun{first, last}
	for ; end < len(s.Runs) && s.Runs[end][0] <= last+1; end++ {
		r := s.Runs[end]
		if low, high := max(r[0], first), min(r[1], last); low <= high {
			fresh -= high - low + 1
		}
		whole = SeqRun{min(whole[0], r[0]), max(whole[1], r[1])}
	}
	s.Runs = slices.Replace(s.Runs, begin, end, whole)
	return fresh
}

func (s *LedgerSession) missing() uint64 {
	if len(s.Runs) == 0 {
		return 0
	}
	missing, from := uint64(0), s.From
	for _, r := range s.Runs {
		missing += r[0] - from
		from = r[1] + 1
	}
	return missing
}

func sessionHash(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // a hash never fails
	return h.Sum32()
}
