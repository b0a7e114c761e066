package matcher

import (
	"strings"

	"kioskfleet/admin/fleet"
)

// Labels that every alert has; those of its rule come on top and do not replace them.
const (
	LabelRule     = "rule"
	LabelSeverity = "severity"
	LabelSerial   = "serial"
	LabelSite     = "site"
	LabelModel    = "model"
	LabelTag      = "tag" // any of the kiosk's
)

// Set gives the labels of one alert by name.
type Set struct{ alert *fleet.Alert }

// Labels returns the labels of an alert; they follow the alert when it changes.
func Labels(a *fleet.Alert) Set { return Set{a} }

// Value returns the label of that name, empty when the alert has none. Several tags are joined by commas.
func (s Set) Value(name string) string {
	a := s.alert
	switch name {
	case LabelRule:
		return a.Rule
	case LabelSeverity:
		return string(a.Severity)
	case LabelSerial:
		return a.Serial
	case LabelSite:
		return a.Site
	case LabelModel:
		return a.Model
	case LabelTag:
		return strings.Join(a.Tags, ",")
	}
	return a.Labels[name]
}
