package enroll

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/pki"
)

// Identity is what a kiosk needs to connect.
type Identity struct {
	Serial  string
	KioskID int64
	Brokers []string    // mqtts://host:port
	TLS     *tls.Config // presents the kiosk's certificate, trusts only the platform's CA
	Expires time.Time   // end of the certificate's validity
}

// Files of an identity in its folder. The certificate file holds the chain up to the root.
const (
	keyFile         = "key.pem"
	certificateFile = "certificate.pem"
	enrollmentFile  = "enrollment.json"
)

// credentials is an identity with the parts it is made of.
type credentials struct {
	key     crypto.Signer
	chain   []*x509.Certificate // the kiosk's first
	root    *x509.Certificate
	details details
}

// details is the file enrollment.json.
type details struct {
	// TokenID names the enrolment token by which the certificate was fetched; it is no secret.
	TokenID string   `json:"token_id,omitempty"`
	KioskID int64    `json:"kiosk_id"`
	Brokers []string `json:"brokers"`
}

// check tells whether these credentials are good for the serial now.
func (c *credentials) check(serial string, now time.Time) error {
	leaf := c.chain[0]
	if public, ok := c.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key")
	}
	id, err := pki.IdentityOf(leaf)
	if err != nil {
		return err
	}
	if id.Platform || id.Serial != serial {
		return fmt.Errorf("the certificate is for %q, not for %s", leaf.Subject.CommonName, serial)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.root)
	for _, cert := range c.chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verify the certificate: %w", err)
	}
	if len(c.details.Brokers) == 0 {
		return errors.New("there is no broker address")
	}
	return nil
}

// rootOf returns the chain's self-issued certificate.
func rootOf(chain []*x509.Certificate) (*x509.Certificate, error) {
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
		return c.IsCA && c.CheckSignatureFrom(c) == nil
	})
	if i < 0 {
		return nil, errors.New("the chain does not include its root")
	}
	return chain[i], nil
}

// load reads credentials; an error that wraps fs.ErrNotExist means that there are none.
func load(dir string) (*credentials, error) {
	keyText, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	certText, err := os.ReadFile(filepath.Join(dir, certificateFile))
	if err != nil {
		return nil, err
	}
	detailsText, err := os.ReadFile(filepath.Join(dir, enrollmentFile))
	if err != nil {
		return nil, err
	}
	c := &credentials{}
	if c.key, err = pki.ParseKey(keyText); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if c.chain, err = pki.ParseCertificates(certText); err != nil {
		return nil, fmt.Errorf("%s: %w", certificateFile, err)
	}
	if c.root, err = rootOf(c.chain); err != nil {
		return nil, fmt.Errorf("%s: %w", certificateFile, err)
	}
	if err := json.Unmarshal(detailsText, &c.details); err != nil {
		return nil, fmt.Errorf("%s: %w", enrollmentFile, err)
	}
	return c, nil
}

// store writes credentials, the key first. A crash in between leaves files that do not belong
// together; check finds that, and the kiosk enrols again.
func (c *credentials) store(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the identity's folder: %w", err)
	}
	keyText, err := pki.EncodeKey(c.key)
	if err != nil {
		return err
	}
	detailsText, err := json.MarshalIndent(c.details, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", enrollmentFile, err)
	}
	var chain []byte
	for _, cert := range c.chain {
		chain = append(chain, pki.EncodeCertificate(cert)...)
	}
	if err := durablefile.Write(filepath.Join(dir, keyFile), keyText, 0o600); err != nil {
		return err
	}
	if err := durablefile.Write(filepath.Join(dir, enrollmentFile), append(detailsText, '\n'), 0o644); err != nil {
		return err
	}
	return durablefile.Write(filepath.Join(dir, certificateFile), chain, 0o644)
}

// identity makes the kiosk's TLS configuration. The parsed certificate is not kept: in a process
// with thousands of kiosks it would weigh more than the rest of their identity.
func (c *credentials) identity(serial string, roots *x509.CertPool) Identity {
	cert := tls.Certificate{PrivateKey: c.key}
	for _, link := range c.chain {
		if link != c.root {
			cert.Certificate = append(cert.Certificate, link.Raw)
		}
	}
	return Identity{
		Serial:  serial,
		KioskID: c.details.KioskID,
		Brokers: c.details.Brokers,
		TLS:     pki.ClientTLS(cert, roots),
		Expires: c.chain[0].NotAfter,
	}
}
