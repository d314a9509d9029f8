//! The ledger's tables.
//!
//! `exchange` has one row for each exchange and is never changed, but for an admission that is
//! replaced by its own settlement. `day` has what the rows and the corrections of a UTC day come
//! to, so that a report of years reads some thousands of rows, and outlives them. `correction`
//! says by how much a charge was wrong. Texts are numbers of the table `word`, of which 0 is the
//! empty one, and processes are numbers of the table `process`. Exchanges that began before
//! `kept.from_ms` may have been removed. `skipped` has the numbers that no exchange is kept for, as
//! spans that neither overlap nor touch. Money is nano-dollars; times are
//! milliseconds since 1970 and phases microseconds, as in [`crate::journal::Record`].

/// The first form of the tables.
pub const LEDGER: &str = "
CREATE TABLE word (n INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT INTO word VALUES (0, '');

CREATE TABLE process (
    n INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL UNIQUE
);

CREATE TABLE exchange (
    process INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    ending INTEGER NOT NULL,
    status INTEGER NOT NULL,
    key INTEGER NOT NULL,
    route INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    model INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    prompt_audio INTEGER NOT NULL,
    completion INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    completion_audio INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cost_nanos INTEGER,
    prices INTEGER NOT NULL,
    reserved_nanos INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    cache_hit INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    parse INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    connect INTEGER NOT NULL,
    tls INTEGER NOT NULL,
    upstream_first INTEGER NOT NULL,
    waited INTEGER NOT NULL,
    first_token INTEGER NOT NULL,
    total INTEGER NOT NULL,
    id TEXT NOT NULL,
    trace BLOB,
    span INTEGER,
    PRIMARY KEY (process, seq)
) WITHOUT ROWID;
CREATE INDEX exchange_started ON exchange (started_ms);

CREATE TABLE skipped (
    process INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (process, first)
) WITHOUT ROWID;

CREATE TABLE day (
    day INTEGER NOT NULL,
    key INTEGER NOT NULL,
    route INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    model INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    unsuccessful INTEGER NOT NULL,
    open INTEGER NOT NULL,
    cache_hits INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    prompt_audio INTEGER NOT NULL,
    completion INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    completion_audio INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    corrected_nanos INTEGER NOT NULL,
    PRIMARY KEY (day, key, route, upstream, model)
) WITHOUT ROWID;

CREATE TABLE correction (
    n INTEGER PRIMARY KEY,
    written_ms INTEGER NOT NULL,
    valid_ms INTEGER NOT NULL,
    process INTEGER,
    seq INTEGER,
    key INTEGER NOT NULL,
    route INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    model INTEGER NOT NULL,
    nanos INTEGER NOT NULL,
    prices INTEGER NOT NULL,
    was_unpriced INTEGER NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE kept (from_ms INTEGER NOT NULL);
INSERT INTO kept VALUES (0);

CREATE INDEX correction_valid ON correction (valid_ms);
CREATE INDEX correction_exchange ON correction (process, seq) WHERE process IS NOT NULL;
";

/// What prices tell apart beyond the first form.
pub const KINDS: &str = "
ALTER TABLE exchange ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchange ADD COLUMN cached_audio INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchange ADD COLUMN completion_image INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchange ADD COLUMN tier INTEGER NOT NULL DEFAULT 0;
";
