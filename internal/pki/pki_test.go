package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := OpenAuthority(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheAuthorityIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if again := open(t, dir); again.Fingerprint() != first.Fingerprint() {
		t.Error("a second start made another CA")
	}
	info, err := os.Stat(filepath.Join(dir, authorityKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("CA key mode = %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.Remove(filepath.Join(dir, authorityKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("without its key: %v, want advice instead of a new CA", err)
	}
}

func TestAKiosksCertificateCarriesOurNameNotTheRequests(t *testing.T) {
	a := open(t, t.TempDir())
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := NewCSR(key, "EVIL")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.SignKiosk(csr, "K-1", 3, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool()}); err == nil {
		t.Error("a kiosk's certificate is good for a server")
	}
	id, err := IdentityOf(cert)
	if err != nil || id != (Identity{Serial: "K-1", Generation: 3}) {
		t.Errorf("identity = %+v, %v", id, err)
	}
}

func TestThePlatformsCertificateIsNoKiosks(t *testing.T) {
	cert, err := open(t, t.TempDir()).IssuePlatform(time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := IdentityOf(cert.Leaf); err != nil || !id.Platform || id.Serial != "" {
		t.Errorf("identity = %+v, %v", id, err)
	}
}

func TestParseCSRSaysWhatIsWrong(t *testing.T) {
	key, _ := NewKey()
	good, _ := NewCSR(key, "K-1")
	broken := append([]byte(nil), good...)
	copy(broken[len(broken)/2:], "AAAA")
	for name, text := range map[string][]byte{"empty": nil, "not PEM": []byte("hello"), "another block": EncodeCertificate(open(t, t.TempDir()).Certificate), "damaged": broken} {
		if _, err := ParseCSR(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTheServerCertificateFollowsItsHosts(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	a := open(t, dir)
	issue := func(at time.Time, hosts ...string) tls.Certificate {
		t.Helper()
		c, err := a.ServerCertificate(dir, hosts, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := issue(now, "localhost", "127.0.0.1")
	if again := issue(now, "localhost", "127.0.0.1"); !again.Leaf.Equal(first.Leaf) {
		t.Error("the same hosts got another certificate")
	}
	if other := issue(now, "kiosks.example", "127.0.0.1"); other.Leaf.VerifyHostname("kiosks.example") != nil {
		t.Error("new hosts are not covered")
	}
	old := issue(now, "localhost")
	if renewed := issue(now.Add(serverValidity-serverRenewBefore+time.Hour), "localhost"); renewed.Leaf.Equal(old.Leaf) {
		t.Error("a certificate near its end was kept")
	}
}

func TestAPinnedClientTrustsOnlyTheNamedAuthority(t *testing.T) {
	a, other := open(t, t.TempDir()), open(t, t.TempDir())
	cert, err := a.ServerCertificate(t.TempDir(), []string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	dial := func(fingerprint, host string) error {
		conn, err := tls.Dial("tcp", addr, PinnedClient(fingerprint, host))
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	if port == "" {
		t.Fatal("no port")
	}
	if err := dial(a.Fingerprint(), "127.0.0.1"); err != nil {
		t.Errorf("the right CA: %v", err)
	}
	if err := dial(other.Fingerprint(), "127.0.0.1"); err == nil {
		t.Error("another CA was trusted")
	}
	var hostname x509.HostnameError
	if err := dial(a.Fingerprint(), "elsewhere.example"); !errors.As(err, &hostname) {
		t.Errorf("another host name: %v, want a host name error", err)
	}
}
