package api

import (
	"sync"

	"kioskfleet/admin/fleet"
)

// maxQueued bounds the steps of commands that wait for one slow client, and so the changes of alerts, of
// incidents and of anomalies; then it is told to load again.
const maxQueued = 1000

// Hub tells the clients of the live stream what changed. Kiosks and readings are noted by serial and
// read when a client takes them, so a slow client gets the newest and never more than one per kiosk;
// its memory is bounded by the fleet. All methods return at once and are safe for concurrent use.
type Hub struct {
	mu      sync.Mutex
	clients map[*client]struct{}
	closed  bool
}

// NewHub returns a Hub without clients.
func NewHub() *Hub { return &Hub{clients: map[*client]struct{}{}} }

// client is one open stream.
type client struct {
	serial string // only this kiosk; empty: all
	wake   chan struct{}

	mu        sync.Mutex
	kiosks    map[string]struct{}
	readings  map[string]struct{}
	removed   []string
	commands  []fleet.Command
	alerts    []fleet.Alert
	incidents []fleet.Incident
	anomalies []fleet.AnomalyEvent
	resync    bool
	done      bool
}

// delivery is what waits for a client.
type delivery struct {
	kiosks    map[string]struct{}
	readings  map[string]struct{}
	removed   []string
	commands  []fleet.Command
	alerts    []fleet.Alert
	incidents []fleet.Incident
	anomalies []fleet.AnomalyEvent
	resync    bool
	done      bool // the server stops
}

// Kiosk tells that a kiosk's registration, presence, status or verdict changed.
func (h *Hub) Kiosk(serial string) {
	h.each(serial, func(c *client) { c.kiosks[serial] = struct{}{} })
}

// Reading tells that a kiosk has a new reading.
func (h *Hub) Reading(serial string) {
	h.each(serial, func(c *client) { c.readings[serial] = struct{}{} })
}

// Removed tells that a kiosk is no longer registered.
func (h *Hub) Removed(serial string) {
	h.each(serial, func(c *client) {
		delete(c.kiosks, serial)
		delete(c.readings, serial)
		c.removed = append(c.removed, serial)
	})
}

// Command tells that a command took a step.
func (h *Hub) Command(command fleet.Command) {
	h.each(command.Serial, func(c *client) {
		c.commands = queued(c, c.commands, command)
	})
}

// Alert tells that an alert opened or changed. The stream of one kiosk gets its own alerts.
func (h *Hub) Alert(a fleet.Alert) {
	h.each(a.Serial, func(c *client) {
		if c.serial == "" || c.serial == a.Serial { // one of the platform itself has no serial
			c.alerts = queued(c, c.alerts, a)
		}
	})
}

// Incident tells that an incident opened or changed. The stream of one kiosk does not get it: it is about many.
func (h *Hub) Incident(i fleet.Incident) {
	h.each("", func(c *client) {
		if c.serial == "" {
			c.incidents = queued(c, c.incidents, i)
		}
	})
}

// Anomaly tells that an anomaly opened, escalated or closed, or that somebody said something of it.
func (h *Hub) Anomaly(e fleet.AnomalyEvent) {
	h.each(e.Anomaly.Serial, func(c *client) {
		c.anomalies = queued(c, c.anomalies, e)
	})
}

// queued appends to a queue of a client; when that is full, the client must load again, and what it is told
// before it does is of no use. The client is locked.
func queued[T any](c *client, queue []T, item T) []T {
	if len(queue) >= maxQueued {
		c.resync = true
		return nil
	}
	if c.resync {
		return queue
	}
	return append(queue, item)
}

// Close ends every stream, so that the server can stop.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.each("", func(c *client) { c.done = true })
}

func (h *Hub) each(serial string, f func(*client)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if serial != "" && c.serial != "" && c.serial != serial {
			continue
		}
		c.mu.Lock()
		f(c)
		c.mu.Unlock()
		c.rouse()
	}
}

// rouse makes a client look at what waits for it.
func (c *client) rouse() {
	select {
	case c.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

func (h *Hub) join(serial string) *client {
	c := &client{serial: serial, wake: make(chan struct{}, 1), kiosks: map[string]struct{}{}, readings: map[string]struct{}{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		c.done = true
		c.wake <- struct{}{}
	}
	h.clients[c] = struct{}{}
	return c
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
}

// take returns what waits and forgets it.
func (c *client) take() delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := delivery{removed: c.removed, commands: c.commands, alerts: c.alerts, incidents: c.incidents, anomalies: c.anomalies, resync: c.resync, done: c.done}
	// An empty map stays here: the hub may write to it while the client works on what it took.
	if len(c.kiosks) > 0 {
		d.kiosks, c.kiosks = c.kiosks, map[string]struct{}{}
	}
	if len(c.readings) > 0 {
		d.readings, c.readings = c.readings, map[string]struct{}{}
	}
	c.removed, c.commands, c.alerts, c.incidents, c.anomalies, c.resync = nil, nil, nil, nil, nil, false
	return d
}
