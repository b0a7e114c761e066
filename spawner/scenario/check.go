package scenario

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// Clock is the kiosks' time; kiosk/clock has some.
type Clock interface {
	Now() time.Time
	// Until returns how long it takes, in real time, until the clock shows t.
	Until(t time.Time) time.Duration
}

// Checker does what operators do in a scenario, and watches whether the platform comes to show what is
// expected.
type Checker struct {
	Scenario *Run
	Platform Platform
	Clock    Clock
	Every    time.Duration // between two looks, in real time; default 2 s
	Log      *slog.Logger

	unseen string // why the platform could not be seen in the last look
}

const (
	defaultEvery = 2 * time.Second
	// restFactor keeps looks at a large fleet from being a load of their own: this many times as long as
	// one took, nobody looks.
	restFactor = 4
	// atOnce bounds how many commands are posted at the same time.
	atOnce   = 8
	attempts = 6 // to post one
	// maxOthers bounds the kiosks that an outcome lists.
	maxOthers = 10
	// leastWait keeps a clock that rounds from waking us without end.
	leastWait = time.Millisecond
)

// watch is an expectation that is not decided.
type watch struct {
	*Expectation
	out *Outcome
}

// Check goes through the run, until every expectation is decided and every command is posted, or ctx ends;
// then some are not decided. An expectation is met when enough kiosks show it in one look; the
// first look at or after its deadline is its last.
func (c *Checker) Check(ctx context.Context) Report {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	expected, commands := c.Scenario.Expectations(), c.Scenario.Commands()
	report := Report{Expectations: make([]Outcome, len(expected)), Commands: make([]Delivered, len(commands))}
	var open []watch
	for i := range expected {
		e := &expected[i]
		report.Expectations[i] = Outcome{Phase: e.Phase, Expected: e.String(), Kiosks: len(e.Serials)}
		open = append(open, watch{e, &report.Expectations[i]})
	}
	var posting sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	next := 0 // command
	for len(open) > 0 || next < len(commands) {
		now := c.Clock.Now()
		for ; next < len(commands) && !commands[next].At.After(now); next++ {
			cmd, out, index := commands[next], &report.Commands[next], next
			*out = Delivered{Phase: cmd.Phase, Command: cmd.Name, Kiosks: len(cmd.Serials)}
			log.Info("scenario: command", "phase", cmd.Phase, "name", cmd.Name, "kiosks", len(cmd.Serials))
			posting.Go(func() { c.post(ctx, cmd, index, slots, out) })
		}
		wait := time.Duration(math.MaxInt64)
		if slices.ContainsFunc(open, func(w watch) bool { return !w.From.After(now) }) {
			began := time.Now()
			open = c.look(ctx, open, now, log)
			wait = max(c.every(), restFactor*time.Since(began))
		}
		for _, w := range open {
			at := w.From
			if !at.After(now) {
				at = w.Deadline
			}
			wait = min(wait, c.Clock.Until(at))
		}
		if next < len(commands) {
			wait = min(wait, c.Clock.Until(commands[next].At))
		}
		if len(open)+len(commands)-next > 0 && !sleep(ctx, wait) {
			break
		}
	}
	posting.Wait()
	for _, w := range open {
		w.out.After, w.out.Undecided = roster.Duration(max(0, c.Clock.Now().Sub(w.From))), true
	}
	for ; next < len(commands); next++ {
		cmd := &commands[next]
		report.Commands[next] = Delivered{Phase: cmd.Phase, Command: cmd.Name, Kiosks: len(cmd.Serials), Error: "the run ended before"}
	}
	return report
}

func (c *Checker) every() time.Duration {
	if c.Every > 0 {
		return c.Every
	}
	return defaultEvery
}

// look asks the platform once, and returns the expectations that are still open.
func (c *Checker) look(ctx context.Context, open []watch, now time.Time, log *slog.Logger) []watch {
	shown, err := c.Platform.Kiosks(ctx)
	if ctx.Err() != nil {
		return open
	}
	c.trouble(err, log)
	return slices.DeleteFunc(open, func(w watch) bool {
		if w.From.After(now) {
			return false
		}
		w.out.After = roster.Duration(now.Sub(w.From))
		w.out.Error = ""
		if err != nil {
			w.out.Error = err.Error()
		} else {
			w.judge(shown)
		}
		switch {
		case w.out.Met:
			log.Info("scenario: as expected", "phase", w.Phase, "outcome", w.out.String())
		case !now.Before(w.Deadline):
			log.Warn("scenario: not as expected", "phase", w.Phase, "outcome", w.out.String())
		default:
			return false
		}
		return true
	})
}

// trouble logs why the platform cannot be seen, each reason once in a row.
func (c *Checker) trouble(err error, log *slog.Logger) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != c.unseen {
		log.Warn("scenario: cannot see what the platform shows", "error", text)
	}
	c.unseen = text
}

// judge holds what is shown against the expectation.
func (w watch) judge(shown map[string]State) {
	is := func(values []string, value string) bool { return len(values) == 0 || slices.Contains(values, value) }
	w.out.Showing, w.out.Others = 0, nil
	for _, serial := range w.Serials {
		s, known := shown[serial]
		switch {
		case known && is(w.Presence, s.Presence) && is(w.Verdict, s.Verdict) && is(w.Status, s.Status):
			w.out.Showing++
		case len(w.out.Others) == maxOthers:
		case known:
			w.out.Others = append(w.out.Others, serial+" is "+s.String())
		default:
			w.out.Others = append(w.out.Others, serial+" is not known")
		}
	}
	w.out.Met = float64(w.out.Showing) >= w.Share*float64(len(w.Serials))-1e-9
}

// post gives a command to its kiosks.
func (c *Checker) post(ctx context.Context, cmd Command, index int, slots chan struct{}, out *Delivered) {
	run := strconv.FormatUint(hashed.Of(hashed.Text(c.Scenario.scenario.Name), uint64(c.Scenario.start.UnixNano())), 36)
	var mu sync.Mutex // guards out
	var all sync.WaitGroup
	for _, serial := range cmd.Serials {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			err := c.send(ctx, serial, cmd, fmt.Sprintf("scenario-%s-%d-%s", run, index, serial))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out.Taken++
			} else if out.Error == "" {
				out.Error = serial + ": " + err.Error()
			}
		})
	}
	all.Wait()
	if out.Taken < out.Kiosks && out.Error == "" {
		out.Error = "the run ended before"
	}
}

// send posts a command for one kiosk, again if the platform is in trouble.
func (c *Checker) send(ctx context.Context, serial string, cmd Command, key string) error {
	pause := time.Second
	for attempt := 1; ; attempt++ {
		err := c.Platform.Send(ctx, serial, cmd.Name, cmd.Params, key)
		if err == nil || errors.Is(err, ErrNoAPIToken) || !enroll.Temporary(err) || attempt == attempts {
			return err
		}
		var p *enroll.Problem
		if errors.As(err, &p) && p.RetryAfter > pause {
			pause = p.RetryAfter
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}

// Announce calls begun as each phase begins, until the last has or ctx ends.
func (r *Run) Announce(ctx context.Context, clock Clock, begun func(Phase)) {
	for _, ph := range r.Phases() {
		for clock.Now().Before(ph.From) {
			if !sleep(ctx, clock.Until(ph.From)) {
				return
			}
		}
		begun(ph)
	}
}

// sleep waits in real time and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, leastWait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
