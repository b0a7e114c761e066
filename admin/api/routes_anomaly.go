package api

import "net/http"

// anomalyRoutes adds the calls of anomalies and models, of those parts that are there.
func (s *Server) anomalyRoutes(viewer, operator, admin adder) {
	if s.cfg.Anomalies != nil && s.cfg.AnomalyCare != nil {
		viewer(http.MethodGet, "/anomalies", s.listAnomalies)
		viewer(http.MethodGet, "/anomalies/:id", s.getAnomaly)
		operator(http.MethodPost, "/anomalies/:id/feedback", s.judgeAnomaly)
		viewer(http.MethodGet, "/kiosks/:serial/anomaly", s.kioskAnomaly)
		viewer(http.MethodGet, "/anomalies/tuning", s.listTunings)
		operator(http.MethodDelete, "/anomalies/tuning/:metric", s.resetTuning)
	}
	if s.cfg.Models != nil {
		viewer(http.MethodGet, "/models", s.listModels)
		viewer(http.MethodGet, "/models/:version", s.getModel)
		admin(http.MethodPost, "/models/:version/promote", s.promoteModel)
		admin(http.MethodPost, "/models/rollback", s.rollBackModel)
	}
	if s.cfg.Trainer != nil {
		admin(http.MethodPost, "/models/train", s.trainModel)
		viewer(http.MethodGet, "/models/training", s.getTraining)
	}
}
