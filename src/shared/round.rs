//! One round of sharing: what this process tells the store, and what it learns from it.

use std::fmt;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Tick;
use crate::config::Shared;
use crate::obs::SharedCells;
use crate::shard::{Access, Cache, Fresh, Mark, Signatures};
use crate::store::keys::StoredKey;
use crate::store::{Db, StoreError, key_copies, keys};

use super::budgets::Budgets;
use super::parcels::{Parcel, Received};
use super::server::{Asked, ServerError, Store, Told};

/// How long the store is left alone after it could not be asked.
const AGAIN: Duration = Duration::from_millis(250);
/// How often a process says that it is there, at least.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// A process counts so much longer than it said that it is there.
const MEMBER_MS: u64 = 2000;
/// How often the own store is looked at for keys that have changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So many parcels of each kind are sent in one round.
const PARCELS_MAX: usize = 64;

/// Why a round came to nothing.
#[derive(Debug)]
pub enum SharingError {
    /// The shared store.
    Server(ServerError),
    /// The store of this machine.
    Local(StoreError),
}

impl fmt::Display for SharingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => write!(f, "the shared store cannot be asked: {error}"),
            Self::Local(error) => write!(f, "keys cannot be shared: {error}"),
        }
    }
}

impl From<ServerError> for SharingError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for SharingError {
    fn from(error: StoreError) -> Self {
        Self::Local(error)
    }
}

/// What others are to be told of.
#[derive(Debug)]
pub struct Outgoing {
    /// Answers that were kept.
    pub answers: Receiver<Fresh>,
    /// Marks of calls.
    pub marks: Receiver<Mark>,
}

/// What this process shares.
#[derive(Debug)]
pub struct Sharing {
    wanted: Shared,
    store: Store,
    /// What is to be sent to others.
    parcels: Outgoing,
    budgets: Arc<Mutex<Budgets>>,
    keys: Option<Keys>,
    cells: Arc<SharedCells>,
    /// The store is left alone until then.
    quiet_until: Tick,
    /// When the store last answered.
    heard: Option<Tick>,
    /// The present trouble was said.
    failing: bool,
}

/// The keys of this machine's store, and what of them the others have.
struct Keys {
    db: Db,
    looked: Option<Tick>,
    /// The number of changes in the own store when it was last read.
    own: i64,
    /// The same of the shared one.
    others: Option<u64>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Something for the log: that all is well again, or what is wrong.
pub type News = Option<Result<String, String>>;

impl Outgoing {
    fn take(&self) -> Vec<Parcel> {
        let answers = self.answers.try_iter().map(Parcel::Answer).take(PARCELS_MAX);
        let marks = self.marks.try_iter().map(Parcel::Mark).take(PARCELS_MAX);
        answers.chain(marks).collect()
    }
}

impl Sharing {
    /// Begins to share. `db` is the store of this machine's keys, where they are shared; `member`
    /// is a random number; `parcels` are for the others.
    pub fn new(
        wanted: Shared,
        (db, parcels): (Option<Db>, Outgoing),
        member: u64,
        cells: Arc<SharedCells>,
    ) -> Self {
        let keys = db.map(|db| Keys { db, looked: None, own: -1, others: None });
        Self {
            store: Store::new(&wanted, member),
            parcels,
            budgets: Arc::new(Mutex::new(Budgets::new(&wanted))),
            wanted,
            keys,
            cells,
            quiet_until: Tick::default(),
            heard: None,
            failing: false,
        }
    }

    /// One round. `clock` tells the time, also after the store has answered: it may take a while.
    pub fn round(&mut self, access: &Access, clock: &dyn Fn() -> (Tick, u64)) -> News {
        let (now, now_ms) = clock();
        let questions = if self.wanted.budgets {
            lock(&self.budgets).questions(access, now, now_ms)
        } else {
            Vec::new()
        };
        // What cannot be sent now is not kept: it is of use for a moment.
        let parcels = self.parcels.take();
        let nothing = questions.is_empty() && parcels.is_empty() && !self.is_due(now);
        if now < self.quiet_until || nothing {
            return None;
        }
        let lease_ms = u64::try_from(self.wanted.lease.as_millis()).unwrap_or(u64::MAX);
        let asked = Asked { member_ms: MEMBER_MS, lease_ms, questions: &questions };
        let done = self.store.ask(&asked).map_err(SharingError::from).and_then(|told| {
            let (_, now_ms) = clock();
            let answers = &told.answers;
            let times = (now, now_ms);
            lock(&self.budgets).on_answers(&access.rates, &questions, answers, times);
            if self.wanted.limits {
                self.cells.processes.set(told.processes.max(1));
            }
            if !parcels.is_empty() {
                self.store.publish(&parcels)?;
            }
            self.share_keys(&told, now)
        });
        self.note(done, clock().0)
    }

