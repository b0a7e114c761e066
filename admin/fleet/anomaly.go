package fleet

import (
	"time"

	"kioskfleet/internal/protocol"
)

// AnomalyKind says in which way a sensor is unusual.
type AnomalyKind string

// Kinds of anomalies.
const (
	AnomalyLevel    AnomalyKind = "level"    // far from what is usual at this hour
	AnomalyRange    AnomalyKind = "range"    // beyond everything seen before
	AnomalyChange   AnomalyKind = "change"   // another course than expected: a jump, a trend, noise
	AnomalyStuck    AnomalyKind = "stuck"    // it does not move any more
	AnomalyDropout  AnomalyKind = "dropout"  // it fell to nothing
	AnomalyRelation AnomalyKind = "relation" // it no longer goes with the sensors it always went with
	AnomalyPeers    AnomalyKind = "peers"    // unlike its siblings in the same hour
)

// AnomalyKinds returns all kinds.
func AnomalyKinds() []AnomalyKind {
	return []AnomalyKind{AnomalyLevel, AnomalyRange, AnomalyChange, AnomalyStuck, AnomalyDropout, AnomalyRelation, AnomalyPeers}
}

// AnomalyBand is what is expected of a sensor at one hour of the kiosk's day.
type AnomalyBand struct {
	Hour int     // 0 to 23, local time of the kiosk
	Low  float64 // in the metric's unit
	High float64
}

// AnomalySensor is one sensor's part in an anomaly.
type AnomalySensor struct {
	Metric string
	Kind   AnomalyKind
	Share  float64 // of the whole evidence, 0 to 1; the shares of all sensors add up to 1
	Value  float64 // when the anomaly was strongest
	// Low and High bound what was expected then; both 0 where nothing can be said.
	Low, High float64
	// With names the metrics that it no longer goes with, for AnomalyRelation.
	With []string
	// Band is what is expected over the day, by hour; empty where nothing can be said.
	Band []AnomalyBand
	// Text explains in words: "CPU temperature is 63 °C; with this CPU usage 48 to 54 °C is usual".
	Text string
}

// AnomalyVerdict is what a person says of an anomaly.
type AnomalyVerdict string

// What people may say.
const (
	AnomalyUseful AnomalyVerdict = "useful"
	AnomalyNoise  AnomalyVerdict = "noise"
)

// AnomalyFeedback is a person's word on an anomaly.
type AnomalyFeedback struct {
	Verdict AnomalyVerdict
	Comment string
	By      string
	At      time.Time
}

// Anomaly is an episode in which a kiosk was unusual. It is open until its score has been low for a while.
type Anomaly struct {
	ID       string // made of serial and OpenedAt, so that the same readings give the same
	Serial   string
	Site     string // when it opened
	Model    string // the kiosk's model, when it opened
	OpenedAt time.Time
	PeakAt   time.Time
	ClosedAt *time.Time
	Score    float64 // the highest, 0 to 1
	Sensors  []AnomalySensor
	Text     string // of the sensor with the largest share
	Detector string // version of the model that found it
	Feedback *AnomalyFeedback
}

// mainShare is the share, of the largest one, from which a sensor counts as a main one.
const mainShare = 0.5

// MainMetrics returns the metrics that the anomaly is about: those with at least half of the largest share, largest
// first.
func (a *Anomaly) MainMetrics() []string {
	var largest float64
	for i := range a.Sensors {
		largest = max(largest, a.Sensors[i].Share)
	}
	var out []string
	for i := range a.Sensors {
		if s := &a.Sensors[i]; s.Share >= mainShare*largest {
			out = append(out, s.Metric)
		}
	}
	return out
}

// Open reports whether the anomaly goes on.
func (a *Anomaly) Open() bool { return a.ClosedAt == nil }

// AnomalyEventKind says what happened to an anomaly.
type AnomalyEventKind string

