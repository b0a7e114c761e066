package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
)

func TestCountersSumUpTheirSites(t *testing.T) {
	c := &Counters{}
	for i, name := range []string{"small", "large", "also large"} {
		s := c.Site(name)
		if c.Site(name) != s {
			t.Fatal("a site has two sets of counters")
		}
		s.Kiosks.Store(int64(1 + min(i, 1)))
		s.Agents.Connected.Store(int64(1 + min(i, 1)))
		s.Agents.Readings.Add(100)
		s.Agents.Unreachable.Add(3)
		s.Agents.Refused.Add(2)
	}
	c.GaveUp.Store(4)
	for _, e := range []truth.Kind{truth.FaultStart, truth.FaultStart, truth.Boot, truth.FaultEnd} {
		c.Site("small").observe(truth.Event{Event: e})
	}
	got := c.Totals()
	if got.Connected != 5 || got.Readings.Acknowledged != 300 {
		t.Errorf("%+v", got)
	}
	if cells := strings.Join(errorCells(got.Errors), ", "); cells != "4 kiosk gave up, 6 connection refused, 9 connection unreachable" {
		t.Errorf("errors: %s", cells)
	}
	sites := c.Sites()
	if len(sites) != 3 || sites[0] != (SiteTotals{"also large", 2, 2, 0}) || sites[1].Name != "large" || sites[2] != (SiteTotals{"small", 1, 1, 1}) {
		t.Errorf("%+v", sites)
	}
}

func TestRateIsSmoothed(t *testing.T) {
	var r rate
	at := time.Unix(0, 0)
	for i, tt := range []struct {
		count int64
		want  float64
	}{{0, 0}, {50, 10}, {100, 10}, {100, 5}, {100, 0}, {200, 10}} {
		if got := r.next(at.Add(time.Duration(i)*5*time.Second), tt.count); got != tt.want {
			t.Errorf("update %d: %v, want %v", i, got, tt.want)
		}
	}
}

func TestLatenciesAreOfTheLastWindow(t *testing.T) {
	c, w, at := &Counters{}, latencyWindow{}, time.Unix(0, 0)
	w.begin(c, at)
	for i, tt := range []struct{ took, want time.Duration }{
		{10 * time.Millisecond, 10 * time.Millisecond}, // the first window is not over
		{20 * time.Millisecond, 20 * time.Millisecond},
		{30 * time.Millisecond, 20 * time.Millisecond}, // the second is not
		{0, 30 * time.Millisecond},
		{0, 30 * time.Millisecond},
		{0, 0},
	} {
		if tt.took > 0 {
			c.acknowledged("", tt.took)
		}
		got := w.next(c, at.Add(time.Duration(i+1)*rateWindow/2)).Max
		if want := float64(tt.want) / 1e6; got < want || got > 1.001*want {
			t.Errorf("look %d: at most %v ms, want %v", i, got, want)
		}
	}
	if n := c.PublishToAck.Summary().Count; n != 3 {
		t.Errorf("%d in all", n)
	}
}

// told runs a progress for some time, in which something happens at a moment, and returns the log.
func told(t *testing.T, p *Progress, during time.Duration, at time.Duration, happens func()) string {
	t.Helper()
	var b bytes.Buffer
	p.Log = slog.New(slog.NewTextHandler(&b, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	time.Sleep(at)
	synctest.Wait()
	happens()
	time.Sleep(during - at)
	cancel()
	<-done
	p.Tell(p.Summary())
	return b.String()
}

func TestProgressInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Counters{}
		p := &Progress{First: 1, Kiosks: 2, Counters: c, Phase: func() string { return "rush" }, Now: func() time.Time { return time.Unix(0, 0).UTC() }}
		log := told(t, p, 11*time.Second, 6990*time.Millisecond, func() {
			c.Enrolled.Store(2)
			c.Site("a").Agents.Connected.Add(1)
			c.Site("b").Agents.Connected.Add(1)
			c.Site("b").Agents.Readings.Add(10)
			c.Site("b").Agents.Lost.Add(3)
			c.acknowledged("", 5*time.Millisecond)
		})
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines:\n%s", len(lines), log)
		}
		for i, want := range []string{
			"msg=progress kiosks=2 enrolled=0 connected=0 ",
			"enrolled=2 connected=2 sent=0 acknowledged=10 resent=0 dropped=0 waiting=0 commands=0 executed=0 connection_lost=3 readings_per_second=1.0 publish_to_ack_p50=\"5.0 ms\" publish_to_ack_p99=\"5.0 ms\" simulated=1970-01-01T00:00:00.000Z phase=rush",
			"msg=stopped kiosks=2 enrolled=2 connected=2 ",
		} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %q, want %q", i+1, lines[i], want)
			}
		}
		if !strings.Contains(lines[2], `all_connected="after 7s"`) || !strings.Contains(lines[2], "took=11s") {
			t.Errorf("the last line is %s", lines[2])
		}
	})
}

func TestProgressOfProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Counters{}
		log := told(t, &Progress{First: 1, Kiosks: 2, Counters: c, Processes: true}, 6*time.Second, time.Second, func() {
			c.Running.Add(1)
			c.GaveUp.Add(1)
		})
		if !strings.Contains(log, "msg=progress kiosks=2 running=1 kiosk_gave_up=1\n") || !strings.Contains(log, "msg=stopped kiosks=2 running=1 kiosk_gave_up=1 took=6s\n") {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &terminal{columns: 80, rows: []string{""}}
		c := &Counters{}
		p := &Progress{First: 1, Kiosks: 1, Counters: c, Screen: &Screen{out: out, size: func() (int, int) { return 80, 24 }}}
		var during []string
		log := told(t, p, 3*time.Second, 2600*time.Millisecond, func() { during = out.shown() })
		if log != "" {
			t.Errorf("the log says %s", log)
		}
		if len(during) == 0 || during[0] != "kiosks           1 (1 to 1)   up 3s" && during[0] != "kiosks           1 (1 to 1)   up 2s" {
			t.Errorf("the table is %q", during)
		}
		if end := out.shown(); end[0] != "stopped after 3s: 1 kiosks (1 to 1)" || end[len(end)-1] != "" {
			t.Errorf("in the end the terminal shows %q", end)
		}
	})
}

// finished is the summary of a swarm, without what differs from run to run.
func finished() *Summary {
	c := &Counters{}
	s := c.Site("a")
	s.Agents.Readings.Add(1234)
	s.Agents.Dropped.Add(5)
	s.Agents.Lost.Add(6)
	c.Waiting.Store(7)
	for i := range 1000 {
		c.acknowledged("", time.Duration(i+1)*time.Millisecond)
	}
	p := &Progress{First: 11, Kiosks: 10, Counters: c, allEnrolled: 2 * time.Second, began: time.Now()}
	sum := p.Summary()
	sum.Started, sum.DurationSeconds = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 125.25
	sum.Process = &Usage{CPUSeconds: 1.5, PeakMemory: 30 << 20, BytesPerKiosk: 3 << 20}
	return sum
}

func TestTheSummary(t *testing.T) {
	golden(t, "summary.txt", finished().Text())
	var b bytes.Buffer
	if err := finished().Write("-", &b); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.json", b.String())

	path := filepath.Join(t.TempDir(), "summary.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := finished().Write(path, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != b.String() {
		t.Errorf("the file holds %s, %v", got, err)
	}
	if err := finished().Write(filepath.Join(path, "below"), nil); err == nil || !strings.Contains(err.Error(), "write the summary") {
		t.Errorf("error = %v", err)
	}
}

func TestTheSummaryOfProcesses(t *testing.T) {
	c := &Counters{}
	c.GaveUp.Add(2)
	s := (&Progress{First: 1, Kiosks: 10, Counters: c, Processes: true, began: time.Now()}).Summary()
	text, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(text), `"readings":null,"messages_acknowledged":null,"commands":null,"errors":{"connection_distrusted":0,"connection_lost":0,"connection_refused":0,"connection_unanswered":0,"connection_unreachable":0,"kiosk_gave_up":2,"outbox":0,"publish_timeout":0},"publish_to_ack":null`) {
		t.Errorf("%s, %v", text, err)
	}
	if !strings.Contains(s.Text(), "10 kiosks (1 to 10)\n errors          2 kiosk gave up\n") || strings.Contains(s.Text(), "publish") {
		t.Errorf("%s", s.Text())
	}
}

func TestUsage(t *testing.T) {
	u, known := usage()
	if !known {
		t.Skip("this system does not tell")
	}
	if u.CPUSeconds <= 0 || u.PeakMemory < 1<<20 || u.PeakMemory > 1<<40 {
		t.Errorf("%+v", u)
	}
}

func TestTheRampUpKeepsItsRate(t *testing.T) {
	for _, rate := range []float64{0.5, 50, 1000, 3333} {
		synctest.Test(t, func(t *testing.T) {
			kiosks := roster.Plan(nil, "K-", min(2000, int(20*rate)))
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := &Counters{}
			err := launch(ctx, kiosks, rate, c, slog.New(slog.DiscardHandler), func(ctx context.Context, k roster.Kiosk) error {
				if k.Serial == kiosks[len(kiosks)-1].Serial {
					cancel()
				}
				<-ctx.Done()
				return ctx.Err()
			})
			want := time.Duration(float64(len(kiosks)-1) / rate * float64(time.Second))
			if took := time.Since(began); err != nil || c.Started.Load() != int64(len(kiosks)) || took < want-time.Millisecond || took > want+time.Millisecond {
				t.Errorf("%d kiosks at %v per second took %s, want %s: %v", len(kiosks), rate, took, want, err)
			}
		})
	}
}

func TestTheDefaultRampUp(t *testing.T) {
	for kiosks, want := range map[int]float64{1: 50, 500: 50, 6000: 50, 15_000: 125} {
		if got := DefaultRampUp(kiosks); got != want {
			t.Errorf("%d kiosks: %v per second, want %v", kiosks, got, want)
		}
	}
}

// BenchmarkAcknowledged is what an acknowledgement costs a swarm: 15,000 kiosks have 3,000 in a second.
func BenchmarkAcknowledged(b *testing.B) {
	c := &Counters{}
	b.RunParallel(func(p *testing.PB) {
		for d := time.Millisecond; p.Next(); d += 31 * time.Microsecond {
			c.acknowledged("", d%time.Second)
		}
	})
}
