package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kioskfleet/admin/presence"
	"kioskfleet/internal/config"
	"kioskfleet/internal/daemon"
)

// How operators reach the HTTP side.
const (
	TLSOff      = "off"      // plain HTTP, on loopback addresses only
	TLSInternal = "internal" // a certificate of the platform's own CA
	TLSFiles    = "files"    // certificate and key from files, read again when they change
)

// Where the broker and the time series are.
const (
	BrokerEmbedded = "embedded"
	BrokerExternal = "external"

	BackendEmbedded = "embedded"
	BackendInfluxDB = "influxdb"
)

// Config is admin's configuration; configs/admin.yaml explains every key.
type Config struct {
	DataDir string   `key:"data_dir" usage:"folder of all data"`
	Dev     bool     `key:"dev" usage:"development mode: writes tokens for the spawner into the data folder"`
	Hosts   []string `key:"hosts" usage:"names and addresses that the server certificate covers; kiosks are told the first"`

	HTTP struct {
		Addr     string `key:"addr" usage:"address of page and API"`
		TLS      string `key:"tls" usage:"off (loopback only), internal or files"`
		CertFile string `key:"cert_file" usage:"PEM certificate chain for tls: files"`
		KeyFile  string `key:"key_file" usage:"PEM key for tls: files"`
		// PublicURL is where people find the page.
		PublicURL string `key:"public_url" usage:"address of the page as people reach it, for links in notifications; empty: no links"`
	} `key:"http"`

	Broker struct {
		Mode   string `key:"mode" usage:"embedded or external"`
		Kiosks struct {
			Addr string `key:"addr" usage:"address of the kiosks' MQTT listener (mTLS)"`
		} `key:"kiosks"`
		Integrators struct {
			Addr string `key:"addr" usage:"address of the integrators' MQTT listener (TLS and API token), empty: none"`
		} `key:"integrators"`
		URL       string   `key:"url" usage:"mqtts://host:port of the external broker"`
		Advertise []string `key:"advertise" usage:"broker addresses told to kiosks; default from hosts and the listener's port"`
	} `key:"broker"`

	Journal struct {
		MaxSize config.Bytes  `key:"max_size" usage:"size at which the journal refuses messages, for want of a consumer that keeps up"`
		MinFree config.Bytes  `key:"min_free" usage:"free disk space below which it refuses messages"`
		Keep    time.Duration `key:"keep" usage:"how long it keeps what was worked off"`
	} `key:"journal"`

	Telemetry struct {
		Backend   string        `key:"backend" usage:"embedded or influxdb"`
		Retention time.Duration `key:"retention" usage:"how long raw readings are kept by the embedded store"`
		Rollups   time.Duration `key:"rollup_retention" usage:"how long five-minute summaries are kept"`
		Window    time.Duration `key:"window" usage:"how late a reading may come"`
	} `key:"telemetry"`

	InfluxDB struct {
		URL     string        `key:"url" usage:"address of InfluxDB"`
		Token   string        `key:"token" usage:"token, or user:password for 1.8"`
		Org     string        `key:"org" usage:"organisation, empty for 1.8"`
		Bucket  string        `key:"bucket" usage:"bucket, or database for 1.8"`
		Timeout time.Duration `key:"timeout" usage:"of one request"`
		// Retention is for what admin creates; 0 means for ever.
		Retention time.Duration `key:"retention" usage:"how long a bucket or database that admin creates keeps readings, 0: for ever"`
	} `key:"influxdb"`

	Prometheus struct {
		MaxSamples int           `key:"max_samples" usage:"points that one PromQL query may hold in memory"`
		Timeout    time.Duration `key:"timeout" usage:"of one PromQL query"`
		Concurrent int           `key:"concurrent" usage:"PromQL queries that run at once, 0: one for each processor"`
	} `key:"prometheus"`

	Alerts struct {
		Rules string `key:"rules" usage:"YAML file of your own alert rules; empty: the shipped ones and those made on the page"`
	} `key:"alerts"`

	Anomaly struct {
		Enabled       bool          `key:"enabled" usage:"look for unusual behaviour of kiosks"`
		Budget        float64       `key:"budget" usage:"alerts per kiosk and week that are worth it"`
		Trees         bool          `key:"trees" usage:"half-space trees beside the other detectors, at about twice the cost"`
		SnapshotEvery time.Duration `key:"snapshot_every" usage:"how much of what was learnt a crash may lose"`
		Retrain       struct {
			Every        time.Duration `key:"every" usage:"how often a model is trained, 0: never by itself"`
			Window       time.Duration `key:"window" usage:"how far back a training looks"`
			Kiosks       int           `key:"kiosks" usage:"kiosks that a training looks at, at most"`
			MinKioskDays float64       `key:"min_kiosk_days" usage:"kiosks times days with readings that a scheduled training needs"`
			Promote      bool          `key:"promote" usage:"put a model that passes to work by itself"`
			Step         time.Duration `key:"step" usage:"thin readings to one per step, 0: as large fleets need it"`
		} `key:"retrain"`
	} `key:"anomaly"`

	Verdicts struct {
		File string `key:"file" usage:"table of what kiosk models need to serve; empty: the standard one"`
	} `key:"verdicts"`

	Admin struct {
		Password string `key:"password" usage:"password of the user admin at the first start"`
	} `key:"admin"`

	PKI struct {
		KioskValidity time.Duration `key:"kiosk_validity" usage:"validity of kiosks' certificates"`
	} `key:"pki"`

	Debug daemon.Debug `key:"debug"`
	Log   daemon.Log   `key:"log"`
}

