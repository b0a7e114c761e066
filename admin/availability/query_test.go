package availability

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"kioskfleet/admin/fleet"
)

func mustTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPeriodsAreThoseOfTheZone(t *testing.T) {
	tests := []struct {
		name, zone, period, from, to string
		want                         string // starts in UTC and hours
	}{
		{"days", "UTC", "day", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "01-01T00:00+24 01-02T00:00+24"},
		{"cut at both ends", "UTC", "day", "2026-01-01T06:00:00Z", "2026-01-02T01:30:00Z", "01-01T06:00+18 01-02T00:00+1.5"},
		{"half an hour", "Asia/Kolkata", "day", "2026-01-01T18:30:00Z", "2026-01-03T18:30:00Z", "01-01T18:30+24 01-02T18:30+24"},
		{"a day of 23 hours", "Europe/Madrid", "day", "2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z", "03-28T23:00+23 03-29T22:00+24"},
		{"a day of 25 hours", "Europe/Madrid", "day", "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", "10-24T22:00+25 10-25T23:00+24"},
		{"half an hour of daylight saving", "Australia/Lord_Howe", "day", "2026-04-03T13:00:00Z", "2026-04-05T13:30:00Z", "04-03T13:00+24 04-04T13:00+24.5"},
		{"midnight left out", "Africa/Cairo", "day", "2026-04-22T22:00:00Z", "2026-04-24T21:00:00Z", "04-22T22:00+24 04-23T22:00+23"},
		{"midnight twice", "America/Havana", "day", "2025-10-31T04:00:00Z", "2025-11-03T05:00:00Z", "10-31T04:00+24 11-01T04:00+24 11-02T04:00+25"},
		{"the hour before midnight twice", "Africa/Cairo", "day", "2025-10-29T21:00:00Z", "2025-10-31T22:00:00Z", "10-29T21:00+25 10-30T22:00+24"},
		{"a day that the zone left out", "Pacific/Apia", "day", "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", "12-29T10:00+24 12-30T10:00+24"},
		{"weeks from Monday", "UTC", "week", "2025-12-30T00:00:00Z", "2026-01-12T00:00:00Z", "12-30T00:00+144 01-05T00:00+168"},
		{"a Sunday is the last day", "UTC", "week", "2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z", "01-04T00:00+24 01-05T00:00+24"},
		{"months", "Europe/Madrid", "month", "2026-02-28T23:00:00Z", "2026-04-30T22:00:00Z", "02-28T23:00+743 03-31T22:00+720"},
		{"one for all", "Europe/Madrid", "", "2026-02-28T23:15:00Z", "2026-03-01T22:00:00Z", "02-28T23:15+22.75"},
		{"nothing of the future", "UTC", "day", "2027-12-31T00:00:00Z", "2028-05-01T00:00:00Z", "12-31T00:00+24 01-01T00:00+24"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			q := fleet.AvailabilityQuery{Scope: "fleet", From: mustTime(tt.from), To: mustTime(tt.to), Period: tt.period, Zone: zone}
			found, err := spans(&q, mustTime("2028-01-01T12:00:00Z"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range found {
				got = append(got, fmt.Sprintf("%s+%v", time.UnixMilli(s.from).UTC().Format("01-02T15:04"), float64(s.to-s.from)/3600/1000))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %s, want %s", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestAQueryThatCannotBeAnswered(t *testing.T) {
	from, to := at("10:00:00"), at("11:00:00")
	tests := []struct {
		name        string
		query       fleet.AvailabilityQuery
		field, says string
	}{
		{"an unknown scope", fleet.AvailabilityQuery{Scope: "region", From: from, To: to}, "scope", "kiosk, site, fleet"},
		{"a name of the fleet", fleet.AvailabilityQuery{Scope: "fleet", Name: "x", From: from, To: to}, "name", "empty"},
		{"an unknown period", fleet.AvailabilityQuery{Scope: "fleet", From: from, To: to, Period: "year"}, "period", "month"},
		{"backwards", fleet.AvailabilityQuery{Scope: "fleet", From: to, To: from}, "from", "before to"},
		{"between quarters", fleet.AvailabilityQuery{Scope: "fleet", From: from.Add(time.Minute), To: to}, "from", "10:00:00"},
		{"an end between quarters", fleet.AvailabilityQuery{Scope: "fleet", From: from, To: to.Add(-time.Minute)}, "to", "10:45:00"},
		{"a decade", fleet.AvailabilityQuery{Scope: "fleet", From: from.AddDate(-10, 0, 0), To: to}, "from", "five years"},
		{"too many rows", fleet.AvailabilityQuery{Scope: "kiosk", From: from.AddDate(-4, 0, 0).Truncate(time.Hour), To: to, Period: "day"}, "period", "ask for longer periods"},
	}
	w := newWorld(t)
	for i := range 40 {
		serial := fmt.Sprint("K", i)
		w.sites[serial] = "x"
		w.is(serial, "can_serve")
	}
	w.now = at("12:00:00")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.book.Query(t.Context(), tt.query)
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || invalid.Violations[0].Field != tt.field || !strings.Contains(invalid.Violations[0].Reason, tt.says) {
				t.Errorf("error %v, want %s: … %s", err, tt.field, tt.says)
			}
		})
	}
}

func TestADamagedRecordIsAnError(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": nil, "another version": {2}, "cut": {1, 3, 1, 5}, "a run beyond the week": {1, 0x82, 0xff, 0x7f}, "more than a quarter": {1, 3, 1, 0xa0, 0xf7, 0x36, 0xa0, 0xf7, 0x36}, "a kind that nobody knows": {1, 0x40, 1, 1},
	} {
		if err := decode(data, func(int, int, *amounts) {}); !errors.Is(err, errDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	w := newWorld(t)
	if err := w.db.SaveAvailability(t.Context(), fleet.AvailabilityChange{Weeks: []fleet.AvailabilityWeek{{Week: weekOf(w.now.UnixMilli()), Serial: "A", Data: []byte{9}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.book.Query(t.Context(), fleet.AvailabilityQuery{Scope: "fleet", From: w.now, To: w.now.Add(time.Hour)}); err == nil || !strings.Contains(err.Error(), "kiosk A") {
		t.Errorf("error %v", err)
	}
}

func TestOldRecordsGo(t *testing.T) {
	w := newWorld(t)
	w.play("10:00:00 A can_serve\n10:10:00 A degraded\n10:10:01 flush")
	count := func() (n int) {
		week := weekOf(w.now.UnixMilli())
		if err := w.db.AvailabilityWeeks(t.Context(), "", "", week, week, func(fleet.AvailabilityWeek) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	week := weekOf(w.now.UnixMilli())
	for _, tt := range []struct {
		before int64
		want   int
	}{{week, 1}, {week + 1, 0}} {
		if err := w.db.DeleteAvailability(t.Context(), tt.before); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != tt.want {
			t.Errorf("%d records after deleting those before week %d, want %d", got, tt.before, tt.want)
		}
	}
}

// fill gives kiosks days with 20 changes each.
func fill(w *world, kiosks, days int) (from time.Time) {
	from = w.now.Truncate(24 * time.Hour)
	var states []string
	for i := range kiosks {
		serial := fmt.Sprintf("KIOSK-%05d", i)
		w.sites[serial] = fmt.Sprint("site-", i%(kiosks/20+1))
		states = append(states, serial)
	}
	words := []string{"can_serve", "degraded", "can_serve", "cannot_serve", "can_serve", "offline"}
	w.now = from
	for change := range days * 20 {
		for i, serial := range states {
			w.now = from.Add(time.Duration(change)*72*time.Minute + time.Duration(i)*time.Millisecond)
			w.is(serial, words[(change+i)%len(words)])
		}
		if change%100 == 99 {
			w.flush(true)
		}
	}
	w.now = from.Add(time.Duration(days) * 24 * time.Hour)
	w.flush(true)
	return from
}

func TestThousandsOfKiosksAddUp(t *testing.T) {
	w := newWorld(t)
	from := fill(w, 3000, 2)
	rows := w.query(fleet.AvailabilityQuery{Scope: "fleet", From: from, To: w.now, Period: "day"})
	if len(rows) != 2 || rows[1].Kiosks != 3000 {
		t.Fatalf("rows %v", rows)
	}
	var all float64
	for _, s := range rows[1].Seconds {
		all += s
	}
	if all != 3000*24*3600 {
		t.Errorf("%v seconds of the second day, want those of 3000 kiosks", all)
	}
	if rows := w.query(fleet.AvailabilityQuery{Scope: "kiosk", From: from, To: w.now}); len(rows) != 3000 {
		t.Errorf("%d rows", len(rows))
	}
}

func BenchmarkMonthOfAThousandKiosks(b *testing.B) {
	w := newWorld(b)
	from := fill(w, 1000, 31)
	var size int
	if err := w.db.AvailabilityWeeks(b.Context(), "", "", weekOf(from.UnixMilli()), weekOf(w.now.UnixMilli()), func(a fleet.AvailabilityWeek) error {
		size += len(a.Data)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for _, q := range []fleet.AvailabilityQuery{{Scope: "fleet", Period: "day"}, {Scope: "site", Period: "week"}, {Scope: "kiosk", Period: "month"}, {Scope: "kiosk", Name: "KIOSK-00007", Period: "day"}} {
		b.Run(q.Scope+"-by-"+q.Period+"-"+q.Name, func(b *testing.B) {
			q.From, q.To = from, w.now
			for b.Loop() {
				if _, err := w.book.Query(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)/1000/31, "B/kiosk/day")
		})
	}
}

func BenchmarkChanged(b *testing.B) {
	w := newWorld(b)
	w.is("A", "can_serve")
	l := &fleet.Live{Serial: "A", Presence: fleet.PresenceOnline, Verdict: fleet.VerdictCanServe, Status: "online"}
	b.ReportAllocs()
	for b.Loop() {
		w.book.Changed(l, l, w.now)
	}
}
