-- +goose Up
-- Times are Unix milliseconds, UTC. Texts of one statement serve SQLite and PostgreSQL alike.
CREATE TABLE kiosks (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    serial      TEXT    NOT NULL UNIQUE,
    site        TEXT    NOT NULL,
    tags        TEXT    NOT NULL, -- JSON array
    model       TEXT    NOT NULL,
    timezone    TEXT    NOT NULL,
    lat         REAL,
    lng         REAL,
    generation  INTEGER NOT NULL, -- of its certificates; a revocation adds one
    revoked_at  INTEGER,
    enrolled_at INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);

-- Every change of a kiosk's row, so that other processes on the same database can follow.
CREATE TABLE kiosk_changes (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    serial TEXT    NOT NULL
);

-- The generation that a serial registered anew starts with, so that certificates from before its
-- deletion stay worthless.
CREATE TABLE retired_kiosks (
    serial     TEXT    PRIMARY KEY,
    generation INTEGER NOT NULL
);

CREATE TABLE kiosk_live (
    serial     TEXT    PRIMARY KEY,
    state      TEXT    NOT NULL, -- JSON of what was known when it was last written
    written_at INTEGER NOT NULL
);

CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    serial  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    from_   TEXT    NOT NULL,
    to_     TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    actor   TEXT    NOT NULL
);
CREATE INDEX events_by_kiosk ON events (serial, at, id);

CREATE TABLE commands (
    id              TEXT    PRIMARY KEY, -- UUIDv7, so ids grow with time
    serial          TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    params          TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    error           TEXT    NOT NULL,
    result          TEXT    NOT NULL,
    actor           TEXT    NOT NULL,
    boot_id         TEXT    NOT NULL,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
);
CREATE INDEX commands_by_kiosk ON commands (serial, id);
CREATE INDEX commands_unsettled ON commands (status) WHERE status IN ('queued', 'sent', 'received', 'running', 'succeeded');
CREATE UNIQUE INDEX commands_by_key ON commands (serial, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE command_steps (
    command_id TEXT    NOT NULL REFERENCES commands (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    note       TEXT    NOT NULL,
    PRIMARY KEY (command_id, seq)
);

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL, -- PHC string
    created_at    INTEGER NOT NULL
);

CREATE TABLE web_sessions (
    hash       TEXT    PRIMARY KEY, -- SHA-256 of the cookie's secret
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE TABLE api_tokens (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    scope        TEXT    NOT NULL,
    hash         TEXT    NOT NULL, -- SHA-256 of the secret
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
);

CREATE TABLE enrollment_tokens (
    id             TEXT    PRIMARY KEY,
    hash           TEXT    NOT NULL, -- SHA-256 of the secret
    serial_pattern TEXT    NOT NULL,
    max_uses       INTEGER NOT NULL,
    uses           INTEGER NOT NULL,
    may_register   INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
);

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    target TEXT    NOT NULL,
    detail TEXT    NOT NULL
);
