-- Numbers that are not worth a table: see `src/schema.rs` for the keys.
CREATE TABLE meta (key INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;

-- The journal: one or more rows a commit. Everything below it about events is an index that can be rebuilt from it.
CREATE TABLE journal (
    first  INTEGER PRIMARY KEY,
    last   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    writer INTEGER,           -- with `number` the marker; only in the last row of a commit
    number INTEGER,
    head   BLOB,              -- events without data, see `src/codec.rs`
    data   BLOB               -- attributes and data of the events, one after the other
) STRICT;

-- One row a delivery, from the end of its first attempt (or its end without one). NULL and 0 where nothing special is.
CREATE TABLE log (
    position           INTEGER PRIMARY KEY,
    ordinal            INTEGER NOT NULL, -- position minus the event's position
    tenant             INTEGER NOT NULL,
    endpoint           INTEGER NOT NULL,
    sequence           INTEGER NOT NULL,
    status             INTEGER NOT NULL,
    reason             INTEGER,
    run                INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    step               INTEGER NOT NULL,
    flags              INTEGER NOT NULL, -- 1 blocking, 2 overtaken
    held_ms            INTEGER NOT NULL,
    cause              INTEGER NOT NULL, -- what brings about the next attempt
    status_code        INTEGER,          -- of the last attempt
    finished_at        INTEGER,
    first_succeeded_at INTEGER,          -- NULL with status 1: finished_at
    lead_us            INTEGER,          -- a first-try success: from its start to finished_at
    duration_us        INTEGER,
    address            BLOB,
    endpoint_version   INTEGER,
    signed_lag         INTEGER           -- second of the start minus second of the signature
) STRICT;
CREATE INDEX log_by_tenant   ON log (tenant, status, position)   WHERE status > 1;
CREATE INDEX log_by_endpoint ON log (endpoint, status, position) WHERE status > 1;
CREATE INDEX log_by_status   ON log (status, position)           WHERE status > 1;

-- Attempts that are not a first-try success.
CREATE TABLE attempts (
    position         INTEGER NOT NULL,
    number           INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    cause            INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    duration_us      INTEGER NOT NULL,
    status_code      INTEGER,
    error            INTEGER,
    error_text       TEXT,
    address          BLOB,
    endpoint_version INTEGER NOT NULL,
    signed_at        INTEGER NOT NULL,
    headers          BLOB,
    body             BLOB,
    PRIMARY KEY (position, number)
) STRICT, WITHOUT ROWID;

-- What is owed and not open any more: lane 0 due by rank, 1 retry by time, 2 held by key.
CREATE TABLE pending (
    endpoint INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    rank     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    ordinal  INTEGER NOT NULL,
    tenant   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    key_lane INTEGER,
    run      INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    blocking INTEGER NOT NULL,
    overtaken INTEGER NOT NULL,
    held_ms  INTEGER NOT NULL,
    cause    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, lane, rank, position)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX pending_by_position ON pending (endpoint, position);
CREATE INDEX pending_blocking ON pending (endpoint, position) WHERE blocking;

-- Positions of deliveries in order, 64 a row. Owner: twice the endpoint's number, or twice the tenant's and one.
CREATE TABLE chunks (
    owner    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    sequence INTEGER NOT NULL, -- the highest sequence in it
    data     BLOB NOT NULL,
    PRIMARY KEY (owner, first)
) STRICT, WITHOUT ROWID;

-- Sorted runs of key hashes: see `src/runs.rs`. State: 0 being written, 1 in use, 2 to be removed.
CREATE TABLE runs (
    id      INTEGER PRIMARY KEY,
    family  INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    keys    INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    newest  INTEGER NOT NULL, -- time of its newest key
    fences  BLOB NOT NULL,
    filter  BLOB NOT NULL
) STRICT;
CREATE TABLE run_pages (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;

CREATE TABLE tenants (
    no         INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,
    doc        BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE endpoints (
    no            INTEGER PRIMARY KEY,
    tenant        INTEGER NOT NULL,
    id            TEXT NOT NULL,
    version       INTEGER NOT NULL,
    doc           BLOB NOT NULL,
    secrets       BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted       INTEGER NOT NULL,
    tripped_at    INTEGER,
    failing_since INTEGER,
    disabled      TEXT
) STRICT;
CREATE INDEX endpoints_by_tenant ON endpoints (tenant);
CREATE TABLE endpoint_versions (
    endpoint    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    doc         BLOB NOT NULL,
    replaced_at INTEGER,
    PRIMARY KEY (endpoint, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL,
    doc        BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tests (
    position   INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    data       BLOB NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

-- For people with `sqlite3`.
CREATE VIEW deliveries AS
SELECT position, position - ordinal AS event, t.id AS tenant, e.id AS endpoint, sequence,
       CASE l.status WHEN 0 THEN 'pending' WHEN 1 THEN 'succeeded' WHEN 2 THEN 'failed'
                     WHEN 3 THEN 'cancelled' ELSE 'skipped' END AS status,
       attempts, status_code, duration_us,
       strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1e6, 'unixepoch') AS finished_at
FROM log l LEFT JOIN tenants t ON t.no = l.tenant LEFT JOIN endpoints e ON e.no = l.endpoint;
CREATE VIEW backlog AS
SELECT e.id AS endpoint, CASE lane WHEN 0 THEN 'due' WHEN 1 THEN 'retry' ELSE 'held' END AS place, count(*) AS deliveries
FROM pending p LEFT JOIN endpoints e ON e.no = p.endpoint GROUP BY p.endpoint, lane;
