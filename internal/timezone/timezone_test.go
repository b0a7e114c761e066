package timezone

import (
	"testing"
	"time"
	_ "time/tzdata" // also where the system has none
)

func TestLoad(t *testing.T) {
	for _, name := range []string{"Europe/Madrid", "America/Argentina/Buenos_Aires", "UTC", "", "Local"} {
		first, err := Load(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		again, err := Load(name)
		if err != nil || first != again || OrUTC(name) != first {
			t.Errorf("%q is another zone at the second look (%v)", name, err)
		}
		want, err := time.LoadLocation(name)
		if err != nil || first.String() != want.String() {
			t.Errorf("%q is %s, want %s (%v)", name, first, want, err)
		}
	}
	for _, name := range []string{"Nowhere/AtAll", "../etc/passwd", "/etc/localtime"} {
		if _, err := Load(name); err == nil {
			t.Errorf("%q is a zone", name)
		}
		if _, kept := known.Load(name); kept || OrUTC(name) != time.UTC {
			t.Errorf("%q is kept", name)
		}
	}
	if n := testing.AllocsPerRun(10, func() { OrUTC("Europe/Madrid") }); n > 0 {
		t.Errorf("%v allocations to look up a zone that is known", n)
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load("America/Argentina/Buenos_Aires"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadLocation is the standard library's, for comparison.
func BenchmarkLoadLocation(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := time.LoadLocation("America/Argentina/Buenos_Aires"); err != nil {
			b.Fatal(err)
		}
	}
}
