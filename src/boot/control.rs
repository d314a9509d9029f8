//! The control thread: answers the shards' questions, hears signals, ends the process.

use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::{Listed, differences};
use crate::control::Pages;
use crate::obs::log::Level;
use crate::rt::handover::{Ready, send_signal};
use crate::rt::{Accepted, Mailbox, unix_millis};
use crate::shard::{Errand, Letter, Report, TokenReport};

use super::handover::{Handover, notify};
use super::journal::Keeper;
use super::keys::Latest;
use super::name::name_process;
use super::shared::Sharer;
use super::sight::Sight;

pub(super) use super::say::say;

/// So many changed keys of a reload are told, each in a line of its own.
const CHANGES_TOLD_MAX: usize = 100;

/// Tells what the configuration sets as it stands now, or what is wrong with it.
pub(super) type Recheck = fn() -> Result<Vec<Listed>, String>;

/// What the control thread keeps.
pub(super) struct Control {
    pub(super) reports: Receiver<Report>,
    pub(super) shards: Vec<Mailbox<Letter<Accepted>>>,
    pub(super) pages: Pages,
    /// To the thread that answers operators.
    pub(super) admin: Sender<Question>,
    /// To the threads that keep tokens, by service account: refused serial numbers.
    pub(super) refusals: Vec<Sender<u64>>,
    /// When the process started, in milliseconds since 1970.
    pub(super) started_ms: u64,
    /// Said once every shard listens.
    pub(super) greeting: String,
    /// A driver that is not the best was named already.
    pub(super) driver_told: bool,
    /// Reads the configuration again.
    pub(super) recheck: Recheck,
    /// What the one that is in force has set.
    pub(super) set: Vec<Listed>,
    /// How another process takes over.
    pub(super) handover: Handover,
    /// Whom to tell that every shard listens.
    pub(super) predecessor: Option<Ready>,
    /// The first signal to end has come.
    pub(super) signalled: bool,
    /// The successor's process, once it serves.
    pub(super) successor: Option<u32>,
    /// What the shards know of keys.
    pub(super) latest: Latest,
    /// Reads what the shards record.
    pub(super) keeper: Option<Keeper>,
    /// Tells what was read.
    pub(super) sight: Option<Sight>,
    /// Shares with other gateways, where that is wanted.
    pub(super) sharer: Option<Sharer>,
}

/// What an operator asks, and how the process stands.
pub(super) struct Question {
    pub(super) errand: Box<Errand>,
    pub(super) pages: Pages,
    pub(super) uptime: Duration,
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
                    let now = unix_millis();
                    let age = now.saturating_sub(self.started_ms);
                    self.pages.budgets = self.latest.budgets(now);
                    ask.reply.send(self.pages.render(ask.page, Duration::from_millis(age)));
                }
                Report::Errand(errand) => {
                    let age = unix_millis().saturating_sub(self.started_ms);
                    let uptime = Duration::from_millis(age);
                    let question = Question { errand, pages: self.pages.clone(), uptime };
                    // The thread ends with this one.
                    let _nobody = self.admin.send(question);
                }
                Report::Drain if self.signalled => {}
                Report::Drain => self.signal(),
                Report::Reload => self.reload(),
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
                Report::Signal(_) => self.hand_over(),
                Report::Successor(taken) => self.succeeded(taken),
                Report::Alive(heard) if self.successor.is_none() => {
                    // Who asked may have stopped waiting.
                    let _unheard = heard.send(0);
                }
                Report::Alive(_) | Report::SuccessorEnded => {}
            }
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.finish();
        }
        if let Some(sharer) = self.sharer.take() {
            sharer.finish();
        }
        if let Some(sight) = self.sight.take() {
            sight.finish();
        }
        say(Level::Info, "stopped");
        if self.successor.is_some() && std::process::id() == 1 {
            self.outlive();
        }
        !failed
    }

    /// Starts a successor.
    fn hand_over(&mut self) {
        if self.pages.readiness.draining {
            say(Level::Warn, "no hand-over: a drain has begun");
            return;
        }
        match self.handover.start() {
            Ok(()) => say(Level::Info, "handing over: a new process is starting"),
            Err(error) => say(Level::Error, &format!("no hand-over: {error}")),
        }
    }

    /// A successor serves, or has ended before it did.
    fn succeeded(&mut self, taken: Option<u32>) {
        let Some(pid) = taken else {
            self.handover.failed();
            say(Level::Error, "no hand-over: the new process has ended; this one serves on");
            return;
        };
        self.successor = Some(pid);
        self.pages.readiness.draining = true;
        // Tools that look for the gateway by its name find the new one.
        name_process("vb-drain");
        say(Level::Info, &format!("handed over to process {pid}: what runs is finished"));
        self.tell(|| Letter::Retire);
    }

    /// The first process of a container waits for the one that has taken over, and passes signals
    /// on to it: with the first one all would end.
    fn outlive(&self) {
        while let Ok(report) = self.reports.recv() {
            match report {
                Report::SuccessorEnded => return,
                Report::Signal(signal) => {
                    if let Some(pid) = self.successor {
                        send_signal(pid, signal);
                    }
                }
                _ => {}
            }
        }
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
            notify(&format!("READY=1\nMAINPID={}", std::process::id()));
            if let Some(predecessor) = self.predecessor.take() {
                predecessor.say();
            }
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

    /// A configuration that is good goes to a process of its own, which takes over; one that is not
    /// changes nothing.
    fn reload(&mut self) {
        match (self.recheck)() {
            Ok(set) => {
                self.tell_changes(&differences(&self.set, &set));
                self.hand_over();
            }
            Err(errors) => {
                for line in errors.lines() {
                    say(Level::Error, &format!("the configuration stays as it is: {line}"));
                }
            }
        }
    }

    fn tell_changes(&self, changes: &[String]) {
        if changes.is_empty() {
            say(Level::Info, "reload: no key is set differently");
        }
        for change in changes.iter().take(CHANGES_TOLD_MAX) {
            say(Level::Info, &format!("reload: {change}"));
        }
        if let Some(more) = changes.len().checked_sub(CHANGES_TOLD_MAX).filter(|more| *more > 0) {
            say(Level::Info, &format!("reload: and {more} more"));
        }
    }

    /// The first signal drains, the second stops.
    fn signal(&mut self) {
        if self.signalled {
            say(Level::Info, "second signal: stopping now");
            self.tell(|| Letter::Stop);
            return;
        }
        self.signalled = true;
        self.pages.readiness.draining = true;
        if self.successor.is_none() {
            notify("STOPPING=1");
        }
        say(Level::Info, "draining: what runs is finished, nothing new is taken");
        self.tell(|| Letter::Drain);
    }

    fn tell(&self, letter: impl Fn() -> Letter<Accepted>) {
        for shard in &self.shards {
            shard.send(letter());
        }
    }
}
