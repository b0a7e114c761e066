package ingest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// scored is the score of a sample.
func scored(serial string, ms int, score float64) fleet.KioskScore {
	return fleet.KioskScore{
		Serial: serial, Site: "hall", Time: base.Add(time.Duration(ms) * time.Millisecond), Score: score, Source: fleet.Source{Record: uint64(ms), Item: 2},
	}
}

// scores returns what the store has of scores, as serial:milliseconds=score.
func (r *recorder) scores() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.stored {
		x := &r.stored[i]
		if v, ok := x.Value(fleet.AnomalyMetric); ok {
			all = append(all, fmt.Sprintf("%s:%d=%v", x.Serial, x.Time.Sub(base).Milliseconds(), v))
		}
	}
	return all
}

func TestScoresComeBackFromARecord(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	long := string(make([]byte, 300))
	scores := []fleet.KioskScore{
		{Serial: "K-1", Site: "gate", Time: at.Add(-time.Hour), Score: 0.25, Source: fleet.Source{Record: 1 << 40, Item: 499}},
		{Serial: "K-2", Site: "", Time: at.Add(time.Minute), Score: 1, Source: fleet.Source{Record: 3}},
		{Serial: long, Site: "gate", Time: at, Source: fleet.Source{Record: 4}},
	}
	r := record{number: 9, kind: kindScores, at: at, payload: encodeScores(nil, at, scores)}
	got, err := decodeScores(nil, &r)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, from := range []int{1, 0, 2} { // by site
		want := fleet.Reading{
			Serial: scores[from].Serial, Site: scores[from].Site, Time: scores[from].Time, ReceivedAt: at,
			Values: []fleet.Value{{Metric: "anomaly.score", Value: scores[from].Score}}, Source: scores[from].Source,
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("%+v, want %+v", got[i], want)
		}
	}
	for n := range r.payload {
		cut := record{number: 9, at: at, payload: r.payload[:n]}
		if some, err := decodeScores(nil, &cut); !errors.Is(err, errShortRecord) || len(some) > 2 {
			t.Fatalf("%d bytes of %d: %d scores, %v", n, len(r.payload), len(some), err)
		}
	}
	r.payload = append(r.payload, 0)
	if _, err := decodeScores(nil, &r); err == nil {
		t.Error("a byte too many is no error")
	}
}

func FuzzDecodeScores(f *testing.F) {
	f.Add(encodeScores(nil, base, []fleet.KioskScore{scored("K-1", 1, 0.5), scored("K-2", 2, 0.75)}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, _ := decodeScores(nil, &record{at: base, payload: payload})
		for i := range got {
			if len(got[i].Values) != 1 || got[i].Values[0].Metric != fleet.AnomalyMetric {
				t.Errorf("%+v", got[i])
			}
		}
	})
}

func TestScoresAreStoredAndNotTold(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 1, 1, 50))
	if err := in.AcceptScores([]fleet.KioskScore{scored("K-2", 1, 0.5), scored("K-1", 1, 0.25)}); err != nil {
		t.Fatal(err)
	}
	if err := in.AcceptScores(nil); err != nil {
		t.Fatal(err)
	}
	if err := in.AcceptScores(make([]fleet.KioskScore, MaxScores+1)); err == nil {
		t.Error("more than a record holds is no error")
	}
	accept(t, in, "K-1", protocol.ChannelTelemetry, sample("K-1", 2, 2, 51))
	stop()
	if want := []string{"reading 1 at hall", "reading 2 at hall"}; !slices.Equal(r.told["K-1"], want) || len(r.told) != 1 {
		t.Errorf("told %q", r.told)
	}
	if got := r.scores(); !slices.Equal(got, []string{"K-2:1=0.5", "K-1:1=0.25"}) || len(r.stored) != 4 || r.synced != 4 {
		t.Errorf("scores %v, stored %d, synced %d", got, len(r.stored), r.synced)
	}
	if r.stored[1].Site != "hall" || len(r.letters) != 0 {
		t.Errorf("%+v, dead letters %v", r.stored[1], r.letters)
	}
	if got := testutil.ToFloat64(in.metrics.scores); got != 2 {
		t.Errorf("counted %v scores", got)
	}
	if got := testutil.ToFloat64(in.metrics.stored); got != 2 {
		t.Errorf("counted %v readings", got)
	}
}

