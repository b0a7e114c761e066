// Package ingest is the way of a message from the broker into the platform: it decodes and checks what
// kiosks publish, hands each kiosk's messages in order to the live side, and its readings to the
// time-series store. Messages it cannot use are counted and stop nobody.
package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"kioskfleet/admin/fleet"
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
// order and never at the same time.
type Live interface {
	Reading(ctx context.Context, r *fleet.Reading)
	Joined(ctx context.Context, serial, connection string, j protocol.Join, at time.Time)
	Bye(ctx context.Context, serial, connection string, b protocol.Bye, at time.Time)
	Acked(ctx context.Context, serial string, a protocol.Ack, at time.Time)
	Connection(ctx context.Context, e fleet.ConnectionEvent)
}

// Appender is the time-series store.
type Appender interface {
	Append(ctx context.Context, readings []fleet.Reading) error
}

// Config says how to take messages. Live, Series, SiteOf and Log are required.
type Config struct {
	Live   Live
	Series Appender
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

const (
	// shards is how many kiosks' queues are worked on at the same time.
	shards = 8
	// shardQueue bounds each; when one is full, Accept waits, and the kiosk gets no acknowledgement.
	shardQueue = 512
)

// ErrClosed is returned by Accept once Run has ended.
var ErrClosed = errors.New("ingest has stopped")

// Ingest takes messages; see New and Run.
type Ingest struct {
	cfg     Config
	seed    maphash.Seed
	queues  [shards]chan task
	series  *seriesWriter
	metrics *metrics

	stopping chan struct{} // closed by Stop: who waits for room is turned away
	stopOnce sync.Once
	closing  sync.RWMutex // held for reading by Accept, for writing to close the queues
	closed   bool
}

// task is one message or connection event on its way to the live side.
type task struct {
	message    Message
	connection *fleet.ConnectionEvent
}

// New returns an Ingest whose queues are empty.
func New(cfg Config) *Ingest {
	in := &Ingest{cfg: cfg, seed: maphash.MakeSeed(), metrics: newMetrics(cfg.Metrics), stopping: make(chan struct{})}
	for i := range in.queues {
		in.queues[i] = make(chan task, shardQueue)
	}
	in.series = newSeriesWriter(cfg, in.metrics)
	return in
}

// Accept takes one message; it waits while the kiosk's queue is full. An error means that the message
// was not taken and must not be acknowledged.
func (in *Ingest) Accept(m Message) error {
	in.metrics.messages.WithLabelValues(string(m.Channel)).Inc()
	return in.enqueue(m.Serial, task{message: m})
}

// AcceptConnection takes the news of a connection.
func (in *Ingest) AcceptConnection(e fleet.ConnectionEvent) error {
	return in.enqueue(e.Serial, task{connection: &e})
}

func (in *Ingest) enqueue(serial string, t task) error {
	in.closing.RLock()
	defer in.closing.RUnlock()
	if in.closed {
		return ErrClosed
	}
	queue := in.queues[maphash.String(in.seed, serial)%shards]
	select {
	case queue <- t:
		return nil
	default:
	}
	select {
	case queue <- t:
		return nil
	case <-in.stopping:
		return ErrClosed
	}
}

// Stop begins the end: messages that find their queue full are refused instead of waiting, and the
// store has its grace to swallow the rest. Run returns after its own context has ended.
func (in *Ingest) Stop() {
	in.stopOnce.Do(func() {
		close(in.stopping)
		in.series.hurry()
	})
}

// Run works on the queues until ctx ends; then it takes no more, works off what it has taken, and
// returns when the readings are in the store or the store's grace is over.
func (in *Ingest) Run(ctx context.Context) error {
	// Work that was accepted is finished although ctx has ended.
	work := context.WithoutCancel(ctx)
	var workers errgroup.Group
	for i := range in.queues {
		workers.Go(func() error {
			for t := range in.queues[i] {
				in.handle(work, t)
			}
			return nil
		})
	}
	writer := make(chan error, 1)
	go func() { writer <- in.series.run(work) }()

	<-ctx.Done()
	in.Stop()
	in.closing.Lock()
	in.closed = true
	for i := range in.queues {
		close(in.queues[i])
	}
	in.closing.Unlock()
	_ = workers.Wait()
	in.series.finish()
	return <-writer
}

func (in *Ingest) handle(ctx context.Context, t task) {
	if t.connection != nil {
		in.cfg.Live.Connection(ctx, *t.connection)
		return
	}
	m := t.message
	switch m.Channel {
	case protocol.ChannelTelemetry:
		readings, refused := decodeReadings(m.Serial, m.Payload, m.ReceivedAt, in.cfg.Window)
		for _, r := range refused {
			in.deadLetter(m, r)
		}
		site := in.cfg.SiteOf(m.Serial)
		for i := range readings {
			readings[i].Site = site
			in.cfg.Live.Reading(ctx, &readings[i])
		}
		in.metrics.readings.Add(float64(len(readings)))
		in.series.add(readings)
	case protocol.ChannelJoin:
		var j protocol.Join
		if in.decode(m, &j) && in.checkJoin(m, &j) {
			in.cfg.Live.Joined(ctx, m.Serial, m.ConnectionID, j, m.ReceivedAt)
		}
	case protocol.ChannelBye:
		var b protocol.Bye
		if in.decode(m, &b) && in.checkTexts(m, b.Session, b.Reason) {
			in.cfg.Live.Bye(ctx, m.Serial, m.ConnectionID, b, m.ReceivedAt)
		}
	case protocol.ChannelAck:
		var a protocol.Ack
		if in.decode(m, &a) {
			in.cfg.Live.Acked(ctx, m.Serial, a, m.ReceivedAt)
		}
	default:
		in.deadLetter(m, refuse(reasonUnknown, "nothing is expected on %s", m.Channel))
	}
}

func (in *Ingest) decode(m Message, into any) bool {
	if len(m.Payload) > maxPayloadBytes {
		in.deadLetter(m, refuse(reasonTooLarge, "%d bytes", len(m.Payload)))
		return false
	}
	if err := json.Unmarshal(m.Payload, into); err != nil {
		in.deadLetter(m, refuse(reasonMalformed, "%w", err))
		return false
	}
	return true
}

// maxCapabilities bounds what a kiosk may announce.
const maxCapabilities = 64

func (in *Ingest) checkJoin(m Message, j *protocol.Join) bool {
	if j.Serial != "" && j.Serial != m.Serial {
		in.deadLetter(m, refuse(reasonSerial, "payload says %q, the topic %q", j.Serial, m.Serial))
		return false
	}
	if len(j.Capabilities) > maxCapabilities || len(j.Commands) > maxCapabilities {
		in.deadLetter(m, refuse(reasonSchema, "more than %d capabilities or commands", maxCapabilities))
		return false
	}
	return in.checkTexts(m, append(append([]string{j.Session, j.BootID, j.AgentVersion, j.Model}, j.Capabilities...), j.Commands...)...)
}

func (in *Ingest) checkTexts(m Message, texts ...string) bool {
	for _, text := range texts {
		if len(text) > maxTextBytes {
			in.deadLetter(m, refuse(reasonSchema, "a text has more than %d bytes", maxTextBytes))
			return false
		}
	}
	return true
}

func (in *Ingest) deadLetter(m Message, r *refusal) {
	in.metrics.deadLetters.WithLabelValues(r.reason).Inc()
	in.cfg.Log.Debug("message refused", "serial", m.Serial, "channel", string(m.Channel), "reason", r.reason, "error", r.err)
}

type metrics struct {
	messages    *prometheus.CounterVec
	readings    prometheus.Counter
	deadLetters *prometheus.CounterVec
	stored      prometheus.Counter
	waiting     prometheus.Gauge
	retries     prometheus.Counter
	lost        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	name := func(n string) string { return "kioskfleet_ingest_" + n }
	m := &metrics{
		messages:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("messages_total"), Help: "Messages from kiosks by channel."}, []string{"channel"}),
		readings:    prometheus.NewCounter(prometheus.CounterOpts{Name: name("readings_total"), Help: "Readings that were decoded."}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("dead_letters_total"), Help: "Messages and readings refused, by reason."}, []string{"reason"}),
		stored:      prometheus.NewCounter(prometheus.CounterOpts{Name: name("stored_readings_total"), Help: "Readings that the time-series store has taken."}),
		waiting:     prometheus.NewGauge(prometheus.GaugeOpts{Name: name("waiting_readings"), Help: "Readings that wait for the time-series store."}),
		retries:     prometheus.NewCounter(prometheus.CounterOpts{Name: name("store_retries_total"), Help: "Failed attempts to append to the time-series store."}),
		lost:        prometheus.NewCounter(prometheus.CounterOpts{Name: name("abandoned_readings_total"), Help: "Readings given up at shutdown because the store did not take them in time."}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.readings, m.deadLetters, m.stored, m.waiting, m.retries, m.lost)
	}
	return m
}
