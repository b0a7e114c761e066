package server

import (
	"strings"
	"sync"

	"kioskfleet/internal/protocol"
)

// Bounds of what waits for one integrator. When it is full, what comes is dropped for that integrator alone and
// counted.
const (
	maxFeedMessages = 8192
	maxFeedBytes    = 16 << 20
	// maxFeedRetained bounds the retained messages that wait since they were subscribed; their payloads are the
	// broker's own.
	maxFeedRetained = 100_000
	// maxFilters bounds an integrator's subscriptions; each message is compared with all of them.
	maxFilters = 64
)

// delivery is one message on its way to an integrator. Payloads are shared and never changed.
type delivery struct {
	topic       string
	payload     []byte
	retain      bool
	identifiers []int // of the matching subscriptions, MQTT 5
}

// filter is one subscription of an integrator.
type filter struct {
	text        string
	identifier  int  // 0: none
	asPublished bool // keeps the retain flag
}

// feed is what one integrator subscribed to and what waits for it. Offering never blocks.
type feed struct {
	wake chan struct{} // holds one note that something waits

	mu       sync.Mutex
	filters  []filter
	retained []delivery // sent first
	waiting  []delivery
	bytes    int
}

func newFeed() *feed { return &feed{wake: make(chan struct{}, 1)} }

// subscribe adds or replaces a filter and reports whether it is new; false, false when there are too many.
func (f *feed) subscribe(s filter) (isNew, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.filters {
		if f.filters[i].text == s.text {
			f.filters[i] = s
			return false, true
		}
	}
	if len(f.filters) >= maxFilters {
		return false, false
	}
	f.filters = append(f.filters, s)
	return true, true
}

func (f *feed) unsubscribe(text string) (known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.filters {
		if f.filters[i].text == text {
			f.filters = append(f.filters[:i], f.filters[i+1:]...)
			return true
		}
	}
	return false
}

// offer queues a message if it was subscribed to, once however many filters match. It reports whether the message
// had to be dropped.
func (f *feed) offer(topic string, payload []byte, retain bool) (dropped bool) {
	f.mu.Lock()
	matched, d := false, delivery{topic: topic, payload: payload}
	for i := range f.filters {
		if s := &f.filters[i]; matches(s.text, topic) {
			matched = true
			d.retain = d.retain || retain && s.asPublished
			if s.identifier > 0 {
				d.identifiers = append(d.identifiers, s.identifier)
			}
		}
	}
	if !matched {
		f.mu.Unlock()
		return false
	}
	if len(f.waiting) >= maxFeedMessages || f.bytes+len(payload) > maxFeedBytes {
		f.mu.Unlock()
		return true
	}
	f.waiting = append(f.waiting, d)
	f.bytes += len(payload)
	f.mu.Unlock()
	f.note()
	return false
}

// offerRetained queues what was retained when it was subscribed to, and returns how many were dropped.
func (f *feed) offerRetained(all []delivery) (dropped int) {
	f.mu.Lock()
	room := min(max(maxFeedRetained-len(f.retained), 0), len(all))
	f.retained = append(f.retained, all[:room]...)
	f.mu.Unlock()
	f.note()
	return len(all) - room
}

func (f *feed) note() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits. What comes while it is being sent may fill the queue anew.
func (f *feed) take() []delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.retained
	if len(all) == 0 {
		all = f.waiting
	} else {
		all = append(all, f.waiting...)
	}
	f.retained, f.waiting, f.bytes = nil, nil, 0
	return all
}

// integratorMay reports whether integrators may subscribe to a filter: telemetry and status of one kiosk or of all,
// and whatever is below alerts and incidents.
func integratorMay(filter string) bool {
	root, rest, below := strings.Cut(filter, "/")
	switch root {
	case "alerts", "incidents":
		return below
	case "kiosks":
		serial, channel, ok := strings.Cut(rest, "/")
		readable := channel == string(protocol.ChannelTelemetry) || channel == string(protocol.ChannelStatus)
		return ok && readable && (serial == "+" || protocol.CheckSerial(serial) == nil)
	}
	return false
}

// matches reports whether a topic is among those of a filter, both valid.
//
// Source: MQTT 5.0, section 4.7.
func matches(filter, topic string) bool {
	for {
		f, restFilter, moreFilter := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, restTopic, moreTopic := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !moreTopic {
			return !moreFilter || restFilter == "#" // which matches its parent, too
		}
		if !moreFilter {
			return false
		}
		filter, topic = restFilter, restTopic
	}
}
