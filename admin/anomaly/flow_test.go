package anomaly

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

func TestAnomaliesWaitForADatabaseThatIsAway(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, learnt)
	s.must(s.Checkpoint(t.Context()))
	s.mu.Lock()
	s.told, s.failing = nil, errAway
	s.mu.Unlock()
	s.live("K-1", learnt, learnt+2, hot)
	for range 3 {
		if err := s.Checkpoint(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("error %v", err)
		}
	}
	if got := s.events(); len(got) != 0 {
		t.Errorf("told %v before it is stored", got)
	}
	s.failing = nil
	s.must(s.Checkpoint(t.Context()))
	if got := s.events(); len(got) == 0 || got[0] != "opened" {
		t.Errorf("told %v", got)
	}
	saves := s.saves
	s.must(s.Checkpoint(t.Context()))
	if s.saves != saves {
		t.Error("the same is written again")
	}
}

func TestRoomHoldsBackWhatWouldFillTheMemory(t *testing.T) {
	s := newStage(t)
	s.Watch.events.full = 2
	s.failing = errAway
	for range 3 {
		s.Watch.events.put(fleet.AnomalyEvent{Anomaly: fleet.Anomaly{ID: "a"}})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.Room(ended) // waits no longer than it is asked to
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		s.Room(context.Background())
	}()
	select {
	case <-waited:
		t.Fatal("there was room")
	case <-time.After(10 * time.Millisecond):
	}
	s.mu.Lock()
	s.failing = nil
	s.mu.Unlock()
	s.must(s.Checkpoint(t.Context()))
	<-waited
}

func TestScoresThatTheJournalDoesNotTakeAreCounted(t *testing.T) {
	s := newStage(t, "K-1")
	s.refuse = errAway
	s.live("K-1", 0, 2500)
	s.must(s.Checkpoint(t.Context()))
	if got := s.Stats().ScoresDropped; got != 2500 {
		t.Errorf("dropped %d", got)
	}
	s.refuse = nil
	s.live("K-1", 2500, 2510)
	s.must(s.Checkpoint(t.Context()))
	if len(s.scores) != 10 || s.Stats().ScoresDropped != 2500 {
		t.Errorf("%d scores, %+v", len(s.scores), s.Stats())
	}
	for range maxScores + 7 {
		s.Watch.scores.put(fleet.KioskScore{})
	}
	if got := s.Stats().ScoresDropped; got != 2507 {
		t.Errorf("dropped %d when nobody takes them", got)
	}
}

func TestScoresComeInRecordsAndInOrder(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, 2500)
	select {
	case <-s.Watch.scores.ready:
	default:
		t.Error("enough for a record, and nobody knows")
	}
	s.must(s.Checkpoint(t.Context()))
	if len(s.scores) != 2500 || !slices.IsSortedFunc(s.scores, func(a, b fleet.KioskScore) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("%d scores", len(s.scores))
	}
}

// judged returns a stage with one judged anomaly of cpu_temp.
func judged(t *testing.T, v fleet.AnomalyVerdict) (*stage, fleet.Anomaly) {
	t.Helper()
	s := newStage(t, "K-1")
	s.live("K-1", 0, learnt)
	s.live("K-1", learnt, learnt+2, hot)
	s.must(s.Checkpoint(t.Context()))
	open, err := s.store.OpenAnomalies(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open %+v, %v", open, err)
	}
	a, err := s.Judge(t.Context(), open[0].ID, fleet.AnomalyFeedback{Verdict: v, By: "ana", At: monday})
	s.must(err)
	return s, a
}

