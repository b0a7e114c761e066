package rollup_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

// memory is a repository without a disk, which waits for each commit: the long tests make many thousands.
type memory struct {
	mu       sync.Mutex
	progress fleet.RollupProgress
	rollups  map[fleet.RollupMark]map[string][]byte // by kiosk and day, then by metric
	marks    map[fleet.RollupMark]fleet.RollupMark
}

func newMemory() *memory {
	return &memory{rollups: map[fleet.RollupMark]map[string][]byte{}, marks: map[fleet.RollupMark]fleet.RollupMark{}}
}

func (m *memory) RollupProgress(context.Context) (fleet.RollupProgress, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress, nil
}

func (m *memory) SaveRollupProgress(_ context.Context, p fleet.RollupProgress) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.progress = p
	return nil
}

func (m *memory) LeaseRollups(context.Context, string, time.Time, time.Time) (bool, error) {
	return true, nil
}

func (m *memory) SaveRollups(_ context.Context, rollups []fleet.Rollup, settled []fleet.RollupMark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rollups {
		key := fleet.RollupMark{Serial: r.Serial, Day: r.Day}
		if m.rollups[key] == nil {
			m.rollups[key] = map[string][]byte{}
		}
		m.rollups[key][r.Metric] = r.Data
	}
	for _, s := range settled {
		key := fleet.RollupMark{Serial: s.Serial, Day: s.Day}
		if m.marks[key].Version == s.Version {
			delete(m.marks, key)
		}
	}
	return nil
}

func (m *memory) Rollups(ctx context.Context, metric string, serials []string, first, last int64, found func(string, int64, []byte) error) error {
	for day := first; day <= last; day++ {
		for _, serial := range serials {
			m.mu.Lock()
			data := m.rollups[fleet.RollupMark{Serial: serial, Day: day}][metric]
			m.mu.Unlock()
			if data != nil {
				if err := found(serial, day, data); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

func (m *memory) MarkRollups(_ context.Context, marks []fleet.RollupMark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mark := range marks {
		key := fleet.RollupMark{Serial: mark.Serial, Day: mark.Day}
		mark.Version = m.marks[key].Version + 1
		mark.Late = mark.Late || m.marks[key].Late
		m.marks[key] = mark
	}
	return nil
}

func (m *memory) RollupMarks(context.Context) ([]fleet.RollupMark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]fleet.RollupMark, 0, len(m.marks))
	for _, mark := range m.marks {
		out = append(out, mark)
	}
	slices.SortFunc(out, func(a, b fleet.RollupMark) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.Serial, b.Serial))
	})
	return out, nil
}

func (m *memory) DeleteRollups(context.Context, int64) (int, error) { return 0, nil }
