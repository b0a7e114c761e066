package telemetry

import (
	"testing"
	"time"
)

// Every instant of two years is in the window that its local date says, and windows leave nothing out.
func TestLocalDaysCoverAllTimeOnce(t *testing.T) {
	for _, name := range []string{"Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "America/Sao_Paulo"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range []int{2010, 2018, 2025} {
			g := NewGrid(24*time.Hour, zone)
			last := time.Date(year+2, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
			ms := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
			for before := int64(0); ms < last; {
				start, end := g.Window(ms)
				if before != 0 && start != before {
					t.Fatalf("%s: a window starts at %v, the one before ends at %v", name, timeOf(start).In(zone), timeOf(before).In(zone))
				}
				for _, inside := range []int64{start, (start + end) / 2, end - 1} {
					if s, e := g.Window(inside); s != start || e != end {
						t.Fatalf("%s: %v is in %v to %v, not in %v to %v", name, timeOf(inside).In(zone), timeOf(s).In(zone), timeOf(e).In(zone), timeOf(start).In(zone), timeOf(end).In(zone))
					}
				}
				if hours := float64(end-start) / 3.6e6; hours < 22.5 || hours > 25.5 {
					t.Fatalf("%s: the day of %v has %v hours", name, timeOf(start).In(zone), hours)
				}
				ms, before = end, end
			}
		}
	}
}

func TestAGridSaysWhetherFinerWindowsFit(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	monrovia, err := time.LoadLocation("Africa/Monrovia") // 44 minutes and 30 seconds until 1972
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC).UnixMilli()
	for _, c := range []struct {
		name string
		grid Grid
		from int64
		want bool
	}{
		{"an hour", NewGrid(time.Hour, nil), now, true},
		{"seven minutes", NewGrid(7*time.Minute, nil), now, false},
		{"days in Kolkata", NewGrid(day, kolkata), now, true},
		{"days in Monrovia", NewGrid(day, monrovia), now, true},
		{"days in Monrovia in 1971", NewGrid(day, monrovia), time.Date(1971, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli(), false},
	} {
		if got := c.grid.Divides(5*time.Minute, c.from, c.from+3*dayMilli); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
