// Package daemon is the main function that all programs share: command line, configuration, logging
// and signals. A program states its defaults and what to run; everything else is the same.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/internal/config"
)

// Version is the platform's version; the build sets it with -ldflags -X.
var Version = "dev"

// Program describes one program with configuration C.
type Program[C any] struct {
	Name  string
	Short string
	Long  string
	// Default returns the configuration before file, environment and flags.
	Default func() *C
	// Log picks the logging part of the configuration.
	Log func(*C) Log
	// Run does the program's main job until ctx ends.
	Run func(ctx context.Context, cfg *C, log *slog.Logger) error
	// Commands returns the subcommands, if any; each loads its configuration with load.
	Commands func(load Loader[C]) []*cobra.Command
}

// Loader reads the configuration that a subcommand was called with and makes its logger, which
// writes to the command's error stream.
type Loader[C any] func(cmd *cobra.Command) (*C, *slog.Logger, error)

// Command returns the program's command line.
func (p Program[C]) Command() *cobra.Command {
	cfg := p.Default()
	var file string
	var checkOnly bool
	root := &cobra.Command{
		Use:           p.Name,
		Short:         p.Short,
		Long:          p.Long,
		Version:       Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	config.RegisterFlags(root.PersistentFlags(), cfg)
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().StringVarP(&file, "config", "c", "", "configuration file, YAML ("+config.EnvPrefix+"CONFIG)")
	root.Flags().BoolVar(&checkOnly, "check-config", false, "check the configuration and stop")

	load := func(cmd *cobra.Command) (*C, *slog.Logger, error) {
		environ := config.Environ()
		if file == "" {
			file = os.Getenv(config.EnvPrefix + "CONFIG")
		}
		warnings, err := config.Load(cfg, file, withoutConfigVariable(environ), cmd.Flags())
		if err != nil {
			return nil, nil, err
		}
		log, err := p.Log(cfg).Logger(cmd.ErrOrStderr())
		if err != nil {
			return nil, nil, err
		}
		if cmd == root {
			for _, w := range warnings {
				log.Warn("configuration", "warning", w)
			}
		}
		return cfg, log, nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := load(cmd)
		if err != nil {
			return err
		}
		if checkOnly {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "configuration is valid")
			return err
		}
		return p.Run(cmd.Context(), cfg, log)
	}
	if p.Commands != nil {
		root.AddCommand(p.Commands(load)...)
	}
	return root
}

func withoutConfigVariable(environ []string) []string {
	out := make([]string, 0, len(environ))
	for _, kv := range environ {
		if !strings.HasPrefix(kv, config.EnvPrefix+"CONFIG=") {
			out = append(out, kv)
		}
	}
	return out
}

// sameOrder is how long a further signal belongs to the first: timeout(1) sends its signal to the process
// and then to the whole group.
const sameOrder = 300 * time.Millisecond

// Main runs the program with the process's arguments until it ends or SIGINT or SIGTERM comes, and
// exits: 0 after a clean end, 1 after an error. A second signal ends the process at once.
func (p Program[C]) Main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		for first := time.Now(); time.Since(first) < sameOrder; {
			<-signals
		}
		os.Exit(130)
	}()
	err := p.Command().ExecuteContext(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}
