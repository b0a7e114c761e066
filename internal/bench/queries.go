package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// latency is one question, asked again and again, in one row.
type latency struct {
	Name string `json:"name"`
	API  string `json:"api"`
	// Source is what admin says that the answer was made of.
	Source string  `json:"source,omitempty"`
	Points int     `json:"points"` // of the answer
	Runs   int     `json:"runs"`
	P50    float64 `json:"p50_milliseconds"`
	P95    float64 `json:"p95_milliseconds"`
	Goal   float64 `json:"goal_p95_milliseconds,omitempty"` // 0: there is none
	// Problem is why there is no answer.
	Problem string `json:"problem,omitempty"`
}

// question is a request to admin and what is expected of its answer.
type question struct {
	latency
	method, path, body string
	least              int // points
}

const (
	apiOwn        = "/api/v1"
	apiPrometheus = "/api/prometheus/api/v1"

	goalPanel = 100 // ms, one pooled panel of 1,000 kiosks, 24 h, by 5 min
	goalRaw   = 20  // ms, one kiosk, 24 h raw

	// fewest is how often even a slow question is asked.
	fewest = 5
	// promQLTime bounds a PromQL query; the slowest reads all points of a month.
	promQLTime = 2 * time.Minute
)

// queries fills a data folder, starts admin on it, and asks.
func (b *bench) queries(ctx context.Context, o seriesOptions, out *seriesRun) error {
	data := filepath.Join(b.dir, "queries")
	a, err := b.fillHistory(ctx, data, o)
	if err != nil {
		return err
	}
	out.Asked = a
	p, err := startPlatformWith(ctx, b.admin, data, map[string]string{
		"TELEMETRY_RETENTION": askedRetention.String(), "PROMETHEUS_TIMEOUT": promQLTime.String(),
	})
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return err
	}
	token, err := p.accessToken()
	if err != nil {
		return err
	}
	// Until the store has replayed its log it answers 503.
	first := a.questions()[0]
	if err := poll(ctx, "open the time series", pollSeldom, func() (bool, error) {
		_, err := p.ask(ctx, token, &first)
		return err == nil, err
	}); err != nil {
		return err
	}
	for _, q := range a.questions() {
		if err := b.askAgain(ctx, p, token, &q, o); err != nil {
			return err
		}
		if q.Problem != "" {
			b.progress("queries: %s (%s): %s", q.Name, q.API, q.Problem)
		} else {
			b.progress("queries: %s (%s): p50 %.1f ms, p95 %.1f ms", q.Name, q.API, q.P50, q.P95)
		}
		out.Queries = append(out.Queries, q.latency)
	}
	return nil
}

