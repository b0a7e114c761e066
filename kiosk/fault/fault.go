// Package fault is what can go wrong with a simulated kiosk: the kinds of faults with their
// parameters, and the plan that says when which of them befalls a kiosk.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kioskfleet/internal/protocol"
)

// Kind names a fault.
type Kind string

// The kinds of faults; Specs describes them.
const (
	Overheating      Kind = "overheating"
	FanFailure       Kind = "fan_failure"
	PaperJam         Kind = "paper_jam"
	OutOfPaper       Kind = "out_of_paper"
	CashFull         Kind = "cash_full"
	ReaderDead       Kind = "reader_dead"
	StuckSensor      Kind = "stuck_sensor"
	Drift            Kind = "drift"
	NoiseBurst       Kind = "noise_burst"
	CorrelationBreak Kind = "correlation_break"
	MemoryLeak       Kind = "memory_leak"
	DiskFilling      Kind = "disk_filling"
	RebootLoop       Kind = "reboot_loop"
	Crash            Kind = "crash"
	Flapping         Kind = "flapping"
	SlowNetwork      Kind = "slow_network"
	SiteOutage       Kind = "site_outage"
	Relocation       Kind = "relocation"
	GPSJitter        Kind = "gps_jitter"
	ClockSkew        Kind = "clock_skew"
	BadFirmware      Kind = "bad_firmware"
	CommandIgnored   Kind = "command_ignored"
	MalformedPayload Kind = "malformed_payload"
	SerialMismatch   Kind = "serial_mismatch"
)

// What only wear brings about. No plan has it, and neither Specs nor Lookup; the truth log names it.
const (
	AcceptorError Kind = "acceptor_error" // the cash acceptor reports an error
	PrinterLost   Kind = "printer_lost"   // the printer's cable or driver has failed
)

// Layer is the part of a simulated kiosk that a fault befalls.
type Layer string

// The layers, from the sensors up.
const (
	LayerDevice  Layer = "device"  // what it senses
	LayerAgent   Layer = "agent"   // what its program does
	LayerNetwork Layer = "network" // what becomes of its connection
)

// Fault is one fault of one kiosk, in [From, To) of the kiosk's own time; a zero To is never.
type Fault struct {
	ID     string // the same in every run of the same plan
	Kind   Kind
	Params Params // complete: what was not given has its default
	From   time.Time
	To     time.Time
}

// ActiveAt reports whether the fault is there at t.
func (f *Fault) ActiveAt(t time.Time) bool {
	return !t.Before(f.From) && (f.To.IsZero() || t.Before(f.To))
}

// Params are a fault's parameters by name: a float64, a string or a Duration each, as its Spec says.
type Params map[string]any

// Number returns a parameter that is a number.
func (p Params) Number(name string) float64 { v, _ := p[name].(float64); return v }

// Text returns a parameter that is a word, a metric or a text.
func (p Params) Text(name string) string { v, _ := p[name].(string); return v }

// Duration returns a parameter that is a time span.
func (p Params) Duration(name string) time.Duration {
	v, _ := p[name].(Duration)
	return time.Duration(v)
}

// Duration is a time span that is written like 1m30s.
type Duration time.Duration

// MarshalText writes it like 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// ParamType says what a parameter is.
type ParamType string

// The types of parameters.
const (
	TypeNumber   ParamType = "number"
	TypeDuration ParamType = "duration"
	TypeMetric   ParamType = "metric" // the name of a known gauge
	TypeWord     ParamType = "word"   // one of Words
	TypeText     ParamType = "text"   // up to 64 bytes
)

// Param describes a parameter. Numbers and time spans (in seconds) lie within Min and Max.
type Param struct {
	Name    string
	Type    ParamType
	Unit    string // of a number, as people write it
	Default any    // as in Params
	Min     float64
	Max     float64
	Words   []string
	Text    string // what it does
}

// Spec describes a kind of fault.
type Spec struct {
	Kind    Kind
	Layer   Layer
	Typical time.Duration // how long one lasts that comes by chance
	Params  []Param
	Text    string // what happens
}

var (
	anyGauge  = Param{Name: "metric", Type: TypeMetric, Default: "hardware.cpu_temp", Text: "the metric of the sensor"}
	perHour   = Param{Name: "per_hour", Type: TypeNumber, Unit: "% an hour", Min: 0.1, Max: 1000, Text: "how fast"}
	rebooting = []Param{
		{Name: "every", Type: TypeDuration, Default: Duration(2 * time.Minute), Min: 1, Max: 86400, Text: "how long it runs until it ends"},
		{Name: "down", Type: TypeDuration, Default: Duration(20 * time.Second), Min: 0.1, Max: 3600, Text: "time until it starts again"},
	}
)

// effects of bad firmware.
const (
	EffectRebootLoop = "reboot_loop"
	EffectBusy       = "busy" // the CPU has no rest
	EffectLeak       = "leak" // memory is used up within hours
)

