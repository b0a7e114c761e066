// Package e2e runs the real programs against each other, as their users do: processes on free ports,
// real certificates, real stores, a real browser.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen; the programs are built with the race
// detector and share two cores.
const patience = 60 * time.Second

// bin is the folder of the programs under test.
var bin string

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "kioskfleet-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	bin = dir
	cmd := exec.Command("go", "build", "-race", "-o", dir+"/", "./admin", "./broker", "./kiosk", "./spawner")
	cmd.Dir = root()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return 1, fmt.Errorf("build the programs: %w", err)
	}
	return m.Run(), nil
}

func root() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}

// process is a running program with what it has logged.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done

	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

// start runs a program with the settings as environment, apart from this process's own KIOSKFLEET_ ones.
func start(t *testing.T, name string, env map[string]string, args ...string) *process {
	t.Helper()
	return startIn(t, nil, name, env, args...)
}

// startIn is start by way of a command that ends in the program, such as nsenter.
func startIn(t *testing.T, wrap []string, name string, env map[string]string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, done: make(chan struct{}), changed: make(chan struct{}, 1)}
	line := append(append(slices.Clone(wrap), filepath.Join(bin, name)), args...)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env = environment(env)
	p.cmd.Dir = root()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(r) })
	go func() {
		p.err = p.cmd.Wait()
		_ = w.Close()
		reading.Wait() // its last words are in the log when it has ended
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s logged:\n%s", name, p.log())
		}
	})
	return p
}

func environment(env map[string]string) []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "KIOSKFLEET_") {
			out = append(out, kv)
		}
	}
	for k, v := range env {
		out = append(out, "KIOSKFLEET_"+k+"="+v)
	}
	return out
}

func (p *process) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.mu.Unlock()
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// awaitLine waits for a line that contains the text.
func (p *process) awaitLine(text string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		for _, line := range strings.Split(p.log(), "\n") {
			if strings.Contains(line, text) {
				return line
			}
		}
		select {
		case <-p.changed:
		case <-p.done:
			if !strings.Contains(p.log(), text) {
				p.t.Fatalf("%s ended (%v) without %q:\n%s", p.name, p.err, text, p.log())
			}
		case <-deadline:
			p.t.Fatalf("%s did not log %q within %s", p.name, text, patience)
		}
	}
}

// interrupt sends SIGINT and returns how long the program took to end.
func (p *process) interrupt() time.Duration {
	p.t.Helper()
	begin := time.Now()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end on SIGINT", p.name)
	}
	return time.Since(begin)
}

// ended reports whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the program without a chance to clean up.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) stop() {
	if p.ended() {
		return
	}
	p.interrupt()
	if strings.Contains(p.log(), "DATA RACE") {
		p.t.Errorf("%s has a data race:\n%s", p.name, p.log())
	}
}

// fails runs a program that must end by itself with an error, and returns what it said.
func fails(t *testing.T, name string, env map[string]string, args ...string) string {
	t.Helper()
	out, err := run(t, name, env, args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v, want a failure; it said:\n%s", name, args, err, out)
	}
	return out
}

func run(t *testing.T, name string, env map[string]string, args ...string) (string, error) {
	t.Helper()
	return runWithin(t, patience, name, env, args...)
}

