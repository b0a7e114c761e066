package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// someAnomaly returns an open anomaly of some sensors, the first with most of the evidence, i minutes after now.
func someAnomaly(id, serial string, i int, metrics ...string) fleet.Anomaly {
	at := now.Add(time.Duration(i) * time.Minute)
	a := fleet.Anomaly{
		ID: id, Serial: serial, Site: "gate", Model: "m1", OpenedAt: at, PeakAt: at.Add(time.Second), Score: 0.995, Text: "of " + id, Detector: "m20260101",
	}
	share := 0.6
	for _, m := range metrics {
		a.Sensors = append(a.Sensors, fleet.AnomalySensor{
			Metric: m, Kind: fleet.AnomalyLevel, Share: share, Value: 63, Low: 48, High: 54, With: []string{"hardware.cpu_usage"},
			Band: []fleet.AnomalyBand{{Hour: 3, Low: 40, High: 50}}, Text: "text",
		})
		share /= 4
	}
	return a
}

func anomalyIDs(anomalies []fleet.Anomaly) string {
	var out []string
	for i := range anomalies {
		out = append(out, anomalies[i].ID)
	}
	return strings.Join(out, " ")
}

func TestAnomaliesComeBackAsTheyWere(t *testing.T) {
	s := open(t)
	a, b := someAnomaly("a", "K-1", 0, "hardware.cpu_temp", "hardware.cpu_usage"), someAnomaly("b", "K-2", 1, "custom.x")
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{a, b}))
	if got, err := s.Anomaly(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v, want %+v", got, err, a)
	}
	judged, _, err := s.JudgeAnomaly(t.Context(), "a", fleet.AnomalyFeedback{Verdict: fleet.AnomalyUseful, Comment: "the fan", By: "ana", At: now})
	must(t, err)
	// It goes on, and what was said of it stays.
	end := a.OpenedAt.Add(time.Hour)
	a.Score, a.PeakAt, a.ClosedAt, a.Sensors = 0.999, a.PeakAt.Add(time.Minute), &end, a.Sensors[:1]
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{a, a}))
	a.Feedback = judged.Feedback
	if got, err := s.Anomaly(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("after it went on: %+v, %v, want %+v", got, err, a)
	}
	if got, err := s.OpenAnomalies(t.Context()); err != nil || anomalyIDs(got) != "b" {
		t.Errorf("open: %s, %v", anomalyIDs(got), err)
	}
	if _, err := s.Anomaly(t.Context(), "none"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	if n, err := s.CountAnomalies(t.Context(), b.OpenedAt, b.OpenedAt.Add(time.Millisecond)); n != 1 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
}

