//! The thread that reads what the shards have recorded, and hands it on: to the ledger, and to
//! whoever else wants to know of exchanges.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::{Config, WhenFull};
use crate::journal::{Folder, Journal, Owned, Reading, Record, pair};
use crate::obs::log::Level;
use crate::policy::books::{Books, Stored, What};
use crate::rt::{Clock, unix_millis};
use crate::store::{StoreError, ledger};

use super::say::say;
use super::spent::Spent;
use super::state;

/// How often the shards' records are looked at. A slot is in use that much longer than its
/// exchange.
const EVERY: Duration = Duration::from_millis(50);

/// How long the ledger is left alone after it has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// How often is looked for what other processes have left that died meanwhile.
const ADOPT_EVERY: Duration = Duration::from_secs(10);

/// How many old exchanges are removed at a time, between two looks at the shards.
const FORGET: usize = 2000;

/// How often is looked whether another process has spent of a budget.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many records are taken of one shard at a time.
const BATCH: usize = 4096;

/// Room for records that wait to be read, beside those of exchanges that run.
const WAITING: usize = 8192;

/// The ledger, and the folder for what is on its way there.
pub(super) struct Ledger {
    folder: Folder,
    book: ledger::Ledger,
    /// How long exchanges are kept; for ever without.
    retention: Option<Duration>,
    when_full: WhenFull,
}

impl Ledger {
    /// Opens the ledger of this configuration, if it has one.
    ///
    /// # Errors
    /// It cannot be opened, and the operator has said that it must be.
    pub(super) fn open(config: &Config) -> io::Result<Option<Self>> {
        if !config.ledger.enabled {
            return Ok(None);
        }
        let opened = state::make_store(config).and_then(|file| {
            let book = ledger::Ledger::open(&file).map_err(|error| error.to_string())?;
            let folder = file.parent().unwrap_or(&file);
            let (retention, when_full) = (config.ledger.retention, config.ledger.when_full);
            Ok(Self { folder: Folder::new(folder), book, retention, when_full })
        });
        match opened {
            Ok(ledger) => Ok(Some(ledger)),
            Err(error) if config.ledger.required => Err(io::Error::other(format!(
                "the ledger cannot be opened: {error}; ledger.enabled = false does without"
            ))),
            Err(error) => {
                say(Level::Warn, &format!("nothing is written to a ledger: {error}"));
                Ok(None)
            }
        }
    }
}

/// Whoever wants to know of ended exchanges.
pub(super) trait Listener: Send {
    /// An exchange has ended. Must not wait.
    fn hear(&mut self, record: &Record<'_>);
}

/// What the thread is asked.
pub(super) enum Ask {
    /// Which exchanges run.
    Running(Sender<Vec<Owned>>),
    /// Every shard has ended: read the rest, and end.
    Stop,
}

/// The thread, and the way to ask it.
pub(super) struct Keeper {
    pub(super) asks: Sender<Ask>,
    /// Is there a ledger that it writes to?
    pub(super) recording: bool,
    thread: JoinHandle<()>,
}

/// The shards' sides, and the thread that is to read them.
pub(super) struct Made {
    pub(super) journals: Vec<Journal>,
    readings: Vec<Reading>,
    ledger: Option<Ledger>,
}

/// Makes a journal for each shard that runs so many exchanges at a time, in the ledger's folder if
/// there is one. `random` gives numbers of 64 bits.
///
/// # Errors
/// There is no room for them.
pub(super) fn make(
    ledger: Option<Ledger>,
    shards: usize,
    in_flight_max: usize,
    random: impl Fn() -> u64,
) -> io::Result<Made> {
    let folder = ledger.as_ref().map(|ledger| &ledger.folder);
    let slots = u32::try_from(in_flight_max.saturating_add(WAITING)).unwrap_or(u32::MAX);
    let pairs = (0..shards).map(|shard| pair(folder, shard, slots, random() >> 1));
    let (journals, readings) = pairs.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
    Ok(Made { journals, readings, ledger })
}

impl Made {
    /// Starts the thread that reads.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn keep(
        self,
        listeners: Vec<Box<dyn Listener>>,
        spent: Spent,
    ) -> io::Result<(Vec<Journal>, Keeper)> {
        let (asks, questions) = channel();
        let Self { journals, readings, ledger } = self;
        let recording = ledger.is_some();
        let when_full = ledger.as_ref().map_or(WhenFull::Serve, |ledger| ledger.when_full);
        let mut reader = Reader {
            readings,
            ledger,
            listeners,
            spent,
            clock: Clock::start(),
            books: Books::new(when_full),
            shut: false,
            failed: false,
        };
        // Before anything is admitted: what was spent must be known.
        reader.adopt();
        let thread = thread::Builder::new()
            .name("vb-journal".to_owned())
            .spawn(move || reader.run(&questions))?;
        Ok((journals, Keeper { asks, recording, thread }))
    }
}

impl Keeper {
    /// Waits until everything that was recorded is written down. Called when no shard runs any
    /// more.
    pub(super) fn finish(self) {
        // One that has ended already was told by its panic.
        let _ended = self.asks.send(Ask::Stop);
        let _ended = self.thread.join();
    }
}

struct Reader {
    readings: Vec<Reading>,
    ledger: Option<Ledger>,
    listeners: Vec<Box<dyn Listener>>,
    /// What budgets are told of other processes.
    spent: Spent,
    clock: Clock,
    /// Can the ledger be written?
    books: Books,
    /// Are requests refused because it cannot?
    shut: bool,
    /// The ledger has failed, and was not tried again since.
    failed: bool,
}

