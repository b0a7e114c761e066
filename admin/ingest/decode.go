package ingest

import (
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// decodeReadings decodes a telemetry payload: one reading, or an array of them. Readings that break
// the schema are refused one by one; the others are returned in order, each with its place in the
// array. A payload that is not JSON is refused as a whole. Nothing that is returned points into the
// payload but the raw bytes of refusals.
func decodeReadings(serial string, payload []byte, receivedAt time.Time, window time.Duration) ([]fleet.Reading, []*refusal) {
	readings, refused, _ := decodeAndCount(serial, payload, receivedAt, window)
	return readings, refused
}

// decodeAndCount is decodeReadings; reserved is how many fields were left out because the platform computes them.
func decodeAndCount(serial string, payload []byte, receivedAt time.Time, window time.Duration) (readings []fleet.Reading, refused []*refusal, reserved int) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.serial, d.receivedAt, d.window = serial, receivedAt, window
	if d.open(payload) {
		d.message()
	}
	if d.bad != nil {
		d.bad.raw = payload
		return nil, []*refusal{d.bad}, 0
	}
	return d.readings, d.refused, d.reserved
}

// decoder decodes one message. Its memory is used again for the next.
type decoder struct {
	scanner
	serial     string
	receivedAt time.Time
	window     time.Duration

	readings []fleet.Reading
	refused  []*refusal

	fields   []field  // of the reading at hand
	texts    int      // how many of fields are texts
	groups   [][]byte // names of its groups that the catalogue does not know
	session  string   // the last one, because all readings of a message have the same as a rule
	reserved int      // fields that the platform computes, and a kiosk cannot report
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// release gives the decoder back, without what belongs to the message.
func (d *decoder) release() {
	if cap(d.text) > 4*maxTextBytes {
		d.text = nil
	}
	clear(d.groups[:cap(d.groups)])
	*d = decoder{scanner: scanner{text: d.text[:0]}, fields: d.fields[:0], groups: d.groups[:0]}
	decoders.Put(d)
}

func (d *decoder) message() {
	if d.next() != '[' {
		if d.item(0, 0) {
			d.close()
		}
		return
	}
	d.pos++
	n := 0
	for ; d.element(n == 0); n++ {
		if n == maxReadings {
			d.bad = refuse(reasonTooLarge, "more than %d readings in one message", maxReadings)
			return
		}
		start := d.pos
		if !d.item(n, 1) {
			return
		}
		if n == 0 && len(d.readings) == 1 {
			// The others are about as long as the first.
			d.readings = slices.Grow(d.readings, min(maxReadings, (len(d.data)-d.pos)/(d.pos-start)+1))
		}
	}
	if d.bad == nil {
		d.close()
	}
}

// item decodes the n-th reading, which has open levels of arrays around it. It is false if the text is
// not JSON.
func (d *decoder) item(n, open int) bool {
	d.next()
	start := d.pos
	d.readings = append(d.readings, fleet.Reading{Serial: d.serial, ReceivedAt: d.receivedAt, Source: fleet.Source{Item: n}})
	why := d.reading(&d.readings[len(d.readings)-1])
	if why == nil && d.bad == nil {
		return true
	}
	d.readings = d.readings[:len(d.readings)-1]
	if d.bad == nil {
		// The reading is of no use. Where it ends, and whether it is JSON at all, is still to be seen.
		d.pos = start
		if _, ok := d.skip(open); ok {
			why.item, why.raw = n, d.data[start:d.pos:d.pos]
			d.refused = append(d.refused, why)
		}
	}
	return d.bad == nil
}

// Names at the top of a reading that are not groups. The groups of the catalogue are numbered after them.
const (
	keyTimestamp = iota
	keySerial
	keySeq
	keySession
	keyStatus
	keyConfigVersion
	keyKioskID
	keyDropped
	keyGroups

	keyUnknown = -1
)

func keyOf(name []byte) int {
	switch string(name) {
	case "timestamp":
		return keyTimestamp
	case "serial":
		return keySerial
	case "seq":
		return keySeq
	case "session":
		return keySession
	case "status":
		return keyStatus
	case "config_version":
		return keyConfigVersion
	case "kiosk_id":
		return keyKioskID
	case "dropped":
		return keyDropped
	}
	if group := knownGroupOf(name); group >= 0 {
		return keyGroups + group
	}
	return keyUnknown
}

// reading decodes the reading that begins at pos. What it returns is void if the text is not JSON.
func (d *decoder) reading(r *fleet.Reading) *refusal {
	if c := d.next(); c != '{' {
		return refuse(reasonMalformed, "a reading must be an object, not %s", kindOf(c))
	}
	d.pos++
	d.fields, d.texts, d.groups, d.text = d.fields[:0], 0, d.groups[:0], d.text[:0]
	var at time.Time
	var seen uint64
	var why *refusal
	for first := true; ; first = false {
		name, more := d.key(first)
		if !more {
			break
		}
		key := keyOf(name)
		if key >= 0 {
			if seen&(1<<key) != 0 {
				return refuse(reasonDuplicateKey, "%s comes twice", name)
			}
			seen |= 1 << key
		}
		switch key {
		case keyTimestamp:
			at, why = d.time("timestamp")
		case keySerial:
			why = d.ownSerial()
		case keySeq:
			r.Seq, why = d.uint("seq")
		case keySession:
			r.Session, why = d.sessionID("session")
		case keyStatus:
			var status []byte
			if status, why = d.shortText("status"); why == nil {
				r.Status = protocol.State(wordOf(status))
			}
		case keyConfigVersion:
			r.ConfigVersion, why = d.int("config_version")
		case keyKioskID:
			// The registry knows it; a kiosk may be wrong about it.
			if levels, _ := d.skip(0); levels > maxLevels-1 {
				why = refuse(reasonSchema, "kiosk_id: more than %d levels of objects and arrays", maxLevels)
			}
		case keyDropped:
			r.Dropped, why = d.dropped()
		case keyUnknown:
			if len(d.groups) == maxFields {
				return refuse(reasonSchema, "more than %d groups", maxFields)
			}
			d.groups = append(d.groups, name)
			why = d.group(nil, name)
		default:
			why = d.group(&catalogue[key-keyGroups], name)
		}
		if why != nil || d.bad != nil {
			return why
		}
	}
	if d.bad != nil {
		return nil //nolint:nilerr // the message as a whole is refused, by the caller
	}
	switch {
	case seen&(1<<keySerial) == 0:
		return refuse(reasonSerial, "serial is missing, the topic says %q", d.serial)
	case at.IsZero(): // year 1: a program's time that was never set
		return refuse(reasonSchema, "timestamp is missing")
	case at.After(d.receivedAt.Add(maxFuture)), at.Unix() >= lastSecond:
		return refuse(reasonFuture, "timestamp %s is more than %s ahead", at.Format(time.RFC3339), maxFuture)
	case at.Before(d.receivedAt.Add(-d.window)), at.Unix() < 0:
		return refuse(reasonTooOld, "timestamp %s is more than %s old", at.Format(time.RFC3339), d.window)
	}
	r.Time = time.UnixMilli(at.UnixMilli()).UTC()
	return d.fill(r)
}

// lastSecond is the end of the year 2261, and no timestamp may reach it, whatever our clock says: Unix time
// in nanoseconds fits into 64 bits until early 2262. It begins with 1970.
const lastSecond = 9_214_646_400

// group collects the fields of a group; known is nil for one that the catalogue does not know.
func (d *decoder) group(known *knownGroup, group []byte) *refusal {
	switch c := d.next(); {
	case c == 'n' && d.word("null"):
		return d.checkGroup(known, group)
	case c != '{':
		if why := d.checkGroup(known, group); why != nil {
			return why
		}
		return refuse(reasonSchema, "%s: is not an object of fields, but %s", group, kindOf(c))
	}
	d.pos++
	next := 0
	for first := true; ; first = false {
		name, more := d.key(first)
		if !more {
			if first {
				return d.checkGroup(known, group)
			}
			return nil
		}
		if len(d.fields) == maxFields {
			return refuse(reasonSchema, "more than %d fields", maxFields)
		}
		var f field
		var ok bool
		if f.metric, f.rank, ok = known.metricOf(group, name, &next); !ok {
			if why := d.checkGroup(known, group); why != nil {
				return why
			}
			return refuse(reasonSchema, "%s: %s is not a field name (letters, digits, underscores)", group, quote(name))
		}
		switch c := d.next(); {
		case c == '-' || c-'0' <= 9:
			n, ok := d.number()
			if !ok {
				return nil
			}
			f.kind = fieldNumber
			if len(n.literal) > maxNumberBytes {
				return refuse(reasonSchema, "%s: number has %d characters, at most %d are allowed", f.metric, len(n.literal), maxNumberBytes)
			}
			if f.value, ok = n.float(); !ok {
				return refuse(reasonSchema, "%s: number %s is too large", f.metric, n.literal)
			}
		case c == '"':
			text, why := d.shortText(f.metric)
			if why != nil || d.bad != nil {
				return why
			}
			f.kind, f.text = fieldText, wordOf(text)
			d.texts++
		case c == 't' && d.word("true"):
			f.kind, f.value = fieldNumber, 1
		case c == 'f' && d.word("false"):
			f.kind = fieldNumber
		case c == 'n' && d.word("null"):
		default:
			return refuse(reasonSchema, "%s: must be a number, boolean, text or null, not %s", f.metric, kindOf(c))
		}
		d.fields = append(d.fields, f)
	}
}

// checkGroup checks the name of a group without fields; with fields, their metrics are checked.
func (d *decoder) checkGroup(known *knownGroup, group []byte) *refusal {
	if known == nil && (len(group) > maxMetricBytes || !protocol.ValidMetricName(string(group)+".x")) {
		return refuse(reasonSchema, "%s is not a name of a group (letters, digits, underscores)", quote(group))
	}
	return nil
}

// ownSerial reads the serial, which must be the topic's.
func (d *decoder) ownSerial() *refusal {
	switch c := d.next(); {
	case c == 'n' && d.word("null"):
		return refuse(reasonSerial, "serial is null, the topic says %q", d.serial)
	case c != '"':
		return d.notOf("serial", "a text")
	}
	if text, ok := d.str(); ok && string(text) != d.serial {
		return refuse(reasonSerial, "payload says %s, the topic %q", quote(text), d.serial)
	}
	return nil
}

// sessionID reads a session's id.
func (d *decoder) sessionID(name string) (string, *refusal) {
	text, why := d.shortText(name)
	if string(text) != d.session {
		d.session = string(text)
	}
	return d.session, why
}

// dropped reads the ranges of readings that the kiosk's outbox gave up.
func (d *decoder) dropped() (ranges []protocol.SeqRange, why *refusal) {
	switch c := d.next(); {
	case c == 'n' && d.word("null"):
		return nil, nil
	case c != '[':
		return nil, refuse(reasonSchema, "dropped must be an array of ranges, not %s", kindOf(c))
	}
	d.pos++
	for d.element(len(ranges) == 0) {
		if len(ranges) == maxDropped {
			return nil, refuse(reasonSchema, "more than %d ranges in dropped", maxDropped)
		}
		var r protocol.SeqRange
		why := d.object("a range in dropped", maxLevels-3, []string{"session", "from", "to"}, func(name string) (why *refusal) {
			switch name {
			case "session":
				r.Session, why = d.sessionID("session in dropped")
			case "from":
				r.From, why = d.uint("from in dropped")
			case "to":
				r.To, why = d.uint("to in dropped")
			}
			return why
		})
		switch {
		case why != nil || d.bad != nil:
			return nil, why
		case r.From == 0:
			return nil, refuse(reasonSchema, "a range in dropped must begin with 1 or more")
		case r.To < r.From:
			return nil, refuse(reasonSchema, "a range in dropped goes from %d back to %d", r.From, r.To)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}
