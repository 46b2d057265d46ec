-- SPDX-License-Identifier: MIT
-- Schema 1 of the object index: buckets, versions of keys, uploads in parts.
CREATE TABLE bucket (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    versioning INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The newest version of a key has the largest number. A listed one is the newest and no marker.
CREATE TABLE version (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket      INTEGER NOT NULL,
    key         BLOB NOT NULL,
    name        TEXT NOT NULL,
    is_current  INTEGER NOT NULL,
    is_marker   INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    digest      BLOB,
    etag        TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    headers     BLOB NOT NULL,
    checksum    TEXT NOT NULL,
    parts       TEXT NOT NULL,
    tags        BLOB NOT NULL,
    upload      TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX version_current ON version (bucket, key) WHERE is_current = 1;
CREATE INDEX version_listed ON version (bucket, key) WHERE is_current = 1 AND is_marker = 0;
CREATE INDEX version_order ON version (bucket, key, number DESC);
CREATE UNIQUE INDEX version_name ON version (bucket, key, name);
CREATE INDEX version_digest ON version (digest) WHERE digest IS NOT NULL;

CREATE TABLE upload (
    id         TEXT PRIMARY KEY,
    bucket     INTEGER NOT NULL,
    key        BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    headers    BLOB NOT NULL,
    tags       BLOB NOT NULL,
    checksum   TEXT NOT NULL,
    part_size  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_order ON upload (bucket, key, id);

CREATE TABLE part (
    upload      TEXT NOT NULL,
    number      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    checksum    TEXT NOT NULL,
    file        TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
