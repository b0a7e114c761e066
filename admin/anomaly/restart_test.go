package anomaly

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// Whatever the moment of the crash: what is known afterwards is what a Watch knows that was told the same readings
// without those between the snapshot and the place in the journal from which readings are told again.
func TestARestartLosesWhatCameAfterTheSnapshotOnly(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // a simulation
	serials := []string{"K-1", "K-22", "K-333", "K-4"}
	const end = 600
	for range 8 {
		snapshot := random.IntN(end)
		crash := snapshot + random.IntN(12)
		cursor := max(crash-random.IntN(20), 0) // of ingest: its checkpoints are closer to each other, or a little behind
		fault := random.IntN(end)
		change := func(r *fleet.Reading) {
			if i := int(r.Source.Record) - 1; i >= fault && i < fault+30 {
				hot(r)
			}
		}
		s, twin := newStage(t, serials...), newStage(t, serials...)
		for _, serial := range serials {
			s.live(serial, 0, snapshot, change)
			twin.live(serial, 0, snapshot, change)
		}
		for i := range s.shards {
			s.must(s.snapshot(t.Context(), &s.shards[i]))
		}
		for _, serial := range serials {
			s.live(serial, snapshot, crash, change)
		}
		s.must(s.Checkpoint(t.Context()))
		s.start()
		for _, serial := range serials {
			s.load(s.shard(serial))
			if snapshot > 0 && detectors(s, serial) != detectors(twin, serial) {
				t.Fatalf("snapshot at %d, crash at %d: %s does not know what was learnt up to the snapshot", snapshot, crash, serial)
			}
			s.live(serial, cursor, end, change)
			twin.live(serial, max(cursor, snapshot), end, change)
			if detectors(s, serial) != detectors(twin, serial) {
				t.Fatalf("snapshot at %d, crash at %d, again from %d: %s knows something else", snapshot, crash, cursor, serial)
			}
		}
	}
}

// A clean end loses nothing, and the next start goes on as if there had been none.
func TestACleanEndLosesNothing(t *testing.T) {
	s, twin := newStage(t, "K-1"), newStage(t, "K-1")
	fault := func(r *fleet.Reading) {
		if r.Source.Record > learnt {
			hot(r)
		}
	}
	twin.live("K-1", 0, learnt+40, fault)
	s.live("K-1", 0, learnt+4, fault)
	s.must(s.Finish(t.Context()))
	score, _ := s.Score("K-1")
	s.start()
	s.load(s.shard("K-1"))
	if got, ok := s.Score("K-1"); !ok || got != score {
		t.Errorf("score %v, %v after the start, want %v", got, ok, score)
	}
	s.live("K-1", learnt-10, learnt+40, fault) // ingest tells some again
	s.must(s.Checkpoint(t.Context()))
	twin.must(twin.Checkpoint(t.Context()))
	if s.state("K-1") != twin.state("K-1") {
		t.Error("it knows something else")
	}
	all := func(s *stage) []fleet.Anomaly {
		page, _, err := s.store.Anomalies(t.Context(), fleet.AnomalyFilter{})
		s.must(err)
		return page
	}
	if got, want := all(s), all(twin); len(want) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("anomalies %+v\nwant %+v", got, want)
	}
}

// opened returns a stage with an anomaly that is stored, but opened after the snapshot, and which then crashed.
func opened(t *testing.T) (*stage, fleet.Anomaly) {
	t.Helper()
	s := newStage(t, "K-1")
	s.live("K-1", 0, learnt)
	s.must(s.Finish(t.Context()))
	s.live("K-1", learnt, learnt+2, hot)
	s.must(s.Checkpoint(t.Context()))
	open, err := s.store.OpenAnomalies(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open %+v, %v", open, err)
	}
	s.start()
	if s.Stats().Open != 1 {
		t.Errorf("%+v", s.Stats())
	}
	return s, open[0]
}

// An anomaly is over when detection is switched off. What is still unusual when it is switched on again is another one.
func TestAFaultThatGoesOnWhileNobodyWatchesOpensAnother(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pause  int // readings
		within int // readings until another one is open
		change []func(*fleet.Reading)
		want   int // anomalies that are open in the end
	}{
		{"a day", 24 * 12, 8, []func(*fleet.Reading){hot}, 1},
		{"some minutes", 2, 8, []func(*fleet.Reading){hot}, 1},
		{"it ended meanwhile", 24 * 12, 8, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, "K-1")
			s.live("K-1", 0, learnt)
			s.live("K-1", learnt, learnt+3, hot)
			s.must(s.Finish(t.Context()))
			open := func() int {
				found, err := s.store.OpenAnomalies(t.Context())
				s.must(err)
				return len(found)
			}
			if open() != 1 {
				t.Fatal("there is no anomaly to go on")
			}
			files, err := OpenFiles(filepath.Join(s.dir, "anomaly"))
			s.must(err)
			off := s.config(files)
			off.Disabled = true
			w, err := New(t.Context(), off)
			s.must(err)
			s.must(w.Finish(t.Context()))
			if open() != 0 {
				t.Error("it is open though nobody watches")
			}
			s.start()
			from := learnt + 3 + tt.pause
			s.live("K-1", from, from+tt.within, tt.change...)
			s.must(s.Checkpoint(t.Context()))
			if got := open(); got != tt.want || s.Stats().Open != int64(tt.want) {
				t.Errorf("%d open, %+v, want %d", got, s.Stats(), tt.want)
			}
		})
	}
}