// runWithin runs a program that must end by itself within the limit, and returns what it said.
func runWithin(t *testing.T, limit time.Duration, name string, env map[string]string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = environment(env)
	cmd.Dir = root()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// platform is a running admin with a logged-in client.
type platform struct {
	*process
	url      string
	brokers  []string
	data     string
	env      map[string]string
	http     *http.Client
	contract *contract

	wrap []string // what admin is started by, see startIn
	root string   // where its file system is, from here
}

// startAdmin starts admin in development mode with an empty folder on free ports; more adds settings.
func startAdmin(t *testing.T, more map[string]string) *platform {
	t.Helper()
	p := newPlatform(t, t.TempDir(), more)
	p.boot(t)
	return p
}

// newPlatform is startAdmin without the start.
func newPlatform(t *testing.T, data string, more map[string]string) *platform {
	t.Helper()
	p := &platform{data: data, contract: loadContract(t)}
	p.env = map[string]string{
		"DATA_DIR": p.data, "DEV": "true", "LOG_FORMAT": "json",
		"HTTP_ADDR": "127.0.0.1:0", "BROKER_KIOSKS_ADDR": "127.0.0.1:0", "BROKER_INTEGRATORS_ADDR": "127.0.0.1:0",
	}
	for k, v := range more {
		p.env[k] = v
	}
	return p
}

// boot starts the process, waits until it is ready, keeps its ports for the next start, and logs in.
func (p *platform) boot(t *testing.T) {
	t.Helper()
	p.launch(t)
	p.login(t)
}

// launch starts the process, waits until it says that it runs, and keeps its ports for the next start.
func (p *platform) launch(t *testing.T) {
	t.Helper()
	p.process = startIn(t, p.wrap, "admin", p.env)
	p.announced(t)
}

// announced waits until the process says that it runs.
func (p *platform) announced(t *testing.T) {
	t.Helper()
	var line struct {
		Page    string
		Brokers []string
	}
	if err := json.Unmarshal([]byte(p.awaitLine("kiosk fleet admin is running")), &line); err != nil {
		t.Fatal(err)
	}
	p.url, p.brokers = line.Page, line.Brokers
	_, p.env["HTTP_ADDR"], _ = strings.Cut(p.url, "://")
	if p.env["BROKER_MODE"] != "external" {
		_, port, _ := strings.Cut(strings.TrimPrefix(p.brokers[0], "mqtts://"), ":")
		p.env["BROKER_KIOSKS_ADDR"] = "127.0.0.1:" + port
	}
}

// login waits until the process is ready, and logs in.
func (p *platform) login(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.http = &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(p.http.CloseIdleConnections)
	eventually(t, "readyz", func() error {
		res, err := p.http.Get(p.url + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	})
	p.call(t, "POST", "/session", map[string]string{"username": "admin", "password": p.password(t)}, http.StatusOK, nil)
}

func (p *platform) password(t *testing.T) string {
	t.Helper()
	return p.file(t, "initial-admin-password")
}

func (p *platform) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// path is where we find a file of the data folder.
func (p *platform) path(parts ...string) string {
	return filepath.Join(append([]string{p.root, p.data}, parts...)...)
}

// call makes an API request, checks its status and that the answer keeps to the contract, and decodes it.
func (p *platform) call(t *testing.T, method, path string, body any, status int, into any) {
	t.Helper()
	if err := p.try(method, path, body, status, into); err != nil {
		t.Fatal(err)
	}
}

func (p *platform) try(method, path string, body any, status int, into any) error {
	var payload []byte
	switch b := body.(type) {
	case nil:
	case string:
		payload = []byte(b)
	default:
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequest(method, p.url+"/api/v1"+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != status {
		return fmt.Errorf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, status, text)
	}
	if err := p.contract.check(req, payload, res, text); err != nil {
		return fmt.Errorf("%s %s breaks the contract: %w", method, path, err)
	}
	if into != nil {
		return json.Unmarshal(text, into)
	}
	return nil
}

// kiosk is what the tests read of a kiosk.
type kiosk struct {
	Serial       string
	Presence     string
	Status       string
	Verdict      string
	Site         string
	BootID       string `json:"boot_id"`
	AgentVersion string `json:"agent_version"`
	Reasons      []struct{ Code string }
	LastReading  struct {
		Timestamp  time.Time
		ReceivedAt time.Time `json:"received_at"`
	} `json:"last_reading"`
}

func (p *platform) kiosks(t *testing.T) []kiosk {
	t.Helper()
	var out struct{ Items []kiosk }
	p.call(t, "GET", "/kiosks", nil, http.StatusOK, &out)
	return out.Items
}

// awaitOnline waits until n kiosks are online with a reading received after since.
func (p *platform) awaitOnline(t *testing.T, n int, since time.Time) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d kiosks online with a fresh reading", n), func() error {
		fresh := 0
		for _, k := range p.kiosks(t) {
			if k.Presence == "online" && k.LastReading.ReceivedAt.After(since) {
				fresh++
			}
		}
		if fresh != n {
			return fmt.Errorf("%d are", fresh)
		}
		return nil
	})
}

// agentEnv is the environment of kiosk and spawner processes.
func (p *platform) agentEnv(more map[string]string) map[string]string {
	env := map[string]string{"DATA_DIR": p.data, "ADMIN_URL": p.url, "LOG_FORMAT": "json"}
	for k, v := range more {
		env[k] = v
	}
	return env
}

// eventually tries f until it succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	within(t, patience, 50*time.Millisecond, what, f)
}

// within tries f every so often until it succeeds.
func within(t *testing.T, limit, every time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
		time.Sleep(every)
	}
}