func TestFeedbackTunesTheDetectors(t *testing.T) {
	s, a := judged(t, fleet.AnomalyNoise)
	if a.Feedback == nil || a.Feedback.By != "ana" {
		t.Errorf("%+v", a)
	}
	if now := s.Now("K-1"); now.Open == nil || now.Open.Feedback == nil {
		t.Errorf("now %+v", now.Open)
	}
	if got := s.events(); got[len(got)-1] != "feedback" {
		t.Errorf("told %v", got)
	}
	tunings := s.Tunings()
	if len(tunings) == 0 || !slices.ContainsFunc(tunings, func(t fleet.AnomalyTuning) bool { return t.Metric == "hardware.cpu_temp" && t.Factor == 0.5 }) {
		t.Fatalf("tunings %+v", tunings)
	}
	factor := *s.tuning.Load()
	if factor("hardware.cpu_temp") != 0.5 || factor("network.latency") != 1 {
		t.Error("the detectors see other factors")
	}
	s.start()
	if got := s.Tunings(); !slices.Equal(got, tunings) || (*s.tuning.Load())("hardware.cpu_temp") != 0.5 {
		t.Errorf("after a restart %+v", got)
	}
	for _, t := range tunings {
		s.must(s.ResetTuning(context.Background(), t.Metric, "ben"))
	}
	if len(s.Tunings()) != 0 || *s.tuning.Load() != nil {
		t.Errorf("after a reset %+v", s.Tunings())
	}
	if err := s.ResetTuning(t.Context(), "hardware.cpu_temp", "ben"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("reset again: %v", err)
	}
	if _, err := s.Judge(t.Context(), "none", fleet.AnomalyFeedback{Verdict: fleet.AnomalyNoise}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown anomaly: %v", err)
	}
}

func TestNoiseMakesTheScoreOfAMetricLower(t *testing.T) {
	s, _ := judged(t, fleet.AnomalyNoise)
	twin, _ := judged(t, fleet.AnomalyUseful)
	warm := func(r *fleet.Reading) { r.Values[1].Value += 2.2 }
	lower := 0
	for i := learnt + 50; i < learnt+60; i++ {
		s.live("K-1", i, i+1, warm)
		twin.live("K-1", i, i+1, warm)
		a, _ := s.Score("K-1")
		b, _ := twin.Score("K-1")
		if a > b {
			t.Errorf("score %v after noise, %v after useful", a, b)
		}
		if a < b {
			lower++
		}
	}
	if lower == 0 {
		t.Error("it makes no difference")
	}
}

func TestRunStoresWithinASecondAndKeepsAllWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serials := []string{"K-1", "K-2", "K-3", "K-4", "K-5"}
		s := newStage(t, serials...)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for _, serial := range serials {
			s.live(serial, 0, 40)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		s.mu.Lock()
		n := len(s.scores)
		s.mu.Unlock()
		if n != 200 {
			t.Errorf("%d scores in the journal after a second", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		s.must(<-ended)
		want := map[string]string{}
		for _, serial := range serials {
			want[serial] = s.state(serial)
		}
		s.start() // without Finish
		for _, serial := range serials {
			if s.state(serial) != want[serial] {
				t.Errorf("a minute after the last reading %s is not kept", serial)
			}
		}
	})
}

// Snapshots, questions and readings at the same time; go test -race looks for what they share.
func TestEverythingAtOnce(t *testing.T) {
	serials := []string{"K-1", "K-2", "K-3"}
	s := newStage(t, serials...)
	s.cfg.SnapshotEvery = shardCount * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	told := make(chan struct{})
	for _, serial := range serials {
		go func() {
			s.live(serial, 0, 3000, func(r *fleet.Reading) {
				if rand.IntN(50) == 0 { //nolint:gosec // a simulation
					hot(r)
				}
			})
			told <- struct{}{}
		}()
	}
	for left := len(serials); left > 0; {
		select {
		case <-told:
			left--
		default:
			s.Now("K-1")
			s.Score("K-2")
			s.Open("K-3")
			s.Stats()
			s.Forget("K-3")
			s.UseModel(*s.model.Load())
		}
	}
	cancel()
	s.must(<-ended)
	s.must(s.Finish(t.Context()))
	before := [2]string{s.state("K-1"), s.state("K-2")}
	s.start()
	if after := [2]string{s.state("K-1"), s.state("K-2")}; after != before {
		t.Error("after a restart the states are others")
	}
}
