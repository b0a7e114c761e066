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
}

// Live is the side that keeps up with what is so right now. For one kiosk its methods are called in
// order and never at the same time. After a crash the last second may come again.
type Live interface {
	Reading(ctx context.Context, r *fleet.Reading)
	Joined(ctx context.Context, serial, connection string, j protocol.Join, at time.Time)
	Bye(ctx context.Context, serial, connection string, b protocol.Bye, at time.Time)
	Acked(ctx context.Context, serial string, a protocol.Ack, at time.Time)
	Connection(ctx context.Context, e fleet.ConnectionEvent)
	// Started says that everything from before this process's start has been told.
	Started(ctx context.Context)
}

// Series is the time-series store. Append may be given readings again that it has; Sync returns when
// everything appended is on disk.
type Series interface {
	Append(ctx context.Context, readings []fleet.Reading) error
	Sync(ctx context.Context) error
}

// Config says how to take messages. All but Metrics are required.
type Config struct {
	Journal *journal.Journal
	Live    Live
	Series  Series
	// Rejected picks the readings of a batch that Append refused for good out of its error.
	Rejected func(error) map[int]string
	// Retry picks the time the store asks to wait out of an Append error, 0 if it says nothing.
	Retry  func(error) time.Duration
	SiteOf func(serial string) string
	// Window is how old a reading may be; it is the store's out-of-order window.
	Window  time.Duration
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not registered
}

// Names of the consumers: of their positions on disk and in metrics.
const (
	consumerLive   = "live"
	consumerSeries = "timeseries"
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
}

// Open prepares the consumers. From here on Accept takes messages.
func Open(cfg Config) (*Ingest, error) {
	in := &Ingest{cfg: cfg, metrics: newMetrics(cfg.Journal, cfg.Metrics), buffers: sync.Pool{New: func() any { return new([]byte) }}}
	for name, c := range map[string]**consumer{consumerLive: &in.live, consumerSeries: &in.series} {
		reader, err := cfg.Journal.Reader(name)
		if err != nil {
			return nil, err
		}
		*c = &consumer{name: name, reader: reader, log: cfg.Log}
	}
	live := newLiveSide(in, cfg.Journal.Stats().Next)
	in.live.work, in.live.caughtUp = live.work, live.start
	in.series.work = newSeriesSide(in).work
	in.series.company = seriesCompany
	return in, nil
}

// Accept takes one message; when it returns nil the message is on disk. An error means that it was not
// taken and must not be acknowledged.
func (in *Ingest) Accept(m Message) error {
	if len(m.Payload) > maxPayloadBytes {
		// The broker lets no larger packet through; this guards the journal against another broker.
		in.deadLetter(m.Serial, m.Channel, refuse(reasonTooLarge, "%d bytes, at most %d are allowed", len(m.Payload), maxPayloadBytes))
		return nil
	}
	err := in.append(record{
		kind: kindMessage, at: m.ReceivedAt, serial: m.Serial, site: in.cfg.SiteOf(m.Serial),
		connection: m.ConnectionID, channel: m.Channel, payload: m.Payload,
	})
	if err != nil {
		in.metrics.refused.WithLabelValues(refusalLabel(err)).Inc()
		return err
	}
	in.metrics.messages.WithLabelValues(string(m.Channel)).Inc()
	return nil
}

// AcceptConnection takes the news of a connection.
func (in *Ingest) AcceptConnection(e fleet.ConnectionEvent) error {
	return in.append(connectionRecord(e))
}

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
	for _, c := range []*consumer{in.live, in.series} {
		group.Go(func() error { return c.run(ctx) })
	}
	return group.Wait()
}

func (in *Ingest) deadLetter(serial string, ch protocol.Channel, r *refusal) {
	in.metrics.deadLetters.WithLabelValues(r.reason).Inc()
	in.cfg.Log.Debug("message refused", "serial", serial, "channel", string(ch), "reason", r.reason, "error", r.err)
}

type metrics struct {
	messages    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	readings    prometheus.Counter
	deadLetters *prometheus.CounterVec
	stored      prometheus.Counter
	retries     prometheus.Counter
}

func newMetrics(j *journal.Journal, reg prometheus.Registerer) *metrics {
	name := func(n string) string { return "kioskfleet_ingest_" + n }
	m := &metrics{
		messages:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("messages_total"), Help: "Messages from kiosks that were accepted, by channel."}, []string{"channel"}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("refused_total"), Help: "Messages that were not accepted, by reason; their kiosks send them again."}, []string{"reason"}),
		readings:    prometheus.NewCounter(prometheus.CounterOpts{Name: name("readings_total"), Help: "Readings that the live side has worked on."}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("dead_letters_total"), Help: "Messages and readings that could not be used, by reason."}, []string{"reason"}),
		stored:      prometheus.NewCounter(prometheus.CounterOpts{Name: name("stored_readings_total"), Help: "Readings that the time-series store has taken."}),
		retries:     prometheus.NewCounter(prometheus.CounterOpts{Name: name("store_retries_total"), Help: "Failed attempts to append to the time-series store."}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.refused, m.readings, m.deadLetters, m.stored, m.retries, &journalCollector{
			journal: j,
			behind:  prometheus.NewDesc("kioskfleet_journal_behind_records", "Records of the journal that a consumer has not finished.", []string{"consumer"}, nil),
			bytes:   prometheus.NewDesc("kioskfleet_journal_bytes", "Size of the journal on disk.", nil, nil),
			allowed: prometheus.NewDesc("kioskfleet_journal_max_bytes", "Size at which the journal refuses messages.", nil, nil),
		})
	}
	return m
}

// journalCollector reports the journal when metrics are scraped.
type journalCollector struct {
	journal                *journal.Journal
	behind, bytes, allowed *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *journalCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.behind
	out <- c.bytes
	out <- c.allowed
}

// Collect implements prometheus.Collector.
func (c *journalCollector) Collect(out chan<- prometheus.Metric) {
	s := c.journal.Stats()
	for name, n := range s.Behind {
		out <- prometheus.MustNewConstMetric(c.behind, prometheus.GaugeValue, float64(n), name)
	}
	out <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(s.Bytes))
	out <- prometheus.MustNewConstMetric(c.allowed, prometheus.GaugeValue, float64(s.MaxBytes))
}
