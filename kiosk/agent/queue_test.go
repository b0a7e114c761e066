package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"kioskfleet/internal/protocol"
)

func reading(n int) Item { return Item{Payload: fmt.Appendf(nil, `{"seq":%d}`, n)} }

func ack(key string) Item { return Item{AckKey: key, Payload: []byte(`"` + key + `"`)} }

func add(t *testing.T, q *Queue, items ...Item) {
	t.Helper()
	for _, item := range items {
		if err := q.Add(item); err != nil {
			t.Fatal(err)
		}
	}
}

// drain publishes everything and returns the payloads in order.
func drain(t *testing.T, q *Queue) (out []string) {
	t.Helper()
	for {
		b, ok := q.Next()
		if !ok {
			return out
		}
		if again, ok := q.Next(); !ok || !bytes.Equal(again.Payload, b.Payload) {
			t.Fatal("Next removed something")
		}
		out = append(out, string(b.Payload))
		if err := q.Done(b); err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func TestQueueKeepsTheOrderOfAConnection(t *testing.T) {
	q := NewQueue(10, nil)
	add(t, q, reading(1), ack("a received"), reading(2), ack("a succeeded"))
	want(t, drain(t, q), `{"seq":1}`, `"a received"`, `{"seq":2}`, `"a succeeded"`)
}

func TestQueueSendsFreshReadingsBeforeTheBacklog(t *testing.T) {
	q := NewQueue(10, nil)
	add(t, q, reading(1), ack("a"), reading(2))
	q.Rewind()
	add(t, q, reading(3))
	want(t, drain(t, q), `"a"`, `{"seq":3}`, `[{"seq":1},{"seq":2}]`)
}

func TestQueueSendsASingleLeftReadingAsAnObject(t *testing.T) {
	q := NewQueue(10, nil)
	add(t, q, reading(1))
	q.Rewind()
	want(t, drain(t, q), `{"seq":1}`)
}

func TestQueueDropsTheOldestReadingAndNoAck(t *testing.T) {
	dropped := 0
	q := NewQueue(2, func(n int) { dropped += n })
	add(t, q, ack("a"), reading(1), reading(2), ack("b"), reading(3))
	q.Rewind()
	add(t, q, reading(4))
	if dropped != 2 {
		t.Errorf("dropped %d, want 2", dropped)
	}
	want(t, drain(t, q), `"a"`, `"b"`, `{"seq":4}`, `{"seq":3}`)
}

func TestQueueToleratesADropOfWhatIsInFlight(t *testing.T) {
	q := NewQueue(3, nil)
	add(t, q, reading(1), reading(2), reading(3))
	q.Rewind()
	b, _ := q.Next() // 1 to 3
	add(t, q, reading(4))
	if err := q.Done(b); err != nil {
		t.Fatal(err)
	}
	want(t, drain(t, q), `{"seq":4}`)

	q = NewQueue(1, nil)
	add(t, q, reading(1))
	b, _ = q.Next()
	add(t, q, reading(2)) // drops 1
	if err := q.Done(b); err != nil {
		t.Fatal(err)
	}
	want(t, drain(t, q), `{"seq":2}`)
	add(t, q, reading(3))
	want(t, drain(t, q), `{"seq":3}`)
}

func TestQueueKeepsAWaitingAckOnce(t *testing.T) {
	q := NewQueue(3, nil)
	add(t, q, ack("a"), ack("a"))
	want(t, drain(t, q), `"a"`)
	add(t, q, ack("a"))
	want(t, drain(t, q), `"a"`)
}

func TestQueueBoundsItsMessages(t *testing.T) {
	for name, size := range map[string]int{"by number": 100, "by bytes": 1500} {
		t.Run(name, func(t *testing.T) {
			q := NewQueue(10_000, nil)
			const n = 1234
			for i := range n {
				add(t, q, Item{Payload: fmt.Appendf(nil, `{"seq":%d,"x":%q}`, i, strings.Repeat("x", size))})
			}
			q.Rewind()
			next := 0
			for {
				b, ok := q.Next()
				if !ok {
					break
				}
				var readings []protocol.Reading
				if err := json.Unmarshal(b.Payload, &readings); err != nil {
					t.Fatal(err)
				}
				if len(readings) != b.Readings || len(readings) > maxBatchReadings || len(b.Payload) > maxBatchBytes {
					t.Errorf("%d readings (said to be %d) in %d bytes", len(readings), b.Readings, len(b.Payload))
				}
				if size == 100 && next == 0 && len(readings) != maxBatchReadings {
					t.Errorf("the first message holds %d readings, want %d", len(readings), maxBatchReadings)
				}
				for _, r := range readings {
					if int(r.Seq) != next {
						t.Fatalf("seq %d, want %d", r.Seq, next)
					}
					next++
				}
				if err := q.Done(b); err != nil {
					t.Fatal(err)
				}
			}
			if next != n {
				t.Errorf("got %d readings, want %d", next, n)
			}
		})
	}
}
