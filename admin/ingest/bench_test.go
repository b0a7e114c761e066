package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// sinks are both sides of ingest doing nothing but count.
type sinks struct{ told, stored atomic.Int64 }

func (s *sinks) Reading(context.Context, *fleet.Reading)                  { s.told.Add(1) }
func (s *sinks) Joined(context.Context, fleet.Origin, protocol.Join)      {}
func (s *sinks) Bye(context.Context, fleet.Origin, protocol.Bye)          {}
func (s *sinks) Acked(context.Context, fleet.Origin, protocol.Ack)        {}
func (s *sinks) Connection(context.Context, fleet.ConnectionEvent)        {}
func (s *sinks) Started(context.Context)                                  {}
func (s *sinks) Room(context.Context)                                     {}
func (s *sinks) Checkpoint(context.Context) error                         { return nil }
func (s *sinks) Sync(context.Context) error                               { return nil }
func (s *sinks) AddDeadLetters(context.Context, []fleet.DeadLetter) error { return nil }
func (s *sinks) Append(_ context.Context, readings []fleet.Reading) error {
	s.stored.Add(int64(len(readings)))
	return nil
}
func (s *sinks) Values(context.Context, string, []string, time.Time, time.Time, func(string, time.Time, float64)) error {
	return nil
}

func openForBenchmark(b *testing.B, dir string, s *sinks) (*Ingest, *journal.Journal) {
	b.Helper()
	j, err := journal.Open(journal.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	in, err := Open(Config{
		Journal: j, Live: s, Series: s, DeadLetters: s, SiteOf: func(string) string { return "hall-1" },
		Rejected: func(error) map[int]string { return nil }, Retry: func(error) time.Duration { return 0 }, Lost: func(error) bool { return false },
		Window: 7 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	return in, j
}

// acceptAll lets so many kiosks send n readings between them, each one after the other.
func acceptAll(b *testing.B, in *Ingest, publishers, n int) {
	b.Helper()
	begin := time.Now().Add(-time.Hour)
	var next atomic.Int64
	var wg sync.WaitGroup
	for k := range publishers {
		wg.Go(func() {
			serial := fmt.Sprintf("K-%d", k)
			for i := 0; next.Add(1) <= int64(n); i++ {
				at := begin.Add(time.Duration(i) * time.Millisecond).UTC()
				payload := strings.Replace(wholeReading, "2026-01-02T03:04:05.678Z", at.Format("2006-01-02T15:04:05.000Z"), 1)
				payload = strings.Replace(payload, "SIM-KIOSK-007", serial, 1)
				if err := in.Accept(Message{Serial: serial, Channel: protocol.ChannelTelemetry, Payload: []byte(payload), ConnectionID: "c", ReceivedAt: time.Now().UTC()}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAccept is the way of a message to disk, as many publishers at once as there are connections.
func BenchmarkAccept(b *testing.B) {
	for _, publishers := range []int{1, 200, 1000} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			in, j := openForBenchmark(b, b.TempDir(), new(sinks))
			defer j.Close()
			b.ResetTimer()
			acceptAll(b, in, publishers, b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkReplay is what a consumer costs without its effects: reading the journal and decoding.
func BenchmarkReplay(b *testing.B) {
	for _, side := range []string{consumerLive, consumerSeries} {
		b.Run(side, func(b *testing.B) {
			s := new(sinks)
			in, j := openForBenchmark(b, b.TempDir(), s)
			defer j.Close()
			acceptAll(b, in, 1000, b.N)
			run, worked := in.live.run, &s.told
			if side == consumerSeries {
				run, worked = in.series.run, &s.stored
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			b.ResetTimer()
			go func() { done <- run(ctx) }()
			for worked.Load() < int64(b.N) {
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
