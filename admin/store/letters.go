package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
)

// Bounds of the dead letters. Beyond them the oldest go; the counts of refusals stay.
const (
	maxLetterPayload   = 16 << 10
	maxLettersPerKiosk = 200
	maxLetters         = 10_000
	keptLetterPlaces   = 100_000 // about 8 MiB
	discardAtOnce      = 1_000   // letters of one transaction of DiscardDeadLetters
)

const (
	letterColumns = `id, record, item, serial, site, channel, reason, detail, size, truncated, received_at`
	letterMatches = `($1 = '' OR serial = $1) AND ($2 = '' OR reason = $2) AND id <= $3` // see letterArgs
)

func letterArgs(f fleet.DeadLetterFilter, more ...any) []any {
	through := f.Through
	if through <= 0 {
		through = math.MaxInt64
	}
	return append([]any{f.Serial, f.Reason, through}, more...)
}

func scanLetter(row scanner) (fleet.DeadLetter, error) {
	var d fleet.DeadLetter
	var record, truncated, received int64
	err := row.Scan(&d.ID, &record, &d.Source.Item, &d.Serial, &d.Site, &d.Channel, &d.Reason, &d.Detail, &d.Size, &truncated, &received)
	d.Source.Record, d.Truncated, d.ReceivedAt = uint64(record), truncated != 0, fromMillis(received)
	return d, err
}

// AddDeadLetters keeps letters and counts them as refusals, in one transaction. A letter that came before
// changes nothing, even if it is no longer kept: the journal may be read again. Of a payload only the
// first 16 KiB are kept. A kiosk keeps its newest 200 letters, and all together the newest 10,000.
func (s *Store) AddDeadLetters(ctx context.Context, letters []fleet.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("add %d dead letters", len(letters)), func(tx *sql.Tx) error {
		fresh, err := addPlaces(ctx, tx, letters)
		if err != nil || len(fresh) == 0 {
			return err
		}
		if err := addRefusals(ctx, tx, fresh); err != nil {
			return err
		}
		kept, serials := newestLetters(fresh)
		for _, d := range kept {
			if err := insertLetter(ctx, tx, d); err != nil {
				return err
			}
		}
		return pruneLetters(ctx, tx, serials)
	})
}

// addPlaces notes the letters' places and returns the letters whose places are new.
func addPlaces(ctx context.Context, tx *sql.Tx, letters []fleet.DeadLetter) ([]fleet.DeadLetter, error) {
	stmt, err := tx.PrepareContext(ctx, `INSERT INTO dead_letter_places (record, item, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	fresh := make([]fleet.DeadLetter, 0, len(letters))
	for _, d := range letters {
		r, err := stmt.ExecContext(ctx, int64(d.Source.Record), d.Source.Item, millis(d.ReceivedAt))
		if err != nil {
			return nil, err
		}
		if n, err := r.RowsAffected(); err != nil {
			return nil, err
		} else if n > 0 {
			fresh = append(fresh, d)
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM dead_letter_places WHERE seq <= (SELECT MAX(seq) FROM dead_letter_places) - $1`, keptLetterPlaces)
	return fresh, err
}

