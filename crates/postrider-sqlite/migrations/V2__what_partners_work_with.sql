-- The key that secrets are sealed with, itself wrapped under the operator's master key: see `postrider-core/src/seal.rs`.
-- One row; none in a database whose secrets lie in clear still.
CREATE TABLE keys (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    database   BLOB NOT NULL, -- random: the name that the wrapped key is bound to
    wrapped_by BLOB NOT NULL, -- fingerprint of the master key
    sealed     BLOB NOT NULL
) STRICT;
-- Replays. State: 0 running, 1 done, 2 cancelled, 3 failed.
CREATE TABLE replays (
    endpoint   INTEGER NOT NULL,
    id         TEXT NOT NULL,
    tenant     INTEGER NOT NULL,
    filter     BLOB NOT NULL,    -- as JSON
    after      INTEGER NOT NULL, -- what is covered lies behind this position,
    through    INTEGER NOT NULL, -- not behind this one,
    as_of      INTEGER NOT NULL, -- and had ended by then
    matched    INTEGER NOT NULL,
    per_second INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    cursor     INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    skipped    INTEGER NOT NULL,
    expired    INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    reason     INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (endpoint, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_running ON replays (endpoint, id) WHERE state = 0;
CREATE INDEX replays_ended ON replays (updated_at) WHERE state > 0;
-- The rank at which a later run of a delivery began, which is its age; 0 in the first run.
ALTER TABLE pending ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
-- What the operator is still to be told, as JSON, by when it is due; and what could not be.
CREATE TABLE outbox (
    due      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    doc      BLOB NOT NULL,
    PRIMARY KEY (due, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox_aside (
    position INTEGER PRIMARY KEY,
    due      INTEGER NOT NULL,
    doc      BLOB NOT NULL,
    fault    TEXT NOT NULL
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

-- What is known of whose an endpoint is, as JSON, where it has to be proven.
CREATE TABLE verifications (
    endpoint INTEGER PRIMARY KEY,
    doc      BLOB NOT NULL
) STRICT;

-- Tests in the log: found by whose they are, newest first.
CREATE INDEX tests_by_tenant   ON tests (tenant, position);
CREATE INDEX tests_by_endpoint ON tests (endpoint, position);

-- Tenants' rows of `chunks` hold the positions of events from now on; those that are there, of deliveries, stay as they are.
