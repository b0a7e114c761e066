package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/app"
	"kioskfleet/admin/fleet"
)

func (t *tool) models() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the models, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.registry(cmd, func(ctx context.Context, r *model.Registry) error {
				models, err := r.Models(ctx)
				if err != nil {
					return err
				}
				out := make([]fleet.ModelJSON, len(models))
				for i, m := range models {
					out[i] = m.JSON()
				}
				return t.print(cmd, out, func(w io.Writer) { tableOfModels(w, models) })
			})
		},
	}
	show := &cobra.Command{
		Use: "show [VERSION]", Short: "Show a model, by default the one at work, and what happened to it", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.registry(cmd, func(ctx context.Context, r *model.Registry) error {
				version, err := oneOrCurrent(ctx, r, args)
				if err != nil {
					return err
				}
				m, err := r.Model(ctx, version)
				if err != nil {
					return err
				}
				history, err := r.History(ctx)
				if err != nil {
					return err
				}
				history = slices.DeleteFunc(history, func(e model.Event) bool { return e.Version != version })
				out := struct {
					fleet.ModelJSON
					History []model.Event `json:"history"`
				}{m.JSON(), history}
				return t.print(cmd, out, func(w io.Writer) { describeModel(w, m, history) })
			})
		},
	}
	export := &cobra.Command{
		Use: "export VERSION FILE", Short: "Write a model's file for another machine", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.registry(cmd, func(ctx context.Context, r *model.Registry) error {
				if err := r.Export(ctx, args[0], args[1]); err != nil {
					return err
				}
				return t.print(cmd, map[string]string{"version": args[0], "file": args[1]}, func(w io.Writer) { fmt.Fprintf(w, "wrote %s\n", args[1]) })
			})
		},
	}
	return group("model", "Train, judge and choose what anomaly detection knows of the fleet",
		t.synthModel(), t.trainModel(), t.evaluateModel(), list, show, t.promoteModel(), t.rollBackModel(), export, t.importModel())
}

func (t *tool) promoteModel() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "promote VERSION", Short: "Put a model to work; " + model.BuiltIn + " is the one without anything learnt", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.changeModel(cmd, "model.promote", func(ctx context.Context, r *model.Registry, actor string) (fleet.Model, error) {
				if force {
					return r.PromoteFor(ctx, args[0], "", "promoted by hand, whatever the gate said", actor)
				}
				return r.Promote(ctx, args[0], actor)
			}, "%s is at work\n")
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also one that the gate refused")
	return c
}

func (t *tool) rollBackModel() *cobra.Command {
	return &cobra.Command{
		Use: "rollback", Short: "Put the model that was at work before back to work", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.changeModel(cmd, "model.rollback", func(ctx context.Context, r *model.Registry, actor string) (fleet.Model, error) {
				return r.Rollback(ctx, actor)
			}, "%s is at work again\n")
		},
	}
}

func (t *tool) importModel() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Keep a model of another machine as a candidate", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.changeModel(cmd, "model.import", func(ctx context.Context, r *model.Registry, actor string) (fleet.Model, error) {
				return r.Import(ctx, args[0], actor)
			}, "imported %s; admin model promote puts it to work\n")
		},
	}
}

// registry runs f on the models of the data folder, which needs nothing else of it.
func (t *tool) registry(cmd *cobra.Command, f func(ctx context.Context, r *model.Registry) error) error {
	cfg, _, err := t.load(cmd)
	if err != nil {
		return err
	}
	return f(cmd.Context(), app.OpenModels(cfg))
}

// changeModel runs a change of the registry, notes it in the audit log and prints the model.
func (t *tool) changeModel(cmd *cobra.Command, action string, change func(ctx context.Context, r *model.Registry, actor string) (fleet.Model, error), text string) error {
	cfg, _, err := t.load(cmd)
	if err != nil {
		return err
	}
	return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
		m, err := change(ctx, app.OpenModels(cfg), actor)
		if err != nil {
			return err
		}
		if err := o.Audit(ctx, actor, action, m.Version, m.Reason); err != nil {
			return err
		}
		return t.print(cmd, m.JSON(), func(w io.Writer) { fmt.Fprintf(w, text, m.Version) })
	})
}

// oneOrCurrent returns the version that was asked for, or the one at work.
func oneOrCurrent(ctx context.Context, r *model.Registry, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	models, err := r.Models(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(models, func(m fleet.Model) bool { return m.State == fleet.ModelCurrent })
	if i < 0 {
		return "", fmt.Errorf("the model at work is not in the registry: %w", fleet.ErrNotFound)
	}
	return models[i].Version, nil
}

func tableOfModels(w io.Writer, models []fleet.Model) {
	fmt.Fprintf(w, "%-26s %-12s %-10s %-17s %7s %7s %10s %10s  %s\n", "VERSION", "STATE", "ORIGIN", "CREATED", "KIOSKS", "RECALL", "PRECISION", "FALSE/DAY", "WHY")
	for _, m := range models {
		created := ""
		if !m.CreatedAt.IsZero() {
			created = m.CreatedAt.UTC().Format("2006-01-02 15:04Z")
		}
		f := m.Figures
		if f == nil {
			f = unknownFigures()
		}
		fmt.Fprintf(w, "%-26s %-12s %-10s %-17s %7d %7s %10s %10s  %s\n",
			m.Version, m.State, m.Origin, created, m.Kiosks, figure(f.Recall), figure(f.Precision), figure(f.FalsePerDay), m.Reason)
	}
}

func describeModel(w io.Writer, m fleet.Model, history []model.Event) {
	fmt.Fprintf(w, "%s is %s: %s\n", m.Version, m.State, m.Reason)
	if !m.TrainedFrom.IsZero() {
		fmt.Fprintf(w, "trained on %d kiosks, %d readings, %s to %s\n", m.Kiosks, m.Readings, stamp(m.TrainedFrom), stamp(m.TrainedTo))
	}
	if m.SHA256 != "" {
		fmt.Fprintf(w, "file of %d bytes, SHA-256 %s\n", m.Bytes, m.SHA256)
	}
	if m.Figures != nil {
		fmt.Fprintln(w)
		tableOfFigures(w, m.Figures, m.Against)
	}
	if len(m.Checks) > 0 {
		fmt.Fprintln(w)
		listChecks(w, m.Checks)
	}
	if len(history) > 0 {
		fmt.Fprintln(w)
	}
	for _, e := range history {
		fmt.Fprintf(w, "%s  %-10s %-16s %s\n", stamp(e.At), e.Action, e.By, e.Reason)
	}
}

func listChecks(w io.Writer, checks []fleet.ModelCheck) {
	for _, c := range checks {
		mark := "ok    "
		if !c.Passed {
			mark = "FAILED"
		}
		fmt.Fprintf(w, "%s %-18s %s\n", mark, c.Name, strings.ReplaceAll(c.Text, "\n", " "))
	}
}
