package swarm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kioskfleet/kiosk/outbox"
	"kioskfleet/spawner/roster"
)

// holdRange is another spawner: it claims a range and says so, and is done starting when it reads a line.
func holdRange(args []string) int {
	first, _ := strconv.Atoi(args[1])
	n, _ := strconv.Atoi(args[2])
	c, err := claimRange(context.Background(), args[0], first, n)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("claimed")
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	_ = c.started()
	fmt.Println("started")
	_, _ = io.Copy(io.Discard, in)
	return 0
}

// other is another spawner that has claimed a range.
type other struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startOther(t *testing.T, dataDir string, first, n int) *other {
	t.Helper()
	o := &other{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], "--hold-range", dataDir, fmt.Sprint(first), fmt.Sprint(n))}
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReader(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.end)
	o.says("claimed")
	return o
}

func (o *other) says(want string) {
	o.t.Helper()
	if got, _ := o.out.ReadString('\n'); strings.TrimSpace(got) != want {
		o.t.Fatalf("the other process says %q, want %q", got, want)
	}
}

func (o *other) starts() {
	o.t.Helper()
	_, _ = io.WriteString(o.in, "\n")
	o.says("started")
}

func (o *other) end() {
	_ = o.in.Close()
	_ = o.cmd.Wait()
}

func TestRangesThatShareAKioskCannotBothRun(t *testing.T) {
	dir := t.TempDir()
	low := startOther(t, dir, 1, 10)
	low.starts()
	high := startOther(t, dir, 21, 10)
	high.starts()
	for _, tt := range []struct {
		first, n int
		by       *other // who has some of them; nil: nobody
		from, to int
	}{
		{1, 10, low, 1, 10}, {10, 1, low, 1, 10}, {10, 5, low, 1, 10}, {5, 20, low, 1, 10}, {15, 7, high, 21, 30}, {30, 100, high, 21, 30},
		{11, 10, nil, 0, 0}, {31, 1000, nil, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d from %d", tt.n, tt.first), func(t *testing.T) {
			c, err := claimRange(t.Context(), dir, tt.first, tt.n)
			if tt.by == nil {
				if err != nil {
					t.Fatal(err)
				}
				c.release()
				return
			}
			want := fmt.Sprintf("process %d runs kiosks %d to %d; choose others", tt.by.cmd.Process.Pid, tt.from, tt.to)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v, want %q", err, want)
			}
		})
	}
	low.end()
	c, err := claimRange(t.Context(), dir, 1, 20)
	if err != nil {
		t.Fatalf("after its process has ended: %v", err)
	}
	c.release()
}

func TestOneProcessStartsAtATime(t *testing.T) {
	dir := t.TempDir()
	o := startOther(t, dir, 1, 10)
	claimed := make(chan error, 1)
	go func() {
		c, err := claimRange(t.Context(), dir, 11, 10)
		if err == nil {
			c.release()
		}
		claimed <- err
	}()
	short, cancel := context.WithTimeout(t.Context(), 3*startPoll)
	defer cancel()
	select {
	case err := <-claimed:
		t.Fatalf("it did not wait: %v", err)
	case <-short.Done():
	}
	o.starts()
	select {
	case err := <-claimed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for ever")
	}
}

func TestASwarmDoesNotRunKiosksOfAnother(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	startOther(t, dir, 3, 10).starts()
	s, err := New(w.config(3, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run kiosks 1 to 3: process ") {
		t.Errorf("error = %v", err)
	}
	p := &Processes{ProcessConfig{Kiosks: roster.Plan(nil, "K-", 3), First: 1, DataDir: dir}}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run kiosks 1 to 3: process ") {
		t.Errorf("processes: error = %v", err)
	}
}

func TestPartName(t *testing.T) {
	if a, b := PartName("outbox", 1), PartName("outbox", 7501); a != "outbox" || b != "outbox-7501" {
		t.Errorf("%q, %q", a, b)
	}
}

// fill leaves readings of kiosks in the outbox of a range.
func fill(t *testing.T, dataDir, name string, serials ...string) {
	t.Helper()
	log, err := outbox.Open(outbox.Config{Dir: filepath.Join(dataDir, DataPart, name)})
	if err != nil {
		t.Fatal(err)
	}
	for _, serial := range serials {
		box, err := log.Box(serial, outbox.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Add(outbox.Item{Session: "s", Seq: 1, Time: time.UnixMilli(1), Payload: []byte(`{"serial":"` + serial + `"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWaitsInOtherRangesIsAdopted(t *testing.T) {
	dir := t.TempDir()
	// The ranges were 1 to 4 and 5 to 8, and are now 1 to 2 and 3 to 6.
	fill(t, dir, "outbox", "K-002", "K-003", "K-004")
	fill(t, dir, "outbox-5", "K-005", "K-007")
	fill(t, dir, "outbox-of-mine", "K-004")
	busy, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, DataPart, "outbox-9")})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	var log bytes.Buffer
	own, err := openOutbox(dir, 3, roster.Plan(nil, "K-", 6)[2:], slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if got := fmt.Sprint(own.Waiting()); got != "map[K-003:1 K-004:1 K-005:1]" {
		t.Errorf("adopted: %s", got)
	}
	for _, want := range []string{
		"outbox=" + filepath.Join(dir, "spawner", "outbox") + " items=2", "outbox-5 items=1",
		"outbox=outbox kiosks=1 items=1 first=K-002 last=K-002", "outbox=outbox-5 kiosks=1 items=1 first=K-007 last=K-007",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "outbox-9") || strings.Contains(log.String(), "of-mine") {
		t.Errorf("the log speaks of others:\n%s", log.String())
	}
}

func TestWhatWaitsForOthersIsTold(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "outbox", "K-002", "K-999", "K-1000", "K-098")
	var log bytes.Buffer
	own, err := openOutbox(dir, 1, roster.Plan(nil, "K-", 2), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if want := "kiosks=3 items=3 first=K-098 last=K-1000"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log.String())
	}
}
