package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Training data must be what is usual, for whatever is in it becomes so. A sensor at fault for days is told from a true
// change by its texture: a season, more customers or a new program shift levels, together and on all kiosks, and leave
// the sensors moving as they did. A dead, saturated or noisy sensor loses its texture, and a fault of single kiosks
// parts them from their siblings. What is usual comes from the model at work, from siblings in the same days and from
// the kiosk's own other days, whichever there is.
const (
	stillAtLeast = 24.0 // hours without change before a sensor may be dead
	stillTimes   = 10.0 // as many times as long as the longest usual time

	limitAtLeast = 0.1 // share of a day's readings at its highest or lowest value before a sensor may be saturated
	limitTimes   = 6.0 // as many times as usual

	flatTimes  = 10.0 // as many times less movement than usual
	noisyTimes = 4.0  // as many times more
	noisyShape = 1.5  // and as many times more in proportion to the spread of a day, than another fleet

	movesMostly = 0.5 // share of the readings that differ from the one before, where movement can be compared

	apartTimes   = 10.0 // how far a kiosk parts from its siblings, in units of what one of them does from day to day,
	apartWays    = 10.0 // of what one of them does in all the time,
	apartSpreads = 1.5  // and of what the sensor does within a day

	badDays      = 2 // days with it that are no accident
	siblings     = 5 // kiosks of which a median says something
	manySiblings = 6 // kiosks of which one that leaves the others can be told from those that differ anyway
)

// Shares of the kiosks that may be left out of a training, which then goes on without them. In a large fleet some
// sensor is always dead; in a small one it is worth a look.
const (
	deadShare  = 0.01
	apartShare = 0.10
)

// fault is what is wrong with one metric of one kiosk.
type fault struct {
	serial, metric string
	kind           faultKind
	text           string // of this kiosk
}

type faultKind int

const (
	stuckSensor faultKind = iota
	flatSensor
	saturatedSensor
	noisySensor
	apartFromSiblings
	faultKinds
)

// names and texts of the kinds, for checks.
var faultTexts = [faultKinds]struct{ name, passed, failed string }{
	{"stuck sensors", "every sensor moves as it used to", "did not move"},
	{"flat sensors", "no sensor has lost its movement", "hardly moved any more"},
	{"saturated sensors", "no sensor stays at its limit", "stayed at a limit"},
	{"noisy sensors", "no sensor has become noisy", "became noisy"},
	{"unlike siblings", "kiosks that belong together changed together", "left the course that its siblings kept"},
}

// share returns how many kiosks of a fleet may have the fault.
func (k faultKind) share() float64 {
	if k == apartFromSiblings {
		return apartShare
	}
	return deadShare
}

// examine judges the traces of all kiosks. It returns a check for each kind of fault and the serials to be left out,
// which are none when a check failed.
func examine(all []*traces, current *model.File) (checks []fleet.ModelCheck, out map[string]bool) {
	e := &examination{all: all, current: current, days: 0}
	for _, t := range all {
		e.days = max(e.days, t.days)
	}
	for _, metric := range e.metrics() {
		e.metric(metric)
	}
	out = map[string]bool{}
	passed := true
	for kind := range faultKinds {
		c, kiosks := e.check(kind)
		checks = append(checks, c)
		passed = passed && c.Passed
		for _, serial := range kiosks {
			out[serial] = true
		}
	}
	if !passed {
		clear(out)
	}
	return checks, out
}

// examination is a look at the traces of all kiosks.
type examination struct {
	all     []*traces
	current *model.File
	days    int
	faults  []fault
}

