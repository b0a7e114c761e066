package rulebook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// fileRule is a rule as files write it.
type fileRule struct {
	Name      string            `yaml:"name"`
	Summary   string            `yaml:"summary"`
	Severity  fleet.Severity    `yaml:"severity"`
	Condition string            `yaml:"condition"`
	Clear     string            `yaml:"clear"`
	For       duration          `yaml:"for"`
	ClearFor  duration          `yaml:"clear_for"`
	NoData    duration          `yaml:"no_data"`
	Text      string            `yaml:"text"`
	Labels    map[string]string `yaml:"labels"`
	Security  bool              `yaml:"security"`
	Disabled  bool              `yaml:"disabled"`
	Scope     struct {
		Serials []string `yaml:"serials"`
		Sites   []string `yaml:"sites"`
		Tags    []string `yaml:"tags"`
		Models  []string `yaml:"models"`
	} `yaml:"scope"`
	Schedule *struct {
		Days []string `yaml:"days"`
		From string   `yaml:"from"`
		To   string   `yaml:"to"`
	} `yaml:"schedule"`
}

// duration is a time such as 5m.
type duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no time such as 30s, 5m or 2h", n.Line, n.Value)
	}
	*d = duration(v)
	return nil
}

func (f *fileRule) rule(origin fleet.RuleOrigin) fleet.Rule {
	r := fleet.Rule{
		Name: f.Name, Summary: f.Summary, Severity: f.Severity, Condition: f.Condition, Clear: f.Clear, For: time.Duration(f.For),
		ClearFor: time.Duration(f.ClearFor), NoData: time.Duration(f.NoData), Text: f.Text, Labels: f.Labels, Security: f.Security,
		Disabled: f.Disabled, Origin: origin, Version: 1, Scope: fleet.RuleScope(f.Scope),
	}
	if f.Schedule != nil {
		r.Schedule = &fleet.Schedule{Days: f.Schedule.Days, From: f.Schedule.From, To: f.Schedule.To}
	}
	return r
}

// ParseFile reads the rules of a file and checks each. Its error names the file, the line and the key of everything that
// is wrong.
func ParseFile(name string, data []byte, origin fleet.RuleOrigin) ([]fleet.Rule, error) {
	var doc struct {
		Rules []fileRule `yaml:"rules"`
	}
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	if err := strict.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("rules of %s: %w", name, err)
	}
	var places struct {
		Rules []yaml.Node `yaml:"rules"`
	}
	if err := yaml.Unmarshal(data, &places); err != nil {
		return nil, fmt.Errorf("rules of %s: %w", name, err)
	}
	var faults []error
	out := make([]fleet.Rule, 0, len(doc.Rules))
	seen := map[string]int{}
	for i := range doc.Rules {
		r, line := doc.Rules[i].rule(origin), places.Rules[i].Line
		if _, err := rule.Compile(r); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: rule %q: %w", name, line, r.Name, err))
		}
		if first, twice := seen[r.Name]; twice {
			faults = append(faults, fmt.Errorf("%s:%d: rule %q is there already, in line %d", name, line, r.Name, first))
		}
		seen[r.Name] = line
		out = append(out, r)
	}
	return out, errors.Join(faults...)
}
