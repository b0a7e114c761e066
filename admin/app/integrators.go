package app

import (
	"context"
	"errors"
	"fmt"

	"kioskfleet/admin/auth"
	"kioskfleet/admin/fleet"
	"kioskfleet/broker/server"
)

// integrators says who may read over the integrators' MQTT listener: whoever holds an API token, of any scope. Nil
// where there is no such listener.
func integrators(cfg *Config, users *auth.Auth) *server.Integrators {
	if cfg.Broker.Integrators.Addr == "" {
		return nil
	}
	return &server.Integrators{
		Addr: cfg.Broker.Integrators.Addr,
		Login: func(ctx context.Context, token, remote string) error {
			_, err := users.LoginByToken(ctx, token, remote)
			return tokenError(err)
		},
		Check: func(ctx context.Context, token string) error {
			_, err := users.ByToken(ctx, token)
			return tokenError(err)
		},
	}
}

// tokenError puts auth's answers into the broker's words.
func tokenError(err error) error {
	var tooMany *auth.TooManyError
	switch {
	case errors.As(err, &tooMany):
		return fmt.Errorf("%w: %w", server.ErrThrottled, err)
	case errors.Is(err, fleet.ErrUnauthorized):
		return fmt.Errorf("%w: %w", server.ErrTokenEnded, err)
	}
	return err
}

// IntegratorsAddr is the address of the integrators' MQTT listener, empty when there is none.
func (a *App) IntegratorsAddr() string {
	if l, ok := a.link.(*innerBroker); ok {
		return l.server.IntegratorsAddr()
	}
	return ""
}
