package ingest

import (
	"context"
	"encoding/json"
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
		readings, refused := decodeReadings(r.serial, r.payload, r.at, s.in.cfg.Window)
		for _, why := range refused {
			s.letters.put(letterOf(r, why.item, why.raw, why))
		}
		for i := range readings {
			readings[i].Site, readings[i].Source.Record = r.site, r.number
			live.Reading(ctx, &readings[i])
		}
		s.in.metrics.readings.Add(float64(len(readings)))
	case protocol.ChannelJoin:
		var j protocol.Join
		if s.decode(r, &j) && s.checkJoin(r, &j) {
			live.Joined(ctx, r.origin(), j)
		}
	case protocol.ChannelBye:
		var b protocol.Bye
		if s.decode(r, &b) && s.checkTexts(r, b.Session, b.Reason) {
			live.Bye(ctx, r.origin(), b)
		}
	case protocol.ChannelAck:
		var a protocol.Ack
		if s.decode(r, &a) {
			live.Acked(ctx, r.origin(), a)
		}
	default:
		s.refuse(r, refuse(reasonUnknown, "nothing is expected on %s", r.channel))
	}
}

// refuse makes a dead letter of a whole message.
func (s *liveSide) refuse(r *record, why *refusal) {
	s.letters.put(letterOf(r, 0, r.payload, why))
}

func (s *liveSide) decode(r *record, into any) bool {
	if err := json.Unmarshal(r.payload, into); err != nil {
		s.refuse(r, refuse(reasonMalformed, "%w", err))
		return false
	}
	return true
}

// maxCapabilities bounds what a kiosk may announce.
const maxCapabilities = 64

func (s *liveSide) checkJoin(r *record, j *protocol.Join) bool {
	if j.Serial != "" && j.Serial != r.serial {
		s.refuse(r, refuse(reasonSerial, "payload says %q, the topic %q", j.Serial, r.serial))
		return false
	}
	if len(j.Capabilities) > maxCapabilities || len(j.Commands) > maxCapabilities {
		s.refuse(r, refuse(reasonSchema, "more than %d capabilities or commands", maxCapabilities))
		return false
	}
	texts := append([]string{j.Session, j.BootID, j.AgentVersion, j.Model}, j.Capabilities...)
	return s.checkTexts(r, append(texts, j.Commands...)...)
}

func (s *liveSide) checkTexts(r *record, texts ...string) bool {
	for _, text := range texts {
		if len(text) > maxTextBytes {
			s.refuse(r, refuse(reasonSchema, "a text has more than %d bytes", maxTextBytes))
			return false
		}
	}
	return true
}
