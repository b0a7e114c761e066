// Package pkitest makes certificate authorities and certificates for tests.
package pkitest

import (
	"crypto/tls"
	"testing"
	"time"

	"kioskfleet/internal/pki"
)

// Validity is how long the certificates of this package are good.
const Validity = time.Hour

// Authority makes a certificate authority in a folder of its own.
func Authority(t testing.TB) *pki.Authority {
	t.Helper()
	a, err := pki.OpenAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Server issues a certificate for localhost.
func Server(t testing.TB, a *pki.Authority) tls.Certificate {
	t.Helper()
	cert, err := a.ServerCertificate(t.TempDir(), []string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Kiosk issues a kiosk's certificate with a new key; the chain is the certificate alone.
func Kiosk(t testing.TB, a *pki.Authority, serial string, generation int64) tls.Certificate {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pki.NewCSR(key, serial)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.ParseCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.SignKiosk(csr, serial, generation, Validity, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}
