// Package durable keeps a broker's sessions, queued and retained messages on disk, by mochi's storage
// hook on Pebble: of mochi's stores the one whose synchronous commits are shared by concurrent
// clients. It stands apart from package server so that admin, which keeps its own truth in its
// database, does not carry Pebble along. See docs/adr/0004-stand-alone-broker.md.
package durable

import (
	"fmt"
	"log/slog"
	"os"

	pebbledb "github.com/cockroachdb/pebble"
	"github.com/mochi-mqtt/server/v2/hooks/storage/pebble"

	"kioskfleet/broker/server"
)

// Open returns a storage for server.Config that keeps its files in dir. A write is on disk before
// mochi goes on.
func Open(dir string, log *slog.Logger) (*server.Storage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the broker's store: %w", err)
	}
	return &server.Storage{
		Hook: new(pebble.Hook),
		Options: &pebble.Options{
			Path:    dir,
			Mode:    pebble.Sync,
			Options: &pebbledb.Options{Logger: quiet{log}},
		},
	}, nil
}

// quiet sends Pebble's reports to debug level; its fatal errors end the process, as they must: the
// store can no longer be trusted.
type quiet struct{ log *slog.Logger }

func (q quiet) Infof(format string, args ...any) {
	q.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

func (q quiet) Fatalf(format string, args ...any) {
	q.log.Error("pebble cannot go on", "message", fmt.Sprintf(format, args...))
	os.Exit(1)
}
