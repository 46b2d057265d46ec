-- SPDX-License-Identifier: MIT
-- Schema 1 of the queue: events that wait or are claimed, and dead letters.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT NOT NULL,
    qualifier   TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    arn         TEXT NOT NULL,
    trace_id    TEXT NOT NULL,
    context     BLOB NOT NULL,
    payload     BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    returns     INTEGER NOT NULL,
    claimed     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX event_due ON event (topic, claimed, due_ms, id);

CREATE TABLE dead (
    id          INTEGER PRIMARY KEY,
    topic       TEXT NOT NULL,
    qualifier   TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    arn         TEXT NOT NULL,
    trace_id    TEXT NOT NULL,
    context     BLOB NOT NULL,
    payload     BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    returns     INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    response    BLOB NOT NULL,
    died_ms     INTEGER NOT NULL
);
CREATE INDEX dead_topic ON dead (topic, id);
