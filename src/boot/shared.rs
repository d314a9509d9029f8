//! The thread that shares with other gateways.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::limits::SIGNATURE_BYTES;
use crate::config::{Config, Shared};
use crate::obs::log::Level;
use crate::rt::{Clock, unix_millis};
use crate::shard::{Cache, Outbox, Signatures};
use crate::shared::{Ear, LeaseWatch, Outgoing, Sharing};
use crate::store::Db;

use super::keys::{Keys, Latest};
use super::random::random;
use super::say::say;
use super::state;

/// Between two rounds.
const EVERY: Duration = Duration::from_millis(50);
/// Until what others send is listened for again.
const AGAIN: Duration = Duration::from_secs(1);
/// Rounds before the first request: what there is of a budget is learnt in the first, and a part
/// of it held from the second on.
const FIRST: usize = 3;

/// The thread, and the way to end it.
pub(super) struct Sharer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// The cache, the vendors' marks, and who shares.
type Started = (Option<Cache>, Signatures, Option<Sharer>);

/// The cache and the vendors' marks, and what others are to be told of them.
fn learnt(config: &Config) -> (Option<Cache>, Signatures, Outgoing) {
    let ((answered, answers), (marked, marks)) = (Outbox::open(), Outbox::open());
    let shares = |what: fn(&Shared) -> bool| config.shared.as_ref().is_some_and(what);
    let answered = if shares(|shared| shared.cache) { answered } else { Outbox::default() };
    let marked = if shares(|shared| shared.signatures) { marked } else { Outbox::default() };
    let bytes = if config.gemini.signatures.cache { SIGNATURE_BYTES } else { 0 };
    let cache = config.cache.map(|cache| Cache::with(cache, answered));
    (cache, Signatures::with(bytes, marked), Outgoing { answers, marks })
}

/// What runs in the thread.
struct Work {
    sharing: Sharing,
    latest: Latest,
    clock: Clock,
}

/// Makes what can be shared, and begins to share where that is wanted: asks the store for the first
/// time, and then all the time.
///
/// # Errors
/// Keys are to be shared and this machine has no store for them; or the system gives no thread.
pub(super) fn start(config: &Config, keys: &Keys) -> io::Result<Started> {
    let (cache, signatures, news) = learnt(config);
    let Some(shared) = &config.shared else { return Ok((cache, signatures, None)) };
    let (latest, cells) = (keys.latest(), keys.shared());
    let db = shared.keys.then(|| open(config)).transpose()?;
    let sharing = Sharing::new(shared.clone(), (db, news), random(), Arc::clone(&cells));
    if shared.cache || shared.signatures {
        hear(sharing.ear(), cache.clone().filter(|_| shared.cache), signatures.clone())?;
    }
    let mut work = Work { sharing, latest, clock: Clock::start() };
    for _ in 0..FIRST {
        work.round();
        if !cells.is_up() {
            break;
        }
    }
    if shared.budgets {
        end_leases(work.sharing.watch(), work.latest.clone(), work.clock)?;
    }
    let (stop, stopped) = channel();
    let thread = thread::Builder::new().name("vb-shared".to_owned());
    let thread = thread.spawn(move || work.run(&stopped))?;
    Ok((cache, signatures, Some(Sharer { stop, thread })))
}

/// Ends leases that are over, as long as the process lives: whoever asks the store may wait for it.
fn end_leases(watch: LeaseWatch, latest: Latest, clock: Clock) -> io::Result<()> {
    let watching = move || {
        loop {
            thread::park_timeout(EVERY);
            watch.look(&latest.read(), clock.now(), unix_millis());
        }
    };
    thread::Builder::new().name("vb-leases".to_owned()).spawn(watching).map(drop)
}

/// Hears what others have learnt, as long as the process lives.
fn hear(ear: Ear, cache: Option<Cache>, signatures: Signatures) -> io::Result<()> {
    let clock = Clock::start();
    let hearing = move || {
        loop {
            ear.listen(cache.as_ref(), &signatures, || clock.now());
            thread::park_timeout(AGAIN);
        }
    };
    thread::Builder::new().name("vb-hear".to_owned()).spawn(hearing).map(drop)
}

/// The store of this machine's keys.
fn open(config: &Config) -> io::Result<Db> {
    let opened = state::make_store(config);
    let opened = opened.and_then(|file| Db::open(&file).map_err(|error| error.to_string()));
    opened.map_err(|error| {
        let fix = "shared.keys = false does without";
        io::Error::other(format!("keys cannot be shared without a store here: {error}; {fix}"))
    })
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            self.round();
        }
        self.sharing.leave(&self.latest.read(), unix_millis());
    }

    fn round(&mut self) {
        let access = self.latest.read();
        let clock = || (self.clock.now(), unix_millis());
        match self.sharing.round(&access, &clock) {
            Some(Ok(news)) => say(Level::Info, &news),
            Some(Err(trouble)) => say(Level::Warn, &trouble),
            None => {}
        }
    }
}

impl Sharer {
    /// Gives back what is held. Called when no shard runs any more.
    pub(super) fn finish(self) {
        // One that has ended already was told by its panic.
        let _ended = self.stop.send(());
        let _ended = self.thread.join();
    }
}
