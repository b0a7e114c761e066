-- +goose Up
-- How long each kiosk spent in each verdict: quarters of hours of one week (seven days since 1970-01-01 in UTC),
-- packed by admin/availability. A kiosk that moved has a row for each site. The week comes first, so that old ones
-- go at one end and a report reads only its own.
CREATE TABLE availability_weeks (
    week   INTEGER NOT NULL,
    serial TEXT    NOT NULL,
    site   TEXT    NOT NULL,
    data   BLOB    NOT NULL,
    PRIMARY KEY (week, serial, site)
);

-- What a kiosk's time counts as since when. What is before is in the weeks. Unix milliseconds; doubt is 0 without.
CREATE TABLE availability_states (
    serial TEXT    PRIMARY KEY,
    site   TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    since  INTEGER NOT NULL,
    doubt  INTEGER NOT NULL
);

-- One row: up to when the platform was there to see. 0 before the first time.
CREATE TABLE availability_alive (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    until INTEGER NOT NULL DEFAULT 0
);
INSERT INTO availability_alive (id) VALUES (1);
