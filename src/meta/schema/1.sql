-- SPDX-License-Identifier: MIT
-- Schema 1: one table of rows, and the counter from which revisions come.
CREATE TABLE registry (
    kind     TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    BLOB NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO counter (name, value) VALUES ('revision', 0);
