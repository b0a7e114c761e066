package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kioskfleet/internal/durablefile"
)

const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
	serverFile       = "server.pem"
	serverKeyFile    = "server-key.pem"

	authorityValidity = 20 * 365 * 24 * time.Hour
	serverValidity    = 397 * 24 * time.Hour // the longest that browsers accept
	serverRenewBefore = 30 * 24 * time.Hour
)

// Authority is the platform's certificate authority. Its methods are safe for concurrent use.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// OpenAuthority loads the CA from dir, or makes one there at first start.
func OpenAuthority(dir string, now time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	certs, key, err := loadPair(dir, authorityFile, authorityKeyFile)
	switch {
	case err == nil:
		return &Authority{certs[0], key}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open the certificate authority: %w", err)
	}
	// A certificate without its key is a damaged folder; making a new CA would lock every kiosk out.
	if _, err := os.Stat(filepath.Join(dir, authorityFile)); err == nil {
		return nil, fmt.Errorf("open the certificate authority: %s has %s but not %s: restore it from a backup", dir, authorityFile, authorityKeyFile)
	}
	return createAuthority(dir, now)
}

func createAuthority(dir string, now time.Time) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	number, err := newSerialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          number,
		Subject:               pkix.Name{CommonName: "Kiosk Fleet CA " + number.Text(36)[:6], Organization: []string{"Kiosk Fleet"}},
		NotBefore:             now.Add(-clockAllowance),
		NotAfter:              now.Add(authorityValidity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	// The key first: a crash in between leaves a key without a certificate, which the next start replaces.
	if err := storePair(dir, authorityFile, authorityKeyFile, EncodeCertificate(cert), key); err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// Pool returns a pool that holds only this CA.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// PEM returns the CA's certificate.
func (a *Authority) PEM() []byte { return EncodeCertificate(a.Certificate) }

// Fingerprint returns the CA's fingerprint, as enrolment tokens carry it.
func (a *Authority) Fingerprint() string { return Fingerprint(a.Certificate) }

// SignKiosk issues a client certificate for a kiosk's public key. Only the key is taken from the
// request: name and rights are ours. The caller has checked that the request names this serial.
func (a *Authority) SignKiosk(csr *x509.CertificateRequest, serial string, generation int64, validity time.Duration, now time.Time) (*x509.Certificate, error) {
	return a.issueClient(csr.PublicKey, pkix.Name{
		CommonName:         serial,
		OrganizationalUnit: []string{unitKiosk},
		SerialNumber:       strconv.FormatInt(generation, 10),
	}, validity, now)
}

// IssuePlatform issues a certificate and key for the platform's own MQTT client, by which admin
// uses a stand-alone broker.
func (a *Authority) IssuePlatform(validity time.Duration, now time.Time) (tls.Certificate, error) {
	key, err := NewKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := a.issueClient(key.Public(), pkix.Name{CommonName: "admin", OrganizationalUnit: []string{unitPlatform}}, validity, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.Certificate.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func (a *Authority) issueClient(public crypto.PublicKey, subject pkix.Name, validity time.Duration, now time.Time) (*x509.Certificate, error) {
	return a.issue(&x509.Certificate{
		Subject:     subject,
		NotBefore:   now.Add(-clockAllowance),
		NotAfter:    now.Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, public)
}

func (a *Authority) issue(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	number, err := newSerialNumber()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = number
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// ServerCertificate loads the server's certificate from dir; it issues a new one when there is none,
// when it was issued by another CA, does not cover exactly hosts, or ends within 30 days. The chain
// includes the root, so that a kiosk that knows only its fingerprint can verify it.
func (a *Authority) ServerCertificate(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("the server certificate needs at least one host name")
	}
	if certs, key, err := loadPair(dir, serverFile, serverKeyFile); err == nil && a.serves(certs[0], hosts, now) {
		return a.chain(certs[0], key), nil
	}
	key, err := NewKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	names, addresses := splitHosts(hosts)
	cert, err := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: hosts[0], Organization: []string{"Kiosk Fleet"}},
		NotBefore:   now.Add(-clockAllowance),
		NotAfter:    now.Add(serverValidity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
		IPAddresses: addresses,
	}, key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	chain := slices.Concat(EncodeCertificate(cert), a.PEM())
	if err := storePair(dir, serverFile, serverKeyFile, chain, key); err != nil {
		return tls.Certificate{}, err
	}
	return a.chain(cert, key), nil
}

func (a *Authority) chain(leaf *x509.Certificate, key crypto.Signer) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.Certificate.Raw}, PrivateKey: key, Leaf: leaf}
}

func (a *Authority) serves(cert *x509.Certificate, hosts []string, now time.Time) bool {
	names, addresses := splitHosts(hosts)
	sameAddresses := slices.EqualFunc(addresses, cert.IPAddresses, func(x, y net.IP) bool { return x.Equal(y) })
	return cert.CheckSignatureFrom(a.Certificate) == nil &&
		now.Add(serverRenewBefore).Before(cert.NotAfter) &&
		slices.Equal(names, cert.DNSNames) && sameAddresses
}

func splitHosts(hosts []string) (names []string, addresses []net.IP) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, h)
		}
	}
	return names, addresses
}

func loadPair(dir, certFile, keyFile string) ([]*x509.Certificate, crypto.Signer, error) {
	keyText, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, nil, err
	}
	certText, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, nil, err
	}
	certs, err := ParseCertificates(certText)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", certFile, err)
	}
	key, err := ParseKey(keyText)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	type equaler interface{ Equal(crypto.PublicKey) bool }
	if public, ok := key.Public().(equaler); !ok || !public.Equal(certs[0].PublicKey) {
		return nil, nil, fmt.Errorf("%s does not belong to %s", keyFile, certFile)
	}
	return certs, key, nil
}

func storePair(dir, certFile, keyFile string, cert []byte, key crypto.Signer) error {
	keyText, err := EncodeKey(key)
	if err != nil {
		return err
	}
	if err := durablefile.Write(filepath.Join(dir, keyFile), keyText, 0o600); err != nil {
		return err
	}
	return durablefile.Write(filepath.Join(dir, certFile), cert, 0o644)
}
