package ingest

import (
	"sync"

	"kioskfleet/admin/fleet"
)

// decodedRecords is how many decoded records are shared: what the consumers are apart as a rule.
const decodedRecords = 8192

// decoded lets the consumers share the work of decoding telemetry while they are close to each other: who
// comes first leaves the readings for the other. Nobody changes them afterwards.
type decoded struct {
	in    *Ingest
	slots [decodedRecords]decodedSlot
}

type decodedSlot struct {
	mu       sync.Mutex // guards the rest
	number   uint64     // of the record; 0: empty
	readings []fleet.Reading
	reserved int
}

// telemetry returns the readings of a record, complete with site and source, what is refused of it, and how many
// fields were left out.
func (d *decoded) telemetry(r *record) (readings []fleet.Reading, refused []*refusal, reserved int) {
	slot := &d.slots[r.number%decodedRecords]
	slot.mu.Lock()
	if slot.number == r.number {
		readings, reserved = slot.readings, slot.reserved
		slot.number, slot.readings = 0, nil // there are two of us, and both had it now
		slot.mu.Unlock()
		return readings, nil, reserved
	}
	slot.mu.Unlock()
	readings, refused, reserved = decodeAndCount(r.serial, r.payload, r.at, d.in.cfg.Window)
	for i := range readings {
		readings[i].Site, readings[i].Source.Record = r.site, r.number
	}
	// Many at once come late, and would fill the memory, as would refusals, each with its text.
	if len(readings) <= 1 && len(refused) == 0 {
		slot.mu.Lock()
		slot.number, slot.readings, slot.reserved = r.number, readings, reserved
		slot.mu.Unlock()
	}
	return readings, refused, reserved
}
