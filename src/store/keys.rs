//! Clients' keys in the store. A secret is shown once, when it is made; what is kept is its
//! digest, and enough of it for people to tell one from another.
//!
//! A key is never removed: what it has spent is known by its name, which therefore stays its own.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::config::{Budget, Period};
use crate::policy::{Digest, Holder, Limits, sha256};

use super::db::{Db, StoreError};

/// What every secret of ours begins with, so that scanners for leaked secrets can know them.
const PREFIX: &str = "sk-vb-";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// So much of a secret is kept readable, from either end.
const SHOWN: usize = 4;

/// What a new key shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name; no other key ever has it.
    pub name: String,
    /// Models that it may use; empty means all.
    pub models: Vec<String>,
    /// Routes that it may use, by their patterns; empty means all.
    pub routes: Vec<String>,
    /// How much it may ask.
    pub limits: Limits,
    /// From then on it is refused, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Names and texts.
    pub labels: Vec<(String, String)>,
}

/// A key of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// What was wanted.
    pub wanted: Wanted,
    /// In milliseconds since 1970.
    pub created_ms: u64,
    /// In milliseconds since 1970.
    pub revoked_ms: Option<u64>,
    /// Its secrets, the newest last.
    pub secrets: Vec<StoredSecret>,
}

/// A secret as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSecret {
    pub(super) digest: Digest,
    /// Its two ends.
    pub shown: String,
    /// In milliseconds since 1970.
    pub created_ms: u64,
    /// From then on it is refused, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

/// Whether a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A secret that was just made: the only time that it is seen.
pub struct Made {
    /// The secret.
    pub secret: String,
    /// The key as it is kept.
    pub key: StoredKey,
}

/// Why a key cannot be made or changed.
#[derive(Debug)]
pub enum KeyError {
    /// The store cannot be used.
    Store(StoreError),
    /// There is or was a key of this name.
    Taken(String),
    /// There is none of this name.
    Unknown(String),
    /// It was revoked.
    Revoked(String),
    /// The system gives no random numbers.
    NoRandom,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Taken(name) => write!(
                f,
                "a key named {name} exists or has existed; what it has spent is known by its \
                 name, so a new key needs another one"
            ),
            Self::Unknown(name) => write!(f, "no key in the store is named {name}"),
            Self::Revoked(name) => write!(f, "the key {name} is revoked"),
            Self::NoRandom => f.write_str("the system gives no random numbers"),
        }
    }
}

impl std::error::Error for KeyError {}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Without the digest.
impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSecret").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Without the secret.
impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("key", &self.key).finish_non_exhaustive()
    }
}

impl StoredKey {
    /// Does it open at this time, in milliseconds since 1970?
    pub fn standing(&self, now_ms: u64) -> Standing {
        match (self.revoked_ms, self.wanted.expires_ms) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(end)) if end <= now_ms => Standing::Expired,
            (None, _) => Standing::Good,
        }
    }

    /// The same as the shards need it.
    pub fn holder(&self) -> Holder {
        let end = self.wanted.expires_ms.unwrap_or(u64::MAX);
        let open = self.secrets.iter().filter(|_| self.revoked_ms.is_none());
        let secret = |of: &StoredSecret| (of.digest, end.min(of.until_ms.unwrap_or(u64::MAX)));
        Holder {
            name: self.wanted.name.clone(),
            secrets: open.map(secret).collect(),
            models: self.wanted.models.clone(),
            routes: self.wanted.routes.clone(),
            trusted: false,
            limits: self.wanted.limits.clone(),
        }
    }
}

/// A number that is another one whenever a key has changed.
///
/// # Errors
/// The store cannot be read.
pub fn changes(db: &Db) -> Result<i64, StoreError> {
    let number = "SELECT number FROM client_key_changes";
    db.connection.query_row(number, [], |row| row.get(0)).map_err(|error| db.blame(&error))
}

