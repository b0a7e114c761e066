package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// sums compare what the kiosks know with what the platform has, over both starts of the spawner.
type sums struct {
	// Acknowledged are readings that the spawner counted as acknowledged by the broker, Stored the points of
	// countedMetric in the time-series store; each reading has one, at a time of its own. What arrived
	// although its acknowledgement did not, as the spawner ended, is only in Stored.
	Acknowledged int64 `json:"acknowledged"`
	Stored       int64 `json:"stored"`
	// Gaps are numbers missing among the readings of a kiosk's session, as admin books them by kiosk.
	Gaps int64 `json:"gaps"`
	// Lost is the larger of Gaps and of what Stored is short of Acknowledged.
	Lost int64 `json:"lost"`
	// Refused are readings in admin's books that it could not use; they are no points.
	Refused int64 `json:"refused"`
}

const (
	countedMetric = "hardware.cpu_temp"
	// counters is how many kiosks are asked for at a time.
	counters = 8
	// waitForStore bounds how long the consumers may work off the journal.
	waitForStore = 2 * time.Minute
)

// count waits until the consumers have worked off the journal and then counts, kiosk by kiosk, what arrived
// since a time.
func (p *platform) count(ctx context.Context, since time.Time, swarms ...*summary) (sums, error) {
	var out sums
	for _, s := range swarms {
		if s.Problem != "" {
			return out, fmt.Errorf("nobody knows what was acknowledged: %s", s.Problem)
		}
		out.Acknowledged += s.Readings.Acknowledged
	}
	limited, cancel := context.WithTimeout(ctx, waitForStore)
	defer cancel()
	for _, behind := range []string{behindSeries, behindLive} {
		if err := p.awaitMetric(limited, behind, pollSeldom, func(n float64) bool { return n == 0 }); err != nil {
			return out, err
		}
	}
	serials, err := swarmSerials(p.data)
	if err != nil {
		return out, err
	}
	token, err := p.accessToken()
	if err != nil {
		return out, err
	}
	query := url.Values{"metric": {countedMetric}, "from": {since.Format(time.RFC3339Nano)}}.Encode()
	var stored, gaps, refused atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(counters)
	for _, serial := range serials {
		group.Go(func() error {
			var series struct{ Points []struct{} }
			if err := p.get(ctx, token, "/kiosks/"+serial+"/telemetry?"+query, &series); err != nil {
				return err
			}
			var kiosk struct {
				Ledger struct {
					Missing int64
					Refused []struct{ Count int64 }
				}
			}
			if err := p.get(ctx, token, "/kiosks/"+serial, &kiosk); err != nil {
				return err
			}
			stored.Add(int64(len(series.Points)))
			gaps.Add(kiosk.Ledger.Missing)
			for _, r := range kiosk.Ledger.Refused {
				refused.Add(r.Count)
			}
			return nil
		})
	}
	err = group.Wait()
	out.Stored, out.Gaps, out.Refused = stored.Load(), gaps.Load(), refused.Load()
	out.Lost = max(out.Gaps, out.Acknowledged-out.Stored, 0)
	return out, err
}

// get asks admin's API.
func (p *platform) get(ctx context.Context, token, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// swarmSerials are the serials of the kiosks that have identities in a data folder.
func swarmSerials(data string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(data, "spawner", "*", certificateFile))
	if err != nil {
		return nil, err
	}
	serials := make([]string, len(paths))
	for i, path := range paths {
		serials[i] = filepath.Base(filepath.Dir(path))
	}
	if len(serials) == 0 {
		return nil, fmt.Errorf("no kiosk has enrolled: %w", os.ErrNotExist)
	}
	return serials, nil
}

// accessToken is the API token that admin in development mode makes for the spawner.
func (p *platform) accessToken() (string, error) {
	text, err := os.ReadFile(filepath.Join(p.data, "spawner-api-token"))
	if err != nil {
		return "", fmt.Errorf("admin's access token for development: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
