package ingest

import (
	"bytes"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how many levels of objects and arrays a message may have at all. It is the width of
// the word that skip keeps them in; what a reading may have is maxLevels.
const maxNesting = 64

// scanner walks once over a JSON text (RFC 8259) that is known to be UTF-8, and builds nothing. It
// takes and refuses what encoding/json takes and refuses, but for maxNesting. After a fault, which is
// kept in bad, nothing more can be read.
//
// It is our own because decoding is most of what ingest does: two consumers read every message, and a
// general decoder hands out maps or values by name where a reading needs a sorted list of metrics. It
// also has to see what general decoders hide: names that come twice, and where each element ends.
type scanner struct {
	data []byte
	pos  int
	text []byte   // texts that had escapes, one after the other
	bad  *refusal // why the text is not JSON
}

// open begins with a payload. It reports whether that is UTF-8 of a size that is taken.
func (s *scanner) open(payload []byte) bool {
	s.data, s.pos, s.text, s.bad = payload, 0, s.text[:0], nil
	if len(payload) > maxPayloadBytes {
		s.bad = refuse(reasonTooLarge, "%d bytes, at most %d are allowed", len(payload), maxPayloadBytes)
	} else if !utf8.Valid(payload) {
		for s.pos < len(payload) {
			r, n := utf8.DecodeRune(payload[s.pos:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			s.pos += n
		}
		s.bad = refuse(reasonMalformed, "is not UTF-8 at byte %d", s.pos)
	}
	return s.bad == nil
}

// close reports whether nothing follows that is not white space.
func (s *scanner) close() bool {
	if s.next(); s.pos < len(s.data) {
		s.expected("nothing more")
	}
	return s.bad == nil
}

// next passes over white space and returns the byte there, 0 at the end.
func (s *scanner) next() byte {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' {
		return s.data[s.pos]
	}
	return s.space()
}

func (s *scanner) space() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// expected notes that something else stands where what was expected.
func (s *scanner) expected(what string) {
	rest := s.data[s.pos:]
	number := bytes.TrimLeft(rest, "+-")
	r, _ := utf8.DecodeRune(rest)
	switch {
	case len(rest) == 0:
		s.bad = refuse(reasonMalformed, "ends at byte %d, where %s is expected", s.pos, what)
	case startsFold(number, "nan"):
		s.bad = refuse(reasonMalformed, "JSON has no NaN (byte %d); send null, or leave the field out", s.pos)
	case startsFold(number, "inf"):
		s.bad = refuse(reasonMalformed, "JSON has no Infinity (byte %d); send null, or leave the field out", s.pos)
	default:
		s.bad = refuse(reasonMalformed, "%q at byte %d, where %s is expected", string(r), s.pos, what)
	}
}

func startsFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// key reads the next name in an object, and passes its colon; more is false after the last one, and
// at a fault. The name is good until the scanner opens another text.
func (s *scanner) key(first bool) (name []byte, more bool) {
	c := s.next()
	switch {
	case c == '}':
		s.pos++
		return nil, false
	case first:
	case c == ',':
		s.pos++
		c = s.next()
	default:
		s.expected("a comma or }")
		return nil, false
	}
	return s.name(c)
}

// name reads a name, whose first byte is c, and its colon.
func (s *scanner) name(c byte) (name []byte, ok bool) {
	if c != '"' {
		s.expected("a name in quotes")
		return nil, false
	}
	if name, ok = s.str(); !ok {
		return nil, false
	}
	if s.next() != ':' {
		s.expected("a colon")
		return nil, false
	}
	s.pos++
	return name, true
}

// element goes on to the next element of an array; it is false after the last one, and at a fault.
func (s *scanner) element(first bool) bool {
	switch c := s.next(); {
	case c == ']':
		s.pos++
		return false
	case first:
	case c == ',':
		s.pos++
	default:
		s.expected("a comma or ]")
		return false
	}
	return true
}

// str reads the string whose opening quote is next. It is good until the scanner opens another text.
func (s *scanner) str() (text []byte, ok bool) {
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i:i], true
		case c == '\\':
			return s.escaped(start, i)
		case c < ' ':
			s.pos = i
			s.expected("the rest of a string (control characters are written as \\u00XX)")
			return nil, false
		}
	}
	s.pos = len(s.data)
	s.expected("the end of a string")
	return nil, false
}

