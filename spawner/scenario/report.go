package scenario

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/spawner/roster"
)

// Report is what came of a run's expectations and commands, in their order.
type Report struct {
	Expectations []Outcome   `json:"expectations"`
	Commands     []Delivered `json:"commands"`
}

// Outcome is what came of one expectation.
type Outcome struct {
	Phase    string          `json:"phase"`
	Expected string          `json:"expected"`
	Met      bool            `json:"met"`
	After    roster.Duration `json:"after"` // from its begin, by the kiosks' time; of a missed one its limit
	Kiosks   int             `json:"kiosks"`
	Showing  int             `json:"showing"` // of these, showed it at the last look
	// Others are kiosks that did not, with what they showed; some of them if there are many.
	Others []string `json:"others,omitempty"`
	Error  string   `json:"error,omitempty"` // why the last look failed
	// Undecided is one that the run's end came before; it is not met.
	Undecided bool `json:"undecided,omitempty"`
}

// Delivered is what came of one command.
type Delivered struct {
	Phase   string               `json:"phase"`
	Command protocol.CommandName `json:"command"`
	Kiosks  int                  `json:"kiosks"`
	Taken   int                  `json:"taken"` // by the platform
	Error   string               `json:"error,omitempty"`
}

// Err returns nil if all expectations were met and all commands taken, else what was not.
func (r Report) Err() error {
	var errs []error
	undecided := 0
	for _, o := range r.Expectations {
		switch {
		case o.Undecided:
			undecided++
		case !o.Met:
			errs = append(errs, errors.New(o.String()))
		}
	}
	if undecided > 0 {
		errs = append(errs, fmt.Errorf("the scenario ended before its time: %d of %d expectations were not decided", undecided, len(r.Expectations)))
	}
	for _, d := range r.Commands {
		if d.Taken < d.Kiosks {
			errs = append(errs, fmt.Errorf("phase %s: %s was taken for %d of %d kiosks: %s", d.Phase, d.Command, d.Taken, d.Kiosks, d.Error))
		}
	}
	return errors.Join(errs...)
}

// String says the outcome in one line.
func (o Outcome) String() string {
	after := time.Duration(o.After).Round(100 * time.Millisecond)
	if o.Met {
		return fmt.Sprintf("phase %s: %s: met after %s by %d of %d kiosks", o.Phase, o.Expected, after, o.Showing, o.Kiosks)
	}
	if o.Undecided {
		return fmt.Sprintf("phase %s: %s: not decided", o.Phase, o.Expected)
	}
	text := fmt.Sprintf("phase %s: %s: missed, after %s by %d of %d kiosks", o.Phase, o.Expected, after, o.Showing, o.Kiosks)
	if len(o.Others) > 0 {
		text += "; others: " + strings.Join(o.Others, "; ")
	}
	if o.Error != "" {
		text += ": " + o.Error
	}
	return text
}

// String says what is expected.
func (e *Expectation) String() string {
	var parts []string
	add := func(what string, values []string) {
		if len(values) > 0 {
			parts = append(parts, what+" "+strings.Join(values, " or "))
		}
	}
	add("presence", e.Presence)
	add("verdict", e.Verdict)
	add("status", e.Status)
	text := strings.Join(parts, " and ")
	if e.Share < 1 {
		text += fmt.Sprintf(" of %.4g%%", 100*e.Share)
	}
	return text
}
