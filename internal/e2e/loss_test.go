package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// publisher is a kiosk that sends readings as fast as they are acknowledged, and remembers which were.
type publisher struct {
	serial string
	client *mqttclient.Client

	mu    sync.Mutex
	acked map[int]time.Time // by seq: the reading's time
}

func (p *platform) publisher(t *testing.T, token, serial string) *publisher {
	t.Helper()
	answer, key := p.enroll(t, token, serial, serial, http.StatusOK)
	cert, err := tls.X509KeyPair([]byte(answer.Certificate), key)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := pki.Pool([]byte(answer.Chain))
	if err != nil {
		t.Fatal(err)
	}
	c, err := mqttclient.New(mqttclient.Config{
		Brokers: answer.Brokers, ClientID: serial, TLS: pki.ClientTLS(cert, roots),
		Backoff: mqttclient.Backoff{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{serial: serial, client: c, acked: map[int]time.Time{}}
}

// run sends until ctx ends. A reading that was not acknowledged is sent again, unchanged, as a kiosk does.
func (p *publisher) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = p.client.Run(ctx) })
	last := time.Time{}
	for seq := 1; ctx.Err() == nil; seq++ {
		at := time.Now().UTC().Truncate(time.Millisecond)
		if !at.After(last) {
			at = last.Add(time.Millisecond)
		}
		last = at
		payload, err := json.Marshal(protocol.Reading{
			Timestamp: at, Serial: p.serial, Seq: uint64(seq), Session: "s", Custom: protocol.Group{"number": seq},
		})
		if err != nil {
			panic(err)
		}
		for ctx.Err() == nil {
			if p.client.Publish(ctx, protocol.Topic(p.serial, protocol.ChannelTelemetry), 1, false, payload) == nil {
				p.mu.Lock()
				p.acked[seq] = at
				p.mu.Unlock()
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func TestNoAcknowledgedReadingIsLostWhenAdminIsKilled(t *testing.T) {
	const kiosks, kills = 50, 5
	p := startAdmin(t, nil)
	token := p.file(t, "spawner-token")
	publishers := make([]*publisher, kiosks)
	for i := range publishers {
		publishers[i] = p.publisher(t, token, fmt.Sprintf("SIM-KIOSK-L%02d", i))
	}
	from := time.Now().Add(-time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, pub := range publishers {
		wg.Go(func() { pub.run(ctx) })
	}
	total := func() (n int) {
		for _, pub := range publishers {
			pub.mu.Lock()
			n += len(pub.acked)
			pub.mu.Unlock()
		}
		return n
	}
	for range kills {
		// A kill at a random moment, but never before this start has taken some readings.
		enough := total() + 500 + rand.IntN(1500)
		eventually(t, "more acknowledged readings", func() error {
			if n := total(); n < enough {
				return fmt.Errorf("%d of %d", n, enough)
			}
			return nil
		})
		p.kill()
		p.boot(t)
	}
	enough := total() + 500
	eventually(t, "acknowledged readings after the last kill", func() error {
		if n := total(); n < enough {
			return fmt.Errorf("%d of %d", n, enough)
		}
		return nil
	})
	cancel()
	wg.Wait()
	t.Logf("%d kiosks, %d kills, %d acknowledged readings", kiosks, kills, total())

	for _, pub := range publishers {
		eventually(t, "every acknowledged reading of "+pub.serial+" in the store, once", func() error {
			var out struct {
				Points []struct {
					Time  time.Time
					Value float64
				}
			}
			err := p.try("GET", "/kiosks/"+pub.serial+"/telemetry?metric=custom.number&from="+from.UTC().Format(time.RFC3339), nil, http.StatusOK, &out)
			if err != nil {
				return err
			}
			stored := map[int]time.Time{}
			for _, point := range out.Points {
				if _, twice := stored[int(point.Value)]; twice {
					t.Fatalf("%s: reading %v is stored twice", pub.serial, point.Value)
				}
				stored[int(point.Value)] = point.Time
			}
			for seq, at := range pub.acked {
				if got, ok := stored[seq]; !ok || !got.Equal(at) {
					return fmt.Errorf("reading %d of %s was acknowledged and is not there (%d of %d are)", seq, at, len(stored), len(pub.acked))
				}
			}
			return nil
		})
	}
}
