package train

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/hashed"
)

// Source gives the readings to learn from.
type Source interface {
	// Kiosks returns all kiosks, in any order.
	Kiosks(ctx context.Context) ([]fleet.Kiosk, error)
	// Readings passes a kiosk's gauges in [from, to), oldest first, each reading sorted by metric. The values are good
	// until each returns. An error of each ends the call and is returned.
	Readings(ctx context.Context, serial string, from, to time.Time, each func(at time.Time, values []fleet.Value) error) error
}

// Folder is a source of files in the layout of package synth. What its labels call a fault is left out: it is nothing
// to learn. So are metrics that detectors do not look at.
type Folder struct {
	files *synth.Folder
	at    map[string]int // by serial
}

// OpenFolder returns the source of a folder.
//
// Errors: those of synth.OpenFolder.
func OpenFolder(dir string) (*Folder, error) {
	files, err := synth.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{files: files, at: map[string]int{}}
	for i, k := range files.Kiosks {
		f.at[k.Serial] = i
	}
	return f, nil
}

// Kiosks implements Source.
func (f *Folder) Kiosks(context.Context) ([]fleet.Kiosk, error) {
	all := make([]fleet.Kiosk, len(f.files.Kiosks))
	for i, k := range f.files.Kiosks {
		all[i] = fleet.Kiosk{Serial: k.Serial, Model: k.Model, Site: k.Site}
	}
	return all, nil
}

// Readings implements Source.
func (f *Folder) Readings(ctx context.Context, serial string, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	i, ok := f.at[serial]
	if !ok {
		return fmt.Errorf("kiosk %s: %w", serial, fleet.ErrNotFound)
	}
	k, err := f.files.Kiosk(i)
	if err != nil {
		return err
	}
	return pass(ctx, &k, from, to, each)
}

// pass gives the readings of a kiosk that are in no fault, with the metrics that detectors look at.
func pass(ctx context.Context, k *synth.Kiosk, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	var values []fleet.Value
	for i, at := range k.Times {
		if at.Before(from) || !at.Before(to) || inFault(k.Windows, at) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		values = slices.DeleteFunc(k.Reading(i, values), func(v fleet.Value) bool { return !anomaly.Watched(v.Metric) })
		if err := each(at, values); err != nil {
			return err
		}
	}
	return nil
}

// Watched returns the kiosk with the metrics that detectors look at, and their faults.
func Watched(k synth.Kiosk) synth.Kiosk {
	out := k
	out.Metrics, out.Values = nil, nil
	for i, metric := range k.Metrics {
		if anomaly.Watched(metric) {
			out.Metrics, out.Values = append(out.Metrics, metric), append(out.Values, k.Values[i])
		}
	}
	out.Windows = slices.DeleteFunc(slices.Clone(k.Windows), func(w score.Window) bool {
		return len(w.Metrics) > 0 && !anomaly.Watched(w.Metrics[0])
	})
	return out
}

func inFault(windows []score.Window, at time.Time) bool {
	return slices.ContainsFunc(windows, func(w score.Window) bool { return !at.Before(w.From) && !at.After(w.To) })
}

// Span returns when the first reading of the folder was and just after the last, by its first kiosk.
func (f *Folder) Span() (from, to time.Time, err error) {
	if len(f.files.Kiosks) == 0 {
		return from, to, fmt.Errorf("the folder lists no kiosk: %w", ErrTooLittle)
	}
	k, err := f.files.Kiosk(0)
	if err != nil {
		return from, to, err
	}
	if len(k.Times) == 0 {
		return from, to, fmt.Errorf("kiosk %s has no reading: %w", k.Serial, ErrTooLittle)
	}
	return k.Times[0], k.Times[len(k.Times)-1].Add(time.Millisecond), nil
}

// sample picks at most n kiosks, of the same fleet the same ones, in an order that has nothing to do with their serials.
func sample(kiosks []fleet.Kiosk, n int) []fleet.Kiosk {
	out := slices.SortedFunc(slices.Values(kiosks), func(a, b fleet.Kiosk) int {
		return cmp.Or(cmp.Compare(hashed.Of(hashed.Text(a.Serial)), hashed.Of(hashed.Text(b.Serial))), cmp.Compare(a.Serial, b.Serial))
	})
	return out[:min(n, len(out))]
}

// zoneOf returns a kiosk's time zone; UTC for one that is not known.
func zoneOf(k *fleet.Kiosk) *time.Location {
	zone, err := time.LoadLocation(k.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// thinned returns each as it is called for at most one reading per step.
func thinned(step time.Duration, each func(time.Time, []fleet.Value) error) func(time.Time, []fleet.Value) error {
	if step <= 0 {
		return each
	}
	var next time.Time
	return func(at time.Time, values []fleet.Value) error {
		if at.Before(next) {
			return nil
		}
		next = at.Truncate(step).Add(step)
		return each(at, values)
	}
}
