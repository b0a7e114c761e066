package synth

import (
	"fmt"
	"math"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/internal/hashed"
)

// Shape is what a background looks like.
type Shape string

// Shapes of backgrounds: what counters, sensors and machines show when nothing is wrong.
const (
	Daily      Shape = "daily"       // a wave over the day with noise that remembers itself
	Weekly     Shape = "weekly"      // business: two rushes a day, quiet weekends
	Trend      Shape = "trend"       // a day's wave on a slow way up or down
	Noisy      Shape = "noisy"       // no season at all
	HeavyTails Shape = "heavy_tails" // no season, now and then far off
	Quantised  Shape = "quantised"   // a slow sensor with coarse steps
	SawTooth   Shape = "saw_tooth"   // paper: used up by day, filled up now and then
	Counter    Shape = "counter"     // counts up all day, starts anew at midnight
	Bursty     Shape = "bursty"      // idle, and busy in bursts that come more often by day
	Latency    Shape = "latency"     // skewed: never much below its usual value, at times far above it
)

// Shapes returns all shapes.
func Shapes() []Shape {
	return []Shape{Daily, Weekly, Trend, Noisy, HeavyTails, Quantised, SawTooth, Counter, Bursty, Latency}
}

// begin of all synthetic data: a Monday.
var begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Background returns a series in which nothing is wrong, named <shape>/<shape>_<seed>.csv. Level, season and
// noise are drawn from the seed. It has a point every step for the given number of days.
func Background(shape Shape, seed uint64, days int, step time.Duration) score.Series {
	n := int(time.Duration(days) * 24 * time.Hour / step)
	s := score.Series{Name: fmt.Sprintf("%s/%s_%d.csv", shape, shape, seed), Points: make([]score.Point, n)}
	next := course(shape, draws(seed, hashed.Text(string(shape))), step)
	for i := range s.Points {
		at := begin.Add(time.Duration(i) * step)
		s.Points[i] = score.Point{At: at, Value: next(at)}
	}
	return s
}

// Backgrounds returns n series of all shapes in turn, with seeds from seed on.
func Backgrounds(n int, seed uint64, days int, step time.Duration) []score.Series {
	shapes := Shapes()
	all := make([]score.Series, n)
	for i := range all {
		all[i] = Background(shapes[i%len(shapes)], seed+uint64(i), days, step)
	}
	return all
}

// course returns what gives the value at one time after the other.
func course(shape Shape, r source, step time.Duration) func(time.Time) float64 {
	level := math.Exp(r.between(math.Log(10), math.Log(500)))
	switch shape {
	case Weekly:
		return r.weekly(level, step)
	case Trend:
		daily, slope, from := r.daily(level, step), r.sign()*level*r.between(0.005, 0.03), begin
		return func(t time.Time) float64 { return daily(t) + slope*t.Sub(from).Hours()/24 }
	case Noisy:
		slow, share, sigma := r.wander(steps(2*time.Hour, step)), r.between(0, 0.9), level*r.between(0.02, 0.15)
		return func(time.Time) float64 {
			return twoDecimals(level + sigma*(share*slow.next(r)+math.Sqrt(1-share*share)*r.NormFloat64()))
		}
	case HeavyTails:
		sigma := level * r.between(0.02, 0.1)
		return func(time.Time) float64 { return twoDecimals(level + sigma*r.heavy()) }
	case Quantised:
		amplitude, phase, slow := r.between(1, 4), r.between(0, 24), r.wander(steps(3*time.Hour, step))
		coarse := []float64{0.1, 0.2, 0.5}[r.IntN(3)]
		return func(t time.Time) float64 {
			return rounded(20+amplitude*wave(t, phase)+0.5*slow.next(r)+coarse*0.8*r.NormFloat64(), coarse)
		}
	case SawTooth:
		return r.sawTooth(step)
	case Counter:
		return r.counter(level, step)
	case Bursty:
		return r.bursty(step)
	case Latency:
		site, own := r.wander(steps(30*time.Minute, step)), r.between(0.1, 0.3)
		return func(t time.Time) float64 {
			return rounded(level*math.Exp(0.1*wave(t, 14)+0.15*site.next(r)+own*r.NormFloat64()), 0.1)
		}
	}
	return r.daily(level, step)
}

