package store

import (
	"context"
	"fmt"

	"kioskfleet/admin/fleet"
)

// AlertStates returns what the alert engine last kept of every kiosk; SaveAlerts writes it.
func (s *Store) AlertStates(ctx context.Context) ([]fleet.AlertEngineState, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT serial, record, item, data FROM alert_states ORDER BY serial`)
	out, err := collect(rows, err, func(row scanner) (st fleet.AlertEngineState, err error) {
		var record int64
		err = row.Scan(&st.Serial, &record, &st.Source.Item, &st.Data)
		st.Source.Record = uint64(record)
		return st, err
	})
	if err != nil {
		return nil, fmt.Errorf("load the alert engine's states: %w", err)
	}
	return out, nil
}
