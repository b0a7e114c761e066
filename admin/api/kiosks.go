package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// pair is a registered kiosk with what is so of it right now.
type pair struct {
	kiosk *fleet.Kiosk
	live  *fleet.Live
}

// place is a kiosk's place in the order of the list: worst first, then longest so, then by serial.
type place struct {
	Severity int    `json:"v"`
	Since    int64  `json:"t"` // Unix milliseconds; never seen sorts last among equals
	Serial   string `json:"s"`
}

func (p pair) place(bySerial bool) place {
	if bySerial {
		return place{Serial: p.kiosk.Serial}
	}
	since := p.live.VerdictSince
	if since.IsZero() {
		since = time.UnixMilli(1 << 52)
	}
	return place{p.live.Verdict.Severity(), since.UnixMilli(), p.kiosk.Serial}
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Since, b.Since), strings.Compare(a.Serial, b.Serial))
}

// filter is what a list may be narrowed to.
type filter struct {
	site, tag, text string
	presence        fleet.Presence
	verdict         fleet.Verdict
}

func (f filter) matches(p pair) bool {
	k := p.kiosk
	switch {
	case f.site != "" && k.Site != f.site,
		f.tag != "" && !slices.Contains(k.Tags, f.tag),
		f.presence != "" && p.live.Presence != f.presence,
		f.verdict != "" && p.live.Verdict != f.verdict:
		return false
	case f.text == "":
		return true
	}
	contains := func(s string) bool { return strings.Contains(strings.ToLower(s), f.text) }
	return contains(k.Serial) || contains(k.Site) || contains(k.Model) || slices.ContainsFunc(k.Tags, contains)
}

func (s *Server) pairs(f filter) []pair {
	var out []pair
	for _, k := range s.cfg.Registry.All() {
		if p := (pair{k, s.cfg.Presence.Get(k.Serial)}); f.matches(p) {
			out = append(out, p)
		}
	}
	return out
}

func (s *Server) listKiosks(c echo.Context) error {
	max, err := limit(c)
	if err != nil {
		return err
	}
	f := filter{site: c.QueryParam("site"), tag: c.QueryParam("tag"), text: strings.ToLower(strings.TrimSpace(c.QueryParam("q")))}
	if f.presence, err = oneOf("presence", c.QueryParam("presence"), fleet.Presences()); err != nil {
		return err
	}
	if f.verdict, err = oneOf("verdict", c.QueryParam("verdict"), fleet.Verdicts()); err != nil {
		return err
	}
	order, err := oneOf("sort", c.QueryParam("sort"), []string{"severity", "serial"})
	if err != nil {
		return err
	}
	var after *place
	if err := cursor(c, &after); err != nil {
		return err
	}
	found := s.pairs(f)
	bySerial := order == "serial"
	slices.SortFunc(found, func(a, b pair) int { return a.place(bySerial).compare(b.place(bySerial)) })
	total := len(found)
	if after != nil {
		start, _ := slices.BinarySearchFunc(found, *after, func(p pair, at place) int {
			if p.place(bySerial).compare(at) <= 0 {
				return -1
			}
			return 1
		})
		found = found[start:]
	}
	out := page[kioskView]{Items: []kioskView{}, Total: &total}
	if len(found) > max {
		found = found[:max]
		out.NextCursor = makeCursor(found[max-1].place(bySerial))
	}
	for _, p := range found {
		out.Items = append(out.Items, viewKiosk(p.kiosk, p.live))
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) summary(c echo.Context) error {
	out := summaryView{Verdicts: map[fleet.Verdict]int{}, Presences: map[fleet.Presence]int{}}
	for _, v := range fleet.Verdicts() {
		out.Verdicts[v] = 0
	}
	for _, p := range fleet.Presences() {
		out.Presences[p] = 0
	}
	for _, p := range s.pairs(filter{site: c.QueryParam("site")}) {
		out.Total++
		out.Verdicts[p.live.Verdict]++
		out.Presences[p.live.Presence]++
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) sites(c echo.Context) error {
	count := map[string]int{}
	for _, k := range s.cfg.Registry.All() {
		count[k.Site]++
	}
	out := page[siteView]{Items: []siteView{}}
	for name, n := range count {
		out.Items = append(out.Items, siteView{name, n})
	}
	slices.SortFunc(out.Items, func(a, b siteView) int { return strings.Compare(a.Name, b.Name) })
	return c.JSON(http.StatusOK, out)
}

func (s *Server) registerKiosk(c echo.Context) error {
	var req struct {
		Serial   string          `json:"serial"`
		Site     string          `json:"site"`
		Tags     []string        `json:"tags"`
		Model    string          `json:"model"`
		Timezone string          `json:"timezone"`
		Location *fleet.Location `json:"location"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	k, err := s.cfg.Registry.Add(c.Request().Context(), fleet.Kiosk{
		Serial: req.Serial, Site: req.Site, Tags: req.Tags, Model: req.Model, Timezone: req.Timezone, Location: req.Location,
	}, principal(c).Name)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", Prefix+"/kiosks/"+k.Serial)
	return c.JSON(http.StatusCreated, s.view(k))
}

func (s *Server) getKiosk(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	refused, err := s.cfg.History.Refusals(c.Request().Context(), k.Serial)
	if err != nil {
		return err
	}
	v := s.view(k)
	v.Ledger = viewLedger(s.cfg.Presence.Ledger(k.Serial), refused)
	return c.JSON(http.StatusOK, v)
}

func (s *Server) changeKiosk(c echo.Context) error {
	var req struct {
		Site     *string         `json:"site"`
		Tags     *[]string       `json:"tags"`
		Model    *string         `json:"model"`
		Timezone *string         `json:"timezone"`
		Location *fleet.Location `json:"location"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	k, err := s.cfg.Registry.Change(c.Request().Context(), c.Param("serial"), fleet.KioskPatch(req), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.view(k))
}

func (s *Server) revokeKiosk(c echo.Context) error {
	k, err := s.cfg.Registry.Revoke(c.Request().Context(), c.Param("serial"), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.view(k))
}

func (s *Server) deleteKiosk(c echo.Context) error {
	if err := s.cfg.Registry.Delete(c.Request().Context(), c.Param("serial"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) view(k *fleet.Kiosk) kioskView { return viewKiosk(k, s.cfg.Presence.Get(k.Serial)) }

func (s *Server) listEvents(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	var before struct {
		At time.Time `json:"t"`
		ID int64     `json:"i"`
	}
	if err := cursor(c, &before); err != nil {
		return err
	}
	events, err := s.cfg.History.Events(c.Request().Context(), k.Serial, before.At, before.ID, max+1)
	if err != nil {
		return err
	}
	out := page[eventView]{Items: []eventView{}}
	if len(events) > max {
		events = events[:max]
		before.At, before.ID = events[max-1].At, events[max-1].ID
		out.NextCursor = makeCursor(before)
	}
	for _, e := range events {
		out.Items = append(out.Items, viewEvent(e))
	}
	return c.JSON(http.StatusOK, out)
}
