package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/proxy"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
)

const (
	chaosKiosks = 100
	chaosLasts  = 2 * time.Minute
	// chaosNetworks are the proxies that share the kiosks, each with faults of its own.
	chaosNetworks = 10
)

// witness notes what an outbox gave up because the broker had acknowledged it: what the kiosk counts as
// acknowledged.
type witness struct {
	agent.Outbox

	mu    sync.Mutex
	taken int
	acked map[time.Time]float64 // the CPU temperature by the time of the reading
}

func (w *witness) Add(item outbox.Item) error {
	if item.AckKey == "" {
		w.mu.Lock()
		w.taken++
		w.mu.Unlock()
	}
	return w.Outbox.Add(item)
}

func (w *witness) Done(b outbox.Batch) error {
	if b.Channel == protocol.ChannelTelemetry {
		var readings []protocol.Reading
		if err := json.Unmarshal(b.Payload, &readings); err != nil {
			var one protocol.Reading
			if err := json.Unmarshal(b.Payload, &one); err != nil {
				return err
			}
			readings = append(readings, one)
		}
		w.mu.Lock()
		for _, r := range readings {
			w.acked[r.Timestamp], _ = r.Hardware["cpu_temp"].(float64)
		}
		w.mu.Unlock()
	}
	return w.Outbox.Done(b)
}

func (w *witness) count() (taken, acked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.taken, len(w.acked)
}

func TestNoAcknowledgedReadingIsLostOnABadNetwork(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, nil)
	networks := make([]*proxy.Proxy, chaosNetworks)
	for i := range networks {
		networks[i] = proxy.Start(t, p.env["BROKER_KIOSKS_ADDR"])
	}
	agents, witnesses := p.witnessed(t, chaosKiosks, networks)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, a := range agents {
		running.Go(func() {
			if err := a.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	defer running.Wait()
	defer stop()
	p.awaitOnline(t, chaosKiosks, time.Time{})

	for i, network := range networks {
		defer time.AfterFunc(chaosLasts, network.Chaos(uint64(i+1), proxy.Weather{})).Stop()
	}
	select {
	case <-time.After(chaosLasts):
	case <-t.Context().Done():
	}
	// What the bad network held up leaves now.
	within(t, settling, 100*time.Millisecond, "an empty outbox at each kiosk", func() error {
		waiting := 0
		for _, w := range witnesses {
			if taken, acked := w.count(); taken-acked > 3 {
				waiting += taken - acked
			}
		}
		if waiting > 0 {
			return fmt.Errorf("%d readings are waiting", waiting)
		}
		return nil
	})
	stop()
	running.Wait()

	total, faults := 0, 0
	for serial, w := range witnesses {
		begin := time.Now()
		missing := w.missing(p, serial)
		for missing != nil && time.Since(begin) < settling {
			time.Sleep(100 * time.Millisecond)
			missing = w.missing(p, serial)
		}
		if missing != nil {
			faults++
			t.Errorf("%s: %v", serial, missing)
		}
		total += len(w.acked)
	}
	t.Logf("%d kiosks, %d readings acknowledged, %d kiosks with faults", len(witnesses), total, faults)
	for _, network := range networks {
		t.Logf("network: %+v", network.Stats())
	}
	if total < chaosKiosks*int(chaosLasts/time.Second)/2 {
		t.Error("the kiosks have hardly sent anything")
	}
}

// missing compares what the kiosk counts as acknowledged with the store.
func (w *witness) missing(p *platform, serial string) error {
	points, err := p.points(serial, "hardware.cpu_temp", time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
	if err != nil {
		return err
	}
	stored := make(map[time.Time]float64, len(points))
	for _, point := range points {
		if _, twice := stored[point.Time.UTC()]; twice {
			return fmt.Errorf("the reading of %s is in the store twice", point.Time)
		}
		stored[point.Time.UTC()] = point.Value
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := 0
	var first time.Time
	for at, value := range w.acked {
		if got, ok := stored[at.UTC().Truncate(time.Millisecond)]; !ok || got != value {
			missing++
			first = at
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d acknowledged readings are not in the store, one of them that of %s", missing, len(w.acked), first)
	}
	return nil
}

// witnessed makes agents as a swarm does, with one log for what waits, and a witness at each outbox. They
// reach the broker over the networks, by turns.
func (p *platform) witnessed(t *testing.T, n int, networks []*proxy.Proxy) (agents []*agent.Agent, witnesses map[string]*witness) {
	t.Helper()
	dir := t.TempDir()
	admin, err := enroll.NewPlatform(p.url)
	if err != nil {
		t.Fatal(err)
	}
	enroller := enroll.New(enroll.Config{Platform: admin, Tokens: enroll.Tokens{DataDir: p.data}})
	waiting, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "outbox")})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		defer close(closed)
		if err := waiting.During(func() error { <-ctx.Done(); return nil }); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { end(); <-closed })
	witnesses = map[string]*witness{}
	for i := range n {
		serial := fmt.Sprintf("SIM-KIOSK-%03d", i+1)
		id, err := enroller.Identity(t.Context(), filepath.Join(dir, serial), serial)
		if err != nil {
			t.Fatal(err)
		}
		id.Brokers = []string{"mqtts://" + networks[i%len(networks)].Addr()}
		box, err := waiting.Box(serial, outbox.Limits{MaxReadings: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		w := &witness{Outbox: box, acked: map[time.Time]float64{}}
		a, err := agent.New(agent.Config{
			Identity: id, Outbox: w, Interval: time.Second, Store: agent.StateFile(filepath.Join(dir, serial, "state.json")),
			Device:  device.NewSimulated(device.Simulation{Serial: serial}),
			Backoff: mqttclient.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		agents, witnesses[serial] = append(agents, a), w
	}
	return agents, witnesses
}