func addRefusals(ctx context.Context, tx *sql.Tx, letters []fleet.DeadLetter) error {
	type key struct{ serial, reason string }
	counts := map[key]fleet.Refusals{}
	for _, d := range letters {
		k := key{d.Serial, d.Reason}
		c := counts[k]
		c.Count++
		if d.ReceivedAt.After(c.LastAt) {
			c.LastAt = d.ReceivedAt
		}
		counts[k] = c
	}
	for k, c := range counts {
		_, err := tx.ExecContext(ctx, `INSERT INTO refusals (serial, reason, count, last_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (serial, reason) DO UPDATE SET count = refusals.count + excluded.count,
				last_at = CASE WHEN excluded.last_at > refusals.last_at THEN excluded.last_at ELSE refusals.last_at END`,
			k.serial, k.reason, int64(c.Count), millis(c.LastAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// newestLetters leaves out what would be pushed out at once, so that a flood of one kiosk costs no more
// than the letters that stay. It keeps the order and also returns whose letters they are.
func newestLetters(letters []fleet.DeadLetter) (kept []fleet.DeadLetter, serials map[string]int) {
	serials = map[string]int{}
	for _, d := range slices.Backward(letters) {
		if serials[d.Serial]++; serials[d.Serial] <= maxLettersPerKiosk && len(kept) < maxLetters {
			kept = append(kept, d)
		}
	}
	slices.Reverse(kept)
	return kept, serials
}

func insertLetter(ctx context.Context, tx *sql.Tx, d fleet.DeadLetter) error {
	d.Size = max(d.Size, len(d.Payload))
	if len(d.Payload) > maxLetterPayload {
		d.Payload, d.Truncated = cut(d.Payload, maxLetterPayload), true
	}
	truncated := 0
	if d.Truncated {
		truncated = 1
	}
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO dead_letters (record, item, serial, site, channel, reason, detail, size, truncated, received_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
		int64(d.Source.Record), d.Source.Item, d.Serial, d.Site, string(d.Channel), d.Reason, d.Detail, d.Size, truncated, millis(d.ReceivedAt)).Scan(&id)
	if err != nil {
		return err
	}
	if d.Payload == nil {
		d.Payload = []byte{} // an empty message, which is not NULL
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO dead_letter_payloads (letter_id, payload) VALUES ($1, $2)`, id, d.Payload)
	return err
}

// cut returns at most n bytes of a payload, without half a character at the end.
func cut(payload []byte, n int) []byte {
	head := payload[:n]
	for i := n - 1; i >= n-utf8.UTFMax && i >= 0; i-- {
		if utf8.RuneStart(head[i]) {
			if !utf8.FullRune(head[i:]) {
				head = head[:i]
			}
			break
		}
	}
	return head
}

// pruneLetters removes the oldest letters beyond the bounds. It looks only at the kiosks that got new ones.
func pruneLetters(ctx context.Context, tx *sql.Tx, serials map[string]int) error {
	for serial := range serials {
		_, err := tx.ExecContext(ctx, `DELETE FROM dead_letters WHERE serial = $1
			AND id <= (SELECT id FROM dead_letters WHERE serial = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`, serial, maxLettersPerKiosk)
		if err != nil {
			return err
		}
	}
	var total int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM dead_letters`).Scan(&total); err != nil || total <= maxLetters {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT $1)`, total-maxLetters)
	return err
}

// DeadLetters returns up to limit letters with ids below before (0: from the newest), newest first,
// without their payloads.
func (s *Store) DeadLetters(ctx context.Context, f fleet.DeadLetterFilter, before int64, limit int) ([]fleet.DeadLetter, error) {
	if before > 0 && (f.Through <= 0 || before <= f.Through) {
		f.Through = before - 1
	}
	if before == 1 {
		return []fleet.DeadLetter{}, nil
	}
	rows, err := s.read.QueryContext(ctx, `SELECT `+letterColumns+` FROM dead_letters WHERE `+letterMatches+` ORDER BY id DESC LIMIT $4`, letterArgs(f, limit)...)
	return letters(rows, err)
}

// OldDeadLetters returns up to limit letters with ids above after, oldest first, without their payloads.
func (s *Store) OldDeadLetters(ctx context.Context, f fleet.DeadLetterFilter, after int64, limit int) ([]fleet.DeadLetter, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+letterColumns+` FROM dead_letters WHERE `+letterMatches+` AND id > $4 ORDER BY id LIMIT $5`, letterArgs(f, after, limit)...)
	return letters(rows, err)
}

func letters(rows *sql.Rows, err error) ([]fleet.DeadLetter, error) {
	out, err := collect(rows, err, scanLetter)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return out, nil
}

// DeadLetter returns one letter with its payload, or fleet.ErrNotFound.
func (s *Store) DeadLetter(ctx context.Context, id int64) (fleet.DeadLetter, error) {
	d, err := scanLetter(s.read.QueryRowContext(ctx, `SELECT `+letterColumns+` FROM dead_letters WHERE id = $1`, id))
	if err == nil {
		err = s.read.QueryRowContext(ctx, `SELECT payload FROM dead_letter_payloads WHERE letter_id = $1`, id).Scan(&d.Payload)
	}
	if err != nil {
		return d, fmt.Errorf("dead letter %d: %w", id, known(err))
	}
	return d, nil
}

// CountDeadLetters returns how many letters there are, by reason.
func (s *Store) CountDeadLetters(ctx context.Context, f fleet.DeadLetterFilter) (map[string]int, error) {
	type count struct {
		reason string
		n      int
	}
	rows, err := s.read.QueryContext(ctx, `SELECT reason, COUNT(*) FROM dead_letters WHERE `+letterMatches+` GROUP BY reason`, letterArgs(f)...)
	counts, err := collect(rows, err, func(row scanner) (c count, err error) {
		return c, row.Scan(&c.reason, &c.n)
	})
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	out := make(map[string]int, len(counts))
	for _, c := range counts {
		out[c.reason] = c.n
	}
	return out, nil
}

// TotalDeadLetters returns how many letters there are.
func (s *Store) TotalDeadLetters(ctx context.Context) (n int, err error) {
	if err := s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM dead_letters`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count dead letters: %w", err)
	}
	return n, nil
}

// Refusals returns how much of a kiosk was refused since it was registered, the most frequent reason
// first. Letters that are no longer kept are counted too.
func (s *Store) Refusals(ctx context.Context, serial string) ([]fleet.Refusals, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT reason, count, last_at FROM refusals WHERE serial = $1 ORDER BY count DESC, reason`, serial)
	out, err := collect(rows, err, func(row scanner) (r fleet.Refusals, err error) {
		var count, last int64
		err = row.Scan(&r.Reason, &count, &last)
		r.Count, r.LastAt = uint64(count), fromMillis(last)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("refusals of %s: %w", serial, err)
	}
	return out, nil
}

// DiscardDeadLetter removes a letter, or returns fleet.ErrNotFound.
func (s *Store) DiscardDeadLetter(ctx context.Context, id int64, actor string, now time.Time) error {
	return s.change(ctx, fmt.Sprintf("discard dead letter %d", id), func(tx *sql.Tx) error {
		return settleLetter(ctx, tx, id, "dead_letter.discard", actor, now)
	})
}

// ReplayedDeadLetters removes letters that the journal has taken again. One that is gone meanwhile is passed over.
func (s *Store) ReplayedDeadLetters(ctx context.Context, ids []int64, actor string, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	return s.change(ctx, fmt.Sprintf("remove %d replayed dead letters", len(ids)), func(tx *sql.Tx) error {
		for _, id := range ids {
			if err := settleLetter(ctx, tx, id, "dead_letter.replay", actor, now); err != nil && !errors.Is(known(err), fleet.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// settleLetter removes a letter and says in the audit log what became of it.
func settleLetter(ctx context.Context, tx *sql.Tx, id int64, action, actor string, now time.Time) error {
	var serial, reason string
	if err := tx.QueryRowContext(ctx, `DELETE FROM dead_letters WHERE id = $1 RETURNING serial, reason`, id).Scan(&serial, &reason); err != nil {
		return err
	}
	return audit(ctx, tx, now, actor, action, serial, strconv.FormatInt(id, 10)+" "+reason)
}

// DiscardDeadLetters removes the oldest letters of a filter, at most 1,000 at a time, and returns how many.
func (s *Store) DiscardDeadLetters(ctx context.Context, f fleet.DeadLetterFilter, actor string, now time.Time) (n int, err error) {
	err = s.change(ctx, "discard dead letters", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM dead_letters WHERE id IN
			(SELECT id FROM dead_letters WHERE `+letterMatches+` ORDER BY id LIMIT $4)`, letterArgs(f, discardAtOnce)...)
		if err != nil {
			return err
		}
		removed, err := r.RowsAffected()
		if err != nil || removed == 0 {
			return err
		}
		n = int(removed)
		return audit(ctx, tx, now, actor, "dead_letter.discard_many", f.Serial, fmt.Sprintf("%d %s", n, f.Reason))
	})
	return n, err
}