// questions are those of the report.
func (a *asked) questions() []question {
	dayAgo := a.to.Add(-24 * time.Hour)
	dayPoints := int(24 * time.Hour.Seconds() / a.Pace)
	between := func(from, to time.Time) url.Values {
		return url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}
	}
	raw := between(dayAgo, a.to)
	raw.Set("metric", askedMetric)
	post := func(from, to time.Time, step, agg, group, model string) string {
		kiosks := map[string]string{}
		if model != "" {
			kiosks["model"] = model
		}
		text, _ := json.Marshal(map[string]any{
			"from": from.Format(time.RFC3339), "to": to.Format(time.RFC3339), "step": step,
			"series": []any{map[string]any{"name": "a", "metric": askedMetric, "agg": agg, "group_by": group, "kiosks": kiosks}},
		})
		return string(text)
	}
	ranged := func(query string, from, to time.Time, step time.Duration) string {
		return "/query_range?" + url.Values{
			"query": {query}, "start": {unix(from)}, "end": {unix(to)}, "step": {strconv.Itoa(int(step.Seconds()))},
		}.Encode()
	}
	windows, days := int(24*time.Hour/(5*time.Minute)), a.Days
	nameRaw := "one kiosk, 24 h raw"
	namePanel := fmt.Sprintf("%d kiosks, 24 h by 5 min, one mean of all", a.Kiosks)
	nameEach := fmt.Sprintf("%d kiosks, 24 h by 5 min, mean of each", a.Kiosks)
	nameMonth := fmt.Sprintf("%d kiosks, %d days by day, p95 of all", a.MonthOf, a.Days)
	nameMonthMean := fmt.Sprintf("%d kiosks, %d days by hour, mean of all", a.MonthOf, a.Days)
	return []question{
		{latency{Name: nameRaw, API: "own", Goal: goalRaw}, http.MethodGet, apiOwn + "/kiosks/" + a.serials[0] + "/telemetry?" + raw.Encode(), "", dayPoints},
		{latency{Name: namePanel, API: "own", Goal: goalPanel}, http.MethodPost, apiOwn + "/query", post(dayAgo, a.to, "5m", "mean", "all", ""), windows},
		{latency{Name: nameEach, API: "own"}, http.MethodPost, apiOwn + "/query", post(dayAgo, a.to, "5m", "mean", "kiosk", ""), windows * a.Kiosks},
		{latency{Name: nameMonth, API: "own"}, http.MethodPost, apiOwn + "/query", post(a.from, a.midnight, "1d", "p95", "all", monthModel), days},
		{latency{Name: nameMonthMean, API: "own"}, http.MethodPost, apiOwn + "/query", post(a.from, a.midnight, "1h", "mean", "all", monthModel), 24 * days},
		// PromQL has no raw range and no percentile over several series' points: what comes nearest.
		{latency{Name: nameRaw, API: "PromQL"}, http.MethodGet, apiPrometheus + "/query?" + url.Values{
			"query": {fmt.Sprintf(`%s{serial=%q}[24h]`, askedSeries, a.serials[0])}, "time": {unix(a.to)},
		}.Encode(), "", dayPoints - 1},
		{latency{Name: namePanel, API: "PromQL"}, http.MethodGet, apiPrometheus + ranged("avg(avg_over_time("+askedSeries+"[5m]))", dayAgo, a.to, 5*time.Minute), "", windows},
		{latency{Name: nameEach, API: "PromQL"}, http.MethodGet, apiPrometheus + ranged("avg_over_time("+askedSeries+"[5m])", dayAgo, a.to, 5*time.Minute), "", windows * a.MonthOf},
		{latency{Name: nameMonth + ": mean of each kiosk's", API: "PromQL"}, http.MethodGet, apiPrometheus + ranged(
			fmt.Sprintf(`avg(quantile_over_time(0.95, %s{model=%q}[1d]))`, askedSeries, monthModel), a.from.Add(24*time.Hour), a.midnight, 24*time.Hour), "", days},
	}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// askAgain asks the same question until it was asked often enough, one answer after the other. An answer that is a
// refusal is the question's Problem.
func (b *bench) askAgain(ctx context.Context, p *platform, token string, q *question, o seriesOptions) error {
	text, err := p.ask(ctx, token, q)
	if err != nil {
		q.Problem = err.Error()
		return ctx.Err()
	}
	if err := q.check(text); err != nil {
		return fmt.Errorf("%s (%s): %w", q.Name, q.API, err)
	}
	var took []time.Duration
	for began := time.Now(); len(took) < o.asks && (len(took) < min(fewest, o.asks) || time.Since(began) < o.askTime); {
		start := time.Now()
		if _, err := p.ask(ctx, token, q); err != nil {
			return fmt.Errorf("%s (%s): %w", q.Name, q.API, err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	q.Runs, q.P50, q.P95 = len(took), millis(nearestRank(took, 0.5)), millis(nearestRank(took, 0.95))
	return nil
}

// nearestRank returns the smallest of the sorted values that at least a share p of them does not exceed.
func nearestRank(sorted []time.Duration, p float64) time.Duration {
	return sorted[max(int(math.Ceil(p*float64(len(sorted)))), 1)-1]
}

// ask returns the whole answer.
func (p *platform) ask(ctx context.Context, token string, q *question) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, p.url+q.path, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text[:min(len(text), 300)]))
	}
	return text, err
}

// check reads from an answer what it was made of, and makes sure that it is one.
func (q *question) check(text []byte) error {
	type points []json.RawMessage
	var answer struct {
		Source string
		Points points
		Series []struct{ Points points }
		Data   struct{ Result []struct{ Values points } }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	q.Source, q.Points = answer.Source, len(answer.Points)
	for _, s := range answer.Series {
		q.Points += len(s.Points)
	}
	for _, s := range answer.Data.Result {
		q.Points += len(s.Values)
	}
	if q.Points < q.least {
		return fmt.Errorf("%d points, at least %d are stored", q.Points, q.least)
	}
	return nil
}
