package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kioskfleet/internal/testkit/load"
)

// smallDisk is a file system of its own, in a mount namespace of its own, so that nothing else sees it
// and it goes with its holder, whatever happens to the test.
type smallDisk struct {
	dir   string   // where it is mounted, in its namespace
	root  string   // its namespace's file system, as we see it
	enter []string // the command by which a program enters the namespace

	filling sync.WaitGroup
	stop    chan struct{}
	failed  error // read after filling
}

// newSmallDisk mounts one of that size, in the notation of mount.
func newSmallDisk(t *testing.T, size string) *smallDisk {
	t.Helper()
	d := &smallDisk{dir: t.TempDir()}
	unshare, nsenter := []string{"unshare", "-m"}, []string{"nsenter", "-m"}
	if os.Geteuid() != 0 { // a user who may not mount may in a user namespace
		unshare, nsenter = append(unshare, "-r"), append(nsenter, "-U", "--preserve-credentials")
	}
	script := `mount -t tmpfs -o size="$1",mode=0700 tmpfs "$2" && echo ready && exec cat`
	line := slices.Concat(unshare, []string{"sh", "-c", script, "sh", size, d.dir})
	holder := exec.Command(line[0], line[1:]...)
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := holder.StdinPipe() // cat ends with it
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	holder.Stderr = &said
	if err := holder.Start(); err != nil {
		t.Fatalf("no file system of its own for the test: %v", err)
	}
	ready, _ := bufio.NewReader(out).ReadString('\n')
	t.Cleanup(func() {
		d.empty()
		_ = in.Close()
		_ = holder.Wait()
	})
	if ready != "ready\n" {
		_ = holder.Wait()
		t.Fatalf("no file system of its own for the test, which needs the right to mount in a namespace: %s", said.String())
	}
	pid := strconv.Itoa(holder.Process.Pid)
	d.root = filepath.Join("/proc", pid, "root")
	d.enter = slices.Concat(nsenter, []string{"-t", pid, "--"})
	return d
}

func (d *smallDisk) filler() string { return filepath.Join(d.root, d.dir, "filler") }

// fill takes all space, and what becomes free meanwhile, until empty is called.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	if err := fillUp(f); err != nil {
		t.Fatal(err)
	}
	d.stop = make(chan struct{})
	d.filling.Go(func() {
		defer f.Close()
		for {
			select {
			case <-d.stop:
				return
			case <-time.After(50 * time.Millisecond):
				if err := fillUp(f); err != nil {
					d.failed = err
					return
				}
			}
		}
	})
}

func fillUp(f *os.File) error {
	for size := 1 << 20; size >= 1; size /= 16 {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// empty gives the space back.
func (d *smallDisk) empty() error {
	if d.stop == nil {
		return nil
	}
	close(d.stop)
	d.filling.Wait()
	d.stop = nil
	return errors.Join(d.failed, os.Remove(d.filler()))
}

func TestNoAcknowledgedReadingIsLostWhenTheDiskIsFull(t *testing.T) {
	const kiosks = 50
	full := 5 * time.Second // how long
	disk := newSmallDisk(t, "400m")
	p := newPlatform(t, filepath.Join(disk.dir, "data"), map[string]string{"JOURNAL_MAX_SIZE": "256MiB", "JOURNAL_MIN_FREE": "16MiB"})
	p.wrap, p.root = disk.enter, disk.root
	p.boot(t)
	clients := p.publishers(t, kiosks, "D", func(i int, c *load.Config) {
		mix(i, c)
		c.Rate = 10
	})
	// One that wants no acknowledgement: it must not lose its connection for want of a journal.
	unsure := p.publishers(t, 1, "U", func(_ int, c *load.Config) { c.QoS, c.Rate = 0, 10 })
	stop := load.Start(t.Context(), append(unsure, clients...))
	defer stop()
	awaitAcked(t, clients, 500)

	outage := func(t *testing.T) {
		t.Helper()
		before := acked(clients)
		disk.fill(t)
		time.Sleep(full) // the fault is held
		t.Logf("%d readings were acknowledged in %s of a full disk", acked(clients)-before, full)
	}
	emptied := func(t *testing.T) {
		t.Helper()
		if err := disk.empty(); err != nil {
			t.Fatal(err)
		}
		awaitAcked(t, clients, 500)
	}

	all := t // what is started in a round outlives it
	// survived holds admin to living through a full disk; if it did not, the campaign goes on with the next.
	survived := func(t *testing.T) {
		t.Helper()
		if p.ended() {
			t.Errorf("admin ended on a full disk: %v", p.err)
			p.boot(all)
		}
	}
	t.Run("it goes on by itself", func(t *testing.T) {
		outage(t)
		emptied(t)
		survived(t)
		if st := unsure[0].Stats(); st.Lost.Load() > 0 {
			t.Errorf("the client at QoS 0 lost its connection: %s: %s", st, st.LastFailure())
		}
	})
	t.Run("killed and started while it is full", func(t *testing.T) {
		outage(t)
		p.kill()
		p.process = startIn(all, p.wrap, "admin", p.env)
		if p.runsOrEnds(t) {
			time.Sleep(full) // the fault is held
		}
		if err := disk.empty(); err != nil {
			t.Fatal(err)
		}
		if p.ended() {
			out := p.log()
			if !strings.Contains(out, "no space left on device") && !strings.Contains(out, "disk is full") || strings.Contains(out, "panic") {
				t.Errorf("admin may refuse to start on a full disk, but must say why:\n%.500s", out)
			}
			t.Log("admin did not start on the full disk")
			p.launch(all)
		}
		p.login(all)
		awaitAcked(t, clients, 500)
	})
	t.Run("once more", func(t *testing.T) {
		outage(t)
		emptied(t)
		survived(t)
	})
	stop()
	t.Logf("%s", clients[0].Stats())
	p.holdToAcknowledged(t, sentBy(append(unsure, clients...)))
}

// runsOrEnds waits until the process says that it runs, or has ended.
func (p *process) runsOrEnds(t *testing.T) (runs bool) {
	t.Helper()
	within(t, patience, 20*time.Millisecond, "admin to run or to end", func() error {
		if runs = strings.Contains(p.log(), "kiosk fleet admin is running"); !runs && !p.ended() {
			return errors.New("it does neither")
		}
		return nil
	})
	return runs
}
