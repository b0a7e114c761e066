package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// testTimeout bounds how long a target may take to answer a test.
const testTimeout = 30 * time.Second

var deliveryStatuses = []fleet.DeliveryStatus{fleet.DeliveryPending, fleet.DeliveryDelivered, fleet.DeliveryGaveUp}

func (s *Server) listTargets(c echo.Context) error {
	return pageOf(c, s.cfg.Notifications.Targets(), "", viewTarget)
}

func (s *Server) createTarget(c echo.Context) error {
	var req struct {
		Name     string           `json:"name"`
		Kind     fleet.TargetKind `json:"kind"`
		URL      string           `json:"url"`
		Secret   string           `json:"secret"`
		Disabled bool             `json:"disabled"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	made, err := s.cfg.Notifications.CreateTarget(c.Request().Context(), fleet.NotificationTarget{
		Name: req.Name, Kind: req.Kind, URL: req.URL, Secret: req.Secret, Disabled: req.Disabled,
	}, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, viewTarget(made))
}

func (s *Server) changeTarget(c echo.Context) error {
	var req struct {
		URL      *string `json:"url"`
		Secret   *string `json:"secret"`
		Disabled *bool   `json:"disabled"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	changed, err := s.cfg.Notifications.ChangeTarget(c.Request().Context(), c.Param("id"), fleet.NotificationTargetPatch(req), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewTarget(changed))
}

func (s *Server) deleteTarget(c echo.Context) error {
	if err := s.cfg.Notifications.DeleteTarget(c.Request().Context(), c.Param("id"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) testTarget(c echo.Context) error {
	var req struct {
		ID     string           `json:"id"`
		Name   string           `json:"name"`
		Kind   fleet.TargetKind `json:"kind"`
		URL    string           `json:"url"`
		Secret string           `json:"secret"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), testTimeout)
	defer cancel()
	err := s.cfg.Notifications.Test(ctx, fleet.NotificationTarget{ID: req.ID, Name: req.Name, Kind: req.Kind, URL: req.URL, Secret: req.Secret})
	var invalid *fleet.ValidationError
	switch {
	case err == nil:
		return c.NoContent(http.StatusNoContent)
	case errors.As(err, &invalid), errors.Is(err, fleet.ErrNotFound), c.Request().Context().Err() != nil:
		return err
	}
	return echo.NewHTTPError(http.StatusBadGateway, fmt.Sprintf("the target did not take the sample: %v", err))
}

func (s *Server) getRoutes(c echo.Context) error {
	return c.JSON(http.StatusOK, viewRoutes(s.cfg.Notifications.Routes()))
}

func (s *Server) setRoutes(c echo.Context) error {
	var req struct {
		Version *int64      `json:"version"`
		Routes  []routeView `json:"routes"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	var v fleet.Violations
	if req.Version == nil {
		v.Add("version", "is missing; give the one of the routes that are changed, so that nothing unseen is overwritten")
	}
	if req.Routes == nil {
		v.Add("routes", "are missing; an empty list is for telling nobody")
	}
	routes := make([]fleet.NotificationRoute, len(req.Routes))
	for i := range req.Routes {
		routes[i] = req.Routes[i].route(&v, fmt.Sprintf("routes[%d].", i))
	}
	if err := v.Err(); err != nil {
		return err
	}
	set, err := s.cfg.Notifications.SetRoutes(c.Request().Context(), routes, *req.Version, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewRoutes(set))
}

func (s *Server) listDeliveries(c echo.Context) error {
	status, err := oneOf("status", c.QueryParam("status"), deliveryStatuses)
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	var before string
	if err := cursor(c, &before); err != nil {
		return err
	}
	f := fleet.DeliveryFilter{Target: c.QueryParam("target"), Status: status, AlertID: c.QueryParam("alert")}
	deliveries, err := s.cfg.Notifications.Deliveries(c.Request().Context(), f, before, max+1)
	if err != nil {
		return err
	}
	next := ""
	if len(deliveries) > max {
		deliveries = deliveries[:max]
		next = deliveries[max-1].ID
	}
	return pageOf(c, deliveries, next, viewDelivery)
}

func (s *Server) replayDelivery(c echo.Context) error {
	d, err := s.cfg.Notifications.Replay(c.Request().Context(), c.Param("id"), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, viewDelivery(d))
}

type targetView struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Kind      fleet.TargetKind `json:"kind"`
	URL       string           `json:"url"`
	Disabled  bool             `json:"disabled"`
	Problem   string           `json:"problem,omitempty"`
	Since     *time.Time       `json:"since,omitempty"`
	UpdatedAt time.Time        `json:"updated_at"`
}

func viewTarget(t fleet.NotificationTarget) targetView {
	return targetView{t.ID, t.Name, t.Kind, t.URL, t.Disabled, t.Problem, t.Since, t.UpdatedAt}
}

// routeView is a route as it is shown and as it is written.
type routeView struct {
	Name           string           `json:"name"`
	Severities     []fleet.Severity `json:"severities"`
	Sites          []string         `json:"sites"`
	Matchers       []fleet.Matcher  `json:"matchers"`
	Schedule       *fleet.Schedule  `json:"schedule,omitempty"`
	Targets        []string         `json:"targets"`
	GroupBy        []string         `json:"group_by"`
	GroupWait      string           `json:"group_wait,omitempty"`
	GroupInterval  string           `json:"group_interval,omitempty"`
	RepeatInterval string           `json:"repeat_interval,omitempty"`
	Resolved       bool             `json:"resolved"`
	Escalations    []escalationView `json:"escalations"`
	Continue       bool             `json:"continue"`
}

type escalationView struct {
	After   string   `json:"after"`
	Targets []string `json:"targets"`
}

// route returns the route and adds the faults of its durations to v; what else may be wrong is looked at by those
// who keep it.
func (r *routeView) route(v *fleet.Violations, place string) fleet.NotificationRoute {
	out := fleet.NotificationRoute{
		Name: r.Name, Severities: r.Severities, Sites: r.Sites, Matchers: r.Matchers, Schedule: r.Schedule, Targets: r.Targets, GroupBy: r.GroupBy,
		GroupWait: wait(v, place+"group_wait", r.GroupWait), GroupInterval: wait(v, place+"group_interval", r.GroupInterval),
		RepeatInterval: wait(v, place+"repeat_interval", r.RepeatInterval), Resolved: r.Resolved, Continue: r.Continue,
	}
	for i, e := range r.Escalations {
		out.Escalations = append(out.Escalations, fleet.Escalation{
			After: wait(v, fmt.Sprintf("%sescalations[%d].after", place, i), e.After), Targets: e.Targets,
		})
	}
	return out
}

func viewRoute(r fleet.NotificationRoute) routeView {
	v := routeView{
		r.Name, listed(r.Severities), listed(r.Sites), listed(r.Matchers), r.Schedule, listed(r.Targets), listed(r.GroupBy), waitText(r.GroupWait),
		waitText(r.GroupInterval), waitText(r.RepeatInterval), r.Resolved, make([]escalationView, len(r.Escalations)), r.Continue,
	}
	for i, e := range r.Escalations {
		v.Escalations[i] = escalationView{waitText(e.After), listed(e.Targets)}
	}
	return v
}

type routesView struct {
	Version   int64       `json:"version"`
	Routes    []routeView `json:"routes"`
	UpdatedAt *time.Time  `json:"updated_at,omitempty"`
	UpdatedBy string      `json:"updated_by,omitempty"`
}

func viewRoutes(r fleet.NotificationRoutes) routesView {
	v := routesView{r.Version, make([]routeView, len(r.Routes)), optional(r.UpdatedAt), r.UpdatedBy}
	for i, route := range r.Routes {
		v.Routes[i] = viewRoute(route)
	}
	return v
}

type deliveryView struct {
	ID         string               `json:"id"`
	Target     string               `json:"target"`
	Route      string               `json:"route"`
	Status     fleet.DeliveryStatus `json:"status"`
	Attempts   int                  `json:"attempts"`
	Error      string               `json:"error,omitempty"`
	CreatedAt  time.Time            `json:"created_at"`
	UpdatedAt  time.Time            `json:"updated_at"`
	NextAt     *time.Time           `json:"next_at,omitempty"`
	GiveUpAt   *time.Time           `json:"give_up_at,omitempty"`
	IncidentID string               `json:"incident_id,omitempty"`
	AlertIDs   []string             `json:"alert_ids"`
	Payload    json.RawMessage      `json:"payload,omitempty"`
}

func viewDelivery(d fleet.Delivery) deliveryView {
	return deliveryView{
		d.ID, d.Target, d.Route, d.Status, d.Attempts, d.Error, d.CreatedAt, d.UpdatedAt, d.NextAt, optional(d.GiveUpAt), d.IncidentID,
		listed(d.AlertIDs), d.Payload,
	}
}
