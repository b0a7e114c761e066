package presence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"kioskfleet/admin/fleet"
	"kioskfleet/configs"
	"kioskfleet/internal/protocol"
)

// standard is the table that ships with the platform.
var standard = sync.OnceValue(func() *Verdicts {
	v, err := parseVerdicts(configs.Verdicts, nil)
	if err != nil {
		panic("verdicts.yaml: " + err.Error()) // a test reads it
	}
	return v
})

// Verdicts is a table of what kiosks need to serve customers, by model. It is never changed.
type Verdicts struct {
	entries []tableEntry
}

type tableEntry struct {
	name   string
	models []string
	needs  *needs
	source *fileEntry
}

// ParseVerdicts reads a table in YAML; configs/verdicts.yaml explains it.
//
// Errors: a *fleet.ValidationError with the paths of all faults, such as models[0].conditions[2].is.
func ParseVerdicts(text []byte) (*Verdicts, error) { return parseVerdicts(text, standard()) }

// needsOf returns what a model needs: the first entry that is for it.
func (v *Verdicts) needsOf(model string) *needs {
	for _, e := range v.entries {
		if slices.ContainsFunc(e.models, func(glob string) bool {
			ok, _ := path.Match(glob, model) // checked when it was read
			return ok || glob == "*"
		}) {
			return e.needs
		}
	}
	return standard().entries[0].needs
}

// The file as it is written.
type (
	file struct {
		Capabilities []string       `yaml:"capabilities"`
		Metrics      map[string]any `yaml:"metrics"`
		Models       []fileEntry    `yaml:"models"`
	}
	fileEntry struct {
		Name       string          `yaml:"name"`
		Models     []string        `yaml:"models"`
		Like       string          `yaml:"like"`
		Requires   *[]string       `yaml:"requires"`
		Payment    *[]fileWay      `yaml:"payment"`
		Conditions []fileCondition `yaml:"conditions"`
	}
	fileWay struct {
		Metric string   `yaml:"metric"`
		Needs  string   `yaml:"needs"`
		Broken []string `yaml:"broken"`
	}
	fileCondition struct {
		Code    string   `yaml:"code"`
		Metric  string   `yaml:"metric"`
		Needs   string   `yaml:"needs"`
		Is      []string `yaml:"is"`
		IsNot   []string `yaml:"is_not"`
		Below   *float64 `yaml:"below"`
		AtMost  *float64 `yaml:"at_most"`
		Above   *float64 `yaml:"above"`
		AtLeast *float64 `yaml:"at_least"`
		Until   *float64 `yaml:"until"`
		Verdict string   `yaml:"verdict"`
		Text    string   `yaml:"text"`
	}
)

// Bounds of a table, so that judging a reading stays cheap.
const (
	maxEntries    = 200
	maxConditions = 64
	maxText       = 200
)

// table is a file that is being read.
type table struct {
	fleet.Violations
	capabilities []string
	words        map[string][]string // of textual metrics
	numbers      map[string]bool
	standard     *Verdicts
	result       Verdicts
}

func parseVerdicts(text []byte, shipped *Verdicts) (*Verdicts, error) {
	var f file
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fleet.Invalid("file", "is not YAML: %v", err)
	}
	t := &table{standard: shipped, words: map[string][]string{}, numbers: map[string]bool{}}
	if len(root.Content) > 0 {
		t.checkKeys("", root.Content[0], keysOfFile)
	}
	if err := t.Err(); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fleet.Invalid("file", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	t.read(&f)
	if err := t.Err(); err != nil {
		return nil, err
	}
	return &t.result, nil
}

func (t *table) read(f *file) {
	t.declare(f)
	if len(f.Models) == 0 {
		t.Add("models", "is missing: say which models need what, or leave verdicts.file empty for the standard table")
	}
	if len(f.Models) > maxEntries {
		t.Add("models", "has %d entries, at most %d are allowed", len(f.Models), maxEntries)
		return
	}
	for i := range f.Models {
		t.entry(fmt.Sprintf("models[%d]", i), &f.Models[i])
	}
}

