package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	durations "kioskfleet/internal/latency"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/load"
)

// alertOptions say how the way of an alert is measured.
type alertOptions struct {
	kiosks  int     // that make the load
	offered float64 // readings a second, all together
	probes  int     // kiosks that each bring about one alert
}

var (
	wholeAlerts = alertOptions{kiosks: 600, offered: 3000, probes: 300}
	quickAlerts = alertOptions{kiosks: 100, offered: 500, probes: 50}
)

// alertRun is how long it took from the publishing of a reading to the alert on the live stream.
type alertRun struct {
	Kiosks  int               `json:"kiosks"`
	Offered float64           `json:"offered_per_second"`
	Probes  int               `json:"probes"`
	Latency durations.Summary `json:"publish_to_stream"`
}

// probeRule is the rule that probes fire. It waits for nothing.
const probeRule = `rules:
  - name: probe
    severity: info
    condition: custom.probe == 1
`

const (
	probeEvery    = 50 * time.Millisecond
	probePatience = 10 * time.Second // for the last alerts
)

// alerts measures the way of an alert under load.
func (b *bench) alerts(ctx context.Context, o alertOptions) (*alertRun, error) {
	rules := filepath.Join(b.dir, "probe.yaml")
	if err := os.WriteFile(rules, []byte(probeRule), 0o600); err != nil {
		return nil, err
	}
	p, err := startPlatformWith(ctx, b.admin, filepath.Join(b.dir, "alerts"), map[string]string{"ALERTS_RULES": rules})
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return nil, err
	}
	b.progress("alerts: enrolling %d kiosks", o.kiosks+o.probes)
	ids, err := p.enroll(ctx, o.kiosks+o.probes)
	if err != nil {
		return nil, err
	}
	stats := new(load.Stats)
	clients := make([]*load.Client, o.kiosks)
	for i, id := range ids[:o.kiosks] {
		c := load.Config{Broker: id.Broker, TLS: id.TLS, Serial: id.Serial, QoS: 1, Window: 8, Rate: o.offered / float64(o.kiosks), Stats: stats}
		if clients[i], err = load.New(c); err != nil {
			return nil, err
		}
	}
	stop := load.Start(ctx, clients)
	defer stop()
	if err := poll(ctx, "connect all clients", pollOften, func() (bool, error) {
		return int(stats.Connects.Load()) >= len(clients), nil
	}); err != nil {
		return nil, err
	}
	b.progress("alerts: %d alerts at %.0f readings/s", o.probes, o.offered)
	return p.probe(ctx, o, ids[o.kiosks:])
}

// sentProbes is when each kiosk published, until its alert has come.
type sentProbes struct {
	mu   sync.Mutex // guards all fields
	at   map[string]time.Time
	took durations.Histogram
	left int
	done chan struct{} // closed when every alert has come
}

func (s *sentProbes) sends(serial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[serial] = time.Now()
}

func (s *sentProbes) came(serial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, waiting := s.at[serial]
	if !waiting {
		return
	}
	delete(s.at, serial)
	s.took.Record(time.Since(at))
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

// probe lets each of the kiosks publish a reading that brings about an alert, and times it.
func (p *platform) probe(ctx context.Context, o alertOptions, ids []load.Identity) (*alertRun, error) {
	sent := &sentProbes{at: map[string]time.Time{}, left: len(ids), done: make(chan struct{})}
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	opened := make(chan struct{})
	go func() { failed <- p.listen(listening, opened, sent.came) }()
	select {
	case <-opened:
	case err := <-failed:
		return nil, fmt.Errorf("live stream: %w", err)
	}
	conns := make([]*load.Conn, len(ids))
	for i, id := range ids {
		var err error
		if conns[i], err = load.Dial(ctx, id.Broker, id.TLS, load.MQTT311, id.Serial); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	for i, id := range ids {
		text := fmt.Sprintf(`{"timestamp":%q,"serial":%q,"seq":1,"session":"probe","status":"online","custom":{"probe":1}}`,
			time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), id.Serial)
		sent.sends(id.Serial)
		if err := conns[i].Publish(protocol.Topic(id.Serial, protocol.ChannelTelemetry), 1, []byte(text)); err != nil {
			return nil, err
		}
		if err := sleep(ctx, probeEvery); err != nil {
			return nil, err
		}
	}
	select {
	case <-sent.done:
	case err := <-failed:
		return nil, fmt.Errorf("live stream: %w", err)
	case <-time.After(probePatience):
		sent.mu.Lock()
		defer sent.mu.Unlock()
		return nil, fmt.Errorf("%d of %d alerts did not come", sent.left, len(ids))
	}
	return &alertRun{Kiosks: o.kiosks, Offered: o.offered, Probes: len(ids), Latency: sent.took.Summary()}, nil
}

// listen follows the live stream and passes on the serials of alerts of the probes' rule.
func (p *platform) listen(ctx context.Context, opened chan<- struct{}, came func(serial string)) error {
	token, err := p.accessToken()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answers %s", res.Status)
	}
	close(opened)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
			continue
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || event != "alert" {
			continue
		}
		var alert struct{ Rule, Serial string }
		if err := json.Unmarshal([]byte(data), &alert); err != nil {
			return fmt.Errorf("an alert that is none: %w", err)
		}
		if alert.Rule == "probe" {
			came(alert.Serial)
		}
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	return errors.New("ended")
}

// print writes the figures for people.
func (r *alertRun) print(w io.Writer) {
	fmt.Fprintf(w, "\nalerts: %d, one after the other, of readings that cross a threshold, at %.0f readings/s of %d kiosks\n\n", r.Probes, r.Offered, r.Kiosks)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "reading published to alert on the live stream\tp50 %.1f ms\tp90 %.1f ms\tp99 %.1f ms\tmax %.1f ms\n", r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.Max)
	_ = table.Flush()
}
