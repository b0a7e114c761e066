package forecast

import "math"

const (
	// z80 bounds the middle 80% of a normal distribution, in standard deviations on each side.
	z80 = 1.2816
	// never stands for a limit that is not reached within the horizon.
	never = -1
)

// predict makes the forecast from the latest reading on.
//
// What is used up in a time is thought of as a compound process: many small uses at a rate that follows hour and
// weekday. Its mean m is the sum of the expected changes; its variance is D·m, with the dispersion D that this
// kiosk has shown, and (m·u)² for a rate that is itself known only so well: u² = D/M after M was learnt from. The
// limit is reached when the change amounts to the distance d to it, so the time has its quantiles where
// m(t) ± z·sqrt(variance(t)) crosses d.
//
// Source: D. R. Cox, Renewal Theory, 1962, sections 3.3 and 8.3 (normal approximations of a renewal count and of a
// cumulative process); the crossing argument is that of the first passage of a process that only grows.
func (s *series) predict(k *kind) {
	distance := (k.limit - s.Level) * k.sign
	s.Made, s.MadeLevel = s.At, s.Level
	s.Hour = [3]float64{never, never, never}
	s.PerHour = s.mean() * k.sign
	if distance <= 0 {
		s.Hour = [3]float64{}
		return
	}
	dispersion := s.dispersion(k)
	unsure := k.drift * k.drift
	if s.Total > 0 {
		unsure += dispersion / s.Total
	}
	extra, doubt := s.surging(k, dispersion)
	var factors [7]float64
	for d := range factors {
		factors[d] = s.factor(k, d)
	}
	mean, exposure, hours := 0.0, 0.0, 0.0
	before := [3]float64{}
	number := s.At / hour
	for part := 1 - float64(s.At%hour)/hour; hours < horizon; part = 1 {
		change := (s.rate(number%24)*factors[weekday(number)] + extra) * part
		mean += change
		exposure += k.exposure(change/part) * part
		number++
		scale := mean
		if !k.weekly {
			scale = exposure
		}
		spread := z80 * math.Sqrt(max(dispersion*exposure+scale*scale*unsure, 0))
		now := [3]float64{mean + spread + doubt*hours, mean, mean - spread - doubt*hours}
		for i := range now {
			if s.Hour[i] == never && now[i] >= distance {
				s.Hour[i] = hours + part*(distance-before[i])/(now[i]-before[i])
			}
		}
		if s.Hour[2] != never {
			return
		}
		before = now
		hours += part
	}
}

// surging returns by how much an hour a metric changes beyond what is usual, if it clearly does, and how unsure
// that is.
func (s *series) surging(k *kind, dispersion float64) (extra, doubt float64) {
	usual := math.Sqrt(dispersion * k.exposure(s.mean()))
	if k.burst <= 0 || s.Recent < max(k.burst, 5*usual) {
		return 0, 0
	}
	// Recent has not seen its hour in full yet when the surge is young; it then says too little.
	return s.Recent, s.Recent / 4
}

// mean returns the mean change an hour.
func (s *series) mean() float64 {
	sum := 0.0
	for h := range int64(24) {
		sum += s.rate(h)
	}
	return sum / 24
}

// ready reports whether enough is known for a forecast.
func (s *series) ready(k *kind) bool {
	if s.Learnt < k.warmUp {
		return false
	}
	for i := range s.Hours {
		if s.Hours[i].Of <= 0 {
			return false
		}
	}
	return true
}
