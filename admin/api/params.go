package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// limit reads the page size.
func limit(c echo.Context) (int, error) {
	text := c.QueryParam("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fleet.Invalid("limit", "%q is not a number from 1 to %d", text, maxLimit)
	}
	return n, nil
}

// cursor reads the opaque position that an earlier page gave; into stays as it is without one.
func cursor(c echo.Context, into any) error {
	text := c.QueryParam("cursor")
	if text == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fleet.Invalid("cursor", "is not one that this server gave; start without it")
	}
	return nil
}

func makeCursor(position any) string {
	raw, err := json.Marshal(position)
	if err != nil {
		panic(fmt.Sprintf("api: cursor %T: %v", position, err)) // a programming error: positions are plain structs
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// instant reads a time: RFC 3339, now, or relative to now as in -1h.
func instant(name, text string, now, fallback time.Time) (time.Time, error) {
	// A plus sign in a query string that was not escaped arrives as a space.
	text = strings.ReplaceAll(text, " ", "+")
	switch {
	case text == "":
		return fallback, nil
	case text == "now":
		return now, nil
	case strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+"):
		d, err := duration(text[1:])
		if err != nil {
			return time.Time{}, fleet.Invalid(name, "%q is not a time: %v", text, err)
		}
		if text[0] == '-' {
			d = -d
		}
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fleet.Invalid(name, "%q is not a time such as 2026-01-02T03:04:05Z or -1h", text)
	}
	if y := t.Year(); y < 1971 || y > 2261 {
		return time.Time{}, fleet.Invalid(name, "%q is outside the years 1971 to 2261", text)
	}
	return t.UTC(), nil
}

const maxDuration = 100 * 366 * 24 * time.Hour

// duration reads a positive duration; besides Go's units it knows days (d) and weeks (w).
func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			var f float64
			if f, err = strconv.ParseFloat(number, 64); err == nil && f > 0 && f < maxDuration.Hours() {
				d = time.Duration(f * float64(unit))
			}
		}
	}
	if err != nil || d <= 0 || d > maxDuration {
		return 0, fmt.Errorf("%q is not a positive duration such as 30s, 10m, 1h or 7d", text)
	}
	return d, nil
}

// optionalDuration reads a duration field that may be absent.
func optionalDuration(field, text string, fallback time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	d, err := duration(text)
	if err != nil {
		return 0, fleet.Invalid(field, "%v", err)
	}
	return d, nil
}

// oneOf checks an enumerated query parameter; empty is fine.
func oneOf[T ~string](name, text string, allowed []T) (T, error) {
	if text == "" {
		return "", nil
	}
	for _, a := range allowed {
		if string(a) == text {
			return a, nil
		}
	}
	return "", fleet.Invalid(name, "%q is unknown, use one of %v", text, allowed)
}
