//! The keys of the store: read before the first request, and again whenever they change.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::{Budget, Config, ConfigError, Place};
use crate::obs::log::Level;
use crate::obs::{BudgetFigures, SharedCells};
use crate::policy::{Holder, KeyId, Roll};
use crate::rt::{self, Accepted, Mailbox};
use crate::shard::{Access, Letter};
use crate::store::{Db, StoreError, keys};

use super::random::random;
use super::say::say;
use super::state;

/// How often the store is looked at. A key that is revoked must not open a second later.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So many keys with budgets have series of their own.
const KEYS_SHOWN: usize = 100;
/// How often it is said that the store cannot be read, in looks.
const SAY_EVERY: u32 = 300;

/// The access that the shards have, for threads that want to know it.
#[derive(Clone, Debug)]
pub(super) struct Latest(Arc<Mutex<Access>>);

impl Latest {
    /// Of an access.
    pub(super) fn of(access: Access) -> Self {
        Self(Arc::new(Mutex::new(access)))
    }

    /// As it is now.
    pub(super) fn read(&self) -> Access {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is spent of budgets now.
    pub(super) fn budgets(&self, now_ms: u64) -> Vec<BudgetFigures> {
        let access = self.read();
        let of = |(place, holder): (usize, &Holder)| {
            let spent = access.rates.spent(KeyId::Configured(place), now_ms);
            let figures = |(budget, used_nanos, _): (Budget, u64, u64)| BudgetFigures {
                key: holder.name.clone(),
                per: budget.per.as_str(),
                limit_nanos: budget.nanos,
                used_nanos,
            };
            spent.into_iter().map(figures).collect::<Vec<_>>()
        };
        let holders = access.keys.holders().iter().enumerate();
        let with_budget = holders.map(of).filter(|figures| !figures.is_empty());
        with_budget.take(KEYS_SHOWN).flatten().collect()
    }

    fn replace(&self, access: Access) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }
}

/// All keys, and how changes of them are noticed.
pub(super) struct Keys {
    /// Where the store is, or will be when somebody makes one.
    path: Option<PathBuf>,
    store: Option<Watched>,
    roll: Roll,
    latest: Latest,
    /// Decides where keys are looked for; nobody else knows it.
    salt: u64,
    /// Who else shares the limits.
    shared: Arc<SharedCells>,
    /// Of so many processes each admits its part.
    processes: u64,
}

/// An open store, and what it was like when it was last read.
struct Watched {
    db: Db,
    /// Device and number of its file.
    file: (u64, u64),
    version: i64,
    changes: i64,
}

impl Keys {
    /// The keys of the configuration and of the store, if there is one.
    ///
    /// # Errors
    /// The store cannot be used, it has a name that the configuration has too, or a key is needed
    /// and neither has one.
    pub(super) fn read(config: &Config) -> Result<Self, ConfigError> {
        let mut roll = Roll::new(Holder::of(&config.auth.keys));
        let path = state::store_file(config).ok();
        let unusable = |error: StoreError| ConfigError {
            key: "ledger.path".to_owned(),
            place: Place::Nowhere,
            found: format!("a store that cannot be used: {error}"),
            expected: "the folder of a store".to_owned(),
        };
        let opened = path.as_deref().map(Watched::open).transpose().map_err(unusable)?.flatten();
        let mut store = None;
        if let Some((watched, stored)) = opened {
            if let Some(name) = roll.clash(&stored) {
                return Err(ConfigError {
                    key: "key.name".to_owned(),
                    place: Place::Nowhere,
                    found: format!("{name:?}, which is the name of a key in the store too"),
                    expected: "a name of its own".to_owned(),
                });
            }
            roll.update(stored);
            store = Some(watched);
        }
        if let Some(error) =
            config.auth.unless_stored.as_ref().filter(|_| roll.holders().is_empty())
        {
            return Err(error.clone());
        }
        let salt = random();
        let access = Access::new(config, roll.holders(), rt::unix_millis(), salt);
        let latest = Latest::of(access);
        let shared = Arc::default();
        Ok(Self { path, store, roll, latest, salt, shared, processes: 1 })
    }

    /// What the shards begin with.
    pub(super) fn access(&self) -> Access {
        self.latest.read()
    }

