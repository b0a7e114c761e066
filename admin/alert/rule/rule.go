package rule

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// Bounds of a rule.
const (
	maxFor     = 7 * 24 * time.Hour
	maxSummary = 200  // bytes
	maxText    = 1000 // bytes
	maxLabels  = 16
	maxLabel   = 200 // bytes
)

var (
	ruleName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
)

// Compiled is a rule that was checked and can be asked. It is never changed, so anybody may ask it at any time.
type Compiled struct {
	rule      fleet.Rule
	condition *expression
	clear     *expression // nil: the condition no longer holds
	text      template
	metrics   []string
	windows   []Window
}

// Compile checks a rule. Its error is a *fleet.ValidationError that names each field and, in expressions, the place.
func Compile(r fleet.Rule) (*Compiled, error) {
	var v fleet.Violations
	if !ruleName.MatchString(r.Name) {
		v.Add("name", "%q must be 1 to 64 lower-case letters, digits and _, beginning with a letter", r.Name)
	}
	if len(r.Summary) > maxSummary {
		v.Add("summary", "has %d bytes, at most %d are allowed", len(r.Summary), maxSummary)
	}
	if !slices.Contains(fleet.Severities(), r.Severity) {
		v.Add("severity", "%q is not one of critical, warning, info", r.Severity)
	}
	for _, d := range []struct {
		field string
		is    time.Duration
	}{{"for", r.For}, {"clear_for", r.ClearFor}, {"no_data", r.NoData}} {
		if d.is < 0 || d.is > maxFor {
			v.Add(d.field, "must be from 0s to %dh", int(maxFor.Hours()))
		}
	}
	checkLabels(&v, r.Labels)
	matcher.CheckScope(&v, "scope", &r.Scope)
	if r.Schedule != nil {
		matcher.CheckSchedule(&v, "schedule", r.Schedule)
	}
	c := &Compiled{rule: r}
	c.condition = condition(&v, "condition", r.Condition)
	if strings.TrimSpace(r.Clear) != "" {
		c.clear = condition(&v, "clear", r.Clear)
	}
	var err error
	if c.text, err = compileTemplate(text(r)); err != nil {
		v.Add("text", "%v", err)
	}
	if c.condition != nil {
		c.metrics = c.condition.uses.metrics
		for _, e := range []*expression{c.condition, c.clear} {
			if e == nil {
				continue
			}
			for _, w := range e.uses.windows {
				if !slices.Contains(c.windows, w) {
					c.windows = append(c.windows, w)
				}
			}
		}
		checkTogether(&v, c)
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

func text(r fleet.Rule) string {
	switch {
	case r.Text != "":
		return r.Text
	case r.Summary != "":
		return escapeTemplate(r.Summary)
	}
	return escapeTemplate(r.Name)
}

func checkLabels(v *fleet.Violations, labels map[string]string) {
	if len(labels) > maxLabels {
		v.Add("labels", "%d labels, at most %d are allowed", len(labels), maxLabels)
	}
	for name, value := range labels {
		if !labelName.MatchString(name) {
			v.Add("labels", "%q must be letters, digits and _, beginning with a letter", name)
		}
		if len(value) > maxLabel {
			v.Add("labels."+name, "has %d bytes, at most %d are allowed", len(value), maxLabel)
		}
	}
}

func condition(v *fleet.Violations, field, source string) *expression {
	if strings.TrimSpace(source) == "" {
		v.Add(field, "is empty: write a condition such as hardware.cpu_temp > 75")
		return nil
	}
	e, err := compileExpression(source)
	if err != nil {
		v.Add(field, "%v", err)
		return nil
	}
	if e.kind != KindTruth {
		v.Add(field, "must be a condition, such as hardware.cpu_temp > 75; this is a %s", e.kind)
		return nil
	}
	return e
}

// checkTogether checks what concerns several fields.
func checkTogether(v *fleet.Violations, c *Compiled) {
	platform, others := 0, len(c.condition.uses.metrics)+len(c.condition.uses.optional)
	for _, name := range c.condition.uses.derived {
		if strings.HasPrefix(name, platformGroup) {
			platform++
		} else {
			others++
		}
	}
	if platform > 0 && (others > 0 || c.condition.uses.presence) {
		v.Add("condition", "%s names are of the platform itself and cannot stand beside those of a kiosk: make two rules", platformGroup+"*")
	}
	if c.rule.NoData > 0 && len(c.metrics) == 0 {
		v.Add("no_data", "the condition needs no value that a kiosk reports, so none can be missing")
	}
}

// Definition returns the rule as people wrote it. Nobody may change it.
func (c *Compiled) Definition() *fleet.Rule { return &c.rule }

// Condition says whether the rule holds.
func (c *Compiled) Condition(v *View) Truth { return c.condition.truth(v) }

// Clear says whether an open alert of the rule may close.
func (c *Compiled) Clear(v *View) Truth {
	if c.clear != nil {
		return c.clear.truth(v)
	}
	switch c.condition.truth(v) {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

// Text returns the reason of an alert, with the values of the moment.
func (c *Compiled) Text(v *View) string { return c.text.write(v) }

// Values returns the numbers that the condition looks at, as far as they are there.
func (c *Compiled) Values(v *View) []fleet.Value {
	var out []fleet.Value
	for _, n := range c.condition.uses.numbers {
		if x, ok := n.number(v); ok {
			out = append(out, fleet.Value{Metric: n.name, Value: x})
		}
	}
	return out
}

// InSchedule reports whether the rule's schedule holds for the kiosk.
func (c *Compiled) InSchedule(v *View) bool {
	holds, _ := matcher.Scheduled(c.rule.Schedule, v.Now, matcher.Zone(v.Kiosk))
	return holds
}

// NextBoundary returns when the schedule may next begin or end after a time, zero for a rule without one.
func (c *Compiled) NextBoundary(at time.Time, zone *time.Location) time.Time {
	_, until := matcher.Scheduled(c.rule.Schedule, at, zone)
	return until
}

// Metrics are the reported values that the condition cannot do without.
func (c *Compiled) Metrics() []string { return c.metrics }

// Windows are the rates that the rule asks for.
func (c *Compiled) Windows() []Window { return c.windows }

// AboutPresence reports whether the condition looks at presence itself.
func (c *Compiled) AboutPresence() bool { return c.condition.uses.presence }

// AboutPlatform reports whether the rule is about the platform and no kiosk.
func (c *Compiled) AboutPlatform() bool {
	return slices.ContainsFunc(c.condition.uses.derived, func(name string) bool { return strings.HasPrefix(name, platformGroup) })
}

// Reported are all metrics that the rule looks at, those that it can do without as well.
func (c *Compiled) Reported() []string {
	var out []string
	for _, e := range []*expression{c.condition, c.clear} {
		if e != nil {
			for _, name := range slices.Concat(e.uses.metrics, e.uses.optional) {
				out = add(out, name)
			}
		}
	}
	return out
}

// Fields are the names that the rule looks at which are neither reported metrics nor computed, such as status.
func (c *Compiled) Fields() []string {
	var out []string
	for _, e := range []*expression{c.condition, c.clear} {
		if e != nil {
			for _, name := range e.uses.fields {
				out = add(out, name)
			}
		}
	}
	return out
}

// Derived are the computed values that the rule looks at.
func (c *Compiled) Derived() []string {
	var out []string
	for _, e := range []*expression{c.condition, c.clear} {
		if e != nil {
			for _, name := range e.uses.derived {
				out = add(out, name)
			}
		}
	}
	return out
}

// Approximate says which of what the rule looks at a replay of stored readings cannot tell exactly; empty: nothing.
func (c *Compiled) Approximate() []string {
	var out []string
	for _, e := range []*expression{c.condition, c.clear} {
		if e != nil {
			for _, why := range e.uses.approx {
				out = add(out, why)
			}
		}
	}
	return out
}

// CompileAll compiles rules, and tells of all that are wrong, by their names.
func CompileAll(rules []fleet.Rule) ([]*Compiled, error) {
	var faults []error
	var out []*Compiled
	seen := map[string]bool{}
	for _, r := range rules {
		c, err := Compile(r)
		if err == nil && seen[r.Name] {
			err = fleet.Invalid("name", "there are two rules %s", r.Name)
		}
		seen[r.Name] = true
		if err != nil {
			faults = append(faults, fmt.Errorf("rule %s: %w", r.Name, err))
			continue
		}
		out = append(out, c)
	}
	return out, errors.Join(faults...)
}
