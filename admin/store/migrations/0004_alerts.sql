-- +goose Up
-- What people look for stands in columns; data is the JSON of the whole. Badness is 2 for critical, 1 for
-- warning, 0 for info, so that lists of the worst and newest first read an index backwards.
CREATE TABLE alerts (
    id              TEXT    PRIMARY KEY,
    rule            TEXT    NOT NULL,
    serial          TEXT    NOT NULL,
    site            TEXT    NOT NULL,
    badness         INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    incident_id     TEXT    NOT NULL, -- empty: in none
    assignee        TEXT    NOT NULL,
    suppressed      TEXT    NOT NULL,
    opened_at       INTEGER NOT NULL,
    acknowledged_at INTEGER,
    resolved_at     INTEGER,
    data            TEXT    NOT NULL
);
CREATE UNIQUE INDEX alerts_open_once ON alerts (rule, serial) WHERE state = 'open';
CREATE INDEX alerts_open_worst ON alerts (badness, opened_at, id) WHERE state = 'open';
CREATE INDEX alerts_worst ON alerts (badness, opened_at, id);
CREATE INDEX alerts_newest ON alerts (opened_at, id);
CREATE INDEX alerts_by_kiosk ON alerts (serial, opened_at, id);
CREATE INDEX alerts_by_site ON alerts (site, opened_at, id);
CREATE INDEX alerts_by_rule ON alerts (rule, opened_at, id);
CREATE INDEX alerts_by_incident ON alerts (incident_id, opened_at, id) WHERE incident_id <> '';
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE state = 'resolved';

CREATE TABLE incidents (
    id          TEXT    PRIMARY KEY,
    site        TEXT    NOT NULL, -- empty: of several
    state       TEXT    NOT NULL,
    opened_at   INTEGER NOT NULL,
    resolved_at INTEGER,
    data        TEXT    NOT NULL
);
CREATE INDEX incidents_newest ON incidents (state, opened_at, id);
CREATE INDEX incidents_resolved ON incidents (resolved_at) WHERE state = 'resolved';

-- Everything that happened to alerts and incidents. Whoever tells others of it reads on from the last id that
-- it worked off, so ids grow and are never used twice.
CREATE TABLE alert_events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    alert_id    TEXT    NOT NULL, -- empty: of the incident as a whole
    incident_id TEXT    NOT NULL,
    actor       TEXT    NOT NULL, -- empty: the platform
    text        TEXT    NOT NULL
);
CREATE INDEX alert_events_by_alert ON alert_events (alert_id, id) WHERE alert_id <> '';
CREATE INDEX alert_events_by_incident ON alert_events (incident_id, id) WHERE incident_id <> '';

CREATE TABLE silences (
    id         TEXT    PRIMARY KEY,
    from_at    INTEGER NOT NULL,
    until_at   INTEGER NOT NULL,
    data       TEXT    NOT NULL
);
CREATE INDEX silences_by_end ON silences (until_at, id);

CREATE TABLE maintenance_windows (
    id         TEXT    PRIMARY KEY,
    from_at    INTEGER NOT NULL,
    until_at   INTEGER NOT NULL,
    data       TEXT    NOT NULL
);
CREATE INDEX maintenance_windows_by_end ON maintenance_windows (until_at, id);
