package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// care is what people do to an alert or an incident; the calls are the same for both.
type care[T, V any] struct {
	get           func(ctx context.Context, id string) (T, error)
	timeline      func(ctx context.Context, id string, before int64, limit int) ([]fleet.AlertEvent, error)
	acknowledge   func(ctx context.Context, id, comment, actor string) (T, error)
	unacknowledge func(ctx context.Context, id, actor string) (T, error)
	assign        func(ctx context.Context, id, assignee, actor string) (T, error)
	snooze        func(ctx context.Context, id string, until time.Time, comment, actor string) (T, error)
	comment       func(ctx context.Context, id, comment, actor string) error
	resolve       func(ctx context.Context, id, comment, actor string) (T, error)
	view          func(T) V
	now           func() time.Time
}

func (s *Server) alertCare() care[fleet.Alert, alertView] {
	a := s.cfg.Alerts
	return care[fleet.Alert, alertView]{
		a.Alert, a.AlertTimeline, a.Acknowledge, a.Unacknowledge, a.Assign, a.Snooze, a.Comment, a.Resolve, viewAlert, s.cfg.Now,
	}
}

func (s *Server) incidentCare() care[fleet.Incident, incidentView] {
	a := s.cfg.Alerts
	return care[fleet.Incident, incidentView]{
		a.Incident, a.IncidentTimeline, a.AcknowledgeIncident, a.UnacknowledgeIncident, a.AssignIncident, a.SnoozeIncident, a.CommentIncident,
		a.ResolveIncident, viewIncident, s.cfg.Now,
	}
}

// routes adds the calls below base. Technicians take care; that something is over is for an operator to say.
func (a care[T, V]) routes(base string, viewer, technician, operator adder) {
	viewer(http.MethodGet, base+"/:id", a.one)
	viewer(http.MethodGet, base+"/:id/timeline", a.story)
	technician(http.MethodPost, base+"/:id/acknowledge", a.acknowledged)
	technician(http.MethodPost, base+"/:id/unacknowledge", a.unacknowledged)
	technician(http.MethodPost, base+"/:id/assign", a.assigned)
	technician(http.MethodPost, base+"/:id/snooze", a.snoozed)
	technician(http.MethodPost, base+"/:id/comment", a.commented)
	operator(http.MethodPost, base+"/:id/resolve", a.resolved)
}

// answer writes what an action led to.
func (a care[T, V]) answer(c echo.Context, done T, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.view(done))
}

func (a care[T, V]) one(c echo.Context) error {
	found, err := a.get(c.Request().Context(), c.Param("id"))
	return a.answer(c, found, err)
}

func (a care[T, V]) story(c echo.Context) error {
	max, err := limit(c)
	if err != nil {
		return err
	}
	var before int64
	if err := cursor(c, &before); err != nil {
		return err
	}
	events, err := a.timeline(c.Request().Context(), c.Param("id"), before, max+1)
	if err != nil {
		return err
	}
	out := page[alertEventView]{Items: []alertEventView{}}
	if len(events) > max {
		events = events[:max]
		out.NextCursor = makeCursor(events[max-1].ID)
	}
	for _, e := range events {
		out.Items = append(out.Items, viewAlertEvent(e))
	}
	return c.JSON(http.StatusOK, out)
}

type commentRequest struct {
	Comment string `json:"comment"`
}

func (a care[T, V]) acknowledged(c echo.Context) error {
	var req commentRequest
	if c.Request().ContentLength != 0 { // most people have nothing to add
		if err := body(c, &req); err != nil {
			return err
		}
	}
	done, err := a.acknowledge(c.Request().Context(), c.Param("id"), req.Comment, principal(c).Name)
	return a.answer(c, done, err)
}

func (a care[T, V]) unacknowledged(c echo.Context) error {
	done, err := a.unacknowledge(c.Request().Context(), c.Param("id"), principal(c).Name)
	return a.answer(c, done, err)
}

func (a care[T, V]) assigned(c echo.Context) error {
	var req struct {
		Assignee *string `json:"assignee"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	if req.Assignee == nil {
		return fleet.Invalid("assignee", "is missing; an empty one takes it from whoever has it")
	}
	done, err := a.assign(c.Request().Context(), c.Param("id"), *req.Assignee, principal(c).Name)
	return a.answer(c, done, err)
}

func (a care[T, V]) snoozed(c echo.Context) error {
	var req struct {
		Until   string `json:"until"`
		Comment string `json:"comment"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	var until time.Time
	switch req.Until {
	case "":
		return fleet.Invalid("until", "is missing; give a time such as +2h, or now to wake it")
	case "now":
	default:
		var err error
		if until, err = instant("until", req.Until, a.now().UTC(), until); err != nil {
			return err
		}
	}
	done, err := a.snooze(c.Request().Context(), c.Param("id"), until, req.Comment, principal(c).Name)
	return a.answer(c, done, err)
}

func (a care[T, V]) commented(c echo.Context) error {
	var req commentRequest
	if err := body(c, &req); err != nil {
		return err
	}
	if err := a.comment(c.Request().Context(), c.Param("id"), req.Comment, principal(c).Name); err != nil {
		return err
	}
	return a.one(c)
}

func (a care[T, V]) resolved(c echo.Context) error {
	var req commentRequest
	if err := body(c, &req); err != nil {
		return err
	}
	done, err := a.resolve(c.Request().Context(), c.Param("id"), req.Comment, principal(c).Name)
	return a.answer(c, done, err)
}
