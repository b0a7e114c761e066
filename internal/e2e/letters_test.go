package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/load"
)

// deadLetter is what the tests read of a dead letter.
type deadLetter struct {
	ID       string
	Serial   string
	Reason   string
	Detail   string
	Channel  string
	Payload  string
	Encoding string `json:"payload_encoding"`
}

type deadLetters struct {
	Items   []deadLetter
	Total   int
	Reasons map[string]int
}

// sends publishes payloads on the telemetry of an enrolled kiosk; each is acknowledged when it returns.
func (p *platform) sends(t *testing.T, serial string, payloads ...string) {
	t.Helper()
	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), []string{serial})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := load.Dial(t.Context(), ids[0].Broker, ids[0].TLS, load.MQTT5, serial)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, payload := range payloads {
		if err := conn.Publish(protocol.Topic(serial, protocol.ChannelTelemetry), 1, []byte(payload)); err != nil {
			t.Fatalf("%q is not acknowledged: %v", payload, err)
		}
	}
}

// awaitLetters waits until as many letters match the query.
func (p *platform) awaitLetters(t *testing.T, query string, n int) deadLetters {
	t.Helper()
	var out deadLetters
	eventually(t, fmt.Sprintf("%d dead letters of %s", n, query), func() error {
		out = deadLetters{}
		if err := p.try("GET", "/dead-letters?"+query, nil, http.StatusOK, &out); err != nil {
			return err
		}
		if out.Total != n || len(out.Items) != n {
			return fmt.Errorf("there are %d", out.Total)
		}
		return nil
	})
	return out
}

func goodReading(serial string, at time.Time, number int) string {
	return fmt.Sprintf(`{"timestamp":%q,"serial":%q,"custom":{"number":%d}}`, at.UTC().Format(time.RFC3339Nano), serial, number)
}

func TestDeadLettersAreKeptReplayedAndDiscarded(t *testing.T) {
	p := startAdmin(t, nil)
	const serial = "SIM-KIOSK-POISON"
	now := time.Now().Truncate(time.Millisecond)
	bad := goodReading(serial, now.Add(time.Second), 2)
	bad = strings.Replace(bad, `"custom"`, `"hardware":{"cpu_temp":{}},"custom"`, 1)
	p.sends(t, serial,
		goodReading(serial, now, 1), `{"oops`, "\xff\xfe", bad,
		"["+goodReading(serial, now.Add(2*time.Second), 3)+","+goodReading(serial, now.Add(time.Hour), 4)+"]",
	)
	found := p.awaitLetters(t, "serial="+serial, 4)
	for i, want := range []string{"future", "schema", "malformed", "malformed"} {
		if d := found.Items[i]; d.Reason != want || d.Serial != serial || d.Channel != "telemetry" || d.Detail == "" {
			t.Errorf("letter %d is %+v, want %s", i, d, want)
		}
	}
	var one deadLetter
	p.call(t, "GET", "/dead-letters/"+found.Items[0].ID, nil, http.StatusOK, &one)
	if one.Payload != goodReading(serial, now.Add(time.Hour), 4) || one.Encoding != "text" {
		t.Errorf("of the array the one reading: %+v", one)
	}
	p.call(t, "GET", "/dead-letters/"+found.Items[2].ID, nil, http.StatusOK, &one)
	if one.Payload != "//4=" || one.Encoding != "base64" {
		t.Errorf("bytes: %+v", one)
	}

	t.Run("what is still bad stays", func(t *testing.T) {
		for _, d := range found.Items {
			p.call(t, "POST", "/dead-letters/"+d.ID+"/replay", nil, http.StatusUnprocessableEntity, nil)
		}
		var settled struct{ Replayed, Refused int }
		p.call(t, "POST", "/dead-letters/replay?all=true", nil, http.StatusOK, &settled)
		if settled.Replayed != 0 || settled.Refused != 4 {
			t.Errorf("settled %+v", settled)
		}
		p.awaitLetters(t, "serial="+serial, 4)
	})

	// A kill: what is read again is neither counted twice nor brought back.
	p.call(t, "DELETE", "/dead-letters/"+found.Items[2].ID, nil, http.StatusNoContent, nil)
	p.kill()
	p.boot(t)
	p.awaitLetters(t, "serial="+serial, 3)
	var k struct {
		Ledger struct {
			Refused []struct {
				Reason string
				Count  int
			}
		}
	}
	p.call(t, "GET", "/kiosks/"+serial, nil, http.StatusOK, &k)
	if got := fmt.Sprint(k.Ledger.Refused); got != "[{malformed 2} {future 1} {schema 1}]" {
		t.Errorf("refused %s", got)
	}

	t.Run("many are discarded", func(t *testing.T) {
		var settled struct{ Discarded int }
		p.call(t, "DELETE", "/dead-letters", nil, http.StatusUnprocessableEntity, nil)
		p.call(t, "DELETE", "/dead-letters?reason=malformed", nil, http.StatusOK, &settled)
		if settled.Discarded != 1 {
			t.Errorf("settled %+v", settled)
		}
		p.awaitLetters(t, "", 2)
	})

	t.Run("the intake is shown", func(t *testing.T) {
		var intake struct {
			Accepting   bool
			DeadLetters int `json:"dead_letters"`
			Consumers   []struct{ Name string }
		}
		p.call(t, "GET", "/ingest", nil, http.StatusOK, &intake)
		if !intake.Accepting || intake.DeadLetters != 2 || len(intake.Consumers) != 2 {
			t.Errorf("intake %+v", intake)
		}
	})
}

func TestTheBrowserReplaysAndDiscardsDeadLetters(t *testing.T) {
	needsPage(t)
	p := startAdmin(t, nil)
	const serial = "SIM-KIOSK-POISON"
	// Too early now by what is allowed, and a few seconds later no more.
	early := time.Now().Add(5*time.Minute + 4*time.Second).Truncate(time.Millisecond)
	bad := strings.Replace(goodReading(serial, time.Now(), 1), `"custom"`, `"hardware":{"cpu_temp":{}},"custom"`, 1)
	p.sends(t, serial, `{"oops`, "[1,", bad, goodReading(serial, early, 2))
	p.awaitLetters(t, "serial="+serial, 4)
	eventually(t, "the early reading to become valid", func() error {
		if wait := time.Until(early.Add(-5 * time.Minute)); wait > 0 {
			return fmt.Errorf("another %s", wait)
		}
		return nil
	})
	p.inBrowser(t, "letters.spec.mjs", serial)
	eventually(t, "the replayed reading in the store", func() error {
		var out struct{ Points []struct{ Value float64 } }
		if err := p.try("GET", "/kiosks/"+serial+"/telemetry?metric=custom.number&to=%2B1h", nil, http.StatusOK, &out); err != nil {
			return err
		}
		if len(out.Points) != 1 || out.Points[0].Value != 2 {
			return fmt.Errorf("points %v", out.Points)
		}
		return nil
	})
}
