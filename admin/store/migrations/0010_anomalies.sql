-- +goose Up
-- Episodes in which kiosks were unusual. Sensors and feedback are JSON; what people look for among the sensors stands
-- in anomaly_sensors as well.
CREATE TABLE anomalies (
    id        TEXT    PRIMARY KEY,
    serial    TEXT    NOT NULL,
    site      TEXT    NOT NULL,
    model     TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    peak_at   INTEGER NOT NULL,
    closed_at INTEGER,          -- NULL: open
    score     REAL    NOT NULL,
    text      TEXT    NOT NULL,
    detector  TEXT    NOT NULL,
    sensors   TEXT    NOT NULL,
    feedback  TEXT              -- NULL: nobody said anything
);
CREATE INDEX anomalies_newest ON anomalies (opened_at, id);
CREATE INDEX anomalies_by_kiosk ON anomalies (serial, opened_at, id);
CREATE INDEX anomalies_by_site ON anomalies (site, opened_at, id);
CREATE INDEX anomalies_open ON anomalies (opened_at, id) WHERE closed_at IS NULL;
CREATE INDEX anomalies_closed ON anomalies (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE anomaly_sensors (
    anomaly TEXT NOT NULL REFERENCES anomalies (id) ON DELETE CASCADE,
    metric  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    PRIMARY KEY (anomaly, metric)
);
CREATE INDEX anomaly_sensors_by_metric ON anomaly_sensors (metric, kind);
CREATE INDEX anomaly_sensors_by_kind ON anomaly_sensors (kind);

-- Every word on an anomaly, for each of the metrics it is counted for. What they made of a metric's budget follows from
-- them in the order of at, so that a word may be changed; they stay when their anomaly is too old to be kept.
CREATE TABLE anomaly_words (
    anomaly TEXT    NOT NULL,
    metric  TEXT    NOT NULL,
    verdict TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (anomaly, metric)
);
CREATE INDEX anomaly_words_by_metric ON anomaly_words (metric, at, anomaly);

-- What follows from them.
CREATE TABLE anomaly_tuning (
    metric     TEXT    PRIMARY KEY,
    factor     REAL    NOT NULL,
    useful     INTEGER NOT NULL,
    noise      INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
