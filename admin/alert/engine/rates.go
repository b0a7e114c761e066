package engine

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/alert/rule"
)

const (
	// maxSamples bounds what is kept of a metric's past for one window: with one more for the part that begins it is 1 KB
	// of each kiosk.
	maxSamples = 31
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

// Sample is the mean of a number of values, and of their times. There are many, so it is stored as a list of numbers.
type Sample struct {
	First int64   // Unix time in ms of the first
	Late  int64   // by how many ms others came after it, added up
	Sum   float64 // of the values
	Count int64
}

// MarshalJSON implements json.Marshaler.
func (p Sample) MarshalJSON() ([]byte, error) {
	return json.Marshal([4]any{p.First, p.Late, p.Sum, p.Count})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Sample) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[4]any{&p.First, &p.Late, &p.Sum, &p.Count})
}

func (p Sample) mean() float64 { return p.Sum / float64(p.Count) }

// after returns the mean time, in seconds after that of the first value of another.
func (p Sample) after(q Sample) float64 {
	return (float64(p.First-q.First) + float64(p.Late)/float64(p.Count)) / 1000
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
	ms := at.UnixMilli()
	if last := len(past.Points) - 1; last >= 0 && ms-past.Points[last].First < past.every().Milliseconds() {
		p := &past.Points[last]
		p.Sum, p.Late, p.Count = p.Sum+value, p.Late+ms-p.First, p.Count+1
		return
	}
	drop := max(len(past.Points)-maxSamples, 0)
	for drop < len(past.Points) && ms-past.Points[drop].First > w.Length.Milliseconds() {
		drop++
	}
	past.Points = append(slices.Delete(past.Points, 0, drop), Sample{First: ms, Sum: value, Count: 1})
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
	first := past.Points[0]
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
