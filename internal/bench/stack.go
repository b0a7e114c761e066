package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/load"
)

// against compares admin with what people put together otherwise: mosquitto, Telegraf and InfluxDB, under the same
// offered load.
type against struct {
	Kiosks  int     `json:"kiosks"`
	Offered float64 `json:"offered_per_second"`
	Seconds float64 `json:"seconds"`
	Stack   *taken  `json:"stack,omitempty"`
	Admin   *taken  `json:"admin,omitempty"`
	// Ratio is admin's CPU per stored message over the stack's.
	Ratio float64 `json:"cpu_ratio,omitempty"`
}

// taken is what became of the messages of one side.
type taken struct {
	Acknowledged int64 `json:"acknowledged"`
	Stored       int64 `json:"stored"`
	Lost         int64 `json:"lost"` // acknowledged and not stored
	// CPU is by process, in microseconds for each stored message.
	CPU map[string]float64 `json:"cpu_microseconds_per_stored_message"`
	Sum float64            `json:"cpu_microseconds_per_stored_message_sum"`
}

const (
	programMosquitto = "mosquitto"
	programTelegraf  = "telegraf"

	stackDatabase = "telegraf"
	// stackCounted is a field that each reading has, under the name that Telegraf gives it.
	stackCounted = "hardware_cpu_temp"
	// stackPatience bounds a start, and the wait for what is still on its way after the load.
	stackPatience = time.Minute
	// subscribing is what Telegraf is given after it says that it is connected; it does not say when it has
	// subscribed, and what is published before is lost.
	subscribing = time.Second
	// stackQuiet is how often in a row nothing more must have arrived to say that nothing will.
	stackQuiet = 8
)

// mosquittoSettings give it room for what Telegraf has not fetched yet: by default it drops what is more than
// 1,000 messages.
const mosquittoSettings = `listener %d 127.0.0.1
allow_anonymous true
user root
max_queued_messages 200000
max_inflight_messages 2000
`

// telegrafSettings store every number and text of a reading, as admin does, and keep what InfluxDB has not taken.
const telegrafSettings = `[agent]
  flush_interval = "1s"
  flush_jitter = "0s"
  precision = "1ms"
  metric_batch_size = 5000
  metric_buffer_limit = 200000
  omit_hostname = true

[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:%d"]
  topics = ["%s"]
  topic_tag = ""
  qos = 1
  client_id = "telegraf"
  persistent_session = true
  max_undelivered_messages = 10000
  data_format = "json"
  tag_keys = ["serial"]
  json_time_key = "timestamp"
  json_time_format = "2006-01-02T15:04:05.000Z"
  json_string_fields = ["status", "peripherals_*"]

[[outputs.influxdb]]
  urls = ["%s"]
  database = "%s"
`

// against runs both sides one after the other. What is missing for the other side is said, and admin is measured
// all the same.
func (b *bench) against(ctx context.Context, o seriesOptions, out *seriesRun) error {
	a := &against{Kiosks: o.stackKiosks, Offered: o.offered, Seconds: o.stack.Seconds()}
	out.Against = a
	stack, err := b.stackSide(ctx, o)
	switch {
	case errors.Is(err, errNoStack) || errors.Is(err, errNoInflux):
		out.miss("mosquitto, Telegraf and InfluxDB under the same load", err)
	case err != nil:
		return fmt.Errorf("mosquitto, Telegraf and InfluxDB: %w", err)
	}
	a.Stack = stack
	if a.Admin, err = b.adminSide(ctx, o); err != nil {
		return err
	}
	if a.Stack != nil && a.Stack.Sum > 0 {
		a.Ratio = a.Admin.Sum / a.Stack.Sum
	}
	return nil
}

// errNoStack says that a program is not there.
var errNoStack = errors.New("not on the PATH")

// stackSide runs the load through the three programs.
func (b *bench) stackSide(ctx context.Context, o seriesOptions) (*taken, error) {
	programs := map[string]string{}
	for _, name := range []string{programMosquitto, programTelegraf} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("%s is %w", name, errNoStack)
		}
		programs[name] = path
	}
	limited, cancel := context.WithTimeout(ctx, stackPatience)
	defer cancel()
	dir := filepath.Join(b.dir, "stack")
	server, err := b.startInflux(ctx, filepath.Join(dir, "influxdb"), false)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	if err := server.query(ctx, "", "CREATE DATABASE "+stackDatabase, nil); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	start := func(name, ready, settings string) (*process, error) {
		file := filepath.Join(dir, name+".conf")
		if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
			return nil, err
		}
		flag := map[string]string{programMosquitto: "-c", programTelegraf: "--config"}[name]
		p, _, err := startProcess(limited, name, os.Environ(), ready, programs[name], flag, file)
		return p, err
	}
	mosquitto, err := start(programMosquitto, "running", fmt.Sprintf(mosquittoSettings, port))
	if err != nil {
		return nil, err
	}
	defer mosquitto.stop()
	telegraf, err := start(programTelegraf, "Connected", fmt.Sprintf(telegrafSettings, port, protocol.Topic("+", protocol.ChannelTelemetry), server.url, stackDatabase))
	if err != nil {
		return nil, err
	}
	defer telegraf.stop()
	if err := sleep(ctx, subscribing); err != nil {
		return nil, err
	}
	clients := make([]load.Config, o.stackKiosks)
	for i := range clients {
		clients[i] = load.Config{Broker: "mqtt://127.0.0.1:" + strconv.Itoa(port), Serial: serialOf(i)}
	}
	b.progress("stack: %.0f messages/s through mosquitto, Telegraf and InfluxDB", o.offered)
	return b.offer(ctx, o, clients, map[string]*process{programMosquitto: mosquitto, programTelegraf: telegraf, "influxd": server.process}, server.stored)
}

