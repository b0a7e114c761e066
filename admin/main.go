// Command admin is the platform: broker, ingest, stores, API and the operators' page in one program.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	_ "time/tzdata" // the time zones of kiosks and queries, also where the system has none

	"kioskfleet/admin/app"
	"kioskfleet/admin/cli"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/gcpace"
)

func main() {
	daemon.Program[app.Config]{
		Name:  "admin",
		Short: "Run and administer a fleet of kiosks",
		Long: `admin serves the fleet: kiosks connect to its MQTT broker with client certificates, operators use its
page and API. It starts with an empty data folder. The subcommands work on the data folder, also while
the server runs.`,
		Default:  app.DefaultConfig,
		Log:      func(c *app.Config) daemon.Log { return c.Log },
		Run:      run,
		Commands: cli.Commands,
	}.Main()
}

// ballastBytes lets the garbage collector begin at twice as many bytes at the earliest.
const ballastBytes = 64 << 20

func run(ctx context.Context, cfg *app.Config, log *slog.Logger) error {
	go gcpace.Run(ctx, ballastBytes)
	a, err := app.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	if a.InitialPassword != "" {
		fmt.Fprintf(os.Stdout, "\nFirst start: log in at %s as admin with the password %s\n(also in %s/initial-admin-password)\n\n", a.URL(), a.InitialPassword, cfg.DataDir)
	}
	return a.Run(ctx)
}