func TestAnAnomalyThatIsFoundAgainAfterACrashIsTheSame(t *testing.T) {
	for _, test := range []struct {
		name string
		from int // from where ingest tells again
	}{
		{"told again", learnt},
		{"not told again", learnt + 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, a := opened(t)
			before := len(s.anomalies())
			s.live("K-1", test.from, learnt+10, hot)
			s.must(s.Checkpoint(t.Context()))
			if open, err := s.store.OpenAnomalies(t.Context()); err != nil || len(open) != 1 || open[0].ID != a.ID || len(s.anomalies()) != before {
				t.Errorf("open %+v, %v; all %v", open, err, s.anomalies())
			}
			s.must(s.Finish(t.Context())) // now the detectors know it as well
			s.start()
			s.live("K-1", learnt+10, learnt+10+24*12)
			s.must(s.Checkpoint(t.Context()))
			if got, err := s.store.Anomaly(t.Context(), a.ID); err != nil || got.Open() || s.Stats().Open != 0 {
				t.Errorf("a quiet day later %+v, %v, %+v", got, err, s.Stats())
			}
		})
	}
}

func TestAnAnomalyThatIsNotFoundAgainAfterACrashEnds(t *testing.T) {
	s, a := opened(t)
	s.live("K-1", learnt+2, learnt+4)
	s.must(s.Checkpoint(t.Context()))
	if got, err := s.store.Anomaly(t.Context(), a.ID); err != nil || !got.Open() {
		t.Fatalf("it ended at once: %+v, %v", got, err)
	}
	s.live("K-1", learnt+4, learnt+10)
	s.must(s.Checkpoint(t.Context()))
	if got, err := s.store.Anomaly(t.Context(), a.ID); err != nil || got.Open() || s.Stats().Open != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnAnomalyOfAKioskThatWentMeanwhileEnds(t *testing.T) {
	s, a := opened(t)
	delete(s.kiosks, "K-1")
	s.start()
	s.must(s.Checkpoint(t.Context()))
	if got, err := s.store.Anomaly(t.Context(), a.ID); err != nil || got.Open() || s.Stats().Open != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAKioskHasOneOpenAnomaly(t *testing.T) {
	s := newStage(t, "K-1")
	var both []fleet.Anomaly
	for i, id := range []string{"K-1-a", "K-1-b"} {
		at := monday.Add(time.Duration(i) * time.Hour)
		both = append(both, fleet.Anomaly{ID: id, Serial: "K-1", OpenedAt: at, PeakAt: at, Score: 0.99})
	}
	s.must(s.store.SaveAnomalies(t.Context(), both))
	s.start()
	s.must(s.Checkpoint(t.Context()))
	if open, err := s.store.OpenAnomalies(t.Context()); err != nil || len(open) != 1 || open[0].ID != "K-1-b" || s.Stats().Open != 1 {
		t.Errorf("open %+v, %v; counted %d", open, err, s.Stats().Open)
	}
}

// A state that knows of an anomaly must not be on disk before the anomaly is.
func TestNothingIsKeptThatTheDatabaseDoesNotKnow(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, learnt)
	s.must(s.Finish(t.Context()))
	before := s.state("K-1")
	s.failing = errAway
	s.live("K-1", learnt, learnt+2, hot)
	if err := s.Finish(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("error %v", err)
	}
	if s.Stats().SnapshotsFailed == 0 {
		t.Error("it is not counted")
	}
	failed := s.Watch
	s.start()
	if s.state("K-1") != before {
		t.Error("the detectors know of an anomaly that is nowhere")
	}
	s.Watch, s.failing = failed, nil
	s.must(s.Finish(t.Context()))
	after := s.state("K-1")
	s.start()
	if s.state("K-1") != after || after == before {
		t.Error("it was not tried again")
	}
}

func TestADamagedSnapshotCostsOnlyItsKiosks(t *testing.T) {
	spoil := func(f func(b []byte) []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, f(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, path string)
	}{
		{"a bit", spoil(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
		{"the end is missing", spoil(func(b []byte) []byte { return b[:len(b)-1] })},
		{"empty", spoil(func([]byte) []byte { return nil })},
		{"of another version", spoil(func(b []byte) []byte { b[7]++; return b })},
		{"cannot be read", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, "K-1", "K-2")
			s.live("K-1", 0, 50)
			s.live("K-2", 0, 50)
			s.must(s.Finish(t.Context()))
			kept := s.state("K-2")
			test.spoil(t, (&Files{dir: filepath.Join(s.dir, "anomaly")}).path(shardOf("K-1")))
			s.start()
			if s.state("K-1") != "" || s.state("K-2") != kept || kept == "" {
				t.Error("the wrong kiosk begins anew")
			}
			if log := s.logged(); strings.Count(log, "they begin anew") != 1 {
				t.Errorf("log: %s", log)
			}
			s.live("K-1", 50, 60)
			if s.state("K-1") == "" {
				t.Error("it does not begin")
			}
		})
	}
}

func TestAStateOfAnotherVersionCostsItsKioskOnly(t *testing.T) {
	s := newStage(t, "K-1", "K-2")
	s.live("K-2", 0, 50)
	good := s.state("K-2")
	for _, bad := range []string{"", "\x02" + good[1:], good[:1], good[:8], good[:20], good[:len(good)-1]} {
		files, err := OpenFiles(filepath.Join(s.dir, "anomaly"))
		s.must(err)
		both := map[int][]fleet.AnomalyState{}
		for serial, data := range map[string]string{"K-1": bad, "K-2": good} {
			both[shardOf(serial)] = append(both[shardOf(serial)], fleet.AnomalyState{Serial: serial, Data: []byte(data)})
		}
		for shard, states := range both {
			s.must(files.SaveStates(shard, states))
		}
		s.start()
		if s.state("K-1") != "" || s.state("K-2") != good {
			t.Errorf("%d bytes of %d: the wrong kiosk begins anew", len(bad), len(good))
		}
	}
	if log := s.logged(); strings.Count(log, "cannot be used") != 6 || !strings.Contains(log, "K-1") {
		t.Errorf("log: %s", log)
	}
}

func TestStatesComeBackFromTheirFile(t *testing.T) {
	files, err := OpenFiles(filepath.Join(t.TempDir(), "new", "folder"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := files.LoadStates(3); err != nil || len(got) != 0 {
		t.Errorf("before there is one: %v, %v", got, err)
	}
	want := []fleet.AnomalyState{
		{Serial: "K-1", Source: fleet.Source{Record: 1 << 50, Item: 499}, Data: bytes.Repeat([]byte{0, 1, 255}, 7000)},
		{Serial: "K-2", Data: []byte{1}},
	}
	for n := range len(want) + 1 {
		if err := files.SaveStates(3, want[:n]); err != nil {
			t.Fatal(err)
		}
		if got, err := files.LoadStates(3); err != nil || len(got) != n || n > 0 && !reflect.DeepEqual(got, want[:n]) {
			t.Errorf("%d states: %v, %v", n, got, err)
		}
	}
	if got, err := files.LoadStates(4); err != nil || len(got) != 0 {
		t.Errorf("another shard: %v, %v", got, err)
	}
}

func FuzzDecodeStates(f *testing.F) {
	f.Add(encodeStates(nil, []fleet.AnomalyState{{Serial: "K-1", Source: fleet.Source{Record: 3}, Data: []byte("abc")}})[8:])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 3})
	f.Fuzz(func(t *testing.T, content []byte) {
		whole := encodeStates(nil, nil)[:len(snapshotMagic)]
		whole = append(whole, content...)
		got, err := decodeStates(checked(whole))
		if err == nil && len(got) > len(content) {
			t.Errorf("%d states in %d bytes", len(got), len(content))
		}
	})
}

func TestSnapshotsAreTakenOneAfterAnotherWithinTheirTime(t *testing.T) {
	s := newStage(t, "K-1")
	s.live("K-1", 0, 10)
	if d := s.cfg.SnapshotEvery; d != time.Minute {
		t.Errorf("every %s", d)
	}
	s.must(s.snapshot(t.Context(), s.shard("K-1")))
	n := s.Stats().Snapshots
	s.must(s.snapshot(t.Context(), s.shard("K-1"))) // nothing has changed
	s.live("K-1", 5, 10)                            // nor by readings that come again
	s.must(s.snapshot(t.Context(), s.shard("K-1")))
	if got := s.Stats(); n != 1 || got.Snapshots != 1 || got.SnapshotBytes == 0 {
		t.Errorf("%+v", got)
	}
}
