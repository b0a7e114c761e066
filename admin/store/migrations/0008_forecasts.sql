-- +goose Up
-- What has been learnt of each kiosk for the values that rules see: its position and what it uses up. The place in
-- the journal up to which it was brought is record and item.
CREATE TABLE kiosk_derived (
    serial     TEXT    PRIMARY KEY,
    record     INTEGER NOT NULL,
    item       INTEGER NOT NULL,
    state      BLOB    NOT NULL,
    written_at INTEGER NOT NULL
);