// declare notes the words that the rest may use.
func (t *table) declare(f *file) {
	t.capabilities = []string{protocol.CapabilityPrinter, protocol.CapabilityCashAcceptor, protocol.CapabilityCardReader}
	for i, c := range f.Capabilities {
		if c == "" {
			t.Add(fmt.Sprintf("capabilities[%d]", i), "must not be empty")
		}
	}
	t.capabilities = append(t.capabilities, f.Capabilities...)
	for _, m := range protocol.Metrics() {
		if m.Kind == protocol.KindGauge {
			t.numbers[m.Name] = true
			continue
		}
		_, words, _ := strings.Cut(m.Text, ": ")
		t.words[m.Name] = strings.Split(words, ", ")
	}
	t.words[subjectStatus] = nil
	for _, s := range protocol.States() {
		t.words[subjectStatus] = append(t.words[subjectStatus], string(s))
	}
	for name, kind := range f.Metrics {
		field := "metrics." + name
		if !protocol.ValidMetricName(name) {
			t.Add(field, "is not group.field, such as peripherals.scanner")
		}
		if _, known := t.words[name]; known || t.numbers[name] {
			t.Add(field, "is known already and need not be declared")
			continue
		}
		words, isList := kind.([]any)
		switch {
		case kind == "number":
			t.numbers[name] = true
		case isList && len(words) > 0:
			for _, w := range words {
				t.words[name] = append(t.words[name], fmt.Sprint(w))
			}
		default:
			t.Add(field, "must be number or the list of its words")
		}
	}
}

func (t *table) entry(at string, f *fileEntry) {
	if len(f.Models) == 0 {
		t.Add(at+".models", `is missing: name the models, such as ["TICKET-*"]`)
	}
	for i, glob := range f.Models {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			t.Add(fmt.Sprintf("%s.models[%d]", at, i), "%q is not a pattern such as TICKET-* (* any text, ? one letter, [ab] one of them)", glob)
		}
	}
	whole := *f
	if f.Like != "" {
		if base := t.like(f.Like); base != nil {
			whole = merged(base, f)
		} else {
			t.Add(at+".like", "%q is no name of an entry above%s", f.Like, didYouMean(f.Like, t.names()))
		}
	}
	if f.Name != "" && (slices.Contains(t.names(), f.Name)) {
		t.Add(at+".name", "%q is taken", f.Name)
	}
	if len(whole.Conditions) > maxConditions {
		t.Add(at+".conditions", "are %d, at most %d are allowed", len(whole.Conditions), maxConditions)
		return
	}
	own := len(whole.Conditions) - len(f.Conditions) // those before were checked where they stand
	t.result.entries = append(t.result.entries, tableEntry{name: f.Name, models: f.Models, needs: t.compile(at, &whole, own), source: &whole})
}

func (t *table) names() (out []string) {
	for _, v := range []*Verdicts{t.standard, &t.result} {
		for i := 0; v != nil && i < len(v.entries); i++ {
			if v.entries[i].name != "" {
				out = append(out, v.entries[i].name)
			}
		}
	}
	return out
}

func (t *table) like(name string) *fileEntry {
	for _, v := range []*Verdicts{&t.result, t.standard} {
		for i := 0; v != nil && i < len(v.entries); i++ {
			if v.entries[i].name == name {
				return v.entries[i].source
			}
		}
	}
	return nil
}

// merged returns the base with what f says otherwise; the conditions of f come last.
func merged(base, f *fileEntry) fileEntry {
	whole := *f
	if f.Requires == nil {
		whole.Requires = base.Requires
	}
	if f.Payment == nil {
		whole.Payment = base.Payment
	}
	whole.Conditions = nil
	for _, c := range base.Conditions {
		if !slices.ContainsFunc(f.Conditions, func(own fileCondition) bool { return own.Code == c.Code }) {
			whole.Conditions = append(whole.Conditions, c)
		}
	}
	whole.Conditions = append(whole.Conditions, f.Conditions...)
	return whole
}

