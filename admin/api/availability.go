package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

const (
	// quarter is how finely availability is kept.
	quarter = 15 * time.Minute
	// defaultDays is how many days availability is for unless the request says otherwise, today included.
	defaultDays = 7
	// How far ahead visits look.
	defaultHorizon = 7 * 24 * time.Hour
	maxHorizon     = 90 * 24 * time.Hour
)

// availabilityQuery reads what availability is asked of. Nobody who asks for the last hours means a quarter of an
// hour, so times that are relative to now are widened to it; those that are given must be on one.
func (s *Server) availabilityQuery(c echo.Context) (q fleet.AvailabilityQuery, err error) {
	q = fleet.AvailabilityQuery{Scope: "fleet", Name: c.QueryParam("name"), Zone: time.UTC}
	scope, err := oneOf("scope", c.QueryParam("scope"), []string{"kiosk", "site", "fleet"})
	if err != nil {
		return q, err
	}
	if scope != "" {
		q.Scope = scope
	}
	if q.Period, err = oneOf("period", c.QueryParam("period"), []string{"day", "week", "month"}); err != nil {
		return q, err
	}
	if name := c.QueryParam("tz"); name != "" {
		if q.Zone, err = zone(name); err != nil {
			return q, err
		}
	}
	now := s.cfg.Now().UTC()
	if q.To, err = instant("to", c.QueryParam("to"), now, now); err != nil {
		return q, err
	}
	if relative(c.QueryParam("to")) {
		q.To = q.To.Add(quarter - 1).Truncate(quarter)
	}
	year, month, day := q.To.In(q.Zone).Date()
	if q.From, err = instant("from", c.QueryParam("from"), now, time.Date(year, month, day-defaultDays+1, 0, 0, 0, 0, q.Zone).UTC()); err != nil {
		return q, err
	}
	if relative(c.QueryParam("from")) {
		q.From = q.From.Truncate(quarter)
	}
	return q, nil
}

// relative reports whether a time was given by its distance from now.
func relative(text string) bool {
	return text == "" || text == "now" || strings.ContainsAny(text[:1], "+- ")
}

func (s *Server) availability(c echo.Context) error {
	csv, err := wantsCSV(c)
	if err != nil {
		return err
	}
	q, err := s.availabilityQuery(c)
	if err != nil {
		return err
	}
	rows, err := s.cfg.Availability.Query(c.Request().Context(), q)
	if err != nil {
		return err
	}
	if csv {
		return exportAvailability(c, q, rows)
	}
	out := availabilityView{q.From, q.To, q.Scope, q.Period, q.Zone.String(), make([]availabilityRow, len(rows))}
	for i := range rows {
		out.Items[i] = viewAvailability(&rows[i])
	}
	return c.JSON(http.StatusOK, out)
}

// exportAvailability writes the report for a spreadsheet, its times by the clock of the zone that it is for.
func exportAvailability(c echo.Context, q fleet.AvailabilityQuery, rows []fleet.Availability) error {
	e := newExporter(c, "availability", "scope", "name", "from", "to", "kiosks", "share", "can_serve_seconds", "degraded_seconds", "cannot_serve_seconds",
		"unknown_seconds", "maintenance_seconds")
	e.begin()
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for i := range rows {
		r := viewAvailability(&rows[i])
		share := ""
		if r.Share != nil {
			share = number(*r.Share)
		}
		e.write(q.Scope, harmless(r.Name), r.From.In(q.Zone).Format(time.RFC3339), r.To.In(q.Zone).Format(time.RFC3339), strconv.Itoa(r.Kiosks), share,
			number(r.Seconds.CanServe), number(r.Seconds.Degraded), number(r.Seconds.CannotServe), number(r.Seconds.Unknown), number(r.Maintenance))
	}
	return e.done()
}

func (s *Server) visits(c echo.Context) error {
	within, err := optionalDuration("within", c.QueryParam("within"), defaultHorizon)
	if err != nil {
		return err
	}
	if within > maxHorizon {
		return fleet.Invalid("within", "is more than 90 days: nothing is forecast that far ahead")
	}
	found := s.cfg.Forecasts.Visits(s.cfg.Now().UTC(), within, c.QueryParam("site"), s.cfg.Registry.All(), s.cfg.Presence.Get)
	return pageOf(c, found, "", viewVisit)
}

func (s *Server) forecasts(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	return pageOf(c, s.cfg.Forecasts.Forecasts(k.Serial), "", viewForecast)
}

type availabilityView struct {
	From   time.Time         `json:"from"`
	To     time.Time         `json:"to"`
	Scope  string            `json:"scope"`
	Period string            `json:"period,omitempty"`
	TZ     string            `json:"tz"`
	Items  []availabilityRow `json:"items"`
}

type availabilityRow struct {
	Name        string          `json:"name"`
	From        time.Time       `json:"from"`
	To          time.Time       `json:"to"`
	Seconds     verdictsSeconds `json:"seconds"`
	Maintenance float64         `json:"maintenance_seconds"`
	Share       *float64        `json:"share,omitempty"`
	Kiosks      int             `json:"kiosks"`
}

type verdictsSeconds struct {
	CanServe    float64 `json:"can_serve"`
	Degraded    float64 `json:"degraded"`
	CannotServe float64 `json:"cannot_serve"`
	Unknown     float64 `json:"unknown"`
}

func viewAvailability(a *fleet.Availability) availabilityRow {
	v := availabilityRow{Name: a.Name, From: a.From.UTC(), To: a.To.UTC(), Maintenance: a.Maintenance, Kiosks: a.Kiosks, Seconds: verdictsSeconds{
		a.Seconds[fleet.VerdictCanServe], a.Seconds[fleet.VerdictDegraded], a.Seconds[fleet.VerdictCannotServe], a.Seconds[fleet.VerdictUnknown],
	}}
	if share, ok := a.Share(); ok {
		v.Share = &share
	}
	return v
}

type forecastView struct {
	Metric   string    `json:"metric"`
	Level    float64   `json:"level"`
	Limit    float64   `json:"limit"`
	PerHour  float64   `json:"per_hour"`
	Hours    *float64  `json:"hours,omitempty"`
	Earliest *float64  `json:"earliest,omitempty"`
	Latest   *float64  `json:"latest,omitempty"`
	At       time.Time `json:"at"`
}

func viewForecast(f fleet.Forecast) forecastView {
	return forecastView{f.Metric, f.Level, f.Limit, f.PerHour, finite(f.Hours), finite(f.Earliest), finite(f.Latest), f.At}
}

type visitView struct {
	Site  string          `json:"site"`
	Due   time.Time       `json:"due"`
	Items []visitItemView `json:"items"`
}

type visitItemView struct {
	Serial string    `json:"serial"`
	Metric string    `json:"metric"`
	Need   string    `json:"need"`
	Level  float64   `json:"level"`
	Due    time.Time `json:"due"`
	Text   string    `json:"text"`
}

func viewVisit(v fleet.Visit) visitView {
	out := visitView{v.Site, v.Due, make([]visitItemView, len(v.Items))}
	for i, item := range v.Items {
		out.Items[i] = visitItemView(item)
	}
	return out
}
