package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
)

func (t *tool) broker() *cobra.Command {
	var hosts []string
	files := &cobra.Command{
		Use: "files DIR", Short: "Write CA, certificate and key for a stand-alone broker", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd, func(_ context.Context, o *app.Offline, _ string) error {
				if err := o.WriteBrokerFiles(args[0], hosts); err != nil {
					return err
				}
				return t.print(cmd, map[string]any{"dir": args[0], "hosts": hosts}, func(w io.Writer) {
					fmt.Fprintf(w, "wrote ca.pem, server.pem and server-key.pem to %s; start the broker with --tls-dir %s\n", args[0], args[0])
				})
			})
		},
	}
	files.Flags().StringSliceVar(&hosts, "broker-hosts", []string{"localhost", "127.0.0.1"}, "names by which kiosks reach the broker")
	return group("broker", "Prepare a stand-alone broker", files)
}
