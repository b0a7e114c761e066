package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// PinnedClient returns a TLS configuration for a client that knows its server's CA only by
// fingerprint: the server must send that CA in its chain, and a leaf that it issued for host (a name
// or an IP address, without port). A server behind a publicly trusted certificate for host is fine as
// well; what it answers is then still checked against the fingerprint.
func PinnedClient(fingerprint, host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: host,
		// The usual verification needs the CA beforehand; VerifyConnection does the same checks
		// against the CA that the fingerprint picks out of the server's chain.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
			found := false
			for _, cert := range state.PeerCertificates {
				if Fingerprint(cert) == fingerprint {
					roots.AddCert(cert)
					found = true
				} else {
					intermediates.AddCert(cert)
				}
			}
			if !found && publiclyTrusted(state.PeerCertificates, intermediates, host) {
				return nil
			}
			if !found {
				return errors.New("the server does not present the CA that the enrolment token names: wrong server, or somebody is in between")
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				DNSName: host, Roots: roots, Intermediates: intermediates,
			})
			if err != nil {
				return fmt.Errorf("verify the server %s: %w", host, err)
			}
			return nil
		},
	}
}

// ClientTLS returns a TLS 1.3 configuration that presents cert and trusts only roots.
func ClientTLS(cert tls.Certificate, roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: roots}
}

func publiclyTrusted(chain []*x509.Certificate, intermediates *x509.CertPool, host string) bool {
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: intermediates}) // Roots nil: the system's
	return err == nil
}
