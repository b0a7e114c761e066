// Package cli holds admin's subcommands. They work on the data folder, also while the server runs, and
// print text for people or, with --json, JSON for scripts.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
	"kioskfleet/internal/daemon"
)

// Commands returns the subcommands.
func Commands(load daemon.Loader[app.Config]) []*cobra.Command {
	t := &tool{load: load}
	commands := []*cobra.Command{t.kiosks(), t.enrollTokens(), t.apiTokens(), t.users(), t.broker(), t.telemetry(), t.rollups(), t.models()}
	for _, c := range commands {
		c.PersistentFlags().BoolVar(&t.json, "json", false, "print JSON")
	}
	return commands
}

// tool is what the subcommands share.
type tool struct {
	load daemon.Loader[app.Config]
	json bool
}

// run opens the data folder for one subcommand.
func (t *tool) run(cmd *cobra.Command, f func(ctx context.Context, o *app.Offline, actor string) error) error {
	cfg, log, err := t.load(cmd)
	if err != nil {
		return err
	}
	o, err := app.OpenOffline(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	err = f(cmd.Context(), o, actor())
	if closeErr := o.Close(); err == nil {
		err = closeErr
	}
	return err
}

// actor names who runs the command in the audit log.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "cli:" + u.Username
	}
	return "cli"
}

// print writes v as JSON, or calls text.
func (t *tool) print(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	w := cmd.OutOrStdout()
	if !t.json {
		text(w)
		return nil
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("%s needs a subcommand; see %s --help", name, cmd.CommandPath())
	}}
	c.AddCommand(commands...)
	return c
}
