package anomaly

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestAnAnomalyOpensAndEnds(t *testing.T) {
	s := newStage(t, "K-1")
	s.UseModel(Model{Version: "m7", Prior: s.Watch.model.Load().Prior})
	s.live("K-1", 0, learnt)
	s.must(s.Checkpoint(t.Context()))
	before := len(s.anomalies())
	s.mu.Lock()
	s.told = nil
	s.mu.Unlock()
	s.live("K-1", learnt, learnt+3, hot)
	s.must(s.Checkpoint(t.Context()))

	open, err := s.store.OpenAnomalies(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open %+v, %v", open, err)
	}
	a := open[0]
	first := s.reading("K-1", learnt).Time
	if a.Serial != "K-1" || a.Site != "gate" || a.Model != "m1" || a.Detector != "m7" || a.OpenedAt.Before(first) || a.OpenedAt.After(first.Add(2*step)) {
		t.Errorf("%+v", a)
	}
	if len(a.Sensors) == 0 || a.Sensors[0].Metric != "hardware.cpu_temp" || a.Text == "" || a.Text != a.Sensors[0].Text || a.Score < 0.99 {
		t.Errorf("%+v", a)
	}
	if score, ok := s.Score("K-1"); !ok || score < 0.9 {
		t.Errorf("score %v, %v", score, ok)
	}
	if now := s.Now("K-1"); now.Open == nil || now.Open.ID != a.ID || now.Score < 0.9 || now.Learning || !now.Since.Equal(monday) || !now.At.Equal(first.Add(2*step)) || now.Detector != "m7" {
		t.Errorf("%+v", now)
	}
	if stored, ok := s.Open("K-1"); !ok || stored.ID != a.ID {
		t.Errorf("open: %+v, %v", stored, ok)
	}
	if got := s.Stats(); got.Open != 1 || got.Kiosks != 1 || got.Steps != learnt+3 {
		t.Errorf("%+v", got)
	}

	s.live("K-1", learnt+3, learnt+3+24*12)
	s.must(s.Checkpoint(t.Context()))
	if got := s.anomalies(); len(got) <= before || strings.Contains(got[before], "open") {
		t.Errorf("after a quiet day %v", got)
	}
	if got := s.events(); !slices.Contains(got, "opened") || got[len(got)-1] != "closed" {
		t.Errorf("told %v", got)
	}
	if _, ok := s.Open("K-1"); ok || s.Stats().Open != 0 {
		t.Error("it is open still")
	}
}

func TestEveryReadingHasAScore(t *testing.T) {
	s := newStage(t, "K-1", "K-2")
	s.live("K-1", 0, 3)
	s.live("K-2", 0, 2)
	s.live("K-3", 0, 2) // not registered
	s.must(s.Checkpoint(t.Context()))
	if len(s.scores) != 5 {
		t.Fatalf("scores %+v", s.scores)
	}
	for i, score := range s.scores[:3] {
		r := s.reading("K-1", i)
		want := fleet.KioskScore{Serial: "K-1", Site: "gate", Time: r.Time, Score: score.Score, Source: r.Source}
		if score != want || score.Score < 0 || score.Score > 1 {
			t.Errorf("%+v, want %+v", score, want)
		}
	}
}

