// Package timezone looks up time zones by name, each of them once: a fleet of thousands has a handful of them, and the
// standard library reads and parses a file at each look.
package timezone

import (
	"sync"
	"time"
)

// known are the zones that were found, by name. There are some hundreds of them in the world; names that are none are
// not kept, or whoever asks for them could fill the memory.
var known sync.Map

// Load returns the zone of an IANA name such as Europe/Madrid, UTC for an empty one and the machine's own for "Local",
// as time.LoadLocation does. It is safe for concurrent use.
//
// Errors: what time.LoadLocation says of a name that is no zone.
func Load(name string) (*time.Location, error) {
	if found, ok := known.Load(name); ok {
		return found.(*time.Location), nil
	}
	found, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	// Of two who look at the same time, both get the same.
	first, _ := known.LoadOrStore(name, found)
	return first.(*time.Location), nil
}

// OrUTC is Load with UTC for a name that is no zone: names are checked when they come in, but the machine's list may be
// another since.
func OrUTC(name string) *time.Location {
	found, err := Load(name)
	if err != nil {
		return time.UTC
	}
	return found
}
