//! The SQLite file: how it is opened and how its tables change from release to release.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// What each release has added to the tables, in order. A step that was released is never changed,
/// and only adds: the release before must be able to read on, since during a hand-over it does.
const STEPS: [&str; 1] = [""];

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
        let mut db = Self::connect(path, flags)?;
        db.prepare().map_err(|error| blame(path, &error))?;
        Ok(db)
    }

    /// Opens a store that exists, to read it only.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::connect(path, flags)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Write-ahead logging, so that readers and the writer do not wait for each other; a commit
    /// reaches the disk at the next checkpoint at the latest, and the journal of the shards holds
    /// what was not yet committed.
    fn prepare(&mut self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "normal")?;
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: u32 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for (step, number) in STEPS.iter().zip(1..) {
            if number > version {
                transaction.execute_batch(step)?;
                transaction.pragma_update(None, "user_version", number)?;
            }
        }
        transaction.commit()
    }
}

fn blame(path: &Path, error: &rusqlite::Error) -> StoreError {
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    StoreError { path: path.to_owned(), what: error.to_string(), full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_once_and_opened_again() {
        let dir = std::env::temp_dir().join(format!("vb-store-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("vertex-bridge.db");
        for _ in 0..2 {
            let db = Db::open(&path).expect("it opens");
            let version: u32 =
                db.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(usize::try_from(version), Ok(STEPS.len()));
        }
        let elsewhere = Db::open(&dir.join("no/such/folder.db")).unwrap_err();
        assert!(elsewhere.to_string().contains("no/such/folder.db"), "{elsewhere}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