    /// What the shards have, now and later.
    pub(super) fn latest(&self) -> Latest {
        self.latest.clone()
    }

    /// Where is counted who shares the limits.
    pub(super) fn shared(&self) -> Arc<SharedCells> {
        Arc::clone(&self.shared)
    }

    /// Tells the shards of every change, from a thread of its own, because looking blocks.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn keep(
        mut self,
        config: &Config,
        mailboxes: Vec<Mailbox<Letter<Accepted>>>,
    ) -> io::Result<()> {
        let config = config.clone();
        let mut failed = 0;
        let watching = move || loop {
            thread::park_timeout(LOOK_EVERY);
            failed = self.tell_news(&config, &mailboxes, failed);
        };
        thread::Builder::new().name("vb-keys".to_owned()).spawn(watching).map(drop)
    }

    /// Tells the shards if anything has changed; how often the store could not be read, after it
    /// could not for `failed` times.
    fn tell_news(
        &mut self,
        config: &Config,
        mailboxes: &[Mailbox<Letter<Accepted>>],
        failed: u32,
    ) -> u32 {
        match self.look(config) {
            Ok(changed) => {
                for shard in mailboxes.iter().filter(|_| changed) {
                    shard.send(Letter::Keys(self.latest.read()));
                }
                0
            }
            Err(error) => {
                if failed.is_multiple_of(SAY_EVERY) {
                    let what = "the keys stay as they are, because the store cannot be read";
                    say(Level::Error, &format!("{what}: {error}"));
                }
                self.store = None;
                failed.wrapping_add(1)
            }
        }
    }

    /// Has anything changed?
    fn look(&mut self, config: &Config) -> Result<bool, StoreError> {
        let file = self.path.as_deref().and_then(file_at);
        // A backup that was put in its place is another file.
        self.store.take_if(|watched| Some(watched.file) != file);
        let stored = match (&mut self.store, &self.path) {
            (Some(watched), _) => watched.news()?,
            (None, Some(path)) => Watched::open(path)?.map(|(watched, stored)| {
                self.store = Some(watched);
                stored
            }),
            (None, None) => None,
        };
        let processes = self.shared.processes.read().max(1);
        let others = std::mem::replace(&mut self.processes, processes) != processes;
        let changed = stored.is_some_and(|stored| self.take(stored));
        if changed || others {
            let (now, holders) = (rt::unix_millis(), self.roll.holders());
            let next = self.latest.read().next(config, holders, (now, self.salt), processes);
            self.latest.replace(next);
        }
        Ok(changed || others)
    }

    /// These are the keys of the store now; does that change anything?
    fn take(&mut self, stored: Vec<Holder>) -> bool {
        if let Some(name) = self.roll.clash(&stored) {
            let whose = "its secret in the store does not open, because the file has a key of";
            say(Level::Error, &format!("key {name}: {whose} that name"));
        }
        self.roll.update(stored)
    }
}

/// What tells the file at a path from another one; none where there is no file.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|data| (data.dev(), data.ino()))
}

impl Watched {
    /// Opens the store, if there is one, and reads its keys.
    fn open(path: &Path) -> Result<Option<(Self, Vec<Holder>)>, StoreError> {
        let Some(file) = file_at(path) else { return Ok(None) };
        let db = Db::open(path)?;
        let mut watched = Self { db, file, version: 0, changes: -1 };
        let stored = watched.news()?.unwrap_or_default();
        Ok(Some((watched, stored)))
    }

    /// The holders, if they may have changed since this was last asked. The ledger changes the
    /// store all the time, so there is a number that only keys move.
    fn news(&mut self) -> Result<Option<Vec<Holder>>, StoreError> {
        let version = self.db.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        let version = version.map_err(|error| self.db.blame(&error))?;
        if std::mem::replace(&mut self.version, version) == version {
            return Ok(None);
        }
        // The number first: a change between the two is then read twice and not missed.
        let changes = keys::changes(&self.db)?;
        if std::mem::replace(&mut self.changes, changes) == changes {
            return Ok(None);
        }
        Ok(Some(keys::list(&self.db)?.iter().map(keys::StoredKey::holder).collect()))
    }
}
