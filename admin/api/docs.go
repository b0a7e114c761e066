package api

import (
	"cmp"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// docsPage lists the API for people. It is written here instead of shipping a viewer of a megabyte;
// tools read openapi.json.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Kiosk Fleet API</title>
<style>
:root{color-scheme:dark light;--line:#8884}
body{font:14px/1.55 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin:2.5rem 0 .5rem;font-size:1.05rem;text-transform:capitalize}
.op{border-top:1px solid var(--line);padding:.75rem 0}
.m{display:inline-block;min-width:4.2rem;font-weight:600}
code{font:13px ui-monospace,monospace}p{margin:.25rem 0;white-space:pre-line}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.4rem 0 0}dt{font-family:ui-monospace,monospace}dd{margin:0;opacity:.8}
</style>
<h1>{{.Title}} API</h1><p>{{.Text}}</p><p>Machine-readable: <a href="{{.Prefix}}/openapi.json">openapi.json</a></p>
{{range .Groups}}<h2>{{.Name}}</h2>{{range .Operations}}<div class="op"><span class="m">{{.Method}}</span><code>{{$.Prefix}}{{.Path}}</code>
<p>{{.Summary}}</p>{{with .Text}}<p>{{.}}</p>{{end}}{{with .Parameters}}<dl>{{range .}}<dt>{{.Name}}</dt><dd>{{.Text}}</dd>{{end}}</dl>{{end}}</div>{{end}}{{end}}
</html>`))

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	Method, Path, Summary, Text string
	Parameters                  []docsParameter
}

type docsParameter struct{ Name, Text string }

func (s *Server) docs(c echo.Context) error {
	var spec struct {
		Info struct {
			Title       string
			Description string
		}
		Tags  []struct{ Name string }
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(s.spec, &spec); err != nil {
		return err
	}
	operations := map[string][]docsOperation{}
	for path, methods := range spec.Paths {
		for method, raw := range methods {
			var op struct {
				Tags        []string
				Summary     string
				Description string
				Parameters  []struct{ Name, Description string }
			}
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				return err
			}
			o := docsOperation{Method: strings.ToUpper(method), Path: path, Summary: op.Summary, Text: op.Description}
			for _, p := range op.Parameters {
				if p.Name != "" {
					o.Parameters = append(o.Parameters, docsParameter{p.Name, p.Description})
				}
			}
			tag := "other"
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			operations[tag] = append(operations[tag], o)
		}
	}
	var groups []docsGroup
	for _, name := range append(spec.Tags, struct{ Name string }{"other"}) {
		ops := operations[name.Name]
		slices.SortFunc(ops, func(a, b docsOperation) int {
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
		})
		if len(ops) > 0 {
			groups = append(groups, docsGroup{name.Name, ops})
		}
	}
	c.Response().Header().Set(echo.HeaderContentType, "text/html; charset=utf-8")
	c.Response().WriteHeader(http.StatusOK)
	return docsPage.Execute(c.Response(), map[string]any{"Title": spec.Info.Title, "Text": spec.Info.Description, "Prefix": Prefix, "Groups": groups})
}