func (t *table) compile(at string, f *fileEntry, own int) *needs {
	n := &needs{}
	order := 0
	if f.Requires != nil {
		for i, capability := range *f.Requires {
			t.capability(fmt.Sprintf("%s.requires[%d]", at, i), capability)
			n.requires = append(n.requires, lack{capability, &condition{
				order: order, code: "lacks_" + capability, verdict: fleet.VerdictCannotServe, text: "Lacks what its model needs: " + strings.ReplaceAll(capability, "_", " "),
			}})
			order++
		}
	}
	codes := map[string]bool{"no_payment": true, "never_seen": true, "offline": true, "stale": true, "no_reading": true}
	for i := range f.Conditions {
		where := fmt.Sprintf("%s.conditions[%d]", at, max(i-own, 0))
		c := t.condition(where, &f.Conditions[i])
		if codes[c.code] {
			t.Add(where+".code", "%q is taken", c.code)
		}
		codes[c.code] = true
		c.order = order
		order++
		n.add(c)
	}
	if f.Payment != nil {
		for i, w := range *f.Payment {
			where := fmt.Sprintf("%s.payment[%d]", at, i)
			t.capability(where+".needs", w.Needs)
			t.wordsOf(where+".broken", where+".metric", w.Metric, w.Broken)
			n.payment = append(n.payment, way{w.Metric, w.Needs, w.Broken})
		}
	}
	n.broke = &condition{order: order, code: "no_payment", verdict: fleet.VerdictCannotServe, text: "No way to pay"}
	return n
}

// add puts a condition beside the others that look at its metric.
func (n *needs) add(c *condition) {
	i := slices.IndexFunc(n.subjects, func(s subject) bool { return s.metric == c.subject })
	if i < 0 {
		i = len(n.subjects)
		n.subjects = append(n.subjects, subject{metric: c.subject})
	}
	n.subjects[i].conditions = append(n.subjects[i].conditions, c)
}

func (t *table) condition(at string, f *fileCondition) *condition {
	c := &condition{code: f.Code, subject: f.Metric, needs: f.Needs, verdict: fleet.Verdict(f.Verdict), text: f.Text}
	if f.Code == "" || strings.Trim(f.Code, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		t.Add(at+".code", "%q must be small letters, digits and _, such as scanner_jammed", f.Code)
	}
	if f.Text == "" || len(f.Text) > maxText {
		t.Add(at+".text", "must have 1 to %d bytes: what people read on the page", maxText)
	}
	if c.verdict != fleet.VerdictCannotServe && c.verdict != fleet.VerdictDegraded {
		allowed := []string{string(fleet.VerdictCannotServe), string(fleet.VerdictDegraded)}
		t.Add(at+".verdict", "%q is unknown, use one of %s%s", f.Verdict, strings.Join(allowed, ", "), didYouMean(f.Verdict, allowed))
	}
	t.capability(at+".needs", f.Needs)
	t.test(at, f, c)
	return c
}

// test reads what a condition asks for.
func (t *table) test(at string, f *fileCondition, c *condition) {
	tests := 0
	for key, words := range map[string][]string{"is": f.Is, "is_not": f.IsNot} {
		if words == nil {
			continue
		}
		tests++
		c.words, c.not = words, key == "is_not"
		t.wordsOf(at+"."+key, at+".metric", f.Metric, words)
	}
	for key, limit := range map[string]*float64{"below": f.Below, "at_most": f.AtMost, "above": f.Above, "at_least": f.AtLeast} {
		if limit == nil {
			continue
		}
		tests++
		c.limit, c.until = *limit, *limit
		c.above, c.equal = key == "above" || key == "at_least", key == "at_most" || key == "at_least"
		t.number(at+"."+key, at+".metric", f.Metric, *limit)
		if strings.Contains(f.Text, valueMark) {
			t.Add(at+".text", "%s stands for a word; a number changes with each reading", valueMark)
		}
	}
	if tests != 1 {
		t.Add(at, "must have exactly one of is, is_not, below, at_most, above, at_least; it has %d", tests)
	}
	if f.Until == nil {
		return
	}
	switch {
	case c.words != nil:
		t.Add(at+".until", "is for numbers")
	case math.IsNaN(*f.Until) || c.above && *f.Until > c.limit || !c.above && *f.Until < c.limit:
		t.Add(at+".until", "%v must be on the good side of the limit %v", *f.Until, c.limit)
	}
	c.until = *f.Until
}
