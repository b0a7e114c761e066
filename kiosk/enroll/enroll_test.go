package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// fakeAdmin enrols like admin does, unless answer says otherwise.
type fakeAdmin struct {
	*httptest.Server
	t         *testing.T
	authority *pki.Authority

	mu     sync.Mutex
	answer func(w http.ResponseWriter, req protocol.EnrollRequest) bool // true: it has answered
	asked  []protocol.EnrollRequest
}

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.OpenAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func startAdmin(t *testing.T, secure bool) *fakeAdmin {
	t.Helper()
	f := &fakeAdmin{t: t, authority: authority(t)}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.enroll))
	if secure {
		cert, err := f.authority.ServerCertificate(t.TempDir(), []string{"localhost", "127.0.0.1"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAdmin) enroll(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != protocol.EnrollPath {
		f.t.Errorf("asked for %s %s", r.Method, r.URL.Path)
	}
	var req protocol.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	if f.answer != nil && f.answer(w, req) {
		return
	}
	f.grant(w, f.authority, req, req.Serial, time.Hour)
}

// grant answers with a certificate.
func (f *fakeAdmin) grant(w http.ResponseWriter, a *pki.Authority, req protocol.EnrollRequest, serial string, validity time.Duration) {
	csr, err := pki.ParseCSR([]byte(req.CSR))
	if err != nil {
		f.t.Error(err)
		return
	}
	cert, err := a.SignKiosk(csr, serial, 0, validity, time.Now())
	if err != nil {
		f.t.Error(err)
		return
	}
	_ = json.NewEncoder(w).Encode(protocol.EnrollResponse{
		Certificate: string(pki.EncodeCertificate(cert)), Chain: string(a.PEM()),
		Brokers: []string{"mqtts://localhost:8883"}, KioskID: 7,
	})
}

func (f *fakeAdmin) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fakeAdmin) token() string {
	return protocol.EnrollmentToken{ID: "t", Secret: "s", CA: f.authority.Fingerprint()}.String()
}

// enroller returns one that retries fast.
func (f *fakeAdmin) enroller(tokens Tokens) *Enroller {
	f.t.Helper()
	p, err := NewPlatform(f.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	return New(Config{Platform: p, Tokens: tokens, TokenWait: time.Nanosecond,
		Backoff: mqttclient.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}})
}

func problem(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": title, "status": status, "detail": detail})
}

// presented is the certificate that an identity shows to a server of any authority.
func presented(t *testing.T, id Identity) []byte {
	t.Helper()
	cert, err := id.TLS.GetClientCertificate(&tls.CertificateRequestInfo{
		Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil || len(cert.Certificate) == 0 {
		t.Fatalf("it presents %+v, %v", cert, err)
	}
	return cert.Certificate[0]
}

func TestAKioskEnrolsOnceAndKeepsItsIdentity(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("https=%t", secure), func(t *testing.T) {
			f := startAdmin(t, secure)
			dir := filepath.Join(t.TempDir(), "K-1")
			e := f.enroller(Tokens{Text: f.token()})
			id, err := e.Identity(t.Context(), dir, "K-1")
			if err != nil {
				t.Fatal(err)
			}
			if id.Serial != "K-1" || id.KioskID != 7 || len(id.Brokers) != 1 || id.Brokers[0] != "mqtts://localhost:8883" {
				t.Errorf("identity = %+v", id)
			}
			info, err := os.Stat(filepath.Join(dir, keyFile))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the key's mode is %v, %v", info.Mode(), err)
			}
			again, err := f.enroller(Tokens{}).Identity(t.Context(), dir, "K-1")
			if err != nil {
				t.Fatal(err)
			}
			if string(presented(t, again)) != string(presented(t, id)) {
				t.Error("the second start has another certificate")
			}
			if f.requests() != 1 {
				t.Errorf("enrolled %d times", f.requests())
			}
			if key, _ := os.ReadFile(filepath.Join(dir, keyFile)); strings.Contains(f.asked[0].CSR, "PRIVATE") || len(key) == 0 {
				t.Error("the request holds a private key")
			}
		})
	}
}