var specs = []Spec{
	{Overheating, LayerDevice, 40 * time.Minute, []Param{
		{Name: "by", Type: TypeNumber, Unit: "K", Default: 32.0, Min: 1, Max: 100, Text: "how much warmer the CPU gets, within minutes"},
	}, "the case gets hot: the CPU temperature leaves its normal range"},
	{FanFailure, LayerDevice, 3 * time.Hour, []Param{
		{Name: "by", Type: TypeNumber, Unit: "K", Default: 6.0, Min: 0, Max: 20, Text: "how much warmer the CPU is on average"},
		{Name: "over", Type: TypeDuration, Default: Duration(0), Min: 0, Max: 30 * 86400, Text: "how long the fan takes to stop"},
	}, "the fan stands still: the CPU temperature no longer follows the load, and crosses no threshold"},
	{PaperJam, LayerDevice, 12 * time.Minute, nil, "paper is stuck in the printer"},
	{OutOfPaper, LayerDevice, 25 * time.Minute, nil, "the printer has no paper"},
	{CashFull, LayerDevice, 25 * time.Minute, nil, "the cash box is full"},
	{ReaderDead, LayerDevice, 45 * time.Minute, nil, "the card reader reports an error"},
	{StuckSensor, LayerDevice, 2 * time.Hour, []Param{anyGauge}, "a sensor repeats its last value"},
	{Drift, LayerDevice, 6 * time.Hour, []Param{
		anyGauge,
		{Name: "per_hour", Type: TypeNumber, Unit: "% of the metric's normal range an hour", Default: 10.0, Min: -1000, Max: 1000, Text: "how fast it leaves the truth"},
	}, "a sensor moves away from the truth"},
	{NoiseBurst, LayerDevice, 30 * time.Minute, []Param{
		anyGauge,
		{Name: "sigma", Type: TypeNumber, Unit: "% of the metric's normal range", Default: 12.0, Min: 0.1, Max: 100, Text: "standard deviation of the noise"},
	}, "a sensor's values are noisy"},
	{CorrelationBreak, LayerDevice, 3 * time.Hour, []Param{anyGauge}, "a sensor shows plausible values that have nothing to do with the others"},
	{MemoryLeak, LayerDevice, 4 * time.Hour, []Param{withDefault(perHour, 15)}, "memory is used up until a restart"},
	{DiskFilling, LayerDevice, 4 * time.Hour, []Param{withDefault(perHour, 10)}, "something writes the disk full; it is emptied at the end"},
	{RebootLoop, LayerAgent, 15 * time.Minute, rebooting, "the kiosk starts, runs a while and falls over"},
	{Crash, LayerAgent, 4 * time.Minute, nil, "the kiosk ends without a goodbye and starts again at the end of the fault"},
	{Flapping, LayerNetwork, 10 * time.Minute, []Param{
		{Name: "every", Type: TypeDuration, Default: Duration(20 * time.Second), Min: 0.1, Max: 3600, Text: "time between two cuts"},
	}, "the connection is cut again and again"},
	{SlowNetwork, LayerNetwork, 20 * time.Minute, []Param{
		{Name: "delay", Type: TypeDuration, Default: Duration(700 * time.Millisecond), Min: 0.001, Max: 60, Text: "what each direction takes longer"},
		{Name: "bytes_per_second", Type: TypeNumber, Unit: "B/s", Default: 0.0, Min: 0, Max: 1e9, Text: "the way's throughput; 0: unbounded"},
	}, "the network is slow"},
	{SiteOutage, LayerNetwork, 15 * time.Minute, []Param{
		{Name: "how", Type: TypeWord, Default: OutageSilent, Words: []string{OutageSilent, OutageCut}, Text: "whether packets vanish or connections break"},
	}, "the site's uplink is down"},
	{Relocation, LayerDevice, 8 * time.Hour, []Param{
		{Name: "metres", Type: TypeNumber, Unit: "m", Default: 2500.0, Min: 1, Max: 2e7, Text: "how far"},
		{Name: "bearing", Type: TypeNumber, Unit: "°", Default: 90.0, Min: 0, Max: 360, Text: "where to, clockwise from north"},
	}, "somebody moves the kiosk"},
	{GPSJitter, LayerDevice, time.Hour, []Param{
		{Name: "metres", Type: TypeNumber, Unit: "m", Default: 150.0, Min: 1, Max: 100_000, Text: "standard deviation of the position"},
	}, "the position jumps around, although the kiosk stands still"},
	{ClockSkew, LayerAgent, 30 * time.Minute, []Param{
		{Name: "by", Type: TypeDuration, Default: Duration(2 * time.Minute), Min: -7 * 86400, Max: 7 * 86400, Text: "how far the clock is ahead; negative: behind"},
	}, "the kiosk's clock is wrong"},
	{BadFirmware, LayerAgent, 2 * time.Hour, append([]Param{
		{Name: "version", Type: TypeText, Default: "", Text: "the version that is bad; empty: each that an update brings meanwhile"},
		{Name: "effect", Type: TypeWord, Default: EffectRebootLoop, Words: []string{EffectRebootLoop, EffectBusy, EffectLeak}, Text: "what it does"},
	}, rebooting...), "an update to a bad version is acknowledged, and then the kiosk misbehaves until another version comes"},
	{CommandIgnored, LayerAgent, time.Hour, []Param{
		{Name: "command", Type: TypeWord, Default: "", Words: commands(), Text: "the command's name; empty: every one"},
	}, "commands are acknowledged as succeeded and not executed"},
	{MalformedPayload, LayerAgent, 10 * time.Minute, []Param{
		{Name: "share", Type: TypeNumber, Default: 1.0, Min: 0.001, Max: 1, Text: "share of the messages"},
	}, "telemetry is cut off in its middle"},
	{SerialMismatch, LayerAgent, 10 * time.Minute, []Param{
		{Name: "serial", Type: TypeText, Default: "SOMEBODY-ELSE", Text: "the serial in the readings"},
	}, "readings bear another kiosk's serial"},
}

