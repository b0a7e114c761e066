// Package roster says who the simulated kiosks are: their settings, from a file or made up.
package roster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
)

// Kiosk is the settings of one simulated kiosk.
type Kiosk struct {
	Serial   string   `json:"serial"`
	Site     string   `json:"site"`
	Model    string   `json:"model"`
	Timezone string   `json:"timezone"` // IANA name
	Tags     []string `json:"tags"`
	// Location is where the kiosk is assigned to stand, RealLocation where it does stand; the same
	// if the latter is absent.
	Location     *device.Position `json:"location"`
	RealLocation *device.Position `json:"real_location"`
	Interval     Duration         `json:"interval"` // between readings; 0: the default
}

// Duration is a time.Duration that JSON writes as 5s.
type Duration time.Duration

// UnmarshalText reads a duration with its unit.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 5s", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration with its unit.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// MinInterval is the shortest time between two readings of a kiosk.
const MinInterval = 10 * time.Millisecond

const maxSiteLength = 64 // bytes, as in the registry

// check names every fault of the settings.
func (k *Kiosk) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if err := protocol.CheckSerial(k.Serial); err != nil {
		fault("%w", err)
	}
	if len(k.Site) > maxSiteLength {
		fault("site has %d bytes, at most %d are allowed", len(k.Site), maxSiteLength)
	}
	if _, err := time.LoadLocation(k.Timezone); err != nil {
		fault("timezone %q is not an IANA time zone such as Europe/Madrid", k.Timezone)
	}
	for name, p := range map[string]*device.Position{"location": k.Location, "real_location": k.RealLocation} {
		if p != nil && !(p.Lat >= -90 && p.Lat <= 90 && p.Lng >= -180 && p.Lng <= 180) {
			fault("%s %v, %v is not on Earth", name, p.Lat, p.Lng)
		}
	}
	if k.Interval != 0 && time.Duration(k.Interval) < MinInterval {
		fault("interval %s is less than %s", time.Duration(k.Interval), MinInterval)
	}
	return errors.Join(faults...)
}

// LoadFile reads kiosk settings from a JSON file: a list, or an object with the list under "kiosks".
// It is strict; its errors name the file, the line, and the serial and key at fault.
func LoadFile(path string) ([]Kiosk, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read kiosk settings: %w", err)
	}
	kiosks, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("kiosk settings %s: %w", path, err)
	}
	return kiosks, nil
}

func parse(text []byte) ([]Kiosk, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	here := func() int { return lineAt(text, dec.InputOffset()) }
	open, err := dec.Token()
	if err != nil {
		return nil, syntax(text, err)
	}
	object := open == json.Delim('{')
	if object {
		key, err := dec.Token()
		if err != nil {
			return nil, syntax(text, err)
		}
		if key != "kiosks" {
			return nil, fmt.Errorf("line %d: unknown key %v, want \"kiosks\"", here(), key)
		}
		if open, err = dec.Token(); err != nil {
			return nil, syntax(text, err)
		}
	}
	if open != json.Delim('[') {
		return nil, fmt.Errorf("line %d: want a list of kiosks", here())
	}
	var kiosks []Kiosk
	lines := map[string]int{} // of each serial
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, syntax(text, err)
		}
		start := dec.InputOffset() - int64(len(raw))
		k, err := parseKiosk(text, start, raw)
		if err != nil {
			return nil, err
		}
		line := lineAt(text, start)
		if first, twice := lines[k.Serial]; twice {
			return nil, fmt.Errorf("line %d: %s is already at line %d", line, k.Serial, first)
		}
		lines[k.Serial] = line
		kiosks = append(kiosks, k)
	}
	closings := 1
	if object {
		closings = 2
	}
	for range closings {
		if token, err := dec.Token(); err != nil {
			return nil, syntax(text, err)
		} else if _, ok := token.(json.Delim); !ok {
			return nil, fmt.Errorf("line %d: unknown key %v", here(), token)
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: there is more after the end", here())
	}
	return kiosks, nil
}

