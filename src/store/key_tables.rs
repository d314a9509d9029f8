//! The tables of clients' keys.

/// The tables. Times are milliseconds since 1970, lists are separated by spaces. Whoever changes
/// anything raises the number in `client_key_changes`, which is what processes look at.
pub(super) const KEYS: &str = "
CREATE TABLE client_key (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER,
    expires_ms INTEGER,
    models TEXT NOT NULL,
    routes TEXT NOT NULL,
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    concurrency INTEGER
) STRICT;
CREATE TABLE client_key_secret (
    digest BLOB PRIMARY KEY,
    key INTEGER NOT NULL REFERENCES client_key,
    shown TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    until_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE client_key_budget (
    key INTEGER NOT NULL REFERENCES client_key,
    per TEXT NOT NULL,
    nanos INTEGER NOT NULL,
    PRIMARY KEY (key, per)
) STRICT, WITHOUT ROWID;
CREATE TABLE client_key_label (
    key INTEGER NOT NULL REFERENCES client_key,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (key, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE client_key_changes (number INTEGER NOT NULL) STRICT;
INSERT INTO client_key_changes VALUES (0);
";