// After a crash detectors may come to another number for a reading that they have scored before.
func TestTheFirstScoreOfAReadingStays(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder()
	in, stop := begin(t, dir, r, nil)
	give := func(in *Ingest, scores ...fleet.KioskScore) {
		t.Helper()
		if err := in.AcceptScores(scores); err != nil {
			t.Fatal(err)
		}
	}
	give(in, scored("K-1", 1, 0.1), scored("K-1", 2, 0.2))
	give(in, scored("K-1", 1, 0.1), scored("K-1", 2, 0.9), scored("K-1", 3, 0.3))
	stop()
	want := []string{"K-1:1=0.1", "K-1:2=0.2", "K-1:3=0.3"}
	if got := r.scores(); !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	in, stop = begin(t, dir, r, nil)
	give(in, scored("K-1", 2, 0.8), scored("K-1", 3, 0.7), scored("K-1", 4, 0.4))
	stop()
	if got := r.scores(); !slices.Equal(got, append(want, "K-1:4=0.4")) {
		t.Errorf("after a restart %v", got)
	}
	if got := testutil.ToFloat64(in.metrics.scoresRefused); got != 2 {
		t.Errorf("counted %v that were not stored", got)
	}
}

func TestAStoreThatLostPointsGetsScoresAgain(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	if err := in.AcceptScores([]fleet.KioskScore{scored("K-1", 1, 0.1)}); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the score", func() bool { return r.synced == 1 })
	r.do(func() { r.stored, r.synced, r.fail = nil, 0, errLost })
	if err := in.AcceptScores([]fleet.KioskScore{scored("K-1", 2, 0.2)}); err != nil {
		t.Fatal(err)
	}
	r.await(t, "both scores", func() bool { return r.synced == 2 })
	stop()
	if got := r.scores(); !slices.Equal(got, []string{"K-1:1=0.1", "K-1:2=0.2"}) {
		t.Errorf("stored %v", got)
	}
}

func TestAScoreThatTheStoreRefusesIsCounted(t *testing.T) {
	r := newRecorder()
	r.fail = errRejected // the second of each batch
	in, stop := begin(t, t.TempDir(), r, nil)
	if err := in.AcceptScores([]fleet.KioskScore{scored("K-1", 1, 0.1), scored("K-1", 2, 0.2)}); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := testutil.ToFloat64(in.metrics.scoresRefused); got != 1 || len(r.letters) != 0 {
		t.Errorf("counted %v, dead letters %v", got, r.letters)
	}
}

func TestAFullJournalRefusesScores(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, func(c *journal.Config) { c.MinFreeBytes = 1 << 60 })
	if err := in.AcceptScores([]fleet.KioskScore{scored("K-1", 1, 0.1)}); !errors.Is(err, journal.ErrSpace) {
		t.Errorf("error = %v", err)
	}
	stop()
}

func TestAKioskCannotReportWhatThePlatformComputes(t *testing.T) {
	r := newRecorder()
	in, stop := begin(t, t.TempDir(), r, nil)
	payload := fmt.Sprintf(`{"timestamp":%q,"serial":"K-1","seq":1,"anomaly":{"score":0.1,"text":"x","none":null},"hardware":{"cpu_temp":50},"anomalies":{"score":2}}`, base.Format(time.RFC3339Nano))
	accept(t, in, "K-1", protocol.ChannelTelemetry, payload)
	stop()
	want := []fleet.Value{{Metric: "anomalies.score", Value: 2}, {Metric: "hardware.cpu_temp", Value: 50}}
	if len(r.stored) != 1 || !slices.Equal(r.stored[0].Values, want) || r.stored[0].Texts != nil || len(r.letters) != 0 {
		t.Errorf("stored %+v, dead letters %v", r.stored, r.letters)
	}
	if got := testutil.ToFloat64(in.metrics.reserved); got != 2 {
		t.Errorf("counted %v fields", got)
	}
}
