package device

import (
	"math"
	"strings"
	"time"

	"kioskfleet/internal/hashed"
)

// climate is what kiosks of one site have in common.
type climate struct {
	rhythm        *[3]dayRhythm // when customers come
	demand        float64       // factor on the number of customers
	temperature   float64       // indoor mean of the year, °C
	daily, yearly float64       // K by which that swings
	humidity      float64       // %
	airQuality    float64       // AQI with nobody there
	latency       float64       // round trip of the site's uplink, ms
	signal        float64       // dBm
}

func climateOf(site string, seed uint64) climate {
	between := func(n uint64, low, high float64) float64 { return hashed.Between(hashed.Of(seed, 100+n), low, high) }
	c := climate{
		rhythm:      &stationRhythm,
		demand:      between(0, 0.85, 1.15),
		temperature: between(1, 22, 24),
		daily:       between(2, 0.9, 1.3),
		yearly:      between(3, 0.7, 1.2),
		humidity:    between(4, 46, 54),
		airQuality:  between(5, 14, 26),
		latency:     between(6, 14, 70),
		signal:      between(7, -66, -52),
	}
	if isAirport(site) {
		c.rhythm = &airportRhythm
	}
	return c
}

// isAirport tells airports by the IATA code at the end of their name, as in Lisbon LIS.
func isAirport(site string) bool {
	code := site[strings.LastIndexByte(site, ' ')+1:]
	return len(code) == 3 && len(site) > 3 && strings.IndexFunc(code, func(r rune) bool { return r < 'A' || r > 'Z' }) < 0
}

// traits are one kiosk's own offsets and rates.
type traits struct {
	customers    float64 // on an ordinary weekday
	warmth       float64 // K above or below the site's temperature
	ramAfterBoot float64 // %
	leak         float64 // % of memory a customer, while little has leaked
	disk         float64 // % after a tidy-up
	logs         float64 // % of the disk that a day's logs take
	growth       float64 // % of the disk an hour that only a tidy-up frees
	signal       float64 // dB against the site's
	accuracy     float64 // usual accuracy of the position, m

	paper, ink, cash int // pages a roll and a cartridge last, payments the cash box takes

	service        instant // local time of day of the weekly service
	serviceWeekday time.Weekday
	job            instant // local time of day of the nightly job
}

// usualCustomers come to a kiosk on a weekday.
const usualCustomers = 135

func traitsOf(seed uint64, site climate) traits {
	between := func(n uint64, low, high float64) float64 { return hashed.Between(hashed.Of(seed, 200+n), low, high) }
	t := traits{
		customers:    usualCustomers * site.demand * between(0, 0.75, 1.3),
		warmth:       between(1, -0.6, 0.6),
		ramAfterBoot: between(2, 30, 44),
		leak:         between(3, 0.02, 0.05),
		disk:         between(4, 36, 58),
		logs:         between(5, 1, 3.5),
		growth:       between(6, 0.01, 0.05),
		signal:       between(7, -5, 5),
		accuracy:     between(8, 2.5, 5),
		paper:        int(between(9, 500, 1100)),
		ink:          int(between(10, 700, 1500)),
		cash:         int(between(11, 110, 240)),
		// Staff come in the quieter hours of the day, and not on Sundays.
		service:        9*hour + instant(between(12, 0, 7*60))*minute,
		serviceWeekday: time.Weekday(between(13, 1, 7)),
		job:            hour + instant(between(14, 0, 210))*minute,
	}
	if hashed.Uniform(hashed.Of(seed, 200+15)) < 1.0/8 {
		// One kiosk in eight writes too much log.
		t.growth = between(6, 0.12, 0.2)
	}
	return t
}

// metresPerDegree is the length of a degree of latitude.
const metresPerDegree = 111_320

// move returns the position that lies a way of metres north and east of p.
func (p Position) move(north, east float64) Position {
	// Meridians meet at the poles; there, an error in metres would be any longitude.
	width := max(math.Cos(p.Lat*math.Pi/180), 0.01)
	return Position{Lat: clamp(p.Lat+north/metresPerDegree, -90, 90), Lng: wrapped(p.Lng + east/(metresPerDegree*width))}
}

// travel returns the position at the end of a great circle's arc of metres that leaves p at a bearing in
// degrees clockwise from north.
//
// Source: the direct problem on a sphere; E. Williams, Aviation Formulary V1.47, "Lat/lon given radial
// and distance".
func (p Position) travel(metres, bearing float64) Position {
	arc, angle := metres/metresPerDegree*math.Pi/180, bearing*math.Pi/180
	lat, lng := p.Lat*math.Pi/180, p.Lng*math.Pi/180
	sin := clamp(math.Sin(lat)*math.Cos(arc)+math.Cos(lat)*math.Sin(arc)*math.Cos(angle), -1, 1)
	lng += math.Atan2(math.Sin(angle)*math.Sin(arc)*math.Cos(lat), math.Cos(arc)-math.Sin(lat)*sin)
	return Position{Lat: math.Asin(sin) * 180 / math.Pi, Lng: wrapped(lng * 180 / math.Pi)}
}

// wrapped brings a longitude to -180..180.
func wrapped(lng float64) float64 {
	if lng >= -180 && lng <= 180 {
		return lng
	}
	return math.Mod(math.Mod(lng+180, 360)+360, 360) - 180
}
