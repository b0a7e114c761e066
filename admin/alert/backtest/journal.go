package backtest

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
)

// Readings passes the readings that came in [from, to) from the kiosks that of picks, in the order in which they came.
type Readings func(ctx context.Context, of func(serial string) bool, from, to time.Time, each func(*fleet.Reading) error) error

// Journal is the History of what is there as it came.
type Journal struct{ Readings Readings }

// Count implements History. Nobody knows before the journal is read, which is bounded itself.
func (Journal) Count(context.Context, Query) (int, error) { return 0, nil }

// Replay implements History.
func (j Journal) Replay(ctx context.Context, q Query, each func(*fleet.Reading) error) error {
	wanted := make(map[string]struct{}, len(q.Serials))
	for _, serial := range q.Serials {
		wanted[serial] = struct{}{}
	}
	return j.Readings(ctx, func(serial string) bool { _, ok := wanted[serial]; return ok }, q.From, q.To, each)
}
