package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"kioskfleet/admin/telemetry"
)

// boundedStore answers like a store with a point each second that gives out ten points at once.
type boundedStore struct{ telemetry.Store }

func (boundedStore) Range(_ context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	one := telemetry.Series{Serial: q.Serials[0]}
	for at := q.From.Truncate(time.Second); at.Before(q.To); at = at.Add(time.Second) {
		if !at.Before(q.From) {
			one.Points = append(one.Points, telemetry.Point{Time: at, Value: float64(at.Unix())})
		}
	}
	if len(one.Points) > 10 {
		return nil, telemetry.ErrTooLarge
	}
	return []telemetry.Series{one}, nil
}

func (boundedStore) Close() error { return nil }

// The consumer would ask again for ever, and nobody's readings would be stored.
func TestValuesOfALargeRangeAreAskedForInParts(t *testing.T) {
	lazy := telemetry.NewLazy(func(context.Context) (telemetry.Store, error) { return boundedStore{}, nil }, slog.New(slog.DiscardHandler))
	if err := lazy.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	from, seen := time.Unix(1000, 0).UTC(), map[time.Time]int{}
	err := series{lazy}.Values(t.Context(), "a.b", []string{"K-1"}, from, from.Add(100*time.Second), func(_ string, at time.Time, _ float64) { seen[at]++ })
	if err != nil || len(seen) != 100 {
		t.Fatalf("%d points, error %v", len(seen), err)
	}
	for at, n := range seen {
		if n != 1 {
			t.Errorf("%v comes %d times", at, n)
		}
	}
}

func TestWhatATimeSeriesStoreSaysIsNoErrorOfOurs(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		later  time.Duration
		less   bool
	}{
		{telemetry.ErrTooLarge, http.StatusUnprocessableEntity, 0, true},
		{telemetry.ErrNotReady, http.StatusServiceUnavailable, time.Second, false},
		{telemetry.ErrRefused, http.StatusBadGateway, 0, false},
		{telemetry.ErrClosed, http.StatusServiceUnavailable, time.Second, false},
		{&telemetry.RetryAfterError{Err: errors.New("gone")}, http.StatusServiceUnavailable, time.Second, false},
		{&telemetry.RetryAfterError{After: time.Minute, Err: errors.New("busy")}, http.StatusServiceUnavailable, time.Minute, false},
	} {
		fault, ok := classify(fmt.Errorf("range: %w", tt.err))
		if !ok || fault.Status != tt.status || fault.RetryAfter != tt.later || fault.TooLarge != tt.less {
			t.Errorf("%v: %+v, %t", tt.err, fault, ok)
		}
	}
}
