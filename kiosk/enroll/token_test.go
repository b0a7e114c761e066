package enroll

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/protocol"
)

func TestPlainHTTPIsForLoopbackOnly(t *testing.T) {
	for url, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, "http://[::1]:8080": true,
		"https://admin.example": true, "http://admin.example": false, "http://192.0.2.1:8080": false,
		"http://localhost.example": false, "ftp://localhost": false, "localhost:8080": false, "": false,
	} {
		_, err := NewPlatform(url)
		if good != (err == nil) {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && !strings.Contains(err.Error(), "admin.url") {
			t.Errorf("%q: error %q does not name the key", url, err)
		}
	}
}

func TestTheTokenIsFoundInOrder(t *testing.T) {
	dir := t.TempDir()
	text := func(id string) string { return protocol.EnrollmentToken{ID: id, Secret: "s", CA: "c"}.String() }
	file := filepath.Join(dir, "mine")
	for path, id := range map[string]string{file: "file", filepath.Join(dir, devTokenFile): "dev"} {
		if err := os.WriteFile(path, []byte(text(id)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := t.TempDir()
	tests := map[string]struct {
		tokens Tokens
		id     string
		err    string
	}{
		"file wins":         {Tokens{file, text("env"), dir}, "file", ""},
		"then environment":  {Tokens{"", text("env"), dir}, "env", ""},
		"then data folder":  {Tokens{"", "", dir}, "dev", ""},
		"none":              {Tokens{"", "", empty}, "", "no enrolment token: give --token-file"},
		"file is missing":   {Tokens{filepath.Join(empty, "x"), text("env"), dir}, "", "read the enrolment token"},
		"text is malformed": {Tokens{"", "secret-text", dir}, "", "enrollment.token: not an enrolment token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			token, err := tt.tokens.Find()
			if token.ID != tt.id || tt.err == "" && err != nil {
				t.Errorf("token %q, error %v", token.ID, err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error = %v, want %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-text") {
				t.Error("the error shows the token")
			}
		})
	}
}

// TestATokenThatComesLateIsWaitedFor: spawner and admin are started together.
func TestATokenThatComesLateIsWaitedFor(t *testing.T) {
	f := startAdmin(t, false)
	dir := t.TempDir()
	e := f.enroller(Tokens{DataDir: dir})
	if _, err := e.Identity(t.Context(), t.TempDir(), "K-1"); !errors.Is(err, ErrNoToken) {
		t.Errorf("error = %v, want ErrNoToken once the wait is over", err)
	}
	e.cfg.TokenWait = time.Hour
	done := make(chan error, 1)
	go func() {
		_, err := e.Identity(t.Context(), filepath.Join(dir, "K-1"), "K-1")
		done <- err
	}()
	if err := durablefile.Write(filepath.Join(dir, devTokenFile), []byte(f.token()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestARefusedTokenIsReplacedByANewerOne: admin's data folder was made anew while the kiosk asked.
func TestARefusedTokenIsReplacedByANewerOne(t *testing.T) {
	f := startAdmin(t, false)
	dir := t.TempDir()
	file := filepath.Join(dir, devTokenFile)
	stale := protocol.EnrollmentToken{ID: "old", Secret: "s", CA: authority(t).Fingerprint()}.String()
	if err := os.WriteFile(file, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	f.answer = func(w http.ResponseWriter, req protocol.EnrollRequest) bool {
		if req.Token != stale {
			return false
		}
		if err := os.WriteFile(file, []byte(f.token()), 0o600); err != nil {
			t.Error(err)
		}
		problem(w, http.StatusUnauthorized, "The token is not known", "")
		return true
	}
	if _, err := f.enroller(Tokens{DataDir: dir}).Identity(t.Context(), filepath.Join(dir, "K-1"), "K-1"); err != nil {
		t.Error(err)
	}
}
