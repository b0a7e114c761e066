package engine

import (
	"net/netip"

	"kioskfleet/admin/fleet"
)

// networkMetrics name the network path of a kiosk where it says so itself.
var networkMetrics = []string{"network.carrier", "network.ssid", "network.gateway"}

// Network returns the network path that a kiosk is on, empty when it is not known: what it reports, or else the address
// that it connects from. A private address says nothing: many networks have the same.
func Network(r *fleet.Reading, l *fleet.Live) string {
	if r != nil {
		for _, metric := range networkMetrics {
			if text, ok := r.Text(metric); ok && text != "" {
				return text
			}
		}
	}
	if l == nil {
		return ""
	}
	address, err := netip.ParseAddr(l.Remote)
	if err != nil || !address.IsGlobalUnicast() || address.IsPrivate() {
		return ""
	}
	return address.Unmap().String()
}
