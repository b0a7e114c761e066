package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kioskfleet/kiosk/enroll"
)

// adminAPI answers as admin/api/openapi.yaml says.
func adminAPI(t *testing.T, kiosks int) (*API, *[]string) {
	t.Helper()
	var requests []string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/kiosks", func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.URL.RawQuery)
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("sort") != "serial" || r.Header.Get("Content-Type") != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"type":"about:blank","title":"Log in first","status":401,"request_id":"1"}`)
			return
		}
		limit, first := 0, 0
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &first)
		page := map[string]any{"total": kiosks}
		items := []any{}
		for i := first; i < min(first+limit, kiosks); i++ {
			items = append(items, map[string]any{
				"serial": fmt.Sprintf("K-%04d", i), "kiosk_id": i, "site": "Lisbon", "tags": []string{}, "presence": "stale", "presence_reason": "no_data",
				"status": "stale", "verdict": "unknown", "reasons": []any{}, "revision": 1, "last_reading": map[string]any{"status": "online"},
			})
		}
		page["items"] = items
		if first+limit < kiosks {
			page["next_cursor"] = fmt.Sprint(first + limit)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	mux.HandleFunc("POST /api/v1/kiosks/{serial}/commands", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		requests = append(requests, fmt.Sprintf("%s %s %v", r.PathValue("serial"), r.Header.Get("Idempotency-Key"), body))
		if r.PathValue("serial") == "K-404" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"1","serial":"K-1","name":"ping","status":"queued","steps":[]}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	platform, err := enroll.NewPlatform(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &API{Platform: platform, Access: func() (ca, token string) { return "", "secret" }}, &requests
}

func TestAllKiosksAreListedPageByPage(t *testing.T) {
	for kiosks, pages := range map[int]int{0: 1, 1: 1, 250: 1, 251: 2, 1000: 4} {
		api, requests := adminAPI(t, kiosks)
		shown, err := api.Kiosks(t.Context())
		if err != nil || len(shown) != kiosks || len(*requests) != pages {
			t.Errorf("%d kiosks, %v, %q", len(shown), err, *requests)
		}
		if kiosks > 0 && shown[fmt.Sprintf("K-%04d", kiosks-1)] != (State{"stale", "unknown", "stale"}) {
			t.Errorf("%+v", shown["K-0000"])
		}
	}
}

func TestACommandIsPostedWithItsKey(t *testing.T) {
	api, requests := adminAPI(t, 0)
	if err := api.Send(t.Context(), "K-1", "update", json.RawMessage(`{"version":"2"}`), "key-1"); err != nil {
		t.Error(err)
	}
	if err := api.Send(t.Context(), "K-2", "ping", nil, "key-2"); err != nil {
		t.Error(err)
	}
	var p *enroll.Problem
	if err := api.Send(t.Context(), "K-404", "ping", nil, "k"); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("error = %v", err)
	}
	if want := []string{"K-1 key-1 map[name:update params:map[version:2]]", "K-2 key-2 map[name:ping]"}; fmt.Sprint((*requests)[:2]) != fmt.Sprint(want) {
		t.Errorf("%q", *requests)
	}
}

func TestWithoutAccessNothingIsAsked(t *testing.T) {
	api, requests := adminAPI(t, 1)
	api.Access = func() (ca, token string) { return "", "" }
	if _, err := api.Kiosks(t.Context()); !errors.Is(err, ErrNoAPIToken) || len(*requests) != 0 {
		t.Errorf("%v, %q", err, *requests)
	}
	api.Access = func() (ca, token string) { return "", "wrong" }
	if _, err := api.Kiosks(t.Context()); err == nil || !strings.Contains(err.Error(), "list the kiosks: admin answered 401: Log in first") {
		t.Errorf("error = %v", err)
	}
}
