package e2e

import (
	"crypto"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/pkitest"
)

// identity is a kiosk's key and certificate in files, as mosquitto's clients want them.
type identity struct{ dir string }

func (i identity) args() []string {
	return []string{"--cafile", filepath.Join(i.dir, "ca.pem"), "--cert", filepath.Join(i.dir, "cert.pem"), "--key", filepath.Join(i.dir, "key.pem")}
}

// enroll asks for a certificate the way a kiosk does.
func (p *platform) enroll(t *testing.T, token, serial, commonName string, status int) (protocol.EnrollResponse, []byte) {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.NewCSR(key, commonName)
	if err != nil {
		t.Fatal(err)
	}
	var answer protocol.EnrollResponse
	p.call(t, "POST", "/enroll", protocol.EnrollRequest{Token: token, Serial: serial, CSR: string(csr)}, status, &answer)
	text, err := pki.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return answer, text
}

func (p *platform) identity(t *testing.T, token, serial string) identity {
	t.Helper()
	answer, key := p.enroll(t, token, serial, serial, http.StatusOK)
	return writeIdentity(t, answer.Chain, answer.Certificate, key)
}

func writeIdentity(t *testing.T, ca, cert string, key []byte) identity {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": ca, "cert.pem": cert, "key.pem": string(key)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return identity{dir}
}

func (p *platform) token(t *testing.T, request string) string {
	t.Helper()
	var token struct{ Token string }
	p.call(t, "POST", "/enrollment-tokens", request, http.StatusCreated, &token)
	return token.Token
}

// mosquitto runs mosquitto_pub against the platform's broker; the error says that it failed.
func (p *platform) mosquitto(t *testing.T, args ...string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(p.brokers[0], "mqtts://"))
	if err != nil {
		t.Fatal(err)
	}
	all := append([]string{"-h", host, "-p", port, "-q", "1", "--tls-version", "tlsv1.3"}, args...)
	if !slices.Contains(args, "-m") {
		all = append(all, "-m", "hello")
	}
	out, err := exec.CommandContext(t.Context(), "mosquitto_pub", all...).CombinedOutput()
	return string(out), err
}