// TestTheIdentityOpensAConnection proves that the stored key and certificate work for mutual TLS.
func TestTheIdentityOpensAConnection(t *testing.T) {
	f := startAdmin(t, true)
	id, err := f.enroller(Tokens{Text: f.token()}).Identity(t.Context(), t.TempDir(), "K-1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := f.authority.ServerCertificate(t.TempDir(), []string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: f.authority.Pool(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = conn.Close() }()
		if err := conn.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
			got <- err.Error()
			return
		}
		got <- conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}()
	cfg := id.TLS.Clone()
	cfg.ServerName = "localhost"
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if name := <-got; name != "K-1" {
		t.Errorf("the server sees %q", name)
	}
}

func TestAKioskEnrolsAgainWhenItsIdentityIsNoGood(t *testing.T) {
	tests := map[string]func(t *testing.T, f *fakeAdmin, dir string) Tokens{
		"the data folder of admin was made anew": func(t *testing.T, f *fakeAdmin, _ string) Tokens {
			f.authority = authority(t)
			return Tokens{Text: f.token()}
		},
		"the key is another": func(t *testing.T, f *fakeAdmin, dir string) Tokens {
			key, _ := pki.NewKey()
			text, _ := pki.EncodeKey(key)
			if err := os.WriteFile(filepath.Join(dir, keyFile), text, 0o600); err != nil {
				t.Fatal(err)
			}
			return Tokens{Text: f.token()}
		},
		"the certificate is damaged": func(t *testing.T, f *fakeAdmin, dir string) Tokens {
			if err := os.WriteFile(filepath.Join(dir, certificateFile), []byte("half a cert"), 0o600); err != nil {
				t.Fatal(err)
			}
			return Tokens{Text: f.token()}
		},
		"the details came with another certificate": func(t *testing.T, f *fakeAdmin, dir string) Tokens {
			other := t.TempDir()
			if _, err := f.enroller(Tokens{Text: f.token()}).Identity(t.Context(), other, "K-1"); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(other, enrollmentFile))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, enrollmentFile), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.mu.Lock()
			f.asked = f.asked[:1]
			f.mu.Unlock()
			return Tokens{Text: f.token()}
		},
		"the crash came before the certificate": func(t *testing.T, f *fakeAdmin, dir string) Tokens {
			if err := os.Remove(filepath.Join(dir, certificateFile)); err != nil {
				t.Fatal(err)
			}
			return Tokens{Text: f.token()}
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			f := startAdmin(t, false)
			dir := t.TempDir()
			if _, err := f.enroller(Tokens{Text: f.token()}).Identity(t.Context(), dir, "K-1"); err != nil {
				t.Fatal(err)
			}
			tokens := spoil(t, f, dir)
			for range 2 { // the second start is content again
				if _, err := f.enroller(tokens).Identity(t.Context(), dir, "K-1"); err != nil {
					t.Fatal(err)
				}
			}
			if f.requests() != 2 {
				t.Errorf("enrolled %d times, want 2", f.requests())
			}
		})
	}
}

