// Package transfer copies the history of one time-series store into another, kiosk by kiosk and day by day. What
// is done is noted in a file, so that a copy which was ended in any way goes on where it was; days that it had
// not noted are copied again, which changes nothing.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// Source is a store to copy from.
type Source interface {
	// Span returns the times between which there are points; ok is false when there are none.
	Span() (from, to time.Time, ok bool)
	Kiosks(ctx context.Context) ([]string, error)
	// Readings returns what there is of a kiosk in [from, to), by time.
	Readings(ctx context.Context, serial string, from, to time.Time) ([]fleet.Reading, error)
}

// Target is a store to copy to; see telemetry.Store.
type Target interface {
	Append(ctx context.Context, readings []fleet.Reading) error
}

// Config says what to copy.
type Config struct {
	From Source
	To   Target

	Progress string // the file that notes what is done
	Name     string // of the target: a file of another one is refused
	Again    bool   // copy all, whatever the file says

	// Report is called now and then, and at the end; nil for nobody.
	Report func(Progress)
	Now    func() time.Time
	// Pause waits before the target is tried again; it returns ctx's error when that ends first.
	Pause func(ctx context.Context, d time.Duration) error
}

// Progress is how far a copy is.
type Progress struct {
	Days, DaysDone int // of one kiosk each; done in this run or an earlier one
	Readings       int // copied in this run
	Rejected       int // of them, that the target will never take
	FirstRejection string
	Took           time.Duration
	Waiting        error // why the target takes nothing now; nil while it does
}

const (
	day = 24 * time.Hour
	// window is how much of a kiosk is in memory at once.
	window = time.Hour
	// batch is how many readings go to the target at once.
	batch = 5000
	// reportEvery spaces the reports.
	reportEvery = 2 * time.Second
	// Pauses before a target that does not say when to come back is tried again.
	firstPause, lastPause = time.Second, 30 * time.Second
)

// Run copies until all is done, ctx ends, or something needs a person.
func Run(ctx context.Context, cfg Config) (Progress, error) {
	c := &run{cfg: cfg, began: cfg.Now()}
	c.reported = c.began
	err := c.all(ctx)
	c.report(true)
	return c.progress, err
}

type run struct {
	cfg      Config
	ledger   *ledger
	progress Progress
	began    time.Time
	reported time.Time
}

func (c *run) all(ctx context.Context) (err error) {
	if c.ledger, err = openLedger(c.cfg.Progress, c.cfg.Name, c.cfg.Again); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.ledger.close()) }()
	from, to, ok := c.cfg.From.Span()
	if !ok {
		return nil
	}
	kiosks, err := c.cfg.From.Kiosks(ctx)
	if err != nil {
		return err
	}
	first := from.UTC().Truncate(day)
	days := int(to.Sub(first)/day) + 1
	c.progress.Days = days * len(kiosks)
	for _, serial := range kiosks {
		for n := range days {
			at := first.Add(time.Duration(n) * day)
			if !c.ledger.done(serial, at) {
				if err := c.day(ctx, serial, at); err != nil {
					return fmt.Errorf("copy %s of kiosk %s: %w", at.Format(time.DateOnly), serial, err)
				}
			}
			c.progress.DaysDone++
			c.report(false)
		}
	}
	return nil
}

// day copies one day of a kiosk and notes it.
func (c *run) day(ctx context.Context, serial string, at time.Time) error {
	for from := at; from.Before(at.Add(day)); from = from.Add(window) {
		readings, err := c.cfg.From.Readings(ctx, serial, from, from.Add(window))
		if err != nil {
			return err
		}
		for some := range slices.Chunk(readings, batch) {
			if err := c.append(ctx, some); err != nil {
				return err
			}
			c.progress.Readings += len(some)
			c.report(false)
		}
	}
	return c.ledger.note(serial, at)
}

// append writes a batch, however long the target is away.
func (c *run) append(ctx context.Context, readings []fleet.Reading) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := c.cfg.To.Append(ctx, readings)
		var rejected *telemetry.RejectedError
		var later *telemetry.RetryAfterError
		switch {
		case err == nil:
			c.progress.Waiting = nil
			return nil
		case errors.As(err, &rejected):
			c.progress.Waiting = nil
			c.progress.Rejected += len(rejected.Rejected)
			if c.progress.FirstRejection == "" {
				c.progress.FirstRejection = rejected.Rejected[0].Reason
			}
			return nil
		case !errors.As(err, &later):
			return err
		}
		c.progress.Waiting = err
		c.report(true)
		if err := c.cfg.Pause(ctx, max(pause, later.After)); err != nil {
			return err
		}
	}
}

func (c *run) report(now bool) {
	at := c.cfg.Now()
	c.progress.Took = at.Sub(c.began)
	if c.cfg.Report != nil && (now || at.Sub(c.reported) >= reportEvery) {
		c.reported = at
		c.cfg.Report(c.progress)
	}
}