// DefaultConfig starts with an empty folder and nothing else.
func DefaultConfig() *Config {
	c := &Config{DataDir: "data", Hosts: []string{"localhost", "127.0.0.1", "::1"}, Log: daemon.DefaultLog()}
	c.HTTP.Addr, c.HTTP.TLS = "127.0.0.1:8080", TLSOff
	c.Broker.Mode, c.Broker.Kiosks.Addr, c.Broker.Integrators.Addr = BrokerEmbedded, ":8883", ":8884"
	c.Journal.MaxSize, c.Journal.MinFree, c.Journal.Keep = 10<<30, 256<<20, 3*time.Hour
	c.Telemetry.Backend = BackendEmbedded
	c.Telemetry.Retention = 30 * 24 * time.Hour
	c.Telemetry.Rollups = 3 * 365 * 24 * time.Hour
	c.Telemetry.Window = 7 * 24 * time.Hour
	c.InfluxDB.URL, c.InfluxDB.Bucket, c.InfluxDB.Timeout = "http://127.0.0.1:8086", "kioskfleet", 10*time.Second
	c.Prometheus.MaxSamples, c.Prometheus.Timeout = 5_000_000, 30*time.Second
	c.Anomaly.Enabled, c.Anomaly.Budget, c.Anomaly.SnapshotEvery = true, 0.5, time.Minute
	c.Anomaly.Retrain.Every, c.Anomaly.Retrain.Window = 7*24*time.Hour, 14*24*time.Hour
	c.Anomaly.Retrain.Kiosks, c.Anomaly.Retrain.MinKioskDays, c.Anomaly.Retrain.Promote = 500, 20, true
	c.PKI.KioskValidity = 365 * 24 * time.Hour
	return c
}

var _ config.Validator = (*Config)(nil)

