package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
)

type metrics struct {
	messages       *prometheus.CounterVec
	refused        *prometheus.CounterVec
	readings       prometheus.Counter
	deadLetters    *prometheus.CounterVec
	lettersDropped prometheus.Counter
	stored         prometheus.Counter
	repeated       prometheus.Counter
	retries        prometheus.Counter
	rewinds        prometheus.Counter
	newsLost       prometheus.Counter
	reserved       prometheus.Counter
	scores         prometheus.Counter
	scoresRefused  prometheus.Counter
}

func newMetrics(in *Ingest, reg prometheus.Registerer) *metrics {
	name := func(n string) string { return "kioskfleet_ingest_" + n }
	counter := func(n, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name(n), Help: help})
	}
	vector := func(n, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(n), Help: help}, []string{label})
	}
	m := &metrics{
		messages:       vector("messages_total", "Messages from kiosks that were accepted, by channel.", "channel"),
		refused:        vector("refused_total", "Messages that were not accepted, by reason; their kiosks send them again.", "reason"),
		readings:       counter("readings_total", "Readings that the live side has worked on."),
		deadLetters:    vector("dead_letters_total", "Messages and readings that could not be used, by reason.", "reason"),
		lettersDropped: counter("dead_letters_dropped_total", "Dead letters that could not be kept, because the database did not take them."),
		stored:         counter("stored_readings_total", "Readings that the time-series store has taken, those again that it was given again."),
		repeated:       counter("repeated_readings_total", "Readings that were not stored because they had just been."),
		retries:        counter("store_retries_total", "Failed attempts to append to the time-series store."),
		newsLost:       counter("news_lost_total", "Connections and wills that could not be noted, because the journal refused for too long."),
		reserved:       counter("reserved_fields_total", "Fields of readings that were left out, because the platform computes what they are called."),
		scores:         counter("stored_scores_total", "Anomaly scores that the time-series store has taken, those again that it was given again."),
		scoresRefused:  counter("refused_scores_total", "Anomaly scores that were not stored, because the time-series store has one of that reading, or refuses it."),
		rewinds:        counter("store_rewinds_total", "Times that the whole journal was appended again, because the time-series store had lost something."),
	}
	if reg != nil {
		count := func(n, help string, value func(journal.Stats) float64) prometheus.Collector {
			return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kioskfleet_journal_" + n, Help: help}, func() float64 { return value(in.cfg.Journal.Stats()) })
		}
		reg.MustRegister(
			count("commits_total", "Commits of the journal; each is one write and one sync for all who wait.", func(s journal.Stats) float64 { return float64(s.Commits) }),
			count("commit_seconds_total", "Time that commits took.", func(s journal.Stats) float64 { return s.CommitTime.Seconds() }),
		)
		reg.MustRegister(m.messages, m.refused, m.readings, m.deadLetters, m.lettersDropped, m.stored, m.repeated, m.retries, m.rewinds, m.newsLost, m.reserved, m.scores, m.scoresRefused, &journalCollector{
			status:    in.Status,
			behind:    prometheus.NewDesc("kioskfleet_journal_behind_records", "Records of the journal that a consumer has not worked off.", []string{"consumer"}, nil),
			lag:       prometheus.NewDesc("kioskfleet_journal_lag_seconds", "Age of the oldest record that a consumer has not worked off; 0 when there is none.", []string{"consumer"}, nil),
			stuck:     prometheus.NewDesc("kioskfleet_journal_consumer_stuck", "1 while a consumer does not get on, because what it writes to does not take it.", []string{"consumer"}, nil),
			bytes:     prometheus.NewDesc("kioskfleet_journal_bytes", "Size of the journal on disk.", nil, nil),
			allowed:   prometheus.NewDesc("kioskfleet_journal_max_bytes", "Size at which the journal refuses messages.", nil, nil),
			accepting: prometheus.NewDesc("kioskfleet_journal_accepting", "1 while the journal takes messages, 0 while the disk or the journal is full.", nil, nil),
		})
	}
	return m
}

// journalCollector reports the journal when metrics are scraped.
type journalCollector struct {
	status                                        func() fleet.IntakeStatus
	behind, lag, stuck, bytes, allowed, accepting *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *journalCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.behind, c.lag, c.stuck, c.bytes, c.allowed, c.accepting} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *journalCollector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	truth := map[bool]float64{true: 1}
	for _, consumer := range s.Consumers {
		gauge(c.behind, float64(consumer.Behind), consumer.Name)
		gauge(c.lag, consumer.Lag.Seconds(), consumer.Name)
		gauge(c.stuck, truth[consumer.Problem != ""], consumer.Name)
	}
	gauge(c.bytes, float64(s.JournalBytes))
	gauge(c.allowed, float64(s.JournalMax))
	gauge(c.accepting, truth[s.Accepting])
}

// Status says how the journal and its consumers do.
func (in *Ingest) Status() fleet.IntakeStatus {
	s := in.cfg.Journal.Stats()
	now := time.Now()
	out := fleet.IntakeStatus{Accepting: s.Refusal == nil, JournalBytes: s.Bytes, JournalMax: s.MaxBytes}
	if s.Refusal != nil {
		out.Refusal = s.Refusal.Error()
	}
	for _, c := range []*consumer{in.live, in.series} {
		out.Consumers = append(out.Consumers, c.status(s.Next, now))
	}
	return out
}
