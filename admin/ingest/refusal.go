package ingest

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of what a kiosk may send. They are wide for any real kiosk and keep a broken one from
// filling the store with series.
const (
	maxPayloadBytes = 256 << 10
	maxReadings     = 500 // in one message
	maxFields       = 256 // in one reading; also of its groups
	maxTextBytes    = 256 // of one textual metric, and of every id and word
	maxDropped      = 64  // ranges of lost readings in one reading
	maxLevels       = 3   // of objects and arrays in a reading, itself included
	maxNumberBytes  = 320 // of a number as it is written; the largest float has 309 digits
	maxFuture       = 5 * time.Minute
)

// Reasons why a message or a reading is refused. They are the labels of a counter and are kept with
// dead letters, so they never change.
const (
	reasonTooLarge     = "too_large"         // too many bytes, or too many readings in one message
	reasonMalformed    = "malformed"         // not JSON in UTF-8, or not an object
	reasonSchema       = "schema"            // a field that is missing, of the wrong kind, too long or too much
	reasonDuplicateKey = "duplicate_key"     // a name twice in one object: which of the two is meant?
	reasonSerial       = "wrong_serial"      // no serial, or not that of the topic
	reasonFuture       = "future"            // the timestamp is too far ahead of our clock
	reasonTooOld       = "too_old"           // the timestamp is older than what the store takes
	reasonConflict     = "conflict"          // another reading of the kiosk has the same timestamp
	reasonUnknown      = "unknown_topic"     // a channel on which nothing is expected
	reasonRejected     = "rejected_by_store" // the time-series store will never take it
)

// refusal says why a message, or one reading of a message, is not taken; the kiosk's connection is
// not at fault.
type refusal struct {
	reason string
	err    error
	item   int    // which reading of the message; 0 for a message as a whole
	raw    []byte // that reading, or the whole message; part of the payload, not a copy
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }

// maxRefusalText bounds how much of a payload an explanation repeats.
const maxRefusalText = 300

func refuse(reason, format string, args ...any) *refusal {
	err := fmt.Errorf(format, args...)
	if text := err.Error(); len(text) > maxRefusalText {
		err = errors.New(strings.ToValidUTF8(text[:maxRefusalText], "") + "…")
	}
	return &refusal{reason: reason, err: err}
}

// maxQuoted bounds how much of one text an explanation repeats.
const maxQuoted = 80

// quote prepares a text of a kiosk for an explanation.
func quote(text []byte) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(string(text[:maxQuoted]), ""))
	}
	return fmt.Sprintf("%q", text)
}
