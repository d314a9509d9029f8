//! One budget, shared by one to a thousand machines that run on the virtual executor: requests
//! come at random, messages take their time, the store is away for a while, machines are killed.
//!
//! At no moment is more spent than the budget, but for what killed machines had spent since they
//! last told; also when the store loses its data. How much of it is left while requests are refused is measured, and bounded too.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use vertex_bridge::base::Tick;
use vertex_bridge::config::Config;
use vertex_bridge::policy::lease::{Grant, Pool};
use vertex_bridge::policy::{Holder, KeyId};
use vertex_bridge::rt::Runtime;
use vertex_bridge::rt::virt::{Faults, Virt};
use vertex_bridge::shard::Access;
use vertex_bridge::shared::Budgets;

use super::config;

const KEY: KeyId = KeyId::Configured(0);
/// What a request reserves, in nano-dollars; it costs between a tenth and all of that.
const REQUEST: u64 = 1_000_000;
/// Between two rounds of a machine, as in the gateway.
const EVERY: Duration = Duration::from_millis(50);

/// What happens in a world.
#[derive(Clone, Copy)]
struct Plan {
    machines: u64,
    /// Requests that the budget is enough for, if each costs all that it reserves.
    requests: u64,
    /// The store is away now and then.
    away: bool,
    /// Machines are killed.
    kills: bool,
    /// In one of so many seconds the store loses all that it knows; 0: never.
    forgets: u64,
}

#[derive(Default)]
struct World {
    pool: Pool,
    /// What all have spent and reserved at this moment, and the most there ever was.
    spent: u64,
    most: u64,
    admitted: u64,
    refused: u64,
    rounds: u64,
    /// What machines had spent since they last told when they were killed.
    untold: u64,
    /// The store is away until then.
    away_until: Tick,
}

/// What a world came to.
#[derive(Debug)]
struct Outcome {
    most: u64,
    untold: u64,
    /// What was left at the end, when every machine had been refused.
    left: u64,
    admitted: u64,
    refused: u64,
    rounds_per_second: u64,
}

fn shared_config(requests: u64) -> Config {
    let nanos = requests * REQUEST;
    let usd = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    config(&format!(
        "[shared]\nurl = \"redis://none\"\nlease = \"5s\"\nwhen_away = \"refuse\"\n\
         [[key]]\nname = \"k\"\nsecret = \"0123456789abcdef\"\n\
         budget = {{ usd = \"{usd}\", per = \"total\" }}\n"
    ))
}

/// A machine's own side.
struct Machine {
    access: Access,
    /// What it has spent and reserved, and of that what it has told.
    spent: RefCell<(u64, u64)>,
    dead: RefCell<bool>,
}

fn play(seed: u64, plan: Plan) -> Outcome {
    let virt = Virt::new(seed, Faults::default());
    let world = Rc::new(RefCell::new(World::default()));
    let config = shared_config(plan.requests);
    let holders = Holder::of(&config.auth.keys);
    let (inner, all) = (virt.clone(), Rc::clone(&world));
    let seconds = virt
        .run(async move {
            for member in 0..plan.machines {
                let access = Access::new(&config, &holders, inner.unix_millis(), 0);
                let machine = Rc::new(Machine {
                    access,
                    spent: RefCell::default(),
                    dead: RefCell::default(),
                });
                let budgets = Budgets::new(config.shared.as_ref().expect("it is shared"));
                let way = (inner.clone(), Rc::clone(&all));
                inner.spawn(share(way.clone(), Rc::clone(&machine), (member, plan), budgets));
                inner.spawn(serve(way, machine, plan));
            }
            let begin = inner.now();
            // Until nobody has got anything for long.
            let (mut last, mut quiet) = (0, 0);
            while quiet < 8 {
                inner.sleep(Duration::from_secs(1)).await;
                let mut world = all.borrow_mut();
                if plan.away && inner.below(4) == 0 {
                    world.away_until = inner.now().after(Duration::from_millis(inner.below(9000)));
                }
                if plan.forgets > 0 && inner.below(plan.forgets) == 0 {
                    world.pool = Pool::default();
                }
                quiet = if world.admitted == last && world.admitted > 0 { quiet + 1 } else { 0 };
                last = world.admitted;
            }
            inner.now().since(begin).as_secs().max(1)
        })
        .expect("it goes on");
    let world = world.borrow();
    Outcome {
        most: world.most,
        untold: world.untold,
        left: (plan.requests * REQUEST).saturating_sub(world.spent),
        admitted: world.admitted,
        refused: world.refused,
        rounds_per_second: world.rounds / seconds,
    }
}

