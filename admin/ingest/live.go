package ingest

import (
	"context"
	"hash/maphash"
	"sync"

	"kioskfleet/internal/protocol"
)

// liveShards is how many kiosks are worked on at the same time.
const liveShards = 8

// liveSide hands records to Live: those of one kiosk in order, those of different kiosks side by side.
type liveSide struct {
	in     *Ingest
	seed   maphash.Seed
	shards [liveShards][]*record

	letters letterBox

	first   uint64 // number of this process's first record
	started bool
}

func newLiveSide(in *Ingest, first uint64) *liveSide {
	return &liveSide{in: in, seed: maphash.MakeSeed(), letters: letterBox{in: in}, first: first}
}

// start tells, once, that what is left is from this process.
func (s *liveSide) start(ctx context.Context) {
	if !s.started {
		s.started = true
		s.in.cfg.Live.Started(ctx)
	}
}

func (s *liveSide) work(ctx context.Context, batch []record) error {
	for i := range batch {
		r := &batch[i]
		if r.number >= s.first && !s.started {
			s.flush(ctx)
			s.start(ctx)
		}
		if r.kind == kindScores {
			continue // it came from the live side
		}
		shard := maphash.String(s.seed, r.serial) % liveShards
		s.shards[shard] = append(s.shards[shard], r)
	}
	s.flush(ctx)
	s.in.cfg.Live.Room(ctx)
	if err := s.letters.post(ctx); err != nil && ctx.Err() == nil {
		s.in.cfg.Log.Warn("dead letters not kept, trying again", "error", err)
	}
	return nil
}

// checkpoint brings everything told so far to disk.
func (s *liveSide) checkpoint(ctx context.Context) error {
	if err := s.letters.post(ctx); err != nil {
		return err
	}
	return s.in.cfg.Live.Checkpoint(ctx)
}

// flush works on what was sorted into shards, and waits until all is done.
func (s *liveSide) flush(ctx context.Context) {
	var wg sync.WaitGroup
	for i, records := range s.shards {
		if len(records) == 0 {
			continue
		}
		wg.Go(func() {
			for _, r := range records {
				s.handle(ctx, r)
			}
		})
		s.shards[i] = nil
	}
	wg.Wait()
}

func (s *liveSide) handle(ctx context.Context, r *record) {
	live := s.in.cfg.Live
	if r.kind != kindMessage {
		live.Connection(ctx, r.connectionEvent())
		return
	}
	switch r.channel {
	case protocol.ChannelTelemetry:
		readings, refused, reserved := s.in.decoded.telemetry(r)
		for _, why := range refused {
			s.letters.put(letterOf(r, why.item, why.raw, why))
		}
		for i := range readings {
			reading := &readings[i]
			if len(readings) > 1 {
				// One that is kept must not keep the others in memory.
				alone := readings[i]
				reading = &alone
			}
			live.Reading(ctx, reading)
		}
		s.in.metrics.readings.Add(float64(len(readings)))
		s.in.metrics.reserved.Add(float64(reserved))
	case protocol.ChannelJoin:
		if j, why := decodeJoin(r.serial, r.payload); s.good(r, why) {
			live.Joined(ctx, r.origin(), j)
		}
	case protocol.ChannelBye:
		if b, why := decodeBye(r.payload); s.good(r, why) {
			live.Bye(ctx, r.origin(), b)
		}
	case protocol.ChannelAck:
		if a, why := decodeAck(r.payload); s.good(r, why) {
			live.Acked(ctx, r.origin(), a)
		}
	default:
		s.good(r, refuse(reasonUnknown, "nothing is expected on %s", r.channel))
	}
}

// good reports whether a message may be used, and makes a dead letter of one that may not.
func (s *liveSide) good(r *record, why *refusal) bool {
	if why != nil {
		s.letters.put(letterOf(r, 0, r.payload, why))
	}
	return why == nil
}
