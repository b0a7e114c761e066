package netfault

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func TestACutBreaksBothEnds(t *testing.T) {
	for name, s := range map[string]Shape{"fair": {}, "stalled": {Stalled: true}, "delayed": {Delay: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			w := NewWay()
			near, far := pair(t, w)
			w.Set(s, s)
			wrote, read := make(chan error), make(chan error)
			go func() {
				_, err := near.Write(make([]byte, 50_000_000)) // more than all buffers hold
				wrote <- err
			}()
			go func() {
				_, err := near.Read(make([]byte, 1))
				read <- err
			}()
			runtime.Gosched()
			if n := w.Cut(); n != 1 || w.Len() != 0 {
				t.Errorf("%d cut, %d left", n, w.Len())
			}
			for _, err := range []error{<-wrote, <-read} {
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("near: %v", err)
				}
			}
			if _, err := io.Copy(io.Discard, far); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("far: %v", err)
			}
			if err := near.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestACutInTheMiddleOfAMessage(t *testing.T) {
	w := NewWay()
	near, far := pair(t, w)
	w.CutAfter(7, 0)
	if _, err := near.Write([]byte("hello ")); err != nil {
		t.Fatal(err)
	}
	_, _ = near.Write([]byte("world"))
	got, err := io.ReadAll(far)
	if string(got) != "hello w" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("far got %q, error %v", got, err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("near: %v", err)
	}

	near, far = pair(t, w)
	w.CutAfter(0, 4)
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(near)
	if string(got) != "hell" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("near got %q, error %v", got, err)
	}
}

func TestHalfOpen(t *testing.T) {
	t.Run("the near side is gone", func(t *testing.T) {
		w := NewWay()
		near, far := pair(t, w)
		read := make(chan error)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		runtime.Gosched()
		w.HalfOpen(Near)
		if err := <-read; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("near reads: %v", err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("near writes: %v", err)
		}
		_ = near.Close()
		notices(t, far)
		w.Close()
		if err := far.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("far at last: %v", err)
		}
	})
	t.Run("the far side is gone", func(t *testing.T) {
		w := NewWay()
		near, far := pair(t, w)
		read := make(chan error)
		if err := near.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		runtime.Gosched()
		w.Set(Shape{Delay: time.Hour}, Shape{})
		if _, err := near.Write([]byte("under way")); err != nil {
			t.Fatal(err)
		}
		w.HalfOpen(Far)
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("far: %v", err)
		}
		if err := near.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read that had begun: %v", err)
		}
		w.Set(Shape{}, Shape{})
		notices(t, near)
		if w.Len() != 1 {
			t.Errorf("%d connections are on the way", w.Len())
		}
		if err := near.Close(); err != nil || w.Len() != 0 {
			t.Errorf("close: %v, %d left", err, w.Len())
		}
	})
}

// notices checks that a connection neither hears nor breaks, and that its writes block some time.
func notices(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if err := c.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var err error
	for written := 0; err == nil && written < 100_000_000; written += maxQueue {
		_, err = c.Write(make([]byte, maxQueue))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
}
