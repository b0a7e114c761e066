package swarm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// Registrar registers kiosks by the REST API before they enrol, if it is given an API token. It is
// safe for concurrent use.
type Registrar struct {
	Platform *enroll.Platform
	Token    string // KIOSKFLEET_API_TOKEN; empty: the file in DataDir, if there is one
	DataDir  string
	Log      *slog.Logger
}

const (
	// apiTokenFile is what admin writes into its data folder in development mode.
	apiTokenFile = "spawner-api-token"
	kiosksPath   = "/api/v1/kiosks"
)

// registration is the body of POST /kiosks.
type registration struct {
	Serial   string           `json:"serial"`
	Site     string           `json:"site,omitempty"`
	Tags     []string         `json:"tags,omitempty"`
	Model    string           `json:"model,omitempty"`
	Timezone string           `json:"timezone,omitempty"`
	Location *device.Position `json:"location,omitempty"`
}

// Register registers the kiosk unless there is no API token or the kiosk exists already: what people
// have decided about it stays. ca is the fingerprint of the platform's authority. A platform that
// refuses is logged and no error, because the enrolment token may register the kiosk by itself.
//
// Errors: those of a platform that is not reachable or asks to come back later.
func (r *Registrar) Register(ctx context.Context, k roster.Kiosk, ca string) error {
	token := r.APIToken()
	if token == "" {
		return nil
	}
	err := r.Platform.Post(ctx, ca, kiosksPath, token, registration{
		Serial: k.Serial, Site: k.Site, Tags: k.Tags, Model: k.Model, Timezone: k.Timezone, Location: k.Location,
	}, nil)
	var p *enroll.Problem
	switch {
	case errors.As(err, &p) && p.Status == http.StatusConflict:
		return nil
	case err != nil && enroll.Temporary(err):
		return err
	case err != nil:
		r.Log.Warn("the kiosk is not registered by the API; its site and location stay unknown", "serial", k.Serial, "error", err)
	}
	return nil
}

// APIToken returns the API token, empty if there is none. It is read anew each time: the platform may still
// be starting.
func (r *Registrar) APIToken() string {
	if r.Token != "" {
		return r.Token
	}
	text, err := os.ReadFile(filepath.Join(r.DataDir, apiTokenFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
