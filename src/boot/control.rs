//! The control thread: answers the shards' questions, hears signals, ends the process.

use std::sync::mpsc::{Receiver, Sender};
use std::thread::Thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::control::Pages;
use crate::obs::log::{self, Level};
use crate::rt::{Accepted, Mailbox, unix_millis};
use crate::shard::{Letter, Report, TokenReport};

/// What the control thread keeps.
pub(super) struct Control {
    pub(super) reports: Receiver<Report>,
    pub(super) shards: Vec<Mailbox<Letter<Accepted>>>,
    pub(super) pages: Pages,
    /// To the threads that keep tokens, by service account: refused serial numbers.
    pub(super) refusals: Vec<Sender<u64>>,
    /// When the process started, in milliseconds since 1970.
    pub(super) started_ms: u64,
    /// Said once every shard listens.
    pub(super) greeting: String,
    /// The thread that watches certificates, where there are any.
    pub(super) certificates: Option<Thread>,
    /// A driver that is not the best was named already.
    pub(super) driver_told: bool,
}

impl Control {
    /// Runs until every shard has ended; true when that was what the operator wanted.
    pub(super) fn run(mut self) -> bool {
        let mut running = self.shards.len();
        let mut failed = false;
        while running > 0 {
            let Ok(report) = self.reports.recv() else { return false };
            match report {
                Report::Ask(ask) => {
                    let age = unix_millis().saturating_sub(self.started_ms);
                    ask.reply.send(self.pages.render(ask.page, Duration::from_millis(age)));
                }
                Report::Started { shard, driver, instead_of } => {
                    self.started(shard, driver, instead_of.as_deref());
                }
                Report::Ended { shard, error } => {
                    running -= 1;
                    self.pages.readiness.listening =
                        self.pages.readiness.listening.saturating_sub(1);
                    if let Some(error) = error {
                        say(Level::Error, &format!("shard {shard} has ended: {error}"));
                        failed = true;
                        // The rest would serve, but with a core less than was asked for.
                        self.tell(|| Letter::Stop);
                    }
                }
                Report::TokenRefused { account, serial } => {
                    if let Some(keeper) = self.refusals.get(account) {
                        // A keeper that has ended answers nobody any more.
                        let _nobody = keeper.send(serial);
                    }
                }
                Report::Token { account, what } => self.token(account, what),
                Report::Signal(SIGINT | SIGTERM) => self.signal(),
                Report::Signal(SIGHUP) => self.reload(),
                // Left alone they would end the process.
                Report::Signal(other) => {
                    let what = "this release does not hand over: it is ignored";
                    say(Level::Warn, &format!("signal {other}: {what}"));
                }
            }
        }
        say(Level::Info, "stopped");
        !failed
    }

    fn started(&mut self, shard: usize, driver: &str, instead_of: Option<&str>) {
        say(Level::Debug, &format!("shard {shard} runs on {driver}"));
        if let Some(why) = instead_of.filter(|_| !self.driver_told) {
            self.driver_told = true;
            say(Level::Warn, &format!("serving on {driver}, because of {why}"));
        }
        self.pages.readiness.listening += 1;
        if self.pages.readiness.listening == self.shards.len() {
            let greeting = format!("{}, {driver}", self.greeting);
            say(Level::Info, &greeting);
        }
    }

    fn token(&mut self, account: usize, what: TokenReport) {
        let Some(token) = self.pages.tokens.get_mut(account) else { return };
        match what {
            TokenReport::Fetched(end_ms) => {
                token.fetched += 1;
                let end = end_ms.saturating_sub(self.started_ms);
                token.end = Some(Duration::from_millis(end));
            }
            TokenReport::Failed => token.failed += 1,
            TokenReport::Ended => token.end = None,
        }
    }

    /// Of all that is configured, certificates can change while we run.
    fn reload(&self) {
        let what = match &self.certificates {
            Some(watching) => {
                watching.unpark();
                "certificates are looked at, the configuration is not"
            }
            None => "this release does not reload: it is ignored",
        };
        say(Level::Warn, &format!("signal {SIGHUP}: {what}"));
    }

    /// The first signal drains, the second stops.
    fn signal(&mut self) {
        if self.pages.readiness.draining {
            say(Level::Info, "second signal: stopping now");
            self.tell(|| Letter::Stop);
            return;
        }
        self.pages.readiness.draining = true;
        say(Level::Info, "draining: what runs is finished, nothing new is taken");
        self.tell(|| Letter::Drain);
    }

    fn tell(&self, letter: impl Fn() -> Letter<Accepted>) {
        for shard in &self.shards {
            shard.send(letter());
        }
    }
}

/// Writes a line of the life cycle.
pub(super) fn say(level: Level, message: &str) {
    log::write(level, unix_millis(), message);
}
