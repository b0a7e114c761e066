-- +goose Up
-- Every version of the alert rules that people made; those of files are not here.
CREATE TABLE alert_rules (
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    data       TEXT    NOT NULL, -- JSON
    updated_at INTEGER NOT NULL,
    updated_by TEXT    NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE alert_rule_names (
    name    TEXT    PRIMARY KEY,
    deleted INTEGER NOT NULL, -- 1: the rule is no more
    enabled INTEGER           -- of a rule of a file, against what the file says; NULL for those that people made
);
