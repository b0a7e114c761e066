package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
)

// copyOut is the result of a copy as the subcommand prints it.
type copyOut struct {
	KioskDays int     `json:"kiosk_days"`
	Done      int     `json:"kiosk_days_done"`
	Readings  int     `json:"readings"`
	Rejected  int     `json:"rejected"`
	Reason    string  `json:"rejected_because,omitempty"`
	Seconds   float64 `json:"seconds"`
}

func (t *tool) telemetry() *cobra.Command {
	var from, to string
	var again bool
	c := &cobra.Command{
		Use: "copy", Short: "Copy the history of the embedded store into InfluxDB", Args: cobra.NoArgs,
		Long: `copy writes what the embedded store holds into the InfluxDB of the configuration (influxdb.*). It notes
what is done in the data folder: ended in any way, it goes on there the next time. What InfluxDB has already
is not changed. Numbers are copied; texts and states were never in the embedded store.

Set telemetry.backend to influxdb and start admin again first: new readings then go to InfluxDB, and the
embedded store is free to be copied while admin runs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from != app.BackendEmbedded || to != app.BackendInfluxDB {
				return fmt.Errorf("--from %s --to %s: only --from %s --to %s is possible", from, to, app.BackendEmbedded, app.BackendInfluxDB)
			}
			cfg, log, err := t.load(cmd)
			if err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(cfg.DataDir, "telemetry")); err != nil {
				return fmt.Errorf("there is no embedded store to copy: %w", err)
			}
			p, err := app.CopyTelemetry(cmd.Context(), cfg, again, func(p app.CopyProgress) {
				fmt.Fprintln(cmd.ErrOrStderr(), copyLine(p))
			}, log)
			if err != nil {
				return fmt.Errorf("%w; %d of %d days of kiosks are copied, the same command goes on there", err, p.DaysDone, p.Days)
			}
			out := copyOut{p.Days, p.DaysDone, p.Readings, p.Rejected, p.FirstRejection, p.Took.Seconds()}
			return t.print(cmd, out, func(w io.Writer) {
				fmt.Fprintf(w, "copied: %s\n", copyLine(p))
				if p.Rejected > 0 {
					fmt.Fprintf(w, "InfluxDB refused %d readings for good, the first because %s\n", p.Rejected, p.FirstRejection)
				}
			})
		},
	}
	c.Flags().StringVar(&from, "from", app.BackendEmbedded, "store to copy from")
	c.Flags().StringVar(&to, "to", app.BackendInfluxDB, "store to copy to")
	c.Flags().BoolVar(&again, "again", false, "copy everything, whatever is noted as done")
	return group("telemetry", "Work on the time series", c)
}

// copyLine says how far a copy is, and how fast.
func copyLine(p app.CopyProgress) string {
	text := fmt.Sprintf("%d of %d days of kiosks, %d readings in %v", p.DaysDone, p.Days, p.Readings, p.Took.Round(time.Second))
	if s := p.Took.Seconds(); s >= 1 {
		text += fmt.Sprintf(", %.0f a second", float64(p.Readings)/s)
	}
	if p.Waiting != nil {
		text += "; waiting, since " + p.Waiting.Error()
	}
	return text
}
