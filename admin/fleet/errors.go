package fleet

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentinel errors; admin/api maps each to one HTTP status.
var (
	ErrNotFound      = errors.New("not found")
	ErrExists        = errors.New("already exists")
	ErrUnauthorized  = errors.New("not logged in")
	ErrForbidden     = errors.New("not allowed")
	ErrUnavailable   = errors.New("not available yet")
	ErrConflict      = errors.New("changed meanwhile")
	ErrNotRegistered = errors.New("kiosk is not registered")
	ErrRevoked       = errors.New("kiosk is revoked")
	ErrTokenInvalid  = errors.New("enrolment token is not valid")
	ErrTokenExpired  = errors.New("enrolment token has expired")
	ErrTokenUsedUp   = errors.New("enrolment token has no uses left")
	ErrTokenScope    = errors.New("enrolment token is not for this serial")
)

// Violation is one fault of one field of the input.
type Violation struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// ValidationError says which fields of the input are wrong and why; nothing was changed.
type ValidationError struct {
	Violations []Violation
}

func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = v.Field + ": " + v.Reason
	}
	return strings.Join(parts, "; ")
}

// Invalid returns a *ValidationError with one violation.
func Invalid(field, format string, args ...any) error {
	return &ValidationError{Violations: []Violation{{field, fmt.Sprintf(format, args...)}}}
}

// Violations collects faults; the zero value is ready to use.
type Violations []Violation

// Add records a fault of a field.
func (v *Violations) Add(field, format string, args ...any) {
	*v = append(*v, Violation{field, fmt.Sprintf(format, args...)})
}

// Err returns a *ValidationError with everything added, or nil.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return &ValidationError{Violations: v}
}

func (v *Violations) checkText(field, s string) {
	if !utf8.ValidString(s) {
		v.Add(field, "is not valid UTF-8")
		return
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			v.Add(field, "%q holds a control character", s)
			return
		}
	}
}
