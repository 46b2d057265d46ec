-- SPDX-License-Identifier: MIT
-- Schema 2 of the queue: how many functions called one another before an event.
ALTER TABLE event ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