// parseKiosk decodes one entry, which starts at offset start of the file's text.
func parseKiosk(text []byte, start int64, raw json.RawMessage) (Kiosk, error) {
	var k Kiosk
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(&k)
	at := start
	const unknown = "json: unknown field "
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		err = k.check()
	case strings.HasPrefix(err.Error(), unknown):
		key := strings.TrimPrefix(err.Error(), unknown)
		if i := bytes.Index(raw, []byte(key)); i >= 0 {
			at += int64(i)
		}
		err = fmt.Errorf("unknown key %s", key)
	case errors.As(err, &mistyped):
		at += mistyped.Offset
		err = fmt.Errorf("%s: want a %s, not a %s", mistyped.Field, mistyped.Type, mistyped.Value)
	}
	if err == nil {
		return k, nil
	}
	who := ""
	if named := serialOf(raw); named != "" {
		who = named + ": "
	}
	return k, fmt.Errorf("line %d: %s%w", lineAt(text, at), who, err)
}

// serialOf finds the serial of an entry that cannot be decoded as a whole.
func serialOf(raw json.RawMessage) string {
	var k struct {
		Serial any `json:"serial"`
	}
	if json.Unmarshal(raw, &k) != nil {
		return ""
	}
	serial, _ := k.Serial.(string)
	return serial
}

func syntax(text []byte, err error) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		return fmt.Errorf("line %d: %w", lineAt(text, s.Offset), err)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it ends too early")
	}
	return err
}

func lineAt(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte{'\n'})
}

// Plan returns the settings of kiosks 1 to n, whose serials are the prefix and a number. A kiosk
// that known does not list is put at one of its sites, always the same one.
func Plan(known []Kiosk, prefix string, n int) []Kiosk {
	if len(known) == 0 {
		known = builtIn()
	}
	bySerial := map[string]Kiosk{}
	bySite := map[string][]Kiosk{}
	var sites []string
	for _, k := range known {
		bySerial[k.Serial] = k
		if bySite[k.Site] == nil {
			sites = append(sites, k.Site)
		}
		bySite[k.Site] = append(bySite[k.Site], k)
	}
	out := make([]Kiosk, n)
	for i := range out {
		serial := fmt.Sprintf("%s%03d", prefix, i+1)
		k, ok := bySerial[serial]
		if !ok {
			neighbours := bySite[sites[i%len(sites)]]
			k = Beside(serial, neighbours[hash(serial)%uint64(len(neighbours))])
		}
		if k.RealLocation == nil {
			k.RealLocation = k.Location
		}
		out[i] = k
	}
	return out
}

// Beside returns another kiosk like its neighbour, within some dozens of metres of it, always at the same
// place. It stands where it is assigned to.
func Beside(serial string, neighbour Kiosk) Kiosk {
	k := neighbour
	k.Serial, k.RealLocation = serial, nil
	if k.Location == nil {
		return k
	}
	h := hash(serial)
	angle := float64(h%360) * math.Pi / 180
	metres := 10 + float64(h/360%60)
	lat := k.Location.Lat + metres*math.Sin(angle)/metresPerDegree
	lng := k.Location.Lng + metres*math.Cos(angle)/metresPerDegree/math.Max(math.Cos(k.Location.Lat*math.Pi/180), 0.01)
	k.Location = &device.Position{Lat: min(max(lat, -90), 90), Lng: min(max(lng, -180), 180)}
	return k
}

// metresPerDegree is the length of a degree of latitude.
const metresPerDegree = 111_320

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash never fails
	return h.Sum64()
}

// builtIn is the fleet of a spawner without a settings file.
func builtIn() []Kiosk {
	at := func(lat, lng float64) *device.Position { return &device.Position{Lat: lat, Lng: lng} }
	return []Kiosk{
		{Site: "Buenos Aires EZE", Model: "CheckIn Tower 32", Timezone: "America/Argentina/Buenos_Aires", Location: at(-34.8146, -58.5397)},
		{Site: "Madrid Atocha", Model: "TicketPoint T5", Timezone: "Europe/Madrid", Location: at(40.4066, -3.6891)},
		{Site: "Lisbon LIS", Model: "PayStation Duo", Timezone: "Europe/Lisbon", Location: at(38.7702, -9.1295)},
	}
}
