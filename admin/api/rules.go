package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

const (
	// backtestTimeout bounds how long a backtest may take.
	backtestTimeout = 5 * time.Minute
	// defaultBacktest is how far back a backtest goes unless the request says otherwise.
	defaultBacktest = 24 * time.Hour
	// maxSerials bounds how many kiosks a backtest may name.
	maxSerials = 5000
)

// ruleWords are names of calls beside the rules; a rule of that name could not be asked for.
var ruleWords = []string{"check", "backtest", "vocabulary"}

// ruleRequest is a rule as people write it. Version is of a change only.
type ruleRequest struct {
	Name      string            `json:"name"`
	Summary   string            `json:"summary"`
	Severity  fleet.Severity    `json:"severity"`
	Condition string            `json:"condition"`
	Clear     string            `json:"clear"`
	For       string            `json:"for"`
	ClearFor  string            `json:"clear_for"`
	NoData    string            `json:"no_data"`
	Text      string            `json:"text"`
	Labels    map[string]string `json:"labels"`
	Scope     fleet.RuleScope   `json:"scope"`
	Schedule  *fleet.Schedule   `json:"schedule"`
	Security  bool              `json:"security"`
	Disabled  bool              `json:"disabled"`
	Version   int64             `json:"version"`
}

// rule returns the rule; whether its expressions mean something is not looked at.
func (r *ruleRequest) rule() (fleet.Rule, error) {
	var v fleet.Violations
	out := fleet.Rule{
		Name: r.Name, Summary: r.Summary, Severity: r.Severity, Condition: r.Condition, Clear: r.Clear,
		For: wait(&v, "for", r.For), ClearFor: wait(&v, "clear_for", r.ClearFor), NoData: wait(&v, "no_data", r.NoData),
		Text: r.Text, Labels: r.Labels, Scope: r.Scope, Schedule: r.Schedule, Security: r.Security, Disabled: r.Disabled,
		Origin: fleet.OriginUser,
	}
	return out, v.Err()
}

// wait reads a duration that may be none: empty or 0s.
func wait(v *fleet.Violations, field, text string) time.Duration {
	if text == "" || text == "0" || text == "0s" {
		return 0
	}
	d, err := duration(text)
	if err != nil {
		v.Add(field, "%v", err)
	}
	return d
}

// waitText writes a duration as people do, 5m rather than 5m0s; none is empty.
func waitText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (s *Server) listRules(c echo.Context) error {
	rules, err := s.cfg.Rules.Rules(c.Request().Context())
	if err != nil {
		return err
	}
	return pageOf(c, rules, "", viewRule)
}

func (s *Server) getRule(c echo.Context) error {
	rule, err := s.cfg.Rules.Rule(c.Request().Context(), c.Param("name"))
	return answerRule(c, rule, err)
}

func answerRule(c echo.Context, rule fleet.Rule, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewRule(rule))
}

func (s *Server) listRuleVersions(c echo.Context) error {
	versions, err := s.cfg.Rules.Versions(c.Request().Context(), c.Param("name"))
	if err != nil {
		return err
	}
	return pageOf(c, versions, "", viewRule)
}

func (s *Server) createRule(c echo.Context) error {
	var req ruleRequest
	if err := body(c, &req); err != nil {
		return err
	}
	rule, err := req.rule()
	if err != nil {
		return err
	}
	if slices.Contains(ruleWords, rule.Name) {
		return fleet.Invalid("name", "%q is taken by a call of the API; choose another", rule.Name)
	}
	made, err := s.cfg.Rules.Create(c.Request().Context(), rule, principal(c).Name)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", Prefix+"/alert-rules/"+made.Name)
	return c.JSON(http.StatusCreated, viewRule(made))
}

func (s *Server) changeRule(c echo.Context) error {
	var req ruleRequest
	if err := body(c, &req); err != nil {
		return err
	}
	name := c.Param("name")
	if req.Name != "" && req.Name != name {
		return fleet.Invalid("name", "is %s in the path: a rule keeps its name; make another and delete this one", name)
	}
	req.Name = name
	if req.Version == 0 {
		return fleet.Invalid("version", "is missing; give the one of the rule that is changed, so that nothing unseen is overwritten")
	}
	rule, err := req.rule()
	if err != nil {
		return err
	}
	rule, err = s.cfg.Rules.Change(c.Request().Context(), rule, req.Version, principal(c).Name)
	return answerRule(c, rule, err)
}

