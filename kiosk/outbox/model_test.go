package outbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

// model is what a box should hold, in the plainest way.
type model struct {
	max            int
	fresh, backlog []Item
	dropped        map[uint64]bool // seqs that were dropped and not reported yet
	told           map[uint64]bool // what the report under way tells
}

func (m *model) readings() (n int) {
	for _, item := range m.fresh {
		if item.AckKey == "" {
			n++
		}
	}
	return n + len(m.backlog)
}

func (m *model) add(item Item) {
	if item.AckKey != "" {
		if slices.ContainsFunc(m.fresh, func(f Item) bool { return f.AckKey == item.AckKey }) {
			return
		}
	} else if m.readings() >= m.max {
		if len(m.backlog) > 0 {
			m.dropped[m.backlog[0].Seq] = true
			m.backlog = m.backlog[1:]
		} else {
			i := slices.IndexFunc(m.fresh, func(f Item) bool { return f.AckKey == "" })
			m.dropped[m.fresh[i].Seq] = true
			m.fresh = slices.Delete(m.fresh, i, i+1)
		}
	}
	m.fresh = append(m.fresh, item)
}

func (m *model) rewind() {
	var acks []Item
	for _, item := range m.fresh {
		if item.AckKey == "" {
			m.backlog = append(m.backlog, item)
		} else {
			acks = append(acks, item)
		}
	}
	m.fresh = acks
}

// next returns the payload that should come next; report says that word of dropped readings should.
func (m *model) next() (payload string, report, ok bool) {
	switch {
	case len(m.fresh) > 0:
		return string(m.fresh[0].Payload), false, true
	case len(m.dropped) > 0:
		return "", true, true
	case len(m.backlog) == 1:
		return string(m.backlog[0].Payload), false, true
	case len(m.backlog) > 1:
		payload = "["
		for _, item := range m.backlog[:min(len(m.backlog), MaxBatchReadings)] {
			payload += string(item.Payload) + ","
		}
		return payload[:len(payload)-1] + "]", false, true
	}
	return "", false, false
}

func (m *model) done(readings int, report bool) {
	switch {
	case report:
		for seq := range m.told {
			delete(m.dropped, seq)
		}
	case len(m.fresh) > 0:
		m.fresh = m.fresh[1:]
	default:
		m.backlog = m.backlog[readings:]
	}
}

// pair is a box and its model.
type pair struct {
	serial string
	box    *Box
	model  *model
	seq    int
	acks   int
}

// check compares what comes next, and confirms it if asked to.
func (p *pair) check(t *testing.T, confirm bool) {
	t.Helper()
	batch, ok := p.box.Next()
	payload, report, more := p.model.next()
	if ok != more {
		t.Fatalf("%s: Next has something: %v, want %v", p.serial, ok, more)
	}
	if !ok {
		return
	}
	if report {
		var r protocol.Reading
		if err := json.Unmarshal(batch.Payload, &r); err != nil {
			t.Fatalf("%s: %s: %v", p.serial, batch.Payload, err)
		}
		p.model.told = map[uint64]bool{}
		for _, g := range r.Dropped {
			for seq := g.From; seq <= g.To; seq++ {
				p.model.told[seq] = true
			}
		}
		// Ranges may merge and claim too much, never too little.
		for seq := range p.model.dropped {
			if !p.model.told[seq] {
				t.Fatalf("%s: %d was dropped and is not reported in %s", p.serial, seq, batch.Payload)
			}
		}
	} else if string(batch.Payload) != payload {
		t.Fatalf("%s: got  %s\nwant %s", p.serial, batch.Payload, payload)
	}
	if confirm {
		done(t, p.box, batch)
		p.model.done(batch.Readings, report)
	}
}

