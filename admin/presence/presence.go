// Package presence keeps what is so right now for every kiosk: whether it is there, what it reports,
// and whether it can serve customers. It learns from connections, announcements and readings, in the
// order in which each kiosk sent them, and tells observers of each change.
package presence

import (
	"net"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// staleIntervals is how many missed readings make a kiosk stale, but never sooner than staleMin.
	staleIntervals = 3
	staleMin       = 15 * time.Second
	// defaultInterval is assumed until two readings have shown the kiosk's own.
	defaultInterval = 5 * time.Second
	maxInterval     = time.Hour
	// tickEvery is how often silence is looked for.
	tickEvery = time.Second
)

// Change is one change of a kiosk. Old is nil for a kiosk that was not known.
type Change struct {
	Old, New *fleet.Live
	At       time.Time     // when, by our clock; in the past for what is replayed
	Events   []fleet.Event // what became different, none if only values did
	Reading  bool          // New.LastReading is new
}

// Notable reports whether more than values became different: something that lists of kiosks show.
func (c Change) Notable() bool {
	if c.Old == nil || len(c.Events) > 0 || c.Old.Status != c.New.Status || c.Old.PresenceReason != c.New.PresenceReason {
		return true
	}
	return !slices.EqualFunc(c.Old.Reasons, c.New.Reasons, func(a, b fleet.VerdictReason) bool {
		return a.Code == b.Code && a.Value == b.Value
	})
}

// Observer learns of changes, one kiosk's in order. It runs under a lock and must return at once.
type Observer func(Change)

// Tracker holds the live state. It is safe for concurrent use; what it hands out is never changed.
type Tracker struct {
	now       func() time.Time
	observers []Observer
	touched   func(serial string) // what is kept of a kiosk changed; observers may not be told
	verdicts  *Verdicts
	modelOf   func(serial string) string // nil: what kiosks announce counts

	mu     sync.RWMutex
	kiosks map[string]*entry
	// replaying says that what is told is from before our start: nobody is silent yet.
	replaying bool
}

// entry is a kiosk's live state and what is needed to keep it.
type entry struct {
	live        *fleet.Live
	source      fleet.Source // of the last message or connection that changed it
	ledger      fleet.Ledger
	connections map[string]struct{} // ids of its connections; none behind an external broker
	ended       string              // session of the last goodbye
	lastArrival time.Time           // of a fresh reading
	revoked     bool
	// before is the state that an earlier run saved of a kiosk that was there. When it comes back as it
	// was, its verdict and reasons stand since then, not since our restart.
	before *fleet.Live
	needs  *needs // of its model, nil until it is judged
	model  string
}

// New returns a Tracker that knows nobody and judges by the standard table.
func New(now func() time.Time) *Tracker {
	return &Tracker{now: now, kiosks: map[string]*entry{}, verdicts: standard()}
}

// Observe adds an observer; call it before anything else.
func (t *Tracker) Observe(o Observer) { t.observers = append(t.observers, o) }

// Restore sets the states that an earlier run saved, as they were. What happened after they were saved is
// told next; Started ends that.
func (t *Tracker) Restore(saved []fleet.LiveState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().UTC()
	t.replaying = true
	for i := range saved {
		s := &saved[i]
		l := s.Live
		l.Revision = revision(now)
		e := &entry{live: &l, source: s.Source, ledger: s.Ledger, connections: map[string]struct{}{}, ended: s.Ended, lastArrival: s.LastArrival}
		for _, id := range s.Connections {
			e.connections[id] = struct{}{}
		}
		t.kiosks[l.Serial] = e
	}
}

// Started says that everything from before this start has been told. Whoever was there is offline until
// it comes back: connections to a broker in this process ended with the last one, and of an external
// broker's we do not know.
func (t *Tracker) Started(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replaying = false
	for _, e := range t.kiosks {
		clear(e.connections)
		if e.live.Presence == fleet.PresenceOnline || e.live.Presence == fleet.PresenceStale {
			e.before = e.live
			t.offline(e, fleet.ReasonAdminRestart, at)
		}
	}
}

// revision starts a kiosk's count where an earlier run cannot have come, so that clients that stayed
// open over a restart take the newer state for newer.
func revision(now time.Time) uint64 { return uint64(now.UnixMilli()) }

