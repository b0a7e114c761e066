package swarm

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// sayOpenFiles is a spawner that only checks whether it may run a thousand kiosks.
func sayOpenFiles() int {
	if err := CheckOpenFiles(1, 1000, false); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestTheOpenFileLimitIsChecked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no limit")
	}
	for limit, ok := range map[int]bool{600: false, 1255: false, 1256: true} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("ulimit -n %d && exec %q --check-open-files", limit, os.Args[0]))
		out, err := cmd.CombinedOutput()
		if ok != (err == nil) {
			t.Errorf("with %d files: %v: %s", limit, err, out)
		}
		if want := fmt.Sprintf("1000 kiosks need 1256 open files, this process may open %d", limit); !ok && !strings.Contains(string(out), want) {
			t.Errorf("it says %s, want %q", out, want)
		}
	}
}

func TestTheSoftLimitIsRaised(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no limit")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("ulimit -Sn 64 && ulimit -Hn 2000 && exec %q --check-open-files", os.Args[0]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheAdviceOfTheOpenFileLimit(t *testing.T) {
	for _, tt := range []struct {
		first, kiosks int
		processes     bool
		limit         uint64
		want          string // empty: there is enough
	}{
		{1, 15_000, false, 15_256, ""},
		{1, 15_000, false, 1 << 63, ""},
		{1, 15_000, false, 8000, "15000 kiosks need 15256 open files, this process may open 8000: raise the limit (ulimit -n 15256; LimitNOFILE=15256 in a systemd unit), or share the kiosks among processes: --first 1 -n 7500, --first 7501 -n 7500"},
		{501, 15_000, false, 5256, "--first 501 -n 5000, --first 5501 -n 5000, --first 10501 -n 5000"},
		{1, 15_000, false, 1024, "processes: --first 1 -n 750, --first 751 -n 750, … (20 in all), --first 14251 -n 750"},
		{1, 1000, true, 2256, ""},
		{1, 1000, true, 1256, "1000 kiosks need 2256 open files, this process may open 1256: raise"},
		{1, 1000, true, 1256, "--first 1 -n 500, --first 501 -n 500"},
		{1, 10, false, 100, "10 kiosks need 266 open files, this process may open 100: raise the limit (ulimit -n 266; LimitNOFILE=266 in a systemd unit)"},
	} {
		err := checkOpenFiles(tt.first, tt.kiosks, tt.processes, tt.limit)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v", tt, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v\nwant %q", err, tt.want)
		}
	}
	if err := checkOpenFiles(1, 10, false, 100); strings.Contains(err.Error(), "--first") {
		t.Errorf("advice that does not help: %v", err)
	}
}
