package api

import (
	"net/http"

	"kioskfleet/admin/fleet"
)

// alertRoutes adds the calls of alerts and what belongs to them, of those parts that are there.
func (s *Server) alertRoutes(viewer, operator, admin adder) {
	if s.cfg.Alerts != nil {
		technician := s.below(s.authenticate, s.sameOrigin, s.require(fleet.RoleTechnician))
		viewer(http.MethodGet, "/alerts", s.listAlerts)
		viewer(http.MethodGet, "/alerts/summary", s.summariseAlerts)
		viewer(http.MethodGet, "/alert-statistics", s.alertStatistics)
		s.alertCare().routes("/alerts", viewer, technician, operator)
		viewer(http.MethodGet, "/incidents", s.listIncidents)
		s.incidentCare().routes("/incidents", viewer, technician, operator)
		viewer(http.MethodGet, "/silences", s.listSilences)
		viewer(http.MethodPost, "/silences/preview", s.previewSilence)
		operator(http.MethodPost, "/silences", s.createSilence)
		operator(http.MethodDelete, "/silences/:id", s.endSilence)
		viewer(http.MethodGet, "/maintenance-windows", s.listMaintenance)
		operator(http.MethodPost, "/maintenance-windows", s.createMaintenance)
		operator(http.MethodDelete, "/maintenance-windows/:id", s.deleteMaintenance)
	}
	if s.cfg.Rules != nil {
		viewer(http.MethodGet, "/alert-rules", s.listRules)
		viewer(http.MethodGet, "/alert-rules/vocabulary", s.vocabulary)
		viewer(http.MethodGet, "/alert-rules/:name", s.getRule)
		viewer(http.MethodGet, "/alert-rules/:name/versions", s.listRuleVersions)
		operator(http.MethodPost, "/alert-rules/check", s.checkRule) // who may backtest a draft may check it
		admin(http.MethodPost, "/alert-rules", s.createRule)
		admin(http.MethodPut, "/alert-rules/:name", s.changeRule)
		admin(http.MethodDelete, "/alert-rules/:name", s.deleteRule)
		admin(http.MethodPost, "/alert-rules/:name/enable", s.switchRule(true))
		admin(http.MethodPost, "/alert-rules/:name/disable", s.switchRule(false))
	}
	if s.cfg.Backtest != nil {
		operator(http.MethodPost, "/alert-rules/backtest", s.backtest)
	}
	if s.cfg.Notifications != nil {
		viewer(http.MethodGet, "/notification-targets", s.listTargets)
		admin(http.MethodPost, "/notification-targets", s.createTarget)
		admin(http.MethodPost, "/notification-targets/test", s.testTarget)
		admin(http.MethodPatch, "/notification-targets/:id", s.changeTarget)
		admin(http.MethodDelete, "/notification-targets/:id", s.deleteTarget)
		viewer(http.MethodGet, "/notification-routes", s.getRoutes)
		admin(http.MethodPut, "/notification-routes", s.setRoutes)
		viewer(http.MethodGet, "/notification-deliveries", s.listDeliveries)
		operator(http.MethodPost, "/notification-deliveries/:id/replay", s.replayDelivery)
	}
	if s.cfg.Availability != nil {
		viewer(http.MethodGet, "/availability", s.availability)
	}
	if s.cfg.Forecasts != nil {
		viewer(http.MethodGet, "/visits", s.visits)
		viewer(http.MethodGet, "/kiosks/:serial/forecasts", s.forecasts)
	}
}
