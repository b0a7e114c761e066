package train

import (
	"strings"
	"testing"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

// traced returns the traces of all kiosks.
func traced(t *testing.T, m *memory) []*traces {
	t.Helper()
	from, to := m.span()
	var all []*traces
	for _, k := range m.kiosks {
		tr := newTraces(fleet.Kiosk{Serial: k.Serial, Model: k.Model, Site: k.Site}, from, to)
		for i, at := range k.Times {
			tr.add(at, k.Reading(i, nil))
		}
		all = append(all, tr)
	}
	return all
}

// known returns a model that was trained on a fleet in which nothing is wrong.
func known(t *testing.T, m *memory) *model.File {
	t.Helper()
	l := &learning{o: &Options{}, traces: traced(t, m)}
	for range l.traces {
		l.states = append(l.states, nil)
	}
	return l.file(nil)
}

const (
	temperature = "environmental.temperature"
	humidity    = "environmental.humidity"
	cpuTemp     = "hardware.cpu_temp"
	cpuUsage    = "hardware.cpu_usage"
	latency     = "network.latency"
	signal      = "network.signal_strength"
	paper       = "custom.paper_level"
)

func TestPoisonIsRefusedAndDriftAccepted(t *testing.T) {
	some := []int{1, 4, 7}
	healthy := known(t, made(12, 14, 2))
	for _, tt := range []struct {
		name   string
		change func(*memory)
		check  string // that fails; empty: none does
		texts  []string
	}{
		{"nothing", func(*memory) {}, "", nil},
		{"a new season", func(m *memory) {
			m.change(temperature, 0, 14, warming(8, 14*288)).change(cpuTemp, 0, 14, warming(8, 14*288)).change(humidity, 0, 14, warming(-9, 14*288))
		}, "", nil},
		{"more customers", func(m *memory) {
			m.change(cpuUsage, 5, 14, times(1.4, 14)).change(cpuTemp, 5, 14, shifted(3))
		}, "", nil},
		{"heating came on within a day", func(m *memory) { m.change(temperature, 6, 14, shifted(5)) }, "", nil},
		{"a kiosk that always stood in the sun", func(m *memory) { m.change(temperature, 0, 14, shifted(9), 3) }, "", nil},
		{"closed for two days", func(m *memory) { m.change(paper, 6, 8, held(), 2) }, "", nil},
		{"a week of one dead sensor", func(m *memory) { m.change(cpuTemp, 7, 14, held(), 4) }, "stuck sensors", []string{cpuTemp, "SYN-1-0005"}},
		{"a week of a dead sensor on some", func(m *memory) { m.change(cpuTemp, 7, 14, held(), some...) }, "stuck sensors", []string{cpuTemp, "SYN-1-0002", "SYN-1-0005", "SYN-1-0008", "3 of 12"}},
		{"a week of a dead sensor on all", func(m *memory) { m.change(temperature, 7, 14, constant(21.3)) }, "stuck sensors", []string{temperature, "12 of 12", "and 7 more"}},
		{"the first week, on all", func(m *memory) { m.change(latency, 0, 7, constant(0)) }, "stuck sensors", []string{latency}},
		{"all the time, on all", func(m *memory) { m.change(latency, 0, 14, constant(40)) }, "stuck sensors", []string{latency}},
		{"all the time, on some", func(m *memory) { m.change(humidity, 0, 14, constant(40), some...) }, "stuck sensors", []string{humidity}},
		{"a week of paper that nobody uses up", func(m *memory) { m.change(paper, 6, 13, held(), 2) }, "stuck sensors", []string{paper, "SYN-1-0003"}},
		{"a saturated sensor on some", func(m *memory) { m.change(cpuUsage, 7, 14, saturated(20), some...) }, "saturated sensors", []string{cpuUsage, "SYN-1-0002"}},
		{"a saturated sensor on all", func(m *memory) { m.change(cpuUsage, 7, 14, saturated(20)) }, "saturated sensors", []string{cpuUsage}},
		{"hardly moving", func(m *memory) { m.change(cpuTemp, 7, 14, jittering(45, 0.01), some...) }, "flat sensors", []string{cpuTemp, "SYN-1-0002"}},
		{"hardly moving on all", func(m *memory) { m.change(cpuTemp, 7, 14, jittering(45, 0.01)) }, "flat sensors", []string{cpuTemp}},
		{"a loose contact on some", func(m *memory) { m.change(cpuTemp, 7, 14, noisy(30), some...) }, "noisy sensors", []string{cpuTemp, "SYN-1-0002"}},
		{"a loose contact on all", func(m *memory) { m.change(cpuTemp, 9, 14, noisy(30)) }, "noisy sensors", []string{cpuTemp}},
		{"a failing fan on some", func(m *memory) { m.change(cpuTemp, 7, 14, shifted(14), some...) }, "unlike siblings", []string{cpuTemp, "SYN-1-0002"}},
		{"a fan that fails more and more", func(m *memory) { m.change(cpuTemp, 5, 14, warming(18, 9*288), 4, 5) }, "unlike siblings", []string{cpuTemp, "SYN-1-0005"}},
	} {
		for _, with := range []string{"without a model", "with a model"} {
			t.Run(tt.name+" "+with, func(t *testing.T) {
				t.Parallel()
				m := made(12, 14, 1)
				tt.change(m)
				var current *model.File
				if with == "with a model" {
					current = healthy
				}
				checks, out := examine(traced(t, m), current)
				for _, c := range checks {
					switch {
					case c.Name == tt.check && c.Passed:
						t.Errorf("%s passed: %s", c.Name, c.Text)
					case c.Name != tt.check && !c.Passed:
						t.Errorf("%s failed: %s", c.Name, c.Text)
					case c.Name == tt.check:
						for _, text := range tt.texts {
							if !strings.Contains(c.Text, text) {
								t.Errorf("%q does not say %q", c.Text, text)
							}
						}
					}
				}
				if len(out) != 0 {
					t.Errorf("left out %v", out)
				}
			})
		}
	}
}
