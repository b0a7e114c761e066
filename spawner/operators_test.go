package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/spawner/scenario"
)

// operated counts what a scenario does to the platform, which shows no kiosks.
type operated struct{ looks, commands atomic.Int64 }

func (o *operated) Kiosks(context.Context) (map[string]scenario.State, error) {
	o.looks.Add(1)
	return nil, nil
}

func (o *operated) Send(context.Context, string, protocol.CommandName, json.RawMessage, string) error {
	o.commands.Add(1)
	return nil
}

func TestOnlyTheProcessWithTheFirstKioskIsTheOperators(t *testing.T) {
	file := filepath.Join(t.TempDir(), "story.yaml")
	text := "name: x\nfleets: [{name: a, kiosks: 4}]\nphases: [{name: p, for: 1m, commands: [{command: ping}], expect: [{presence: online}]}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, first := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			c := Defaults()
			c.First, c.Count, c.Scenario, c.Truth.File = first, 2, file, noTruth
			who, err := c.cast()
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.story(who, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var platform operated
			began := time.Now()
			swarm := func(ctx context.Context) error { <-ctx.Done(); return nil }
			report, err := s.play(t.Context(), swarm, &platform, slog.New(slog.DiscardHandler))
			if took := time.Since(began); took != time.Minute {
				t.Errorf("from %d: it took %s", first, took)
			}
			if first == 1 && (report == nil || err == nil || platform.looks.Load() == 0 || platform.commands.Load() != 4) {
				t.Errorf("from 1: %v, %v, %+v", report, err, &platform)
			}
			if first != 1 && (report != nil || err != nil || platform.looks.Load()+platform.commands.Load() > 0) {
				t.Errorf("from %d: %v, %v, %+v", first, report, err, &platform)
			}
		})
	}
}