// Get returns a kiosk's live state; for one that was never seen, a state that says so.
func (t *Tracker) Get(serial string) *fleet.Live {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e, ok := t.kiosks[serial]; ok {
		return e.live
	}
	return unseen(serial)
}

func unseen(serial string) *fleet.Live {
	l := never
	l.Serial = serial
	return &l
}

// never is the state of a kiosk that was never seen. All share its reasons.
var never = func() fleet.Live {
	l := fleet.Live{Presence: fleet.PresenceNever, PresenceReason: fleet.ReasonNeverSeen, Status: fleet.StatusUnknown}
	l.Verdict, l.Reasons = new(needs).judge(&l, nil, time.Time{})
	return l
}()

// All returns the live state of every kiosk that was ever seen.
func (t *Tracker) All() []*fleet.Live {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*fleet.Live, 0, len(t.kiosks))
	for _, e := range t.kiosks {
		out = append(out, e.live)
	}
	return out
}

// Forget drops a kiosk that is no longer registered.
func (t *Tracker) Forget(serial string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.kiosks, serial)
}

// SetRevoked notes that a kiosk's certificates were revoked, or that it has enrolled again.
func (t *Tracker) SetRevoked(serial string, revoked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.kiosks[serial]
	if !ok || e.revoked == revoked {
		return
	}
	e.revoked = revoked
	if revoked && e.live.Presence == fleet.PresenceOffline {
		t.update(e, t.now().UTC(), func(l *fleet.Live) { l.PresenceReason = fleet.ReasonRevoked })
	}
}

// Connection takes the news of a connection that began or ended.
func (t *Tracker) Connection(ev fleet.ConnectionEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.kiosks[ev.Serial]; !known && !ev.Connected {
		return // it was deleted, which is why its connection ended
	}
	e := t.entry(ev.Serial)
	if !t.advance(e, ev.Source) {
		return
	}
	if ev.Connected {
		e.connections[ev.ConnectionID] = struct{}{}
		e.revoked = false
		if host := hostOf(ev.Remote); host != e.live.Remote {
			// Nothing to tell: what follows, an announcement or a reading, carries it along.
			l := *e.live
			l.Remote = host
			e.live = &l
		}
		return
	}
	delete(e.connections, ev.ConnectionID)
	if len(e.connections) > 0 || e.live.Presence == fleet.PresenceNever {
		return
	}
	reason := fleet.ReasonConnectionLost
	switch {
	case e.revoked:
		reason = fleet.ReasonRevoked
	case ev.TakenOver:
		reason = fleet.ReasonTakenOver
	case ev.Clean:
		reason = fleet.ReasonCleanDisconnect
	}
	t.offline(e, reason, ev.At)
}

// hostOf returns an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// Joined takes a kiosk's announcement of itself.
func (t *Tracker) Joined(o fleet.Origin, j protocol.Join) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, at := t.entry(o.Serial), o.At
	if !t.advance(e, o.Source) {
		return
	}
	var events []fleet.Event
	if e.live.BootID != j.BootID || e.live.AgentVersion != j.AgentVersion || e.live.Session != j.Session {
		events = append(events, fleet.Event{Kind: fleet.EventJoined, From: e.live.AgentVersion, To: j.AgentVersion, Subject: j.BootID, Reason: j.Session})
	}
	e.lastArrival = time.Time{}
	t.update(e, at, func(l *fleet.Live) {
		if l.BootID != j.BootID {
			l.BootedAt = at
		}
		l.Session, l.BootID, l.AgentVersion, l.Model = j.Session, j.BootID, j.AgentVersion, j.Model
		l.Capabilities, l.Commands = j.Capabilities, j.Commands
		l.LastSeen = at
		setPresence(l, fleet.PresenceOnline, fleet.ReasonReporting, at)
	}, events...)
}

// Bye takes a kiosk's goodbye or its will. One of an older session changes nothing, and neither does
// one while another connection stands.
func (t *Tracker) Bye(o fleet.Origin, b protocol.Bye) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, known := t.kiosks[o.Serial]
	if !known {
		return // it was deleted, and the broker sends its will
	}
	if !t.advance(e, o.Source) {
		return
	}
	if b.Session != "" && e.live.Session != "" && b.Session != e.live.Session {
		return
	}
	for id := range e.connections {
		if id != o.ConnectionID {
			return
		}
	}
	e.ended = b.Session
	reason := fleet.ReasonCleanDisconnect
	if b.Reason == protocol.ByeConnectionLost {
		reason = fleet.ReasonConnectionLost
	}
	if e.revoked {
		reason = fleet.ReasonRevoked
	}
	t.offline(e, reason, o.At)
}