/// All keys, in the order in which they were made.
///
/// # Errors
/// The store cannot be read.
pub fn list(db: &Db) -> Result<Vec<StoredKey>, StoreError> {
    read(&db.connection, None).map_err(|error| db.blame(&error))
}

/// The key of this name.
///
/// # Errors
/// There is none, or the store cannot be read.
pub fn find(db: &Db, name: &str) -> Result<StoredKey, KeyError> {
    let found = read(&db.connection, Some(name)).map_err(|error| db.blame(&error))?;
    found.into_iter().next().ok_or_else(|| KeyError::Unknown(name.to_owned()))
}

/// Makes a key. Who calls has checked what is wanted, and that no other key of the file has the
/// name.
///
/// # Errors
/// The name is taken, or the store cannot be written.
pub fn create(db: &mut Db, wanted: &Wanted, now_ms: u64) -> Result<Made, KeyError> {
    let (secret, kept) = make_secret(now_ms)?;
    let name = &wanted.name;
    let made = write(db, |db| {
        let known = "SELECT 1 FROM client_key WHERE name = ?1";
        if db.query_row(known, [name], |_| Ok(())).optional()?.is_some() {
            return Ok(Err(KeyError::Taken(name.clone())));
        }
        let n = insert(db, wanted, now_ms)?;
        insert_secret(db, n, &kept)?;
        Ok(Ok(()))
    })?;
    made?;
    Ok(Made { secret, key: find(db, name)? })
}

/// Gives a key another secret. The ones that it has open for `overlap_ms` longer at most.
///
/// # Errors
/// There is no such key, it is revoked, or the store cannot be written.
pub fn rotate(db: &mut Db, name: &str, overlap_ms: u64, now_ms: u64) -> Result<Made, KeyError> {
    let (secret, kept) = make_secret(now_ms)?;
    let rotated = write(db, |db| {
        let n = match open_key(db, name)? {
            Ok(n) => n,
            Err(error) => return Ok(Err(error)),
        };
        let until = signed(now_ms.saturating_add(overlap_ms));
        let over = "DELETE FROM client_key_secret WHERE key = ?1 AND until_ms <= ?2";
        db.execute(over, params![n, signed(now_ms)])?;
        let end = "UPDATE client_key_secret SET until_ms = ?2
                   WHERE key = ?1 AND (until_ms IS NULL OR until_ms > ?2)";
        db.execute(end, params![n, until])?;
        insert_secret(db, n, &kept)?;
        Ok(Ok(()))
    })?;
    rotated?;
    Ok(Made { secret, key: find(db, name)? })
}

/// Revokes a key, for ever.
///
/// # Errors
/// There is no such key, it is revoked already, or the store cannot be written.
pub fn revoke(db: &mut Db, name: &str, now_ms: u64) -> Result<StoredKey, KeyError> {
    let revoked = write(db, |db| {
        let n = match open_key(db, name)? {
            Ok(n) => n,
            Err(error) => return Ok(Err(error)),
        };
        let revoke = "UPDATE client_key SET revoked_ms = ?2 WHERE n = ?1";
        db.execute(revoke, params![n, signed(now_ms)])?;
        Ok(Ok(()))
    })?;
    revoked?;
    find(db, name)
}

/// The number of a key that was not revoked.
fn open_key(db: &Transaction<'_>, name: &str) -> rusqlite::Result<Result<i64, KeyError>> {
    let select = "SELECT n, revoked_ms IS NOT NULL FROM client_key WHERE name = ?1";
    let found: Option<(i64, bool)> =
        db.query_row(select, [name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match found {
        None => Err(KeyError::Unknown(name.to_owned())),
        Some((_, true)) => Err(KeyError::Revoked(name.to_owned())),
        Some((n, false)) => Ok(n),
    })
}

/// Changes keys, all or nothing, and says so to whoever watches.
pub(super) fn write_all(
    db: &mut Db,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    // Nothing here is refused.
    write(db, |db| change(db).map(Ok)).map(drop)
}

/// Changes keys, all or nothing, and says so to whoever watches.
fn write<T>(
    db: &mut Db,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, KeyError>>,
) -> Result<Result<T, KeyError>, StoreError> {
    let written = || {
        let transaction =
            db.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&transaction)?;
        if done.is_ok() {
            transaction.execute("UPDATE client_key_changes SET number = number + 1", [])?;
            transaction.commit()?;
        }
        Ok(done)
    };
    let result: rusqlite::Result<_> = written();
    result.map_err(|error| db.blame(&error))
}

