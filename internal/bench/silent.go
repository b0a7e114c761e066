package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/testkit/load"
)

// Files of a kiosk's identity.
const (
	certificateFile = "certificate.pem"
	keyFile         = "key.pem"
)

// dialers is how many connections are made at a time.
const dialers = 32

// silent starts admin anew with the kiosks of a fleet, but nothing that they ever said, connects them by
// clients that send nothing, and returns what each connection adds to admin's resident memory, in bytes. It
// looks at the memory when nothing has happened for as long as settles.
func (b *bench) silent(ctx context.Context, fleet *platform, settles time.Duration) (int64, error) {
	data := filepath.Join(b.dir, "silent")
	if err := copyRegistry(fleet.data, data); err != nil {
		return 0, err
	}
	serials, err := swarmSerials(fleet.data)
	if err != nil {
		return 0, err
	}
	p, err := startPlatform(ctx, b.admin, data)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return 0, err
	}
	if err := sleep(ctx, settles); err != nil {
		return 0, err
	}
	before, err := p.memory(rssNow)
	if err != nil {
		return 0, err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	conns := make([]io.Closer, len(serials))
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i, serial := range serials {
		group.Go(func() error {
			config, err := identityOf(filepath.Join(fleet.data, "spawner", serial))
			if err != nil {
				return err
			}
			c, err := load.Dial(within, p.broker, config, load.MQTT311, serial)
			if err == nil {
				conns[i] = c
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := sleep(ctx, settles); err != nil {
		return 0, err
	}
	after, err := p.memory(rssNow)
	return (after - before) / int64(len(serials)), err
}

// identityOf reads a kiosk's identity as the kiosk stores it.
func identityOf(dir string) (*tls.Config, error) {
	text, err := os.ReadFile(filepath.Join(dir, certificateFile))
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certificateFile), filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	roots, err := pki.Pool(text) // the chain ends at the platform's own authority
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return pki.ClientTLS(cert, roots), nil
}

// copyRegistry makes a data folder that knows the same kiosks.
func copyRegistry(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(to, "pki"), os.DirFS(filepath.Join(from, "pki"))); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(from, "kioskfleet.db*"))
	if err != nil {
		return err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
