package outbox

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Waiting returns how many readings and acks wait, by serial; kiosks of which nothing waits are not in it.
func (l *Log) Waiting() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := map[string]int{}
	for serial, b := range l.boxes {
		if n := len(b.fresh) + len(b.backlog); n > 0 {
			waiting[serial] = n
		}
	}
	return waiting
}

// Readings returns how many readings wait, of all kiosks together.
func (l *Log) Readings() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.boxes {
		n += b.stored
	}
	return n
}

// HandOver moves what earlier processes have left of some kiosks to another log, which is to run them
// from now on, and returns how many readings and acks that were. What is there already stays in front.
// Neither log's box of such a kiosk may have an owner yet, and nobody else uses this log meanwhile. If
// it fails or the process ends halfway, some items are in both logs, and are sent twice, which does no
// harm.
//
// Errors: the other log cannot keep it; then all of it stays here too.
func (l *Log) HandOver(to *Log, serials func(serial string) bool) (items int, err error) {
	var moved []*Box
	for serial, b := range l.boxes {
		if !serials(serial) {
			continue
		}
		n, err := b.copyTo(to)
		if err != nil {
			return 0, fmt.Errorf("hand over what waits in the outbox %s: %w", l.cfg.Dir, err)
		}
		items += n
		moved = append(moved, b)
	}
	if err := to.settle(); err != nil {
		return 0, fmt.Errorf("hand over what waits in the outbox %s: %w", l.cfg.Dir, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range moved {
		b.end(b.fresh)
		b.end(b.backlog)
		b.fresh, b.backlog = nil, nil
		if b.losses != nil {
			b.losses.ranges, b.losses.unwritten = nil, true
			l.wait(b)
		}
	}
	return items, l.flush()
}

// copyTo adds what a box that has no owner holds to the box of the same kiosk in another log.
func (b *Box) copyTo(to *Log) (items int, err error) {
	var buf []byte
	for _, list := range [][]entry{b.fresh, b.backlog} {
		for i := range list {
			e := &list[i]
			r, err := b.read(e, &buf)
			if err != nil {
				b.log.log.Error("an item of the outbox is damaged and lost", "serial", b.serial, "error", err)
				continue
			}
			item := Item{Payload: slices.Clone(r.payload)}
			if e.kind == kindAck {
				item.AckKey = e.name
			} else {
				item.Session, item.Seq, item.Time = e.name, e.seq, time.UnixMilli(r.millis)
			}
			if err := to.keep(b.serial, item); err != nil {
				return 0, err
			}
			items++
		}
	}
	if b.losses != nil {
		to.mu.Lock()
		defer to.mu.Unlock()
		other := to.box(b.serial)
		if other.losses == nil {
			other.losses = &losses{}
		}
		for _, g := range b.losses.ranges {
			other.losses.ranges, _ = addRange(other.losses.ranges, g)
		}
		other.losses.unwritten = true
		to.wait(other)
	}
	return items, nil
}

// keep adds an item to the box of a kiosk that has no owner yet.
func (l *Log) keep(serial string, item Item) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.box(serial)
	if b.taken {
		return fmt.Errorf("the outbox of %s is open already", serial)
	}
	b.newest = max(b.newest, item.Time.UnixMilli())
	if _, err := b.add(item); err != nil { // it has no bound yet
		return err
	}
	return l.refused()
}

// settle brings everything to disk.
func (l *Log) settle() error {
	l.mu.Lock()
	err := errors.Join(l.flush(), l.refused())
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.sync()
}

// refused returns an error while the disk refuses what is to be written. The lock is held.
func (l *Log) refused() error {
	if l.failing {
		return fmt.Errorf("the disk refuses %s", l.cfg.Dir)
	}
	return nil
}
