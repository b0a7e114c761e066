package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	file     string // its summary
}

// summary is what a spawner says of itself at its end.
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
	// Of thousands, some kiosks are always down by chance: then never all would be connected.
	s.file = filepath.Join(b.dir, "summary.json")
	args = append(args, "--faults", "none", "--summary", s.file)
	var err error
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
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("%w; the spawner's last words:\n%s", err, s.log())
	}
	out := &summary{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("the spawner's summary: %w", err)
	}
	return out, nil
}

// recent is how long acknowledgements took in the seconds before a line of progress.
type recent struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// lately reads the lines of progress since a moment: the median of their p50, and of their p99.
func lately(log string, since time.Time) recent {
	var p50, p99 []float64
	for line := range strings.Lines(log) {
		var said struct {
			Time time.Time `json:"time"`
			Msg  string    `json:"msg"`
			P50  string    `json:"publish_to_ack_p50"` // such as 4.7 ms
			P99  string    `json:"publish_to_ack_p99"`
		}
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "progress" || said.Time.Before(since) {
			continue
		}
		for text, list := range map[string]*[]float64{said.P50: &p50, said.P99: &p99} {
			if ms, err := strconv.ParseFloat(strings.TrimSuffix(text, " ms"), 64); err == nil {
				*list = append(*list, ms)
			}
		}
	}
	middle := func(list []float64) float64 {
		if len(list) == 0 {
			return 0
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return recent{middle(p50), middle(p99)}
}
