package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/app"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/hashed"
)

// trainedOut is what a training says: the model, or that the server makes it.
type trainedOut struct {
	*fleet.ModelJSON
	Ordered bool `json:"ordered"` // the running server does it
}

func (t *tool) trainModel() *cobra.Command {
	var data string
	var days float64
	var promote, fromStore bool
	c := &cobra.Command{
		Use: "train", Short: "Train a model on what kiosks reported, and judge it", Args: cobra.NoArgs,
		Long: `train learns what is usual from the readings of many kiosks, holds some kiosks and the last days out,
injects faults into these and compares the new model with the one at work. A model that does worse, or whose
data holds a sensor at fault, is kept as refused, with the reason.

It reads the time-series store, or with --data a folder as admin model synth writes it, whose labelled faults
it leaves out. While a server runs on the data folder, it leaves an order for the server, which begins within
seconds; admin model list shows the model when it is made.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fromStore && data != "" {
				return errors.New("--from-store and --data exclude each other")
			}
			if cmd.Flags().Changed("days") && !(days >= 2 && days <= 3660) {
				return fmt.Errorf("--days %g: give 2 to 3660", days)
			}
			cfg, log, err := t.load(cmd)
			if err != nil {
				return err
			}
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				m, ordered, err := o.TrainModel(ctx, cfg, app.Training{
					Folder: data, Window: time.Duration(days * float64(24*time.Hour)), Promote: promote, Actor: actor, Progress: t.progress(cmd),
				}, log)
				if err != nil {
					return fmt.Errorf("train: %w", err)
				}
				if ordered {
					return t.print(cmd, trainedOut{Ordered: true}, func(w io.Writer) {
						fmt.Fprintln(w, "the running server trains the model, beginning within seconds; admin model list shows it, and where it cannot, its log says why")
					})
				}
				out := m.JSON()
				return t.print(cmd, trainedOut{ModelJSON: &out}, func(w io.Writer) { describeModel(w, m, nil) })
			})
		},
	}
	c.Flags().BoolVar(&fromStore, "from-store", false, "read the time-series store, which is the default")
	c.Flags().StringVar(&data, "data", "", "read this folder instead")
	c.Flags().Float64Var(&days, "days", 0, "how far back to look; default: as configured, or all of the folder")
	c.Flags().BoolVar(&promote, "promote", false, "put the model to work if it is no worse than the one at work")
	return c
}

// progress returns what tells people how far a training is, at each tenth; with --json nobody reads it.
func (t *tool) progress(cmd *cobra.Command) func(stage string, done float64) {
	if t.json {
		return nil
	}
	told, last := "", -1
	return func(stage string, done float64) {
		if tenth := int(10 * done); stage != told || tenth != last {
			told, last = stage, tenth
			fmt.Fprintf(cmd.ErrOrStderr(), "%s, %d%%\n", stage, 10*tenth)
		}
	}
}

// synthOut is what was made.
type synthOut struct {
	Out    string `json:"out"`
	Kiosks int    `json:"kiosks"`
	Days   int    `json:"days"`
	Faults int    `json:"faults"`
	Seed   uint64 `json:"seed"`
}

func (t *tool) synthModel() *cobra.Command {
	var o synth.Options
	var out string
	var names []string
	var perWeek float64
	c := &cobra.Command{
		Use: "synth", Short: "Make a labelled synthetic fleet", Args: cobra.NoArgs,
		Long: `synth writes readings of kiosks that live as real ones do, with faults in them, into a folder: fleet.json,
which lists the kiosks and what is wrong with them, and a CSV file for each kiosk. The same seed gives the
same fleet.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return errors.New("synth needs --out, the folder to write into")
			}
			if err := o.Validate(); err != nil {
				return err
			}
			kinds, err := kindsOf(names)
			if err != nil {
				return err
			}
			if !(perWeek >= 0 && perWeek <= 50) {
				return fmt.Errorf("--faults-per-week %g: give 0 to 50", perWeek)
			}
			if _, err := os.Stat(filepath.Join(out, "fleet.json")); err == nil {
				return fmt.Errorf("--out: %s holds a fleet already", out)
			}
			if err := writable(out); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			made := synthOut{Out: out, Kiosks: o.Kiosks, Days: o.Days, Seed: o.Seed}
			if err := synth.WriteFleet(out, faulty(cmd.Context(), o, kinds, perWeek, &made.Faults)); err != nil {
				return err
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			return t.print(cmd, made, func(w io.Writer) {
				fmt.Fprintf(w, "made %d kiosks with %d faults in %d days in %s\n", made.Kiosks, made.Faults, made.Days, made.Out)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to write into")
	c.Flags().IntVar(&o.Kiosks, "kiosks", 20, "kiosks")
	c.Flags().IntVar(&o.Days, "days", 14, "days")
	c.Flags().DurationVar(&o.Step, "step", 5*time.Minute, "time from reading to reading")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed that everything is drawn from")
	c.Flags().StringSliceVar(&names, "faults", []string{"all"}, "kinds of faults: none, all, or some of "+strings.Join(kindNames(), ", "))
	c.Flags().Float64Var(&perWeek, "faults-per-week", 2, "faults of each kiosk in a week")
	return c
}

// faulty makes the kiosks with their faults, one after the other, and counts the faults.
func faulty(ctx context.Context, o synth.Options, kinds []synth.Kind, perWeek float64, count *int) iter.Seq[synth.Kiosk] {
	n := int(math.Round(perWeek * float64(o.Days) / 7))
	return func(yield func(synth.Kiosk) bool) {
		for k := range o.Fleet() {
			if len(kinds) > 0 && n > 0 {
				k = withFaults(k, hashed.Of(o.Seed, hashed.Text(k.Serial)), n, kinds)
			}
			*count += len(k.Windows)
			if ctx.Err() != nil || !yield(k) {
				return
			}
		}
	}
}

// withFaults returns the kiosk with faults in metrics that detectors look at.
func withFaults(k synth.Kiosk, seed uint64, n int, kinds []synth.Kind) synth.Kiosk {
	watched := synth.InjectKiosk(train.Watched(k), seed, n, kinds...)
	k.Windows, k.Values = watched.Windows, slices.Clone(k.Values)
	for i, metric := range watched.Metrics {
		k.Values[slices.Index(k.Metrics, metric)] = watched.Values[i]
	}
	return k
}

func kindNames() []string {
	var names []string
	for _, k := range synth.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// kindsOf reads the kinds of faults; none is empty.
func kindsOf(names []string) ([]synth.Kind, error) {
	var kinds []synth.Kind
	for _, name := range names {
		switch kind, ok := synth.KindOf(name); {
		case name == "all" && len(names) == 1:
			return synth.Kinds(), nil
		case name == "none" && len(names) == 1:
			return nil, nil
		case !ok:
			return nil, fmt.Errorf("--faults %q is unknown, use none, all, or some of %s", name, strings.Join(kindNames(), ", "))
		default:
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}
