package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Bounds of what a kiosk may send. They are wide for any real kiosk and keep a broken one from
// filling the store with series.
const (
	maxPayloadBytes = 256 << 10
	maxReadings     = 500 // in one message
	maxFields       = 256 // in one reading
	maxTextBytes    = 256 // of one textual metric
	maxFuture       = 5 * time.Minute
)

// Reasons why a message or a reading is refused; they are the labels of a counter.
const (
	reasonTooLarge  = "too_large"
	reasonMalformed = "malformed"
	reasonSchema    = "schema"
	reasonSerial    = "wrong_serial"
	reasonFuture    = "future"
	reasonTooOld    = "too_old"
	reasonUnknown   = "unknown_topic"
	reasonRejected  = "rejected_by_store"
	reasonConflict  = "conflict"
)

// refusal says why a message is not taken; the kiosk's connection is not at fault.
type refusal struct {
	reason string
	err    error
	item   int    // which item of the message
	raw    []byte // the item as it was sent
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }

// maxRefusalText bounds how much of a payload an explanation repeats.
const maxRefusalText = 300

func refuse(reason, format string, args ...any) *refusal {
	err := fmt.Errorf(format, args...)
	if text := err.Error(); len(text) > maxRefusalText {
		err = errors.New(strings.ToValidUTF8(text[:maxRefusalText], "") + "…")
	}
	return &refusal{reason: reason, err: err}
}

// decodeReadings decodes a telemetry payload: one reading, or an array of them. Readings that break
// the schema are refused one by one; the others are returned in order.
func decodeReadings(serial string, payload []byte, receivedAt time.Time, window time.Duration) ([]fleet.Reading, []*refusal) {
	if len(payload) > maxPayloadBytes {
		return nil, []*refusal{refuse(reasonTooLarge, "%d bytes, at most %d are allowed", len(payload), maxPayloadBytes)}
	}
	if !utf8.Valid(payload) {
		return nil, []*refusal{refuse(reasonMalformed, "is not UTF-8")}
	}
	items := []json.RawMessage{payload}
	if trimmed := bytes.TrimLeft(payload, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		items = nil
		if err := json.Unmarshal(payload, &items); err != nil {
			return nil, []*refusal{refuse(reasonMalformed, "%w", err)}
		}
		if len(items) > maxReadings {
			return nil, []*refusal{refuse(reasonTooLarge, "%d readings, at most %d are allowed in one message", len(items), maxReadings)}
		}
	}
	readings := make([]fleet.Reading, 0, len(items))
	var refused []*refusal
	for i, item := range items {
		r, err := decodeReading(serial, item, receivedAt, window)
		if err != nil {
			err.item, err.raw = i, item
			refused = append(refused, err)
			continue
		}
		r.Source.Item = i
		readings = append(readings, r)
	}
	return readings, refused
}

func decodeReading(serial string, item []byte, receivedAt time.Time, window time.Duration) (fleet.Reading, *refusal) {
	var none fleet.Reading
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(item, &fields); err != nil {
		return none, refuse(reasonMalformed, "%w", err)
	}
	r := fleet.Reading{ReceivedAt: receivedAt}
	var at time.Time
	for name, raw := range fields {
		var err error
		switch name {
		case "timestamp":
			err = json.Unmarshal(raw, &at)
		case "serial":
			err = json.Unmarshal(raw, &r.Serial)
		case "seq":
			err = json.Unmarshal(raw, &r.Seq)
		case "session":
			err = json.Unmarshal(raw, &r.Session)
		case "status":
			err = json.Unmarshal(raw, &r.Status)
		case "config_version":
			err = json.Unmarshal(raw, &r.ConfigVersion)
		case "kiosk_id":
			// The registry knows it; a kiosk may be wrong about it.
		default:
			err = decodeGroup(&r, name, raw)
		}
		if err != nil {
			return none, refuse(reasonSchema, "%s: %w", name, err)
		}
	}
	switch {
	case r.Serial != serial:
		return none, refuse(reasonSerial, "payload says %q, the topic %q", r.Serial, serial)
	case at.IsZero():
		return none, refuse(reasonSchema, "timestamp is missing")
	case len(r.Session) > maxTextBytes || len(r.Status) > maxTextBytes:
		return none, refuse(reasonSchema, "session or status has more than %d bytes", maxTextBytes)
	case at.After(receivedAt.Add(maxFuture)):
		return none, refuse(reasonFuture, "timestamp %s is more than %s ahead", at.Format(time.RFC3339), maxFuture)
	case at.Before(receivedAt.Add(-window)):
		return none, refuse(reasonTooOld, "timestamp %s is more than %s old", at.Format(time.RFC3339), window)
	case len(r.Values)+len(r.Texts) > maxFields:
		return none, refuse(reasonSchema, "%d fields, at most %d are allowed", len(r.Values)+len(r.Texts), maxFields)
	}
	r.Time = at.UTC().Truncate(time.Millisecond)
	slices.SortFunc(r.Values, func(a, b fleet.Value) int { return strings.Compare(a.Metric, b.Metric) })
	slices.SortFunc(r.Texts, func(a, b fleet.Text) int { return strings.Compare(a.Metric, b.Metric) })
	return r, nil
}

var errNotScalar = errors.New("is neither number, boolean nor text")

func decodeGroup(r *fleet.Reading, group string, raw json.RawMessage) error {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) && typeErr.Type.Kind() == reflect.Float64 {
			return fmt.Errorf("%s is too large", typeErr.Value)
		}
		return errors.New("is not an object of fields")
	}
	for name, value := range fields {
		metric := group + "." + name
		if !protocol.ValidMetricName(metric) {
			return fmt.Errorf("%q is not a field name (letters, digits, underscores)", name)
		}
		switch v := value.(type) {
		case nil:
			// A sensor without a value right now.
		case float64: // finite: JSON knows no other
			r.Values = append(r.Values, fleet.Value{Metric: metric, Value: v})
		case bool:
			n := 0.0
			if v {
				n = 1
			}
			r.Values = append(r.Values, fleet.Value{Metric: metric, Value: n})
		case string:
			if len(v) > maxTextBytes {
				return fmt.Errorf("%s has more than %d bytes", name, maxTextBytes)
			}
			r.Texts = append(r.Texts, fleet.Text{Metric: metric, Text: v})
		default:
			return fmt.Errorf("%s %w", name, errNotScalar)
		}
	}
	return nil
}
