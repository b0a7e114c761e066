package ingest

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// seriesCompany is how long a reading waits for others, so that they share one append.
	seriesCompany = 200 * time.Millisecond
	// seriesCheckpoint spaces the syncs of the store. Each makes the disk work, also for those who wait for
	// the journal's; what is not synced yet is appended again after a crash.
	seriesCheckpoint = time.Second

	retryFirst = 200 * time.Millisecond
	retryMax   = 10 * time.Second
)

// seriesSide appends readings to the time-series store, and tries again for as long as it refuses.
type seriesSide struct {
	in        *Ingest
	conflicts *conflicts
	// scored finds scores that are stored already. A kiosk's scores come in the order of their times; what comes
	// again after a crash may be another number, and the first one stays.
	scored *conflicts

	// Memory that is used again for each batch.
	readings []fleet.Reading
	of       []*record // the record of each reading
	scores   []fleet.Reading
	all      []fleet.Reading

	// The items of the record whose readings became dead letters last.
	split uint64
	items []json.RawMessage
}

func newSeriesSide(in *Ingest) *seriesSide {
	return &seriesSide{in: in, conflicts: newConflicts(in.cfg.Series), scored: newConflicts(in.cfg.Series)}
}

// forget drops what is remembered of the store: it may know less than was appended.
func (s *seriesSide) forget() {
	s.conflicts.forget()
	s.scored.forget()
}

// checkpoint brings what was appended to disk.
func (s *seriesSide) checkpoint(ctx context.Context) error {
	err := s.in.cfg.Series.Sync(ctx)
	if err == nil {
		return nil
	}
	s.forget()
	if s.in.cfg.Lost(err) {
		return s.lost()
	}
	return err
}

// lost sends the consumer back to the oldest record.
func (s *seriesSide) lost() error {
	s.in.cfg.Log.Debug("appending to the time-series store again what the journal holds")
	s.in.metrics.rewinds.Inc()
	s.forget()
	return errRewind
}

// work stores a batch. Its dead letters are on disk when work returns nil, its readings after the next
// checkpoint.
func (s *seriesSide) work(ctx context.Context, batch []record) error {
	readings, of, scores := s.readings[:0], s.of[:0], s.scores[:0]
	defer func() { s.readings, s.of, s.scores = readings, of, scores }()
	for i := range batch {
		r := &batch[i]
		if r.kind == kindScores {
			var err error
			if scores, err = decodeScores(scores, r); err != nil {
				s.in.cfg.Log.Error("journal record skipped in part", "consumer", consumerSeries, "number", r.number, "error", err)
			}
			continue
		}
		if r.kind != kindMessage || r.channel != protocol.ChannelTelemetry {
			continue
		}
		// What cannot be decoded is a dead letter of the live side; it is counted once.
		decoded, _, _ := s.in.decoded.telemetry(r)
		for i := range decoded {
			if !decoded[i].OnlyReports() {
				readings, of = append(readings, decoded[i]), append(of, r)
			}
		}
	}
	if len(readings)+len(scores) == 0 {
		return nil
	}
	return s.store(ctx, readings, of, scores)
}

