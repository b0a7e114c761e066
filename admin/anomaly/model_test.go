package anomaly

import (
	"testing"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// schooled returns a model that knows kiosks like those of a stage.
func schooled(t *testing.T) Model {
	t.Helper()
	cfg := watch.Default()
	k := watch.New(&cfg, nil)
	s := &stage{t: t}
	for i := range 3 * 24 * 12 {
		r := s.reading("K-9", i)
		k.Step(r.Time, r.Values, nil)
	}
	prior := new(watch.Prior)
	prior.Add(k)
	return Model{Version: "m2", Prior: func(model, site string) *watch.Prior {
		if model != "m1" || site != "gate" {
			return nil
		}
		return prior
	}}
}

// Of a metric that comes later a kiosk learns from the model at work, whenever that was put to work: the same as if
// the process had begun with it.
func TestKnownKiosksFollowTheModelAtWork(t *testing.T) {
	none, m := Model{Prior: func(string, string) *watch.Prior { return nil }}, schooled(t)
	const known, end = 2 * 24 * 12, 2*24*12 + 20
	without := func(r *fleet.Reading) { r.Values = r.Values[:4] }
	// lived returns what a kiosk knows in the end; one reading comes after use, the new metric after then.
	lived := func(use, then func(*stage)) string {
		s := newStage(t, "K-1")
		s.live("K-1", 0, known, without)
		s.must(s.Finish(t.Context()))
		before := detectors(s, "K-1")
		use(s)
		s.load(s.shard("K-1"))
		if detectors(s, "K-1") != before {
			t.Error("the model replaced what the kiosk has learnt")
		}
		s.live("K-1", known, known+1, without)
		then(s)
		s.live("K-1", known+1, end)
		return detectors(s, "K-1")
	}
	nothing := func(*stage) {}
	alone := lived(nothing, nothing)
	guided := lived(func(s *stage) { s.start(); s.UseModel(m) }, nothing)
	if alone == guided {
		t.Fatal("the model makes no difference")
	}
	for _, tt := range []struct {
		name      string
		use, then func(*stage)
		want      string
	}{
		{"promoted while it runs", func(s *stage) { s.UseModel(m) }, nothing, guided},
		{"read after the state", func(s *stage) { s.start(); s.load(s.shard("K-1")); s.UseModel(m) }, nothing, guided},
		{"promoted later", nothing, func(s *stage) { s.UseModel(m) }, guided},
		{"rolled back", func(s *stage) { s.UseModel(m) }, func(s *stage) { s.UseModel(none) }, alone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if lived(tt.use, tt.then) != tt.want {
				t.Error("the kiosk does not go on with the model at work")
			}
		})
	}
}
