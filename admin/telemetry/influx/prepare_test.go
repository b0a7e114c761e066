package influx

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/testkit/influxd"
)

func TestOpenCreatesWhatTheTokenMay(t *testing.T) {
	server := influxd.Start(t, influxd.WithAuth("root", "secret"))
	admin := Config{URL: server.URL, Token: "root:secret", Bucket: `fleet "1"`}
	s := open(t, admin)
	mustAppend(t, s, reading("K-1", 0, 1))
	expect(t, s, "K-1", metric, 1)
	for _, statement := range []string{"CREATE USER reader WITH PASSWORD 'secret'", `GRANT ALL ON "fleet \"1\"" TO reader`} {
		if _, err := s.column(t.Context(), statement, ""); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	const lasting, temporary = "lasting", "temporary"
	for _, c := range []struct {
		name string
		edit func(*Config)
		kind string // "" when it opens
		want string
	}{
		{"again", func(*Config) {}, "", ""},
		{"its default retention policy", func(c *Config) { c.Bucket += "/autogen" }, "", ""},
		{"a user with rights to the database only", func(c *Config) { c.Token = "reader:secret" }, "", ""},
		{"a user who may not create the database", func(c *Config) { c.Token, c.Bucket = "reader:secret", "other" },
			temporary, `influx -execute 'CREATE DATABASE "other"'`},
		{"nor with its policy", func(c *Config) { c.Token, c.Bucket, c.Retention = "reader:secret", "other/month", 720*time.Hour },
			temporary, `influx -execute 'CREATE DATABASE "other" WITH DURATION 720h REPLICATION 1 NAME "month"'`},
		{"a user who may not create the policy", func(c *Config) { c.Token = "reader:secret"; c.Bucket += "/week" },
			temporary, `CREATE RETENTION POLICY "week" ON "fleet \"1\"" DURATION INF REPLICATION 1'`},
		{"a retention policy that is missing", func(c *Config) { c.Bucket += "/month"; c.Retention = 720 * time.Hour }, "", ""},
		{"no token", func(c *Config) { c.Token = "" }, lasting, "401"},
		{"a wrong token", func(c *Config) { c.Token = "root:guess" }, lasting, "authorization failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := admin
			c.edit(&cfg)
			s, err := Open(t.Context(), cfg)
			if err == nil {
				s.Close()
			}
			var later *telemetry.RetryAfterError
			var setup *SetupError
			switch {
			case c.kind == "" && err != nil:
				t.Errorf("got %v", err)
			case c.kind != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case c.kind == temporary && (!errors.As(err, &later) || !errors.As(err, &setup) || later.After <= 0):
				t.Errorf("got %v, want a *SetupError that is looked at again", err)
			case c.kind == lasting && errors.As(err, &later):
				t.Errorf("got %v, want a lasting error", err)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("%q tells the password", err)
			}
		})
	}
	// What the messages propose is right: it is what Open does itself when it may.
	cfg := admin
	cfg.Bucket, cfg.Retention = "other/month", 720*time.Hour
	open(t, cfg)
	for database, want := range map[string]string{"other": "month 720h0m0s", `fleet "1"`: "month 720h0m0s"} {
		policies, err := s.column(t.Context(), "SHOW RETENTION POLICIES ON "+quoteIdentifier(database), "name")
		durations, err2 := s.column(t.Context(), "SHOW RETENTION POLICIES ON "+quoteIdentifier(database), "duration")
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		var found []string
		for i := range policies {
			found = append(found, policies[i]+" "+durations[i])
		}
		if !slices.Contains(found, want) {
			t.Errorf("%s has the policies %v, want %s", database, found, want)
		}
	}
}

// influx2 answers as InfluxDB 2 documents its API, as far as Open needs it.
type influx2 struct {
	*httptest.Server
	databases []string // that InfluxQL finds
	buckets   []map[string]any
	virtual   bool   // every bucket is mapped by itself, as newer servers do
	may       string // "all", "write" (to its buckets, and see them) or "nothing"
	requests  []string
}

