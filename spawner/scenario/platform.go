package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
)

// State is what the platform shows of a kiosk.
type State struct {
	Presence string `json:"presence"`
	Verdict  string `json:"verdict"`
	Status   string `json:"status"`
}

func (s State) String() string { return s.Presence + ", " + s.Status + ", " + s.Verdict }

// Platform is the platform as operators use it.
type Platform interface {
	// Kiosks returns what it shows of all kiosks, by serial.
	Kiosks(ctx context.Context) (map[string]State, error)
	// Send gives a kiosk a command. The same key again is the same command.
	Send(ctx context.Context, serial string, name protocol.CommandName, params json.RawMessage, key string) error
}

// API is a Platform by its REST API.
type API struct {
	Platform *enroll.Platform
	// Access returns the fingerprint of the authority to trust over https, and the API token. It is asked
	// each time: a platform in development mode may write its token later.
	Access func() (ca, token string)
}

const (
	kiosksPath = "/api/v1/kiosks"
	// pageSize keeps an answer well below what enroll.Platform reads of one.
	pageSize = 250
	maxPages = 4 * maxKiosks / pageSize
)

// ErrNoAPIToken says that there is nothing to prove oneself with.
var ErrNoAPIToken = errors.New("no API token: set KIOSKFLEET_API_TOKEN, or start admin with --dev so that it writes one")

// Kiosks lists all kiosks, page by page.
func (a *API) Kiosks(ctx context.Context) (map[string]State, error) {
	all := map[string]State{}
	cursor := ""
	for range maxPages {
		// By serial: in any other order a kiosk could change its place between two pages.
		query := url.Values{"limit": {fmt.Sprint(pageSize)}, "sort": {"serial"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var page struct {
			Items []struct {
				Serial string `json:"serial"`
				State
			} `json:"items"`
			NextCursor string `json:"next_cursor"`
		}
		if err := a.do(ctx, enroll.Request{Method: http.MethodGet, Path: kiosksPath + "?" + query.Encode()}, &page); err != nil {
			return nil, fmt.Errorf("list the kiosks: %w", err)
		}
		for _, k := range page.Items {
			all[k.Serial] = k.State
		}
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list the kiosks: the list has more than %d pages", maxPages)
}

// Send posts a command.
func (a *API) Send(ctx context.Context, serial string, name protocol.CommandName, params json.RawMessage, key string) error {
	body := struct {
		Name   protocol.CommandName `json:"name"`
		Params json.RawMessage      `json:"params,omitempty"`
	}{name, params}
	return a.do(ctx, enroll.Request{
		Method: http.MethodPost, Path: kiosksPath + "/" + url.PathEscape(serial) + "/commands", IdempotencyKey: key, In: body,
	}, nil)
}

func (a *API) do(ctx context.Context, r enroll.Request, out any) error {
	if r.CA, r.Bearer = a.Access(); r.Bearer == "" {
		return ErrNoAPIToken
	}
	return a.Platform.Do(ctx, r, out)
}