func (s *Server) deleteRule(c echo.Context) error {
	if err := s.cfg.Rules.Delete(c.Request().Context(), c.Param("name"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// switchRule returns the handler that switches a rule on or off.
func (s *Server) switchRule(enabled bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		rule, err := s.cfg.Rules.Switch(c.Request().Context(), c.Param("name"), enabled, principal(c).Name)
		return answerRule(c, rule, err)
	}
}

func (s *Server) checkRule(c echo.Context) error {
	var req ruleRequest
	if err := body(c, &req); err != nil {
		return err
	}
	rule, err := req.rule()
	if err != nil {
		return err
	}
	if err := s.cfg.Rules.Check(rule); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) vocabulary(c echo.Context) error {
	return pageOf(c, s.cfg.Rules.Vocabulary(), "", func(w Word) wordView { return wordView(w) })
}

func (s *Server) backtest(c echo.Context) error {
	var req struct {
		Rule    ruleRequest `json:"rule"`
		From    string      `json:"from"`
		To      string      `json:"to"`
		Serials []string    `json:"serials"`
	}
	if err := bodyUpTo(c, maxQueryBodyBytes, &req); err != nil {
		return err
	}
	if len(req.Serials) > maxSerials {
		return fleet.Invalid("serials", "are %d, at most %d are allowed", len(req.Serials), maxSerials)
	}
	rule, err := req.Rule.rule()
	if err != nil {
		return err
	}
	from, to, err := timespan(req.From, req.To, s.cfg.Now().UTC(), defaultBacktest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), backtestTimeout)
	defer cancel()
	result, err := s.cfg.Backtest.Backtest(ctx, fleet.BacktestRequest{Rule: rule, From: from, To: to, Serials: req.Serials})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: more than %s; ask for a shorter time or fewer kiosks", err, waitText(backtestTimeout))
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewBacktest(result))
}

type ruleView struct {
	Name      string            `json:"name"`
	Summary   string            `json:"summary"`
	Severity  fleet.Severity    `json:"severity"`
	Condition string            `json:"condition"`
	Clear     string            `json:"clear,omitempty"`
	For       string            `json:"for,omitempty"`
	ClearFor  string            `json:"clear_for,omitempty"`
	NoData    string            `json:"no_data,omitempty"`
	Text      string            `json:"text,omitempty"`
	Labels    map[string]string `json:"labels"`
	Scope     fleet.RuleScope   `json:"scope"`
	Schedule  *fleet.Schedule   `json:"schedule,omitempty"`
	Security  bool              `json:"security"`
	Disabled  bool              `json:"disabled"`
	Origin    fleet.RuleOrigin  `json:"origin"`
	Version   int64             `json:"version"`
	UpdatedAt *time.Time        `json:"updated_at,omitempty"`
	UpdatedBy string            `json:"updated_by,omitempty"`
}

func viewRule(r fleet.Rule) ruleView {
	return ruleView{
		Name: r.Name, Summary: r.Summary, Severity: r.Severity, Condition: r.Condition, Clear: r.Clear, For: waitText(r.For),
		ClearFor: waitText(r.ClearFor), NoData: waitText(r.NoData), Text: r.Text, Labels: labelled(r.Labels), Scope: r.Scope,
		Schedule: r.Schedule, Security: r.Security, Disabled: r.Disabled, Origin: r.Origin, Version: r.Version,
		UpdatedAt: optional(r.UpdatedAt), UpdatedBy: r.UpdatedBy,
	}
}

type wordView struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Unit  string   `json:"unit,omitempty"`
	Text  string   `json:"text"`
	Words []string `json:"words,omitempty"`
}

type backtestView struct {
	From          time.Time   `json:"from"`
	To            time.Time   `json:"to"`
	Source        string      `json:"source"`
	Approximate   []string    `json:"approximate"`
	Kiosks        int         `json:"kiosks"`
	Readings      int         `json:"readings"`
	Alerts        []alertView `json:"alerts"`
	Truncated     bool        `json:"truncated"`
	FiringSeconds float64     `json:"firing_seconds"`
}

func viewBacktest(r fleet.BacktestResult) backtestView {
	v := backtestView{r.From, r.To, r.Source, listed(r.Approximate), r.Kiosks, r.Readings, make([]alertView, len(r.Alerts)), r.Truncated, r.FiringSeconds}
	for i, a := range r.Alerts {
		v.Alerts[i] = viewAlert(a)
	}
	return v
}
