package availability

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"kioskfleet/admin/fleet"
)

// kind is what a moment of a kiosk counts as.
type kind uint8

const (
	unknown kind = iota
	canServe
	degraded
	cannotServe
	maintenance
	kinds = 5
)

var kindNames = [kinds]string{string(fleet.VerdictUnknown), string(fleet.VerdictCanServe), string(fleet.VerdictDegraded), string(fleet.VerdictCannotServe), "maintenance"}

func (k kind) String() string { return kindNames[k] }

// kindNamed returns the kind of that name; one that nobody knows is unknown.
func kindNamed(name string) kind { return kind(max(slices.Index(kindNames[:], name), 0)) }

const (
	// quarter is what the offsets of all time zones in use are multiples of, in milliseconds.
	quarter  = 15 * 60 * 1000
	quarters = 7 * 24 * 4
	weekLong = quarters * quarter
)

func weekOf(ms int64) int64 { return floor(ms, weekLong) }

// floor divides and rounds down, also before 1970.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// amounts are milliseconds by kind in one quarter of an hour; what is missing to the whole was not watched.
type amounts [kinds]uint32

// week is one kiosk's week.
type week [quarters]amounts

// add counts [from, to) as k; both in milliseconds since the start of the week, and cut to it.
func (w *week) add(k kind, from, to int64) {
	from, to = max(from, 0), min(to, weekLong)
	for from < to {
		i := from / quarter
		end := min((i+1)*quarter, to)
		w[i][k] += uint32(end - from) //nolint:gosec // at most a quarter of an hour
		from = end
	}
}

const (
	weekVersion = 1
	// wholly marks a quarter that is one kind from its beginning to its end.
	wholly = 1 << 7
)

var errDamaged = errors.New("availability record is damaged")

// encode packs a week: a version, then for each run of equal quarters the kinds in it as bits, its length, and
// how long each kind lasted unless it is one alone throughout. What comes after the last watched quarter is left
// out.
func (w *week) encode() []byte {
	end := quarters
	for end > 0 && w[end-1] == (amounts{}) {
		end--
	}
	b := []byte{weekVersion}
	for i := 0; i < end; {
		run := 1
		for i+run < end && w[i+run] == w[i] {
			run++
		}
		var mask byte
		for k, ms := range w[i] {
			if ms > 0 {
				mask |= 1 << k
			}
			if ms == quarter {
				mask |= wholly
			}
		}
		b = append(b, mask)
		b = binary.AppendUvarint(b, uint64(run)) //nolint:gosec // positive
		for k := 0; mask&wholly == 0 && k < kinds; k++ {
			if w[i][k] > 0 {
				b = binary.AppendUvarint(b, uint64(w[i][k]))
			}
		}
		i += run
	}
	return b
}

// decode passes each run of watched quarters to f: the first, how many, and the amounts in each of them.
//
// Errors: errDamaged.
func decode(b []byte, f func(first, run int, each *amounts)) error {
	if len(b) == 0 || b[0] != weekVersion {
		return errDamaged
	}
	b = b[1:]
	for i := 0; len(b) > 0; {
		mask := b[0]
		run, n := binary.Uvarint(b[1:])
		if n <= 0 || run == 0 || run > uint64(quarters-i) || mask&^wholly >= 1<<kinds {
			return errDamaged
		}
		b = b[1+n:]
		var each amounts
		if mask&wholly != 0 {
			if bits.OnesCount8(mask&^wholly) != 1 {
				return errDamaged
			}
			each[bits.TrailingZeros8(mask)] = quarter
		} else {
			var sum uint64
			for k := range kinds {
				if mask&(1<<k) == 0 {
					continue
				}
				ms, n := binary.Uvarint(b)
				if n <= 0 || ms > quarter {
					return errDamaged
				}
				b = b[n:]
				each[k] = uint32(ms)
				sum += ms
			}
			if sum > quarter {
				return errDamaged
			}
		}
		if mask != 0 {
			f(i, int(run), &each) //nolint:gosec // at most a week's quarters
		}
		i += int(run) //nolint:gosec // as above
	}
	return nil
}

// load adds what a packed week holds.
func (w *week) load(b []byte) error {
	return decode(b, func(first, run int, each *amounts) {
		for i := first; i < first+run; i++ {
			for k, ms := range each {
				w[i][k] += ms
			}
		}
	})
}
