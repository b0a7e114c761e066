package fleet

import "time"

// liveAge bounds the age of a reading that counts as live whatever came before it.
const liveAge = 30 * time.Second

// CountsAsLive reports whether a reading says how its kiosk is now: it is newer, by the kiosk's clock, than the last
// that did (nil: none), and it was not kept back. An old one was, unless readings come at the pace at which they
// are taken, which is so when the kiosk's clock is wrong: what is backfilled comes all at once.
func CountsAsLive(before, r *Reading) bool {
	if before != nil && !r.Time.After(before.Time) {
		return false
	}
	if r.ReceivedAt.Sub(r.Time) < liveAge {
		return true
	}
	if before == nil {
		return false
	}
	taken, came := r.Time.Sub(before.Time), r.ReceivedAt.Sub(before.ReceivedAt)
	return came > taken*4/5 && came < taken*5/4
}
