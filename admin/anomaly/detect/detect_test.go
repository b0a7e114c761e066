package detect_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

var begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday

// days returns a value every five minutes: a wave over the day around 50 with noise of standard deviation 1.
func days(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	xs := make([]float64, n*288)
	for i := range xs {
		xs[i] = 50 + 10*math.Sin(2*math.Pi*float64(i)/288) + r.NormFloat64()
	}
	return xs
}

func at(i int) time.Time { return begin.Add(time.Duration(i) * 5 * time.Minute) }

// run gives all values to a new metric and returns the evidence of each.
func run(m *detect.Metric, xs []float64) []detect.Evidence {
	all := make([]detect.Evidence, len(xs))
	for i, x := range xs {
		all[i] = m.Step(at(i), x)
	}
	return all
}

func fresh(t testing.TB, trees bool) *detect.Metric {
	t.Helper()
	cfg := detect.Default()
	cfg.Trees = trees
	return detect.New(&cfg, nil)
}

// alarm is evidence that no value of the undisturbed wave has.
const alarm = 5

func TestFaultsAreFoundAndNamed(t *testing.T) {
	const when = 10*288 + 100
	for name, c := range map[string]struct {
		fault  func(xs []float64)
		within int // points
		kind   fleet.AnomalyKind
	}{
		"a value far beyond all before": {func(xs []float64) { xs[when] = 90 }, 0, ""},
		"a fall to nothing":             {func(xs []float64) { xs[when] = 0 }, 0, ""},
		"a value that is usual at another hour": {func(xs []float64) {
			for i := when; i < when+24; i++ {
				xs[i] = 42
			}
			for i := when; i < when+24; i++ {
				xs[i] += 0.3 * float64(i%3)
			}
		}, 3, ""},
		"a value that stands still": {func(xs []float64) {
			for i := when; i < when+48; i++ {
				xs[i] = xs[when-1]
			}
		}, 8, fleet.AnomalyStuck},
	} {
		t.Run(name, func(t *testing.T) {
			xs := days(14, 7)
			c.fault(xs)
			all := run(fresh(t, false), xs)
			for i := 300; i < when; i++ {
				if all[i].Surprise >= alarm {
					t.Fatalf("point %d: %.1f, although nothing was wrong", i, all[i].Surprise)
				}
			}
			for i := when; i <= when+c.within; i++ {
				if e := all[i]; e.Surprise >= alarm {
					if c.kind != "" && e.Kind != c.kind {
						t.Errorf("kind is %s, want %s", e.Kind, c.kind)
					}
					return
				}
			}
			t.Errorf("not found within %d points", c.within)
		})
	}
}

// TestAnotherWayToBeUnusualIsNews lets another fault follow some hours after a value far off.
func TestAnotherWayToBeUnusualIsNews(t *testing.T) {
	const first, second = 10 * 288, 10*288 + 60
	for name, c := range map[string]struct {
		size   float64
		points int
		news   bool
	}{"as far off again": {25, 1, false}, "another level": {5, 100, true}} {
		t.Run(name, func(t *testing.T) {
			xs := days(12, 7)
			xs[first] += 30
			for i := second; i < second+c.points; i++ {
				xs[i] += c.size
			}
			all := run(fresh(t, false), xs)
			most := 0.0
			for _, e := range all[second : second+c.points] {
				most = max(most, e.Score)
			}
			if all[first].Score < 0.6 || most > 0.4 != c.news {
				t.Errorf("the value far off scores %.2f, what follows %.2f", all[first].Score, most)
			}
		})
	}
}

// TestAFaultTeachesLittle has a loose contact for two hours, and again some days later.
func TestAFaultTeachesLittle(t *testing.T) {
	const first, second = 9 * 288, 13 * 288
	before, again := 0.0, 0.0
	for seed := range uint64(10) {
		xs := days(14, seed)
		for i := 0; i < 24; i += 4 {
			xs[first+i] += 15
			xs[second+i] += 15
		}
		all := run(fresh(t, false), xs)
		before += all[first].Surprise
		again += all[second].Surprise
	}
	if before < 10*alarm || again < 0.6*before {
		t.Errorf("surprise is %.1f at first and %.1f when it comes again", before/10, again/10)
	}
}

