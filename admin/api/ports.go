package api

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// The interfaces below are what the API needs of the packages beside it; admin/app connects them.

// Fault lets a package beside this one say which HTTP answer its own error deserves, without either
// knowing the other: admin/app translates with Config.Classify.
type Fault struct {
	Status     int
	Title      string
	RetryAfter time.Duration // 0: none
	TooLarge   bool          // the same question about less would be answered
}

// Registry is the registry of kiosks.
type Registry interface {
	Get(serial string) (*fleet.Kiosk, error)
	All() []*fleet.Kiosk
	Add(ctx context.Context, k fleet.Kiosk, actor string) (*fleet.Kiosk, error)
	Change(ctx context.Context, serial string, p fleet.KioskPatch, actor string) (*fleet.Kiosk, error)
	Revoke(ctx context.Context, serial, actor string) (*fleet.Kiosk, error)
	Delete(ctx context.Context, serial, actor string) error
}

// Enrolment issues and redeems enrolment tokens.
type Enrolment interface {
	Create(ctx context.Context, pattern string, maxUses int, expiresIn time.Duration, actor string) (fleet.EnrollmentToken, string, error)
	List(ctx context.Context) ([]fleet.EnrollmentToken, error)
	Delete(ctx context.Context, id, actor string) error
	Enroll(ctx context.Context, req protocol.EnrollRequest) (protocol.EnrollResponse, error)
}

// Presence tells what is so right now.
type Presence interface {
	Get(serial string) *fleet.Live
	Ledger(serial string) fleet.LedgerCounts
}

// Commands takes orders and answers for them.
type Commands interface {
	Send(ctx context.Context, serial string, name protocol.CommandName, params []byte, expiresIn time.Duration, key, actor string) (fleet.Command, error)
}

// History reads what is stored.
type History interface {
	Command(ctx context.Context, id string) (fleet.Command, error)
	Commands(ctx context.Context, serial, before string, limit int) ([]fleet.Command, error)
	Events(ctx context.Context, serial string, before time.Time, id int64, limit int) ([]fleet.Event, error)
	Refusals(ctx context.Context, serial string) ([]fleet.Refusals, error)
}

// Letters reads dead letters.
type Letters interface {
	// DeadLetters returns up to limit letters with ids below before, or from the newest when it is 0,
	// newest first, without payloads.
	DeadLetters(ctx context.Context, f fleet.DeadLetterFilter, before int64, limit int) ([]fleet.DeadLetter, error)
	DeadLetter(ctx context.Context, id int64) (fleet.DeadLetter, error)
	CountDeadLetters(ctx context.Context, f fleet.DeadLetterFilter) (map[string]int, error)
	TotalDeadLetters(ctx context.Context) (int, error)
}

// Settled is what became of some dead letters. Next is where to go on, 0 at the end.
type Settled struct {
	Replayed, Refused int
	Next              int64
}

// Settling replays and discards dead letters.
type Settling interface {
	// Replay takes a letter again; when it returns nil the journal has it and the letter is gone. Its
	// errors are *fleet.ValidationError when it would be refused again, fleet.ErrNotFound, or classified
	// by Config.Classify when the journal does not accept.
	Replay(ctx context.Context, id int64, actor string) error
	// ReplayMany does so with some letters of a filter with ids above after, oldest first.
	ReplayMany(ctx context.Context, f fleet.DeadLetterFilter, after int64, actor string) (Settled, error)
	Discard(ctx context.Context, id int64, actor string) error
	// DiscardMany discards some letters of a filter and returns how many; 0 says that none is left.
	DiscardMany(ctx context.Context, f fleet.DeadLetterFilter, actor string) (int, error)
}

// Intake says how the journal and its consumers do.
type Intake interface {
	Status() fleet.IntakeStatus
}

// Range is a question for one metric; Step 0 asks for raw points. It is for each kiosk of Serials, or for
// the kiosks of each of Groups together.
type Range struct {
	Metric    string
	Serials   []string
	Groups    []Group
	From, To  time.Time
	Step      time.Duration
	Aggregate string
	Zone      *time.Location // of windows of whole days; nil: UTC
}

// Group is a number of kiosks that are asked for together.
type Group struct {
	Name    string
	Serials []string
}

// Point is one value of a metric.
type Point struct {
	Time  time.Time
	Value float64
}

// NamedSeries holds the points of a kiosk or group, oldest first.
type NamedSeries struct {
	Name   string
	Points []Point
}

// Answer has the series that have points, in the order of the question. Source says what they were made
// of: raw, rollup or mixed.
type Answer struct {
	Series []NamedSeries
	Source string
}

// Series reads time series. Its errors are *fleet.ValidationError, or classified by Config.Classify.
type Series interface {
	Range(ctx context.Context, q Range) (Answer, error)
	// Metrics returns the names of the metrics that are stored. The list may be some time old unless that
	// name is missing in it.
	Metrics(ctx context.Context, missing string) ([]string, error)
}

// Auth says who makes a request.
type Auth interface {
	Login(ctx context.Context, name, password, remote string) (secret string, p fleet.Principal, err error)
	Logout(ctx context.Context, secret string) error
	BySession(ctx context.Context, secret string) (fleet.Principal, error)
	ByToken(ctx context.Context, text string) (fleet.Principal, error)
	CreateAPIToken(ctx context.Context, name string, scope fleet.Scope, expiresIn time.Duration, actor string) (fleet.APIToken, string, error)
	APITokens(ctx context.Context) ([]fleet.APIToken, error)
	DeleteAPIToken(ctx context.Context, id, actor string) error
}

// Check is one condition of readiness; nil means that it holds.
type Check func(ctx context.Context) error