// Validate returns every fault, each naming its key.
func (c *Config) Validate() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf(key+": "+format, args...))
	}
	oneOf := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if value == a {
				return
			}
		}
		fault(key, "%q is unknown, use one of %s", value, strings.Join(allowed, ", "))
	}
	if c.DataDir == "" {
		fault("data_dir", "must not be empty")
	}
	if len(c.Hosts) == 0 {
		fault("hosts", "must name at least one host")
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/: \t") && net.ParseIP(h) == nil {
			fault("hosts", "%q is neither a host name nor an IP address", h)
		}
	}
	oneOf("http.tls", c.HTTP.TLS, TLSOff, TLSInternal, TLSFiles)
	host, _, err := net.SplitHostPort(c.HTTP.Addr)
	switch {
	case err != nil:
		fault("http.addr", "%q is not host:port", c.HTTP.Addr)
	case c.HTTP.TLS == TLSOff && !loopback(host):
		fault("http.addr", "%s is not a loopback address and http.tls is off: set http.tls to internal or files, or listen on 127.0.0.1", c.HTTP.Addr)
	}
	if c.HTTP.TLS == TLSFiles && (c.HTTP.CertFile == "" || c.HTTP.KeyFile == "") {
		fault("http.tls", "files needs http.cert_file and http.key_file")
	}
	if u, err := url.Parse(c.HTTP.PublicURL); c.HTTP.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fault("http.public_url", "%q is not an address such as https://fleet.example.com", c.HTTP.PublicURL)
	}
	oneOf("broker.mode", c.Broker.Mode, BrokerEmbedded, BrokerExternal)
	if _, _, err := net.SplitHostPort(c.Broker.Kiosks.Addr); err != nil {
		fault("broker.kiosks.addr", "%q is not host:port", c.Broker.Kiosks.Addr)
	}
	if addr := c.Broker.Integrators.Addr; addr != "" {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			fault("broker.integrators.addr", "%q is neither host:port nor empty", addr)
		}
	}
	if c.Broker.Mode == BrokerExternal && !strings.HasPrefix(c.Broker.URL, "mqtts://") {
		fault("broker.url", "%q is not mqtts://host:port, which broker.mode external needs", c.Broker.URL)
	}
	if c.Journal.MaxSize < 256<<20 {
		fault("journal.max_size", "must be at least 256MiB")
	}
	if c.Journal.Keep < 0 {
		fault("journal.keep", "must not be negative")
	}
	oneOf("telemetry.backend", c.Telemetry.Backend, BackendEmbedded, BackendInfluxDB)
	if c.Telemetry.Retention < time.Hour {
		fault("telemetry.retention", "must be at least 1h")
	}
	if c.Telemetry.Window < time.Minute || c.Telemetry.Window > c.Telemetry.Retention {
		fault("telemetry.window", "must be from 1m to telemetry.retention")
	}
	if c.Telemetry.Rollups < c.Telemetry.Retention {
		fault("telemetry.rollup_retention", "must be at least telemetry.retention")
	}
	if c.InfluxDB.Retention != 0 && c.InfluxDB.Retention < time.Hour {
		fault("influxdb.retention", "must be 0 or at least 1h")
	}
	if c.Prometheus.MaxSamples < 1000 {
		fault("prometheus.max_samples", "must be at least 1000")
	}
	if c.Prometheus.Timeout < time.Second {
		fault("prometheus.timeout", "must be at least 1s")
	}
	if c.Prometheus.Concurrent < 0 {
		fault("prometheus.concurrent", "must not be negative")
	}
	c.validateAnomaly(fault)
	if _, err := c.verdicts(); err != nil {
		faults = append(faults, err)
	}
	if c.PKI.KioskValidity < time.Hour {
		fault("pki.kiosk_validity", "must be at least 1h")
	}
	if err := c.Debug.Validate(); err != nil {
		faults = append(faults, err)
	}
	if p := c.Admin.Password; p != "" && len(p) < 10 {
		fault("admin.password", "must have at least 10 characters")
	}
	return errors.Join(faults...)
}

func (c *Config) validateAnomaly(fault func(key, format string, args ...any)) {
	a := &c.Anomaly
	if !(a.Budget > 0 && a.Budget <= 1000) { //nolint:staticcheck // NaN is neither
		fault("anomaly.budget", "must be above 0 and at most 1000 alerts per kiosk and week")
	}
	if a.SnapshotEvery < time.Second || a.SnapshotEvery > time.Hour {
		fault("anomaly.snapshot_every", "must be from 1s to 1h")
	}
	if a.Retrain.Every != 0 && a.Retrain.Every < time.Hour {
		fault("anomaly.retrain.every", "must be 0 or at least 1h")
	}
	if a.Retrain.Window < 48*time.Hour {
		fault("anomaly.retrain.window", "must be at least 48h")
	}
	if a.Retrain.Kiosks < 1 {
		fault("anomaly.retrain.kiosks", "must be at least 1")
	}
	if a.Retrain.MinKioskDays < 0 {
		fault("anomaly.retrain.min_kiosk_days", "must not be negative")
	}
	if a.Retrain.Step < 0 {
		fault("anomaly.retrain.step", "must not be negative")
	}
}

// verdicts reads the table of what kiosks need to serve, nil for the standard one.
func (c *Config) verdicts() (*presence.Verdicts, error) {
	if c.Verdicts.File == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Verdicts.File)
	if err != nil {
		return nil, fmt.Errorf("verdicts.file: %w", err)
	}
	v, err := presence.ParseVerdicts(text)
	if err != nil {
		return nil, fmt.Errorf("verdicts.file %s: %w", c.Verdicts.File, err)
	}
	return v, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// path returns a path inside the data folder.
func (c *Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.DataDir}, parts...)...)
}
