package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/protocol"
)

// standInFor is the name of the program that the test's own program is to stand in for.
const standInFor = "BENCH_TEST_STANDS_IN_FOR"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(standInFor) {
	case "":
		os.Exit(m.Run())
	case programMosquitto:
		err = standInMosquitto(os.Args[len(os.Args)-1])
	case programTelegraf:
		err = standInTelegraf(os.Args[len(os.Args)-1])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// standIns puts programs that behave like mosquitto and Telegraf first on the PATH.
func standIns(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{programMosquitto, programTelegraf} {
		script := fmt.Sprintf("#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", standInFor, name, self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func awaitEnd() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
}

// standInMosquitto is a broker that stores by itself what Telegraf would, in the database of its settings.
func standInMosquitto(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var port int
	if _, err := fmt.Sscanf(string(text), "listener %d 127.0.0.1", &port); err != nil {
		return fmt.Errorf("%s names no listener: %w", text, err)
	}
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	defer server.Close()
	for _, hook := range []mqtt.Hook{new(allow), &storeEach{telegraf: filepath.Join(filepath.Dir(file), programTelegraf+".conf")}} {
		if err := server.AddHook(hook, nil); err != nil {
			return err
		}
	}
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "plain", Address: fmt.Sprintf("127.0.0.1:%d", port)})); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	fmt.Println("mosquitto version 0 running")
	awaitEnd()
	return nil
}

// storeEach writes what is published to InfluxDB, but each tenth message.
type storeEach struct {
	mqtt.HookBase
	telegraf string // its settings
	count    atomic.Int64
}

func (*storeEach) ID() string           { return "store" }
func (*storeEach) Provides(b byte) bool { return b == mqtt.OnPublish }

var outputs = regexp.MustCompile(`urls = \["(.*)"\]\n  database = "(.*)"`)

func (s *storeEach) OnPublish(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if s.count.Add(1)%10 == 0 {
		return pk, nil
	}
	settings, err := os.ReadFile(s.telegraf)
	if err != nil {
		return pk, err
	}
	found := outputs.FindStringSubmatch(string(settings))
	if found == nil {
		return pk, fmt.Errorf("no output in %s", settings)
	}
	var r protocol.Reading
	if err := json.Unmarshal(pk.Payload, &r); err != nil {
		return pk, err
	}
	line := fmt.Sprintf("mqtt_consumer,serial=%s %s=%v %d", r.Serial, stackCounted, r.Hardware["cpu_temp"], r.Timestamp.UnixMilli())
	res, err := http.Post(found[1]+"/write?precision=ms&db="+found[2], "text/plain", bytes.NewBufferString(line))
	if err != nil {
		return pk, err
	}
	return pk, res.Body.Close()
}

// standInTelegraf only reads its settings.
func standInTelegraf(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, want := range []string{`servers = ["tcp://127.0.0.1:`, `topics = ["kiosks/+/telemetry"]`, `urls = ["http://127.0.0.1:`, `database = "telegraf"`} {
		if !strings.Contains(string(text), want) {
			return fmt.Errorf("the settings lack %s:\n%s", want, text)
		}
	}
	fmt.Println("Connected [tcp://127.0.0.1]")
	awaitEnd()
	return nil
}
