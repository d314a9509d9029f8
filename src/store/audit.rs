//! The audit log: what operators have changed, as a chain of hashes.
//!
//! The hash of an entry is the SHA-256 of the hash before it (32 zero bytes at the start) and the
//! entry's canonical text, a JSON array of its members in the order of [`Entry`]. So an entry that
//! was changed, taken out or put in between is noticed. Entries cut off at the end are noticed by
//! whoever has kept a later hash.

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rusqlite::{OptionalExtension, TransactionBehavior};

use crate::policy::hex;

use super::db::{Db, StoreError};

type Hash = [u8; SHA256_OUTPUT_LEN];

/// What somebody did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who: the fingerprint of the admin key, or `cli` for the command line.
    pub who: String,
    /// From which address; empty when there is none.
    pub from: String,
    /// What, `key.revoke` for example.
    pub action: String,
    /// To what: a key's name, an exchange's id.
    pub subject: String,
    /// What came of it.
    pub result: String,
}

/// One entry of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1 without gaps.
    pub number: i64,
    /// What was done.
    pub deed: Deed,
    /// Its hash in hexadecimal digits.
    pub hash: String,
}

/// What a look at the whole chain has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many entries fit together; the last hash, to be kept elsewhere.
    Whole(i64, String),
    /// The entry with this number is not what it was, or is missing.
    Broken(i64),
}

impl Deed {
    fn text(&self, number: i64) -> String {
        let Self { at_ms, who, from, action, subject, result } = self;
        serde_json::json!([number, at_ms, who, from, action, subject, result]).to_string()
    }

    /// Reads a canonical text.
    fn read(text: &str) -> Option<(i64, Self)> {
        let (number, at_ms, who, from, action, subject, result) =
            serde_json::from_str(text).ok()?;
        Some((number, Self { at_ms, who, from, action, subject, result }))
    }
}

/// Adds an entry. Two processes may do so at the same time.
///
/// # Errors
/// The store cannot be written.
pub fn append(db: &mut Db, deed: &Deed) -> Result<(), StoreError> {
    let added = (|| {
        let transaction =
            db.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
        let last = transaction.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (before, previous): (i64, Hash) = last.optional()?.unwrap_or_default();
        let number = before + 1;
        let text = deed.text(number);
        let hash = chained(&previous, &text);
        let insert = "INSERT INTO audit (number, previous, text, hash) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(insert, (number, previous, text, hash))?;
        transaction.commit()
    })();
    added.map_err(|error| db.blame(&error))
}

/// The last `most` entries, the newest first.
///
/// # Errors
/// The store cannot be read.
pub fn list(db: &Db, most: u32) -> Result<Vec<Entry>, StoreError> {
    let read = || {
        let newest = "SELECT text, hash FROM audit ORDER BY number DESC LIMIT ?1";
        let mut statement = db.connection.prepare(newest)?;
        let rows = statement.query_map([most], |row| {
            let (text, hash): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let entry = |(number, deed)| Entry { number, deed, hash: hex(&hash) };
            Ok(Deed::read(&text).map(entry))
        })?;
        let entries: rusqlite::Result<Vec<Option<Entry>>> = rows.collect();
        Ok(entries?.into_iter().flatten().collect())
    };
    read().map_err(|error| db.blame(&error))
}

/// Walks the whole chain.
///
/// # Errors
/// The store cannot be read.
pub fn verify(db: &Db) -> Result<Verdict, StoreError> {
    let walk = || {
        let all = "SELECT number, previous, text, hash FROM audit ORDER BY number";
        let mut statement = db.connection.prepare(all)?;
        let mut rows = statement.query([])?;
        let (mut number, mut last) = (0, Vec::from(Hash::default()));
        while let Some(row) = rows.next()? {
            number += 1;
            let known: i64 = row.get(0)?;
            let (previous, text): (Vec<u8>, String) = (row.get(1)?, row.get(2)?);
            let hash: Vec<u8> = row.get(3)?;
            let named = Deed::read(&text).is_some_and(|(inside, _)| inside == number);
            let fits = known == number && named && previous == last;
            if !fits || chained(&last, &text).as_slice() != hash {
                return Ok(Verdict::Broken(number));
            }
            last = hash;
        }
        Ok(Verdict::Whole(number, hex(&last)))
    };
    walk().map_err(|error| db.blame(&error))
}

fn chained(previous: &[u8], text: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(text.as_bytes());
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Store(PathBuf, Db);

    impl Store {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("vb-audit-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            let db = Db::open(&dir.join("vertex-bridge.db")).expect("it opens");
            Self(dir, db)
        }

        fn add(&mut self, action: &str) {
            let deed = Deed {
                at_ms: 7,
                who: "0a1b2c3d".to_owned(),
                from: "127.0.0.1".to_owned(),
                action: action.to_owned(),
                subject: "a \"quoted\" name".to_owned(),
                result: "done".to_owned(),
            };
            append(&mut self.1, &deed).expect("it is added");
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn entries_follow_each_other_and_are_listed_newest_first() {
        let mut store = Store::new("list");
        assert!(matches!(verify(&store.1), Ok(Verdict::Whole(0, _))));
        for action in ["key.create", "drain", "reload"] {
            store.add(action);
        }
        let entries = list(&store.1, 2).expect("they are read");
        let seen: Vec<_> = entries.iter().map(|e| (e.number, e.deed.action.as_str())).collect();
        assert_eq!(seen, [(3, "reload"), (2, "drain")]);
        assert_eq!(verify(&store.1).unwrap(), Verdict::Whole(3, entries[0].hash.clone()));
    }

    #[test]
    fn whatever_is_done_to_an_entry_is_noticed() {
        let tricks = [
            "UPDATE audit SET text = replace(text, 'done', 'gone') WHERE number = 2",
            "UPDATE audit SET hash = zeroblob(32) WHERE number = 2",
            "UPDATE audit SET previous = zeroblob(32) WHERE number = 2",
            "DELETE FROM audit WHERE number = 2",
            "UPDATE audit SET number = 9 WHERE number = 2",
        ];
        for (place, trick) in tricks.into_iter().enumerate() {
            let mut store = Store::new(&format!("trick-{place}"));
            ["a", "b", "c"].into_iter().for_each(|action| store.add(action));
            let connection = &store.1.connection;
            let refused = connection.execute_batch(trick).expect_err("the table says no");
            assert!(refused.to_string().contains("only added to"), "{refused}");
            let open = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_cut;";
            connection.execute_batch(open).unwrap();
            connection.execute_batch(trick).unwrap();
            assert_eq!(verify(&store.1).unwrap(), Verdict::Broken(2), "{trick}");
        }
    }
}