impl Reader {
    fn run(mut self, questions: &Receiver<Ask>) {
        let (mut busy, mut old) = (false, true);
        let (mut adopted, mut looked) = (self.clock.now(), self.clock.now());
        loop {
            let wait = if self.failed {
                AGAIN
            } else if busy {
                Duration::ZERO
            } else {
                EVERY
            };
            match questions.recv_timeout(wait) {
                Ok(Ask::Running(reply)) => {
                    let mut running = Vec::new();
                    for reading in &self.readings {
                        reading.running(|_, record| running.push(Owned::of(record)));
                    }
                    // Who does not wait for the answer does not need it.
                    let _gone = reply.send(running);
                    busy = false;
                }
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => busy = self.look(),
            }
            let now = self.clock.now();
            if now.since(adopted) >= ADOPT_EVERY {
                adopted = now;
                self.adopt();
                old = true;
            }
            old = old && self.forget();
            if now.since(looked) >= LOOK_EVERY {
                looked = now;
                self.tell_budgets(false);
            }
        }
        while self.look() {}
        let all_written = self.readings.iter().all(|reading| reading.held().next().is_none());
        if all_written {
            self.readings.into_iter().for_each(Reading::remove);
        }
    }

    /// Takes what has ended; true when there may be more.
    fn look(&mut self) -> bool {
        let mut more = false;
        let mut stored = None;
        for reading in &mut self.readings {
            let before = reading.held().count();
            let taken = reading.take(BATCH);
            let batch: Vec<_> = reading.held().collect();
            for (_, record) in batch.iter().skip(before) {
                self.listeners.iter_mut().for_each(|listener| listener.hear(record));
            }
            if let Some(ledger) = &mut self.ledger {
                if let Err(error) = append(ledger, reading.boot, &batch) {
                    stored = Some(failure(&error));
                    say(Level::Debug, &format!("the ledger cannot be written: {error}"));
                    continue;
                }
                if !batch.is_empty() {
                    stored = stored.or(Some(Stored::Well));
                }
                batch.iter().for_each(|(_, record)| self.spent.on_record(record));
            }
            reading.free();
            more |= taken == BATCH;
        }
        self.failed = stored.is_some_and(|stored| stored != Stored::Well);
        if let Some(stored) = stored {
            self.keep_books(stored);
        }
        more && !self.failed
    }

    /// Says what has become of the ledger, and closes the door to what it could not be told of, if
    /// that is wanted.
    fn keep_books(&mut self, stored: Stored) {
        let lost: u64 = self.readings.iter().map(Reading::lost).sum();
        self.books.on_lost(lost.saturating_sub(self.books.lost()));
        let now = self.clock.now();
        if let Some(news) = self.books.on_stored(now, stored) {
            let level = if news.what == What::Over { Level::Info } else { Level::Error };
            say(level, &news.to_string());
        }
        let shut = self.books.refuses(now);
        if shut && !self.shut {
            say(Level::Error, "requests are refused until the ledger can be written");
        }
        self.shut = shut;
        self.readings.iter().for_each(|reading| reading.shut(shut));
    }

    /// Removes some of what need not be kept any longer; true when there may be more.
    fn forget(&mut self) -> bool {
        let Some(Ledger { book, retention: Some(retention), .. }) = &mut self.ledger else {
            return false;
        };
        let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        match book.forget(unix_millis().saturating_sub(retention_ms), FORGET) {
            Ok(count) => count >= FORGET,
            Err(error) => {
                say(Level::Warn, &format!("old exchanges stay in the ledger: {error}"));
                false
            }
        }
    }

    /// Tells the budgets what other processes have spent.
    fn tell_budgets(&mut self, adopted: bool) {
        let Some(ledger) = &self.ledger else { return };
        if let Err(error) = self.spent.look(&ledger.book, adopted, unix_millis()) {
            say(Level::Error, &format!("budgets do not know what others have spent: {error}"));
        }
    }

    /// Writes down what processes have left that died.
    fn adopt(&mut self) {
        let Some(ledger) = &mut self.ledger else { return };
        let left = match ledger.folder.left() {
            Ok(left) => left,
            Err(error) => return say(Level::Error, &format!("the journal's folder: {error}")),
        };
        for left in left {
            let mut kept = Vec::new();
            left.each(|serial, record| kept.push((serial, Owned::of(record))));
            let batch: Vec<_> =
                kept.iter().map(|(serial, kept)| (*serial, kept.record())).collect();
            let count = batch.len();
            let written = append(ledger, left.boot(), &batch);
            let written = written.map_err(|error| error.to_string());
            match written.and_then(|()| left.remove().map_err(|error| error.to_string())) {
                Ok(()) if count == 0 => {}
                Ok(()) => {
                    let message =
                        format!("{count} records of a process that died are in the ledger");
                    say(Level::Info, &message);
                }
                Err(error) => {
                    say(Level::Error, &format!("records of a process that died: {error}"));
                }
            }
        }
        self.tell_budgets(true);
    }
}

const fn failure(error: &StoreError) -> Stored {
    if error.full { Stored::Full } else { Stored::Failed }
}

fn append(ledger: &mut Ledger, boot: u64, batch: &[(u64, Record<'_>)]) -> Result<(), StoreError> {
    if batch.is_empty() { Ok(()) } else { ledger.book.append(boot, batch) }
}