// Reading takes a reading. The newest by the kiosk's clock is the latest; that it arrived at all says
// that the kiosk is there.
func (t *Tracker) Reading(r *fleet.Reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(r.Serial)
	if !t.advance(e, r.Source) {
		return
	}
	e.ledger.Book(r)
	at := r.ReceivedAt
	newest := !r.OnlyReports() && (e.live.LastReading == nil || r.Time.After(e.live.LastReading.Time))
	age := at.Sub(r.Time)
	fresh := newest && fleet.CountsAsLive(e.live.LastReading, r)
	// What was sent before a goodbye may be worked on after it.
	back := r.Session == "" || r.Session != e.ended || len(e.connections) > 0
	if !newest && e.live.Presence == fleet.PresenceOnline {
		// Nothing to tell, but the kiosk is not silent.
		l := *e.live
		l.LastSeen = at
		e.live = &l
		return
	}
	var events []fleet.Event
	if newest {
		events = peripheralEvents(e.live.LastReading, r)
	}
	t.updateReading(e, at, newest, func(l *fleet.Live) {
		l.LastSeen = at
		if newest {
			l.LastReading = r
		}
		if fresh {
			l.Skew = -age
			l.Interval = e.interval(at)
			e.lastArrival = at
		}
		if back {
			setPresence(l, fleet.PresenceOnline, fleet.ReasonReporting, at)
		}
	}, events...)
}

// interval follows how often a kiosk reports, by our clock: a moving average that jumps when the
// rhythm changes for good would be too slow for freshness, so it weighs the newest by a half.
func (e *entry) interval(at time.Time) time.Duration {
	current := e.live.Interval
	if current == 0 {
		current = defaultInterval
	}
	if e.lastArrival.IsZero() {
		return current
	}
	gap := at.Sub(e.lastArrival)
	if gap <= 0 || gap > maxInterval {
		return current
	}
	return ((current + gap) / 2).Round(100 * time.Millisecond)
}

// tick finds the kiosks that have fallen silent.
func (t *Tracker) tick(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.replaying {
		return
	}
	for _, e := range t.kiosks {
		if e.live.Presence != fleet.PresenceOnline {
			continue
		}
		if now.Sub(e.live.LastSeen) > staleAfter(e.live) {
			t.update(e, now, func(l *fleet.Live) { setPresence(l, fleet.PresenceStale, fleet.ReasonNoData, now) })
		}
	}
}

func staleAfter(l *fleet.Live) time.Duration {
	return max(staleMin, staleIntervals*l.Interval)
}

func (t *Tracker) offline(e *entry, reason fleet.PresenceReason, at time.Time) {
	if e.live.Presence == fleet.PresenceOffline || e.live.Presence == fleet.PresenceNever {
		return
	}
	t.update(e, at, func(l *fleet.Live) { setPresence(l, fleet.PresenceOffline, reason, at) })
}

// advance notes the place in the journal of what is to be worked on, and reports whether it is new. What
// has no place is always new.
func (t *Tracker) advance(e *entry, s fleet.Source) bool {
	if s == (fleet.Source{}) {
		return true
	}
	if !s.After(e.source) {
		return false
	}
	e.source = s
	t.touch(e.live.Serial)
	return true
}

func (t *Tracker) entry(serial string) *entry {
	e, ok := t.kiosks[serial]
	if !ok {
		l := unseen(serial)
		l.Revision = revision(t.now())
		e = &entry{live: l, connections: map[string]struct{}{}}
		t.kiosks[serial] = e
	}
	return e
}

func (t *Tracker) touch(serial string) {
	if t.touched != nil {
		t.touched(serial)
	}
}

func setPresence(l *fleet.Live, p fleet.Presence, why fleet.PresenceReason, at time.Time) {
	if l.Presence != p {
		l.PresenceSince = at
	}
	l.Presence, l.PresenceReason = p, why
}

