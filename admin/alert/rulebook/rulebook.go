// Package rulebook keeps the alert rules: those that the platform comes with, those of the operator's own file, and those
// that people make by API and page, with every version that there was.
package rulebook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
	"kioskfleet/configs"
)

// maxRules bounds the rules that people make.
const maxRules = 5000

// Store keeps what people decide about rules.
type Store interface {
	// AlertRules returns the newest version of every rule that people made and did not delete, and which rules of files
	// are switched off or on against their file.
	AlertRules(ctx context.Context) (rules []fleet.Rule, switches map[string]bool, err error)
	// SaveAlertRule adds a version of a rule; fleet.ErrConflict when there is one of that number.
	SaveAlertRule(ctx context.Context, r fleet.Rule, action string) error
	// SwitchAlertRule notes that a rule of a file is off, or on.
	SwitchAlertRule(ctx context.Context, name string, on bool, at time.Time, actor string) error
	// AlertRuleVersions returns all versions of a rule, newest first.
	AlertRuleVersions(ctx context.Context, name string) ([]fleet.Rule, error)
	// DeleteAlertRule notes that a rule is no more; its versions stay.
	DeleteAlertRule(ctx context.Context, name string, at time.Time, actor string) error
}

// Config says where rules are.
type Config struct {
	Store Store
	File  string // of the operator's own rules; empty: none
	Now   func() time.Time
	Log   *slog.Logger
}

// Book holds the rules. It is safe for concurrent use.
type Book struct {
	cfg       Config
	observers []func(*rule.Set)

	mu    sync.Mutex // guards the rest; held while a change is written, so that changes come one after the other
	fixed map[string]fleet.Rule
	made  map[string]fleet.Rule
	off   map[string]bool // of fixed rules: true is on, false is off, against what their file says
	set   *rule.Set
}

