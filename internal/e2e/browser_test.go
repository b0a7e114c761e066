package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// needsPage fails a test at once if the page that a browser is to open was not built.
func needsPage(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root(), "admin", "web", "dist", "index.html")); err != nil {
		t.Fatal("the page is not built: run make test, which builds it first")
	}
}

// inBrowser runs one of the browser tests in admin/web/e2e on the platform, about a kiosk if it is about one.
func (p *platform) inBrowser(t *testing.T, spec, serial string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "--test", "e2e/"+spec)
	cmd.Dir = filepath.Join(root(), "admin", "web")
	cmd.Env = append(environment(nil), "KIOSKFLEET_URL="+p.url, "KIOSKFLEET_PASSWORD="+p.password(t))
	if serial != "" {
		cmd.Env = append(cmd.Env, "KIOSKFLEET_SERIAL="+serial)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
