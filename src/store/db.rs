//! The SQLite file: how it is opened and how its tables change from release to release.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ffi};

use super::key_tables;
use super::ledger::tables;

/// The store's file in the state folder.
pub const FILE: &str = "vertex-bridge.db";

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// What makes a file of SQLite's ours (`PRAGMA application_id`): `vbdg`.
const APPLICATION: i32 = 0x7662_6467;

/// How many steps this program knows.
pub const SCHEMA: u32 = 5;

/// What each release has added to the tables, in order. A step that was released is never changed,
/// and only adds: the release before must be able to read on, since during a hand-over it does.
const STEPS: [&str; SCHEMA as usize] = [
    // A program with fewer steps than `oldest_reader` would misread the file.
    "CREATE TABLE store (oldest_reader INTEGER NOT NULL); INSERT INTO store VALUES (1);",
    tables::LEDGER,
    key_tables::KEYS,
    AUDIT,
    tables::KINDS,
];

/// The audit log's table, which SQLite itself keeps from being changed by mistake.
const AUDIT: &str = "
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    previous BLOB NOT NULL,
    text TEXT NOT NULL,
    hash BLOB NOT NULL
);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
";

/// Why the store cannot be used.
#[derive(Debug)]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub what: String,
    /// Is there no room on the disk?
    pub full: bool,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for StoreError {}

/// An open store.
#[derive(Debug)]
pub struct Db {
    path: PathBuf,
    /// The connection; errors of its calls become ours by [`Db::blame`].
    pub connection: Connection,
}

impl Db {
    /// Opens the store, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be opened or written, or is not a store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        make(path)?;
        let mut db = Self::connect(path, flags)?;
        db.check()?;
        db.prepare().map_err(|error| blame(path, &error))?;
        Ok(db)
    }

    /// Opens a store that exists, to read it only.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Self::connect(path, flags)?;
        db.check()?;
        let version = db.version()?;
        if version < SCHEMA {
            return Err(db.refuse(format!(
                "its tables are of an older release (schema {version} of {SCHEMA}): run \
                 `vertex-bridge ledger migrate`, or start the gateway once"
            )));
        }
        Ok(db)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The steps that the file's tables have gone through.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn version(&self) -> Result<u32, StoreError> {
        user_version(&self.connection).map_err(|error| self.blame(&error))
    }

    /// An error of ours about this file.
    pub fn refuse(&self, what: String) -> StoreError {
        StoreError { path: self.path.clone(), what, full: false }
    }

    /// An error of SQLite's as ours.
    pub fn blame(&self, error: &rusqlite::Error) -> StoreError {
        blame(&self.path, error)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let connection =
            Connection::open_with_flags(path, flags).map_err(|error| blame(path, &error))?;
        connection.busy_timeout(BUSY).map_err(|error| blame(path, &error))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Refuses files that are not ours, and those of a release that we would misread.
    fn check(&self) -> Result<(), StoreError> {
        let blame = |error| self.blame(&error);
        let db = &self.connection;
        let mark: i32 =
            db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(blame)?;
        let version = self.version()?;
        if mark != APPLICATION {
            let tables: u32 = db
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(blame)?;
            let empty = mark == 0 && version == 0 && tables == 0;
            let other = "it is a database of another program; give `ledger.path` another folder";
            return if empty { Ok(()) } else { Err(self.refuse(other.to_owned())) };
        }
        if version <= SCHEMA {
            return Ok(());
        }
        let oldest: Option<u32> = db
            .query_row("SELECT oldest_reader FROM store", [], |row| row.get(0))
            .optional()
            .map_err(blame)?;
        if oldest.is_some_and(|oldest| oldest <= SCHEMA) {
            return Ok(());
        }
        Err(self.refuse(format!(
            "a newer vertex-bridge has changed its tables (schema {version}; this release knows \
             {SCHEMA}): run that release, or restore a backup from before it"
        )))
    }

    /// Write-ahead logging, so that readers and the writer do not wait for each other; a commit
    /// reaches the disk at the next checkpoint at the latest, and the journal of the shards holds
    /// what was not yet committed.
    fn prepare(&mut self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "normal")?;
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version = user_version(&transaction)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        for (step, number) in STEPS.iter().zip(1..) {
            if number > version {
                transaction.execute_batch(step)?;
                transaction.pragma_update(None, "user_version", number)?;
            }
        }
        transaction.commit()
    }
}

fn user_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes the file, for nobody else to read; what SQLite puts beside it gets the same rights.
fn make(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_made) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let full = error.kind() == ErrorKind::StorageFull;
            Err(StoreError { path: path.to_owned(), what: error.to_string(), full })
        }
    }
}

/// Without room for the shared memory beside the file, SQLite speaks of an input error.
fn blame(path: &Path, error: &rusqlite::Error) -> StoreError {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || extended == Some(ffi::SQLITE_IOERR_SHMSIZE);
    StoreError { path: path.to_owned(), what: error.to_string(), full }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("vb-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_store_is_made_once_and_opened_again() {
        let dir = folder("made");
        let path = dir.join(FILE);
        for _ in 0..2 {
            let db = Db::open(&path).expect("it opens");
            assert_eq!(db.version().unwrap(), SCHEMA);
            let reader = Db::open_to_read(&path).expect("it opens");
            assert!(reader.connection.execute("DELETE FROM word", []).is_err());
            for name in std::fs::read_dir(&dir).unwrap() {
                let rights = name.unwrap().metadata().unwrap().permissions();
                assert_eq!(rights.mode() & 0o777, 0o600);
            }
        }
        let elsewhere = Db::open(&dir.join("no/such/folder.db")).unwrap_err();
        assert!(elsewhere.to_string().contains("no/such/folder.db"), "{elsewhere}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn tables_of_the_next_release_are_used_unless_it_says_otherwise() {
        let dir = folder("newer");
        let path = dir.join(FILE);
        let db = Db::open(&path).expect("it opens");
        let next = SCHEMA + 1;
        db.connection
            .execute_batch(&format!(
                "PRAGMA user_version = {next}; ALTER TABLE exchange ADD COLUMN news INTEGER;"
            ))
            .unwrap();
        Db::open_to_read(&path).expect("it can be read");
        assert_eq!(Db::open(&path).expect("and written").version().unwrap(), next);
        db.connection.execute("UPDATE store SET oldest_reader = ?1", [next]).unwrap();
        for refused in [Db::open(&path), Db::open_to_read(&path)] {
            let refused = refused.unwrap_err().to_string();
            let want = format!("schema {next}; this release knows {SCHEMA}): run that release");
            assert!(refused.contains(&want), "{refused}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = folder("other");
        let path = dir.join("other.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE mine (x)").unwrap();
        let refused = Db::open(&path).unwrap_err().to_string();
        assert!(refused.contains("another program"), "{refused}");
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: u32 = other.query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
        std::fs::write(&path, "what is this? ".repeat(200)).unwrap();
        assert!(Db::open(&path).unwrap_err().to_string().contains("not a database"));
        assert!(Db::open_to_read(&dir.join("none.db")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
