package outbox

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

func rangeOf(session string, from, to uint64) protocol.SeqRange {
	return protocol.SeqRange{Session: session, From: from, To: to}
}

// reportOf takes the report that comes next.
func reportOf(t *testing.T, b *Box) (Batch, protocol.Reading) {
	t.Helper()
	batch, ok := b.Next()
	if !ok || batch.Readings != 0 || batch.Channel != protocol.ChannelTelemetry {
		t.Fatalf("no report but %v, %+v", ok, batch)
	}
	var r protocol.Reading
	if err := json.Unmarshal(batch.Payload, &r); err != nil {
		t.Fatal(err)
	}
	return batch, r
}

func TestDroppedReadingsAreReported(t *testing.T) {
	b := newBox(t, Limits{MaxReadings: 2})
	for i := range 5 {
		item := reading(i + 1)
		item.Time = b.Stamp(item.Time)
		add(t, b, item)
	}
	b.Rewind()
	_, first := reportOf(t, b)
	if want := []protocol.SeqRange{rangeOf("s", 1, 3)}; !reflect.DeepEqual(first.Dropped, want) {
		t.Errorf("dropped %v, want %v", first.Dropped, want)
	}
	if newest := reading(5).Time; first.Serial != testSerial || !first.Timestamp.After(newest) || first.Timestamp.Sub(newest) > time.Second {
		t.Errorf("serial %s, timestamp %s after %s", first.Serial, first.Timestamp, newest)
	}
	batch, second := reportOf(t, b)
	if !second.Timestamp.After(first.Timestamp) {
		t.Errorf("two reports at %s", second.Timestamp)
	}
	var fields map[string]any
	if err := json.Unmarshal(batch.Payload, &fields); err != nil || len(fields) != 3 {
		t.Errorf("the report has %v", fields)
	}

	// What is dropped while a report is under way stays for the next one.
	item := reading(6)
	item.Time = b.Stamp(item.Time)
	add(t, b, item) // drops 4
	fresh, _ := b.Next()
	done(t, b, fresh)
	done(t, b, batch)
	batch, third := reportOf(t, b)
	if want := []protocol.SeqRange{rangeOf("s", 4, 4)}; !reflect.DeepEqual(third.Dropped, want) {
		t.Errorf("dropped %v, want %v", third.Dropped, want)
	}
	done(t, b, batch)
	want(t, drain(t, b), `{"seq":5}`)
	want(t, drain(t, reopen(t, b)))
}

func TestDroppedRangesSurvive(t *testing.T) {
	b := newBox(t, Limits{MaxReadings: 1})
	for i := range 3 {
		add(t, b, reading(i+1))
	}
	b = reopen(t, b)
	if batch, _ := b.Next(); batch.Readings != 1 {
		t.Errorf("a report without a time of this process: %s", batch.Payload)
	}
	b.Stamp(reading(9).Time)
	batch, r := reportOf(t, b)
	if want := []protocol.SeqRange{rangeOf("s", 1, 2)}; !reflect.DeepEqual(r.Dropped, want) {
		t.Errorf("dropped %v, want %v", r.Dropped, want)
	}
	done(t, b, batch)
	b = reopen(t, b)
	b.Stamp(reading(9).Time)
	want(t, drain(t, b), `{"seq":3}`)
}

func TestDroppedRangesSurviveTheirSegment(t *testing.T) {
	l := openLog(t, t.TempDir(), 1000)
	b := boxOf(t, l, testSerial, Limits{MaxReadings: 1})
	add(t, b, reading(1), reading(2), reading(3))
	other := boxOf(t, l, "K-2", Limits{})
	for i := range 300 {
		add(t, other, reading(i+1))
		batch, _ := other.Next()
		done(t, other, batch)
		l.tidy()
	}
	if l.segments[0].number < 3 {
		t.Fatalf("the oldest segment is still %d", l.segments[0].number)
	}
	b = reopen(t, b)
	b.Stamp(reading(9).Time)
	if _, r := reportOf(t, b); !reflect.DeepEqual(r.Dropped, []protocol.SeqRange{rangeOf("s", 1, 2)}) {
		t.Errorf("dropped %v", r.Dropped)
	}
}

func TestAddDropped(t *testing.T) {
	text := func(list []protocol.SeqRange) string {
		var words []string
		for _, g := range list {
			words = append(words, fmt.Sprintf("%s%d-%d", g.Session, g.From, g.To))
		}
		return strings.Join(words, " ")
	}
	for name, tt := range map[string]struct {
		list    []protocol.SeqRange
		session string
		seq     uint64
		want    string
	}{
		"first":           {nil, "a", 7, "a7-7"},
		"next":            {[]protocol.SeqRange{rangeOf("a", 1, 3)}, "a", 4, "a1-4"},
		"before":          {[]protocol.SeqRange{rangeOf("a", 2, 3)}, "a", 1, "a1-3"},
		"inside":          {[]protocol.SeqRange{rangeOf("a", 2, 9)}, "a", 5, "a2-9"},
		"gap":             {[]protocol.SeqRange{rangeOf("a", 1, 3)}, "a", 5, "a1-3 a5-5"},
		"another session": {[]protocol.SeqRange{rangeOf("a", 1, 3)}, "b", 4, "a1-3 b4-4"},
		"not the last":    {[]protocol.SeqRange{rangeOf("a", 1, 3), rangeOf("b", 1, 1)}, "a", 4, "a1-4 b1-1"},
	} {
		t.Run(name, func(t *testing.T) {
			before := text(tt.list)
			got, forgotten := addDropped(tt.list, tt.session, tt.seq)
			if text(got) != tt.want || forgotten != 0 {
				t.Errorf("got %s, forgotten %d, want %s", text(got), forgotten, tt.want)
			}
			if text(tt.list) != before {
				t.Errorf("the list given was changed to %s", text(tt.list))
			}
		})
	}
}

func TestTooManyDroppedRanges(t *testing.T) {
	t.Run("of one session merge where the gap is smallest", func(t *testing.T) {
		var list []protocol.SeqRange
		for i := range maxRanges {
			list, _ = addDropped(list, "a", uint64(100*i+1))
		}
		list, forgotten := addDropped(list, "a", 100*20+3)
		if len(list) != maxRanges || forgotten != 0 || list[20] != rangeOf("a", 2001, 2003) {
			t.Errorf("%d ranges, forgotten %d, the 20th is %v", len(list), forgotten, list[20])
		}
	})
	t.Run("of as many sessions: the oldest is forgotten", func(t *testing.T) {
		var list []protocol.SeqRange
		for i := range maxRanges {
			list, _ = addDropped(list, fmt.Sprint(i), 1)
		}
		list, forgotten := addDropped(list, "new", 1)
		if len(list) != maxRanges || forgotten != 1 || list[0].Session != "1" || list[maxRanges-1].Session != "new" {
			t.Errorf("%d ranges, forgotten %d, from %v to %v", len(list), forgotten, list[0], list[maxRanges-1])
		}
	})
}

func TestSubtractRanges(t *testing.T) {
	list := []protocol.SeqRange{rangeOf("a", 1, 9), rangeOf("b", 4, 6), rangeOf("c", 1, 2)}
	told := []protocol.SeqRange{rangeOf("a", 3, 5), rangeOf("b", 1, 5), rangeOf("c", 1, 2), rangeOf("d", 1, 9)}
	got := subtractRanges(list, told)
	if want := []protocol.SeqRange{rangeOf("a", 1, 2), rangeOf("a", 6, 9), rangeOf("b", 6, 6)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