func TestForeignClientsAreHeldToTheRules(t *testing.T) {
	p := startAdmin(t, nil)
	for _, serial := range []string{"K-1", "K-2"} {
		p.call(t, "POST", "/kiosks", map[string]string{"serial": serial}, http.StatusCreated, nil)
	}
	token := p.token(t, `{"serial_pattern":"K-*","max_uses":10}`)
	own := p.identity(t, token, "K-1")

	forged := pkitest.Kiosk(t, pkitest.Authority(t), "K-1", 0)
	key, ok := forged.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatalf("a %T cannot sign", forged.PrivateKey)
	}
	keyText, err := pki.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(own.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	forgedFiles := writeIdentity(t, string(ca), string(pki.EncodeCertificate(forged.Leaf)), keyText)

	tests := []struct {
		name    string
		args    []string
		allowed bool
	}{
		{"own telemetry", append(own.args(), "-t", "kiosks/K-1/telemetry"), true},
		{"own telemetry, MQTT 5", append(own.args(), "-V", "5", "-t", "kiosks/K-1/telemetry"), true},
		{"own will", append(own.args(), "-t", "kiosks/K-1/telemetry", "--will-topic", "kiosks/K-1/bye", "--will-payload", "x"), true},
		{"another's telemetry", append(own.args(), "-t", "kiosks/K-2/telemetry"), false},
		{"another's telemetry, MQTT 5", append(own.args(), "-V", "5", "-t", "kiosks/K-2/telemetry"), false},
		{"own commands", append(own.args(), "-t", "kiosks/K-1/cmd"), false},
		{"own status", append(own.args(), "-t", "kiosks/K-1/status"), false},
		{"any other topic", append(own.args(), "-t", "hello"), false},
		{"will on another's bye", append(own.args(), "-t", "kiosks/K-1/telemetry", "--will-topic", "kiosks/K-2/bye", "--will-payload", "x"), false},
		{"will on another's bye, MQTT 5", append(own.args(), "-V", "5", "-t", "kiosks/K-1/telemetry", "--will-topic", "kiosks/K-2/bye", "--will-payload", "x"), false},
		{"will elsewhere", append(own.args(), "-t", "kiosks/K-1/telemetry", "--will-topic", "hello", "--will-payload", "x"), false},
		{"without a certificate", []string{"--cafile", filepath.Join(own.dir, "ca.pem"), "-t", "kiosks/K-1/telemetry"}, false},
		{"a certificate of another CA", append(forgedFiles.args(), "-t", "kiosks/K-1/telemetry"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := p.mosquitto(t, tt.args...)
			// A 5.0 client is told in the acknowledgement, and mosquitto_pub then says so and ends with 0.
			refused := err != nil || strings.Contains(strings.ToLower(out), "not authorized")
			if refused == tt.allowed {
				t.Errorf("allowed should be %v: %v\n%s", tt.allowed, err, out)
			}
		})
	}

	t.Run("malformed telemetry is counted and stops nobody", func(t *testing.T) {
		eventually(t, "the counter", func() error {
			return p.metric(`kioskfleet_ingest_dead_letters_total{reason="malformed"}`, "3")
		})
		reading := `{"timestamp":"` + time.Now().UTC().Format(time.RFC3339Nano) + `","serial":"K-1","hardware":{"cpu_temp":51.5,"door_open":true}}`
		if out, err := p.mosquitto(t, append(own.args(), "-t", "kiosks/K-1/telemetry", "-m", reading)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		eventually(t, "the good reading", func() error {
			if k := p.kiosk(t, "K-1"); k.LastReading.Timestamp.IsZero() {
				return os.ErrNotExist
			}
			return nil
		})
	})

	t.Run("a revoked certificate is refused until the kiosk enrols again", func(t *testing.T) {
		p.call(t, "POST", "/kiosks/K-1/revocation", nil, http.StatusOK, nil)
		if out, err := p.mosquitto(t, append(own.args(), "-t", "kiosks/K-1/telemetry")...); err == nil {
			t.Errorf("a revoked kiosk published: %s", out)
		}
		again := p.identity(t, token, "K-1")
		if out, err := p.mosquitto(t, append(again.args(), "-t", "kiosks/K-1/telemetry")...); err != nil {
			t.Errorf("with its new certificate: %v\n%s", err, out)
		}
	})

	t.Run("a deleted kiosk is refused", func(t *testing.T) {
		files := p.identity(t, token, "K-2")
		p.call(t, "DELETE", "/kiosks/K-2", nil, http.StatusNoContent, nil)
		if out, err := p.mosquitto(t, append(files.args(), "-t", "kiosks/K-2/telemetry")...); err == nil {
			t.Errorf("a deleted kiosk published: %s", out)
		}
	})
}

func (p *platform) metric(name, value string) error {
	res, err := p.http.Get(p.url + "/metrics")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var text strings.Builder
	if _, err := copyTo(&text, res); err != nil {
		return err
	}
	for _, line := range strings.Split(text.String(), "\n") {
		if strings.HasPrefix(line, name+" ") {
			if got := strings.TrimPrefix(line, name+" "); got != value {
				return &wrongValue{name, got, value}
			}
			return nil
		}
	}
	return &wrongValue{name, "nothing", value}
}

type wrongValue struct{ name, got, want string }

func (e *wrongValue) Error() string { return e.name + " is " + e.got + ", want " + e.want }

func TestEnrolmentIsRefusedWithAClearError(t *testing.T) {
	p := startAdmin(t, nil)
	p.call(t, "POST", "/kiosks", map[string]string{"serial": "K-1"}, http.StatusCreated, nil)
	good := p.token(t, `{"serial_pattern":"K-*","max_uses":1}`)
	short := p.token(t, `{"serial_pattern":"K-*","expires_in":"1ms"}`)
	parsed, err := protocol.ParseEnrollmentToken(good)
	if err != nil {
		t.Fatal(err)
	}
	forged := parsed
	forged.Secret = strings.Repeat("A", len(parsed.Secret))

	tests := []struct {
		name, token, serial, commonName string
		status                          int
		want                            string
	}{
		{"no token at all", "hello", "K-1", "K-1", http.StatusUnauthorized, "kfe1."},
		{"wrong secret", forged.String(), "K-1", "K-1", http.StatusUnauthorized, "issue a new one"},
		{"expired", short, "K-1", "K-1", http.StatusUnauthorized, "expired"},
		{"another serial than the pattern's", good, "X-1", "X-1", http.StatusForbidden, "it is for K-*"},
		{"CSR for another serial", good, "K-1", "K-2", http.StatusUnprocessableEntity, `its common name is "K-2" but the serial is "K-1"`},
		{"unregistered serial", good, "K-9", "K-9", http.StatusForbidden, "register its serial first"},
		{"bad serial", good, "K/1", "K/1", http.StatusUnprocessableEntity, "is not allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := pki.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			csr, err := pki.NewCSR(key, tt.commonName)
			if err != nil {
				t.Fatal(err)
			}
			var problem struct{ Detail string }
			p.call(t, "POST", "/enroll", protocol.EnrollRequest{Token: tt.token, Serial: tt.serial, CSR: string(csr)}, tt.status, &problem)
			if !strings.Contains(problem.Detail, tt.want) {
				t.Errorf("detail %q does not say %q", problem.Detail, tt.want)
			}
		})
	}
	t.Run("refusals cost no use, and a token's uses are counted", func(t *testing.T) {
		p.enroll(t, good, "K-1", "K-1", http.StatusOK)
		p.enroll(t, good, "K-1", "K-1", http.StatusForbidden)
	})
	t.Run("the kiosk program says why", func(t *testing.T) {
		out := fails(t, "kiosk", p.agentEnv(map[string]string{"DATA_DIR": t.TempDir(), "ENROLLMENT_TOKEN": good}), "--serial", "K-1")
		if !strings.Contains(out, "no uses left") {
			t.Errorf("it said:\n%s", out)
		}
	})
}

