package model

import (
	"context"
	"time"
)

// Order asks the running server for a training: it has the time series open, which a subcommand then cannot.
type Order struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Days    float64   `json:"days"`    // how far back to look; 0: as configured
	Promote bool      `json:"promote"` // put it to work if the gate lets it through
}

// Place leaves an order for the server, in the place of one that it has not taken yet.
func (r *Registry) Place(_ context.Context, o Order) error {
	return r.change(func(x *index) error {
		x.Order = &o
		return nil
	})
}

// Take returns the order that waits, if there is one, and takes it away.
func (r *Registry) Take(context.Context) (*Order, error) {
	x, err := r.readIndex()
	if err != nil || x.Order == nil {
		return nil, err
	}
	var o *Order
	err = r.change(func(x *index) error {
		o, x.Order = x.Order, nil
		return nil
	})
	return o, err
}
