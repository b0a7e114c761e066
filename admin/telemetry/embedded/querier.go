package embedded

import (
	"sync"

	"github.com/prometheus/prometheus/storage"
)

// LabelSerial names the label that carries a kiosk's serial.
const LabelSerial = labelSerial

var _ storage.Queryable = (*Store)(nil)

// Querier implements storage.Queryable: a read-only view of the points in [mint, maxt], both in Unix
// milliseconds. The store waits with its Close for the querier's, so whoever holds one ends its work when
// Closing says so. It returns telemetry.ErrClosed once the store is closed.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	inner, err := s.db.Querier(mint, maxt)
	if err != nil {
		release()
		return nil, err
	}
	return &heldQuerier{Querier: inner, release: sync.OnceFunc(release)}, nil
}

// Closing is closed when the store's Close begins.
func (s *Store) Closing() <-chan struct{} { return s.closing }

// heldQuerier keeps the store open until it is closed.
type heldQuerier struct {
	storage.Querier
	release func()
}

func (q *heldQuerier) Close() error {
	defer q.release()
	return q.Querier.Close()
}
