package backtest

import (
	"container/heap"
	"slices"
	"strings"

	"kioskfleet/admin/fleet"
)

// kept holds the earliest alerts, up to a limit. Which they are does not depend on the order in which kiosks are
// worked on.
type kept struct {
	limit int
	heap  latestFirst
	count int // that were added
}

// one is an alert and its number among those that were added: of one kiosk several may have opened at the same time.
type one struct {
	*fleet.Alert
	number int
}

func compare(a, b one) int {
	if c := a.OpenedAt.Compare(b.OpenedAt); c != 0 {
		return c
	}
	if c := strings.Compare(a.Serial, b.Serial); c != 0 {
		return c
	}
	return a.number - b.number
}

// add adds an alert; those of one kiosk come in their order.
func (k *kept) add(a *fleet.Alert) {
	k.count++
	heap.Push(&k.heap, one{a, k.count})
	if len(k.heap) > k.limit {
		heap.Pop(&k.heap)
	}
}

// sorted returns the alerts by OpenedAt and serial, and whether there were more.
func (k *kept) sorted() (alerts []fleet.Alert, more bool) {
	list := slices.Clone(k.heap)
	slices.SortFunc(list, compare)
	alerts = make([]fleet.Alert, len(list))
	for i, a := range list {
		alerts[i] = *a.Alert
	}
	return alerts, k.count > len(list)
}

type latestFirst []one

func (h latestFirst) Len() int           { return len(h) }
func (h latestFirst) Less(i, j int) bool { return compare(h[i], h[j]) > 0 }
func (h latestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *latestFirst) Push(x any) { *h = append(*h, x.(one)) }

// Pop implements heap.Interface.
func (h *latestFirst) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
