// Package watch is a stand-in.
package watch

// Prior is a stand-in.
type Prior struct {
	Metrics map[string]int
}