// What happens to anomalies.
const (
	AnomalyOpened    AnomalyEventKind = "opened"
	AnomalyEscalated AnomalyEventKind = "escalated" // it became worse
	AnomalyClosed    AnomalyEventKind = "closed"
	AnomalyJudged    AnomalyEventKind = "feedback" // a person said what it was worth
)

// AnomalyEvent is something that happened to an anomaly.
type AnomalyEvent struct {
	Kind    AnomalyEventKind
	Anomaly Anomaly // after it
}

// AnomalyMetricBand is what is expected of one metric of a kiosk over the day.
type AnomalyMetricBand struct {
	Metric string
	Band   []AnomalyBand
}

// AnomalyNow is what the detectors say of a kiosk right now.
type AnomalyNow struct {
	Serial   string
	At       time.Time // of the reading that it is about, by the kiosk's clock; zero: none was scored
	Score    float64   // 0 to 1
	Learning bool      // too little was seen to say what is usual, and no model says it
	Since    time.Time // from when on the kiosk is learnt, by its clock
	Detector string    // version of the model
	Open     *Anomaly  // the anomaly that goes on, nil: none
	Sensors  []AnomalySensor
	Bands    []AnomalyMetricBand // by metric
}

// AnomalyFilter selects anomalies; zero fields select all.
type AnomalyFilter struct {
	Serial string
	Site   string
	Metric string // among the sensors
	Kind   AnomalyKind
	Open   *bool
	From   time.Time // opened not before
	To     time.Time // opened before
	Limit  int
	Cursor string // from the page before
}

// AnomalyTuning is what feedback has made of one metric's budget: its threshold is as if the budget were Factor times
// as large. 1 at first; between 1/16 and 4.
type AnomalyTuning struct {
	Metric    string
	Factor    float64
	Useful    int
	Noise     int
	UpdatedAt time.Time
}

// Bounds and steps of what feedback does to a metric's budget.
const (
	minTuning   = 1.0 / 16
	maxTuning   = 4
	tuneNoise   = 0.5
	tuneUseful  = 1.25
	tuneNothing = 1
)

// NewAnomalyTuning returns the tuning of a metric that nobody has said anything of.
func NewAnomalyTuning(metric string) AnomalyTuning {
	return AnomalyTuning{Metric: metric, Factor: tuneNothing}
}

// Add counts a verdict: noise halves the budget, useful adds a quarter, so that one word outweighs three of the other
// kind and a metric that people are tired of falls silent soon.
func (t *AnomalyTuning) Add(v AnomalyVerdict, at time.Time) {
	switch v {
	case AnomalyNoise:
		t.Noise++
		t.Factor *= tuneNoise
	case AnomalyUseful:
		t.Useful++
		t.Factor *= tuneUseful
	}
	t.Factor = min(max(t.Factor, minTuning), maxTuning)
	t.UpdatedAt = at
}

// Check returns a *ValidationError for feedback that cannot be taken.
func (f *AnomalyFeedback) Check() error {
	var v Violations
	if f.Verdict != AnomalyUseful && f.Verdict != AnomalyNoise {
		v.Add("verdict", "%q is unknown, use one of %s, %s", f.Verdict, AnomalyUseful, AnomalyNoise)
	}
	if len(f.Comment) > maxAnomalyComment {
		v.Add("comment", "has %d bytes, at most %d are allowed", len(f.Comment), maxAnomalyComment)
	}
	return v.Err()
}

// maxAnomalyComment bounds a comment, in bytes.
const maxAnomalyComment = 2000

// AnomalyState is what is kept of a kiosk's detectors over a restart.
type AnomalyState struct {
	Serial string
	Source Source // of the last reading in it
	Data   []byte
}

// KioskScore is the anomaly score of one reading.
type KioskScore struct {
	Serial string
	Site   string
	Time   time.Time // of the reading, by the kiosk's clock
	Score  float64   // 0 to 1
	Source Source    // of the reading
}

// AnomalyMetric is the name under which scores are stored and under which rules see them.
const AnomalyMetric = protocol.AnomalyScore