func TestANewTokenIsTriedOnceAndTheOldCertificateStaysWhereItIsRefused(t *testing.T) {
	f := startAdmin(t, false)
	dir := t.TempDir()
	other := func(id string) Tokens {
		return Tokens{Text: protocol.EnrollmentToken{ID: id, Secret: "s", CA: f.authority.Fingerprint()}.String()}
	}
	identity := func(tokens Tokens) *x509.Certificate {
		t.Helper()
		id, err := f.enroller(tokens).Identity(t.Context(), dir, "K-1")
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(presented(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := identity(other("one"))
	second := identity(other("two"))
	if second.Equal(first) {
		t.Error("a new token gave no new certificate")
	}
	f.answer = func(w http.ResponseWriter, _ protocol.EnrollRequest) bool {
		problem(w, http.StatusForbidden, "Enrolment token used up", "")
		return true
	}
	if kept := identity(other("three")); !kept.Equal(second) {
		t.Error("the certificate changed although the token was refused")
	}
	if f.requests() != 3 {
		t.Errorf("asked %d times, want 3", f.requests())
	}
}

func TestAnExpiredCertificateIsReplaced(t *testing.T) {
	f := startAdmin(t, false)
	dir := t.TempDir()
	e := f.enroller(Tokens{Text: f.token()})
	if _, err := e.Identity(t.Context(), dir, "K-1"); err != nil {
		t.Fatal(err)
	}
	c, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check("K-1", time.Now()); err != nil {
		t.Errorf("now: %v", err)
	}
	if err := c.check("K-1", time.Now().Add(2*time.Hour)); err == nil {
		t.Error("an expired certificate passes")
	}
	if err := c.check("K-2", time.Now()); err == nil {
		t.Error("the certificate of another kiosk passes")
	}
}

func TestRefusalsAreFinalAndSayWhy(t *testing.T) {
	tests := map[string]struct {
		answer func(f *fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool
		want   []string
	}{
		"problem": {
			func(*fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, _ protocol.EnrollRequest) bool {
					problem(w, http.StatusForbidden, "The token has expired", "Ask an administrator for a new one.")
					return true
				}
			},
			[]string{"enrol K-1", "403", "The token has expired", "Ask an administrator for a new one."},
		},
		"no problem document": {
			func(*fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, _ protocol.EnrollRequest) bool {
					http.Error(w, "<html>nothing here</html>", http.StatusNotFound)
					return true
				}
			},
			[]string{"404", "Not Found"},
		},
		"certificate for another serial": {
			func(f *fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, req protocol.EnrollRequest) bool {
					f.grant(w, f.authority, req, "K-2", time.Hour)
					return true
				}
			},
			[]string{`"K-2"`, "not for K-1"},
		},
		"certificate for another key": {
			func(f *fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, req protocol.EnrollRequest) bool {
					key, _ := pki.NewKey()
					csr, _ := pki.NewCSR(key, "K-1")
					req.CSR = string(csr)
					f.grant(w, f.authority, req, "K-1", time.Hour)
					return true
				}
			},
			[]string{"another key"},
		},
		"certificate of another authority": {
			func(f *fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				stranger := authority(f.t)
				return func(w http.ResponseWriter, req protocol.EnrollRequest) bool {
					f.grant(w, stranger, req, "K-1", time.Hour)
					return true
				}
			},
			[]string{"does not end at the authority"},
		},
		"expired certificate": {
			func(f *fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, req protocol.EnrollRequest) bool {
					f.grant(w, f.authority, req, "K-1", -time.Minute)
					return true
				}
			},
			[]string{"verify the certificate", "expired"},
		},
		"redirect": {
			func(*fakeAdmin) func(http.ResponseWriter, protocol.EnrollRequest) bool {
				return func(w http.ResponseWriter, _ protocol.EnrollRequest) bool {
					w.Header().Set("Location", "http://elsewhere.example/")
					w.WriteHeader(http.StatusTemporaryRedirect)
					return true
				}
			},
			[]string{"307"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := startAdmin(t, false)
			f.answer = tt.answer(f)
			dir := t.TempDir()
			_, err := f.enroller(Tokens{Text: f.token()}).Identity(t.Context(), dir, "K-1")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), f.token()) {
				t.Errorf("error %q shows the token", err)
			}
			if f.requests() != 1 {
				t.Errorf("asked %d times", f.requests())
			}
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("files were left behind: %v", files)
			}
		})
	}
}

func TestATroubledPlatformIsAskedAgain(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := startAdmin(t, false)
			n := 0
			f.answer = func(w http.ResponseWriter, _ protocol.EnrollRequest) bool {
				if n++; n < 4 {
					problem(w, status, "Not now", "")
					return true
				}
				return false
			}
			if _, err := f.enroller(Tokens{Text: f.token()}).Identity(t.Context(), t.TempDir(), "K-1"); err != nil {
				t.Fatal(err)
			}
			if f.requests() != 4 {
				t.Errorf("asked %d times, want 4", f.requests())
			}
		})
	}
}

func TestAnUnreachablePlatformIsAskedUntilTheEnd(t *testing.T) {
	f := startAdmin(t, false)
	e := f.enroller(Tokens{Text: f.token()})
	f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Identity(ctx, t.TempDir(), "K-1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want the context's", err)
	}
}

func TestAServerThatIsNotTheTokensIsNotTrusted(t *testing.T) {
	f := startAdmin(t, true)
	token := protocol.EnrollmentToken{ID: "t", Secret: "s", CA: authority(t).Fingerprint()}.String()
	_, err := f.enroller(Tokens{Text: token}).Identity(t.Context(), t.TempDir(), "K-1")
	if err == nil || !strings.Contains(err.Error(), "wrong server") {
		t.Errorf("error = %v, want one that says so", err)
	}
	if f.requests() != 0 {
		t.Error("the token was sent to a server that is not trusted")
	}
}