// New reads all rules. A file with a fault is an error that names the place.
func New(ctx context.Context, cfg Config) (*Book, error) {
	b := &Book{cfg: cfg, made: map[string]fleet.Rule{}}
	made, switches, err := cfg.Store.AlertRules(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range made {
		b.made[r.Name] = r
	}
	b.off = switches
	if err := b.read(); err != nil {
		return nil, err
	}
	return b, b.compile()
}

// read reads the files' rules.
func (b *Book) read() error {
	all, err := ParseFile("the shipped rules", configs.Alerts, fleet.OriginShipped)
	if err != nil {
		return err
	}
	fixed := map[string]fleet.Rule{}
	for _, r := range all {
		fixed[r.Name] = r
	}
	if b.cfg.File != "" {
		data, err := os.ReadFile(b.cfg.File)
		if err != nil {
			return fmt.Errorf("alerts.rules: %w", err)
		}
		own, err := ParseFile(filepath.Base(b.cfg.File), data, fleet.OriginFile)
		if err != nil {
			return fmt.Errorf("alerts.rules: %w", err)
		}
		for _, r := range own {
			fixed[r.Name] = r // one of the operator's takes the place of a shipped one
		}
	}
	b.fixed = fixed
	return nil
}

// compile makes the set of what is there. The lock is held, or nobody else has the book yet.
func (b *Book) compile() error {
	var all []*rule.Compiled
	for _, r := range b.list() {
		c, err := rule.Compile(r)
		switch {
		case err == nil:
			all = append(all, c)
		case r.Origin == fleet.OriginUser:
			// It was good when it was saved: the language has changed since. That must not keep the platform from starting.
			b.cfg.Log.Error("alert rule rests, for it is not right any more", "rule", r.Name, "error", err)
		default:
			return fmt.Errorf("alert rule %s: %w", r.Name, err)
		}
	}
	b.set = rule.NewSet(all)
	return nil
}

// list returns all rules as they are, by name. One of a file hides one that people made under its name.
func (b *Book) list() []fleet.Rule {
	var out []fleet.Rule
	for name, r := range b.fixed {
		if on, there := b.off[name]; there {
			r.Disabled = !on
		}
		out = append(out, r)
	}
	for name, r := range b.made {
		if _, hidden := b.fixed[name]; !hidden {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(x, y fleet.Rule) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// Observe calls f with the rules now and whenever they change, in order. It must return soon.
func (b *Book) Observe(f func(*rule.Set)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.observers = append(b.observers, f)
	f(b.set)
}

// Reload reads the files again. After an error the rules are those of before.
func (b *Book) Reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.fixed
	if err := b.read(); err != nil {
		return err
	}
	if err := b.told(); err != nil {
		b.fixed = before
		return err
	}
	return nil
}

// told compiles what is there now and tells the observers. The lock is held.
func (b *Book) told() error {
	if err := b.compile(); err != nil {
		return err
	}
	for _, f := range b.observers {
		f(b.set)
	}
	return nil
}

// Rules returns all rules by name.
func (b *Book) Rules(context.Context) ([]fleet.Rule, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list(), nil
}

// Rule returns a rule; fleet.ErrNotFound when there is none.
func (b *Book) Rule(_ context.Context, name string) (fleet.Rule, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.find(name)
}

func (b *Book) find(name string) (fleet.Rule, error) {
	for _, r := range b.list() {
		if r.Name == name {
			return r, nil
		}
	}
	return fleet.Rule{}, fmt.Errorf("alert rule %s: %w", name, fleet.ErrNotFound)
}

// Versions returns all versions of a rule that people made, newest first; of a rule of a file there is one.
func (b *Book) Versions(ctx context.Context, name string) ([]fleet.Rule, error) {
	r, err := b.Rule(ctx, name)
	if err != nil {
		return nil, err
	}
	if r.Origin != fleet.OriginUser {
		return []fleet.Rule{r}, nil
	}
	return b.cfg.Store.AlertRuleVersions(ctx, name)
}

// Check returns what is wrong with a rule, as a *fleet.ValidationError, or nil.
func (b *Book) Check(r fleet.Rule) error {
	_, err := rule.Compile(r)
	return err
}

// Create makes a new rule. Errors: *fleet.ValidationError; fleet.ErrExists when its name is taken.
func (b *Book) Create(ctx context.Context, r fleet.Rule, actor string) (fleet.Rule, error) {
	if err := b.Check(r); err != nil {
		return fleet.Rule{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.find(r.Name); err == nil {
		return fleet.Rule{}, fmt.Errorf("alert rule %s: %w", r.Name, fleet.ErrExists)
	}
	if len(b.made) >= maxRules {
		return fleet.Rule{}, fleet.Invalid("name", "there are %d rules already: delete some", maxRules)
	}
	r.Version = 1
	if old, err := b.cfg.Store.AlertRuleVersions(ctx, r.Name); err != nil {
		return fleet.Rule{}, err
	} else if len(old) > 0 {
		r.Version = old[0].Version + 1 // it was deleted once
	}
	return b.save(ctx, r, "alert_rule.create", actor)
}

// save writes a version and tells everybody. The lock is held.
func (b *Book) save(ctx context.Context, r fleet.Rule, action, actor string) (fleet.Rule, error) {
	r.Origin, r.UpdatedAt, r.UpdatedBy = fleet.OriginUser, b.cfg.Now().UTC().Truncate(time.Millisecond), actor
	if err := b.cfg.Store.SaveAlertRule(ctx, r, action); err != nil {
		return fleet.Rule{}, err
	}
	b.made[r.Name] = r
	return r, b.told()
}

// Change puts a rule in the place of its version expected. Errors: *fleet.ValidationError; fleet.ErrNotFound;
// fleet.ErrConflict when somebody else changed it meanwhile.
func (b *Book) Change(ctx context.Context, r fleet.Rule, expected int64, actor string) (fleet.Rule, error) {
	if err := b.Check(r); err != nil {
		return fleet.Rule{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now, err := b.own(r.Name)
	if err != nil {
		return fleet.Rule{}, err
	}
	if now.Version != expected {
		return fleet.Rule{}, fmt.Errorf("alert rule %s is version %d now, not %d: %w", r.Name, now.Version, expected, fleet.ErrConflict)
	}
	r.Version = now.Version + 1
	return b.save(ctx, r, "alert_rule.change", actor)
}

// own returns a rule that may be changed here. The lock is held.
func (b *Book) own(name string) (fleet.Rule, error) {
	r, err := b.find(name)
	if err != nil {
		return r, err
	}
	if r.Origin != fleet.OriginUser {
		return r, fleet.Invalid("name", "%s comes from a file and is changed there: copy it under another name, and switch this one off", name)
	}
	return r, nil
}

// Delete removes a rule; its open alerts are resolved. Errors: as of Change.
func (b *Book) Delete(ctx context.Context, name, actor string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.own(name); err != nil {
		return err
	}
	if err := b.cfg.Store.DeleteAlertRule(ctx, name, b.cfg.Now(), actor); err != nil {
		return err
	}
	delete(b.made, name)
	return b.told()
}

// Switch switches a rule on or off, one of a file too.
func (b *Book) Switch(ctx context.Context, name string, on bool, actor string) (fleet.Rule, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := b.find(name)
	if err != nil || r.Disabled == !on {
		return r, err
	}
	action := "alert_rule.disable"
	if on {
		action = "alert_rule.enable"
	}
	r.Disabled = !on
	if r.Origin == fleet.OriginUser {
		r.Version++
		return b.save(ctx, r, action, actor)
	}
	if err := b.cfg.Store.SwitchAlertRule(ctx, name, on, b.cfg.Now(), actor); err != nil {
		return fleet.Rule{}, err
	}
	b.off[name] = on
	return r, b.told()
}
