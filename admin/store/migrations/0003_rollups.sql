-- +goose Up
-- Five-minute summaries of one metric of one kiosk on one day (in UTC, counted from 1970-01-01), packed by
-- admin/telemetry/rollup. The day comes first, so that old days go at one end.
CREATE TABLE rollups (
    day    INTEGER NOT NULL,
    metric TEXT    NOT NULL,
    serial TEXT    NOT NULL,
    data   BLOB    NOT NULL,
    PRIMARY KEY (day, metric, serial)
);

-- The days that are to be made again from raw readings: of one kiosk, or of all where serial is empty. The
-- version tells whether a mark was set again while its day was being made. A late mark says that readings
-- came which the rollup lacks; without it somebody wants the day made again.
CREATE TABLE rollup_marks (
    serial  TEXT    NOT NULL,
    day     INTEGER NOT NULL,
    version INTEGER NOT NULL,
    late    INTEGER NOT NULL,
    PRIMARY KEY (serial, day)
);

-- One row. Everything from rolled_from up to rolled_until is rolled up; up to target it is about to be. The
-- owner is the process that works on it, until its lease ends. Unix milliseconds.
CREATE TABLE rollup_progress (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    rolled_from  INTEGER NOT NULL DEFAULT 0,
    rolled_until INTEGER NOT NULL DEFAULT 0,
    target       INTEGER NOT NULL DEFAULT 0,
    owner        TEXT    NOT NULL DEFAULT '',
    lease_until  INTEGER NOT NULL DEFAULT 0
);
INSERT INTO rollup_progress (id) VALUES (1);
