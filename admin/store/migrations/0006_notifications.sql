-- +goose Up
-- Who is told of alerts. The feed of MQTT is always there.
CREATE TABLE notification_targets (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    secret     TEXT    NOT NULL,
    disabled   INTEGER NOT NULL,
    problem    TEXT    NOT NULL DEFAULT '',
    since      INTEGER, -- when deliveries began to fail
    updated_at INTEGER NOT NULL
);
INSERT INTO notification_targets (id, name, kind, url, secret, disabled, updated_at) VALUES ('mqtt', 'mqtt', 'mqtt', '', '', 0, 0);

-- One row: the routes as one document.
CREATE TABLE notification_routes (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    version    INTEGER NOT NULL,
    routes     TEXT    NOT NULL, -- JSON
    updated_at INTEGER NOT NULL,
    updated_by TEXT    NOT NULL
);
INSERT INTO notification_routes (id, version, routes, updated_at, updated_by) VALUES (1, 1, '[]', 0, '');

-- How far the alert events were worked off, by whom.
CREATE TABLE notification_cursors (
    name     TEXT    PRIMARY KEY,
    event_id INTEGER NOT NULL
);

-- What waits for others, and what was told and may be told again.
CREATE TABLE notification_groups (
    key  TEXT PRIMARY KEY,
    data TEXT NOT NULL -- JSON of admin/alert/notify
);

-- The alerts and incidents whose beginning was published, so that their end is, too.
CREATE TABLE notification_published (
    id TEXT PRIMARY KEY
);

CREATE TABLE notification_deliveries (
    id          TEXT    PRIMARY KEY, -- UUIDv7, so ids grow with time
    target      TEXT    NOT NULL,
    route       TEXT    NOT NULL,
    group_key   TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    next_at     INTEGER,
    give_up_at  INTEGER NOT NULL,
    incident_id TEXT    NOT NULL,
    alert_ids   TEXT    NOT NULL, -- JSON array
    payload     TEXT    NOT NULL
);
CREATE INDEX notification_deliveries_pending ON notification_deliveries (id) WHERE status = 'pending';
CREATE INDEX notification_deliveries_by_age ON notification_deliveries (updated_at);

CREATE TABLE notification_delivery_alerts (
    alert_id    TEXT NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES notification_deliveries (id) ON DELETE CASCADE,
    PRIMARY KEY (alert_id, delivery_id)
);
CREATE INDEX notification_delivery_alerts_by_delivery ON notification_delivery_alerts (delivery_id);
