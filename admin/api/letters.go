package api

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// letterReason is what a reason looks like; which ones there are is ingest's affair.
var letterReason = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// letterFilter reads serial and reason. A letter's kiosk may be deleted, so any serial will do.
func letterFilter(c echo.Context) (fleet.DeadLetterFilter, error) {
	f := fleet.DeadLetterFilter{Serial: c.QueryParam("serial"), Reason: c.QueryParam("reason")}
	var v fleet.Violations
	if f.Serial != "" {
		if err := protocol.CheckSerial(f.Serial); err != nil {
			v.Add("serial", "%v", err)
		}
	}
	if f.Reason != "" && !letterReason.MatchString(f.Reason) {
		v.Add("reason", "%q is not a reason; they look like malformed", f.Reason)
	}
	return f, v.Err()
}

// manyFilter reads the filter of a call that acts on many letters, strictly: what it cannot read must not
// make it act on more.
func manyFilter(c echo.Context, more ...string) (fleet.DeadLetterFilter, error) {
	f, err := letterFilter(c)
	if err != nil {
		return f, err
	}
	var v fleet.Violations
	known := append([]string{"serial", "reason", "all", "through"}, more...)
	for name, values := range c.QueryParams() {
		switch {
		case !slices.Contains(known, name):
			v.Add(name, "is not a known parameter")
		case len(values) > 1:
			v.Add(name, "is given %d times", len(values))
		case values[0] == "" && name != "cursor":
			v.Add(name, "is empty")
		}
	}
	all, narrowed := c.QueryParam("all"), f.Serial != "" || f.Reason != ""
	switch {
	case all != "" && all != "true" && all != "false":
		v.Add("all", "%q is neither true nor false", all)
	case all == "true" && narrowed:
		v.Add("all", "contradicts serial or reason")
	case all != "true" && !narrowed:
		v.Add("serial", "is missing; give serial, reason, or all=true")
	}
	if text := c.QueryParam("through"); text != "" {
		if f.Through, err = strconv.ParseInt(text, 10, 64); err != nil || f.Through < 1 {
			v.Add("through", "%q is not an id", text)
		}
	}
	return f, v.Err()
}

// letterID reads the id of the path; one that is none is not found.
func letterID(c echo.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, echo.NewHTTPError(http.StatusNotFound, "there is no such dead letter")
	}
	return id, nil
}

