package device

import (
	"math"

	"kioskfleet/internal/protocol"
)

// The numbers that a kiosk senses.
const (
	temperature = iota
	humidity
	airQuality
	cpuTemp
	cpuUsage
	ramUsage
	diskUsage
	latitude
	longitude
	accuracy
	latency
	signal
	paperLevel
	inkLevel
	cashLevel
	gaugeCount
)

// gauge describes a number.
type gauge struct {
	name      string
	scale     float64 // sensors have no more than log10(scale) decimals, and shorter numbers travel
	low, high float64 // what is possible, also for a sensor at fault
	metric    protocol.Metric
}

var gaugeTable = func() [gaugeCount]gauge {
	table := [gaugeCount]gauge{
		temperature: {name: "environmental.temperature", scale: 10, low: -40, high: 85},
		humidity:    {name: "environmental.humidity", scale: 10, low: 0, high: 100},
		airQuality:  {name: "environmental.air_quality", scale: 10, low: 0, high: 500},
		cpuTemp:     {name: "hardware.cpu_temp", scale: 10, low: -40, high: 150},
		cpuUsage:    {name: "hardware.cpu_usage", scale: 10, low: 0, high: 100},
		ramUsage:    {name: "hardware.ram_usage", scale: 10, low: 0, high: 100},
		diskUsage:   {name: "hardware.disk_usage", scale: 100, low: 0, high: 100},
		latitude:    {name: "location.lat", scale: 1e6, low: -90, high: 90},
		longitude:   {name: "location.lng", scale: 1e6, low: -180, high: 180},
		accuracy:    {name: "location.accuracy", scale: 10, low: 0, high: 100_000},
		latency:     {name: "network.latency", scale: 10, low: 0, high: 600_000},
		signal:      {name: "network.signal_strength", scale: 1, low: -120, high: 0},
		paperLevel:  {name: "custom.paper_level", scale: 10, low: 0, high: 100},
		inkLevel:    {name: "custom.ink_level", scale: 10, low: 0, high: 100},
		cashLevel:   {name: "custom.cash_level", scale: 10, low: 0, high: 100},
	}
	for i := range table {
		table[i].metric, _ = protocol.LookupMetric(table[i].name)
	}
	return table
}()

// gaugeOf finds a number by its metric; the CPU temperature for one that is not measured.
func gaugeOf(metric string) int {
	for i := range gaugeTable {
		if gaugeTable[i].name == metric {
			return i
		}
	}
	return cpuTemp
}

// normally keeps x in the range of normal operation.
func normally(gauge int, x float64) float64 {
	m := &gaugeTable[gauge].metric
	return clamp(x, m.Min, m.Max)
}

// span returns the width of the range of normal operation.
func span(gauge int) float64 { return gaugeTable[gauge].metric.Max - gaugeTable[gauge].metric.Min }

// readings are the numbers of one sample.
type readings [gaugeCount]float64

// What peripherals report; see protocol.Metrics.
const (
	ready          = "ready"
	printerLowInk  = "low_ink"
	printerJam     = "paper_jam"
	printerOffline = "offline"
	boxFull        = "full"
	failed         = "error"
)

func (s *Simulated) printerStatus() string {
	switch {
	case s.troubles[jam] != 0 || s.forced.jam:
		return printerJam
	case !s.printerWorks():
		return printerOffline
	case float64(s.supplies.ink) < lowSupply*float64(s.traits.ink):
		return printerLowInk
	}
	return ready
}

func (s *Simulated) acceptorStatus() string {
	switch {
	case s.troubles[acceptorError] != 0:
		return failed
	case !s.acceptorWorks():
		return boxFull
	}
	return ready
}

func (s *Simulated) readerStatus() string {
	if !s.readerWorks() {
		return failed
	}
	return ready
}

// read returns what the sensors show at t.
func (s *Simulated) read(t instant) Sample {
	r := s.gauges(t)
	for i := range r {
		g := &gaugeTable[i]
		r[i] = math.Round(clamp(r[i], g.low, g.high)*g.scale) / g.scale
	}
	return Sample{
		Environmental: protocol.Group{
			"temperature": r[temperature], "humidity": r[humidity], "air_quality": r[airQuality],
		},
		Hardware: protocol.Group{
			"cpu_temp": r[cpuTemp], "cpu_usage": r[cpuUsage], "ram_usage": r[ramUsage], "disk_usage": r[diskUsage],
		},
		Peripherals: protocol.Group{
			"printer_status": s.printerStatus(), "cash_acceptor": s.acceptorStatus(), "card_reader": s.readerStatus(),
		},
		Location: protocol.Group{"lat": r[latitude], "lng": r[longitude], "accuracy": r[accuracy]},
		Network:  protocol.Group{"latency": r[latency], "signal_strength": r[signal]},
		Custom:   protocol.Group{"paper_level": r[paperLevel], "ink_level": r[inkLevel], "cash_level": r[cashLevel]},
	}
}

// gauges returns what the sensors measure at t, which nothing has happened in since the last event.
func (s *Simulated) gauges(t instant) readings {
	r := s.healthy(t)
	if len(s.planned) > 0 {
		s.suffer(&r, t)
	}
	return r
}