func TestWhatIsUsualIsQuiet(t *testing.T) {
	for name, value := range map[string]func(i int, r *rand.Rand) float64{
		"always the same":         func(int, *rand.Rand) float64 { return 71 },
		"always nothing":          func(int, *rand.Rand) float64 { return 0 },
		"a step every few hours":  func(i int, _ *rand.Rand) float64 { return 40 + math.Floor(float64(i)/50)*0.1 },
		"noise":                   func(_ int, r *rand.Rand) float64 { return r.NormFloat64() },
		"noise of a large number": func(_ int, r *rand.Rand) float64 { return 1e12 + r.NormFloat64() },
		"coarse steps":            func(_ int, r *rand.Rand) float64 { return math.Round(20 + 0.4*r.NormFloat64()) },
		"a saw-tooth":             func(i int, r *rand.Rand) float64 { return 100 - float64(i%200)/2.5 - r.Float64() },
		"nothing by night, busy by day": func(i int, r *rand.Rand) float64 {
			if h := i / 12 % 24; h < 7 || h > 20 {
				return 0
			}
			return 30 + 5*r.NormFloat64()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 3))
			m := fresh(t, false)
			fired := 0
			for i := range 28 * 288 {
				if e := m.Step(at(i), value(i, r)); i > 7*288 && e.Score > 0.6 {
					fired++
				}
			}
			if fired > 3 {
				t.Errorf("%d points of three weeks are high", fired)
			}
		})
	}
}

func TestPeekTeachesNothing(t *testing.T) {
	xs := days(5, 1)
	a, b := fresh(t, true), fresh(t, true)
	for i, x := range xs {
		a.Peek(at(i), x*2)
		peeked := a.Peek(at(i), x)
		got, want := a.Step(at(i), x), b.Step(at(i), x)
		if got != want {
			t.Fatalf("point %d: %v after a Peek, want %v", i, got, want)
		}
		if i > 300 && math.Abs(peeked.Surprise-got.Surprise) > 0.01 {
			t.Fatalf("point %d: Peek says %v, Step %v", i, peeked.Surprise, got.Surprise)
		}
	}
}

func TestBandHoldsMostValues(t *testing.T) {
	xs := days(14, 2)
	m := fresh(t, false)
	if m.Band() != nil {
		t.Error("a new metric has a band")
	}
	all := run(m, xs)
	inside := 0
	for i, e := range all[7*288:] {
		if x := xs[7*288+i]; e.Low <= x && x <= e.High {
			inside++
		}
	}
	if share := float64(inside) / float64(7*288); share < 0.95 || share > 0.999 {
		t.Errorf("%.3f of the values are in their band", share)
	}
	band := m.Band()
	if len(band) != 24 {
		t.Fatalf("%d hours", len(band))
	}
	if six := band[6]; six.Hour != 6 || six.Low > 60 || six.High < 60 || six.High-six.Low > 12 {
		t.Errorf("at six, where the wave is at 60: %v", six)
	}
}

// TestARestartChangesNothing saves and restores at random points.
func TestARestartChangesNothing(t *testing.T) {
	for name, trees := range map[string]bool{"without trees": false, "with trees": true} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, 9))
			xs := days(8, 4)
			for i := 1500; i < 1560; i++ {
				xs[i] = xs[1499]
			}
			xs[1700] = 0
			through, broken := fresh(t, trees), fresh(t, trees)
			for i, x := range xs {
				if r.IntN(20) == 0 || i < 3 {
					state, err := broken.AppendBinary(nil)
					if err != nil {
						t.Fatal(err)
					}
					broken = fresh(t, trees)
					if err := broken.UnmarshalBinary(state); err != nil {
						t.Fatal(err)
					}
					again, _ := broken.AppendBinary(nil)
					if !bytes.Equal(state, again) {
						t.Fatalf("point %d: saved again, the state is another", i)
					}
				}
				if got, want := broken.Step(at(i), x), through.Step(at(i), x); got != want {
					t.Fatalf("point %d: %v, without a restart %v", i, got, want)
				}
			}
		})
	}
}

