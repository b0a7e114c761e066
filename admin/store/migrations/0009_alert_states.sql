-- +goose Up
-- What the alert engine knows of each kiosk, and of the platform itself (empty serial).
CREATE TABLE alert_states (
    serial TEXT    PRIMARY KEY,
    record INTEGER NOT NULL, -- of the journal, up to which it was brought
    item   INTEGER NOT NULL,
    data   BLOB    NOT NULL  -- JSON
);
