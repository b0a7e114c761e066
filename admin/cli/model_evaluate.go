package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (t *tool) evaluateModel() *cobra.Command {
	var format string
	var nab nabFlags
	c := &cobra.Command{
		Use: "evaluate", Short: "Measure how well anomalies are found", Args: cobra.NoArgs,
		Long: `With --format nab, evaluate scores a folder of <category>/<file>.csv with the columns timestamp,value and
writes the results into --out in the layout of the Numenta benchmark. No label is read for it: --labels
(combined_windows.json) serves the report only, which then says what the alarms are worth.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "nab" {
				return fmt.Errorf("--format %q is unknown, use nab", format)
			}
			return t.evaluateNab(cmd, nab)
		},
	}
	c.Flags().StringVar(&format, "format", "", "nab: a folder of single series")
	c.Flags().StringVar(&nab.data, "data", "", "folder with the data")
	c.Flags().StringVar(&nab.labels, "labels", "", "with --format nab: JSON file of the windows in which something was wrong")
	c.Flags().StringVar(&nab.out, "out", "", "with --format nab: folder for the results")
	c.Flags().StringVar(&nab.detector, "detector", "kioskfleet", "with --format nab: name of the detector in the results")
	c.Flags().Float64Var(&nab.falsePerDay, "false-per-day", 0.1, "with --format nab: false alarms per series and day that the report allows")
	return c
}
