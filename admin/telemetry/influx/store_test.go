package influx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/storetest"
	"kioskfleet/internal/testkit/influxd"
)

// opened is a store that knows how to open itself again.
type opened struct {
	*Store
	cfg Config
}

var databases atomic.Int64

// fresh returns a configuration with a database of its own.
func fresh(server *influxd.Server) Config {
	return Config{URL: server.URL, Bucket: fmt.Sprintf("test-%d", databases.Add(1))}
}

func open(t testing.TB, cfg Config) *opened {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return &opened{s, cfg}
}

func TestTheInfluxStoreKeepsTheContract(t *testing.T) {
	server := influxd.Start(t)
	storetest.Run(t,
		func(t *testing.T) telemetry.Store { return open(t, fresh(server)) },
		storetest.Reopen(func(t *testing.T, s telemetry.Store) telemetry.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			server.Restart()
			return open(t, s.(*opened).cfg)
		}),
		storetest.Expire(func(t *testing.T, s telemetry.Store, before time.Time) telemetry.Store {
			store := s.(*opened)
			// The server counts from now, and lets go of a week at a time.
			statement := fmt.Sprintf("ALTER RETENTION POLICY autogen ON %s DURATION %dh", quoteIdentifier(store.database), int(time.Since(before).Hours()))
			if _, err := store.column(t.Context(), statement, ""); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
				ends, err := store.column(t.Context(), "SHOW SHARD GROUPS", "end_time")
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(ends, func(end string) bool { return end < before.Format(time.RFC3339) }) {
					return s
				}
			}
			t.Fatal("the old shards are still there")
			return nil
		}))
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const metric = "hardware.cpu_temp"

func reading(serial string, offset time.Duration, value float64) fleet.Reading {
	return fleet.Reading{Serial: serial, Site: "hall-1", Time: noon.Add(offset), Values: []fleet.Value{{Metric: metric, Value: value}}}
}

func mustAppend(t testing.TB, s telemetry.Store, readings ...fleet.Reading) {
	t.Helper()
	if err := s.Append(t.Context(), readings); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// expect compares the values of one kiosk's metric on that day.
func expect(t testing.TB, s telemetry.Store, serial, metric string, want ...float64) {
	t.Helper()
	all, err := s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{serial}, From: noon.Add(-24 * time.Hour), To: noon.Add(24 * time.Hour)})
	if err != nil {
		t.Fatalf("Range: %v", err)
	}
	var got []float64
	for _, one := range all {
		for _, p := range one.Points {
			got = append(got, p.Value)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s of %s: got %v, want %v", metric, serial, got, want)
	}
}

// rejections returns what the error rejects, by index.
func rejections(t testing.TB, err error) map[int]string {
	t.Helper()
	var e *telemetry.RejectedError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *RejectedError", err)
	}
	reasons := map[int]string{}
	for _, r := range e.Rejected {
		if _, twice := reasons[r.Index]; twice {
			t.Errorf("reading %d is rejected twice", r.Index)
		}
		reasons[r.Index] = r.Reason
	}
	return reasons
}

func TestOpenNamesWhatIsWrongWithTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no URL", Config{Bucket: "fleet"}, "http://localhost:8086"},
		{"another scheme", Config{URL: "localhost:8086", Bucket: "fleet"}, "http://localhost:8086"},
		{"no bucket", Config{URL: "http://localhost:8086"}, "no bucket"},
		{"a policy without database", Config{URL: "http://localhost:8086", Bucket: "/autogen"}, "no bucket"},
		{"a negative timeout", Config{URL: "http://localhost:8086", Bucket: "fleet", Timeout: -1}, "negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.Context(), c.cfg)
			var later *telemetry.RetryAfterError
			if err == nil || errors.As(err, &later) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a lasting error that says %q", err, c.want)
			}
		})
	}
}

func TestAServerThatIsAwayIsATemporaryError(t *testing.T) {
	server := influxd.Start(t)
	s := open(t, fresh(server))
	mustAppend(t, s, reading("K-1", 0, 1))
	server.Stop()
	var later *telemetry.RetryAfterError
	if err := s.Append(t.Context(), []fleet.Reading{reading("K-1", time.Second, 2)}); !errors.As(err, &later) {
		t.Errorf("Append: %v, want a *RetryAfterError", err)
	}
	if _, err := s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: noon, To: noon.Add(time.Hour)}); !errors.As(err, &later) {
		t.Errorf("Range: %v, want a *RetryAfterError", err)
	}
	if _, err := Open(t.Context(), s.cfg); !errors.As(err, &later) {
		t.Errorf("Open: %v, want a *RetryAfterError", err)
	}
	server.Restart()
	mustAppend(t, s, reading("K-1", time.Second, 2)) // the same store goes on
	expect(t, s, "K-1", metric, 1, 2)
}