// store tries until the store has taken or refused each reading and score, and dead letters are kept, or ctx ends.
func (s *seriesSide) store(ctx context.Context, readings []fleet.Reading, of []*record, scores []fleet.Reading) error {
	in := s.in
	var letters []fleet.DeadLetter
	judged := false
	for delay := retryFirst; ; delay = min(2*delay, retryMax) {
		err := func() error {
			if !judged {
				fresh, records, refused, err := s.keepConflictsOut(ctx, readings, of)
				var unknown []fleet.Reading
				if err == nil {
					unknown, err = s.keepKnownScoresOut(ctx, scores)
				}
				if err != nil {
					s.forget()
					return err
				}
				in.metrics.repeated.Add(float64(len(readings) - len(fresh) - len(refused)))
				in.metrics.scoresRefused.Add(float64(len(scores) - len(unknown)))
				readings, of, scores, letters, judged = fresh, records, unknown, refused, true
			}
			rejected, err := s.append(ctx, readings, of, scores)
			if err != nil {
				return err
			}
			readings, scores = nil, nil // they are stored; what is left to do are the letters
			if letters = append(letters, rejected...); len(letters) > 0 {
				return in.cfg.DeadLetters.AddDeadLetters(ctx, letters)
			}
			return nil
		}()
		if err == nil {
			in.series.progress.stuck(nil)
			for _, d := range letters {
				in.countLetter(d)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if in.cfg.Lost(err) {
			return s.lost()
		}
		in.metrics.retries.Inc()
		in.series.progress.stuck(err)
		pause := max(delay, in.cfg.Retry(err))
		in.cfg.Log.Warn("time-series store does not take readings, trying again", "readings", len(readings), "retry_in", pause, "error", err)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// append returns the readings that the store refuses for good; of scores they are only counted.
func (s *seriesSide) append(ctx context.Context, readings []fleet.Reading, of []*record, scores []fleet.Reading) ([]fleet.DeadLetter, error) {
	if len(readings)+len(scores) == 0 {
		return nil, nil
	}
	in := s.in
	all := readings
	if len(scores) > 0 {
		s.all = append(append(s.all[:0], readings...), scores...)
		all = s.all
	}
	err := in.cfg.Series.Append(ctx, all)
	rejected := in.cfg.Rejected(err)
	if err != nil && rejected == nil {
		return nil, err
	}
	var letters []fleet.DeadLetter
	refused := 0
	for i, reason := range rejected {
		if i >= len(readings) {
			refused++
			continue
		}
		letters = append(letters, s.letter(of[i], &readings[i], refuse(reasonRejected, "%s", reason)))
	}
	in.metrics.stored.Add(float64(len(readings) - len(letters)))
	in.metrics.scores.Add(float64(len(scores) - refused))
	in.metrics.scoresRefused.Add(float64(refused))
	return letters, nil
}

// keepKnownScoresOut returns the scores of readings that the store has no score of.
func (s *seriesSide) keepKnownScoresOut(ctx context.Context, scores []fleet.Reading) ([]fleet.Reading, error) {
	if len(scores) == 0 {
		return nil, nil
	}
	verdicts, err := s.scored.judge(ctx, scores)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(verdicts, func(v verdict) bool { return v != isNew }) {
		return scores, nil
	}
	var unknown []fleet.Reading
	for i, v := range verdicts {
		if v == isNew {
			unknown = append(unknown, scores[i])
		}
	}
	return unknown, nil
}

// keepConflictsOut returns the readings that are to be stored, with their records, and a dead letter for
// each that conflicts with another one.
func (s *seriesSide) keepConflictsOut(ctx context.Context, readings []fleet.Reading, of []*record) (fresh []fleet.Reading, records []*record, letters []fleet.DeadLetter, err error) {
	verdicts, err := s.conflicts.judge(ctx, readings)
	if err != nil {
		return nil, nil, nil, err
	}
	if !slices.ContainsFunc(verdicts, func(v verdict) bool { return v != isNew }) {
		return readings, of, nil, nil
	}
	for i, v := range verdicts {
		switch v {
		case isNew:
			fresh, records = append(fresh, readings[i]), append(records, of[i])
		case isConflict:
			why := refuse(reasonConflict, "another reading of %s has the time %s; a kiosk's timestamps must differ", readings[i].Serial, readings[i].Time.Format(time.RFC3339Nano))
			letters = append(letters, s.letter(of[i], &readings[i], why))
		}
	}
	return fresh, records, letters, nil
}

// letter makes a dead letter of a reading, with the text in which it was sent.
func (s *seriesSide) letter(r *record, reading *fleet.Reading, why *refusal) fleet.DeadLetter {
	if s.split != r.number { // once for all conflicts of a message
		s.split, s.items = r.number, nil
		_ = json.Unmarshal(r.payload, &s.items) // a single reading is no array
	}
	payload := r.payload
	if reading.Source.Item < len(s.items) {
		payload = s.items[reading.Source.Item]
	}
	return letterOf(r, reading.Source.Item, payload, why)
}
