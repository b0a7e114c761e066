package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
	"kioskfleet/admin/fleet"
)

type enrollTokenOut struct {
	ID            string    `json:"id"`
	Token         string    `json:"token,omitempty"`
	SerialPattern string    `json:"serial_pattern"`
	MaxUses       int       `json:"max_uses"`
	Uses          int       `json:"uses"`
	ExpiresAt     time.Time `json:"expires_at"`
}

func (t *tool) enrollTokens() *cobra.Command {
	var pattern string
	var uses int
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Issue a token by which registered kiosks fetch certificates", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				token, text, err := o.CreateEnrollmentToken(ctx, pattern, uses, expires, actor)
				if err != nil {
					return err
				}
				out := enrollTokenOut{token.ID, text, token.SerialPattern, token.MaxUses, token.Uses, token.ExpiresAt}
				return t.print(cmd, out, func(w io.Writer) {
					fmt.Fprintf(w, "%s\n", text)
					fmt.Fprintf(cmd.ErrOrStderr(), "for %s, %d uses, until %s; it is not shown again\n", token.SerialPattern, token.MaxUses, stamp(token.ExpiresAt))
				})
			})
		},
	}
	create.Flags().StringVar(&pattern, "pattern", "", "serials that may use it, a glob such as 'SIM-KIOSK-*'")
	create.Flags().IntVar(&uses, "uses", 1, "how many enrolments it is good for")
	create.Flags().DurationVar(&expires, "expires-in", 24*time.Hour, "how long it is good")

	list := &cobra.Command{
		Use: "list", Short: "List enrolment tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, _ string) error {
				tokens, err := o.Kiosks.Tokens(ctx)
				if err != nil {
					return err
				}
				out := make([]enrollTokenOut, len(tokens))
				for i, token := range tokens {
					out[i] = enrollTokenOut{token.ID, "", token.SerialPattern, token.MaxUses, token.Uses, token.ExpiresAt}
				}
				return t.print(cmd, out, func(w io.Writer) {
					for _, token := range out {
						fmt.Fprintf(w, "%-14s %-24s %d/%d uses, until %s\n", token.ID, token.SerialPattern, token.Uses, token.MaxUses, stamp(token.ExpiresAt))
					}
				})
			})
		},
	}
	return group("enroll-token", "Issue, list and withdraw enrolment tokens", create, list,
		t.withdraw("enrolment token", func(ctx context.Context, o *app.Offline, id, actor string) error {
			return o.Kiosks.DeleteToken(ctx, id, actor)
		}))
}

type apiTokenOut struct {
	ID        string      `json:"id"`
	Token     string      `json:"token,omitempty"`
	Name      string      `json:"name"`
	Scope     fleet.Scope `json:"scope"`
	ExpiresAt *time.Time  `json:"expires_at,omitempty"`
}

func (t *tool) apiTokens() *cobra.Command {
	var name, scope string
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Issue a bearer token for a script", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				token, text, err := o.Users.CreateAPIToken(ctx, name, fleet.Scope(scope), expires, actor)
				if err != nil {
					return err
				}
				return t.print(cmd, apiTokenOut{token.ID, text, token.Name, token.Scope, token.ExpiresAt}, func(w io.Writer) {
					fmt.Fprintf(w, "%s\n", text)
					fmt.Fprintf(cmd.ErrOrStderr(), "%s may %s; the token is not shown again\n", token.Name, token.Scope)
				})
			})
		},
	}
	create.Flags().StringVar(&name, "name", "", "what it is for, such as grafana")
	create.Flags().StringVar(&scope, "scope", "read", "read, command or admin")
	create.Flags().DurationVar(&expires, "expires-in", 0, "how long it is good; 0 means for ever")

	list := &cobra.Command{
		Use: "list", Short: "List API tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, _ string) error {
				tokens, err := o.Users.APITokens(ctx)
				if err != nil {
					return err
				}
				out := make([]apiTokenOut, len(tokens))
				for i, token := range tokens {
					out[i] = apiTokenOut{token.ID, "", token.Name, token.Scope, token.ExpiresAt}
				}
				return t.print(cmd, out, func(w io.Writer) {
					for _, token := range out {
						fmt.Fprintf(w, "%-14s %-24s %s\n", token.ID, token.Name, token.Scope)
					}
				})
			})
		},
	}
	return group("api-token", "Issue, list and withdraw API tokens", create, list,
		t.withdraw("API token", func(ctx context.Context, o *app.Offline, id, actor string) error {
			return o.Users.DeleteAPIToken(ctx, id, actor)
		}))
}

func (t *tool) withdraw(what string, f func(ctx context.Context, o *app.Offline, id, actor string) error) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Withdraw an " + what, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				if err := f(ctx, o, args[0], actor); err != nil {
					return err
				}
				return t.print(cmd, map[string]string{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "withdrew the %s %s\n", what, args[0]) })
			})
		},
	}
}
