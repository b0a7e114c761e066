// Package influxd runs a real InfluxDB 1.8 for tests, on free ports of the loopback address and in a
// folder of its own.
//
// The server's program is built once from its source with the go command and kept in the user's cache
// folder; KIOSKFLEET_TEST_INFLUXD names another one to use. A test that needs the server and cannot
// have it fails: skipping would hide that nothing was tested.
package influxd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second // from the start of the process to its first answer
	stopTimeout  = 15 * time.Second // from SIGTERM to the kill
)

// Option changes how a server is started.
type Option func(*Server)

// WithAuth makes the server ask for a user and creates that one, with all rights.
func WithAuth(user, password string) Option {
	return func(s *Server) { s.user, s.password = user, password }
}

// Server is a running InfluxDB. Its methods are for the goroutine of the test.
type Server struct {
	URL string // such as http://127.0.0.1:41234; Restart keeps it

	tb             testing.TB
	dir            string
	user, password string // empty without authentication

	process *process // nil while stopped
}

// Start runs a server until the end of the test and waits for its first answer.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: tb.TempDir()}
	for _, o := range options {
		o(s)
	}
	program, err := Program(tb.Context())
	if err != nil {
		tb.Fatalf("influxd: %v", err)
	}
	s.start(program, "127.0.0.1:0")
	tb.Cleanup(s.Stop)
	if s.user != "" {
		s.createUser()
	}
	return s
}

// Stop ends the server as an operator would; the data stays. Nothing happens when it is stopped.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.stop(); err != nil {
		s.tb.Errorf("stop influxd: %v; its log:\n%s", err, s.process.log.tail())
	}
	s.process = nil
}

// Kill ends the server without a chance to clean up; the data stays.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.process == nil {
		return
	}
	_ = s.process.cmd.Process.Kill()
	<-s.process.ended
	s.process = nil
}

// Restart stops the server if it runs and starts it again with the same data at the same address.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	program, err := Program(s.tb.Context())
	if err != nil {
		s.tb.Fatalf("influxd: %v", err)
	}
	s.start(program, strings.TrimPrefix(s.URL, "http://"))
}

// start runs the program with its HTTP service at addr. Port 0 lets the system choose a free port, so
// nobody else can take it in between; when a port we had before is busy, it tries until the deadline.
func (s *Server) start(program, addr string) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), startTimeout)
	defer cancel()
	for {
		p, err := run(ctx, program, s.dir, s.config(addr))
		if errors.Is(err, errBusy) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			s.tb.Fatalf("start influxd: %v", err)
		}
		s.process, s.URL = p, "http://"+p.addr
		break
	}
	if err := s.ping(ctx); err != nil {
		s.tb.Fatalf("influxd does not answer: %v; its log:\n%s", err, s.process.log.tail())
	}
}

func (s *Server) ping(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/ping", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusNoContent {
				return nil
			}
			err = fmt.Errorf("/ping answers %s", resp.Status)
		}
		if ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) createUser() {
	s.tb.Helper()
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace
	statement := fmt.Sprintf(`CREATE USER "%s" WITH PASSWORD '%s' WITH ALL PRIVILEGES`, quote(s.user), quote(s.password))
	resp, err := http.PostForm(s.URL+"/query", url.Values{"q": {statement}})
	if err != nil {
		s.tb.Fatalf("create influxd user: %v", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || bytes.Contains(body, []byte("error")) {
		s.tb.Fatalf("create influxd user: %s: %s", resp.Status, body)
	}
}

// config is the server's configuration: everything it needs inside dir and nothing that reaches out.
func (s *Server) config(addr string) string {
	dir := filepath.ToSlash(s.dir)
	return fmt.Sprintf(`
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "%[1]s/meta"
[data]
  dir = "%[1]s/data"
  wal-dir = "%[1]s/wal"
  query-log-enabled = false
[retention]
  check-interval = "500ms"
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[http]
  enabled = true
  bind-address = "%[2]s"
  auth-enabled = %[3]t
  log-enabled = false
  flux-enabled = false
[logging]
  format = "logfmt"
  level = "info"
  suppress-logo = true
`, dir, addr, s.user != "")
}

// errBusy says that somebody else has the port.
var errBusy = errors.New("address already in use")

// process is one run of the program.
type process struct {
	cmd   *exec.Cmd
	addr  string // of its HTTP service
	log   *logTail
	ended chan struct{} // closed once err is set
	err   error
}

// run starts the program and waits until it says where it listens.
func run(ctx context.Context, program, dir, config string) (*process, error) {
	file := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p := &process{log: &logTail{listening: make(chan string, 1)}, ended: make(chan struct{})}
	p.cmd = exec.Command(program, "run", "-config", file)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "HOME="+dir)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	dieWithUs(p.cmd)

	started := make(chan error, 1)
	go func() {
		// Linux ties the death of the child to the thread that started it, not to the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case p.addr = <-p.log.listening:
		return p, nil
	case <-p.ended:
		if strings.Contains(p.log.tail(), errBusy.Error()) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("%s ended: %w; its log:\n%s", program, p.err, p.log.tail())
	case <-ctx.Done():
		err := errors.Join(ctx.Err(), p.stop())
		return nil, fmt.Errorf("%w; its log:\n%s", err, p.log.tail())
	}
}

// stop terminates the process, and kills it if it does not end.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.cmd.Process.Kill()
	}
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("it did not end within %v of SIGTERM", stopTimeout)
	}
	return nil
}

// logTail keeps the end of the server's log and finds the address in it.
type logTail struct {
	listening chan string

	mu    sync.Mutex // guards the fields below
	text  []byte
	found bool
}

const maxLog = 64 << 10

var listeningLine = regexp.MustCompile(`msg="Listening on HTTP".* addr=(\S+).*\n`)

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if !l.found {
		if m := listeningLine.FindSubmatch(l.text); m != nil {
			l.found = true
			l.listening <- string(m[1])
		}
	}
	if len(l.text) > maxLog {
		l.text = append([]byte(nil), l.text[len(l.text)-maxLog/2:]...)
	}
	return len(b), nil
}

func (l *logTail) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
