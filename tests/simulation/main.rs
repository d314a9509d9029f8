//! The simulation: several shards with all that they share, before several upstreams, on the
//! virtual executor. Configuration, clients, upstreams and faults are decided by a seed.
//!
//! At every step of a world no permit and no place may be lost and no limit be passed; every answer
//! must be one that an upstream has given to this question, whole, or an error with a reason; and
//! when all is quiet, everything was settled once and given back. `shard_sim` does the same for one
//! shard, with TLS.
//!
//! `SIMULATE_SEED=N` plays that seed alone. `scripts/verify/simulate` plays millions of exchanges.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test stops where it cannot go on; variables say what is played"
)]

mod answer;
mod book;
mod client;
mod evidence;
mod inbox;
mod plan;
mod upstream;
mod watch;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use vertex_bridge::net::Security;
use vertex_bridge::obs::log::{self, Level};
use vertex_bridge::obs::{Cells, Shape, TargetLabels};
use vertex_bridge::policy::Holder;
use vertex_bridge::policy::price::Book;
use vertex_bridge::proxy;
use vertex_bridge::rt::virt::{FaultKind, Virt, VirtConn, VirtSocket};
use vertex_bridge::rt::{Letters, Mailbox, Runtime, mailbox};
use vertex_bridge::shard::{Access, Board, Letter, Parts, Probes, Shard, Signatures};

use book::World;
use plan::{Plan, gateway_address};

/// Exchanges of one world, where nothing else is said.
const EXCHANGES: u64 = 100;

/// No client needs longer for all that it wants.
const PATIENCE: Duration = Duration::from_secs(600);

/// No exchange lasts longer behind its client's back.
const QUIET: Duration = Duration::from_secs(15);

/// A drain may last so long; nothing does.
const DRAIN_MAX: Duration = Duration::from_secs(60);

type Post = (Vec<Mailbox<Letter<VirtConn>>>, Vec<Letters<Letter<VirtConn>>>);

/// What one seed showed.
#[derive(Default)]
struct Outcome {
    wrong: Vec<String>,
    faults: BTreeMap<FaultKind, u64>,
    counts: BTreeMap<&'static str, u64>,
    exchanges: u64,
    steps: u64,
    trace: u64,
    lent_max: usize,
}

/// Plays one world.
fn play(seed: u64, exchanges: u64) -> Outcome {
    log::set(Level::Error, false);
    let plan = Plan::new(seed, exchanges);
    let rt = Virt::new(seed, plan.faults());
    let (mailboxes, letters): Post = (0..plan.shards).map(|_| mailbox()).unzip();
    let shards = shards(&rt, &plan, &mailboxes);
    let world = Rc::new(World::new(rt.clone(), plan, shards));
    let watched = Rc::clone(&world);
    rt.watch(move || watch::at_every_step(&watched));
    let ran = rt.run(history(Rc::clone(&world), mailboxes, letters));
    let witness = rt.witness();
    let mut outcome = Outcome { wrong: world.wrong.take(), ..Outcome::default() };
    if let Err(stuck) = ran {
        outcome.wrong.push(format!("{stuck:?}"));
    }
    outcome.wrong.extend(witness.violations);
    outcome.faults = witness.hits;
    outcome.counts = world.counts.take();
    outcome.exchanges = world.questions.borrow().len() as u64;
    outcome.steps = witness.polls;
    outcome.trace = witness.trace;
    outcome.lent_max = world.lent_max.get();
    outcome
}

fn shards(rt: &Virt, plan: &Plan, mailboxes: &[Mailbox<Letter<VirtConn>>]) -> Vec<Rc<Shard<Virt>>> {
    let config = plan.config();
    let label = || "x".to_owned();
    let shape = Shape {
        targets: vec![TargetLabels { route: label(), provider: label(), model: label() }],
        upstreams: plan.vendors.iter().map(|_| label()).collect(),
    };
    let access = Access::new(&config, &Holder::of(&config.auth.keys), 0, 0);
    let probes = Probes::new(plan.vendors.len());
    let (board, signatures) = (Board::new(plan.shards), Signatures::new(1 << 20));
    let (control, _nobody_asks) = std::sync::mpsc::channel();
    let shard = |index: usize| {
        let parts = Parts {
            index,
            probes: probes.clone(),
            upstream_places: config.limits.upstream_places(index, plan.shards),
            access: access.clone(),
            prices: Arc::new(Book::of(&config)),
            config: config.clone(),
            journal: vertex_bridge::journal::Journal::default(),
            cells: Arc::new(Cells::new(&shape)),
            board: board.clone(),
            signatures: signatures.clone(),
            cache: None,
            mailboxes: mailboxes.to_vec(),
            control: control.clone(),
            shape: shape.clone(),
            fixed: proxy::fixed::all().into(),
            addresses: (0..plan.vendors.len()).map(|at| plan.addresses(at)).collect(),
            security: Security::default(),
            connections_max: 100,
            in_flight_max: plan.in_flight,
            seed: plan.seed.wrapping_add(index as u64),
        };
        Shard::new(rt.part(1 + index), parts)
    };
    (0..plan.shards).map(shard).collect()
}