// escaped reads on in a string that began at start, from its first backslash. Half a surrogate pair
// becomes U+FFFD, as in encoding/json: the kiosk's text is damaged, its reading is not.
func (s *scanner) escaped(start, i int) (text []byte, ok bool) {
	from := len(s.text)
	s.text = append(s.text, s.data[start:i]...)
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case c == '"':
			s.pos = i + 1
			return s.text[from:len(s.text):len(s.text)], true
		case c < ' ':
			s.pos = i
			s.expected("the rest of a string (control characters are written as \\u00XX)")
			return nil, false
		case c != '\\':
			s.text = append(s.text, c)
			i++
			continue
		}
		if i+1 == len(s.data) {
			break
		}
		switch c := s.data[i+1]; c {
		case '"', '\\', '/':
			s.text = append(s.text, c)
		case 'b':
			s.text = append(s.text, '\b')
		case 'f':
			s.text = append(s.text, '\f')
		case 'n':
			s.text = append(s.text, '\n')
		case 'r':
			s.text = append(s.text, '\r')
		case 't':
			s.text = append(s.text, '\t')
		case 'u':
			r := hex4(s.data[i:])
			if r < 0 {
				s.pos = i
				s.expected("an escape of four hexadecimal digits")
				return nil, false
			}
			if utf16.IsSurrogate(r) {
				if pair := utf16.DecodeRune(r, hex4(s.data[i+6:])); pair != unicode.ReplacementChar {
					r = pair
					i += 6
				} else {
					r = unicode.ReplacementChar
				}
			}
			s.text = utf8.AppendRune(s.text, r)
			i += 4
		default:
			s.pos = i + 1
			s.expected(`an escape (\" \\ \/ \b \f \n \r \t \u)`)
			return nil, false
		}
		i += 2
	}
	s.pos = len(s.data)
	s.expected("the end of a string")
	return nil, false
}

// hex4 returns the number in an escape \uXXXX that b begins with, or -1.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// word reads true, false or null.
func (s *scanner) word(word string) bool {
	if rest := s.data[s.pos:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
		s.pos += len(word)
		return true
	}
	s.expected("a value")
	return false
}

// skip passes any value, which has open levels of objects and arrays around it. It returns how many
// levels the value itself has; 0 for a number, text or word.
func (s *scanner) skip(open int) (levels int, ok bool) {
	var objects uint64 // one bit for each open level, the innermost lowest: is it an object?
	level := 0
	for {
		c := s.next()
		if c == '{' || c == '[' {
			if open+level >= maxNesting {
				s.bad = refuse(reasonMalformed, "more than %d levels of objects and arrays at byte %d", maxNesting, s.pos)
				return 0, false
			}
			s.pos++
			level++
			levels = max(levels, level)
			objects <<= 1
			if c == '{' {
				objects |= 1
			}
			if closing := c + 2; s.next() != closing { // 2 from [ to ], and from { to }
				if c == '{' && !s.skipName() {
					return 0, false
				}
				continue
			}
		} else if !s.scalar(c) {
			return 0, false
		}
		// A value has ended, or only its closing bracket is left.
		for {
			if level == 0 {
				return levels, true
			}
			c, object := s.next(), objects&1 == 1
			if c == '}' && object || c == ']' && !object {
				s.pos++
				level--
				objects >>= 1
				continue
			}
			if c != ',' {
				s.expected("a comma, or the end of an object or array")
				return 0, false
			}
			s.pos++
			if object && !s.skipName() {
				return 0, false
			}
			break
		}
	}
}

func (s *scanner) skipName() bool {
	mark := len(s.text)
	_, ok := s.name(s.next())
	s.text = s.text[:mark]
	return ok
}

// scalar passes a value, whose first byte is c, that is no object or array.
func (s *scanner) scalar(c byte) (ok bool) {
	switch {
	case c == '"':
		mark := len(s.text)
		_, ok = s.str()
		s.text = s.text[:mark]
	case c == '-' || c-'0' <= 9:
		_, ok = s.number()
	case c == 't':
		ok = s.word("true")
	case c == 'f':
		ok = s.word("false")
	case c == 'n':
		ok = s.word("null")
	default:
		s.expected("a value")
	}
	return ok
}

// kindOf names the kind of the value that begins with c, for people.
func kindOf(c byte) string {
	switch {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a text"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-' || c-'0' <= 9:
		return "a number"
	}
	return "something else"
}