func TestABoxBehavesLikeItsModel(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func playModel(t *testing.T, random *rand.Rand) {
	dir := t.TempDir()
	segmentBytes := int64(500 + random.IntN(4000))
	disk := &fullDisk{room: 1 << 30}
	l, _ := onDisk(t, dir, disk, segmentBytes)
	heal := func() {
		disk.set(1 << 30)
		l.retryAt = time.Time{}
	}
	var pairs []*pair
	for i := range 3 {
		pairs = append(pairs, &pair{serial: fmt.Sprintf("K-%d", i), model: &model{max: 5 + random.IntN(60), dropped: map[uint64]bool{}}})
	}
	open := func() {
		for _, p := range pairs {
			p.box = boxOf(t, l, p.serial, Limits{MaxReadings: p.model.max})
			p.box.Stamp(reading(p.seq).Time)
		}
	}
	open()
	for range 1500 {
		p := pairs[random.IntN(len(pairs))]
		switch n := random.IntN(100); {
		case n < 45:
			p.seq++
			item := reading(p.seq)
			item.Payload = fmt.Appendf(nil, `{"seq":%d,"kiosk":%q}`, p.seq, p.serial)
			add(t, p.box, item)
			p.model.add(item)
		case n < 55:
			p.acks += random.IntN(2)
			item := ack(fmt.Sprintf("%s %d", p.serial, p.acks))
			add(t, p.box, item)
			p.model.add(item)
		case n < 80:
			p.check(t, true)
		case n < 88:
			p.check(t, false)
		case n < 93:
			p.box.Rewind()
			p.model.rewind()
		case n < 95:
			l.tidy()
		case n < 96:
			disk.set(random.IntN(300))
		case n < 97:
			heal()
		default:
			heal()
			// Ends are written within 100 ms; what happens without them is another test's.
			flushed(t, l)
			if random.IntN(2) == 0 {
				abandon(l)
			} else if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l, _ = onDisk(t, dir, disk, segmentBytes)
			open()
			for _, p := range pairs {
				p.model.rewind()
			}
		}
		checkAccounts(t, l)
	}
	for _, p := range pairs {
		for _, ok := p.box.Next(); ok; _, ok = p.box.Next() {
			p.check(t, true)
		}
		p.check(t, false)
	}
	heal()
	flushed(t, l)
	checkAccounts(t, l)
	for _, s := range l.segments {
		if s.live != 0 {
			t.Errorf("%d bytes are live in the end", s.live)
		}
	}
}

// flushed writes what is in memory only.
func flushed(t testing.TB, l *Log) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
}

// checkAccounts compares what the log has counted with what is there.
func checkAccounts(t *testing.T, l *Log) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	live := map[*segment]int64{}
	var memory, kept int64
	for _, b := range l.boxes {
		var bytes int64
		stored, unwritten := 0, 0
		for _, list := range [][]entry{b.backlog, b.fresh} {
			for i := range list {
				e := &list[i]
				if e.segment != nil {
					live[e.segment] += int64(e.size)
				} else {
					unwritten++
					memory += int64(e.length)
				}
				if e.segment != nil && e.held != nil {
					kept += int64(e.length)
				}
				if e.kind == kindReading {
					stored++
					bytes += int64(e.length)
				}
			}
		}
		if b.stored != stored || b.bytes != bytes || b.unwritten != unwritten {
			t.Fatalf("%s counts %d readings of %d bytes, %d unwritten; there are %d of %d, %d unwritten",
				b.serial, b.stored, b.bytes, b.unwritten, stored, bytes, unwritten)
		}
		if b.losses != nil && b.losses.segment != nil {
			live[b.losses.segment] += int64(b.losses.size)
		}
	}
	for _, s := range l.segments {
		if s.live != live[s] {
			t.Fatalf("segment %d counts %d live bytes, there are %d", s.number, s.live, live[s])
		}
	}
	if l.memory != memory || l.kept != kept {
		t.Fatalf("the log counts %d bytes in memory only and %d besides, there are %d and %d", l.memory, l.kept, memory, kept)
	}
}
