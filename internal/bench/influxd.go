package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/internal/testkit/influxd"
)

const (
	influxVersion = "InfluxDB 1.8.3"
	influxBucket  = "kioskfleet"
)

// influxServer is an InfluxDB under measurement.
type influxServer struct {
	*process
	url, dir string
}

// influxSettings are those that differ from the server's own defaults: where it is, and that it asks and tells
// nobody. Soon makes it compact as soon as nothing is written any more.
func influxSettings(dir string, soon bool) string {
	text := fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "%[1]s/meta"
[data]
  dir = "%[1]s/data"
  wal-dir = "%[1]s/wal"
  query-log-enabled = false
`, filepath.ToSlash(dir))
	if soon {
		text += `  cache-snapshot-write-cold-duration = "1s"
  compact-full-write-cold-duration = "1s"
`
	}
	return text + `[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:0"
  log-enabled = false
`
}

var influxListens = regexp.MustCompile(`msg="Listening on HTTP".* addr=(\S+)|Listening on HTTP.* addr=(\S+)`)

// startInflux starts a server on a folder that may hold data already. It fails with errNoInflux where there is no
// program and none can be built.
func (b *bench) startInflux(ctx context.Context, dir string, soon bool) (*influxServer, error) {
	program, err := influxd.Program(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoInflux, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(file, []byte(influxSettings(dir, soon)), 0o600); err != nil {
		return nil, err
	}
	p, line, err := startProcess(ctx, "influxd", append(os.Environ(), "HOME="+dir), "Listening on HTTP", program, "run", "-config", file)
	if err != nil {
		return nil, err
	}
	found := influxListens.FindStringSubmatch(line)
	if found == nil {
		p.stop()
		return nil, fmt.Errorf("influxd says %q", line)
	}
	return &influxServer{process: p, url: "http://" + found[1] + found[2], dir: dir}, nil
}

// errNoInflux says that a figure is missing because there is no InfluxDB.
var errNoInflux = errors.New("no " + influxVersion + " can be had")

// open connects the product's adapter to it.
func (s *influxServer) open(ctx context.Context) (*influx.Store, error) {
	return influx.Open(ctx, influx.Config{URL: s.url, Bucket: influxBucket})
}

// awaitCompacted returns once everything is in files that no compaction will touch again: the log is worked off
// and nothing has changed for a while. It returns their size.
func (s *influxServer) awaitCompacted(ctx context.Context) (bytes int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, compactionPatience)
	defer cancel()
	// Each look is a second after the other, and the server looks for work each second.
	const quiet = 4
	last, same := int64(-1), 0
	err = poll(ctx, "compact", time.Second, func() (bool, error) {
		data, logs, err := s.size()
		if err != nil {
			return false, err
		}
		if data != last || logs > emptyLog {
			last, same = data, 0
			return false, nil
		}
		same++
		return same >= quiet, nil
	})
	return last, err
}

const (
	compactionPatience = 2 * time.Minute
	// emptyLog is more than what is left of a log that was worked off.
	emptyLog = 4 << 10
)

// size returns the bytes of the points' files, and those of the logs before them. The list of series has room made
// beforehand and grows with kiosks, not with readings: it does not count.
func (s *influxServer) size() (data, logs int64, err error) {
	if data, err = folderSize(filepath.Join(s.dir, "data"), func(name string) bool { return strings.HasSuffix(name, ".tsm") }); err != nil {
		return 0, 0, err
	}
	logs, err = folderSize(filepath.Join(s.dir, "wal"), func(name string) bool { return strings.HasSuffix(name, ".wal") })
	return data, logs, err
}

// openInflux starts a server and connects the adapter to it; end ends both. Where no InfluxDB can be had it says in
// the report that what is missing, and all three are nil.
func (b *bench) openInflux(ctx context.Context, dir string, soon bool, what string, out *seriesRun) (server *influxServer, remote *influx.Store, end func(), err error) {
	server, err = b.startInflux(ctx, filepath.Join(b.dir, dir), soon)
	if errors.Is(err, errNoInflux) {
		out.miss(what, err)
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if remote, err = server.open(ctx); err != nil {
		server.stop()
		return nil, nil, nil, err
	}
	return server, remote, func() {
		_ = remote.Close()
		server.stop()
	}, nil
}
