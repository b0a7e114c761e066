package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/api"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
)

var errJournal = errors.New("the journal is full")

// counter is letters on a real store, with a journal that refuses what the test says.
type counter struct {
	*letters
	store *store.Store
	mu    sync.Mutex
	taken []int64
	// answer is what the journal says to the letter of that record; nil: it takes it.
	answer func(record uint64) error
	gone   string
}

func newDesk(t *testing.T, n int) *counter {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d := &counter{store: s, answer: func(uint64) error { return nil }}
	d.letters = &letters{store: s, now: time.Now, registered: func(serial string) bool { return serial != d.gone }, replay: func(l fleet.DeadLetter) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.answer(l.Source.Record); err != nil {
			return err
		}
		if string(l.Payload) != fmt.Sprint("payload ", l.Source.Record) {
			t.Errorf("letter %d has payload %s", l.ID, l.Payload)
		}
		d.taken = append(d.taken, l.ID)
		return nil
	}}
	var batch []fleet.DeadLetter
	for i := 1; i <= n; i++ {
		batch = append(batch, fleet.DeadLetter{
			Source: fleet.Source{Record: uint64(i)}, Serial: fmt.Sprint("K-", i%3), Reason: "schema",
			Payload: fmt.Append(nil, "payload ", i), ReceivedAt: time.UnixMilli(int64(i)),
		})
	}
	if err := s.AddDeadLetters(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *counter) left(t *testing.T) int {
	t.Helper()
	n, err := d.store.TotalDeadLetters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestALetterIsGoneOnceTheJournalHasIt(t *testing.T) {
	d := newDesk(t, 4)
	ctx := t.Context()
	d.gone = "K-0" // of letter 3
	d.answer = func(record uint64) error {
		return map[uint64]error{1: fleet.Invalid("payload", "is bad"), 2: errJournal}[record]
	}
	var invalid *fleet.ValidationError
	if err := d.Replay(ctx, 1, "ana"); !errors.As(err, &invalid) {
		t.Errorf("a letter that is bad: %v", err)
	}
	err := d.Replay(ctx, 2, "ana")
	if fault, ok := classify(err); !ok || fault.Status != http.StatusServiceUnavailable || fault.RetryAfter <= 0 || !errors.Is(err, errJournal) {
		t.Errorf("a full journal: %v, %+v", err, fault)
	}
	if err := d.Replay(ctx, 3, "ana"); !errors.As(err, &invalid) || invalid.Violations[0].Field != "serial" {
		t.Errorf("a kiosk that is gone: %v", err)
	}
	if err := d.Replay(ctx, 9, "ana"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("no letter: %v", err)
	}
	if n := d.left(t); n != 4 {
		t.Fatalf("%d letters are left", n)
	}
	if err := d.Replay(ctx, 4, "ana"); err != nil || d.left(t) != 3 {
		t.Errorf("a good letter: %v, %d left", err, d.left(t))
	}
}

func TestManyLettersAreReplayedInOrderAndParts(t *testing.T) {
	const n = replayAtOnce + 50
	d := newDesk(t, n)
	ctx := t.Context()
	d.gone = "K-1"
	d.answer = func(record uint64) error {
		if record%5 == 0 {
			return fleet.Invalid("payload", "is bad")
		}
		return nil
	}
	var total api.Settled
	for calls := 1; ; calls++ {
		got, err := d.ReplayMany(ctx, fleet.DeadLetterFilter{Through: n - 1}, total.Next, "ana")
		if err != nil || got.Replayed+got.Refused > replayAtOnce {
			t.Fatal(got, err)
		}
		total = api.Settled{Replayed: total.Replayed + got.Replayed, Refused: total.Refused + got.Refused, Next: got.Next}
		if total.Next == 0 {
			if calls != 2 {
				t.Errorf("%d calls", calls)
			}
			break
		}
	}
	if total.Replayed+total.Refused != n-1 || total.Replayed != len(d.taken) || d.left(t) != n-total.Replayed {
		t.Errorf("settled %+v, %d taken, %d left", total, len(d.taken), d.left(t))
	}
	for i := 1; i < len(d.taken); i++ {
		if d.taken[i] < d.taken[i-1] {
			t.Fatalf("letter %d after %d", d.taken[i], d.taken[i-1])
		}
	}
}

func TestAJournalThatStopsAcceptingKeepsTheRest(t *testing.T) {
	d := newDesk(t, 10)
	ctx := t.Context()
	d.answer = func(record uint64) error {
		if record > 4 {
			return errJournal
		}
		return nil
	}
	got, err := d.ReplayMany(ctx, fleet.DeadLetterFilter{}, 0, "ana")
	if err != nil || got != (api.Settled{Replayed: 4, Next: 4}) || d.left(t) != 6 {
		t.Errorf("settled %+v, %v, %d left", got, err, d.left(t))
	}
	if got, err = d.ReplayMany(ctx, fleet.DeadLetterFilter{}, got.Next, "ana"); !errors.Is(err, errJournal) {
		t.Errorf("settled %+v, %v", got, err)
	}
	if _, ok := classify(err); !ok {
		t.Errorf("%v is not classified", err)
	}
}

// Whoever asked goes away just when the journal has the letter.
func TestAClientThatGoesLeavesNoLetterBehind(t *testing.T) {
	d := newDesk(t, 3)
	for _, replay := range []func(context.Context) error{
		func(ctx context.Context) error { return d.Replay(ctx, 1, "ana") },
		func(ctx context.Context) error {
			_, err := d.ReplayMany(ctx, fleet.DeadLetterFilter{}, 0, "ana")
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		d.answer = func(uint64) error { cancel(); return nil }
		_ = replay(ctx)
		if len(d.taken)+d.left(t) != 3 {
			t.Errorf("%v taken, %d left", d.taken, d.left(t))
		}
		cancel()
	}
}

func TestTwoPeopleReplayALetterOnce(t *testing.T) {
	d := newDesk(t, 20)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for id := range int64(20) {
				if err := d.Replay(t.Context(), id+1, "ana"); err != nil && !errors.Is(err, fleet.ErrNotFound) {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			if _, err := d.ReplayMany(t.Context(), fleet.DeadLetterFilter{}, 0, "bo"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(d.taken) != 20 || d.left(t) != 0 {
		t.Errorf("%d taken, %d left", len(d.taken), d.left(t))
	}
}

func TestDiscardedLettersAreGone(t *testing.T) {
	d := newDesk(t, 5)
	if err := d.Discard(t.Context(), 2, "ana"); err != nil {
		t.Error(err)
	}
	if n, err := d.DiscardMany(t.Context(), fleet.DeadLetterFilter{Serial: "K-1"}, "ana"); err != nil || n != 2 || d.left(t) != 2 || len(d.taken) != 0 {
		t.Errorf("%d discarded, %v, %d left, %v taken", n, err, d.left(t), d.taken)
	}
}
