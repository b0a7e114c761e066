package agent

import (
	"crypto/rand"
	"sync"
)

// session is what the agent's loop and the link's goroutines share about the MQTT connections.
type session struct {
	mu sync.Mutex // guards all fields
	// id is the session that readings are taken in: that of the connection, or of the last one.
	// Before the first connection it is an id that never joins.
	id string
	// next is the id of the attempt under way. Each attempt has its own: the broker may have seen
	// one that failed here, and its will must not speak for a later session.
	next    string
	seq     uint64
	up      bool
	joinDue bool // a join must be published before anything else
	boot    string
	version string
	reason  string // of the next goodbye
}

// attempt begins an attempt to connect and returns its session id.
func (s *session) attempt() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = newID()
	return s.next
}

// begin makes the attempt's session the current one.
func (s *session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.seq, s.up, s.joinDue = s.next, 0, true, true
}

// end marks the connection as gone and reports whether it stood.
func (s *session) end() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.up
	s.up = false
	return was
}

// stamp numbers a reading.
func (s *session) stamp() (id string, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	return s.id, s.seq
}

func (s *session) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// announce asks for a join with this boot id and version; the next connection brings one anyway.
func (s *session) announce(boot, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boot, s.version, s.joinDue = boot, version, true
}

// takeJoin returns what to join with if a join is due. The caller gives it back with joinFailed if it
// could not be published.
func (s *session) takeJoin() (id, boot, version string, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due, s.joinDue = s.joinDue, false
	return s.id, s.boot, s.version, due
}

func (s *session) joinFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joinDue = true
}

// leave sets the reason of the next goodbye.
func (s *session) leave(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
}

func (s *session) farewell() (id, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.reason
}

// newID returns 128 random bits as text, for sessions and boots.
func newID() string { return rand.Text() }
