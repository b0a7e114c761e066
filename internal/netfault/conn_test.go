package netfault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns a connection on the way and its far end.
func pair(t *testing.T, w *Way) (near *Conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inner, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far = accepted.(*net.TCPConn)
	near = w.Conn(inner)
	t.Cleanup(func() { near.cut(); _ = far.Close() })
	limit := time.Now().Add(30 * time.Second)
	if err := errors.Join(near.SetDeadline(limit), far.SetDeadline(limit)); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// exchange sends bytes both ways at once, in pieces of all sizes, and checks that they arrive as they were.
func exchange(t *testing.T, near, far net.Conn, size int) {
	t.Helper()
	var wg sync.WaitGroup
	for i, way := range []struct{ from, to net.Conn }{{near, far}, {far, near}} {
		sent := noise(size + i)
		wg.Go(func() {
			for rest, k := sent, 1; len(rest) > 0; k = k*3%20011 + 1 {
				n := min(k, len(rest))
				if _, err := way.from.Write(rest[:n]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				rest = rest[n:]
			}
		})
		wg.Go(func() {
			got := make([]byte, len(sent))
			if n, err := io.ReadFull(way.to, got); err != nil {
				t.Errorf("read: %v after %d of %d bytes", err, n, len(sent))
			} else if !bytes.Equal(got, sent) {
				t.Error("the bytes have changed")
			}
		})
	}
	wg.Wait()
}

func TestBytesArriveUnchanged(t *testing.T) {
	for name, s := range map[string]Shape{
		"fair": {}, "delayed": {Delay: 30 * time.Millisecond}, "throttled": {BytesPerSecond: 2_000_000},
		"both": {Delay: 20 * time.Millisecond, BytesPerSecond: 3_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := NewWay()
			near, far := pair(t, w)
			w.Set(s, s)
			exchange(t, near, far, 300_000)
			w.Set(Shape{}, Shape{})
			exchange(t, near, far, 1000)
		})
	}
	t.Run("while conditions change", func(t *testing.T) {
		t.Parallel()
		w := NewWay()
		near, far := pair(t, w)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			r := rand.New(rand.NewPCG(7, 7))
			shape := func() Shape {
				return []Shape{{}, {Stalled: true}, {Delay: time.Millisecond}, {BytesPerSecond: 5_000_000}, {}}[r.IntN(5)]
			}
			for {
				select {
				case <-stop:
					w.Set(Shape{}, Shape{})
					return
				case <-time.After(time.Duration(r.IntN(2000)) * time.Microsecond): // weather
					w.Set(shape(), shape())
				}
			}
		}()
		exchange(t, near, far, 500_000)
		close(stop)
		<-stopped
		exchange(t, near, far, 1000)
	})
}

// bubble runs f with a pipe on a way, in fake time.
func bubble(t *testing.T, f func(t *testing.T, w *Way, near *Conn, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := NewWay()
		inner, far := net.Pipe()
		f(t, w, w.Conn(inner), far)
		w.Close()
		_ = far.Close()
	})
}

func TestADelayIsAPipeline(t *testing.T) {
	const delay, every, count = 700 * time.Millisecond, 10 * time.Millisecond, 100
	bubble(t, func(t *testing.T, w *Way, near *Conn, far net.Conn) {
		w.Set(Shape{Delay: delay}, Shape{Delay: 2 * delay})
		for _, way := range []struct {
			from, to net.Conn
			delay    time.Duration
		}{{near, far, delay}, {far, near, 2 * delay}} {
			begun := time.Now()
			go func() {
				for i := range count {
					if _, err := way.from.Write([]byte{byte(i)}); err != nil {
						t.Error(err)
					}
					time.Sleep(every)
				}
			}()
			var b [1]byte
			for i := range count {
				if _, err := way.to.Read(b[:]); err != nil {
					t.Fatal(err)
				}
				if want := time.Duration(i)*every + way.delay; b[0] != byte(i) || time.Since(begun) != want {
					t.Fatalf("byte %d came as %d after %s, want %s", i, b[0], time.Since(begun), want)
				}
			}
			time.Sleep(every)
		}
	})
}

func TestAThrottledLineHasItsRate(t *testing.T) {
	const rate, size = 1000, 10_000
	bubble(t, func(t *testing.T, w *Way, near *Conn, far net.Conn) {
		w.Set(Shape{BytesPerSecond: rate, Delay: time.Second}, Shape{BytesPerSecond: rate})
		for _, way := range []struct {
			from, to net.Conn
			want     time.Duration
		}{{near, far, 11 * time.Second}, {far, near, 10 * time.Second}} {
			begun := time.Now()
			go func() { _, _ = way.from.Write(noise(size)) }()
			got := make([]byte, size)
			if _, err := io.ReadFull(way.to, got[:size/2]); err != nil {
				t.Fatal(err)
			}
			if half := time.Since(begun); half != way.want-5*time.Second {
				t.Errorf("the first half took %s", half)
			}
			if _, err := io.ReadFull(way.to, got[size/2:]); err != nil || !bytes.Equal(got, noise(size)) {
				t.Errorf("error %v, or other bytes", err)
			}
			if took := time.Since(begun); took != way.want {
				t.Errorf("took %s, want %s", took, way.want)
			}
		}
	})
}

func TestAStalledLineLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *Way, near *Conn, far net.Conn) {
		received := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(far)
			received <- all
		}()
		go func() { _, _ = far.Write([]byte("hello")) }()
		w.Set(Shape{Stalled: true}, Shape{Stalled: true})
		if err := near.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if n, err := near.Read(make([]byte, 10)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("read %d bytes, error %v, after %s", n, err, time.Since(begun))
		}
		// Buffers are finite: a writer blocks, as its deadline says.
		if err := near.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		sent, err := near.Write(noise(10 * maxQueue))
		if sent != maxQueue || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("wrote %d bytes, error %v, after %s", sent, err, time.Since(begun))
		}
		time.Sleep(time.Hour)
		if err := errors.Join(near.SetDeadline(time.Time{}), near.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-received:
			t.Error("the end got through")
		default:
		}
		if w.Len() != 1 {
			t.Errorf("%d connections", w.Len())
		}
		w.Set(Shape{}, Shape{})
		synctest.Wait()
		if got := <-received; !bytes.Equal(got, noise(10 * maxQueue)[:maxQueue]) {
			t.Errorf("%d bytes came", len(got))
		}
		if w.Len() != 0 {
			t.Errorf("%d connections after the end", w.Len())
		}
	})
}

func TestAReadThatHasBegunIsStalledToo(t *testing.T) {
	bubble(t, func(t *testing.T, w *Way, near *Conn, far net.Conn) {
		type result struct {
			text string
			err  error
		}
		results := make(chan result)
		go func() {
			for {
				b := make([]byte, 10)
				n, err := near.Read(b)
				results <- result{string(b[:n]), err}
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		w.Set(Shape{}, Shape{Stalled: true})
		go func() { _, _ = far.Write([]byte("late")); _ = far.Close() }()
		time.Sleep(time.Hour)
		select {
		case r := <-results:
			t.Errorf("got %v", r)
		default:
		}
		w.Set(Shape{}, Shape{Delay: time.Second})
		if r := <-results; r.text != "late" || r.err != nil {
			t.Errorf("got %v", r)
		}
		if r := <-results; !errors.Is(r.err, io.EOF) {
			t.Errorf("got %v", r)
		}
	})
}

func TestTheEndComesAfterTheBytes(t *testing.T) {
	bubble(t, func(t *testing.T, w *Way, near *Conn, far net.Conn) {
		w.Set(Shape{Delay: time.Second}, Shape{})
		begun := time.Now()
		if _, err := near.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(far); string(got) != "bye" || err != nil || time.Since(begun) != 1500*time.Millisecond {
			t.Errorf("got %q, error %v, after %s", got, err, time.Since(begun))
		}
	})
}

func TestDialing(t *testing.T) {
	bubble(t, func(t *testing.T, w *Way, _ *Conn, _ net.Conn) {
		peers := make(chan net.Conn, 10)
		dial := func(context.Context) (net.Conn, error) {
			inner, far := net.Pipe()
			peers <- far
			return inner, nil
		}
		w.Refuse(true)
		if _, err := w.Dial(t.Context(), dial); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		w.Refuse(false)
		w.Set(Shape{Delay: time.Second}, Shape{Delay: 2 * time.Second})
		begun := time.Now()
		if _, err := w.Dial(t.Context(), dial); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("delayed: %v after %s", err, time.Since(begun))
		}
		w.Set(Shape{Stalled: true}, Shape{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.Dial(ctx, dial); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stalled: %v", err)
		}
		begun = time.Now()
		time.AfterFunc(time.Hour, func() { w.Set(Shape{}, Shape{}) })
		if _, err := w.Dial(t.Context(), dial); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("stalled for an hour: %v after %s", err, time.Since(begun))
		}
		w.Close()
		if _, err := w.Dial(t.Context(), dial); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		for len(peers) > 0 {
			_ = (<-peers).Close()
		}
	})
}

// TestFairConnectionsCostNoGoroutine: neither before they have been shaped nor after it.
func TestFairConnectionsCostNoGoroutine(t *testing.T) {
	const count = 500
	w := NewWay()
	type ends struct {
		near *Conn
		far  net.Conn
	}
	var all []ends
	before := runtime.NumGoroutine()
	for range count {
		near, far := pair(t, w)
		all = append(all, ends{near, far})
	}
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d goroutines for %d connections", n, count)
	}
	talk := func() {
		for _, c := range all {
			for _, way := range []struct{ from, to net.Conn }{{c.near, c.far}, {c.far, c.near}} {
				var b [3]byte
				if _, err := way.from.Write([]byte("abc")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(way.to, b[:]); err != nil || string(b[:]) != "abc" {
					t.Fatalf("%s, %v", b, err)
				}
			}
		}
	}
	bad := Shape{Delay: time.Microsecond, BytesPerSecond: 10_000_000}
	w.Set(bad, bad)
	talk()
	if n := runtime.NumGoroutine() - before; n < count/2 {
		t.Errorf("%d goroutines while conditions are bad: the test proves nothing", n)
	}
	w.Set(Shape{}, Shape{})
	calm := func() bool {
		for _, c := range all {
			c.near.mu.Lock()
			ok := c.near.in.chunks == nil && c.near.out.chunks == nil && c.near.in.plain() && c.near.out.plain()
			c.near.mu.Unlock()
			if !ok {
				return false
			}
		}
		return runtime.NumGoroutine() <= before
	}
	for deadline := time.Now().Add(20 * time.Second); !calm(); {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, or buffers", runtime.NumGoroutine()-before)
		}
		time.Sleep(time.Millisecond) // between polls
	}
	talk()
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d goroutines after all", n)
	}
}
