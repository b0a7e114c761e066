// Package pki is the platform's small certificate authority: an ECDSA P-256 root made at first
// start, the server certificate for the configured host names, certificates for kiosks and for the
// platform's own MQTT client, and the fingerprint by which a kiosk knows the right server before it
// has any certificate.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"kioskfleet/internal/protocol"
)

// Subject organisational units tell kiosks and the platform's own client apart.
const (
	unitKiosk    = "kiosk"
	unitPlatform = "platform"
)

// Identity is what a client certificate says about its holder.
type Identity struct {
	Serial string // the common name; empty for the platform's client
	// Generation grows with each revocation of the kiosk; certificates of an earlier one are worthless.
	Generation int64
	Platform   bool
}

// IdentityOf reads the identity from a verified client certificate.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	units := cert.Subject.OrganizationalUnit
	switch {
	case len(units) == 1 && units[0] == unitPlatform:
		return Identity{Platform: true}, nil
	case len(units) > 1 || len(units) == 1 && units[0] != unitKiosk:
		return Identity{}, fmt.Errorf("certificate's organisational unit %q is not %s", units, unitKiosk)
	}
	serial := cert.Subject.CommonName
	if err := protocol.CheckSerial(serial); err != nil {
		return Identity{}, fmt.Errorf("certificate's common name: %w", err)
	}
	// Certificates from another tool that uses the same CA carry no generation and count as the first.
	var generation int64
	if text := cert.Subject.SerialNumber; text != "" {
		var err error
		if generation, err = strconv.ParseInt(text, 10, 64); err != nil {
			return Identity{}, fmt.Errorf("certificate's generation %q is not a number", text)
		}
	}
	return Identity{Serial: serial, Generation: generation}, nil
}

// NewKey makes an ECDSA P-256 private key.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a P-256 key: %w", err)
	}
	return key, nil
}

// NewCSR returns a PEM certificate request for the serial, signed with key.
func NewCSR(key crypto.Signer, serial string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: serial},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request for %s: %w", serial, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// ParseCSR reads a PEM certificate request and checks its signature and that its key is ECDSA
// P-256/P-384, Ed25519 or RSA of at least 2048 bits.
func ParseCSR(text []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no PEM block CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#10 certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature is wrong: %w", err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 256 {
			return nil, fmt.Errorf("its ECDSA key has %d bits, use P-256", bits)
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 8192 {
			return nil, fmt.Errorf("its RSA key has %d bits, use 2048 to 8192 or ECDSA P-256", bits)
		}
	}
	return csr, nil
}

// Fingerprint returns the SHA-256 of a certificate, base64url without padding.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// EncodeCertificate returns the certificate as PEM.
func EncodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// EncodeKey returns the private key as PEM, PKCS#8.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads a PEM private key, PKCS#8.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#8 private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// ParseCertificates reads every certificate of a PEM text, in order.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse a certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM block CERTIFICATE")
	}
	return certs, nil
}

func newSerialNumber() (*big.Int, error) {
	// 127 random bits: positive and unguessable, as the CA/Browser Forum's baseline asks (at least 64).
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// clockAllowance is how far before now a certificate's validity starts, for peers whose clock is behind.
const clockAllowance = time.Hour

// Pool returns a pool of every certificate in a PEM text.
func Pool(text []byte) (*x509.CertPool, error) {
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}