    fn is_due(&self, now: Tick) -> bool {
        self.heard.is_none_or(|heard| now.since(heard) >= HEARTBEAT)
    }

    fn note(&mut self, done: Result<(), SharingError>, now: Tick) -> News {
        match done {
            Ok(()) => {
                self.cells.rounds.add(1);
                self.heard = Some(now);
                self.failing = false;
                let was_up = self.cells.set_up(true);
                (!was_up).then(|| Ok("the shared store answers".to_owned()))
            }
            Err(error) => {
                self.cells.failures.add(1);
                self.cells.set_up(false);
                self.quiet_until = now.after(AGAIN);
                let first = !std::mem::replace(&mut self.failing, true);
                first.then(|| Err(error.to_string()))
            }
        }
    }

    /// Brings keys to the others, and theirs here.
    fn share_keys(&mut self, told: &Told, now: Tick) -> Result<(), SharingError> {
        let Some(keys) = &mut self.keys else { return Ok(()) };
        let theirs = keys.others != Some(told.changes);
        let looks = keys.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY);
        if !theirs && !looks {
            return Ok(());
        }
        keys.looked = Some(now);
        let own = keys::changes(&keys.db)?;
        if !theirs && own == keys.own {
            return Ok(());
        }
        let others = self.store.keys()?;
        let others: Vec<StoredKey> =
            others.iter().filter_map(|(_, text)| key_copies::read(text)).collect();
        key_copies::take(&mut keys.db, &others)?;
        let own = keys::changes(&keys.db)?;
        let news = key_copies::unknown_to(&keys::list(&keys.db)?, &others);
        if !news.is_empty() {
            self.store.put_keys(&news)?;
        }
        // What was put is read back once: somebody else may have put something at the same time.
        (keys.own, keys.others) = (own, Some(told.changes));
        Ok(())
    }

    /// Ends leases while a round waits for the store, on a thread of its own.
    pub fn watch(&self) -> LeaseWatch {
        LeaseWatch(Arc::clone(&self.budgets))
    }

    /// The ear for what others send, for a thread of its own.
    pub fn ear(&self) -> Ear {
        Ear { store: self.store.another(), cells: Arc::clone(&self.cells) }
    }

    /// The process ends: what it holds is for the others.
    pub fn leave(&mut self, access: &Access, now_ms: u64) {
        let questions = lock(&self.budgets).farewell(access, now_ms);
        let asked = Asked { member_ms: 0, lease_ms: 0, questions: &questions };
        // If it cannot be told, leases end by themselves.
        let _end = self.store.ask(&asked);
    }
}

/// Sees to it that no lease outlives its end.
#[derive(Debug)]
pub struct LeaseWatch(Arc<Mutex<Budgets>>);

impl LeaseWatch {
    /// Ends those that are over.
    pub fn look(&self, access: &Access, now: Tick, now_ms: u64) {
        lock(&self.0).end_leases(access, now, now_ms);
    }
}

fn lock(budgets: &Mutex<Budgets>) -> MutexGuard<'_, Budgets> {
    // What a panic leaves half done is told anew in the next round.
    budgets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what others have learnt.
#[derive(Debug)]
pub struct Ear {
    store: Store,
    cells: Arc<SharedCells>,
}

impl Ear {
    /// Hears until the store is gone; then it may be called again.
    pub fn listen(&self, cache: Option<&Cache>, signatures: &Signatures, now: impl Fn() -> Tick) {
        let hear = |received: Received| {
            self.cells.received.add(1);
            self.take(received, cache, signatures, now());
        };
        // The rounds say that the store is away.
        let _gone = self.store.listen(hear);
    }

    fn take(&self, received: Received, cache: Option<&Cache>, signatures: &Signatures, now: Tick) {
        match (received, cache) {
            (Received::Mark(marker, id, mark), _) => signatures.take(marker, &id, &mark, now),
            (Received::Answer(key, kept, ttl), Some(cache)) => {
                let change = cache.take(key, kept, (now, ttl));
                let cells = &self.cells;
                let came = (change.stored, &cells.cache_stored);
                for ((answers, bytes), [count, sum]) in [came, (change.freed, &cells.cache_freed)] {
                    count.add(answers);
                    sum.add(bytes);
                }
            }
            (Received::Answer(..), None) => {}
        }
    }
}