// How a site outage looks from the broker.
const (
	OutageSilent = "silent" // connections stay, nothing gets through
	OutageCut    = "cut"    // connections break, new ones are refused
)

func commands() []string {
	var names []string
	for _, name := range protocol.CommandNames() {
		names = append(names, string(name))
	}
	return names
}

func withDefault(p Param, value float64) Param { p.Default = value; return p }

// Specs describes all kinds. The caller may keep the slice.
func Specs() []Spec { return slices.Clone(specs) }

// Lookup finds the description of a kind.
func Lookup(kind Kind) (Spec, bool) {
	i := slices.IndexFunc(specs, func(s Spec) bool { return s.Kind == kind })
	if i < 0 {
		return Spec{}, false
	}
	return specs[i], true
}

// Complete checks parameters, as text by name, and adds the defaults of those that are not given.
//
// Errors: an unknown kind, with the known ones; a *ParamError for each bad parameter, joined, by name.
func Complete(kind Kind, given map[string]string) (Params, error) {
	spec, ok := Lookup(kind)
	if !ok {
		names := make([]string, len(specs))
		for i, s := range specs {
			names[i] = string(s.Kind)
		}
		return nil, fmt.Errorf("unknown fault %q: known are %s", kind, strings.Join(names, ", "))
	}
	out := Params{}
	for _, p := range spec.Params {
		out[p.Name] = p.Default
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		i := slices.IndexFunc(spec.Params, func(p Param) bool { return p.Name == name })
		if i < 0 {
			wrong = append(wrong, &ParamError{name, fmt.Sprintf("%s has no such parameter; it has: %s", kind, spec.paramNames())})
			continue
		}
		value, err := spec.Params[i].parse(given[name])
		if err != nil {
			wrong = append(wrong, &ParamError{name, err.Error()})
			continue
		}
		out[name] = value
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return out, nil
}

// ParamError tells what is wrong with one parameter.
type ParamError struct {
	Param  string
	Reason string
}

func (e *ParamError) Error() string { return e.Param + ": " + e.Reason }

func (s Spec) paramNames() string {
	if len(s.Params) == 0 {
		return "none"
	}
	names := make([]string, len(s.Params))
	for i, p := range s.Params {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

func (p Param) parse(text string) (any, error) {
	switch p.Type {
	case TypeNumber:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= p.Min && v <= p.Max) {
			return nil, fmt.Errorf("%q is not a number from %v to %v", text, p.Min, p.Max)
		}
		return v, nil
	case TypeDuration:
		v, err := time.ParseDuration(text)
		if s := v.Seconds(); err != nil || s < p.Min || s > p.Max {
			return nil, fmt.Errorf("%q is not a duration from %s to %s", text, seconds(p.Min), seconds(p.Max))
		}
		return Duration(v), nil
	case TypeMetric:
		if !slices.Contains(gauges(), text) {
			return nil, fmt.Errorf("%q is not a metric that simulated kiosks measure: %s", text, strings.Join(gauges(), ", "))
		}
	case TypeWord:
		if text != p.Default && !slices.Contains(p.Words, text) {
			return nil, fmt.Errorf("%q is none of %s", text, strings.Join(p.Words, ", "))
		}
	case TypeText:
		if len(text) > maxText {
			return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), maxText)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return nil, fmt.Errorf("%q has control characters or is no text", text)
		}
	}
	return text, nil
}

const maxText = 64

// gauges returns the names of the metrics that are numbers.
func gauges() []string {
	var names []string
	for _, m := range protocol.Metrics() {
		if m.Kind == protocol.KindGauge {
			names = append(names, m.Name)
		}
	}
	return names
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
