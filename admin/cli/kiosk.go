package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
	"kioskfleet/admin/fleet"
)

// kioskOut is a registered kiosk as the subcommands print it.
type kioskOut struct {
	Serial    string          `json:"serial"`
	KioskID   int64           `json:"kiosk_id"`
	Site      string          `json:"site"`
	Tags      []string        `json:"tags"`
	Model     string          `json:"model"`
	Timezone  string          `json:"timezone"`
	Location  *fleet.Location `json:"location,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	RevokedAt *time.Time      `json:"revoked_at,omitempty"`
}

func outKiosk(k *fleet.Kiosk) kioskOut {
	return kioskOut{k.Serial, k.ID, k.Site, k.Tags, k.Model, k.Timezone, k.Location, k.CreatedAt, k.RevokedAt}
}

func (t *tool) kiosks() *cobra.Command {
	var k fleet.Kiosk
	var lat, lng float64
	add := &cobra.Command{
		Use: "add SERIAL", Short: "Register a kiosk, so that it may enrol", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k.Serial = args[0]
			switch {
			case cmd.Flags().Changed("lat") != cmd.Flags().Changed("lng"):
				return fmt.Errorf("--lat and --lng go together")
			case cmd.Flags().Changed("lat"):
				k.Location = &fleet.Location{Lat: lat, Lng: lng}
			}
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				added, err := o.Kiosks.Add(ctx, k, actor)
				if err != nil {
					return err
				}
				return t.print(cmd, outKiosk(added), func(w io.Writer) { fmt.Fprintf(w, "registered %s as kiosk %d\n", added.Serial, added.ID) })
			})
		},
	}
	add.Flags().StringVar(&k.Site, "site", "", "site")
	add.Flags().StringSliceVar(&k.Tags, "tags", nil, "tags, comma-separated")
	add.Flags().StringVar(&k.Model, "model", "", "model")
	add.Flags().StringVar(&k.Timezone, "timezone", "", "IANA time zone")
	add.Flags().Float64Var(&lat, "lat", 0, "latitude of its place, degrees")
	add.Flags().Float64Var(&lng, "lng", 0, "longitude of its place, degrees")

	list := &cobra.Command{
		Use: "list", Short: "List registered kiosks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd, func(_ context.Context, o *app.Offline, _ string) error {
				kiosks := o.Kiosks.All()
				slices.SortFunc(kiosks, func(a, b *fleet.Kiosk) int { return cmp.Compare(a.Serial, b.Serial) })
				out := make([]kioskOut, len(kiosks))
				for i, k := range kiosks {
					out[i] = outKiosk(k)
				}
				return t.print(cmd, out, func(w io.Writer) {
					for _, k := range out {
						state := ""
						if k.RevokedAt != nil {
							state = "revoked"
						}
						fmt.Fprintf(w, "%-24s %-20s %-16s %s\n", k.Serial, k.Site, k.Model, state)
					}
				})
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke SERIAL", Short: "Revoke a kiosk's certificates; it may enrol again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				k, err := o.Kiosks.Revoke(ctx, args[0], actor)
				if err != nil {
					return err
				}
				return t.print(cmd, outKiosk(k), func(w io.Writer) { fmt.Fprintf(w, "revoked %s\n", k.Serial) })
			})
		},
	}
	remove := &cobra.Command{
		Use: "delete SERIAL", Short: "Remove a kiosk from the registry", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				if err := o.Kiosks.Delete(ctx, args[0], actor); err != nil {
					return err
				}
				return t.print(cmd, map[string]string{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", args[0]) })
			})
		},
	}
	return group("kiosk", "Register, list, revoke and delete kiosks", add, list, revoke, remove)
}