pub(super) fn insert(db: &Transaction<'_>, wanted: &Wanted, now_ms: u64) -> rusqlite::Result<i64> {
    let limits = &wanted.limits;
    db.execute(
        "INSERT INTO client_key (name, created_ms, expires_ms, models, routes,
                                 requests_per_minute, tokens_per_minute, concurrency)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            wanted.name,
            signed(now_ms),
            wanted.expires_ms.map(signed),
            wanted.models.join(" "),
            wanted.routes.join(" "),
            limits.requests_per_minute.map(signed),
            limits.tokens_per_minute.map(signed),
            limits.concurrency,
        ],
    )?;
    let n = db.last_insert_rowid();
    for Budget { nanos, per } in &limits.budgets {
        let insert = "INSERT INTO client_key_budget (key, per, nanos) VALUES (?1, ?2, ?3)";
        db.execute(insert, params![n, per.as_str(), signed(*nanos)])?;
    }
    for (name, text) in &wanted.labels {
        let insert = "INSERT INTO client_key_label (key, name, text) VALUES (?1, ?2, ?3)";
        db.execute(insert, params![n, name, text])?;
    }
    Ok(n)
}

pub(super) fn insert_secret(
    db: &Transaction<'_>,
    key: i64,
    secret: &StoredSecret,
) -> rusqlite::Result<()> {
    let StoredSecret { digest, shown, created_ms, until_ms } = secret;
    let insert = "INSERT INTO client_key_secret (digest, key, shown, created_ms, until_ms)
                  VALUES (?1, ?2, ?3, ?4, ?5)";
    let until = until_ms.map(signed);
    db.execute(insert, params![digest, key, shown, signed(*created_ms), until]).map(drop)
}

/// All keys, or the one of this name. One transaction, so that what is read fits together.
fn read(db: &Connection, name: Option<&str>) -> rusqlite::Result<Vec<StoredKey>> {
    let transaction = db.unchecked_transaction()?;
    let mut keys = Vec::new();
    {
        let mut select = transaction.prepare_cached(
            "SELECT n, name, created_ms, revoked_ms, expires_ms, models, routes,
                    requests_per_minute, tokens_per_minute, concurrency
             FROM client_key WHERE ?1 IS NULL OR name = ?1 ORDER BY n",
        )?;
        let mut rows = select.query([name])?;
        while let Some(row) = rows.next()? {
            keys.push(read_key(&transaction, row)?);
        }
    }
    transaction.commit()?;
    Ok(keys)
}