func (t *Tracker) update(e *entry, at time.Time, f func(*fleet.Live), events ...fleet.Event) {
	t.updateReading(e, at, false, f, events...)
}

// updateReading replaces a kiosk's state by a changed copy and tells the observers.
func (t *Tracker) updateReading(e *entry, at time.Time, reading bool, f func(*fleet.Live), events ...fleet.Event) {
	old := e.live
	l := *old
	f(&l)
	l.Status = status(&l)
	l.Verdict, l.Reasons = t.needsOf(e, l.Model).judge(&l, old.Reasons, at)
	if l.Verdict != old.Verdict || l.VerdictSince.IsZero() {
		l.VerdictSince = at
	}
	e.resume(&l)
	l.Revision++
	e.live = &l
	events = append(events, transitions(old, &l)...)
	for i := range events {
		events[i].Serial, events[i].At = l.Serial, at
	}
	for _, o := range t.observers {
		o(Change{Old: old, New: &l, At: at, Events: events, Reading: reading})
	}
}

// resume gives a kiosk that is back after our restart the times from before, where nothing changed.
func (e *entry) resume(l *fleet.Live) {
	if e.before == nil || l.Presence != fleet.PresenceOnline || l.Verdict == fleet.VerdictUnknown {
		return
	}
	if l.Verdict == e.before.Verdict {
		l.VerdictSince = e.before.VerdictSince
	}
	l.Reasons = slices.Clone(l.Reasons) // the state before may share them
	for i, r := range l.Reasons {
		for _, was := range e.before.Reasons {
			if was.Code == r.Code && was.Value == r.Value {
				l.Reasons[i].Since = was.Since
			}
		}
	}
	e.before = nil
}

func status(l *fleet.Live) string {
	switch {
	case l.Presence == fleet.PresenceOffline:
		return fleet.StatusOffline
	case l.Presence == fleet.PresenceStale:
		return fleet.StatusStale
	case l.Presence == fleet.PresenceNever, l.ReportedState() == "":
		return fleet.StatusUnknown
	}
	return string(l.ReportedState())
}

// transitions lists what became different between two states.
func transitions(old, l *fleet.Live) []fleet.Event {
	var events []fleet.Event
	add := func(kind fleet.EventKind, from, to, reason string) {
		if from != to {
			events = append(events, fleet.Event{Kind: kind, From: from, To: to, Reason: reason})
		}
	}
	add(fleet.EventPresence, string(old.Presence), string(l.Presence), string(l.PresenceReason))
	if old.ReportedState() != "" {
		add(fleet.EventStatus, string(old.ReportedState()), string(l.ReportedState()), "")
	}
	if old.Verdict != l.Verdict {
		e := fleet.Event{Kind: fleet.EventVerdict, From: string(old.Verdict), To: string(l.Verdict)}
		if len(l.Reasons) > 0 {
			e.Subject, e.Reason = l.Reasons[0].Code, l.Reasons[0].Text
		}
		events = append(events, e)
	}
	return events
}

// peripheralEvents lists the textual metrics that changed since the reading before.
func peripheralEvents(before, r *fleet.Reading) []fleet.Event {
	if before == nil {
		return nil
	}
	var events []fleet.Event
	for _, text := range r.Texts {
		if was, ok := before.Text(text.Metric); ok && was != text.Text {
			events = append(events, fleet.Event{Kind: fleet.EventPeripheral, Subject: text.Metric, From: was, To: text.Text})
		}
	}
	return events
}

// Ledger returns which of a kiosk's readings arrived.
func (t *Tracker) Ledger(serial string) fleet.LedgerCounts {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e, ok := t.kiosks[serial]; ok {
		return e.ledger.Counts()
	}
	return fleet.LedgerCounts{}
}

// states returns what is to be kept of those kiosks that are known. The lock is held.
func (t *Tracker) states(serials map[string]struct{}) []fleet.LiveState {
	out := make([]fleet.LiveState, 0, len(serials))
	for serial := range serials {
		e, ok := t.kiosks[serial]
		if !ok {
			continue
		}
		s := fleet.LiveState{Live: *e.live, Source: e.source, Ledger: e.ledger.Clone(), Ended: e.ended, LastArrival: e.lastArrival}
		for id := range e.connections {
			s.Connections = append(s.Connections, id)
		}
		out = append(out, s)
	}
	return out
}
