package influx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/telemetry"
)

// setupRetry is how soon to look again whether a person has run the command.
const setupRetry = 15 * time.Second

// SetupError says that the server lacks something that the token may not create.
type SetupError struct {
	Missing string // such as: database fleet
	Command string // that a person may run to create it
	Err     error  // why we cannot; nil when we did not try
}

func (e *SetupError) Error() string {
	text := e.Missing + " is missing and cannot be created with this token; run as an InfluxDB administrator: " + e.Command
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *SetupError) Unwrap() error { return e.Err }

// missing returns the error for something that could not be created. It is temporary: no restart is needed
// once somebody has run the command.
func missing(what, command string, err error) error {
	var later *telemetry.RetryAfterError
	if errors.As(err, &later) {
		return err // it was the server's trouble, not the token's
	}
	return &telemetry.RetryAfterError{After: setupRetry, Err: &SetupError{what, command, err}}
}

// defaultPolicy is the retention policy of a database that names none.
const defaultPolicy = "autogen"

// duration writes the retention as InfluxQL and the command line have it.
func duration(d time.Duration) string {
	switch {
	case d == 0:
		return "INF"
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// prepareV1 creates the database and the retention policy if they are missing.
func (s *Store) prepareV1(ctx context.Context) error {
	databases, err := s.column(ctx, "SHOW DATABASES", "name")
	if err != nil {
		return fmt.Errorf("list the databases: %w", err)
	}
	if !slices.Contains(databases, s.database) {
		create := "CREATE DATABASE " + quoteIdentifier(s.database)
		if s.policy != "" || s.retention > 0 {
			create += " WITH DURATION " + duration(s.retention) + " REPLICATION 1 NAME " + quoteIdentifier(s.policyOrDefault())
		}
		if _, err := s.column(ctx, create, ""); err != nil {
			return missing("database "+s.database, "influx -execute "+word(create), err)
		}
		s.logger.Info("InfluxDB database created", "database", s.database, "retention", duration(s.retention))
		return nil
	}
	if s.policy == "" {
		return nil
	}
	policies, err := s.column(ctx, "SHOW RETENTION POLICIES ON "+quoteIdentifier(s.database), "name")
	if err != nil {
		return fmt.Errorf("list the retention policies of %s: %w", s.database, err)
	}
	if slices.Contains(policies, s.policy) {
		return nil
	}
	create := fmt.Sprintf("CREATE RETENTION POLICY %s ON %s DURATION %s REPLICATION 1", quoteIdentifier(s.policy), quoteIdentifier(s.database), duration(s.retention))
	if _, err := s.column(ctx, create, ""); err != nil {
		return missing(fmt.Sprintf("retention policy %s of database %s", s.policy, s.database), "influx -execute "+word(create), err)
	}
	s.logger.Info("InfluxDB retention policy created", "database", s.database, "policy", s.policy, "retention", duration(s.retention))
	return nil
}

func (s *Store) policyOrDefault() string {
	if s.policy == "" {
		return defaultPolicy
	}
	return s.policy
}

// mapped reports whether InfluxQL finds the bucket as a database.
func (s *Store) mapped(ctx context.Context) (bool, error) {
	databases, err := s.column(ctx, "SHOW DATABASES", "name")
	if err != nil {
		return false, fmt.Errorf("list the databases: %w", err)
	}
	return slices.Contains(databases, s.database), nil
}

// prepareV2 creates the bucket if it is missing, and the mapping by which InfluxQL finds it (DBRP). Newer
// servers have a mapping for every bucket by themselves.
func (s *Store) prepareV2(ctx context.Context) error {
	if there, err := s.mapped(ctx); err != nil || there {
		return err
	}
	if s.org == "" {
		return errors.New("InfluxDB 2 needs an organisation; set influxdb.org")
	}
	id, orgID, err := s.findBucket(ctx)
	if err != nil {
		return err
	}
	if id == "" {
		if id, orgID, err = s.createBucket(ctx); err != nil {
			return missing("bucket "+s.bucket, s.bucketCommand()+"; "+s.mappingCommand("<id of the bucket>"), err)
		}
		s.logger.Info("InfluxDB bucket created", "bucket", s.bucket, "retention", duration(s.retention))
		if there, err := s.mapped(ctx); err != nil || there {
			return err
		}
	}
	mapping := map[string]any{"orgID": orgID, "bucketID": id, "database": s.database, "retention_policy": s.policyOrDefault(), "default": true}
	if err := s.call(ctx, http.MethodPost, "api/v2/dbrps", nil, mapping, nil); err != nil {
		return missing(fmt.Sprintf("the mapping (DBRP) of database %s to bucket %s", s.database, s.bucket), s.mappingCommand(id), err)
	}
	s.logger.Info("InfluxDB bucket mapped for InfluxQL", "bucket", s.bucket, "database", s.database)
	return nil
}

func (s *Store) bucketCommand() string {
	command := "influx bucket create --org " + word(s.org) + " --name " + word(s.bucket)
	if s.retention > 0 {
		command += " --retention " + duration(s.retention)
	}
	return command
}

func (s *Store) mappingCommand(bucketID string) string {
	return "influx v1 dbrp create --org " + word(s.org) + " --db " + word(s.database) + " --rp " + word(s.policyOrDefault()) + " --default --bucket-id " + bucketID
}

var plainWord = regexp.MustCompile(`^[\w./-]+$`)

// word writes a name as one word of a shell's command.
func word(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// findBucket returns the ids of the bucket and of its organisation; empty when the token sees none of that name.
func (s *Store) findBucket(ctx context.Context) (id, orgID string, err error) {
	var found struct {
		Buckets []struct{ ID, OrgID, Name string }
	}
	err = s.call(ctx, http.MethodGet, "api/v2/buckets", url.Values{"org": {s.org}, "name": {s.bucket}}, nil, &found)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("look for bucket %s: %w", s.bucket, err)
	}
	for _, b := range found.Buckets {
		if b.Name == s.bucket {
			return b.ID, b.OrgID, nil
		}
	}
	return "", "", nil
}

func (s *Store) createBucket(ctx context.Context) (id, orgID string, err error) {
	var orgs struct {
		Orgs []struct{ ID, Name string }
	}
	if err := s.call(ctx, http.MethodGet, "api/v2/orgs", url.Values{"org": {s.org}}, nil, &orgs); err != nil {
		return "", "", fmt.Errorf("look for organisation %s: %w", s.org, err)
	}
	if len(orgs.Orgs) == 0 {
		return "", "", fmt.Errorf("the token sees no organisation %s", s.org)
	}
	rules := []map[string]any{}
	if s.retention > 0 {
		rules = append(rules, map[string]any{"type": "expire", "everySeconds": int64(s.retention / time.Second)})
	}
	var created struct{ ID, OrgID string }
	err = s.call(ctx, http.MethodPost, "api/v2/buckets", nil, map[string]any{
		"orgID": orgs.Orgs[0].ID, "name": s.bucket, "retentionRules": rules, "description": "Readings of kiosks",
	}, &created)
	return created.ID, orgs.Orgs[0].ID, err
}

// prepareV3 creates the database with its retention. Without one there is nothing to do: InfluxDB 3 makes a
// missing database when the first point comes, which any token for it may write.
func (s *Store) prepareV3(ctx context.Context) error {
	if s.retention == 0 {
		return nil
	}
	err := s.call(ctx, http.MethodPost, "api/v3/configure/database", nil, map[string]any{"db": s.database, "retention_period": duration(s.retention)}, nil)
	var status *statusError
	switch {
	case err == nil:
		s.logger.Info("InfluxDB database created", "database", s.database, "retention", duration(s.retention))
		return nil
	case errors.As(err, &status) && status.code == http.StatusConflict: // it exists
		return nil
	case errors.As(err, &status) && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden):
		// Whether it exists only an administrator's token could see; a wrong token shows at the first write.
		s.logger.Warn("InfluxDB 3 lets only an administrator's token set a retention; unless the database exists, run the command before readings come",
			"command", fmt.Sprintf("influxdb3 create database --retention-period %s %s", duration(s.retention), word(s.database)))
		return nil
	}
	return fmt.Errorf("create database %s: %w", s.database, err)
}

// call makes a request with JSON in and out; both may be nil.
func (s *Store) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	address := s.http.ServerURL() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	resp, err := s.exchange(req, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(out); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return nil
}
