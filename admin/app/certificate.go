package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/internal/pki"
)

// renewCheck is how often the server certificate is looked at.
const renewCheck = time.Hour

// newServerCertificate returns the platform's own server certificate, renewed before it ends. When a
// renewal fails, the old one stays.
func newServerCertificate(authority *pki.Authority, cfg *Config, log *slog.Logger) (func() (*tls.Certificate, error), error) {
	dir := cfg.path("pki")
	first, err := authority.ServerCertificate(dir, cfg.Hosts, time.Now())
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	var mu sync.Mutex
	current, checked := &first, time.Now()
	return func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(checked) > renewCheck {
			checked = now
			if renewed, err := authority.ServerCertificate(dir, cfg.Hosts, now); err != nil {
				log.Error("server certificate not renewed, the old one stays", "error", err)
			} else {
				current = &renewed
			}
		}
		return current, nil
	}, nil
}