func TestWhatTeachesNothing(t *testing.T) {
	const extra = 20
	for _, test := range []struct {
		name string
		do   func(s *stage)
	}{
		{"readings that were kept back", func(s *stage) {
			for i := range extra {
				r := s.reading("K-1", learnt+i)
				hot(r)
				r.Time = r.Time.Add(-time.Duration(i+1)*step - time.Millisecond)
				s.Reading(r)
			}
		}},
		{"readings that come again", func(s *stage) { s.live("K-1", learnt-extra, learnt, hot) }},
		{"a blocked kiosk", func(s *stage) { s.live("K-1", learnt, learnt+extra, hot, status(protocol.StateBlocked)) }},
		{"a kiosk in maintenance", func(s *stage) { s.live("K-1", learnt, learnt+extra, hot, status(protocol.StateMaintenance)) }},
		{"a kiosk that updates", func(s *stage) { s.live("K-1", learnt, learnt+extra, hot, status(protocol.StateUpdating)) }},
		{"a kiosk that restarts", func(s *stage) { s.live("K-1", learnt, learnt+extra, hot, status(protocol.StateRestarting)) }},
		{"a maintenance window", func(s *stage) {
			s.resting = true
			s.live("K-1", learnt, learnt+extra, hot)
			s.resting = false
		}},
		{"a reading with a position only", func(s *stage) {
			s.live("K-1", learnt, learnt+extra, func(r *fleet.Reading) { r.Values = r.Values[3:4] })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, "K-1")
			s.live("K-1", 0, learnt)
			s.must(s.Checkpoint(t.Context()))
			scores, anomalies := len(s.scores), s.anomalies()
			before := detectors(s, "K-1")
			test.do(s)
			s.must(s.Checkpoint(t.Context()))
			if detectors(s, "K-1") != before {
				t.Error("something was learnt")
			}
			if got := s.anomalies(); !slices.Equal(got, anomalies) || len(s.scores) != scores {
				t.Errorf("anomalies %v before, %v now; %d scores", anomalies, got, len(s.scores)-scores)
			}
		})
	}
}

// detectors returns the state of a kiosk's detectors.
func detectors(s *stage, serial string) string {
	s.t.Helper()
	e := s.loaded(serial).entry(serial)
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.kiosk.AppendBinary(nil)
	s.must(err)
	return string(b)
}

func TestRulesDoNotSeeAScoreWhileAKioskIsWorkedOn(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, 5)
	if _, ok := s.Score("K-1"); !ok {
		t.Fatal("no score at all")
	}
	s.live("K-1", 5, 6, status(protocol.StateMaintenance))
	if score, ok := s.Score("K-1"); ok {
		t.Errorf("score %v in maintenance", score)
	}
	s.must(s.Finish(t.Context()))
	s.start()
	s.load(s.shard("K-1"))
	if score, ok := s.Score("K-1"); ok {
		t.Errorf("score %v in maintenance after a restart", score)
	}
	s.live("K-1", 6, 7)
	if _, ok := s.Score("K-1"); !ok {
		t.Error("no score afterwards")
	}
	if _, ok := s.Score("K-2"); ok {
		t.Error("a kiosk that is not known has a score")
	}
}

func TestOfManyMetricsTheFirstAreLookedAt(t *testing.T) {
	var values []fleet.Value
	for i := range 50 {
		values = append(values, fleet.Value{Metric: fmt.Sprintf("custom.m%02d", i), Value: float64(i)})
	}
	values = append(values, fleet.Value{Metric: "location.lat"})
	if got, _ := new(gauges).of(values); len(got) != 32 || got[0] != values[0] || got[31] != values[31] {
		t.Errorf("%v", got)
	}
	values = append([]fleet.Value{{Metric: "a.x", Value: 1}, {Metric: "location.accuracy"}}, fleet.Value{Metric: "locations.x", Value: 2})
	if got, _ := new(gauges).of(values); len(got) != 2 || got[1].Metric != "locations.x" {
		t.Errorf("%v", got)
	}
}

func TestADeletedKioskIsForgotten(t *testing.T) {
	s := newStage(t, "K-1", "K-2")
	for _, serial := range []string{"K-1", "K-2"} {
		s.live(serial, 0, learnt)
		s.live(serial, learnt, learnt+3, hot)
	}
	s.must(s.Finish(t.Context()))
	s.must(s.store.DeleteKiosk(t.Context(), "K-1", "ana", monday))
	delete(s.kiosks, "K-1")
	s.Forget("K-1")
	s.Forget("K-1")
	s.live("K-1", learnt+3, learnt+4)
	s.must(s.Finish(t.Context()))
	if got, err := s.store.OpenAnomalies(t.Context()); err != nil || len(got) != 1 || got[0].Serial != "K-2" || s.Stats().Open != 1 {
		t.Errorf("open %+v, %v, %+v", got, err, s.Stats())
	}
	kept, err := s.cfg.States.LoadStates(shardOf("K-1"))
	if err != nil || slices.ContainsFunc(kept, func(st fleet.AnomalyState) bool { return st.Serial == "K-1" }) {
		t.Errorf("the deleted kiosk is in the snapshot: %d kiosks, %v", len(kept), err)
	}
	s.start()
	if s.state("K-1") != "" || s.state("K-2") == "" {
		t.Error("the deleted kiosk is known, or the other is not")
	}
}

