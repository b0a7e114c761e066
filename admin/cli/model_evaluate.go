package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/app"
	"kioskfleet/admin/fleet"
)

// evaluatedOut is what an evaluation of models says.
type evaluatedOut struct {
	Version string              `json:"version"`
	Figures *fleet.ModelFigures `json:"figures"`
	Current string              `json:"current,omitempty"` // that it was compared with
	Against *fleet.ModelFigures `json:"against,omitempty"`
	Checks  []fleet.ModelCheck  `json:"checks,omitempty"`
}

func (t *tool) evaluateModel() *cobra.Command {
	var format string
	var days float64
	var nab nabFlags
	c := &cobra.Command{
		Use: "evaluate [VERSION]", Short: "Measure how well anomalies are found", Args: cobra.MaximumNArgs(1),
		Long: `evaluate measures a model, by default the one at work, on new kiosks that begin with what it knows, and
compares it with the one at work. It looks at a folder as admin model synth writes it (--data), with the faults
that its labels name or, where there are none, with injected ones; without --data at the last days of the
time-series store with injected faults. All figures are those of the configured budget of alarms.

With --format nab, evaluate scores a folder of <category>/<file>.csv with the columns timestamp,value and
writes the results into --out in the layout of the Numenta benchmark. No label is read for it: --labels
(combined_windows.json) serves the report only, which then says what the alarms are worth.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case format == "nab" && len(args) > 0:
				return fmt.Errorf("--format nab takes no version: single series have no model")
			case format == "nab":
				return t.evaluateNab(cmd, nab)
			case format != "" && format != "fleet":
				return fmt.Errorf("--format %q is unknown, use fleet or nab", format)
			}
			for _, only := range []string{"labels", "out", "detector", "false-per-day"} {
				if cmd.Flags().Changed(only) {
					return fmt.Errorf("--%s is for --format nab", only)
				}
			}
			if !(days >= 1 && days <= 365) {
				return fmt.Errorf("--days %g: give 1 to 365", days)
			}
			return t.evaluateFleet(cmd, args, nab.data, time.Duration(days*float64(24*time.Hour)))
		},
	}
	c.Flags().StringVar(&format, "format", "", "fleet, the default: kiosks; nab: a folder of single series")
	c.Flags().StringVar(&nab.data, "data", "", "folder with the data; default: the time-series store")
	c.Flags().Float64Var(&days, "days", 3, "how far back to look in the time-series store")
	c.Flags().StringVar(&nab.labels, "labels", "", "with --format nab: JSON file of the windows in which something was wrong")
	c.Flags().StringVar(&nab.out, "out", "", "with --format nab: folder for the results")
	c.Flags().StringVar(&nab.detector, "detector", "kioskfleet", "with --format nab: name of the detector in the results")
	c.Flags().Float64Var(&nab.falsePerDay, "false-per-day", 0.1, "with --format nab: false alarms per series and day that the report allows")
	return c
}

func (t *tool) evaluateFleet(cmd *cobra.Command, args []string, data string, window time.Duration) error {
	cfg, log, err := t.load(cmd)
	if err != nil {
		return err
	}
	ctx, registry := cmd.Context(), app.OpenModels(cfg)
	current, _, err := registry.Current(ctx)
	if err != nil {
		return err
	}
	models := []*model.File{current}
	if len(args) > 0 && args[0] != current.Version {
		m, err := registry.Load(ctx, args[0])
		if err != nil {
			return err
		}
		models = []*model.File{m, current}
	}
	found, err := t.evaluations(cmd, cfg, log, data, window, models)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	out := evaluatedOut{Version: models[0].Version, Figures: &found[0].ModelFigures}
	var against *fleet.ModelFigures
	var checks []fleet.ModelCheck
	if len(models) > 1 {
		against, checks = &found[1].ModelFigures, train.Gate(found[0], found[1], cfg.Anomaly.Budget)
		out.Current, out.Against, out.Checks = current.Version, against, checks
	}
	return t.print(cmd, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", out.Version)
		tableOfFigures(w, &found[0].ModelFigures, against)
		if len(checks) > 0 {
			fmt.Fprintln(w)
			listChecks(w, checks)
		}
	})
}

func (t *tool) evaluations(cmd *cobra.Command, cfg *app.Config, log *slog.Logger, data string, window time.Duration, models []*model.File) (found []train.Evaluation, err error) {
	if data != "" {
		return app.EvaluateModels(cmd.Context(), cfg, data, models...)
	}
	err = t.run(cmd, func(ctx context.Context, o *app.Offline, _ string) error {
		found, err = o.EvaluateOnHistory(ctx, cfg, window, log, models...)
		return err
	})
	return found, err
}
