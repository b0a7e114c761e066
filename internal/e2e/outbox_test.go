package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

const outboxSerial = "SIM-KIOSK-001"

// enrolledAndDown starts admin and lets a kiosk enrol, then stops both. It returns the times of the
// readings that the kiosk has sent meanwhile.
func enrolledAndDown(t *testing.T) (p *platform, sent map[time.Time]bool) {
	t.Helper()
	p = startAdmin(t, nil)
	k := start(t, "kiosk", p.agentEnv(nil), "--serial", outboxSerial, "--interval", "1h")
	p.awaitOnline(t, 1, time.Time{})
	k.interrupt()
	var err error
	eventually(t, "the point of the first reading", func() error {
		if sent, err = p.storedTimes(outboxSerial); err == nil && len(sent) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	p.interrupt()
	// Acknowledged as they are, they would keep a clock from going back behind them.
	if err := os.RemoveAll(p.outboxDir(outboxSerial)); err != nil {
		t.Fatal(err)
	}
	return p, sent
}

// storedTimes returns the times of a kiosk's stored readings. A time that comes twice is an error.
func (p *platform) storedTimes(serial string) (map[time.Time]bool, error) {
	var out struct {
		Points []struct{ Time time.Time }
	}
	err := p.try("GET", "/kiosks/"+serial+"/telemetry?metric=hardware.cpu_temp&from=-2h", nil, http.StatusOK, &out)
	if err != nil {
		return nil, err
	}
	times := make(map[time.Time]bool, len(out.Points))
	for _, point := range out.Points {
		if times[point.Time.UTC()] {
			return nil, fmt.Errorf("two points at %s", point.Time)
		}
		times[point.Time.UTC()] = true
	}
	return times, nil
}

// waiting returns what a kiosk's outbox holds; it looks into a copy, so the kiosk may be alive.
func (p *platform) waiting(t *testing.T, serial string) (readings []protocol.Reading, acks []protocol.Ack) {
	t.Helper()
	from, dir := p.outboxDir(serial), t.TempDir()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(from, f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // a segment that was just deleted
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.Name()), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := outbox.Open(outbox.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	box, err := log.Box(serial, outbox.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		batch, ok := box.Next()
		if !ok {
			return readings, acks
		}
		switch {
		case batch.Channel == protocol.ChannelAck:
			acks = append(acks, parse[protocol.Ack](t, batch.Payload))
		case batch.Readings > 1:
			readings = append(readings, parse[[]protocol.Reading](t, batch.Payload)...)
		default:
			readings = append(readings, parse[protocol.Reading](t, batch.Payload))
		}
		if err := box.Done(batch); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *platform) outboxDir(serial string) string {
	return filepath.Join(p.data, "kiosk", serial, "outbox")
}

func parse[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// checkNumbers checks that the readings of each session are numbered from 1 without a gap.
func checkNumbers(t *testing.T, readings []protocol.Reading) {
	t.Helper()
	last := map[string]uint64{}
	for _, r := range readings {
		if r.Seq != last[r.Session]+1 {
			t.Errorf("session %s: reading %d comes after %d", r.Session, r.Seq, last[r.Session])
		}
		last[r.Session] = r.Seq
	}
}

// awaitStored waits until the store has exactly these readings, each once, and what was sent before or
// came after them.
func (p *platform) awaitStored(t *testing.T, readings []protocol.Reading, before map[time.Time]bool) {
	t.Helper()
	expected := maps.Clone(before)
	newest := time.Time{}
	for _, r := range readings {
		if expected[r.Timestamp] {
			t.Errorf("two readings at %s", r.Timestamp)
		}
		expected[r.Timestamp] = true
		if r.Timestamp.After(newest) {
			newest = r.Timestamp
		}
	}
	eventually(t, fmt.Sprintf("%d readings in the store, each once", len(expected)), func() error {
		stored, err := p.storedTimes(outboxSerial)
		if err != nil {
			return err
		}
		for at := range stored {
			if !at.After(newest) && !expected[at] {
				t.Fatalf("a reading of %s is stored that nobody took", at)
			}
		}
		for at := range expected {
			if !stored[at] {
				return fmt.Errorf("the reading of %s is missing (%d points are there)", at, len(stored))
			}
		}
		return nil
	})
}

// narrow puts a slow line between an enrolled kiosk and its broker, so that a backfill takes seconds.
func (p *platform) narrow(t *testing.T, serial string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, to, _ := strings.Cut(p.brokers[0], "://")
	go func() {
		for {
			kiosk, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", to)
			if err != nil {
				_ = kiosk.Close()
				continue
			}
			go func() { _, _ = io.Copy(kiosk, broker); _ = kiosk.Close() }()
			go func() {
				defer broker.Close()
				pace := time.NewTicker(20 * time.Millisecond)
				defer pace.Stop()
				for range pace.C { // 100 kB a second
					if _, err := io.CopyN(broker, kiosk, 2_000); err != nil {
						return
					}
				}
			}()
		}
	}()
	file := filepath.Join(p.data, "kiosk", serial, "enrollment.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	details := parse[map[string]any](t, text)
	details["brokers"] = []string{"mqtts://" + l.Addr().String()}
	if text, err = json.Marshal(details); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readingsTotal is how many readings this admin has worked on.
func (p *platform) readingsTotal(t *testing.T) (n int) {
	t.Helper()
	res, err := p.http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for scanner := bufio.NewScanner(res.Body); scanner.Scan(); {
		if _, err := fmt.Sscanf(scanner.Text(), "kioskfleet_ingest_readings_total %d", &n); err == nil {
			return n
		}
	}
	t.Fatal("no counter of readings")
	return 0
}

func TestAnHourOfflineIsBackfilledCompletely(t *testing.T) {
	p, before := enrolledAndDown(t)
	p.narrow(t, outboxSerial)
	const interval, ago = 5 * time.Second, time.Hour
	begin := time.Now().Add(-ago)
	k := start(t, "kiosk", p.agentEnv(nil), "--serial", outboxSerial, "--interval", interval.String(),
		"--simulation-start-ago", ago.String(), "--simulation-time-scale", "240")
	k.awaitLine("the clock has caught up")

	// The kiosk stands still until somebody watches what it sends first.
	signal := func(s os.Signal) {
		if err := k.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	t.Cleanup(func() { _ = k.cmd.Process.Signal(syscall.SIGCONT) })
	readings, _ := p.waiting(t, outboxSerial)
	checkNumbers(t, readings)
	if len(readings) < int(ago/interval) {
		t.Fatalf("the outbox holds %d readings of an hour, want at least %d", len(readings), ago/interval)
	}
	for i, r := range readings[:int(ago/interval)] {
		if i > 0 && r.Timestamp.Sub(readings[i-1].Timestamp) > interval+time.Millisecond {
			t.Errorf("reading %d is of %s, the one before of %s", r.Seq, r.Timestamp, readings[i-1].Timestamp)
		}
	}
	oldest, newest := readings[0].Timestamp, readings[len(readings)-1].Timestamp
	if oldest.Sub(begin) > 2*time.Minute || time.Since(newest) > time.Minute {
		t.Errorf("the readings are from %s to %s; the clock began at %s", oldest, newest, begin)
	}

	p.boot(t)
	res, err := p.http.Get(p.url + "/api/v1/events?types=reading&serial=" + outboxSerial)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	signal(syscall.SIGCONT)
	first := struct{ Reading struct{ Timestamp time.Time } }{}
	for scanner := bufio.NewScanner(res.Body); scanner.Scan(); {
		if text, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
			first = parse[struct{ Reading struct{ Timestamp time.Time } }](t, []byte(text))
			break
		}
	}
	arrived := p.readingsTotal(t)
	if !first.Reading.Timestamp.After(newest) || arrived >= len(readings) {
		t.Errorf("a reading of %s came when %d had arrived; the backlog of %d ends at %s", first.Reading.Timestamp, arrived, len(readings), newest)
	}
	p.awaitStored(t, readings, before)
}

func TestKillingAKioskLosesNothingInItsOutbox(t *testing.T) {
	p, before := enrolledAndDown(t)
	run := func() *process {
		return start(t, "kiosk", p.agentEnv(nil), "--serial", outboxSerial, "--interval", "10ms")
	}
	var readings []protocol.Reading
	for range 2 {
		k := run()
		// At a random moment, but never before this process has added some.
		enough := p.outboxSize(t) + 30_000 + rand.Int64N(150_000)
		eventually(t, "more in the outbox", func() error {
			if n := p.outboxSize(t); n < enough {
				return fmt.Errorf("%d of %d bytes", n, enough)
			}
			return nil
		})
		k.kill()
		left, _ := p.waiting(t, outboxSerial)
		for i, r := range readings {
			if i >= len(left) || left[i].Session != r.Session || left[i].Seq != r.Seq {
				t.Fatalf("after the next process reading %s/%d is gone", r.Session, r.Seq)
			}
		}
		if len(left) < len(readings)+20 {
			t.Fatalf("%d readings, after %d", len(left), len(readings))
		}
		readings = left
	}
	checkNumbers(t, readings)
	t.Logf("%d readings of two killed processes", len(readings))
	p.boot(t)
	run()
	p.awaitStored(t, readings, before)
}

func (p *platform) outboxSize(t *testing.T) (n int64) {
	t.Helper()
	files, err := os.ReadDir(p.outboxDir(outboxSerial))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

// TestAnAckSurvivesAKill: the kiosk ends an update while the platform is frozen, so that the answer
// cannot leave, and is killed then.
func TestAnAckSurvivesAKill(t *testing.T) {
	p := startAdmin(t, nil)
	k := start(t, "kiosk", p.agentEnv(nil), "--serial", outboxSerial, "--interval", "100ms")
	p.awaitOnline(t, 1, time.Time{})
	var c command
	p.call(t, "POST", "/kiosks/"+outboxSerial+"/commands", `{"name":"update","params":{"version":"9.8.7"}}`, http.StatusAccepted, &c)
	eventually(t, "the update runs", func() error {
		p.call(t, "GET", "/commands/"+c.ID, nil, http.StatusOK, &c)
		if c.Status != "running" {
			return fmt.Errorf("status is %s", c.Status)
		}
		return nil
	})
	freeze := func(s os.Signal) {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	freeze(syscall.SIGSTOP)
	admin := p.process
	t.Cleanup(func() { _ = admin.cmd.Process.Signal(syscall.SIGCONT) })
	eventually(t, "the answer waits in the outbox", func() error {
		_, acks := p.waiting(t, outboxSerial)
		for _, a := range acks {
			if a.ID == c.ID && a.Status == protocol.AckSucceeded {
				return nil
			}
		}
		return fmt.Errorf("acks are %+v", acks)
	})
	k.kill()
	freeze(syscall.SIGCONT)
	start(t, "kiosk", p.agentEnv(nil), "--serial", outboxSerial, "--interval", "100ms")
	eventually(t, "the update is verified", func() error {
		p.call(t, "GET", "/commands/"+c.ID, nil, http.StatusOK, &c)
		if c.Status != "verified" {
			return fmt.Errorf("status is %s (%s)", c.Status, c.Error)
		}
		return nil
	})
}
