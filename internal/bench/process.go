package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of CPU times in /proc; it is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// stopPatience is how long a process may take to end before it is killed.
const stopPatience = 30 * time.Second

// process is a program under measurement.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex // guards tail
	tail []string   // its last lines
}

// startProcess starts a program and waits until it prints a line with that text, which it returns. The
// program outlives ctx: stop ends it in order.
func startProcess(ctx context.Context, name string, env []string, text string, program string, args ...string) (*process, string, error) {
	p := &process{name: name, cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", name, err)
	}
	found := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() { p.read(r, text, found) })
	go func() {
		_ = p.cmd.Wait()
		_ = w.Close()
		reading.Wait() // its last words are known when it has ended
		close(p.done)
	}()
	select {
	case line := <-found:
		return p, line, nil
	case <-p.done:
		return nil, "", fmt.Errorf("%s ended (%v):\n%s", name, p.cmd.ProcessState, p.log())
	case <-ctx.Done():
		p.stop()
		return nil, "", ctx.Err()
	}
}

func (p *process) read(r io.Reader, text string, found chan<- string) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.tail = append(p.tail, scanner.Text())
		p.tail = p.tail[max(0, len(p.tail)-20):]
		p.mu.Unlock()
		if strings.Contains(scanner.Text(), text) {
			select {
			case found <- scanner.Text():
			default:
			}
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// stop ends the process in order, or kills it when that takes too long.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the CPU time that the process has used, in user and system mode.
func (p *process) cpu() (time.Duration, error) { return cpuOf(strconv.Itoa(p.cmd.Process.Pid)) }

// cpuOf reads /proc/PID/stat; the fields are in proc(5), the name may hold anything.
func cpuOf(pid string) (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system = 14 - 3, 15 - 3 // numbered from the state, field 3
	if len(fields) <= system {
		return 0, errors.New("/proc/" + pid + "/stat is short")
	}
	var ticks int64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// Lines of /proc/PID/status.
const (
	rssNow  = "VmRSS:"
	rssPeak = "VmHWM:"
)

// peakRSS is the most memory that the process has held, in bytes.
func (p *process) peakRSS() (int64, error) { return p.memory(rssPeak) }

// memory is what the process holds by a line of /proc/PID/status, in bytes.
func (p *process) memory(line string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, line); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no " + line + " in /proc")
}
