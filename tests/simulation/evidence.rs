//! Many seeds on all cores, and what is written down of them.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use vertex_bridge::rt::virt::FaultKind;

use super::upstream::BEHAVIOURS;
use super::{EXCHANGES, Outcome, play};

/// What is played where nothing else is said.
const SEEDS: u64 = 10_000;

/// After so many seeds that show something wrong a run ends.
const WRONG_MAX: usize = 5;

/// A number that a variable says.
pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One that differs from run to run, and is short enough to be read out.
pub(super) fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(1, |now| u64::from(now.subsec_nanos()) ^ (now.as_secs() << 8)) % 1_000_000_000
}

impl Outcome {
    /// Takes in what another seed showed.
    pub(super) fn add(&mut self, other: Self) {
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_insert(0) += count;
        }
        for (what, count) in other.counts {
            *self.counts.entry(what).or_insert(0) += count;
        }
        self.wrong.extend(other.wrong);
        self.exchanges += other.exchanges;
        self.steps += other.steps;
        self.trace ^= other.trace;
        self.lent_max = self.lent_max.max(other.lent_max);
    }

    /// What was done, what upstreams and the network did, and what the gateway and clients made of
    /// it, as tables.
    pub(super) fn tables(&self) -> String {
        let network = FaultKind::ALL.map(|kind| {
            let count = self.faults.get(&kind).copied().unwrap_or(0);
            (format!("network: {}", network(kind)), count)
        });
        let odd = BEHAVIOURS.map(|behaviour| {
            let count = self.counts.get(behaviour.name()).copied().unwrap_or(0);
            (format!("upstream: {}", behaviour.name()), count)
        });
        let faults: Vec<(String, u64)> = network.into_iter().chain(odd).collect();
        let of_upstream = |what: &str| BEHAVIOURS.iter().any(|known| known.name() == what);
        let rest = self.counts.iter().filter(|(what, _)| !of_upstream(what));
        let rest: Vec<(String, u64)> =
            rest.map(|(what, count)| ((*what).to_owned(), *count)).collect();
        format!("{}\n{}", table("network and upstreams", &faults), table("what came of it", &rest))
    }
}

fn table(title: &str, rows: &[(String, u64)]) -> String {
    let mut out = format!("| {title} | times |\n|---|---:|\n");
    for (what, count) in rows {
        writeln!(out, "| {what} | {count} |").expect("text can be written");
    }
    out
}

fn network(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Refused => "connection refused",
        FaultKind::BlackHole => "connection never comes about",
        FaultKind::SlowConnect => "connection comes about late",
        FaultKind::Reset => "answer reset",
        FaultKind::Close => "answer closed",
        FaultKind::Stall => "answer stalls",
        FaultKind::Drip => "answer byte by byte",
    }
}

/// Seeds of one run: so many, and then more until there were enough exchanges.
struct Run {
    next: AtomicU64,
    end: u64,
    each: u64,
    played: AtomicU64,
    exchanges: u64,
}

impl Run {
    /// Plays seeds until there were enough, or too many show something wrong.
    fn work(&self) -> Outcome {
        let mut sum = Outcome::default();
        while sum.wrong.len() < WRONG_MAX {
            let enough = self.played.load(Ordering::Relaxed) >= self.exchanges;
            if enough && self.next.load(Ordering::Relaxed) >= self.end {
                break;
            }
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let each = self.each;
            let played = std::panic::catch_unwind(|| play(seed, each));
            let mut outcome = played.unwrap_or_else(|_| Outcome {
                wrong: vec!["a panic".to_owned()],
                ..Outcome::default()
            });
            if !outcome.wrong.is_empty() {
                let wrong = outcome.wrong.join("\n");
                outcome.wrong = vec![format!("seed {seed} of {each} exchanges: {wrong}")];
            }
            self.played.fetch_add(outcome.exchanges, Ordering::Relaxed);
            sum.add(outcome);
        }
        sum
    }
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Not part of the normal run: `scripts/verify/simulate` starts it.
#[test]
#[ignore = "takes minutes"]
fn many_seeds_show_nothing_wrong() {
    let seeds = number("SIMULATE_SEEDS").unwrap_or(SEEDS).max(1);
    let exchanges = number("SIMULATE_EXCHANGES").unwrap_or(SEEDS * EXCHANGES);
    let first = number("SIMULATE_FIRST").unwrap_or(0);
    let each = exchanges.div_ceil(seeds).max(1);
    let (next, played) = (AtomicU64::new(first), AtomicU64::new(0));
    let run = Run { next, end: first + seeds, each, played, exchanges };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let sum = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads).map(|_| scope.spawn(|| run.work())).collect();
        work.into_iter().fold(Outcome::default(), |mut sum, thread| {
            sum.add(thread.join().expect("a thread ends"));
            sum
        })
    });
    let took = began.elapsed();
    let last = run.next.into_inner() - 1;
    let wrong = sum.wrong.len();
    let result = if wrong == 0 { "nothing wrong".to_owned() } else { format!("{wrong} WRONG") };
    let rate = u128::from(sum.exchanges) * 1000 / took.as_millis().max(1);
    let (day, commit) = (said_by("date", &["-u", "+%F"]), commit());
    let (compiler, machine) = (said_by("rustc", &["--version"]), said_by("uname", &["-sm"]));
    let text = format!(
        "# Simulation\n\n\
         Written by `scripts/verify/simulate {seeds} {exchanges} {first}`, {day}, at commit\n\
         {commit}, {compiler}, {machine}, {threads} threads.\n\n\
         | | |\n|---|---:|\n\
         | seeds | {} ({first} to {last}) |\n| exchanges | {} |\n| steps | {} |\n\
         | seconds | {} |\n| exchanges in a second | {rate} |\n\
         | most bytes that one shard lent to pending calls | {} |\n\
         | result | {result} |\n\n\
         What must hold is told in `tests/simulation`. Faults by kind, and what came of them:\n\n{}",
        last + 1 - first,
        sum.exchanges,
        sum.steps,
        took.as_secs(),
        sum.lent_max,
        sum.tables(),
    );
    println!("{text}");
    if let Ok(path) = std::env::var("SIMULATE_EVIDENCE") {
        std::fs::write(path, text).expect("the evidence can be written");
    }
    assert!(sum.wrong.is_empty(), "{}", sum.wrong.join("\n"));
}

fn commit() -> String {
    let changed = said_by("git", &["status", "--porcelain", "--", "src", "tests"]);
    let suffix = if changed.is_empty() { "" } else { " with changes" };
    said_by("git", &["rev-parse", "--short", "HEAD"]) + suffix
}
