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

	first   uint64 // number of this process's first record
	started bool
}

func newLiveSide(in *Ingest, first uint64) *liveSide {
	return &liveSide{in: in, seed: maphash.MakeSeed(), first: first}
}

// start tells, once, that what is left is from this process.
func (s *liveSide) start(ctx context.Context) {
	if !s.started {
		s.started = true
		s.in.cfg.Live.Started(ctx)
	}
}

func (s *liveSide) work(ctx context.Context, batch []record) (durable bool, err error) {
	for i := range batch {
		r := &batch[i]
		if r.number >= s.first && !s.started {
			s.flush(ctx)
			s.start(ctx)
		}
		shard := maphash.String(s.seed, r.serial) % liveShards
		s.shards[shard] = append(s.shards[shard], r)
	}
	s.flush(ctx)
	return false, nil
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
		readings, refused := decodeReadings(r.serial, r.payload, r.at, s.in.cfg.Window)
		for _, why := range refused {
			s.in.deadLetter(r.serial, r.channel, why)
		}
		for i := range readings {
			readings[i].Site = r.site
			live.Reading(ctx, &readings[i])
		}
		s.in.metrics.readings.Add(float64(len(readings)))
	case protocol.ChannelJoin:
		j, why := decodeJoin(r.serial, r.payload)
		if why != nil {
			s.in.deadLetter(r.serial, r.channel, why)
			return
		}
		live.Joined(ctx, r.serial, r.connection, j, r.at)
	case protocol.ChannelBye:
		b, why := decodeBye(r.payload)
		if why != nil {
			s.in.deadLetter(r.serial, r.channel, why)
			return
		}
		live.Bye(ctx, r.serial, r.connection, b, r.at)
	case protocol.ChannelAck:
		a, why := decodeAck(r.payload)
		if why != nil {
			s.in.deadLetter(r.serial, r.channel, why)
			return
		}
		live.Acked(ctx, r.serial, a, r.at)
	default:
		s.in.deadLetter(r.serial, r.channel, refuse(reasonUnknown, "nothing is expected on %s", r.channel))
	}
}