/// A machine's thread that shares.
async fn share(
    (virt, world): (Virt, Rc<RefCell<World>>),
    machine: Rc<Machine>,
    (member, plan): (u64, Plan),
    mut budgets: Budgets,
) {
    loop {
        virt.sleep(EVERY).await;
        if *machine.dead.borrow() {
            return;
        }
        let asked = virt.now();
        let questions = budgets.questions(&machine.access, asked, virt.unix_millis());
        let Some(question) = questions.first() else { continue };
        virt.sleep(Duration::from_micros(100 + virt.below(3000))).await;
        if world.borrow().away_until > virt.now() {
            continue;
        }
        let grant: Grant = {
            let mut world = world.borrow_mut();
            world.rounds += 1;
            let ceiling = plan.requests * REQUEST;
            let lifetime = Some(Duration::from_secs(5));
            world.pool.exchange(member, question.ask, (ceiling, virt.now()), lifetime)
        };
        machine.spent.borrow_mut().1 = question.ask.used;
        virt.sleep(Duration::from_micros(100 + virt.below(3000))).await;
        // An answer may be lost on its way.
        if plan.away && virt.below(50) == 0 {
            continue;
        }
        let now = (asked, virt.unix_millis());
        budgets.on_answers(&machine.access.rates, &questions, &[grant], now);
    }
}

/// A machine's requests. One in three machines gets most of them.
async fn serve((virt, world): (Virt, Rc<RefCell<World>>), machine: Rc<Machine>, plan: Plan) {
    let busy = virt.below(3) == 0;
    let share = plan.requests / plan.machines.max(1);
    let pause = (20_000_000 / share.max(1)).clamp(2_000, 2_000_000);
    let pause = if busy { pause / 3 } else { pause * 2 };
    loop {
        virt.sleep(Duration::from_micros(1 + virt.below(pause))).await;
        if plan.kills
            && virt.below(2000) == 0
            && !std::mem::replace(&mut *machine.dead.borrow_mut(), true)
        {
            let (spent, told) = *machine.spent.borrow();
            world.borrow_mut().untold += spent.saturating_sub(told);
        }
        if *machine.dead.borrow() {
            return;
        }
        let rates = &machine.access.rates;
        match rates.spend(KEY, virt.unix_millis(), REQUEST) {
            Err(_) => world.borrow_mut().refused += 1,
            Ok(reserved) => {
                machine.spent.borrow_mut().0 += REQUEST;
                {
                    let mut world = world.borrow_mut();
                    world.admitted += 1;
                    world.spent += REQUEST;
                    world.most = world.most.max(world.spent);
                }
                let (own, virt, world) = (Rc::clone(&machine), virt.clone(), Rc::clone(&world));
                virt.clone().spawn(async move {
                    virt.sleep(Duration::from_millis(virt.below(300))).await;
                    let cost = REQUEST / 10 + virt.below(REQUEST * 9 / 10 + 1);
                    // One that was killed settles nothing any more: all of it counts.
                    if !*own.dead.borrow() {
                        own.access.rates.settle(KEY, reserved, cost);
                        own.spent.borrow_mut().0 -= REQUEST - cost;
                        world.borrow_mut().spent -= REQUEST - cost;
                    }
                });
            }
        }
    }
}

fn seed() -> u64 {
    u64::from(std::process::id())
}

#[test]
fn a_budget_holds_for_any_number_of_machines() {
    println!("| machines | budget | most spent | left at the end | asked per second |");
    for (machines, requests) in
        [(1, 100), (2, 10), (2, 1000), (10, 1000), (100, 20_000), (1000, 50_000)]
    {
        let seed = seed() + machines;
        let plan = Plan { machines, requests, away: false, kills: false, forgets: 0 };
        let outcome = play(seed, plan);
        let budget = requests * REQUEST;
        println!(
            "| {machines} | {budget} | {} | {} | {} |",
            outcome.most, outcome.left, outcome.rounds_per_second
        );
        assert!(outcome.most <= budget, "seed {seed}: {outcome:?}");
        // Whoever is refused gets what the others hold before it asks again.
        assert!(outcome.left < 2 * REQUEST, "seed {seed}: {outcome:?}");
        assert!(outcome.refused > 0 && outcome.admitted >= requests, "{outcome:?}");
    }
}

#[test]
fn it_holds_while_the_store_is_away_and_machines_are_killed() {
    for (machines, requests) in [(2, 200), (10, 2000), (50, 5000)] {
        for (away, kills) in [(true, false), (false, true), (true, true)] {
            let seed = seed() + machines;
            let plan = Plan { machines, requests, away, kills, forgets: 0 };
            let outcome = play(seed, plan);
            let bound = requests * REQUEST + outcome.untold;
            assert!(outcome.most <= bound, "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn it_holds_when_the_store_loses_what_it_knows() {
    for (machines, requests) in [(2, 200), (10, 2000), (50, 5000)] {
        for forgets in [3, 12] {
            let seed = seed() + machines + forgets;
            let plan = Plan { machines, requests, away: false, kills: false, forgets };
            let outcome = play(seed, plan);
            assert!(outcome.most <= requests * REQUEST, "seed {seed}: {outcome:?}");
        }
    }
}
