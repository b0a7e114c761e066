package influx

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// linesPerWrite bounds one request, and with it how often a batch is written again to find the points
// that the server refuses: at most twice its lines.
const linesPerWrite = 1000

// Append writes the readings, at most linesPerWrite in a request.
//
// Errors: *telemetry.RejectedError for readings that are not valid or that the server refuses, such as
// those older than the retention policy; a field whose type is not that of the stored ones is set
// aside alone, and the reading's other fields are kept. A *telemetry.RetryAfterError while the server
// cannot be reached, fails or asks to wait. After any error but the first the whole batch is to be
// written again, though a part of it may be stored.
func (s *Store) Append(ctx context.Context, readings []fleet.Reading) error {
	if s.closed.Load() {
		return telemetry.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append %d readings: %w", len(readings), err)
	}
	var rejected []telemetry.Rejection
	lines := make([]line, 0, len(readings))
	for i := range readings {
		if reason := telemetry.RefusalOf(&readings[i]); reason != "" {
			rejected = append(rejected, telemetry.Rejection{Index: i, Reason: reason})
			continue
		}
		if l := newLine(i, &readings[i]); l.text != "" {
			lines = append(lines, l)
		}
	}
	for some := range slices.Chunk(lines, linesPerWrite) {
		refused, err := s.write(ctx, some)
		if err != nil {
			return fmt.Errorf("append %d readings: %w", len(readings), err)
		}
		rejected = append(rejected, refused...)
	}
	if rejected == nil {
		return nil
	}
	slices.SortFunc(rejected, func(a, b telemetry.Rejection) int { return a.Index - b.Index })
	return &telemetry.RejectedError{Rejected: rejected}
}

// write sends the lines until the server has taken all that it ever will, and returns the others.
//
// A server that refuses a point may have stored the rest of the request (1.8) or nothing (2, when it
// cannot parse a line), and its message names at most one point. So the halves are written again, down
// to the single point; points that are stored already are not changed by that.
func (s *Store) write(ctx context.Context, lines []line) ([]telemetry.Rejection, error) {
	refusal, err := s.send(ctx, lines)
	if err != nil {
		return nil, err
	}
	if refusal == nil {
		return fieldsSetAside(lines), nil
	}
	if rest, ok := withoutConflict(lines, refusal.message); ok {
		rejected, err := s.write(ctx, rest)
		for i := range lines {
			if lines[i].text == "" { // nothing else was in it
				rejected = append(rejected, telemetry.Rejection{Index: lines[i].index, Reason: lines[i].reason})
			}
		}
		return rejected, err
	}
	if len(lines) == 1 || dropped(refusal.message) == len(lines) {
		return refuse(lines, refusal), nil
	}
	rejected, err := s.write(ctx, lines[:len(lines)/2])
	if err != nil {
		return nil, err
	}
	more, err := s.write(ctx, lines[len(lines)/2:])
	return append(rejected, more...), err
}

// send makes one request. A refusal is about the lines; an error is about anything else.
func (s *Store) send(ctx context.Context, lines []line) (*statusError, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	texts := make([]string, len(lines))
	for i := range lines {
		texts[i] = lines[i].text
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.writer.WriteRecord(limited, texts...)
	if err == nil {
		return nil, nil
	}
	err = notWritten(ctx, err)
	var status *statusError
	if errors.As(err, &status) && status.aboutData() {
		return status, nil
	}
	return nil, err
}

// refuse rejects all lines for the server's reason.
func refuse(lines []line, refusal *statusError) []telemetry.Rejection {
	rejected := make([]telemetry.Rejection, len(lines))
	for i := range lines {
		rejected[i] = telemetry.Rejection{Index: lines[i].index, Reason: refusal.Error()}
	}
	return rejected
}

// fieldsSetAside lists the lines that were stored without one of their fields.
func fieldsSetAside(lines []line) []telemetry.Rejection {
	var rejected []telemetry.Rejection
	for i := range lines {
		if lines[i].reason != "" {
			rejected = append(rejected, telemetry.Rejection{Index: lines[i].index, Reason: lines[i].reason + "; the other metrics were kept"})
		}
	}
	return rejected
}

// conflict is InfluxDB's message for a field that is a number here and a string there.
var conflict = regexp.MustCompile(`field type conflict: input field "([^"]+)" on measurement "[^"]*" is type (\w+), already exists as type (\w+)`)

// withoutConflict drops the field of the message from the lines that have it in the wrong type, and
// returns those that have fields left. Every call drops a field from at least one line, or returns
// false; so it ends.
func withoutConflict(lines []line, message string) (rest []line, ok bool) {
	m := conflict.FindStringSubmatch(message)
	if m == nil {
		return nil, false
	}
	field, isText := m[1], m[2] == "string"
	reason := fmt.Sprintf("metric %s is of type %s, but InfluxDB has it as %s", field, m[2], m[3])
	for i := range lines {
		if lines[i].has(field) && lines[i].isText(field) == isText {
			lines[i].drop(field, reason)
			ok = true
		}
		if lines[i].text != "" {
			rest = append(rest, lines[i])
		}
	}
	return rest, ok
}

// dropped returns how many points the server says it left out, 0 when it does not say.
func dropped(message string) int {
	_, number, ok := strings.Cut(message, "dropped=")
	if !ok {
		return 0
	}
	number, _, _ = strings.Cut(number, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}