/// The main task of a world.
async fn history(
    world: Rc<World>,
    mailboxes: Vec<Mailbox<Letter<VirtConn>>>,
    letters: Vec<Letters<Letter<VirtConn>>>,
) {
    let rt = world.rt.clone();
    rt.sleep(world.plan.begins).await;
    let began = rt.now();
    for (shard, letters) in world.shards.iter().zip(letters) {
        let (shard, world) = (Rc::clone(shard), Rc::clone(&world));
        let listener = shard.rt.listen(VirtSocket(gateway_address())).expect("listens");
        rt.spawn(async move {
            proxy::run(shard, listener, letters, DRAIN_MAX).await;
            world.shards_done.set(world.shards_done.get() + 1);
        });
    }
    for upstream in 0..world.plan.vendors.len() {
        rt.spawn(upstream::serve(Rc::clone(&world), upstream));
    }
    for _ in 0..world.plan.clients {
        rt.spawn(client::run(Rc::clone(&world)));
    }
    let end = |letter: fn() -> Letter<VirtConn>| {
        world.drained.set(Some(rt.now()));
        mailboxes.iter().for_each(|mailbox| mailbox.send(letter()));
    };
    while world.clients_done.get() < world.plan.clients && world.wrong.borrow().is_empty() {
        rt.sleep(Duration::from_millis(50)).await;
        world.check_left();
        let age = rt.now().since(began);
        if world.drained.get().is_none() && world.plan.drains.is_some_and(|after| age > after) {
            if world.plan.retires {
                world.count("retired while clients ask");
                end(|| Letter::Retire);
            } else {
                world.count("drained while clients ask");
                end(|| Letter::Drain);
            }
        }
        if age > PATIENCE {
            world.wrong("a client was forgotten");
        }
    }
    // Clients are gone: what still runs ends as soon as somebody looks at its client again.
    let last = rt.now().after(QUIET);
    while rt.now() < last && world.shards.iter().any(|shard| shard.connections() > 0) {
        rt.sleep(Duration::from_millis(50)).await;
        world.check_left();
    }
    if !world.wrong.borrow().is_empty() {
        return;
    }
    watch::at_the_end(&world);
    if world.drained.get().is_none() {
        end(|| Letter::Drain);
    }
    rt.sleep(Duration::from_millis(50)).await;
    if world.shards_done.get() < world.plan.shards {
        world.wrong("a drain does not end");
    }
}

/// Plays a world that must have nothing wrong.
fn play_well(seed: u64, exchanges: u64) -> Outcome {
    let outcome = play(seed, exchanges);
    let again = format!("SIMULATE_SEED={seed} SIMULATE_EXCHANGES_EACH={exchanges}");
    assert!(outcome.wrong.is_empty(), "{again}: {}", outcome.wrong.join("\n"));
    outcome
}

#[test]
fn any_seed_shows_nothing_wrong() {
    let wanted = evidence::number("SIMULATE_SEED");
    let each = evidence::number("SIMULATE_EXCHANGES_EACH").unwrap_or(EXCHANGES);
    let (first, count) = wanted.map_or_else(|| (evidence::random_seed(), 200), |seed| (seed, 1));
    println!("seeds {first} to {}", first + count - 1);
    let mut sum = Outcome::default();
    for seed in first..first + count {
        sum.add(play_well(seed, each));
    }
    println!("{}", sum.tables());
    println!("trace {:x}", sum.trace);
}

#[test]
fn a_seed_decides_the_whole_history() {
    for seed in [2, 17, 500] {
        let (first, second) = (play_well(seed, EXCHANGES), play_well(seed, EXCHANGES));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn every_planted_bug_is_found_within_a_thousand_seeds() {
    use vertex_bridge::rt::Mutant;

    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        Mutant::plant(Some(mutant));
        // A planted bug may also trip an assertion: that is being found, too.
        let found = (0..1000).find_map(|seed| {
            let run = std::panic::catch_unwind(|| play(seed, EXCHANGES));
            let wrong = run.map_or_else(|_| vec!["an assertion".to_owned()], |ran| ran.wrong);
            wrong.into_iter().next().map(|wrong| (seed, wrong))
        });
        Mutant::plant(None);
        match found {
            Some((seed, wrong)) => {
                let wrong = wrong.lines().next().unwrap_or_default();
                println!("{mutant:?} is found by seed {seed}: {wrong}");
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
