package outbox

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

func only(serial string) func(string) bool { return func(s string) bool { return s == serial } }

// left returns a log as an earlier process has left it: two readings and an ack of a kiosk, whose first
// reading was dropped, and a reading of another kiosk.
func left(t *testing.T) *Log {
	t.Helper()
	dir := t.TempDir()
	l := openLog(t, dir, 0)
	add(t, boxOf(t, l, testSerial, Limits{MaxReadings: 2}), reading(1), reading(2), ack("a succeeded"), reading(3))
	add(t, boxOf(t, l, "OTHER", Limits{}), reading(9))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return openLog(t, dir, 0)
}

func TestWhatWaitsIsHandedOver(t *testing.T) {
	from, to := left(t), openLog(t, t.TempDir(), 0)
	if err := to.keep(testSerial, reading(0)); err != nil {
		t.Fatal(err)
	}
	n, err := from.HandOver(to, only(testSerial))
	if err != nil || n != 3 {
		t.Fatalf("%d items, %v", n, err)
	}
	if newest := to.box(testSerial).newest; newest != reading(3).Time.UnixMilli() {
		t.Errorf("the newest is of %d", newest)
	}
	// Both logs as the next processes find them.
	for _, l := range []*Log{from, to} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	from, to = openLog(t, from.cfg.Dir, 0), openLog(t, to.cfg.Dir, 0)
	if got := from.Waiting(); len(got) != 1 || got["OTHER"] != 1 || from.Readings() != 1 {
		t.Errorf("%v are left behind", got)
	}
	if got := to.Waiting(); len(got) != 1 || got[testSerial] != 4 || to.Readings() != 3 {
		t.Errorf("%v have come", got)
	}
	b := boxOf(t, to, testSerial, Limits{})
	b.Rewind()
	b.Stamp(time.UnixMilli(1000))
	got := drain(t, b)
	if len(got) != 3 || got[0] != `"a succeeded"` || !strings.Contains(got[1], `"dropped":[{"session":"`+reading(1).Session+`","from":1,"to":1}]`) ||
		got[2] != `[{"seq":0},{"seq":2},{"seq":3}]` {
		t.Errorf("it holds %q", got)
	}
	again := boxOf(t, from, testSerial, Limits{})
	again.Stamp(time.UnixMilli(1000))
	if rest := drain(t, again); len(rest) != 0 {
		t.Errorf("it is still there: %q", rest)
	}
}

func TestWhatCannotBeHandedOverStays(t *testing.T) {
	from := left(t)
	to := openLog(t, t.TempDir(), 0)
	boxOf(t, to, testSerial, Limits{})
	if _, err := from.HandOver(to, only(testSerial)); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("a box with an owner: %v", err)
	}
	full := openLog(t, t.TempDir(), 0)
	full.outcome(syscall.ENOSPC)
	if _, err := from.HandOver(full, only(testSerial)); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("a full disk: %v", err)
	}
	if n := full.Waiting()[testSerial]; n > 1 {
		t.Errorf("%d items have gone into the memory of what refuses them", n)
	}
	if n := from.Waiting()[testSerial]; n != 3 {
		t.Errorf("%d items are left", n)
	}
}

func TestAFolderInUseIsTold(t *testing.T) {
	l := openLog(t, t.TempDir(), 0)
	if _, err := Open(Config{Dir: l.cfg.Dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("error = %v", err)
	}
}

func TestRangesGrowTogether(t *testing.T) {
	r := func(from, to uint64) protocol.SeqRange { return protocol.SeqRange{Session: "s", From: from, To: to} }
	list, _ := addRange([]protocol.SeqRange{r(5, 9)}, r(8, 12))
	list, _ = addRange(list, r(1, 4))
	list, _ = addRange(list, r(20, 30))
	if len(list) != 2 || list[0] != r(1, 12) || list[1] != r(20, 30) {
		t.Errorf("%+v", list)
	}
}
