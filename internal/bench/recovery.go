package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// recovery is how long a start takes that finds a journal full of readings to work off.
type recovery struct {
	Readings     int     `json:"readings"`
	PayloadBytes int64   `json:"payload_bytes"`
	JournalBytes int64   `json:"journal_bytes"` // on disk
	Ready        float64 `json:"ready_seconds"` // from the start of the process
	Series       float64 `json:"series_caught_up_seconds"`
	Live         float64 `json:"live_caught_up_seconds"`
	PeakRSS      int64   `json:"peak_rss_bytes"`
}

// fillers is how many kiosks append at the same time; they share each sync of the journal.
const fillers = 4096

// fromJournal measures a start of admin on a folder whose journal takes so many bytes on disk.
func (b *bench) fromJournal(ctx context.Context, bytes int64) (*recovery, error) {
	const kiosks = 200
	data := filepath.Join(b.dir, "recovery")
	p, err := startPlatform(ctx, b.admin, data)
	if err != nil {
		return nil, err
	}
	if err = p.awaitReady(ctx); err == nil {
		_, err = p.enroll(ctx, kiosks)
	}
	p.stop()
	if err != nil {
		return nil, err
	}
	out := &recovery{}
	if err := fillJournal(ctx, data, kiosks, bytes, out); err != nil {
		return nil, fmt.Errorf("fill the journal: %w", err)
	}
	b.progress("recovery: the journal holds %d readings", out.Readings)

	if p, err = startPlatform(ctx, b.admin, data); err != nil {
		return nil, err
	}
	defer p.stop()
	limited, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	if err := p.awaitReady(limited); err != nil {
		return nil, err
	}
	out.Ready = time.Since(p.began).Seconds()
	var wg sync.WaitGroup
	var failed [2]error
	for i, consumer := range []struct {
		behind string
		took   *float64
	}{{behindSeries, &out.Series}, {behindLive, &out.Live}} {
		wg.Go(func() {
			failed[i] = p.awaitCaughtUp(limited, consumer.behind)
			*consumer.took = time.Since(p.began).Seconds()
		})
	}
	wg.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return nil, err
	}
	if out.PeakRSS, err = p.peakRSS(); err != nil {
		return nil, err
	}
	return out, nil
}

const recoveryPatience = 10 * time.Minute

// fillJournal brings readings into the journal the way that admin does, only that no consumer runs.
func fillJournal(ctx context.Context, data string, kiosks int, bytes int64, out *recovery) error {
	j, err := journal.Open(journal.Config{Dir: filepath.Join(data, "journal")})
	if err != nil {
		return err
	}
	defer j.Close()
	in, err := ingest.Open(ingest.Config{
		Journal: j, Live: idle{}, Series: idle{}, DeadLetters: idle{}, SiteOf: func(string) string { return "bench" },
		Rejected: func(error) map[int]string { return nil }, Retry: func(error) time.Duration { return 0 }, Lost: func(error) bool { return false },
		Window: 7 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	begin := time.Now().Add(-24 * time.Hour)
	var next, written atomic.Int64
	var full atomic.Bool
	var wg sync.WaitGroup
	errs := make(chan error, fillers)
	for range fillers {
		wg.Go(func() {
			for ctx.Err() == nil && !full.Load() {
				n := int(next.Add(1) - 1)
				payload, err := json.Marshal(readingOf(n%kiosks, n/kiosks, begin))
				if err == nil {
					err = in.Accept(ingest.Message{Serial: serialOf(n % kiosks), Channel: protocol.ChannelTelemetry, Payload: payload, ConnectionID: "bench-1", ReceivedAt: time.Now().UTC().Truncate(time.Millisecond)})
				}
				if err != nil {
					errs <- err
					return
				}
				written.Add(int64(len(payload)))
				if n%fillers == 0 && j.Stats().Used >= bytes {
					full.Store(true)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	out.Readings, out.PayloadBytes, out.JournalBytes = int(next.Load()), written.Load(), j.Stats().Used
	return ctx.Err()
}

func serialOf(kiosk int) string { return fmt.Sprintf("SIM-KIOSK-B%04d", kiosk) }

// readingOf is a kiosk's n-th reading since begin. Its values are noise, which compresses less than what
// sensors say.
func readingOf(kiosk, n int, begin time.Time) protocol.Reading {
	around := func(middle, width float64) float64 { return math.Round(10*(middle+width*(rand.Float64()-0.5))) / 10 }
	return protocol.Reading{
		Timestamp: begin.Add(time.Duration(n) * 100 * time.Millisecond).UTC().Truncate(time.Millisecond),
		KioskID:   int64(kiosk + 1), Serial: serialOf(kiosk), Seq: uint64(n + 1), Session: "recovery", Status: protocol.StateOnline, ConfigVersion: 3,
		Environmental: protocol.Group{"temperature": around(22, 8), "humidity": around(50, 20), "air_quality": around(20, 30)},
		Hardware:      protocol.Group{"cpu_temp": around(55, 20), "cpu_usage": around(40, 60), "ram_usage": around(50, 10), "disk_usage": around(70, 2)},
		Peripherals:   protocol.Group{"printer_status": "ready", "cash_acceptor": "ready", "card_reader": "ready"},
		Location:      protocol.Group{"lat": -34.6037 + rand.Float64()/1e5, "lng": -58.3816 + rand.Float64()/1e5, "accuracy": around(4, 3)},
		Network:       protocol.Group{"latency": around(60, 80), "signal_strength": math.Round(around(-61, 8))},
		Custom:        protocol.Group{"paper_level": around(50, 100)},
	}
}

// idle is what ingest wants on its other side, and does nothing.
type idle struct{}

func (idle) Reading(context.Context, *fleet.Reading)                  {}
func (idle) Joined(context.Context, fleet.Origin, protocol.Join)      {}
func (idle) Bye(context.Context, fleet.Origin, protocol.Bye)          {}
func (idle) Acked(context.Context, fleet.Origin, protocol.Ack)        {}
func (idle) Connection(context.Context, fleet.ConnectionEvent)        {}
func (idle) Started(context.Context)                                  {}
func (idle) Room(context.Context)                                     {}
func (idle) Checkpoint(context.Context) error                         { return nil }
func (idle) Append(context.Context, []fleet.Reading) error            { return nil }
func (idle) Sync(context.Context) error                               { return nil }
func (idle) AddDeadLetters(context.Context, []fleet.DeadLetter) error { return nil }
func (idle) Values(context.Context, string, []string, time.Time, time.Time, func(string, time.Time, float64)) error {
	return nil
}
