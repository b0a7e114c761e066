package fleet

import "time"

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
const AnomalyMetric = "anomaly.score"