func TestAnotherKioskOfTheSameSerialBeginsAnew(t *testing.T) {
	for _, test := range []struct {
		name      string
		restarts  bool
		meanwhile func(s *stage)
	}{
		{"while admin runs", false, func(*stage) {}},
		{"while admin does not run", true, func(s *stage) { s.start() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, fresh := newStage(t, "K-1"), newStage(t, "K-1")
			s.live("K-1", 0, learnt)
			s.live("K-1", learnt, learnt+3, hot)
			s.must(s.Finish(t.Context()))
			s.must(s.store.DeleteKiosk(t.Context(), "K-1", "ana", monday))
			s.register("K-1")
			test.meanwhile(s)
			if now := s.Now("K-1"); test.restarts && !now.At.IsZero() {
				t.Errorf("what is known of it is another's: %+v", now)
			}
			s.live("K-1", learnt+3, learnt+10)
			fresh.live("K-1", learnt+3, learnt+10)
			if detectors(s, "K-1") != detectors(fresh, "K-1") {
				t.Error("it knows what another kiosk has taught")
			}
			s.must(s.Checkpoint(t.Context()))
			if open, err := s.store.OpenAnomalies(t.Context()); err != nil || len(open) != 0 || s.Stats().Open != 0 {
				t.Errorf("open %+v, %v", open, err)
			}
		})
	}
}

func TestValuesBeyondThoseThatAreWatchedAreCounted(t *testing.T) {
	s := newStage(t, "K-1")
	var all []fleet.Value
	for i := range 1000 {
		all = append(all, fleet.Value{Metric: fmt.Sprintf("custom.x%03d", i), Value: float64(i)})
	}
	wide := func(from, to int) func(*fleet.Reading) {
		return func(r *fleet.Reading) { r.Values = all[from:to] }
	}
	for i, test := range []struct{ from, to, skipped int }{{0, 0, 0}, {0, 1, 0}, {0, 40, 8}, {0, 1000, 968}, {500, 540, 40}} {
		before := s.Stats().Skipped
		s.live("K-1", i, i+1, wide(test.from, test.to))
		if got := s.Stats().Skipped - before; got != int64(test.skipped) {
			t.Errorf("of metrics %d to %d %d are skipped, want %d", test.from, test.to, got, test.skipped)
		}
	}
}

func TestNothingIsLookedAtWhenItIsSwitchedOff(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, learnt)
	s.live("K-1", learnt, learnt+3, hot)
	s.must(s.Finish(t.Context()))
	if open, err := s.store.OpenAnomalies(t.Context()); err != nil || len(open) != 1 {
		t.Fatalf("open before %+v, %v", open, err)
	}
	s.scores = nil
	cfg := s.config(nil)
	cfg.Disabled = true
	var err error
	s.Watch, err = New(t.Context(), cfg)
	s.must(err)
	s.live("K-1", learnt+3, learnt+10)
	s.Forget("K-1")
	ended, end := context.WithCancel(t.Context())
	end()
	s.must(s.Run(ended))
	s.must(s.Finish(t.Context()))
	if _, ok := s.Score("K-1"); ok || len(s.scores) > 0 || s.Now("K-1").Learning {
		t.Errorf("scores %v, now %+v", s.scores, s.Now("K-1"))
	}
	// Nobody would ever notice that it is over.
	if open, err := s.store.OpenAnomalies(t.Context()); err != nil || len(open) != 0 || s.Stats().Open != 0 {
		t.Errorf("open %+v, %v", open, err)
	}
}