func (s *Server) listLetters(c echo.Context) error {
	f, err := letterFilter(c)
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	var before int64
	if err := cursor(c, &before); err != nil {
		return err
	}
	ctx := c.Request().Context()
	// The reasons are offered as filters, so the one that is chosen must not hide the others.
	reasons, err := s.cfg.Letters.CountDeadLetters(ctx, fleet.DeadLetterFilter{Serial: f.Serial})
	if err != nil {
		return err
	}
	letters, err := s.cfg.Letters.DeadLetters(ctx, f, before, max+1)
	if err != nil {
		return err
	}
	out := letterPage{Items: []letterView{}, Reasons: reasons}
	for reason, n := range reasons {
		if f.Reason == "" || f.Reason == reason {
			out.Total += n
		}
	}
	if len(letters) > max {
		letters = letters[:max]
		out.NextCursor = makeCursor(letters[max-1].ID)
	}
	for _, d := range letters {
		out.Items = append(out.Items, s.viewLetter(d))
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) getLetter(c echo.Context) error {
	id, err := letterID(c)
	if err != nil {
		return err
	}
	d, err := s.cfg.Letters.DeadLetter(c.Request().Context(), id)
	if err != nil {
		return err
	}
	out := fullLetterView{letterView: s.viewLetter(d), Payload: string(d.Payload), Encoding: "text"}
	if !utf8.Valid(d.Payload) {
		out.Payload, out.Encoding = base64.StdEncoding.EncodeToString(d.Payload), "base64"
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) replayLetter(c echo.Context) error {
	id, err := letterID(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Settling.Replay(c.Request().Context(), id, principal(c).Name); err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, replayedView{Replayed: 1})
}

func (s *Server) replayLetters(c echo.Context) error {
	f, err := manyFilter(c, "cursor")
	if err != nil {
		return err
	}
	var after int64
	if err := cursor(c, &after); err != nil {
		return err
	}
	settled, err := s.cfg.Settling.ReplayMany(c.Request().Context(), f, after, principal(c).Name)
	if err != nil {
		return err
	}
	out := replayedView{Replayed: settled.Replayed, Refused: settled.Refused}
	if settled.Next > 0 {
		out.NextCursor = makeCursor(settled.Next)
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) discardLetter(c echo.Context) error {
	id, err := letterID(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Settling.Discard(c.Request().Context(), id, principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) discardLetters(c echo.Context) error {
	f, err := manyFilter(c)
	if err != nil {
		return err
	}
	n, err := s.cfg.Settling.DiscardMany(c.Request().Context(), f, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, discardedView{n})
}

func (s *Server) intake(c echo.Context) error {
	total, err := s.cfg.Letters.TotalDeadLetters(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewIntake(s.cfg.Intake.Status(), total))
}

type letterView struct {
	ID         string    `json:"id"`
	Serial     string    `json:"serial"`
	Registered bool      `json:"registered"`
	Site       string    `json:"site"`
	Channel    string    `json:"channel"`
	Reason     string    `json:"reason"`
	Detail     string    `json:"detail"`
	ReceivedAt time.Time `json:"received_at"`
	Size       int       `json:"size"`
	Truncated  bool      `json:"truncated"`
}

func (s *Server) viewLetter(d fleet.DeadLetter) letterView {
	_, err := s.cfg.Registry.Get(d.Serial)
	return letterView{
		ID: strconv.FormatInt(d.ID, 10), Serial: d.Serial, Registered: err == nil, Site: d.Site, Channel: string(d.Channel),
		Reason: d.Reason, Detail: strings.ToValidUTF8(d.Detail, "\uFFFD"), ReceivedAt: d.ReceivedAt, Size: d.Size, Truncated: d.Truncated,
	}
}

type fullLetterView struct {
	letterView
	Payload  string `json:"payload"`
	Encoding string `json:"payload_encoding"`
}

type letterPage struct {
	Items      []letterView   `json:"items"`
	Total      int            `json:"total"`
	Reasons    map[string]int `json:"reasons"`
	NextCursor string         `json:"next_cursor,omitempty"`
}

type replayedView struct {
	Replayed   int    `json:"replayed"`
	Refused    int    `json:"refused"`
	NextCursor string `json:"next_cursor,omitempty"`
}

type discardedView struct {
	Discarded int `json:"discarded"`
}

// reasonConflict is the reason of readings that share their time with another one.
const reasonConflict = "conflict"

type ledgerView struct {
	Since       *time.Time    `json:"since,omitempty"`
	Received    uint64        `json:"received"`
	Missing     uint64        `json:"missing"`
	Duplicated  uint64        `json:"duplicated"`
	Conflicting uint64        `json:"conflicting"`
	Dropped     uint64        `json:"dropped"`
	Refused     []refusedView `json:"refused"`
}

type refusedView struct {
	Reason string    `json:"reason"`
	Count  uint64    `json:"count"`
	LastAt time.Time `json:"last_at"`
}

func viewLedger(l fleet.LedgerCounts, refused []fleet.Refusals) *ledgerView {
	v := &ledgerView{
		Since: optional(l.Since), Received: l.Received, Missing: l.Missing, Duplicated: l.Duplicated, Dropped: l.Dropped,
		Refused: make([]refusedView, len(refused)),
	}
	for i, r := range refused {
		v.Refused[i] = refusedView(r)
		if r.Reason == reasonConflict {
			v.Conflicting = r.Count
		}
	}
	return v
}

type intakeView struct {
	Accepting   bool           `json:"accepting"`
	Refusal     string         `json:"refusal,omitempty"`
	Journal     journalView    `json:"journal"`
	Consumers   []consumerView `json:"consumers"`
	DeadLetters int            `json:"dead_letters"`
}

type journalView struct {
	Bytes    int64   `json:"bytes"`
	MaxBytes int64   `json:"max_bytes"`
	Fill     float64 `json:"fill"`
}

type consumerView struct {
	Name       string     `json:"name"`
	Behind     uint64     `json:"behind_records"`
	LagSeconds float64    `json:"lag_seconds"`
	Problem    string     `json:"problem,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
}

func viewIntake(s fleet.IntakeStatus, letters int) intakeView {
	v := intakeView{
		Accepting: s.Accepting, Refusal: s.Refusal, Journal: journalView{Bytes: s.JournalBytes, MaxBytes: s.JournalMax},
		Consumers: make([]consumerView, len(s.Consumers)), DeadLetters: letters,
	}
	if s.JournalMax > 0 {
		v.Journal.Fill = min(float64(s.JournalBytes)/float64(s.JournalMax), 1)
	}
	for i, c := range s.Consumers {
		v.Consumers[i] = consumerView{Name: c.Name, Behind: c.Behind, LagSeconds: max(c.Lag, 0).Seconds(), Problem: c.Problem, Since: optional(c.Since)}
	}
	return v
}