func TestAnomaliesAreListedNewestFirst(t *testing.T) {
	s := open(t)
	end := now.Add(time.Hour)
	a, b := someAnomaly("a", "K-1", 0, "hardware.cpu_temp", "hardware.cpu_usage"), someAnomaly("b", "K-2", 1, "custom.x")
	c, d := someAnomaly("c", "K-1", 2, "custom.x"), someAnomaly("d", "K-1", 2, "hardware.cpu_temp")
	a.ClosedAt, c.Site = &end, "hall"
	d.Sensors[0].Kind = fleet.AnomalyStuck
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{a, b, c, d}))
	yes, no := true, false
	for _, test := range []struct {
		name   string
		filter fleet.AnomalyFilter
		want   string
	}{
		{"all", fleet.AnomalyFilter{}, "d c b a"},
		{"of a kiosk", fleet.AnomalyFilter{Serial: "K-1"}, "d c a"},
		{"of a site", fleet.AnomalyFilter{Site: "hall"}, "c"},
		{"of a metric", fleet.AnomalyFilter{Metric: "custom.x"}, "c b"},
		{"of a metric that is not the main one", fleet.AnomalyFilter{Metric: "hardware.cpu_usage"}, "a"},
		{"of a kind", fleet.AnomalyFilter{Kind: fleet.AnomalyStuck}, "d"},
		{"of a metric and a kind", fleet.AnomalyFilter{Metric: "custom.x", Kind: fleet.AnomalyStuck}, ""},
		{"open", fleet.AnomalyFilter{Open: &yes}, "d c b"},
		{"over", fleet.AnomalyFilter{Open: &no}, "a"},
		{"from", fleet.AnomalyFilter{From: b.OpenedAt}, "d c b"},
		{"to", fleet.AnomalyFilter{To: b.OpenedAt}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, next, err := s.Anomalies(t.Context(), test.filter); err != nil || anomalyIDs(got) != test.want || next != "" {
				t.Errorf("%s, %q, %v, want %s", anomalyIDs(got), next, err, test.want)
			}
			var all []fleet.Anomaly
			for f := test.filter; ; {
				f.Limit = 1
				page, next, err := s.Anomalies(t.Context(), f)
				if all = append(all, page...); err != nil || len(page) > 1 || len(all) > 4 {
					t.Fatalf("page %s, %v", anomalyIDs(page), err)
				}
				if f.Cursor = next; next == "" {
					break
				}
			}
			if anomalyIDs(all) != test.want {
				t.Errorf("one by one %s, want %s", anomalyIDs(all), test.want)
			}
		})
	}
	var invalid *fleet.ValidationError
	if _, _, err := s.Anomalies(t.Context(), fleet.AnomalyFilter{Cursor: "nonsense"}); !errors.As(err, &invalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func TestFeedbackTunesTheMainMetrics(t *testing.T) {
	s := open(t)
	metrics := []string{"hardware.cpu_temp", "hardware.cpu_usage"}
	for i, id := range []string{"a", "b", "c"} {
		must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{someAnomaly(id, "K-1", i, metrics...)}))
	}
	say := func(id string, v fleet.AnomalyVerdict, minutes int) []fleet.AnomalyTuning {
		t.Helper()
		_, changed, err := s.JudgeAnomaly(t.Context(), id, fleet.AnomalyFeedback{Verdict: v, By: "ana", At: now.Add(time.Duration(minutes) * time.Minute)})
		must(t, err)
		return changed
	}
	expect := func(factor float64, useful, noise, minutes int) {
		t.Helper()
		want := []fleet.AnomalyTuning{{Metric: metrics[0], Factor: factor, Useful: useful, Noise: noise, UpdatedAt: now.Add(time.Duration(minutes) * time.Minute)}}
		if got, err := s.AnomalyTunings(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	if got := say("a", fleet.AnomalyNoise, 1); len(got) != 1 || got[0].Metric != metrics[0] || got[0].Factor != 0.5 {
		t.Errorf("changed %+v", got)
	}
	say("b", fleet.AnomalyNoise, 2)
	expect(0.25, 0, 2, 2)
	say("a", fleet.AnomalyUseful, 3) // another opinion replaces the first
	expect(0.625, 1, 1, 3)
	say("a", fleet.AnomalyUseful, 4) // and saying it again is not saying it twice
	expect(0.625, 1, 1, 4)

	// The anomaly is about another sensor by now.
	a := someAnomaly("a", "K-1", 0, metrics[1])
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{a}))
	if got := say("a", fleet.AnomalyUseful, 5); len(got) != 2 || got[0].Factor != 0.5 || got[1].Factor != 1.25 {
		t.Errorf("changed %+v", got)
	}
	must(t, s.ResetAnomalyTuning(t.Context(), metrics[1], "ben", now))
	expect(0.5, 0, 1, 2)
	if err := s.ResetAnomalyTuning(t.Context(), metrics[1], "ben", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("reset again: %v", err)
	}
	var invalid *fleet.ValidationError
	if _, _, err := s.JudgeAnomaly(t.Context(), "a", fleet.AnomalyFeedback{Verdict: "nice"}); !errors.As(err, &invalid) {
		t.Errorf("an unknown verdict: %v", err)
	}
	if _, _, err := s.JudgeAnomaly(t.Context(), "none", fleet.AnomalyFeedback{Verdict: fleet.AnomalyNoise}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown anomaly: %v", err)
	}
	if got := audits(t, s); !strings.Contains(got, "ana anomaly.feedback a noise; ana anomaly.feedback b noise") || !strings.HasSuffix(got, "ben anomaly.tuning.reset hardware.cpu_usage") {
		t.Errorf("audit log: %s", got)
	}
}

func TestOldAnomaliesGoAndWhatWasSaidStays(t *testing.T) {
	s := open(t)
	end, later := now.Add(time.Hour), now.Add(2*time.Hour)
	a, b, c := someAnomaly("a", "K-1", 0, "m.a"), someAnomaly("b", "K-1", 1, "m.a"), someAnomaly("c", "K-1", 2, "m.a")
	a.ClosedAt, b.ClosedAt = &end, &later
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{a, b, c}))
	for _, id := range []string{"a", "c"} {
		_, _, err := s.JudgeAnomaly(t.Context(), id, fleet.AnomalyFeedback{Verdict: fleet.AnomalyNoise, By: "ana", At: now})
		must(t, err)
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := s.PruneAnomalies(t.Context(), later.Add(time.Minute), 1); n != want || err != nil {
			t.Fatalf("pruned %d, %v, want %d", n, err, want)
		}
	}
	if got, _, err := s.Anomalies(t.Context(), fleet.AnomalyFilter{Metric: "m.a"}); err != nil || anomalyIDs(got) != "c" {
		t.Errorf("left: %s, %v", anomalyIDs(got), err)
	}
	_, changed, err := s.JudgeAnomaly(t.Context(), "c", fleet.AnomalyFeedback{Verdict: fleet.AnomalyNoise, By: "ana", At: later})
	if err != nil || len(changed) != 1 || changed[0].Factor != 0.25 || changed[0].Noise != 2 {
		t.Errorf("%+v, %v: what was said of the old one does not count any more", changed, err)
	}
}

func TestADeletedKiosksAnomaliesEnd(t *testing.T) {
	s := open(t)
	addKiosk(t, s, "K-1")
	must(t, s.SaveAnomalies(t.Context(), []fleet.Anomaly{someAnomaly("a", "K-1", 0, "m.a"), someAnomaly("b", "K-2", 0, "m.a")}))
	must(t, s.DeleteKiosk(t.Context(), "K-1", "ana", now.Add(time.Hour)))
	a, err := s.Anomaly(t.Context(), "a")
	if err != nil || a.ClosedAt == nil || !a.ClosedAt.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v, %v", a, err)
	}
	if got, err := s.OpenAnomalies(t.Context()); err != nil || anomalyIDs(got) != "b" {
		t.Errorf("open: %s, %v", anomalyIDs(got), err)
	}
}