func startInflux2(t *testing.T) *influx2 {
	s := &influx2{may: "all"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Influxdb-Version", "v2.7.6")
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Token t" && r.URL.Path != "/ping" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":"no access","message":"no access with this token"}`)
			return
		}
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		if r.Method == http.MethodPost && r.URL.Path != "/query" {
			text, _ := json.Marshal(body)
			s.requests = append(s.requests, r.URL.Path+" "+string(text))
			if s.may != "all" {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"code":"forbidden","message":"insufficient permissions for write"}`)
				return
			}
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /ping":
			w.WriteHeader(http.StatusNoContent)
		case "POST /query":
			rows := [][]string{{"_monitoring"}}
			for _, d := range s.databases {
				rows = append(rows, []string{d})
			}
			text, _ := json.Marshal(rows)
			fmt.Fprintf(w, `{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":%s}]}]}`, text)
		case "GET /api/v2/orgs":
			if r.URL.Query().Get("org") != "acme" {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `{"code":"not found","message":"organization name \"other\" not found"}`)
				return
			}
			fmt.Fprint(w, `{"orgs":[{"id":"00000000000000aa","name":"acme"}]}`)
		case "GET /api/v2/buckets":
			for _, b := range s.buckets {
				if b["name"] == r.URL.Query().Get("name") && s.may != "nothing" {
					text, _ := json.Marshal(b)
					fmt.Fprintf(w, `{"links":{"self":"x"},"buckets":[%s]}`, text)
					return
				}
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"code":"not found","message":"bucket %q not found"}`, r.URL.Query().Get("name"))
		case "POST /api/v2/buckets":
			body["id"] = "00000000000000bb"
			s.buckets = append(s.buckets, body)
			if s.virtual {
				s.databases = append(s.databases, body["name"].(string))
			}
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(body)
		case "POST /api/v2/dbrps":
			s.databases = append(s.databases, body["database"].(string))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id":"00000000000000cc"}`)
		default:
			t.Errorf("unexpected request %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestOpenPreparesInfluxDB2(t *testing.T) {
	const (
		bucketBody  = `/api/v2/buckets {"description":"Readings of kiosks","name":"fleet","orgID":"00000000000000aa","retentionRules":[{"everySeconds":2592000,"type":"expire"}]}`
		mappingBody = `/api/v2/dbrps {"bucketID":"00000000000000bb","database":"fleet","default":true,"orgID":"00000000000000aa","retention_policy":"autogen"}`
	)
	fleet := []map[string]any{{"id": "00000000000000bb", "orgID": "00000000000000aa", "name": "fleet"}}
	for _, c := range []struct {
		name     string
		server   func(*influx2)
		cfg      func(*Config)
		requests []string
		fails    string // what the error says; "" when it opens
		lasting  bool
	}{
		{"everything is there", func(s *influx2) { s.databases = []string{"fleet"}; s.may = "nothing" }, nil, nil, "", false},
		{"nothing is there", nil, nil, []string{bucketBody, mappingBody}, "", false},
		{"nothing is there, for ever", func(s *influx2) { s.virtual = true }, func(c *Config) { c.Retention = 0 },
			[]string{strings.Replace(bucketBody, `{"everySeconds":2592000,"type":"expire"}`, "", 1)}, "", false},
		{"a server that maps buckets by itself", func(s *influx2) { s.virtual = true }, nil, []string{bucketBody}, "", false},
		{"only the mapping is missing", func(s *influx2) { s.buckets = fleet }, nil, []string{mappingBody}, "", false},
		{"a bucket of a database and a policy", func(s *influx2) {
			s.buckets = []map[string]any{{"id": "00000000000000bb", "orgID": "00000000000000aa", "name": "fleet/month"}}
		}, func(c *Config) { c.Bucket = "fleet/month" }, []string{strings.Replace(mappingBody, "autogen", "month", 1)}, "", false},
		{"a token that may not create the bucket", func(s *influx2) { s.may = "nothing" }, nil, []string{bucketBody},
			"run as an InfluxDB administrator: influx bucket create --org acme --name fleet --retention 720h; influx v1 dbrp create --org acme --db fleet --rp autogen --default --bucket-id <id of the bucket>", false},
		{"a token that may not map it", func(s *influx2) { s.may, s.buckets = "write", fleet }, nil, []string{mappingBody},
			"influx v1 dbrp create --org acme --db fleet --rp autogen --default --bucket-id 00000000000000bb", false},
		{"an organisation that is none", nil, func(c *Config) { c.Org = "other" }, nil, "influx bucket create --org other", false},
		{"no organisation", nil, func(c *Config) { c.Org = "" }, nil, "influxdb.org", true},
		{"a wrong token", nil, func(c *Config) { c.Token = "guess" }, nil, "no access", true},
		{"names for a shell", func(s *influx2) { s.may = "nothing" }, func(c *Config) { c.Bucket, c.Retention = "the fleet's", 0 }, nil, `--name 'the fleet'\''s'`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startInflux2(t)
			if c.server != nil {
				c.server(server)
			}
			cfg := Config{URL: server.URL, Bucket: "fleet", Org: "acme", Token: "t", Retention: 30 * 24 * time.Hour}
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			s, err := Open(t.Context(), cfg)
			if err == nil {
				s.Close()
			}
			if c.requests != nil && !slices.Equal(server.requests, c.requests) {
				t.Errorf("it asked for %q, want %q", server.requests, c.requests)
			}
			var later *telemetry.RetryAfterError
			switch {
			case c.fails == "" && err != nil:
				t.Errorf("got %v", err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || errors.As(err, &later) == c.lasting):
				t.Errorf("got %v, want %s", err, c.fails)
			}
		})
	}
}

func TestOpenOfInfluxDB3SetsTheRetentionIfItMay(t *testing.T) {
	for name, c := range map[string]struct {
		retention time.Duration
		status    int
		asks, ok  bool
	}{
		"no retention":       {0, 0, false, true},
		"created":            {720 * time.Hour, 200, true, true},
		"it exists":          {720 * time.Hour, 409, true, true},
		"not with the token": {720 * time.Hour, 403, true, true},
		"refused":            {720 * time.Hour, 400, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ping" {
					fmt.Fprint(w, `{"version":"3.1.0","revision":"x"}`)
					return
				}
				var body map[string]string
				_ = json.NewDecoder(r.Body).Decode(&body)
				got = r.Method + " " + r.URL.Path + " " + body["db"] + " " + body["retention_period"]
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			s, err := Open(t.Context(), Config{URL: server.URL, Bucket: "fleet", Token: "t", Retention: c.retention})
			if err == nil {
				s.Close()
			}
			want := ""
			if c.asks {
				want = "POST /api/v3/configure/database fleet 720h"
			}
			if got != want || (err == nil) != c.ok {
				t.Errorf("asked %q, error %v", got, err)
			}
		})
	}
}