func TestForeignStatesAreRefused(t *testing.T) {
	m := fresh(t, false)
	run(m, days(3, 1))
	state, _ := m.AppendBinary(nil)
	newer := bytes.Clone(state)
	newer[0]++
	for name, bad := range map[string][]byte{
		"empty": nil, "another version": newer, "cut": state[:len(state)-1], "longer": append(bytes.Clone(state), 0),
	} {
		t.Run(name, func(t *testing.T) {
			if err := m.UnmarshalBinary(bad); err == nil {
				t.Fatal("no error")
			}
			if again, _ := m.AppendBinary(nil); !bytes.Equal(state, again) {
				t.Error("the state has changed")
			}
		})
	}
	grown := fresh(t, true)
	if err := grown.UnmarshalBinary(state); err != nil {
		t.Errorf("a state without trees, for a metric with trees: %v", err)
	}
}

// TestHoursAreThoseOfTheKiosk lets the clock go back: the evening's values belong to the evening of its zone.
func TestHoursAreThoseOfTheKiosk(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	m := fresh(t, false)
	r := rand.New(rand.NewPCG(5, 5))
	start := time.Date(2026, 10, 12, 0, 0, 0, 0, zone) // the clock goes back on the 25th
	high := 0
	for i := range 28 * 288 {
		now := start.Add(time.Duration(i) * 5 * time.Minute)
		x := 20 + r.NormFloat64()
		if h := now.In(zone).Hour(); h >= 8 && h < 20 {
			x += 30
		}
		if e := m.Step(now.In(zone), x); i > 7*288 && e.Score > 0.6 {
			high++
		}
	}
	if high > 2 {
		t.Errorf("%d points are high", high)
	}
	for _, b := range m.Band() {
		if day := b.Hour >= 8 && b.Hour < 20; day && b.High < 45 || !day && b.Low > 25 {
			t.Errorf("hour %d: %.0f to %.0f", b.Hour, b.Low, b.High)
		}
	}
}

// TestLiveKiosksAreQuiet has a value every five seconds with noise that remembers itself, as sensors have.
func TestLiveKiosksAreQuiet(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	m := fresh(t, false)
	slow, high := 0.0, 0
	day := 24 * 720
	for i := range 5 * day {
		slow = 0.999*slow + 0.045*r.NormFloat64()
		x := 50 + 8*math.Sin(2*math.Pi*float64(i)/float64(day)) + slow + 0.2*r.NormFloat64()
		e := m.Step(begin.Add(time.Duration(i)*5*time.Second), math.Round(x*10)/10)
		if i > 2*day && e.Score > 0.6 {
			high++
		}
	}
	if high > 6 {
		t.Errorf("%d points of three days are high", high)
	}
}

func TestAStrayFirstValueDoesNotBlind(t *testing.T) {
	for _, first := range []float64{math.MaxUint32, -1e300, math.MaxFloat64} {
		cfg := detect.Default()
		m, other := detect.New(&cfg, nil), detect.New(&cfg, nil)
		at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		m.Step(at, first)
		for i := range 2000 {
			at = at.Add(5 * time.Minute)
			x := 50 + 5*math.Sin(float64(i)/40) + math.Sin(float64(i*i%97))
			if got, want := m.Step(at, x).Score, other.Step(at, x).Score; math.Abs(got-want) > 0.05 {
				t.Fatalf("after %g, value %d scores %g, without it %g", first, i, got, want)
			}
		}
		at = at.Add(5 * time.Minute)
		if e := m.Step(at, 120); e.Score < 0.5 {
			t.Errorf("after %g, a jump scores %g", first, e.Score)
		}
	}
}
