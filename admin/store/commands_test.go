package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func command(id string, change ...func(*fleet.Command)) fleet.Command {
	c := fleet.Command{
		ID: id, Serial: "K-1", Name: "block", Status: fleet.CommandQueued, Actor: "ana", BootID: "A",
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), UpdatedAt: now, Steps: []fleet.CommandStep{{Status: fleet.CommandQueued, At: now}},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func TestACommandIsKeptWhole(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	c := command("c1", func(c *fleet.Command) { c.Params = json.RawMessage(`{"enabled": true}`) })
	stored, created, err := s.AddCommand(ctx, c, "")
	if err != nil || !created || !reflect.DeepEqual(stored, c) {
		t.Fatalf("added %+v, %v, %v", stored, created, err)
	}
	for i, status := range []fleet.CommandStatus{fleet.CommandSent, fleet.CommandFailed} {
		c.Status, c.UpdatedAt, c.BootID = status, now.Add(time.Duration(i+1)*time.Second), "B"
		c.Error, c.Result = "why", json.RawMessage(`[1]`)
		c.Steps = append(c.Steps, fleet.CommandStep{Status: status, At: c.UpdatedAt, Note: "n"})
		var event *fleet.Event
		if i == 1 {
			event = &fleet.Event{Serial: "K-1", At: now.Add(time.Minute), Kind: fleet.EventCommand, To: "failed"}
		}
		must(t, s.StepCommand(ctx, c, event))
	}
	if got, err := s.Command(ctx, "c1"); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("stored %+v, %v\nwant %+v", got, err, c)
	}
	if events, err := s.Events(ctx, "K-1", time.Time{}, 0, 10); err != nil || len(events) != 2 || events[0].To != "failed" {
		t.Errorf("events = %+v, %v", events, err)
	}
	if got := audits(t, s); got != "ana kiosk.registered K-1; ana command.block K-1 c1" {
		t.Errorf("audit = %s", got)
	}
	if _, err := s.Command(ctx, "c2"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a command that is none: %v", err)
	}
	if err := s.StepCommand(ctx, command("c2"), nil); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a step of a command that is none: %v", err)
	}
	if _, _, err := s.AddCommand(ctx, command("c3", func(c *fleet.Command) { c.Serial = "K-9" }), ""); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a command of nobody: %v", err)
	}
	if _, _, err := s.AddCommand(ctx, command("c1"), ""); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same id: %v", err)
	}
}

func TestAStepThatIsNotWrittenWholeIsNotWritten(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	_, _, err := s.AddCommand(ctx, command("c1"), "")
	must(t, err)
	// The same rung again: its number is taken.
	if err := s.StepCommand(ctx, command("c1", func(c *fleet.Command) { c.Status = fleet.CommandSent }), &fleet.Event{Serial: "K-1"}); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("error = %v", err)
	}
	if c, err := s.Command(ctx, "c1"); err != nil || c.Status != fleet.CommandQueued || len(c.Steps) != 1 {
		t.Errorf("command = %+v, %v", c, err)
	}
}

func TestTheSameKeyGivesTheSameCommand(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	addKiosk(t, s, "K-2")
	add := func(id, serial, key string) (fleet.Command, bool) {
		t.Helper()
		c, created, err := s.AddCommand(ctx, command(id, func(c *fleet.Command) { c.Serial = serial }), key)
		must(t, err)
		return c, created
	}
	first, _ := add("c1", "K-1", "k")
	first.Status = fleet.CommandSent
	first.Steps = append(first.Steps, fleet.CommandStep{Status: fleet.CommandSent, At: now})
	must(t, s.StepCommand(ctx, first, nil))
	if again, created := add("c2", "K-1", "k"); created || !reflect.DeepEqual(again, first) {
		t.Errorf("again %+v, %v; want the first as it is by now", again, created)
	}
	for id, other := range map[string][2]string{"c3": {"K-2", "k"}, "c4": {"K-1", "K"}, "c5": {"K-1", ""}, "c6": {"K-1", ""}} {
		if c, created := add(id, other[0], other[1]); !created || c.ID != id {
			t.Errorf("%v: %s, %v", other, c.ID, created)
		}
	}
	if _, err := s.Command(ctx, "c2"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("the repeated command is stored: %v", err)
	}
}

func TestAKeyMakesOneCommandAlsoForManyAtOnce(t *testing.T) {
	s := open(t)
	addKiosk(t, s, "K-1")
	var mu sync.Mutex
	ids := map[string]int{}
	made := 0
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			c, created, err := s.AddCommand(t.Context(), command(fmt.Sprintf("c%02d", i)), "k")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[c.ID]++
			if created {
				made++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || made != 1 {
		t.Errorf("%d made, answers %v", made, ids)
	}
}

func TestCommandsArePagedNewestFirst(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	addKiosk(t, s, "K-2")
	var want []string
	for i := range 10 {
		id := fmt.Sprintf("c%02d", i)
		_, _, err := s.AddCommand(ctx, command(id), "")
		must(t, err)
		_, _, err = s.AddCommand(ctx, command("x"+id, func(c *fleet.Command) { c.Serial = "K-2" }), "")
		must(t, err)
		want = append([]string{id}, want...)
	}
	var got []string
	before := ""
	for range len(want) {
		page, err := s.Commands(ctx, "K-1", before, 3)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			got = append(got, c.ID)
			if len(c.Steps) != 1 {
				t.Errorf("%s has %d steps", c.ID, len(c.Steps))
			}
		}
		before = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("commands %v, want %v", got, want)
	}
	if none, err := s.Commands(ctx, "K-9", "", 3); err != nil || none == nil || len(none) != 0 {
		t.Errorf("commands of nobody: %v, %v", none, err)
	}
}

func TestUnsettledCommandsAreThoseThatMayChange(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	all := []fleet.CommandStatus{
		fleet.CommandQueued, fleet.CommandSent, fleet.CommandReceived, fleet.CommandRunning, fleet.CommandSucceeded,
		fleet.CommandFailed, fleet.CommandRejected, fleet.CommandExpired, fleet.CommandVerified, fleet.CommandUnverified,
	}
	for i, status := range all {
		_, _, err := s.AddCommand(ctx, command(fmt.Sprintf("c%02d", i), func(c *fleet.Command) { c.Status = status }), "")
		must(t, err)
	}
	got, err := s.UnsettledCommands(ctx)
	must(t, err)
	var statuses []fleet.CommandStatus
	for _, c := range got {
		statuses = append(statuses, c.Status)
	}
	if !slices.Equal(statuses, all[:5]) || len(got[0].Steps) != 1 {
		t.Errorf("unsettled = %v, want the oldest first of %v", statuses, all[:5])
	}
}