// daily is a wave over the day, its first harmonic, and noise of which a part remembers itself.
func (r source) daily(level float64, step time.Duration) func(time.Time) float64 {
	amplitude, phase := level*r.between(0.1, 0.4), r.between(0, 24)
	second := amplitude * r.between(0, 0.4)
	slow, sigma := r.wander(steps(time.Hour, step)), amplitude*r.between(0.05, 0.3)
	heavy := r.IntN(3) == 0
	return func(t time.Time) float64 {
		noise := r.NormFloat64()
		if heavy {
			noise = r.heavy()
		}
		return twoDecimals(level + amplitude*wave(t, phase) + second*math.Sin(4*math.Pi*(hour(t)-phase)/24) +
			sigma*(0.7*slow.next(r)+0.7*noise))
	}
}

// weekly is a business's load: counts that vary as counts do.
func (r source) weekly(level float64, step time.Duration) func(time.Time) float64 {
	slow, weekend := r.wander(steps(time.Hour, step)), r.between(0.3, 0.7)
	return func(t time.Time) float64 {
		mean := level * rush(t) * math.Exp(0.1*slow.next(r))
		if t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
			mean *= weekend
		}
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
}

// sawTooth is used up as customers come and filled up when it is low.
func (r source) sawTooth(step time.Duration) func(time.Time) float64 {
	left, perDay := r.between(40, 100), r.between(15, 60)
	low := r.between(5, 20)
	return func(t time.Time) float64 {
		used := perDay * rush(t) * step.Hours() / 24 * -math.Log(1-r.Float64())
		left -= used
		if left < low {
			left, low = 100, r.between(5, 20)
		}
		return rounded(left, 0.1)
	}
}

// counter counts up all day and starts anew at midnight.
func (r source) counter(perHour float64, step time.Duration) func(time.Time) float64 {
	total, day := 0.0, -1
	return func(t time.Time) float64 {
		if t.YearDay() != day {
			total, day = 0, t.YearDay()
		}
		mean := perHour * (0.2 + rush(t)) * step.Hours()
		total += math.Max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
		return total
	}
}

// bursty is a machine's load: idle, and busy while somebody uses it.
func (r source) bursty(step time.Duration) func(time.Time) float64 {
	idle, busy, noise := r.between(2, 15), r.between(25, 60), r.between(0.3, 1.2)
	left, height := 0.0, 0.0
	chance, length := r.between(0.03, 0.1), r.between(1, 5)
	return func(t time.Time) float64 {
		if left--; left < 0 && r.Float64() < chance*rush(t)*min(step.Minutes()/5, 1) {
			left, height = length*-math.Log(1-r.Float64())*max(5/step.Minutes(), 1), busy*r.between(0.7, 1.3)
		}
		x := idle + noise*r.NormFloat64()
		if left >= 0 {
			x += height + 3*noise*r.NormFloat64()
		}
		return rounded(clamp(x, 0, 100), 0.1)
	}
}

// rush returns how busy it is at this hour: two rushes, quiet nights; 1 on average.
func rush(t time.Time) float64 {
	h := hour(t)
	peak := func(at, width, height float64) float64 {
		away := math.Abs(h - at)
		away = min(away, 24-away)
		return height * math.Exp(-away*away/(2*width*width))
	}
	return (0.05 + peak(8.2, 1.3, 1) + peak(13, 2.5, 0.45) + peak(18, 2, 1.1)) / 0.533
}

// wave returns a wave over the day that is 0 on its way up at the hour phase.
func wave(t time.Time, phase float64) float64 { return math.Sin(2 * math.Pi * (hour(t) - phase) / 24) }

// hour returns the hour of the day, 0..24.
func hour(t time.Time) float64 {
	return float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
}

// steps returns how many steps a duration is long, at least a quarter.
func steps(d, step time.Duration) float64 { return max(float64(d)/float64(step), 0.25) }

func twoDecimals(x float64) float64 { return rounded(x, 0.01) }