// adminSide runs the same load through admin.
func (b *bench) adminSide(ctx context.Context, o seriesOptions) (*taken, error) {
	p, err := startPlatform(ctx, b.admin, filepath.Join(b.dir, "against"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return nil, err
	}
	ids, err := p.enroll(ctx, o.stackKiosks)
	if err != nil {
		return nil, err
	}
	clients := make([]load.Config, len(ids))
	for i, id := range ids {
		clients[i] = load.Config{Broker: id.Broker, TLS: id.TLS, Serial: id.Serial}
	}
	b.progress("stack: the same through admin")
	return b.offer(ctx, o, clients, map[string]*process{targetAdmin: p.process}, func(ctx context.Context) (int64, error) {
		n, err := p.metric(ctx, metricStored)
		return int64(n), err
	})
}

// offer lets the clients publish at their pace, waits until nothing more is stored, and divides the CPU time of all
// processes since all were connected by what was.
func (b *bench) offer(ctx context.Context, o seriesOptions, configs []load.Config, processes map[string]*process, stored func(context.Context) (int64, error)) (*taken, error) {
	stats := new(load.Stats)
	clients := make([]*load.Client, len(configs))
	for i, c := range configs {
		c.QoS, c.Window, c.Rate, c.Stats = 1, 8, o.offered/float64(len(configs)), stats
		var err error
		if clients[i], err = load.New(c); err != nil {
			return nil, err
		}
	}
	stop := load.Start(ctx, clients)
	defer stop()
	connected, cancel := context.WithTimeout(ctx, stackPatience)
	defer cancel()
	if err := poll(connected, "connect all clients", pollOften, func() (bool, error) {
		return int(stats.Connects.Load()) >= len(clients), nil
	}); err != nil {
		return nil, fmt.Errorf("%w; %s", err, stats.LastFailure())
	}
	// Handshakes are no messages: what they cost, and what was stored meanwhile, does not count.
	before := map[string]time.Duration{}
	for name, p := range processes {
		var err error
		if before[name], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	earlier, err := stored(ctx)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, o.stack); err != nil {
		return nil, err
	}
	stop()
	if stats.Acked.Load() == 0 {
		return nil, fmt.Errorf("nothing was acknowledged: %s", stats.LastFailure())
	}
	out := &taken{Acknowledged: int64(stats.Acked.Load()), CPU: map[string]float64{}}
	last, same := int64(-1), 0
	limited, cancelWait := context.WithTimeout(ctx, stackPatience)
	defer cancelWait()
	if err := poll(limited, "wait for what is on its way", 500*time.Millisecond, func() (bool, error) {
		n, err := stored(limited)
		if n != last {
			last, same = n, 0
		}
		same++
		return n >= out.Acknowledged || same > stackQuiet, err
	}); err != nil {
		return nil, err
	}
	out.Stored, out.Lost = last, max(out.Acknowledged-last, 0)
	if last <= earlier {
		return nil, errors.New("nothing was stored")
	}
	for name, p := range processes {
		after, err := p.cpu()
		if err != nil {
			return nil, err
		}
		out.CPU[name] = (after - before[name]).Seconds() * 1e6 / float64(last-earlier)
		out.Sum += out.CPU[name]
	}
	return out, nil
}

// freePort is a port that nobody has now.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// stored counts the points of Telegraf's measurement.
func (s *influxServer) stored(ctx context.Context) (int64, error) {
	var answer struct {
		Results []struct {
			Series []struct{ Values [][]any }
		}
	}
	if err := s.query(ctx, stackDatabase, fmt.Sprintf("SELECT count(%q) FROM mqtt_consumer", stackCounted), &answer); err != nil {
		return 0, err
	}
	if len(answer.Results) == 0 || len(answer.Results[0].Series) == 0 || len(answer.Results[0].Series[0].Values) == 0 {
		return 0, nil
	}
	n, ok := answer.Results[0].Series[0].Values[0][1].(float64)
	if !ok {
		return 0, fmt.Errorf("influxd counts %v", answer.Results[0].Series[0].Values[0])
	}
	return int64(n), nil
}

// query runs an InfluxQL statement.
func (s *influxServer) query(ctx context.Context, database, statement string, answer any) error {
	form := url.Values{"q": {statement}, "db": {database}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("influxd answers %s", res.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(answer)
}
