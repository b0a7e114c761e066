package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"kioskfleet/admin/auth"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/registry"
	"kioskfleet/admin/store"
	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/pki"
)

// Offline works on a data folder without serving it, for admin's subcommands; a running server on the
// same folder notices what they change.
type Offline struct {
	Users     *auth.Auth
	Kiosks    *registry.Registry
	authority *pki.Authority
	store     *store.Store
	enrolment *enrolment
}

// OpenOffline opens the data folder, making the CA and the database if they are not there yet.
func OpenOffline(ctx context.Context, cfg *Config, log *slog.Logger) (*Offline, error) {
	authority, err := pki.OpenAuthority(cfg.path("pki"), time.Now())
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, cfg.path(databaseFile))
	if err != nil {
		return nil, err
	}
	reg, err := registry.New(ctx, registry.Config{Store: st, Authority: authority, Now: time.Now, Log: log, Certificate: cfg.PKI.KioskValidity})
	if err != nil {
		_ = st.Close()
		return nil, err
	}
	return &Offline{
		Users: auth.New(st, time.Now), Kiosks: reg, authority: authority, store: st, enrolment: &enrolment{registry: reg},
	}, nil
}

// CreateEnrollmentToken issues an enrolment token and returns its text.
func (o *Offline) CreateEnrollmentToken(ctx context.Context, pattern string, uses int, expiresIn time.Duration, actor string) (fleet.EnrollmentToken, string, error) {
	return o.enrolment.Create(ctx, pattern, uses, expiresIn, actor)
}

// WriteBrokerFiles writes into dir what a stand-alone broker needs: ca.pem, server.pem and
// server-key.pem for the hosts.
func (o *Offline) WriteBrokerFiles(dir string, hosts []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := durablefile.Write(filepath.Join(dir, "ca.pem"), o.authority.PEM(), 0o644); err != nil {
		return err
	}
	_, err := o.authority.ServerCertificate(dir, hosts, time.Now())
	return err
}

// Close closes the data folder.
func (o *Offline) Close() error { return o.store.Close() }
