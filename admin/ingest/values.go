package ingest

import (
	"bytes"
	"slices"
	"time"
)

// What follows reads values whose kind is known. null is no value: zero, or empty. Results are void
// once bad is set.

// notOf refuses a value of another kind than was asked for. Anything that is no value is for skip to
// find, which comes by after each refusal.
func (s *scanner) notOf(name, want string) *refusal {
	return refuse(reasonSchema, "%s: must be %s, not %s", name, want, kindOf(s.next()))
}

// shortText reads a text of at most maxTextBytes. It is good until the scanner opens another text.
func (s *scanner) shortText(name string) ([]byte, *refusal) {
	switch c := s.next(); {
	case c == 'n' && s.word("null"):
		return nil, nil
	case c != '"':
		return nil, s.notOf(name, "a text")
	}
	text, _ := s.str()
	switch {
	case len(text) > maxTextBytes:
		return nil, refuse(reasonSchema, "%s: has more than %d bytes", name, maxTextBytes)
	case bytes.IndexByte(text, 0) >= 0:
		// PostgreSQL takes no such text, and it would come again and again.
		return nil, refuse(reasonSchema, "%s: has a NUL character", name)
	}
	return text, nil
}

// uint reads a whole number from 0 to 2^64-1.
func (s *scanner) uint(name string) (uint64, *refusal) {
	const want = "a whole number from 0 to 18446744073709551615"
	switch c := s.next(); {
	case c == 'n' && s.word("null"):
		return 0, nil
	case c != '-' && c-'0' > 9:
		return 0, s.notOf(name, want)
	}
	n, ok := s.number()
	if !ok {
		return 0, nil
	}
	u, ok := n.uint()
	if !ok {
		return 0, refuse(reasonSchema, "%s: must be %s, not %.40s", name, want, n.literal)
	}
	return u, nil
}

// int reads a whole number of 64 bits.
func (s *scanner) int(name string) (int64, *refusal) {
	const want = "a whole number of at most 64 bits"
	switch c := s.next(); {
	case c == 'n' && s.word("null"):
		return 0, nil
	case c != '-' && c-'0' > 9:
		return 0, s.notOf(name, want)
	}
	n, ok := s.number()
	if !ok {
		return 0, nil
	}
	i, ok := n.int()
	if !ok {
		return 0, refuse(reasonSchema, "%s: must be %s, not %.40s", name, want, n.literal)
	}
	return i, nil
}

// time reads an RFC 3339 time as time.Parse does, which has a fast path of its own for these.
func (s *scanner) time(name string) (at time.Time, why *refusal) {
	text, why := s.shortText(name)
	if why != nil || text == nil {
		return at, why
	}
	if at, err := time.Parse(time.RFC3339, string(text)); err == nil {
		return at, nil
	}
	return at, refuse(reasonSchema, "%s: %s is no RFC 3339 time such as 2026-01-02T03:04:05.678Z", name, quote(text))
}

// object reads an object: value is called for each name of names to read what belongs to it. Other
// names are passed over, if their values have at most that many levels of objects and arrays: they may
// mean something one day.
func (s *scanner) object(what string, levels int, names []string, value func(name string) *refusal) *refusal {
	if c := s.next(); c != '{' {
		return refuse(reasonSchema, "%s must be an object, not %s", what, kindOf(c))
	}
	s.pos++
	var seen uint64
	for first := true; ; first = false {
		text, more := s.key(first)
		if !more {
			return nil
		}
		i := slices.IndexFunc(names, func(name string) bool { return name == string(text) })
		var why *refusal
		if i < 0 {
			deep, _ := s.skip(0)
			if deep > levels {
				why = refuse(reasonSchema, "%s in %s: too many levels of objects and arrays", quote(text), what)
			}
		} else {
			if seen&(1<<i) != 0 {
				return refuse(reasonDuplicateKey, "%s comes twice in %s", names[i], what)
			}
			seen |= 1 << i
			why = value(names[i])
		}
		if why != nil || s.bad != nil {
			return why
		}
	}
}
