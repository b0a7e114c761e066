package engine

import (
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/alert/rule"
)

const (
	// maxSamples bounds what is kept of a metric's past for one window.
	maxSamples = 64
	// windowFilled is the part of a window that must be known before a rate is given.
	windowFilled = 0.5
)

// Samples are values of one metric over a window, thinned out to at most maxSamples, oldest first. A sample is the mean
// of what came in its part of the window.
type Samples struct {
	rule.Window
	Newest time.Time `json:"newest"` // value that was added
	Points []Sample  `json:"points"`
}

// every is the length of a part.
func (p *Samples) every() time.Duration { return max(p.Length/maxSamples, time.Millisecond) }

// Sample is the mean of a number of values, and of their times.
type Sample struct {
	At    time.Time `json:"at"` // of the first
	Sum   float64   `json:"sum"`
	Late  float64   `json:"late,omitempty"` // seconds after At, added up
	Count int       `json:"n"`
}

func (p Sample) mean() float64 { return p.Sum / float64(p.Count) }

// after returns the mean time, in seconds after another.
func (p Sample) after(t time.Time) float64 {
	return p.At.Sub(t).Seconds() + p.Late/float64(p.Count)
}

// past returns the samples of a window, nil when there are none.
func (s *State) past(w rule.Window) *Samples {
	for _, p := range s.Past {
		if p.Window == w {
			return p
		}
	}
	return nil
}

// sample adds a value to the past of a window. Rules may share one.
func (s *State) sample(w rule.Window, at time.Time, value float64) {
	past := s.past(w)
	if past == nil {
		past = &Samples{Window: w}
		s.Past = append(s.Past, past)
	}
	if !at.After(past.Newest) {
		return
	}
	past.Newest = at
	if last := len(past.Points) - 1; last >= 0 && at.Sub(past.Points[last].At) < past.every() {
		p := &past.Points[last]
		p.Sum, p.Late, p.Count = p.Sum+value, p.Late+at.Sub(p.At).Seconds(), p.Count+1
		return
	}
	past.Points = append(past.Points, Sample{At: at, Sum: value, Count: 1})
	drop := max(len(past.Points)-maxSamples-1, 0)
	for drop < len(past.Points)-1 && at.Sub(past.Points[drop].At) > w.Length {
		drop++
	}
	past.Points = append(past.Points[:0], past.Points[drop:]...)
}

// Rate implements rule.Rates: the slope of the line that fits the samples of the window best.
//
// Units:  of the metric, an hour.
// Source: ordinary least squares.
func (s *State) Rate(metric string, window time.Duration) (perHour float64, ok bool) {
	past := s.past(rule.Window{Metric: metric, Length: window})
	if past == nil || len(past.Points) < 2 {
		return 0, false
	}
	first := past.Points[0].At
	last := past.Points[len(past.Points)-1]
	if last.after(first) < windowFilled*window.Seconds() {
		return 0, false
	}
	var n, sumX, sumY, sumXX, sumXY float64
	for _, p := range past.Points {
		x, y := p.after(first), p.mean()
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if spread <= 0 {
		return 0, false
	}
	return (n*sumXY - sumX*sumY) / spread * float64(time.Hour/time.Second), true
}

// trim drops the past that no rule asks for any more.
func (s *State) trim(rules []Rule) {
	s.Past = slices.DeleteFunc(s.Past, func(p *Samples) bool {
		return !slices.ContainsFunc(rules, func(r Rule) bool { return slices.Contains(r.Windows(), p.Window) })
	})
	maps.DeleteFunc(s.Came, func(metric string, _ time.Time) bool {
		return !slices.ContainsFunc(rules, func(r Rule) bool { return r.Definition().NoData > 0 && slices.Contains(r.Metrics(), metric) })
	})
}
