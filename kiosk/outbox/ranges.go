package outbox

import "kioskfleet/internal/protocol"

// maxRanges bounds the dropped ranges that a box remembers until they are reported.
const maxRanges = 64

// addDropped adds one dropped reading to a list of ranges. It extends a range of the session that ends
// or begins beside it. A list that would exceed maxRanges first loses detail: two ranges of one session
// become one that covers the gap between them, which claims too much (the platform believes what it
// has); where no session has two, the oldest range is forgotten. It returns a new list, and how many
// ranges were forgotten.
func addDropped(list []protocol.SeqRange, session string, seq uint64) (out []protocol.SeqRange, forgotten int) {
	return addRange(list, protocol.SeqRange{Session: session, From: seq, To: seq})
}

// addRange is addDropped for all readings of a range.
func addRange(list []protocol.SeqRange, r protocol.SeqRange) (out []protocol.SeqRange, forgotten int) {
	out = append(make([]protocol.SeqRange, 0, len(list)+1), list...)
	for i := len(out) - 1; i >= 0; i-- {
		g := &out[i]
		if g.Session == r.Session && r.From <= g.To+1 && g.From <= r.To+1 {
			g.From, g.To = min(g.From, r.From), max(g.To, r.To)
			return out, 0
		}
	}
	out = append(out, r)
	if len(out) <= maxRanges {
		return out, 0
	}
	if i, j, ok := nearestPair(out); ok {
		out[i].From, out[i].To = min(out[i].From, out[j].From), max(out[i].To, out[j].To)
		return append(out[:j], out[j+1:]...), 0
	}
	return out[1:], 1
}

// nearestPair finds the two ranges of one session with the smallest gap between them, i before j.
func nearestPair(list []protocol.SeqRange) (i, j int, ok bool) {
	var smallest uint64
	for a := range list {
		for b := a + 1; b < len(list); b++ {
			if list[a].Session != list[b].Session {
				continue
			}
			gap := max(list[a].From, list[b].From) - min(list[a].To, list[b].To)
			if !ok || gap < smallest {
				i, j, ok, smallest = a, b, true, gap
			}
		}
	}
	return i, j, ok
}

// subtractRanges returns what of list is not covered by reported: ranges that were merged or extended
// after the report keep the part that was not told. It returns at most maxRanges, the newest.
func subtractRanges(list, reported []protocol.SeqRange) []protocol.SeqRange {
	var out []protocol.SeqRange
	for _, g := range list {
		out = append(out, subtractFrom(g, reported)...)
	}
	return out[max(0, len(out)-maxRanges):]
}

func subtractFrom(g protocol.SeqRange, reported []protocol.SeqRange) []protocol.SeqRange {
	rest := []protocol.SeqRange{g}
	for _, told := range reported {
		var next []protocol.SeqRange
		for _, r := range rest {
			if told.Session != r.Session || told.To < r.From || told.From > r.To {
				next = append(next, r)
				continue
			}
			if r.From < told.From {
				next = append(next, protocol.SeqRange{Session: r.Session, From: r.From, To: told.From - 1})
			}
			if r.To > told.To {
				next = append(next, protocol.SeqRange{Session: r.Session, From: told.To + 1, To: r.To})
			}
		}
		rest = next
	}
	return rest
}
