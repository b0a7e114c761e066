package telemetry

import (
	"errors"
	"fmt"
	"time"
)

// ErrClosed is the answer of every method of a store after its Close.
var ErrClosed = errors.New("the time-series store is closed")

// RetryAfterError says that the store cannot be used now but, without anybody changing anything, may
// be later: the server is unreachable, overloaded or asks to slow down. Any other error of opening a
// store needs a person.
type RetryAfterError struct {
	After time.Duration // how long the server asks to wait; 0 when it did not say
	Err   error
}

func (e *RetryAfterError) Error() string {
	if e.After > 0 {
		return fmt.Sprintf("%v (retry after %v)", e.Err, e.After)
	}
	return e.Err.Error()
}

func (e *RetryAfterError) Unwrap() error { return e.Err }

// ErrRefused says that the server behind the store refuses a question. That is nothing the asker did: its credentials, its
// database or its version need a person.
var ErrRefused = errors.New("the time-series server refuses the question")

// BrokenError says that a store can no longer be relied on and must be closed and opened again.
type BrokenError struct{ Err error }

func (e *BrokenError) Error() string {
	return "the time-series store must be opened again: " + e.Err.Error()
}

func (e *BrokenError) Unwrap() error { return e.Err }
