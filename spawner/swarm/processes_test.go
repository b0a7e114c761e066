package swarm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// TestMain lets the test's own binary stand in for the program kiosk, which it knows by the first argument
// that Processes gives, and for other spawners.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--serial="):
		os.Exit(standIn())
	case len(os.Args) > 1 && os.Args[1] == "--hold-range":
		os.Exit(holdRange(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == "--check-open-files":
		os.Exit(sayOpenFiles())
	}
	os.Exit(m.Run())
}

// standIn says what it was told, then waits for SIGTERM; kiosk 3 fails at once.
func standIn() int {
	serial := strings.TrimPrefix(os.Args[1], "--serial=")
	if strings.HasSuffix(serial, "3") {
		fmt.Fprintln(os.Stderr, serial+" cannot start")
		return 7
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Printf("%s up %s\n", serial, strings.Join(os.Args[2:], " "))
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "KIOSKFLEET_") {
			fmt.Printf("%s env %s\n", serial, kv)
		}
	}
	<-stop
	fmt.Printf("%s down", serial) // without a line's end
	return 0
}

// buffer is a bytes.Buffer that goroutines share.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(b.b.String(), "\n")
}

func (b *buffer) has(prefix string) bool {
	return slices.ContainsFunc(b.lines(), func(l string) bool { return strings.HasPrefix(l, prefix) })
}

func TestProcessesAreStartedAndStopped(t *testing.T) {
	t.Setenv("KIOSKFLEET_COUNT", "3") // the spawner's own affair
	t.Setenv("KIOSKFLEET_DATA_DIR", "elsewhere")
	w := newWorld(t)
	platform, err := enroll.NewPlatform(w.api.URL)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, counters, dir := &buffer{}, &Counters{}, t.TempDir()
	p, err := NewProcesses(ProcessConfig{
		Kiosks: roster.Plan(nil, "K-", 3), Binary: self, AdminURL: w.api.URL, Tokens: w.tokens(), DataDir: dir,
		Registrar: &Registrar{Platform: platform, Token: "api", Log: slog.New(slog.DiscardHandler)},
		RampUp:    1000, LogLevel: "info", LogFormat: "text", Output: out, Counters: counters,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	eventually(t, "two up and one ended", func() bool {
		return counters.GaveUp.Load() == 1 && counters.Running.Load() == 2 && out.has("K-001 up") && out.has("K-002 up")
	})
	eventually(t, "the failing process's words", func() bool { return out.has("K-003 cannot start") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, serial := range []string{"K-001", "K-002"} {
		if !out.has(serial + " down") {
			t.Errorf("%s was not told to stop: %q", serial, out.lines())
		}
		if !out.has(serial + " env KIOSKFLEET_ENROLLMENT_TOKEN=kfe1.") {
			t.Errorf("%s has no token", serial)
		}
	}
	text := strings.Join(out.lines(), "\n")
	for _, want := range []string{"--data-dir=" + dir, "--interval=5s", "--outbox-max-readings=10000", "--outbox-max-size=89478485B", "--simulation-site=Buenos Aires EZE", "--simulation-lat=-34.8"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among the arguments", want)
		}
	}
	for _, never := range []string{"KIOSKFLEET_COUNT", "KIOSKFLEET_DATA_DIR"} {
		if strings.Contains(text, never) {
			t.Errorf("%s was passed on", never)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.registered) != 3 {
		t.Errorf("%d registered", len(w.registered))
	}
}

func TestAMissingKioskProgramIsAClearError(t *testing.T) {
	_, err := NewProcesses(ProcessConfig{Binary: filepath.Join(t.TempDir(), "kiosk")})
	if err == nil || !strings.Contains(err.Error(), "kiosk_binary") || !strings.Contains(err.Error(), "go build") {
		t.Errorf("error = %v", err)
	}
}

func TestQuietLetsAFewSpeakForAll(t *testing.T) {
	var b bytes.Buffer
	plain := slog.NewTextHandler(&b, nil)
	h := Quiet(plain, 2, time.Minute)
	at := time.Unix(1000, 0)
	say := func(handler slog.Handler, message string, at time.Time) {
		if err := handler.Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, message, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		say(h.WithAttrs([]slog.Attr{slog.String("serial", "K")}), "lost", at)
	}
	say(h, "other", at)
	say(h, "lost", at.Add(time.Minute))
	got := b.String()
	if n := strings.Count(got, "msg=lost"); n != 3 {
		t.Errorf("%d of them passed, want 3:\n%s", n, got)
	}
	if !strings.Contains(got, "msg=other") || !strings.Contains(got, "held_back=3") {
		t.Errorf("got\n%s", got)
	}
}
