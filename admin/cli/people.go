package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kioskfleet/admin/app"
	"kioskfleet/admin/auth"
	"kioskfleet/admin/fleet"
)

type userOut struct {
	Username string     `json:"username"`
	Role     fleet.Role `json:"role,omitempty"`
	Password string     `json:"password,omitempty"` // only when it was made here
}

func (t *tool) users() *cobra.Command {
	var role string
	var fromStdin bool
	add := &cobra.Command{
		Use: "add NAME", Short: "Create a user", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, made, err := choosePassword(cmd, fromStdin)
			if err != nil {
				return err
			}
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				u, err := o.Users.AddUser(ctx, args[0], fleet.Role(role), password, actor)
				if err != nil {
					return err
				}
				return t.print(cmd, userOut{u.Name, u.Role, made}, func(w io.Writer) { tellPassword(w, "created "+u.Name, made) })
			})
		},
	}
	add.Flags().StringVar(&role, "role", string(fleet.RoleViewer), "viewer, technician, operator or admin")
	reset := &cobra.Command{
		Use: "set-password NAME", Short: "Change a user's password and end the user's sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, made, err := choosePassword(cmd, fromStdin)
			if err != nil {
				return err
			}
			return t.run(cmd, func(ctx context.Context, o *app.Offline, actor string) error {
				if err := o.Users.SetPassword(ctx, args[0], password, actor); err != nil {
					return err
				}
				return t.print(cmd, userOut{Username: args[0], Password: made}, func(w io.Writer) { tellPassword(w, "changed the password of "+args[0], made) })
			})
		},
	}
	for _, c := range []*cobra.Command{add, reset} {
		c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input instead of making a random one")
	}
	return group("user", "Create users and change passwords", add, reset)
}

// choosePassword reads the password or makes one; made is empty when it was read. There is
// no argument for it: other users of the machine could see that.
func choosePassword(cmd *cobra.Command, fromStdin bool) (password, made string, err error) {
	if !fromStdin {
		made = auth.NewSecret()[:24]
		return made, made, nil
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), "", nil
}

func tellPassword(w io.Writer, what, made string) {
	fmt.Fprintln(w, what)
	if made != "" {
		fmt.Fprintf(w, "password: %s\n", made)
	}
}
