package protocol

import (
	"net/url"
	"strings"
	"testing"
)

func TestAlertTopics(t *testing.T) {
	if got := AlertTopic("critical", "K-1"); got != "alerts/critical/K-1" {
		t.Error(got)
	}
	if got := AlertTopic("warning", ""); got != "alerts/warning/_platform" {
		t.Error(got)
	}
	for _, tt := range []struct{ site, want string }{
		{"Hall 1", "incidents/Hall 1"},
		{"Terminal A/B+C#1 100%", "incidents/Terminal A%2FB%2BC%231 100%25"},
		{"_several", "incidents/%5Fseveral"},
		{"_", "incidents/%5F"},
		{"Estación Ñ", "incidents/Estación Ñ"},
		{"", "incidents/_several"},
	} {
		got := IncidentTopic(tt.site)
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.site, got, tt.want)
		}
		if back, err := url.PathUnescape(strings.TrimPrefix(got, "incidents/")); tt.site != "" && (err != nil || back != tt.site) {
			t.Errorf("%q came back as %q, %v", tt.site, back, err)
		}
	}
}
