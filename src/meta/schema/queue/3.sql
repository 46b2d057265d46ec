-- SPDX-License-Identifier: MIT
-- Schema 3 of the queue: how many functions called one another before a dead letter, which counts when it is tried again.
ALTER TABLE dead ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
