package netfault

import "time"

const (
	// maxQueue bounds what waits in one direction of one connection, in bytes; then the writer waits. It
	// is like the send buffer of a socket.
	maxQueue = 64 << 10
	// maxChunk bounds what is moved at once.
	maxChunk = 8 << 10
	// ticks is in how many pieces a throttled second comes.
	ticks = 50
	// never is a wait that only a change ends.
	never = time.Duration(1<<63 - 1)
)

// queue is one direction of a connection: what is under way in it.
type queue struct {
	shape  Shape
	chunks []chunk
	size   int       // bytes in chunks
	free   time.Time // a throttled line is busy until then
	bound  bool      // the connection is cut after left more bytes
	left   int
	ended  bool      // the end of the stream follows the chunks
	endAt  time.Time // when the end entered
	err    error     // what the end is
	pumped bool      // a goroutine moves bytes
}

// chunk is bytes that entered together.
type chunk struct {
	at   time.Time
	data []byte
}

// shaped reports whether something is done to the bytes.
func (q *queue) shaped() bool { return q.shape != Shape{} || q.bound }

// foul reports whether bytes that come now must enter the queue.
func (q *queue) foul() bool { return q.shaped() || q.size > 0 }

// plain reports whether bytes may pass without entering the queue.
func (q *queue) plain() bool { return !q.foul() && !q.ended && !q.pumped }

// set changes the shape. A throttled line begins anew: the time that it was stalled is not made up for.
func (q *queue) set(s Shape, now time.Time) {
	if q.shape != s {
		q.shape, q.free = s, now
	}
}

// push lets bytes enter. The queue keeps a copy.
func (q *queue) push(data []byte, now time.Time) {
	if len(data) == 0 {
		return
	}
	q.chunks = append(q.chunks, chunk{now, append([]byte(nil), data...)})
	q.size += len(data)
}

// end lets the end of the stream enter; only the first counts.
func (q *queue) end(err error, now time.Time) {
	if !q.ended {
		q.ended, q.endAt, q.err = true, now, err
	}
}

// pop takes the bytes that arrive now, at most len(p). With none it returns how long until some may
// arrive: never, if something else must happen first.
func (q *queue) pop(p []byte, now time.Time) (n int, wait time.Duration) {
	for len(q.chunks) > 0 && n < len(p) && !q.spent() {
		k, wait := q.arrived(len(p)-n, now)
		if k == 0 {
			return n, wait
		}
		head := &q.chunks[0]
		copy(p[n:], head.data[:k])
		n += k
		q.size -= k
		q.left -= k
		if head.data = head.data[k:]; len(head.data) > 0 {
			continue
		}
		q.chunks[0] = chunk{}
		if q.chunks = q.chunks[1:]; len(q.chunks) == 0 {
			q.chunks = nil
		}
	}
	return n, never
}

// spent reports whether the connection must be cut now.
func (q *queue) spent() bool { return q.bound && q.left <= 0 }

// arrived returns how many bytes of the head, at most limit, arrive now, and counts them as sent; with 0,
// how long until some will.
func (q *queue) arrived(limit int, now time.Time) (n int, wait time.Duration) {
	if q.shape.Stalled {
		return 0, never
	}
	head := q.chunks[0]
	n = min(limit, len(head.data))
	if q.bound {
		n = min(n, q.left)
	}
	begin := head.at.Add(q.shape.Delay)
	if wait := begin.Sub(now); wait > 0 {
		return 0, wait
	}
	rate := q.shape.BytesPerSecond
	if rate <= 0 {
		return n, 0
	}
	if q.free.After(begin) {
		begin = q.free
	}
	n = min(n, max(1, rate/ticks))
	done := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
	if wait := done.Sub(now); wait > 0 {
		return 0, wait
	}
	q.free = done
	return n, 0
}

// over reports whether the end of the stream arrives now; if not, how long until it may.
func (q *queue) over(now time.Time) (over bool, wait time.Duration) {
	if !q.ended || len(q.chunks) > 0 || q.shape.Stalled {
		return false, never
	}
	wait = q.endAt.Add(q.shape.Delay).Sub(now)
	return wait <= 0, max(wait, 0)
}

// drop forgets what is under way.
func (q *queue) drop() { q.chunks, q.size = nil, 0 }
