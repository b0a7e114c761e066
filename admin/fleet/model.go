package fleet

import "time"

// ModelOrigin says how a model came about.
type ModelOrigin string

// Origins of models.
const (
	ModelBuiltIn   ModelOrigin = "built_in"  // comes with the program: no priors
	ModelManual    ModelOrigin = "manual"    // trained on demand
	ModelScheduled ModelOrigin = "scheduled" // trained by the schedule
	ModelImported  ModelOrigin = "imported"  // brought from another machine
)

// ModelState is where a model stands.
type ModelState string

// States of models.
const (
	ModelCandidate  ModelState = "candidate"   // trained, not judged yet
	ModelCurrent    ModelState = "current"     // at work
	ModelRetired    ModelState = "retired"     // was at work
	ModelRefused    ModelState = "refused"     // the gate did not let it through
	ModelRolledBack ModelState = "rolled_back" // was at work and did worse than its budget
)

// ModelFigures are what an evaluation measured, on held-out background with injected faults.
type ModelFigures struct {
	Series      int     // that were looked at
	Days        float64 // of all series together
	Faults      int     // injected
	Recall      float64 // share of the faults that were found
	Precision   float64 // share of the alarms that were of a fault
	FalsePerDay float64 // false alarms per kiosk and day
	DelayPoints float64 // median points from a fault's begin to its alarm
	ByKind      map[string]ModelKindFigures
}

// ModelKindFigures are those of one kind of fault.
type ModelKindFigures struct {
	Faults int
	Recall float64
}

// ModelCheck is one condition of the gate and how it went.
type ModelCheck struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Text   string `json:"text"`
}

// Model describes one trained fleet model; its file holds the priors.
type Model struct {
	Version     string // m20260301-120000-1a2b3c4d: when it was trained and the begin of its checksum
	CreatedAt   time.Time
	Origin      ModelOrigin
	State       ModelState
	SHA256      string // of the file's content, hex
	Bytes       int64
	TrainedFrom time.Time // of the readings that it was trained on
	TrainedTo   time.Time
	Kiosks      int
	Readings    int64
	Figures     *ModelFigures // of this model; nil before it was evaluated
	Against     *ModelFigures // of the model at work then, on the same data
	Checks      []ModelCheck  // of the gate
	Reason      string        // why it is in its state, in words
	ChangedAt   time.Time     // when it came into its state
	ChangedBy   string
}
