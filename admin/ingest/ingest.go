// Package ingest is the way of a message from the broker into the platform. Accept puts it into the
// journal and returns when it is on disk; then the broker acknowledges it. Two consumers read the
// journal, each at its own pace from its own durable position: the live side, which keeps up with what
// is so right now, and the time-series store. Messages that cannot be used are counted and stop nobody.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// Message is one message of a kiosk as the broker delivered it.
type Message struct {
	Serial       string
	Channel      protocol.Channel
	Payload      []byte
	ConnectionID string // empty behind an external broker
	ReceivedAt   time.Time
	Will         bool // the broker says it for a kiosk that is gone; nobody sends it again
}

// Live is the side that keeps up with what is so right now. For one kiosk its methods are called in
// order and never at the same time. After a crash what came after the last Checkpoint is told again, with
// the same sources; it is up to Live to work on nothing twice.
type Live interface {
	Reading(ctx context.Context, r *fleet.Reading)
	Joined(ctx context.Context, o fleet.Origin, j protocol.Join)
	Bye(ctx context.Context, o fleet.Origin, b protocol.Bye)
	Acked(ctx context.Context, o fleet.Origin, a protocol.Ack)
	Connection(ctx context.Context, e fleet.ConnectionEvent)
	// Started says that everything from before this process's start has been told.
	Started(ctx context.Context)
	// Room waits while the effects of what was told are too many to be kept in memory.
	Room(ctx context.Context)
	// Checkpoint returns nil when everything told so far would survive a crash.
	Checkpoint(ctx context.Context) error
}

// Series is the time-series store.
type Series interface {
	// Append stores readings; it may be given ones that it has. Errors: see Config.Rejected, Retry and Lost.
	Append(ctx context.Context, readings []fleet.Reading) error
	// Sync returns when everything appended since the last Sync is on disk. After an error all of that is
	// appended again.
	Sync(ctx context.Context) error
	// Values passes the stored values of a metric of some kiosks in [from, to) to found.
	Values(ctx context.Context, metric string, serials []string, from, to time.Time, found func(serial string, at time.Time, value float64)) error
}

// DeadLetters keeps what cannot be used. A letter whose source is there already changes nothing.
type DeadLetters interface {
	AddDeadLetters(ctx context.Context, letters []fleet.DeadLetter) error
}

// Config says how to take messages. All but Metrics are required.
type Config struct {
	Journal     *journal.Journal
	Live        Live
	Series      Series
	DeadLetters DeadLetters
	// Rejected picks the readings of a batch that Append refused for good out of its error.
	Rejected func(error) map[int]string
	// Retry picks the time the store asks to wait out of an Append error, 0 if it says nothing.
	Retry func(error) time.Duration
	// Lost reports whether an error says that the store has lost points that it had confirmed.
	Lost   func(error) bool
	SiteOf func(serial string) string
	// Window is how old a reading may be; it is the store's out-of-order window.
	Window time.Duration
	// CheckpointEvery spaces the checkpoints of the live side, default 10 s: each writes the state of every
	// kiosk that has sent something since the last one. Where that takes long they come less often, once a minute at
	// least.
	CheckpointEvery time.Duration
	Log             *slog.Logger
	Metrics         prometheus.Registerer // nil: not registered
}

// Names of the consumers: of their positions on disk and in metrics.
const (
	consumerLive   = "live"
	consumerSeries = "timeseries"
)

const (
	// defaultCheckpoint is the CheckpointEvery of a Config that names none.
	defaultCheckpoint = 10 * time.Second
	// longestCheckpoint bounds what is told again after a crash of a fleet whose checkpoints take long.
	longestCheckpoint = time.Minute
)

// finishGrace is how long the consumers may work off what is in the journal at a clean end. What is
// left stays there and is worked off at the next start.
const finishGrace = 2 * time.Second

// Ingest takes messages; see Open and Run.
type Ingest struct {
	cfg     Config
	live    *consumer
	series  *consumer
	metrics *metrics
	buffers sync.Pool
	news    news
	decoded decoded
}

// Open prepares the consumers. From here on Accept takes messages.
func Open(cfg Config) (*Ingest, error) {
	if cfg.CheckpointEvery <= 0 {
		cfg.CheckpointEvery = defaultCheckpoint
	}
	in := &Ingest{cfg: cfg, buffers: sync.Pool{New: func() any { return new([]byte) }}}
	for name, c := range map[string]**consumer{consumerLive: &in.live, consumerSeries: &in.series} {
		reader, err := cfg.Journal.Reader(name)
		if err != nil {
			return nil, err
		}
		*c = &consumer{name: name, reader: reader, log: cfg.Log}
		(*c).progress.done(reader.Position(), time.Now().UTC())
	}
	in.news.in, in.decoded.in = in, in
	in.metrics = newMetrics(in, cfg.Metrics)
	live := newLiveSide(in, cfg.Journal.Stats().Next)
	in.live.work, in.live.caughtUp = live.work, live.start
	in.live.checkpoint, in.live.checkpointEvery, in.live.checkpointLongest = live.checkpoint, cfg.CheckpointEvery, longestCheckpoint
	series := newSeriesSide(in)
	in.series.work, in.series.company = series.work, seriesCompany
	in.series.checkpoint, in.series.checkpointEvery, in.series.again = series.checkpoint, seriesCheckpoint, true
	return in, nil
}

// Accept takes one message; when it returns nil the message is on disk. An error means that it was not
// taken and must not be acknowledged. A will is taken in any case: see news.
func (in *Ingest) Accept(m Message) error {
	if len(m.Payload) > maxPayloadBytes {
		// The broker lets no larger packet through; this guards the journal against another broker.
		// What is left of it becomes a dead letter by its own length.
		m.Payload = m.Payload[:maxPayloadBytes+1]
	}
	r := record{
		kind: kindMessage, at: m.ReceivedAt, serial: m.Serial, site: in.cfg.SiteOf(m.Serial),
		connection: m.ConnectionID, channel: m.Channel, payload: m.Payload,
	}
	if m.Will {
		in.news.put(r)
		return nil
	}
	if err := in.append(r); err != nil {
		in.metrics.refused.WithLabelValues(refusalLabel(err)).Inc()
		return err
	}
	in.metrics.messages.WithLabelValues(string(m.Channel)).Inc()
	return nil
}

// AcceptConnection takes the news of a connection.
func (in *Ingest) AcceptConnection(e fleet.ConnectionEvent) { in.news.put(connectionRecord(e)) }

func (in *Ingest) append(r record) error {
	buf, _ := in.buffers.Get().(*[]byte)
	defer in.buffers.Put(buf)
	*buf = r.encode((*buf)[:0])
	if _, err := in.cfg.Journal.Append(*buf); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
}

func refusalLabel(err error) string {
	switch {
	case errors.Is(err, journal.ErrFull):
		return "journal_full"
	case errors.Is(err, journal.ErrSpace):
		return "disk_full"
	}
	return "closed"
}

// Run works on the journal until ctx ends, then until it is worked off or the grace is over.
func (in *Ingest) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { in.news.run(ctx); return nil })
	for _, c := range []*consumer{in.live, in.series} {
		group.Go(func() error { return c.run(ctx) })
	}
	return group.Wait()
}
