package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes that people write as 512MiB or 10GiB.
type Bytes int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads a number with an optional unit (B, KB, KiB, … TiB).
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || f < 0 || f*u.factor > math.MaxInt64/2 {
			break
		}
		*b = Bytes(f * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 512MiB or 10GiB", s)
}

// String writes the size with the largest binary unit that keeps it whole.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if f := int64(units[i].factor); int64(b) >= f && int64(b)%f == 0 {
			return strconv.FormatInt(int64(b)/f, 10) + units[i].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}
