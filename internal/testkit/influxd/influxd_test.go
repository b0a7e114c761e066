package influxd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func post(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAServerKeepsItsDataAndAddressOverARestart(t *testing.T) {
	s := Start(t)
	other := Start(t)
	if s.URL == other.URL {
		t.Fatalf("two servers at %s", s.URL)
	}
	if code, body := post(t, s.URL+"/query", url.Values{"q": {"CREATE DATABASE kept"}}); code != http.StatusOK {
		t.Fatalf("create database: %d %s", code, body)
	}
	address := s.URL
	s.Stop()
	if resp, err := http.Get(address + "/ping"); err == nil {
		resp.Body.Close()
		t.Error("a stopped server answers")
	}
	s.Restart()
	if s.URL != address {
		t.Errorf("restarted at %s, was at %s", s.URL, address)
	}
	if _, body := post(t, s.URL+"/query", url.Values{"q": {"SHOW DATABASES"}}); !strings.Contains(body, `["kept"]`) {
		t.Errorf("the database is gone: %s", body)
	}
	if _, body := post(t, other.URL+"/query", url.Values{"q": {"SHOW DATABASES"}}); strings.Contains(body, "kept") {
		t.Errorf("the servers share their data: %s", body)
	}
}

func TestAServerWithAuthAsksForItsUser(t *testing.T) {
	s := Start(t, WithAuth("fleet", `pass'word"`))
	form := url.Values{"q": {"SHOW DATABASES"}}
	if code, body := post(t, s.URL+"/query", form); code != http.StatusUnauthorized {
		t.Errorf("without user: %d %s", code, body)
	}
	form.Set("u", "fleet")
	form.Set("p", `pass'word"`)
	if code, body := post(t, s.URL+"/query?"+form.Encode(), nil); code != http.StatusOK {
		t.Errorf("with user: %d %s", code, body)
	}
}

func TestTheProgramIsBuiltOnceForAll(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "cache", "bin")
	var builds atomic.Int64
	build := func(_ context.Context, into string) error {
		builds.Add(1)
		return os.WriteFile(filepath.Join(into, "influxd"+executableSuffix()), []byte("program"), 0o755)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := installed(t.Context(), bin, build)
			if err != nil {
				t.Errorf("installed: %v", err)
				return
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "program" {
				t.Errorf("%q, %v", content, err)
			}
		})
	}
	wg.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
	if left, _ := filepath.Glob(filepath.Join(bin, "building-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestABuildThatFailsIsAnErrorAndLeavesNothing(t *testing.T) {
	bin, failure := t.TempDir(), errors.New("no network")
	_, err := installed(t.Context(), bin, func(context.Context, string) error { return failure })
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	if left, _ := filepath.Glob(filepath.Join(bin, "building-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheEnvironmentNamesAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "influxd")
	t.Setenv("KIOSKFLEET_TEST_INFLUXD", path)
	if _, err := Program(t.Context()); err == nil || !strings.Contains(err.Error(), "KIOSKFLEET_TEST_INFLUXD") {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Program(t.Context()); err != nil || got != path {
		t.Errorf("%s, %v, want %s", got, err, path)
	}
}
