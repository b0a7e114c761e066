package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTheSpecsAreSound(t *testing.T) {
	seen := map[Kind]bool{}
	for _, s := range Specs() {
		if seen[s.Kind] || s.Text == "" || s.Typical <= 0 || s.Typical > slot {
			t.Errorf("%s is there twice, or lacks something: %+v", s.Kind, s)
		}
		seen[s.Kind] = true
		if s.Layer != LayerDevice && s.Layer != LayerAgent && s.Layer != LayerNetwork {
			t.Errorf("%s befalls %q", s.Kind, s.Layer)
		}
		given := map[string]string{}
		for _, p := range s.Params {
			given[p.Name] = fmt.Sprint(p.Default)
			if d, ok := p.Default.(Duration); ok {
				given[p.Name] = time.Duration(d).String()
			}
			if p.Text == "" || p.Type == TypeNumber && p.Min >= p.Max {
				t.Errorf("%s: %+v", s.Kind, p)
			}
		}
		defaults, err := Complete(s.Kind, nil)
		if err != nil || len(defaults) != len(s.Params) {
			t.Fatalf("%s: %v, %v", s.Kind, defaults, err)
		}
		// The defaults obey the bounds, and have the type that the getters want.
		again, err := Complete(s.Kind, given)
		if err != nil || fmt.Sprintf("%#v", again) != fmt.Sprintf("%#v", defaults) {
			t.Errorf("%s: %#v became %#v, %v", s.Kind, defaults, again, err)
		}
	}
	if _, ok := Lookup("nonsense"); ok || len(seen) != 24 {
		t.Errorf("%d kinds", len(seen))
	}
}

func TestParametersHaveBounds(t *testing.T) {
	for _, s := range Specs() {
		for _, p := range s.Params {
			var good, bad []string
			switch p.Type {
			case TypeNumber:
				text := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
				good = []string{text(p.Min), text(p.Max)}
				bad = []string{text(p.Min - 0.001), text(p.Max * 1.001), "NaN", "Inf", "", "much", "1%"}
			case TypeDuration:
				good = []string{seconds(p.Min).String(), seconds(p.Max).String()}
				bad = []string{(seconds(p.Min) - 1).String(), (seconds(p.Max) + 1).String(), "", "5", "soon", "1d"}
			case TypeMetric:
				good = []string{"environmental.humidity", "network.latency"}
				bad = []string{"", "humidity", "vendor.x", "peripherals.printer_status"}
			case TypeWord:
				good = p.Words
				bad = []string{"nonsense", strings.ToUpper(p.Words[0])}
			case TypeText:
				good = []string{"", "2.0.0", strings.Repeat("x", 64)}
				bad = []string{strings.Repeat("x", 65), "a\nb", "\x00", "\xff"}
			}
			for _, text := range good {
				if got, err := Complete(s.Kind, map[string]string{p.Name: text}); err != nil || got[p.Name] == nil {
					t.Errorf("%s %s = %q is refused: %v", s.Kind, p.Name, text, err)
				}
			}
			for _, text := range bad {
				_, err := Complete(s.Kind, map[string]string{p.Name: text})
				var wrong *ParamError
				if !errors.As(err, &wrong) || wrong.Param != p.Name {
					t.Errorf("%s %s = %q: %v", s.Kind, p.Name, text, err)
				}
			}
		}
	}
}

func TestCompleteSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		kind  Kind
		given map[string]string
		want  []string
	}{
		"unknown kind":    {"paperjam", nil, []string{`unknown fault "paperjam"`, "paper_jam"}},
		"no parameters":   {PaperJam, map[string]string{"by": "1"}, []string{"by: paper_jam has no such parameter; it has: none"}},
		"other parameter": {Drift, map[string]string{"by": "1"}, []string{"it has: metric, per_hour"}},
		"several": {Flapping, map[string]string{"every": "0s", "often": "1"}, []string{
			`every: "0s" is not a duration from 100ms to 1h0m0s`, "often: flapping has no such parameter; it has: every",
		}},
		"number": {Overheating, map[string]string{"by": "0"}, []string{`by: "0" is not a number from 1 to 100`}},
		"word":   {SiteOutage, map[string]string{"how": "slow"}, []string{`how: "slow" is none of silent, cut`}},
		"metric": {Drift, map[string]string{"metric": "cpu"}, []string{"measure: environmental.temperature, ", ", hardware.cpu_temp, "}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Complete(tt.kind, tt.given)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q", err, want)
				}
			}
		})
	}
}

func TestParametersAreReadByType(t *testing.T) {
	p, err := Complete(SlowNetwork, map[string]string{"delay": "1.5s", "bytes_per_second": "9600"})
	if err != nil || p.Duration("delay") != 1500*time.Millisecond || p.Number("bytes_per_second") != 9600 {
		t.Errorf("%v, %v", p, err)
	}
	if p.Text("delay") != "" || p.Number("nothing") != 0 || Params(nil).Duration("delay") != 0 {
		t.Error("a parameter of another type has a value")
	}
	text, err := json.Marshal(p)
	if err != nil || string(text) != `{"bytes_per_second":9600,"delay":"1.5s"}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAFaultIsThereFromItsBeginToBeforeItsEnd(t *testing.T) {
	begin := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	f := Fault{From: begin, To: begin.Add(time.Minute)}
	open := Fault{From: begin}
	for at, want := range map[time.Duration]bool{-1: false, 0: true, time.Minute - 1: true, time.Minute: false} {
		if f.ActiveAt(begin.Add(at)) != want || open.ActiveAt(begin.Add(at)) != (at >= 0) {
			t.Errorf("at %s", at)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, name := range Profiles() {
		if _, err := Profile(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rates, err := Profile("wild"); err == nil || rates != nil || !strings.Contains(err.Error(), "none, ordinary, chaotic") {
		t.Errorf("%v, %v", rates, err)
	}
	ordinary, sum := Ordinary(), 0.0
	for _, s := range Specs() {
		wear := s.Kind == PaperJam || s.Kind == OutOfPaper || s.Kind == CashFull || s.Kind == ReaderDead
		if perYear := ordinary[s.Kind] * 365; (perYear == 0) != wear || perYear > 10 {
			t.Errorf("%s comes %v times a year", s.Kind, perYear)
		}
		if perWeek := Chaotic()[s.Kind] * 7; perWeek < 2 || perWeek > 10 {
			t.Errorf("%s comes %v times a week", s.Kind, perWeek)
		}
		sum += ordinary[s.Kind] * 365
	}
	if sum < 10 || sum > 50 {
		t.Errorf("an ordinary kiosk has %v faults a year", sum)
	}
}
