package influxd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"kioskfleet/internal/filelock"
)

// source is the last release of InfluxDB that is plain Go from end to end.
const source = "github.com/influxdata/influxdb/cmd/influxd@v1.8.3"

// Program returns the path of the server's program: the one that KIOSKFLEET_TEST_INFLUXD names, or that
// in the user's cache folder, which the first caller builds. Building takes about two minutes and needs
// the Go module proxy; several processes at once build it once.
func Program(ctx context.Context) (string, error) {
	if path := os.Getenv("KIOSKFLEET_TEST_INFLUXD"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("KIOSKFLEET_TEST_INFLUXD: %w", err)
		}
		return path, nil
	}
	bin, err := cacheFolder()
	if err != nil {
		return "", err
	}
	return installed(ctx, bin, goInstall)
}

func cacheFolder() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(cache) { // the specification says to ignore a relative one
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "kioskfleet", "bin"), nil
}

// installed returns the program in the folder, after install has put it there if it was missing.
func installed(ctx context.Context, bin string, install func(ctx context.Context, into string) error) (string, error) {
	path := filepath.Join(bin, "influxd"+executableSuffix())
	missing := func() (bool, error) {
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return false, err
	}
	if absent, err := missing(); err != nil || !absent {
		return path, err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("install influxd: %w", err)
	}
	lock, err := filelock.Take(filepath.Join(bin, "influxd.lock"))
	if err != nil {
		return "", fmt.Errorf("install influxd: %w", err)
	}
	defer lock.Close()
	if absent, err := missing(); err != nil || !absent {
		return path, err // another process has built it while we waited
	}
	// Beside the final place, so that the program appears there at once and complete.
	work, err := os.MkdirTemp(bin, "building-")
	if err != nil {
		return "", fmt.Errorf("install influxd: %w", err)
	}
	defer os.RemoveAll(work)
	if err := install(ctx, work); err != nil {
		return "", fmt.Errorf("install influxd: %w", err)
	}
	if err := os.Rename(filepath.Join(work, filepath.Base(path)), path); err != nil {
		return "", fmt.Errorf("install influxd: %w", err)
	}
	return path, nil
}

// goInstall builds the program into the folder. It works there, outside of our module, since ours is
// not to depend on a database server.
func goInstall(ctx context.Context, into string) error {
	cmd := exec.CommandContext(ctx, "go", "install", source)
	cmd.Dir = into
	cmd.Env = append(os.Environ(), "GOBIN="+into, "GOFLAGS=", "GOWORK=off", "GO111MODULE=on", "GOOS=", "GOARCH=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go install %s: %w; run it yourself, or name an InfluxDB 1.8 server in KIOSKFLEET_TEST_INFLUXD:\n%s",
			source, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func executableSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
