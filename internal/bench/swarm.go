package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// swarm is a spawner that runs a fleet in one process.
type swarm struct {
	*process
	platform *platform
	kiosks   int
	began    time.Time
	file     string // its summary; empty: it writes none
}

// summary is what a spawner says of itself at its end. A spawner that writes no summary says less: the rest
// is zero.
type summary struct {
	AllEnrolled *float64 `json:"all_enrolled_seconds"` // since its start; nil: not all are
	Readings    struct {
		Sent         int64 `json:"sent"`
		Acknowledged int64 `json:"acknowledged"`
		Resent       int64 `json:"resent"`
		Dropped      int64 `json:"dropped"`
		Waiting      int64 `json:"waiting"`
	} `json:"readings"`
	// PublishToAck counts every message since the start, those during the connecting too.
	PublishToAck struct {
		Count int64   `json:"count"`
		P50   float64 `json:"p50_ms"`
		P99   float64 `json:"p99_ms"`
		Max   float64 `json:"max_ms"`
	} `json:"publish_to_ack"`
	Errors  map[string]int64 `json:"errors"`
	Problem string           `json:"problem,omitempty"` // why there is none
}

// atOnce is a ramp-up that holds nobody back.
const atOnce = "1000000"

// startSwarm starts a fleet as fast as it can.
func (b *bench) startSwarm(ctx context.Context, p *platform, kiosks int) (*swarm, error) {
	s := &swarm{platform: p, kiosks: kiosks, began: time.Now()}
	args := []string{"--count", strconv.Itoa(kiosks), "--ramp-up", atOnce, "--interval", fleetInterval.String()}
	help, err := exec.CommandContext(ctx, b.spawner, "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w\n%s", b.spawner, err, help)
	}
	if strings.Contains(string(help), "--summary ") {
		s.file = filepath.Join(b.dir, "summary.json")
		args = append(args, "--summary", s.file)
	}
	env := environment(map[string]string{"DATA_DIR": p.data, "ADMIN_URL": p.url, "LOG_FORMAT": "json"})
	s.process, _, err = startProcess(ctx, "the spawner", env, `"starting"`, b.spawner, args...)
	return s, err
}

// awaitConnected returns after how many seconds all kiosks are connected.
func (s *swarm) awaitConnected(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, fleetPatience)
	defer cancel()
	err := s.platform.awaitMetric(ctx, metricConnections, pollSeldom, func(n float64) bool { return int(n) >= s.kiosks })
	if err != nil {
		return 0, fmt.Errorf("%w; the spawner's last words:\n%s", err, s.log())
	}
	return time.Since(s.began).Seconds(), nil
}

// stop ends the spawner in order and returns what it says of itself.
func (s *swarm) stop() *summary {
	s.process.stop()
	out, err := s.read()
	if err != nil {
		out = &summary{Problem: err.Error()}
	}
	return out
}

func (s *swarm) read() (*summary, error) {
	if s.file != "" {
		text, err := os.ReadFile(s.file)
		if err != nil {
			return nil, err
		}
		out := &summary{}
		if err := json.Unmarshal(text, out); err != nil {
			return nil, fmt.Errorf("the spawner's summary: %w", err)
		}
		return out, nil
	}
	return lastWords(s.log())
}

// lastWords reads the log line by which a spawner ends.
func lastWords(log string) (*summary, error) {
	lines := strings.Split(log, "\n")
	for i := range lines {
		var said struct {
			Msg      string `json:"msg"`
			Readings int64  `json:"readings"`
			Dropped  int64  `json:"dropped"`
			Errors   int64  `json:"errors"`
		}
		if json.Unmarshal([]byte(lines[len(lines)-1-i]), &said) != nil || said.Msg != "stopped" {
			continue
		}
		out := &summary{Errors: map[string]int64{}}
		out.Readings.Acknowledged, out.Readings.Dropped = said.Readings, said.Dropped
		if said.Errors > 0 {
			out.Errors["all"] = said.Errors
		}
		return out, nil
	}
	return nil, errors.New("the spawner did not say how it ended:\n" + log)
}
