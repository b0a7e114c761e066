package enroll

import (
	"bytes"
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
	TokenID string `json:"token_id,omitempty"`
	// Certificate is the fingerprint of the certificate that came with the rest of this.
	Certificate string   `json:"certificate,omitempty"`
	KioskID     int64    `json:"kiosk_id"`
	Brokers     []string `json:"brokers"`
}

// check tells whether these credentials are good for the serial now.
func (c *credentials) check(serial string, now time.Time) error {
	leaf := c.chain[0]
	if public, ok := c.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key")
	}
	if of := c.details.Certificate; of != "" && of != pki.Fingerprint(leaf) {
		return fmt.Errorf("%s is of another certificate", enrollmentFile)
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
		return c.IsCA && bytes.Equal(c.RawIssuer, c.RawSubject)
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

// store writes credentials. A crash in between leaves files that do not belong together; check finds that,
// and the kiosk enrols again.
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
	return durablefile.WriteAll(dir,
		durablefile.File{Name: keyFile, Data: keyText, Mode: 0o600},
		durablefile.File{Name: enrollmentFile, Data: append(detailsText, '\n'), Mode: 0o644},
		durablefile.File{Name: certificateFile, Data: chain, Mode: 0o644},
	)
}

// identity makes the kiosk's TLS configuration. Neither the parsed certificate nor the parsed key is kept: in
// a process with thousands of kiosks they would weigh more than the rest of their identity, and they are
// needed for a moment at each handshake.
func (c *credentials) identity(serial string, roots *x509.CertPool) (Identity, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return Identity{}, fmt.Errorf("encode the key of %s: %w", serial, err)
	}
	var chain [][]byte
	for _, link := range c.chain {
		if link != c.root {
			chain = append(chain, bytes.Clone(link.Raw)) // a slice of its own, without the rest of the file
		}
	}
	config := pki.ClientTLS(tls.Certificate{}, roots)
	config.Certificates = nil
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		parsed, err := x509.ParsePKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("parse the key of %s: %w", serial, err)
		}
		cert := &tls.Certificate{Certificate: chain, PrivateKey: parsed}
		if request.SupportsCertificate(cert) == nil {
			return cert, nil
		}
		return &tls.Certificate{}, nil // the server is another one; it will say that it needs a certificate
	}
	return Identity{
		Serial:  serial,
		KioskID: c.details.KioskID,
		Brokers: c.details.Brokers,
		TLS:     config,
		Expires: c.chain[0].NotAfter,
	}, nil
}
