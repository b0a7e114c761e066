//go:build !linux

package journal

import (
	"math"
	"os"
)

func preallocate(f *os.File, size int64) error { return f.Truncate(size) }

func datasync(f *os.File) error { return f.Sync() }

// freeBytes is not known here; a full disk shows itself as a failing write.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }
