-- +goose Up
-- Messages and readings that could not be used. The payloads, up to 16 KiB each, lie apart, so that
-- lists, counts and the search for the oldest read small rows only.
CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice; grows in the order in which letters came here
    record      INTEGER NOT NULL, -- of the journal
    item        INTEGER NOT NULL,
    serial      TEXT    NOT NULL,
    site        TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    size        INTEGER NOT NULL, -- of the payload as the kiosk sent it
    truncated   INTEGER NOT NULL,
    received_at INTEGER NOT NULL
);
-- Finds a kiosk's oldest letters, and is small enough to count all by.
CREATE INDEX dead_letters_by_kiosk ON dead_letters (serial, id);

CREATE TABLE dead_letter_payloads (
    letter_id INTEGER PRIMARY KEY REFERENCES dead_letters (id) ON DELETE CASCADE,
    payload   BLOB    NOT NULL
);

-- The places in the journal whose letters were counted. A journal that is read again must neither count
-- a letter twice nor bring back one that was discarded, replayed or pushed out. The time tells a place
-- from the same one in an earlier journal, should somebody have removed that.
CREATE TABLE dead_letter_places (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    record      INTEGER NOT NULL,
    item        INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (record, item, received_at)
);

-- How many of a kiosk's messages and readings were refused for one reason; the letters may be gone.
CREATE TABLE refusals (
    serial  TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (serial, reason)
);
