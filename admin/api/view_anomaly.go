package api

import (
	"time"

	"kioskfleet/admin/fleet"
)

type anomalyView struct {
	ID       string               `json:"id"`
	Serial   string               `json:"serial"`
	Site     string               `json:"site"`
	Model    string               `json:"model"`
	State    string               `json:"state"`
	OpenedAt time.Time            `json:"opened_at"`
	PeakAt   time.Time            `json:"peak_at"`
	ClosedAt *time.Time           `json:"closed_at,omitempty"`
	Score    float64              `json:"score"`
	Text     string               `json:"text"`
	Sensors  []anomalySensorView  `json:"sensors"`
	Detector string               `json:"detector"`
	Feedback *anomalyFeedbackView `json:"feedback,omitempty"`
}

type anomalySensorView struct {
	Metric string            `json:"metric"`
	Kind   fleet.AnomalyKind `json:"kind"`
	Share  float64           `json:"share"`
	Value  *float64          `json:"value,omitempty"`
	Low    *float64          `json:"low,omitempty"`
	High   *float64          `json:"high,omitempty"`
	With   []string          `json:"with,omitempty"`
	Band   []bandView        `json:"band,omitempty"`
	Text   string            `json:"text"`
}

type bandView struct {
	Hour int     `json:"hour"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

type anomalyFeedbackView struct {
	Verdict fleet.AnomalyVerdict `json:"verdict"`
	Comment string               `json:"comment"`
	By      string               `json:"by"`
	At      time.Time            `json:"at"`
}

// viewAnomaly leaves out what is expected over the day: 24 numbers twice for each sensor would be most of a list.
func viewAnomaly(a fleet.Anomaly) anomalyView {
	v := viewAnomalyWithBands(a)
	for i := range v.Sensors {
		v.Sensors[i].Band = nil
	}
	return v
}

func viewAnomalyWithBands(a fleet.Anomaly) anomalyView {
	v := anomalyView{
		ID: a.ID, Serial: a.Serial, Site: a.Site, Model: a.Model, State: "open", OpenedAt: a.OpenedAt, PeakAt: a.PeakAt, ClosedAt: a.ClosedAt,
		Score: a.Score, Text: a.Text, Sensors: viewSensors(a.Sensors), Detector: a.Detector,
	}
	if !a.Open() {
		v.State = "closed"
	}
	if f := a.Feedback; f != nil {
		v.Feedback = &anomalyFeedbackView{f.Verdict, f.Comment, f.By, f.At}
	}
	return v
}

func viewSensors(sensors []fleet.AnomalySensor) []anomalySensorView {
	out := make([]anomalySensorView, len(sensors))
	for i, s := range sensors {
		out[i] = anomalySensorView{
			Metric: s.Metric, Kind: s.Kind, Share: s.Share, Value: finite(s.Value), With: s.With, Band: viewBand(s.Band), Text: s.Text,
		}
		if s.Low != 0 || s.High != 0 { // both 0: nothing can be said
			out[i].Low, out[i].High = finite(s.Low), finite(s.High)
		}
	}
	return out
}

// viewBand leaves out hours of which nothing can be said.
func viewBand(band []fleet.AnomalyBand) []bandView {
	out := make([]bandView, 0, len(band))
	for _, b := range band {
		if finite(b.Low) != nil && finite(b.High) != nil {
			out = append(out, bandView(b))
		}
	}
	return out
}

// anomalyEventView is an anomaly as the live stream tells of it.
type anomalyEventView struct {
	Event fleet.AnomalyEventKind `json:"event"`
	anomalyView
}

func viewAnomalyEvent(e fleet.AnomalyEvent) anomalyEventView {
	return anomalyEventView{e.Kind, viewAnomaly(e.Anomaly)}
}

type kioskAnomalyView struct {
	Serial    string              `json:"serial"`
	State     string              `json:"state"`
	Time      *time.Time          `json:"time,omitempty"`
	Score     float64             `json:"score"`
	Since     *time.Time          `json:"since,omitempty"`
	Detector  string              `json:"detector"`
	AnomalyID string              `json:"anomaly_id,omitempty"`
	Sensors   []anomalySensorView `json:"sensors"`
	Metrics   []metricBandView    `json:"metrics"`
}

type metricBandView struct {
	Metric string     `json:"metric"`
	Band   []bandView `json:"band"`
}

func viewKioskAnomaly(serial string, n fleet.AnomalyNow) kioskAnomalyView {
	v := kioskAnomalyView{
		Serial: serial, State: "usual", Time: known(n.At), Score: n.Score, Since: known(n.Since), Detector: n.Detector,
		Sensors: viewSensors(n.Sensors), Metrics: make([]metricBandView, len(n.Bands)),
	}
	for i, b := range n.Bands {
		v.Metrics[i] = metricBandView{b.Metric, viewBand(b.Band)}
	}
	switch {
	case n.Open != nil:
		v.State, v.AnomalyID = "unusual", n.Open.ID
	case n.Learning:
		v.State = "learning"
	case n.At.IsZero():
		v.State = "unknown"
	}
	return v
}

type tuningView struct {
	Metric    string    `json:"metric"`
	Factor    float64   `json:"factor"`
	Useful    int       `json:"useful"`
	Noise     int       `json:"noise"`
	UpdatedAt time.Time `json:"updated_at"`
}

func viewTuning(t fleet.AnomalyTuning) tuningView { return tuningView(t) }