func TestEnrolmentOverHTTPSTrustsOnlyTheTokensServer(t *testing.T) {
	p := startAdmin(t, map[string]string{"HTTP_TLS": "internal"})
	p.call(t, "POST", "/kiosks", map[string]string{"serial": "K-1"}, http.StatusCreated, nil)
	token := p.token(t, `{"serial_pattern":"K-1"}`)
	if !strings.HasPrefix(p.url, "https://") {
		t.Fatalf("the page is at %s", p.url)
	}
	parsed, err := protocol.ParseEnrollmentToken(token)
	if err != nil {
		t.Fatal(err)
	}
	parsed.CA = strings.Repeat("A", len(parsed.CA))
	env := map[string]string{"DATA_DIR": t.TempDir(), "ENROLLMENT_TOKEN": parsed.String(), "INTERVAL": "200ms"}
	imposter := start(t, "kiosk", p.agentEnv(env), "--serial", "K-1")
	imposter.awaitLine("does not present the CA")
	imposter.interrupt()

	env["ENROLLMENT_TOKEN"] = token
	start(t, "kiosk", p.agentEnv(env), "--serial", "K-1")
	p.awaitOnline(t, 1, time.Time{})

	conn, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestSubcommandsWorkWhileTheServerRuns(t *testing.T) {
	p := startAdmin(t, nil)
	env := map[string]string{"DATA_DIR": p.data}
	if out, err := run(t, "admin", env, "kiosk", "add", "K-7", "--site", "Hall", "--json"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the server to notice", func() error { return p.try("GET", "/kiosks/K-7", nil, http.StatusOK, nil) })

	out, err := run(t, "admin", env, "enroll-token", "create", "--pattern", "K-*", "--uses", "2", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(out), &token); err != nil {
		t.Fatal(err)
	}
	p.enroll(t, token.Token, "K-7", "K-7", http.StatusOK)

	out, err = run(t, "admin", env, "api-token", "create", "--name", "script", "--scope", "command", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(out), &token); err != nil {
		t.Fatal(err)
	}
	bearer := func(method, path, body string) int {
		req, err := http.NewRequest(method, p.url+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/kiosks", "", http.StatusOK},
		{"POST", "/kiosks/K-7/commands", `{"name":"ping"}`, http.StatusAccepted},
		{"POST", "/kiosks", `{"serial":"K-8"}`, http.StatusForbidden},
		{"GET", "/tokens", "", http.StatusForbidden},
	} {
		if got := bearer(tt.method, tt.path, tt.body); got != tt.want {
			t.Errorf("%s %s with scope command: %d, want %d", tt.method, tt.path, got, tt.want)
		}
	}
	if out := fails(t, "admin", env, "kiosk", "add", "K-7"); !strings.Contains(out, "already exists") {
		t.Errorf("a second registration said %q", out)
	}
}

func TestBadConfigurationEndsWithTheKeysName(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "admin.yaml")
	if err := os.WriteFile(file, []byte("http:\n  adr: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	verdicts := filepath.Join(t.TempDir(), "verdicts.yaml")
	if err := os.WriteFile(verdicts, []byte("models: [{models: [A], conditions: [{code: c, metric: status, is: [blockd], verdict: degraded, text: T}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"unknown key", nil, []string{"--config", file}, `unknown key "http.adr", did you mean "http.addr"?`},
		{"unknown flag", nil, []string{"--frobnicate"}, "unknown flag: --frobnicate"},
		{"plain HTTP for everybody", map[string]string{"HTTP_ADDR": "0.0.0.0:0"}, nil, "http.addr"},
		{"HTTP port in use", map[string]string{"HTTP_ADDR": busy.Addr().String()}, nil, "http.addr " + busy.Addr().String()},
		{"MQTT port in use", map[string]string{"BROKER_KIOSKS_ADDR": busy.Addr().String()}, nil, "broker.kiosks.addr " + busy.Addr().String()},
		{"integrators' port in use", map[string]string{"BROKER_INTEGRATORS_ADDR": busy.Addr().String()}, nil, "broker.integrators.addr " + busy.Addr().String()},
		{"a word that no metric has", map[string]string{"VERDICTS_FILE": verdicts}, nil, "models[0].conditions[0].is[0]"},
		{"unknown backend", map[string]string{"TELEMETRY_BACKEND": "mysql"}, nil, "telemetry.backend"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "BROKER_KIOSKS_ADDR": "127.0.0.1:0", "BROKER_INTEGRATORS_ADDR": "127.0.0.1:0"}
			for k, v := range tt.env {
				env[k] = v
			}
			if out := fails(t, "admin", env, tt.args...); !strings.Contains(out, tt.want) {
				t.Errorf("it said:\n%s\nwant %q", out, tt.want)
			}
		})
	}
	if out, err := run(t, "admin", nil, "--check-config"); err != nil || !strings.Contains(out, "configuration is valid") {
		t.Errorf("--check-config: %v\n%s", err, out)
	}
}
