package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
	"kioskfleet/internal/protocol"
)

// rebuildOut is what a rebuild printed with --json says.
type rebuildOut struct {
	Serial string `json:"serial,omitempty"`
	From   string `json:"from"`
	To     string `json:"to"`
	Days   int    `json:"days"`
	Done   bool   `json:"done"` // false: the running server does it
}

// maxRebuildDays bounds what one call marks.
const maxRebuildDays = 3660

func (t *tool) rollups() *cobra.Command {
	var from, to, serial string
	rebuild := &cobra.Command{
		Use: "rebuild", Short: "Make rollups again from raw readings", Args: cobra.NoArgs,
		Long: "Marks days to be made again from raw readings. While a server runs on the data folder it does the work within\n" +
			"a minute, otherwise this command does. A rollup is kept when fewer raw readings are left than it was made of.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := t.load(cmd)
			if err != nil {
				return err
			}
			last, err := day("to", to, time.Now().UTC())
			if err != nil {
				return err
			}
			first, err := day("from", from, last.Add(-cfg.Telemetry.Retention))
			if err != nil {
				return err
			}
			switch {
			case last.Before(first):
				return fmt.Errorf("--from %s is after --to %s", first.Format(time.DateOnly), last.Format(time.DateOnly))
			case last.Sub(first) > maxRebuildDays*24*time.Hour:
				return fmt.Errorf("--from %s to --to %s is more than %d days; rebuild it in parts", first.Format(time.DateOnly), last.Format(time.DateOnly), maxRebuildDays)
			}
			if serial != "" {
				if err := protocol.CheckSerial(serial); err != nil {
					return fmt.Errorf("--serial: %w", err)
				}
			}
			return t.run(cmd, func(ctx context.Context, o *app.Offline, _ string) error {
				days, done, err := o.RebuildRollups(ctx, cfg, serial, first, last, log)
				if err != nil {
					return fmt.Errorf("rebuild rollups: %w", err)
				}
				out := rebuildOut{Serial: serial, From: first.Format(time.DateOnly), To: last.Format(time.DateOnly), Days: days, Done: done}
				return t.print(cmd, out, func(w io.Writer) {
					if done {
						fmt.Fprintf(w, "made %d days again\n", days)
					} else {
						fmt.Fprintf(w, "marked %d days; the server makes them again, beginning within a minute\n", days)
					}
				})
			})
		},
	}
	rebuild.Flags().StringVar(&from, "from", "", "first day in UTC, such as 2026-03-01; default: as far back as raw readings are kept")
	rebuild.Flags().StringVar(&to, "to", "", "last day in UTC; default: today")
	rebuild.Flags().StringVar(&serial, "serial", "", "only this kiosk; default: all")
	return group("rollup", "Summaries of readings", rebuild)
}

// day reads a date; empty means the fallback's.
func day(flag, text string, fallback time.Time) (time.Time, error) {
	if text == "" {
		return fallback.UTC().Truncate(24 * time.Hour), nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1971 || t.Year() > 2261 {
		return t, fmt.Errorf("--%s: %q is not a day such as 2026-03-01", flag, text)
	}
	return t, nil
}
