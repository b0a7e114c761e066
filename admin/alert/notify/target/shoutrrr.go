package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/spelling"
)

// maxHanging is how many attempts that did not end in time may go on in the background. The library cannot be told
// to stop, so beyond it no attempt is made until one of them has ended.
const maxHanging = 4

type shoutrrr struct {
	target fleet.NotificationTarget
	router *router.ServiceRouter
	slots  chan struct{} // held by attempts, also by those that nobody waits for
}

// newShoutrrr returns a sender. Its errors do not show the address.
func newShoutrrr(t fleet.NotificationTarget) (*shoutrrr, error) {
	r, err := router.New(log.New(io.Discard, "", 0)) // its log may show tokens
	if err != nil {
		return nil, err
	}
	scheme, _, found := strings.Cut(t.URL, "://")
	if !found {
		return nil, errors.New("must begin with a service and ://, such as smtp:// or telegram://")
	}
	known := r.ListServices()
	if service, _, _ := strings.Cut(scheme, "+"); !slices.Contains(known, service) {
		if near := spelling.Nearest(service, known, 3); near != "" {
			return nil, fmt.Errorf("%q is not a service that is known; did you mean %s?", service, near)
		}
		slices.Sort(known)
		return nil, fmt.Errorf("%q is not a service that is known; there are %s", service, strings.Join(known, ", "))
	}
	if _, err := url.Parse(t.URL); err != nil {
		return nil, errors.New("is not a URL; in user names, passwords and tokens write special characters as %40 (for @) and the like")
	}
	return &shoutrrr{target: t, router: r, slots: make(chan struct{}, maxHanging)}, nil
}

// check finds the faults of the address that the service itself knows.
func (s *shoutrrr) check() error {
	if strings.HasPrefix(s.target.URL, "matrix:") {
		return nil // it logs in at once
	}
	_, err := s.router.Locate(s.target.URL)
	if err == nil {
		return nil
	}
	return errors.New("is not an address of that service: " + clean(err.Error(), s.target))
}

func (s *shoutrrr) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	default:
		return &Failure{Text: fmt.Sprintf("%d earlier attempts still hang: the other side takes the connection and says nothing", maxHanging)}
	}
	done := make(chan error, 1)
	text, params := m.Notification.Text, types.Params{types.TitleKey: m.Notification.Title}
	if strings.HasPrefix(s.target.URL, "smtp:") {
		params["subject"] = m.Notification.Title
	}
	go func() {
		defer func() { <-s.slots }()
		// A new one each time: it may keep what belongs to one message, and an earlier attempt may go on.
		service, err := s.router.Locate(s.target.URL)
		if err == nil {
			err = service.Send(text, &params)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return failure(err, s.target)
		}
		return nil
	case <-ctx.Done():
		return failure(ctx.Err(), s.target)
	}
}
