package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"kioskfleet/internal/config"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// ProcessConfig describes a swarm of one kiosk process each. Kiosks, Binary and Registrar are required.
type ProcessConfig struct {
	Kiosks    []roster.Kiosk
	First     int    // number of the first kiosk; default 1
	Binary    string // of the program kiosk
	AdminURL  string
	Tokens    enroll.Tokens
	Registrar *Registrar
	DataDir   string // identities, states and outboxes go to <DataDir>/kiosk/<serial>
	// MaxReadings and MaxBytes bound the outboxes of all kiosks together; each gets an equal share.
	// Default 200,000 and 256 MiB.
	MaxReadings int
	MaxBytes    int64
	Interval    time.Duration // of kiosks whose settings name none; default 5 s
	RampUp      float64       // kiosks started per second; default DefaultRampUp
	LogLevel    string
	LogFormat   string
	// Output gets what the processes write, whole lines at a time.
	Output   io.Writer
	Counters *Counters
	Log      *slog.Logger
}

// Processes is kiosks in processes of their own. Create it with NewProcesses, drive it with Run.
type Processes struct{ cfg ProcessConfig }

// tokenWait is how long to wait for the enrolment token of a platform that is still starting.
const tokenWait = 30 * time.Second

// KioskBinary returns the kiosk program beside this one.
func KioskBinary() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the kiosk program: %w", err)
	}
	name := "kiosk"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// NewProcesses returns a swarm that has not started. It fails when there is no kiosk program.
func NewProcesses(cfg ProcessConfig) (*Processes, error) {
	if _, err := exec.LookPath(cfg.Binary); err != nil {
		return nil, fmt.Errorf("kiosk_binary: %w (build it: go build -o %s ./kiosk)", err, cfg.Binary)
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.RampUp <= 0 {
		cfg.RampUp = DefaultRampUp(len(cfg.Kiosks))
	}
	cfg.First = max(cfg.First, 1)
	if cfg.MaxReadings <= 0 {
		cfg.MaxReadings = DefaultMaxReadings
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Output == nil {
		cfg.Output = io.Discard
	}
	if cfg.Counters == nil {
		cfg.Counters = &Counters{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Processes{cfg}, nil
}

// Run starts the processes at the ramp-up rate, and stops them when ctx ends: by SIGTERM, so that
// each says goodbye, and by force when that takes too long. A process that ends by itself is logged
// and not started again.
//
// Errors: every process has ended by itself, the error is that of the first; another spawner runs some of
// the kiosks.
func (p *Processes) Run(ctx context.Context) error {
	claim, err := claimRange(ctx, p.cfg.DataDir, p.cfg.First, len(p.cfg.Kiosks))
	if err != nil {
		return err
	}
	defer claim.release()
	if err := claim.started(); err != nil {
		return err
	}
	return launch(ctx, p.cfg.Kiosks, p.cfg.RampUp, p.cfg.Counters, p.cfg.Log, p.kiosk)
}

// kiosk registers one kiosk and runs its process.
func (p *Processes) kiosk(ctx context.Context, k roster.Kiosk) error {
	dir := filepath.Join(p.cfg.DataDir, "kiosk", k.Serial)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := p.register(ctx, k); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, p.cfg.Binary, p.arguments(k)...)
	cmd.Env = p.environment()
	// A signal of the terminal goes to the whole process group; a child that gets it and then ours
	// would take the second one as an order to end at once.
	cmd.SysProcAttr = processAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime - 300*time.Millisecond
	out := &lines{to: p.cfg.Output}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the process of %s: %w", k.Serial, err)
	}
	p.cfg.Counters.Running.Add(1)
	defer p.cfg.Counters.Running.Add(-1)
	err := cmd.Wait()
	out.flush()
	if err != nil {
		return fmt.Errorf("process of %s: %w", k.Serial, err)
	}
	return nil
}

// register registers a kiosk that has not enrolled yet, trying for a while.
func (p *Processes) register(ctx context.Context, k roster.Kiosk) error {
	limit, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	for {
		token, err := p.cfg.Tokens.Find()
		if err == nil {
			err = p.cfg.Registrar.Register(limit, k, token.CA)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.Done():
			return fmt.Errorf("register %s: %w", k.Serial, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (p *Processes) arguments(k roster.Kiosk) []string {
	interval := time.Duration(k.Interval)
	if interval == 0 {
		interval = p.cfg.Interval
	}
	readings, bytes := share(p.cfg.MaxReadings, p.cfg.MaxBytes, len(p.cfg.Kiosks))
	args := []string{
		"--serial=" + k.Serial, "--admin-url=" + p.cfg.AdminURL, "--data-dir=" + p.cfg.DataDir,
		"--interval=" + interval.String(),
		"--outbox-max-readings=" + strconv.Itoa(readings), "--outbox-max-size=" + config.Bytes(bytes).String(),
		"--simulation-site=" + k.Site, "--simulation-timezone=" + k.Timezone,
		"--log-level=" + p.cfg.LogLevel, "--log-format=" + p.cfg.LogFormat,
	}
	if k.Model != "" {
		args = append(args, "--model="+k.Model)
	}
	if p.cfg.Tokens.File != "" {
		args = append(args, "--token-file="+p.cfg.Tokens.File)
	}
	if at := k.RealLocation; at != nil {
		args = append(args,
			"--simulation-lat="+strconv.FormatFloat(at.Lat, 'f', -1, 64),
			"--simulation-lng="+strconv.FormatFloat(at.Lng, 'f', -1, 64))
	}
	return args
}

// environment is this process's, without the settings of the spawner. The token travels here, where
// a list of processes does not show it.
func (p *Processes) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, config.EnvPrefix) {
			env = append(env, kv)
		}
	}
	if p.cfg.Tokens.Text != "" {
		env = append(env, config.EnvPrefix+"ENROLLMENT_TOKEN="+p.cfg.Tokens.Text)
	}
	return env
}

// lines passes whole lines on, so that the output of processes does not mix within one.
type lines struct {
	to io.Writer

	mu   sync.Mutex // guards rest
	rest []byte
}

// maxLine bounds a line that does not end.
const maxLine = 64 << 10

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) > maxLine {
		end = len(l.rest)
	}
	if end > 0 {
		// A reader of our output that has gone must not stop the kiosks.
		_, _ = l.to.Write(l.rest[:end])
		l.rest = append(l.rest[:0], l.rest[end:]...)
	}
	return len(b), nil
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		_, _ = l.to.Write(append(l.rest, '\n'))
		l.rest = nil
	}
}
