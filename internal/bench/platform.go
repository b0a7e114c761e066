package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/testkit/load"
)

// Metrics of admin that are measured.
const (
	metricStored      = "kioskfleet_ingest_stored_readings_total"
	metricReadings    = "kioskfleet_ingest_readings_total"
	metricConnections = "kioskfleet_broker_connections"

	behindSeries = `kioskfleet_journal_behind_records{consumer="timeseries"}`
	behindLive   = `kioskfleet_journal_behind_records{consumer="live"}`
)

// platform is an admin under measurement.
type platform struct {
	*process
	program, data string
	url, debug    string
	broker        string    // mqtts://host:port
	began         time.Time // when its process was started
}

// startPlatform starts admin in development mode on a data folder and free ports.
func startPlatform(ctx context.Context, program, data string) (*platform, error) {
	return startPlatformWith(ctx, program, data, nil)
}

// startPlatformWith starts admin with more settings than these.
func startPlatformWith(ctx context.Context, program, data string, settings map[string]string) (*platform, error) {
	p := &platform{program: program, data: data, began: time.Now()}
	env := map[string]string{
		"DATA_DIR": data, "DEV": "true", "LOG_FORMAT": "json", "HTTP_ADDR": "127.0.0.1:0", "BROKER_KIOSKS_ADDR": "127.0.0.1:0", "BROKER_INTEGRATORS_ADDR": "127.0.0.1:0",
		"DEBUG_ADDR": "127.0.0.1:0",
	}
	maps.Copy(env, settings)
	var err error
	var line string
	if p.process, line, err = startProcess(ctx, "admin", environment(env), "kiosk fleet admin is running", program); err != nil {
		return nil, err
	}
	var said struct {
		Page, Debug string
		Brokers     []string
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		p.stop()
		return nil, fmt.Errorf("admin says %q: %w", line, err)
	}
	if len(said.Brokers) == 0 {
		p.stop()
		return nil, fmt.Errorf("admin names no broker: %q", line)
	}
	p.url, p.debug, p.broker = said.Page, said.Debug, said.Brokers[0]
	return p, nil
}

// environment is this process's without its settings for the platform, and with these.
func environment(settings map[string]string) []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "KIOSKFLEET_") {
			out = append(out, kv)
		}
	}
	for k, v := range settings {
		out = append(out, "KIOSKFLEET_"+k+"="+v)
	}
	return out
}

// enroll registers and enrols n kiosks.
func (p *platform) enroll(ctx context.Context, n int) ([]load.Identity, error) {
	token, err := os.ReadFile(filepath.Join(p.data, "spawner-token"))
	if err != nil {
		return nil, err
	}
	serials := make([]string, n)
	for i := range serials {
		serials[i] = serialOf(i)
	}
	return load.Enroll(ctx, p.url, strings.TrimSpace(string(token)), serials)
}

// metric sums a metric over all its labels, or over those that the name ends with. A counter that is not
// there yet is 0.
func (p *platform) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/metrics answers %s", res.Status)
	}
	sum := 0.0
	scanner := bufio.NewScanner(res.Body)
	for scanner.Scan() {
		rest, ok := strings.CutPrefix(scanner.Text(), name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", scanner.Text(), err)
		}
		sum += v
	}
	return sum, scanner.Err()
}

// awaitCaughtUp returns once the consumer has worked off the journal.
func (p *platform) awaitCaughtUp(ctx context.Context, behind string) error {
	return p.awaitMetric(ctx, behind, pollOften, func(n float64) bool { return n == 0 })
}

// Times between two looks at the metrics. They take admin some milliseconds in a large fleet.
const (
	pollOften  = 20 * time.Millisecond
	pollSeldom = 250 * time.Millisecond
)

// awaitMetric returns once a metric is as it should be.
func (p *platform) awaitMetric(ctx context.Context, name string, every time.Duration, ok func(float64) bool) error {
	var last float64
	err := poll(ctx, "wait for "+name, every, func() (bool, error) {
		var err error
		last, err = p.metric(ctx, name)
		return err == nil && ok(last), err
	})
	if err != nil {
		return fmt.Errorf("%w; it is %v", err, last)
	}
	return nil
}

// awaitReady returns once /readyz says so.
func (p *platform) awaitReady(ctx context.Context) error {
	return poll(ctx, "become ready", pollOften, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
		if err != nil {
			return false, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK, nil
	})
}

// poll asks again and again until the answer is yes.
func poll(ctx context.Context, what string, every time.Duration, f func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := f()
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
