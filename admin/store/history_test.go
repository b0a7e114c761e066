package store

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestEventsOfATime(t *testing.T) {
	s := open(t)
	at := func(n int) time.Time { return now.Add(time.Duration(n) * time.Second) }
	must(t, s.change(t.Context(), "log", func(tx *sql.Tx) error {
		for _, e := range []fleet.Event{
			{At: at(3), Kind: fleet.EventPeripheral, Subject: "peripherals.a", To: "late"},
			{At: at(1), Kind: fleet.EventPeripheral, Subject: "peripherals.a", To: "early"},
			{At: at(2), Kind: fleet.EventPeripheral, Subject: "peripherals.b", To: "other"},
			{At: at(2), Kind: fleet.EventPeripheral, Subject: "peripherals.a", To: "first"},
			{At: at(2), Kind: fleet.EventPeripheral, Subject: "peripherals.a", To: "second"},
			{At: at(2), Kind: fleet.EventPresence, To: "online"},
			{Serial: "K-2", At: at(2), Kind: fleet.EventPeripheral, Subject: "peripherals.a", To: "another kiosk's"},
		} {
			if e.Serial == "" {
				e.Serial = "K-1"
			}
			if err := insertEvents(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, tt := range []struct {
		from, to, limit int
		want            []string
	}{
		{0, 9, 9, []string{"early", "other", "first", "second", "late"}},
		{1, 3, 9, []string{"early", "other", "first", "second"}},
		{2, 9, 2, []string{"other", "first"}},
		{4, 9, 9, nil},
	} {
		found, err := s.EventsBetween(t.Context(), "K-1", fleet.EventPeripheral, at(tt.from), at(tt.to), tt.limit)
		must(t, err)
		var got []string
		for _, e := range found {
			got = append(got, e.To)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("from %d to %d: %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
	for _, tt := range []struct {
		at           int
		subject      string
		before, from string
	}{
		{2, "peripherals.a", "early", "first"}, {2, "", "early", "other"}, {3, "peripherals.a", "second", "late"}, {1, "peripherals.a", "", "early"}, {4, "peripherals.b", "other", ""},
	} {
		before, err := s.EventBefore(t.Context(), "K-1", fleet.EventPeripheral, tt.subject, at(tt.at))
		must(t, err)
		from, err := s.EventFrom(t.Context(), "K-1", fleet.EventPeripheral, tt.subject, at(tt.at))
		must(t, err)
		if got := fmt.Sprint(to(before), " ", to(from)); got != tt.before+" "+tt.from {
			t.Errorf("%s around %d: %q", tt.subject, tt.at, got)
		}
	}
}

func to(e *fleet.Event) string {
	if e == nil {
		return ""
	}
	return e.To
}
