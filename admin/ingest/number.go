package ingest

import "strconv"

// number is a number as it is written.
type number struct {
	literal  []byte
	mantissa uint64 // all digits, while they are at most maxExact
	digits   int    // before and after the point
	fraction int    // after the point
	negative bool
	exponent bool
}

// maxExact is how many digits always fit into 64 bits.
const maxExact = 19

// number reads the number whose first byte, a digit or minus, is next.
func (s *scanner) number() (n number, ok bool) {
	i := s.pos
	data := s.data
	if data[i] == '-' {
		n.negative = true
		i++
	}
	begin := i
	for i < len(data) && data[i]-'0' <= 9 {
		n.mantissa = n.mantissa*10 + uint64(data[i]-'0')
		i++
	}
	n.digits = i - begin
	if n.digits == 0 {
		s.pos = begin
		s.expected("a digit")
		return n, false
	}
	if n.digits > 1 && data[begin] == '0' {
		s.pos = begin + 1
		s.expected("no digit after a leading zero")
		return n, false
	}
	if i < len(data) && data[i] == '.' {
		i++
		begin = i
		for i < len(data) && data[i]-'0' <= 9 {
			n.mantissa = n.mantissa*10 + uint64(data[i]-'0')
			i++
		}
		if n.fraction = i - begin; n.fraction == 0 {
			s.pos = i
			s.expected("a digit after the point")
			return n, false
		}
		n.digits += n.fraction
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		n.exponent = true
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		begin = i
		for i < len(data) && data[i]-'0' <= 9 {
			i++
		}
		if i == begin {
			s.pos = i
			s.expected("a digit of an exponent")
			return n, false
		}
	}
	n.literal, s.pos = data[s.pos:i], i
	return n, true
}

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float returns the nearest float64, bit by bit what strconv.ParseFloat makes of it; false if it is
// beyond all of them.
func (n *number) float() (float64, bool) {
	if n.digits <= maxExact && n.mantissa < 1<<53 && !n.exponent && n.fraction < len(powers) {
		// Both are exact, so one division rounds correctly (W. D. Clinger, How to read floating point
		// numbers accurately, 1990).
		f := float64(n.mantissa)
		if n.fraction > 0 {
			f /= powers[n.fraction]
		}
		if n.negative {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(string(n.literal), 64)
	return f, err == nil
}

// uint returns a whole number without sign, fraction or exponent.
func (n *number) uint() (uint64, bool) {
	if n.negative || n.exponent || n.fraction > 0 {
		return 0, false
	}
	if n.digits <= maxExact {
		return n.mantissa, true
	}
	u, err := strconv.ParseUint(string(n.literal), 10, 64)
	return u, err == nil
}

// int returns a whole number without fraction or exponent.
func (n *number) int() (int64, bool) {
	i, err := strconv.ParseInt(string(n.literal), 10, 64)
	return i, err == nil
}