func TestAServerThatHangsIsATemporaryError(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	_, err := Open(t.Context(), Config{URL: server.URL, Bucket: "fleet", Timeout: 20 * time.Millisecond})
	var later *telemetry.RetryAfterError
	if !errors.As(err, &later) {
		t.Errorf("Open: %v, want a *RetryAfterError", err)
	}
	s, err := newStore(Config{URL: server.URL, Bucket: "fleet", Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Append(t.Context(), []fleet.Reading{reading("K-1", 0, 1)}); !errors.As(err, &later) {
		t.Errorf("Append: %v, want a *RetryAfterError", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := s.Append(ctx, []fleet.Reading{reading("K-1", 0, 1)}); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &later) {
		t.Errorf("Append with a deadline: %v, want the caller's own reason", err)
	}
}

func TestAServerThatRefusesAQuestionIsNotTheAskersFault(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error":"not you"}`))
		}))
		s, err := newStore(Config{URL: server.URL, Bucket: "fleet"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Range(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: time.Unix(0, 0), To: time.Unix(60, 0)})
		if !errors.Is(err, telemetry.ErrRefused) || !strings.Contains(err.Error(), "not you") {
			t.Errorf("status %d: %v", status, err)
		}
		_ = s.Close()
		server.Close()
	}
}

func TestQuotingKeepsHostileNamesInsideTheirQuotes(t *testing.T) {
	s := open(t, fresh(influxd.Start(t)))
	mustAppend(t, s, reading("K-1", 0, 1))
	// Range lets none of these through, so the statements are built and run directly.
	for _, hostile := range []string{
		`K-1' OR 'a'='a`, `' OR "serial" =~ /.*/ OR 'x' = '`, `x'; DROP MEASUREMENT "kiosk_telemetry"; --`, `x"; DROP DATABASE "test-1"; --`,
		`\`, `\\`, `\'`, `\"`, `'`, `"`, "a\nb", "a\\\nb", `\n`, "ñ 日本", "$serial", "/.*/",
	} {
		for _, statement := range []string{
			selection{metric, []string{hostile, hostile}, 0, maxMilli}.raw(),
			selection{hostile, []string{"K-1"}, 0, maxMilli}.raw(),
			selection{hostile, []string{"K-1"}, 0, maxMilli}.count(),
			selection{hostile, []string{"K-1"}, 0, maxMilli}.windows(functions[:1], 24*3600*1000*365),
		} {
			err := s.query(t.Context(), statement, 1, func(serial string, _ int64, values []float64) error {
				return fmt.Errorf("it found %v of %q", values, serial)
			})
			if err != nil {
				t.Errorf("%q in %s: %v", hostile, statement, err)
			}
		}
		// What is quoted is also found again: the escapes are the server's own.
		if strings.Contains(hostile, "\n") {
			continue // not in line protocol
		}
		escaped := strings.NewReplacer(`,`, `\,`, `=`, `\=`, ` `, `\ `).Replace(strings.TrimRight(hostile, `\`) + "x")
		if err := s.writer.WriteRecord(t.Context(), "kiosk_telemetry,serial="+escaped+" hardware.cpu_temp=5 1772445600000"); err != nil {
			t.Fatalf("%q: %v", hostile, err)
		}
		found := 0
		err := s.query(t.Context(), selection{metric, []string{strings.TrimRight(hostile, `\`) + "x"}, 0, maxMilli}.raw(), 1, func(string, int64, []float64) error {
			found++
			return nil
		})
		if err != nil || found != 1 {
			t.Errorf("%q: found %d times, %v", hostile, found, err)
		}
	}
	expect(t, s, "K-1", metric, 1)
}

func TestTextsAndStatusAreStringFieldsForIntegrators(t *testing.T) {
	s := open(t, fresh(influxd.Start(t)))
	r := reading("K-1", 0, 1)
	r.Site, r.Status = `hall 1, "north"=\`, "online"
	r.Texts = []fleet.Text{{Metric: "peripherals.printer_status", Text: "paper \"jam\"\nin \\tray\\ 2,3=4"}}
	mustAppend(t, s, r)
	for field, want := range map[string]string{
		`"peripherals.printer_status"`: r.Texts[0].Text,
		`"status"`:                     "online",
	} {
		got, err := s.column(t.Context(), "SELECT "+field+" AS f FROM kiosk_telemetry", "f")
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, %v, want %q", field, got, err, want)
		}
	}
	sites, err := s.column(t.Context(), "SHOW TAG VALUES WITH KEY = site", "value")
	if want := `hall 1, "north"=/`; err != nil || len(sites) != 1 || sites[0] != want {
		t.Errorf("sites %q, %v, want %q", sites, err, want)
	}
}

func TestTheAddressInMessagesHasNoPassword(t *testing.T) {
	_, err := Open(t.Context(), Config{URL: "http://fleet:" + url.QueryEscape("s3cret") + "@127.0.0.1:1", Bucket: "fleet"})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}
