// Package archtest turns the project's habits into tests: who may import whom, and that packages and
// exported identifiers say what they are for. The rules and their reasons are in
// docs/adr/0001-layout-and-import-rules.md.
package archtest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "kioskfleet"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}

func under(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// wiring are the packages that may know every part of admin; the benchmark fills a journal as admin does.
func wiring(path string) bool {
	return path == "admin" || path == "admin/app" || path == "admin/cli" || path == "internal/e2e" || path == "internal/bench"
}

// sibling returns the package directly below admin/ that path is in, or empty.
func sibling(path string) string {
	rest, ok := strings.CutPrefix(path, "admin/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// broken returns the rule that importing `to` from `from` breaks, or empty.
func broken(from, to string) string {
	switch {
	case under(from, "internal/protocol"):
		return "internal/protocol imports nothing of ours: it is the contract that both sides build on"
	case under(from, "admin/fleet") && !under(to, "internal/protocol"):
		return "admin/fleet imports only internal/protocol: the domain does no I/O"
	case under(from, "kiosk") && (under(to, "admin") || under(to, "broker")):
		return "a kiosk knows the platform only by its topics"
	case under(from, "spawner") && (under(to, "admin") || under(to, "broker")):
		return "the spawner stays outside: admin sees simulated kiosks as real ones"
	case under(from, "broker") && under(to, "admin"):
		return "the broker runs without admin"
	case under(to, "broker/server") && !under(from, "broker") && from != "admin/app":
		return "only admin/app embeds the broker"
	case under(from, "internal") && !wiring(from) && !strings.HasPrefix(from, "internal/testkit") && !under(to, "internal"):
		return "internal is below everything else"
	case under(from, "dashboards") && to != "internal/protocol" && to != "admin/telemetry/embedded":
		return "dashboards only know what metrics are called"
	case wiring(from) || sibling(from) == "" || sibling(to) == "":
		return ""
	case sibling(to) == "fleet" || sibling(from) == sibling(to):
		return ""
	}
	return "the packages beside admin/fleet never import each other; admin/app wires them"
}

func TestWhoImportsWhom(t *testing.T) {
	for _, p := range packages(t) {
		for _, to := range p.Imports {
			to, ours := strings.CutPrefix(to, module+"/")
			if !ours {
				continue
			}
			if rule := broken(p.path(), to); rule != "" {
				t.Errorf("%s imports %s: %s", p.path(), to, rule)
			}
		}
	}
}

func TestTheRulesCanBeBroken(t *testing.T) {
	for _, tt := range []struct{ from, to string }{
		{"internal/protocol", "internal/pki"}, {"admin/fleet", "internal/config"}, {"kiosk/agent", "admin/fleet"},
		{"spawner/swarm", "broker/server"}, {"admin/api", "admin/store"}, {"admin/api", "broker/server"}, {"internal/pki", "admin/fleet"}, {"dashboards", "admin/app"},
	} {
		if broken(tt.from, tt.to) == "" {
			t.Errorf("no rule forbids %s to import %s", tt.from, tt.to)
		}
	}
	for _, tt := range []struct{ from, to string }{
		{"admin/app", "broker/server"}, {"admin/telemetry/influx", "admin/telemetry"}, {"admin/api", "admin/fleet"}, {"spawner/swarm", "kiosk/agent"},
	} {
		if rule := broken(tt.from, tt.to); rule != "" {
			t.Errorf("%s may import %s, but: %s", tt.from, tt.to, rule)
		}
	}
}

func TestEachLibraryHasOneHome(t *testing.T) {
	homes := map[string][]string{
		"github.com/eclipse/paho.mqtt.golang":         {"internal/mqttclient"},
		"github.com/mochi-mqtt/server/v2":             {"broker/server", "internal/bench", "internal/testkit/mqttbroker"}, // the benchmark's yardstick is mochi without us, and so is what tests connect to
		"github.com/influxdata/influxdb-client-go/v2": {"admin/telemetry/influx"},
		"github.com/prometheus/prometheus":            {"admin/telemetry/embedded", "admin/telemetry/promapi"},
		"github.com/labstack/echo/v4":                 {"admin/api"},
		"github.com/spf13/viper":                      {"internal/config"},
		"modernc.org/sqlite":                          {"admin/store"},
		"github.com/pressly/goose/v3":                 {"admin/store"},
		"github.com/getkin/kin-openapi":               {},
		"github.com/go-viper/mapstructure/v2":         {"internal/config"},
		"go.yaml.in/yaml/v3":                          {"admin/alert/rulebook", "admin/api", "admin/presence", "spawner/scenario"},
		"github.com/nicholas-fedor/shoutrrr":          {"admin/alert/notify/target"},
		"golang.org/x/crypto/argon2":                  {"admin/auth"},
		"github.com/HdrHistogram/hdrhistogram-go":     {"internal/latency"},
		"github.com/expr-lang/expr":                   {"admin/alert/rule"},
	}
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for library, allowed := range homes {
				if !under(imported, library) {
					continue
				}
				ok := false
				for _, home := range allowed {
					ok = ok || under(p.path(), home)
				}
				if !ok {
					t.Errorf("%s imports %s, whose home is %v", p.path(), imported, allowed)
				}
			}
		}
	}
}

// A small image has no time zones of its own; what asks for Europe/Madrid there would be told that there is none.
func TestProgramsThatKnowTimeZonesCarryThem(t *testing.T) {
	left := []string{"admin", "kiosk", "spawner"}
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, "time/tzdata") {
			left = slices.DeleteFunc(left, func(program string) bool { return program == p.path() })
		}
	}
	if len(left) > 0 {
		t.Errorf("without time zones: %v", left)
	}
}

func TestPackagesAndExportedIdentifiersAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		files := token.NewFileSet()
		documented := false
		err := filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if path != p.Dir {
					return filepath.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			documented = documented || file.Doc != nil
			for _, name := range undocumented(file) {
				t.Errorf("%s: %s has no doc comment", files.Position(file.Pos()).Filename, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !documented && len(p.Imports) > 0 {
			t.Errorf("package %s has no doc comment", p.path())
		}
	}
}

func undocumented(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			wellKnown := d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "Unwrap" || d.Name.Name == "String")
			if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !wellKnown {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
						names = append(names, s.Name.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							names = append(names, n.Name)
						}
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	ident, ok := typ.(*ast.Ident)
	return !ok || ident.IsExported()
}
