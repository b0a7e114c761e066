package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

var _ Rule = (*rule.Compiled)(nil)

// Rules is a Set of compiled rules. A kiosk's rules are looked up once for as long as its registration stays the same:
// with a thousand rules, trying each for every reading would cost more than all else.
type Rules struct {
	set    *rule.Set
	found  sync.Map // covering by serial; "" for the platform
	latest atomic.Pointer[covering]
}

type covering struct {
	updated time.Time
	rules   []Rule
}

// NewRules returns a Set of compiled rules.
func NewRules(set *rule.Set) *Rules { return &Rules{set: set} }

// For implements Set. Nobody may change the slice.
func (r *Rules) For(k *fleet.Kiosk) []Rule {
	var serial string
	var updated time.Time
	if k != nil {
		serial, updated = k.Serial, k.UpdatedAt
	}
	if c, ok := r.found.Load(serial); ok && c.(*covering).updated.Equal(updated) {
		return c.(*covering).rules
	}
	found := r.set.Find(k)
	c := &covering{updated: updated, rules: make([]Rule, len(found))}
	for i, one := range found {
		c.rules[i] = one
	}
	// Most kiosks have the rules of the one before: one list is enough for them.
	if latest := r.latest.Load(); latest != nil && slices.Equal(latest.rules, c.rules) {
		c.rules = latest.rules
	} else {
		r.latest.Store(c)
	}
	r.found.Store(serial, c)
	return c.rules
}
