package roster

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/kiosk/device"
)

func TestTheShippedSettingsAreGood(t *testing.T) {
	kiosks, err := LoadFile("../../configs/kiosks.json")
	if err != nil {
		t.Fatal(err)
	}
	sites := map[string]bool{}
	for _, k := range kiosks {
		sites[k.Site] = true
		if k.Model == "" || k.Timezone == "" || k.Location == nil || k.RealLocation == nil || k.Interval == 0 {
			t.Errorf("%s lacks something: %+v", k.Serial, k)
		}
	}
	if len(kiosks) < 10 || len(sites) < 3 {
		t.Errorf("%d kiosks at %d sites", len(kiosks), len(sites))
	}
	for i, k := range Plan(kiosks, "SIM-KIOSK-", 10) {
		if !reflect.DeepEqual(k, kiosks[i]) {
			t.Errorf("kiosk %d is %+v, the file says %+v", i+1, k, kiosks[i])
		}
	}
}

func TestSettingsAreStrict(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"list":             {`[{"serial":"A"}]`, ""},
		"object":           {`{"kiosks":[{"serial":"A"},{"serial":"B","interval":"1s"}]}`, ""},
		"empty list":       {`[]`, ""},
		"unknown key":      {"[\n{\"serial\":\"A\",\n \"loction\":{}}]", `line 3: A: unknown key "loction"`},
		"unknown nested":   {"[\n{\"serial\":\"A\",\n \"location\":{\"lat\":1,\n\"lon\":2}}]", `line 4: A: unknown key "lon"`},
		"unknown at top":   {`{"kiosk":[]}`, `line 1: unknown key kiosk`},
		"another at top":   {"{\"kiosks\":[],\n\"more\":1}", `line 2: unknown key more`},
		"more after":       {"[]\n[]", `line 2: there is more after the end`},
		"not a list":       {`"kiosks"`, `line 1: want a list of kiosks`},
		"wrong type":       {"[{\"serial\":\"A\",\n\"site\":7}]", `line 2: A: site: want a string, not a number`},
		"bad duration":     {`[{"serial":"A","interval":"fast"}]`, `line 1: A: "fast" is not a duration such as 5s`},
		"short interval":   {`[{"serial":"A","interval":"1us"}]`, `A: interval 1µs is less than 10ms`},
		"no serial":        {`[{"site":"x"}]`, `line 1: serial is empty`},
		"bad serial":       {`[{"serial":"A/B"}]`, `is not allowed`},
		"twice":            {"[{\"serial\":\"A\"},\n{\"serial\":\"A\"}]", `line 2: A is already at line 1`},
		"bad time zone":    {`[{"serial":"A","timezone":"Mars/Base"}]`, `timezone "Mars/Base" is not an IANA time zone`},
		"not on Earth":     {`[{"serial":"A","real_location":{"lat":91,"lng":0}}]`, `real_location 91, 0 is not on Earth`},
		"broken":           {"[\n{\"serial\":}]", `line 2: `},
		"cut off":          {`[{"serial":"A"}`, `it ends too early`},
		"nothing":          {``, `it ends too early`},
		"site is too long": {`[{"serial":"A","site":"` + strings.Repeat("x", 65) + `"}]`, `site has 65 bytes`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kiosks.json")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadFile(path)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path)):
				t.Errorf("error = %v, want one with %q and the file", err, tt.want)
			}
		})
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"kiosks":[{"serial":"A","location":{"lat":1,"lng":2},"interval":"5s"}]}`))
	f.Add([]byte(`[{"serial":"A"`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		kiosks, err := parse(text)
		if err == nil && len(kiosks) > 0 {
			Plan(kiosks, "X-", len(kiosks)+3)
		}
	})
}

func TestKiosksBeyondTheFileArePlacedAtItsSites(t *testing.T) {
	known, err := LoadFile("../../configs/kiosks.json")
	if err != nil {
		t.Fatal(err)
	}
	plan := Plan(known, "SIM-KIOSK-", 1200)
	if !reflect.DeepEqual(plan, Plan(known, "SIM-KIOSK-", 1200)) {
		t.Error("two plans differ")
	}
	serials, sites := map[string]bool{}, map[string]int{}
	for _, k := range plan {
		serials[k.Serial] = true
		sites[k.Site]++
		near := false
		for _, n := range known {
			north := (k.Location.Lat - n.Location.Lat) * metresPerDegree
			east := (k.Location.Lng - n.Location.Lng) * metresPerDegree * math.Cos(n.Location.Lat*math.Pi/180)
			near = near || n.Site == k.Site && math.Hypot(north, east) < 100
		}
		if !near || k.RealLocation == nil || k.Timezone == "" || k.Model == "" {
			t.Errorf("%s is not near a kiosk of its site: %+v", k.Serial, k)
		}
	}
	if len(serials) != 1200 || !serials["SIM-KIOSK-001"] || !serials["SIM-KIOSK-1200"] {
		t.Errorf("%d serials", len(serials))
	}
	if len(sites) != 4 {
		t.Errorf("sites: %v", sites)
	}
}

func TestWithoutSettingsThereAreBuiltInOnes(t *testing.T) {
	for _, k := range Plan(nil, "X-", 7) {
		if err := k.check(); err != nil || k.Site == "" || k.RealLocation == nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

func TestDurationsSurviveJSON(t *testing.T) {
	var d Duration
	text, err := Duration(90 * time.Second).MarshalText()
	if err != nil || d.UnmarshalText(text) != nil || d != Duration(90*time.Second) {
		t.Errorf("%s became %v, %v", text, d, err)
	}
}

func TestAKioskBesideThePoleIsOnEarth(t *testing.T) {
	for _, at := range []device.Position{{Lat: 90, Lng: 180}, {Lat: -90, Lng: -180}} {
		for i := range 100 {
			k := Beside(fmt.Sprintf("K-%d", i), Kiosk{Site: "Pole", Location: &at, RealLocation: &device.Position{}})
			if err := k.check(); err != nil || k.RealLocation != nil || k.Site != "Pole" {
				t.Fatalf("%+v: %v", k, err)
			}
		}
	}
}