func (e *examination) metrics() []string {
	seen := map[string]bool{}
	for _, t := range e.all {
		for name := range t.metrics {
			seen[name] = true
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// metric looks at one metric of all kiosks.
func (e *examination) metric(name string) {
	groups := e.groups(name)
	for _, t := range e.all {
		tr := t.metrics[name]
		if tr == nil {
			continue
		}
		s := subject{trace: tr, group: groups.of(&t.kiosk, siblings), many: groups.of(&t.kiosk, manySiblings), known: moves(name)}
		s.worked, s.close = textureOf(e.current, &t.kiosk, name)
		for kind := range faultKinds {
			if text, bad := s.has(kind); bad {
				e.faults = append(e.faults, fault{t.kiosk.Serial, name, kind, text})
				break // what is stuck is flat as well, and what is flat often at a limit
			}
		}
	}
}

// moves reports whether a metric is known to move all the time, in any kiosk.
func moves(metric string) bool {
	_, known := protocol.LookupMetric(metric)
	switch metric {
	case "hardware.cpu_temp", "hardware.cpu_usage", "hardware.ram_usage", "environmental.temperature", "environmental.humidity":
		return known
	}
	return known && strings.HasPrefix(metric, "network.")
}

// textureOf returns how the metric moved for the model at work, nil when it does not know, and whether that was at
// the kiosk's own site.
func textureOf(f *model.File, k *fleet.Kiosk, metric string) (t *model.Texture, sameSite bool) {
	if f == nil {
		return nil, false
	}
	for i, key := range keysOf(k) {
		if t, ok := f.Textures[key][metric]; ok {
			return &t, i == 0
		}
	}
	return nil, false
}

// check counts the kiosks with a kind of fault and names them.
func (e *examination) check(kind faultKind) (c fleet.ModelCheck, kiosks []string) {
	texts := &faultTexts[kind]
	byMetric := map[string][]fault{}
	for _, f := range e.faults {
		if f.kind == kind {
			byMetric[f.metric] = append(byMetric[f.metric], f)
			kiosks = append(kiosks, f.serial)
		}
	}
	slices.Sort(kiosks)
	kiosks = slices.Compact(kiosks)
	c = fleet.ModelCheck{Name: texts.name, Passed: float64(len(kiosks)) <= kind.share()*float64(len(e.all)), Text: texts.passed}
	if len(kiosks) == 0 {
		return c, nil
	}
	parts := make([]string, 0, len(byMetric))
	for metric := range byMetric {
		parts = append(parts, metric)
	}
	slices.Sort(parts)
	for i, metric := range parts {
		parts[i] = describe(metric, texts.failed, byMetric[metric], len(e.all))
	}
	c.Text = strings.Join(parts, "; ")
	if c.Passed {
		c.Text = fmt.Sprintf("left out %d of %d kiosks: %s", len(kiosks), len(e.all), c.Text)
	}
	return c, kiosks
}

// namesAtMost is how many kiosks a text names.
const namesAtMost = 5

// describe says which kiosks have a fault in a metric: "hardware.cpu_temp did not move on 2 of 40 kiosks: A (…), B (…)".
func describe(metric, what string, faults []fault, of int) string {
	slices.SortFunc(faults, func(a, b fault) int { return cmp.Compare(a.serial, b.serial) })
	names := make([]string, 0, namesAtMost)
	for _, f := range faults[:min(len(faults), namesAtMost)] {
		names = append(names, fmt.Sprintf("%s (%s)", f.serial, f.text))
	}
	more := ""
	if n := len(faults) - namesAtMost; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%s %s on %d of %d kiosks: %s%s", metric, what, len(faults), of, strings.Join(names, ", "), more)
}

// subject is one metric of one kiosk with what it is compared to.
type subject struct {
	trace  *trace
	group  *group         // siblings with itself; nil: too few
	many   *group         // a group of more of them
	worked *model.Texture // how it moved for the model at work; nil: it does not know
	close  bool           // which saw it at the same site
	known  bool           // it moves all the time in any kiosk
}

// has reports whether the subject has a kind of fault, and says how.
func (s *subject) has(kind faultKind) (text string, bad bool) {
	switch kind {
	case stuckSensor:
		return s.stuck()
	case saturatedSensor:
		return s.saturated()
	case flatSensor:
		return s.flat()
	case noisySensor:
		return s.noisy()
	default:
		return s.apart()
	}
}

func (s *subject) stuck() (string, bool) {
	long := s.trace.longest
	hours := long.length.Hours()
	if hours < stillAtLeast {
		return "", false
	}
	usual := math.Inf(1)
	if s.known {
		usual = 1
	}
	if s.worked != nil {
		usual = min(usual, s.worked.Still)
	}
	if s.group != nil {
		usual = min(usual, s.group.texture.Still)
	}
	rest := s.trace.of(func(d *daily) float64 { return d.still.Hours() }, func(day int) bool {
		begin := s.trace.from.Add(time.Duration(day) * 24 * time.Hour)
		return !begin.Before(long.to) || !begin.Add(24*time.Hour).After(long.from)
	})
	if len(rest) >= badDays {
		usual = min(usual, slices.Max(rest))
	}
	if hours < stillTimes*usual {
		return "", false
	}
	return fmt.Sprintf("%.4g for %s from %s, %s is usual", long.value, inWords(hours), long.from.UTC().Format("2006-01-02 15:04Z"), inWords(usual)), true
}

func (s *subject) saturated() (string, bool) {
	days, moving := s.trace.of((*daily).atLimit, nil), s.trace.of((*daily).moving, nil)
	slices.Sort(moving)
	moved := 0.0
	if len(moving) > 0 {
		moved = moving[len(moving)*3/4]
	}
	for _, other := range s.others() {
		moved = max(moved, other.Moving)
	}
	if moved < movesMostly {
		return "", false
	}
	usual := math.Inf(1)
	if s.worked != nil {
		usual = min(usual, s.worked.AtLimit)
	}
	if s.group != nil {
		usual = min(usual, s.group.texture.AtLimit)
	}
	slices.Sort(days)
	if len(days) >= 2*badDays {
		usual = min(usual, days[len(days)/4])
	}
	limits := map[float64][]float64{} // shares of the bad days, by the value of the limit: a sensor's stays where it is
	for i := range s.trace.days {
		if d := &s.trace.days[i]; d.seen() && d.atLimit() >= max(limitAtLeast, limitTimes*usual) {
			limits[d.limit()] = append(limits[d.limit()], d.atLimit())
		}
	}
	for limit, shares := range limits {
		if len(shares) >= badDays {
			return fmt.Sprintf("%d%% of the readings at %.4g on %d days, %d%% is usual", percent(median(shares)), limit, len(shares), percent(usual)), true
		}
	}
	return "", false
}

// flat compares with the kiosk's own busier days, and with the model at work and siblings only far beyond what kiosks
// differ by.
func (s *subject) flat() (string, bool) {
	own := s.trace.texture()
	rough := s.trace.of((*daily).roughness, nil)
	slices.Sort(rough)
	if len(rough) < 2*badDays {
		return "", false
	}
	usual, least := rough[len(rough)*3/4], 1/flatTimes
	for _, other := range s.others() {
		if other.Moving >= movesMostly && other.Rough > flatTimes*usual {
			usual, least, own.Moving = other.Rough, 1/flatTimes/flatTimes, 1
		}
	}
	if usual <= 0 || own.Moving < movesMostly {
		return "", false
	}
	bad := 0
	for i := range s.trace.days {
		if d := &s.trace.days[i]; d.seen() && d.roughness() < least*usual {
			bad++
		}
	}
	if bad < badDays {
		return "", false
	}
	return fmt.Sprintf("%.2g from reading to reading on %d days, %.2g is usual", rough[0], bad, usual), true
}

func (s *subject) others() []model.Texture {
	var out []model.Texture
	if s.worked != nil {
		out = append(out, *s.worked)
	}
	if s.group != nil {
		out = append(out, s.group.texture)
	}
	return out
}