fn read_key(db: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let n: i64 = row.get(0)?;
    let number = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(unsigned));
    let words = |at: usize| {
        let text: String = row.get(at)?;
        Ok::<_, rusqlite::Error>(text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let limits = Limits {
        requests_per_minute: number(7)?,
        tokens_per_minute: number(8)?,
        concurrency: number(9)?.and_then(|most| u32::try_from(most).ok()),
        budgets: several(
            db,
            "SELECT nanos, per FROM client_key_budget WHERE key = ?1 ORDER BY nanos",
            n,
            |row| {
                let (nanos, per): (i64, String) = (row.get(0)?, row.get(1)?);
                // A period that this release does not know still limits, as strictly as can be.
                let per = Period::of(&per).unwrap_or(Period::Total);
                Ok(Budget { nanos: unsigned(nanos), per })
            },
        )?,
    };
    let labels = "SELECT name, text FROM client_key_label WHERE key = ?1 ORDER BY name";
    let secrets = "SELECT digest, shown, until_ms, created_ms FROM client_key_secret WHERE key = ?1
                   ORDER BY created_ms, until_ms IS NULL";
    Ok(StoredKey {
        wanted: Wanted {
            name: row.get(1)?,
            models: words(5)?,
            routes: words(6)?,
            limits,
            expires_ms: number(4)?,
            labels: several(db, labels, n, |row| Ok((row.get(0)?, row.get(1)?)))?,
        },
        created_ms: number(2)?.unwrap_or_default(),
        revoked_ms: number(3)?,
        secrets: several(db, secrets, n, |row| {
            let until_ms: Option<i64> = row.get(2)?;
            let until_ms = until_ms.map(unsigned);
            let created_ms = unsigned(row.get(3)?);
            Ok(StoredSecret { digest: row.get(0)?, shown: row.get(1)?, created_ms, until_ms })
        })?,
    })
}

/// The rows that belong to a key.
fn several<T>(
    db: &Connection,
    select: &str,
    key: i64,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare_cached(select)?.query_map([key], read)?.collect()
}

/// A new secret and what is kept of it.
fn make_secret(created_ms: u64) -> Result<(String, StoredSecret), KeyError> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_nothing_more| KeyError::NoRandom)?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = sha256(secret.as_bytes());
    let first = secret.get(..PREFIX.len() + SHOWN).unwrap_or_default();
    let last = secret.get(secret.len() - SHOWN..).unwrap_or_default();
    let shown = format!("{first}…{last}");
    Ok((secret, StoredSecret { digest, shown, created_ms, until_ms: None }))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const NOW: u64 = 1_796_040_000_000;

    /// A store that is removed in the end.
    struct Store(Db, PathBuf);

    impl Drop for Store {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.1));
        }
    }

    fn store(name: &str) -> Store {
        let dir = std::env::temp_dir().join(format!("vb-keys-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Store(Db::open(&dir.join("vertex-bridge.db")).unwrap(), dir)
    }

    fn wanted(name: &str) -> Wanted {
        Wanted { name: name.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn a_key_comes_back_as_it_was_wanted() {
        let mut store = store("wanted");
        let full = Wanted {
            name: "team-a".to_owned(),
            models: vec!["fast".to_owned(), "gemini-*".to_owned()],
            routes: vec!["*".to_owned()],
            limits: Limits {
                requests_per_minute: Some(600),
                tokens_per_minute: Some(1_000_000),
                concurrency: Some(7),
                budgets: vec![
                    Budget { nanos: 1, per: Period::Day },
                    Budget { nanos: 25_000_000_000, per: Period::Month },
                ],
            },
            expires_ms: Some(NOW + 1),
            labels: vec![("owner".to_owned(), "Ms. K".to_owned())],
        };
        let before = changes(&store.0).unwrap();
        let made = create(&mut store.0, &full, NOW).unwrap();
        create(&mut store.0, &wanted("team-b"), NOW).unwrap();
        assert_eq!(changes(&store.0).unwrap(), before + 2);
        let keys = list(&store.0).unwrap();
        assert_eq!(
            keys.iter().map(|key| &*key.wanted.name).collect::<Vec<_>>(),
            ["team-a", "team-b"]
        );
        assert_eq!((&keys[0].wanted, keys[0].created_ms), (&full, NOW));
        assert_eq!(keys[0], made.key);
        let holder = keys[0].holder();
        assert_eq!(holder.secrets, [(sha256(made.secret.as_bytes()), NOW + 1)]);
        assert_eq!((holder.limits, holder.models), (full.limits, full.models));
        assert_eq!(keys[0].standing(NOW), Standing::Good);
        assert_eq!(keys[0].standing(NOW + 1), Standing::Expired);
    }

    #[test]
    fn a_secret_is_long_and_random_and_nowhere_in_the_store() {
        let mut store = store("secret");
        let one = create(&mut store.0, &wanted("one"), NOW).unwrap();
        let two = create(&mut store.0, &wanted("two"), NOW).unwrap();
        assert_ne!(one.secret, two.secret);
        let random = one.secret.strip_prefix("sk-vb-").expect("the prefix");
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(random.len() == 43 && random.bytes().all(url_safe), "{}", random.len());
        let shown = &one.key.secrets[0].shown;
        assert_eq!(shown.chars().count(), 10 + 1 + 4);
        assert!(one.secret.starts_with(shown.split('…').next().unwrap()));
        let all = format!("{one:?} {:?}", one.key);
        assert!(!all.contains(random), "{all}");
        let inner = &random.as_bytes()[4..20];
        for file in std::fs::read_dir(&store.1).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(inner.len()).any(|window| window == inner));
        }
    }

    #[test]
    fn names_are_never_used_again() {
        let mut store = store("names");
        create(&mut store.0, &wanted("a"), NOW).unwrap();
        let taken = create(&mut store.0, &wanted("a"), NOW).unwrap_err();
        assert!(taken.to_string().starts_with("a key named a exists"), "{taken}");
        let revoked = revoke(&mut store.0, "a", NOW + 5).unwrap();
        assert_eq!((revoked.revoked_ms, revoked.standing(NOW)), (Some(NOW + 5), Standing::Revoked));
        assert!(revoked.holder().secrets.is_empty());
        let before = changes(&store.0).unwrap();
        for refused in [
            create(&mut store.0, &wanted("a"), NOW).map(drop),
            revoke(&mut store.0, "a", NOW).map(drop),
            rotate(&mut store.0, "a", 0, NOW).map(drop),
            rotate(&mut store.0, "b", 0, NOW).map(drop),
            revoke(&mut store.0, "b", NOW).map(drop),
            find(&store.0, "b").map(drop),
        ] {
            assert!(refused.is_err());
        }
        assert_eq!(changes(&store.0).unwrap(), before, "what was refused changes nothing");
    }

    #[test]
    fn while_a_secret_is_replaced_both_open() {
        let mut store = store("rotate");
        let first = create(&mut store.0, &wanted("a"), NOW).unwrap();
        let second = rotate(&mut store.0, "a", 3_600_000, NOW + 10).unwrap();
        let digest = |made: &Made| sha256(made.secret.as_bytes());
        let holder = second.key.holder();
        let end = NOW + 10 + 3_600_000;
        assert_eq!(holder.secrets, [(digest(&first), end), (digest(&second), u64::MAX)]);
        // A second one does not make the first live longer, and what is over is forgotten.
        let third = rotate(&mut store.0, "a", 7_200_000, NOW + 20).unwrap();
        assert_eq!(third.key.holder().secrets[0], (digest(&first), end));
        let fourth = rotate(&mut store.0, "a", 0, end).unwrap();
        let open = fourth.key.holder().secrets;
        assert_eq!(open.len(), 3, "{open:?}");
        assert!(!open.iter().any(|(of, _)| *of == digest(&first)));
        assert_eq!(open[2], (digest(&fourth), u64::MAX));
        assert_eq!(open[1], (digest(&third), end));
    }

    #[test]
    fn another_process_sees_the_change() {
        let mut store = store("other");
        let reader = Db::open(&store.1.join("vertex-bridge.db")).unwrap();
        let version = || -> i64 {
            reader.connection.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap()
        };
        let before = (version(), changes(&reader).unwrap());
        assert_eq!(before.0, version());
        create(&mut store.0, &wanted("a"), NOW).unwrap();
        assert_ne!(version(), before.0);
        assert_ne!(changes(&reader).unwrap(), before.1);
        assert_eq!(list(&reader).unwrap().len(), 1);
    }
}
