-- The key that secrets are sealed with, itself wrapped under the operator's master key: see `postrider-core/src/seal.rs`.
-- One row; none in a database whose secrets lie in clear still.
CREATE TABLE keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    database   BLOB NOT NULL, -- random: the name that the wrapped key is bound to
    wrapped_by BLOB NOT NULL, -- fingerprint of the master key
    sealed     BLOB NOT NULL
) STRICT;

-- What events are: types in the catalogue of a profile, and the cards and accounts that events are about.
CREATE TABLE event_types (
    profile    TEXT NOT NULL,
    name       TEXT NOT NULL,
    doc        BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (profile, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE subjects (
    id         TEXT PRIMARY KEY,
    tenants    TEXT NOT NULL, -- numbers of tenants, parted by commas
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tests in the log: found by whose they are, newest first.
CREATE INDEX tests_by_tenant   ON tests (tenant, position);
CREATE INDEX tests_by_endpoint ON tests (endpoint, position);

-- Tenants' rows of `chunks` hold the positions of events from now on; those that are there, of deliveries, stay as they are.
