// Package location judges where a kiosk stands: how far from its assigned place, whether it was moved, and
// whether its position is to be doubted. It is a pure function of what was known and a reading, so that stored
// history gives what live readings gave.
package location

import (
	"math"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// Names of the values for rules.
const (
	Distance = "location.distance" // m from the assigned place, of the latest position
	Moved    = "location.moved"    // 1: it does not stand where it should
	Jumped   = "location.jumped"   // 1: it moved as nothing can be moved, over the same network
)

// Config says when a kiosk counts as moved. The zero Config is completed by New.
type Config struct {
	Radius   float64       // m from the assigned place that are of no interest; default 100
	Readings int           // so many in a row must be outside; default 5
	Over     time.Duration // and for so long; default 1 minute
	Speed    float64       // m/s, faster than which nobody carries a kiosk; default 60
}

const (
	// earthRadius is the mean radius R1 of the WGS 84 ellipsoid, (2a + b)/3, in metres.
	//
	// Source: H. Moritz, Geodetic Reference System 1980, Journal of Geodesy 74 (2000), with a and b of WGS 84.
	earthRadius = 6_371_008.8
	// radius95 is how many standard deviations of each axis the circle has that holds 95% of a normal
	// distribution in two dimensions: sqrt(-2 ln 0.05).
	radius95 = 2.4477
	// settle is how long the mean position remembers; heaviest bounds the weight of one reading in it, so that
	// several must agree also when they come rarely.
	settle   = time.Minute
	heaviest = 0.5
	// vague is what is assumed of a position that comes without its accuracy, in metres.
	vague = 30.0
)

// State is what is known of one kiosk's position. The zero State knows nothing. It is plain data, which JSON
// keeps whole.
type State struct {
	At       time.Time      `json:"at,omitzero"` // of the latest position, by the kiosk's clock
	Last     fleet.Location `json:"last"`        // that position
	Error    float64        `json:"error"`       // its accuracy, m
	Place    fleet.Location `json:"place"`       // where it should stand, as of then
	Placed   bool           `json:"placed,omitempty"`
	Distance float64        `json:"distance"` // m

	// Mean position in m north and east of Place, and the variance of each axis around it.
	North  float64 `json:"north"`
	East   float64 `json:"east"`
	Spread float64 `json:"spread"`

	Outside int       `json:"outside,omitempty"` // readings in a row, at most Config.Readings
	Since   time.Time `json:"since,omitzero"`    // of the first of them
	Moved   bool      `json:"moved,omitempty"`
	Doubt   bool      `json:"doubt,omitempty"` // it left its place in one impossible step
	Path    string    `json:"path,omitempty"`  // network path, the latest that is known
}

// Watch judges by one Config. It holds no state and is safe for concurrent use.
type Watch struct{ cfg Config }

// New returns a Watch; what cfg leaves at 0 has its default.
func New(cfg Config) *Watch {
	if cfg.Radius <= 0 {
		cfg.Radius = 100
	}
	if cfg.Readings <= 0 {
		cfg.Readings = 5
	}
	if cfg.Over <= 0 {
		cfg.Over = time.Minute
	}
	if cfg.Speed <= 0 {
		cfg.Speed = 60
	}
	return &Watch{cfg: cfg}
}

// Step takes a reading of a kiosk that should stand at place (nil: nobody said) and is connected from remote,
// which counts as its network path unless the reading names a carrier, network or gateway. It reports whether
// something changed that must not be forgotten.
//
// A kiosk is moved when the mean of its late positions is outside the radius by more than the position's
// uncertainty, for several readings and some time; it is back when it is within half the radius with the
// uncertainty on top. The uncertainty is the radius of 95% confidence: what the receiver says (location.accuracy,
// as in the W3C Geolocation API) or what its positions scatter, whichever is more. So a receiver that raves and
// says that it is precise moves no kiosk.
func (w *Watch) Step(s *State, r *fleet.Reading, place *fleet.Location, remote string) bool {
	before := *s
	s.follow(r, remote)
	switch {
	case place == nil && s.Placed:
		s.unplace()
	case place != nil && (!s.Placed || *place != s.Place):
		s.unplace()
		s.Place, s.Placed = *place, true
	}
	lat, okLat := r.Value("location.lat")
	lng, okLng := r.Value("location.lng")
	if okLat && okLng && r.Time.After(s.At) {
		w.position(s, r, fleet.Location{Lat: lat, Lng: lng})
	}
	return s.Moved != before.Moved || s.Doubt != before.Doubt || s.Path != before.Path || s.Place != before.Place || s.Placed != before.Placed
}

// unplace forgets what followed from the assigned place. The last position stays.
func (s *State) unplace() {
	*s = State{At: s.At, Last: s.Last, Error: s.Error, Path: s.Path}
}

// follow notes the network path. With another one the kiosk may well be elsewhere: no doubt remains.
func (s *State) follow(r *fleet.Reading, remote string) {
	path := Path(r, remote)
	if path == "" || path == s.Path {
		return
	}
	if s.Path != "" {
		s.Doubt = false
	}
	s.Path = path
}

// Path returns the network path of a reading: what it says of its carrier, network and gateway, or else the
// address that its kiosk is connected from.
func Path(r *fleet.Reading, remote string) string {
	var parts []string
	for _, metric := range []string{"network.carrier", "network.ssid", "network.gateway"} {
		if text, ok := r.Text(metric); ok && text != "" {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return remote
	}
	return strings.Join(parts, " ")
}

func (w *Watch) position(s *State, r *fleet.Reading, at fleet.Location) {
	accuracy, ok := r.Value("location.accuracy")
	if !ok || accuracy <= 0 {
		accuracy = vague
	}
	first := s.At.IsZero()
	passed := r.Time.Sub(s.At)
	previous, previousError := s.Last, s.Error
	s.At, s.Last, s.Error = r.Time, at, accuracy
	if !s.Placed {
		return
	}
	near := s.Distance <= w.cfg.Radius
	s.Distance = Haversine(s.Place, at)
	s.average(at, accuracy, passed, first || s.Spread == 0)

	if s.Distance-accuracy <= w.cfg.Radius {
		s.Doubt = s.Doubt && s.Moved
	} else if !first && near && !s.Moved {
		step := Haversine(previous, at) - accuracy - previousError
		s.Doubt = s.Doubt || step > w.cfg.Radius && step > w.cfg.Speed*passed.Seconds()
	}
	off := math.Hypot(s.North, s.East)
	unsure := max(accuracy, radius95*math.Sqrt(s.Spread))
	switch {
	case s.Moved:
		if off+unsure < w.cfg.Radius/2 {
			s.Moved, s.Doubt = false, false
		}
	case off-unsure > w.cfg.Radius:
		if s.Outside == 0 {
			s.Since = r.Time
		}
		s.Outside = min(s.Outside+1, w.cfg.Readings)
		if s.Outside >= w.cfg.Readings && r.Time.Sub(s.Since) >= w.cfg.Over {
			s.Moved = true
		}
	}
	if s.Moved || off-unsure <= w.cfg.Radius {
		s.Outside, s.Since = 0, time.Time{}
	}
}

// average follows the mean position and its scatter with weights that fade with time.
//
// Source: T. Finch, Incremental calculation of weighted mean and variance, 2009, section 9.
func (s *State) average(at fleet.Location, accuracy float64, passed time.Duration, first bool) {
	north, east := offset(s.Place, at)
	sigma := accuracy / radius95
	if first {
		s.North, s.East, s.Spread = north, east, sigma*sigma
		return
	}
	weight := min(-math.Expm1(-passed.Seconds()/settle.Seconds()), heaviest)
	dn, de := north-s.North, east-s.East
	s.North += weight * dn
	s.East += weight * de
	s.Spread = (1 - weight) * (s.Spread + weight*(dn*dn+de*de)/2)
}

// Value returns one of the values for rules; false while there is no position or no assigned place.
func (s *State) Value(name string) (float64, bool) {
	known := s.Placed && s.Spread > 0
	switch name {
	case Distance:
		return s.Distance, known
	case Moved:
		return number(s.Moved), known
	case Jumped:
		return number(s.Moved && s.Doubt), known
	}
	return 0, false
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Haversine returns the length of the great circle between two places, in metres. The Earth counts as a sphere,
// which is off by 0.5% at most.
//
// Source: R. W. Sinnott, Virtues of the Haversine, Sky and Telescope 68 (1984).
func Haversine(a, b fleet.Location) float64 {
	const rad = math.Pi / 180
	sinLat, sinLng := math.Sin((b.Lat-a.Lat)*rad/2), math.Sin((b.Lng-a.Lng)*rad/2)
	h := sinLat*sinLat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*sinLng*sinLng
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}

// offset returns how far north and east of a another place is, in metres. The length of the way is that of the
// great circle, so that it holds for far places as well.
func offset(a, b fleet.Location) (north, east float64) {
	const rad = math.Pi / 180
	dLng := (b.Lng - a.Lng) * rad
	y := math.Sin(dLng) * math.Cos(b.Lat*rad)
	x := math.Cos(a.Lat*rad)*math.Sin(b.Lat*rad) - math.Sin(a.Lat*rad)*math.Cos(b.Lat*rad)*math.Cos(dLng)
	length := math.Hypot(x, y)
	if length == 0 {
		return 0, 0
	}
	distance := Haversine(a, b)
	return distance * x / length, distance * y / length
}
