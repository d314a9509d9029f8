//! What must hold of all shards at every step, and of a whole world at its end.

use std::time::Duration;

use vertex_bridge::base::Tick;
use vertex_bridge::policy::breaker::Circuit;
use vertex_bridge::rt::Runtime;
use vertex_bridge::rt::virt::Virt;
use vertex_bridge::shard::Shard;

use super::book::{CROSSING, Fate, Kind, PACKET, Question, World};
use super::plan::{KeyPlan, Plan};

const MINUTE: u64 = 60_000_000_000;

/// The largest request.
const REQUEST_BYTES: usize = 161 * 1024;

/// What one client connection may lend: the buffer that requests are read into, which doubles when
/// less than its half is free, and an answer that is being written.
const CONNECTION_BYTES: usize = 4 * REQUEST_BYTES + 64 * 1024;

/// What one attempt may lend: a request that is written, or a read, never both.
const ATTEMPT_BYTES: usize = 2 * REQUEST_BYTES;

/// Repeats that a shard may make at an upstream beyond its share of requests.
const SAVED_REPEATS: u64 = 10;

/// How many upstreams one exchange asks at a time.
const PLACES_PER_EXCHANGE: usize = 1;

/// Looks at all shards.
pub(super) fn at_every_step(world: &World) {
    for shard in &world.shards {
        if let Err(what) = shard_is_sound(world, shard) {
            world.wrong(format!("shard {}: {what}", shard.index));
        }
    }
    let now = world.rt.now();
    for upstream in 0..world.plan.vendors.len() {
        let mut circuits =
            world.shards.iter().map(|shard| shard.upstreams[upstream].health.circuit(now));
        world.guard(upstream, circuits.any(|circuit| circuit == Circuit::Closed));
    }
}

fn shard_is_sound(world: &World, shard: &Shard<Virt>) -> Result<(), String> {
    let most = shard.config.limits.upstream_places(shard.index, world.plan.shards);
    let (mut taken, mut waiting) = (0, 0);
    for (upstream, known) in shard.upstreams.iter().enumerate() {
        let (here, queued) = (known.gate.taken(), known.gate.waiting());
        if here > most.0 || queued > most.1 {
            return Err(format!("u{upstream}: {here} taken and {queued} waiting of {most:?}"));
        }
        if queued > 0 && here < most.0 {
            return Err(format!("u{upstream}: {queued} wait while only {here} are taken"));
        }
        taken += here;
        waiting += queued;
    }
    let (permits, balance) = (shard.permits.out(), shard.settle_balance());
    let in_flight = i64::try_from(world.plan.in_flight).unwrap_or(i64::MAX);
    if permits < 0 || permits > in_flight || permits > balance {
        return Err(format!("{permits} permits are out, {balance} exchanges run"));
    }
    let running = usize::try_from(permits).unwrap_or(0);
    if taken > running * PLACES_PER_EXCHANGE || waiting > running {
        return Err(format!("{taken} places and {waiting} waits of {running} exchanges"));
    }
    let lent = world.rt.lent(1 + shard.index);
    world.lent_max.set(world.lent_max.get().max(lent));
    let bound = shard.connections() * CONNECTION_BYTES + taken * ATTEMPT_BYTES;
    if lent > bound {
        return Err(format!("{lent} bytes of buffers, at most {bound} are needed"));
    }
    if shard.cells.bugs.read() > 0 {
        return Err("a bug was noticed".to_owned());
    }
    Ok(())
}

/// What must hold when all clients have gone.
pub(super) fn at_the_end(world: &World) {
    for shard in &world.shards {
        check_shard(world, shard);
    }
    for upstream in 0..world.plan.vendors.len() {
        let probes = world.shards.first().map(|shard| &shard.probes);
        if probes.is_some_and(|probes| probes.take(upstream).is_none()) {
            world.wrong(format!("the right to probe u{upstream} was not given back"));
        }
    }
    world.check_idle();
    check_settled(world);
    check_repeats(world);
    for (index, key) in world.plan.keys.iter().enumerate() {
        check_rate(world, index, key);
    }
    check_queue(world);
}

fn check_shard(world: &World, shard: &Shard<Virt>) {
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let must_be_zero = [
        ("permits out", shard.permits.out()),
        ("exchanges not settled once", shard.settle_balance()),
        ("client connections", signed(shard.connections())),
        ("deadlines", signed(shard.deadlines.len())),
        ("exchanges in flight", i64::try_from(shard.cells.in_flight.read()).unwrap_or(-1)),
        ("places taken", shard.upstreams.iter().map(|known| signed(known.gate.taken())).sum()),
        ("waits", shard.upstreams.iter().map(|known| signed(known.gate.waiting())).sum()),
        ("bytes of pending calls", signed(world.rt.lent(1 + shard.index))),
    ];
    for (what, found) in must_be_zero {
        if found != 0 {
            world.wrong(format!("shard {}: {what}: {found} instead of 0", shard.index));
        }
    }
    let opened = shard.cells.links_opened.read();
    if shard.idle_links() as u64 > opened {
        world.wrong("more idle links than were ever opened");
    }
    for (what, count) in [
        ("connections to upstreams", opened),
        ("used connections taken again", shard.cells.links_reused.read()),
        ("connections handed to another shard", shard.cells.connections_handed_over.read()),
    ] {
        world.count_more(what, count);
    }
}

/// Every request that was answered was settled, and none twice.
fn check_settled(world: &World) {
    let settled: u64 = world.shards.iter().map(|shard| shard.cells.requests.read()).sum();
    let questions = world.questions.borrow();
    let answered = questions.iter().filter(|asked| !matches!(asked.fate, Fate::Left | Fate::Open));
    let (answered, sent) = (answered.count() as u64, questions.len() as u64);
    if settled < answered || settled > sent {
        world.wrong(format!("{settled} settled, {answered} answered, {sent} sent"));
    }
}

/// Repeats at an upstream are a share of what is asked there, and a few more for each shard.
fn check_repeats(world: &World) {
    let Plan { strict, budget, shards, .. } = world.plan;
    let questions = world.questions.borrow();
    for upstream in 0..world.plan.vendors.len() {
        let at = questions.iter().map(|asked| world.attempts_at(asked, upstream));
        let repeats: u64 = at.map(|times| times.saturating_sub(1)).sum();
        let may = questions.iter().filter(|asked| world.plan.serves(asked.route, upstream));
        let saved = if budget == 0 { 0 } else { SAVED_REPEATS * shards as u64 };
        let most = saved + may.count() as u64 * budget / 100;
        if strict && repeats > most {
            world.wrong(format!("{repeats} repeats at u{upstream}, at most {most} are allowed"));
        }
    }
}

/// When a request was certainly let in: between its first byte and the first sign of it.
fn admitted(world: &World, asked: &Question) -> Option<(u64, u64)> {
    let attempts = world.attempts.borrow();
    let first = asked.attempts.first().map(|attempt| attempts[*attempt].at);
    let later = match (asked.kind, asked.fate) {
        (Kind::NotAllowed, Fate::Failed(403, _)) | (Kind::NoModel, Fate::Failed(404, _)) => true,
        (_, Fate::Failed(_, code)) => matches!(code, "overloaded" | "upstream_unavailable"),
        _ => false,
    };
    let sign = first.or_else(|| later.then_some(asked.ended))?;
    Some((asked.began.0, sign.0))
}

fn check_rate(world: &World, index: usize, key: &KeyPlan) {
    let questions = world.questions.borrow();
    let of_key = questions.iter().filter(|asked| asked.key == index);
    let of_key = of_key.filter(|asked| asked.kind != Kind::WrongKey);
    let spans: Vec<(u64, u64)> =
        of_key.clone().filter_map(|asked| admitted(world, asked)).collect();
    check_bucket(world, index, &spans);
    if let Some(limit) = key.requests_per_minute {
        let costs: Vec<_> = spans.iter().map(|span| (*span, 1)).collect();
        check_window(world, (index, "requests"), limit, &costs);
    }
    if let Some(limit) = key.tokens_per_minute {
        // Only what an upstream was asked has surely been counted.
        let asked = of_key.filter(|asked| !asked.attempts.is_empty());
        let costs: Vec<_> =
            asked.filter_map(|asked| Some((admitted(world, asked)?, asked.estimate))).collect();
        check_window(world, (index, "tokens"), limit, &costs);
    }
}

/// Within any time no more than the bucket holds and gets.
fn check_bucket(world: &World, key: usize, spans: &[(u64, u64)]) {
    let (capacity, refill) = world.plan.bucket;
    let interval = 1_000_000_000 / refill;
    for (from, _) in spans {
        let within = spans.iter().filter(|(began, _)| began >= from);
        let mut ends: Vec<u64> = within.map(|(_, end)| *end).collect();
        ends.sort_unstable();
        for (place, end) in ends.iter().enumerate() {
            let most = capacity + (end - from) / interval;
            if place as u64 + 1 > most {
                let took = Duration::from_nanos(end - from);
                let count = place + 1;
                return world.wrong(format!("{count} of key {key} within {took:?}, not {most}"));
            }
        }
    }
}

/// In no minute of the clock more than the limit, and less where the minute before was full.
fn check_window(
    world: &World,
    (key, what): (usize, &str),
    limit: u64,
    costs: &[((u64, u64), u64)],
) {
    let last = costs.iter().map(|((_, end), _)| end / MINUTE).max().unwrap_or(0);
    for minute in 0..=last {
        let inside = |(began, end): (u64, u64), minute: u64| {
            began / MINUTE == minute && end / MINUTE == minute
        };
        let before = costs.iter().filter(|(span, _)| minute > 0 && inside(*span, minute - 1));
        let before: u64 = before.map(|(_, cost)| cost).sum();
        let mut now: Vec<(u64, u64)> = costs
            .iter()
            .filter(|(span, _)| inside(*span, minute))
            .map(|((_, end), cost)| (*end, *cost))
            .collect();
        now.sort_unstable();
        let (mut sum, mut alone) = (0, true);
        for (end, cost) in now {
            sum += cost;
            let left = MINUTE - end % MINUTE;
            let faded = u128::from(before) * u128::from(left) / u128::from(MINUTE);
            let used = sum + u64::try_from(faded).unwrap_or(u64::MAX);
            // More than the limit is let in where nothing else is.
            if used > limit && !(alone && faded == 0) {
                return world.wrong(format!("{used} {what} of key {key} in a minute, not {limit}"));
            }
            alone = false;
        }
    }
}

/// Who was first in a queue is asked first, and nobody waits for longer than allowed.
fn check_queue(world: &World) {
    if !world.plan.strict {
        return;
    }
    let questions = world.questions.borrow();
    let attempts = world.attempts.borrow();
    let asked = |question: &Question| {
        let first = question.attempts.first().map(|attempt| attempts[*attempt].at);
        let known = question.route == Plan::SOLO && question.alone;
        known.then_some(())?;
        Some((question.shard, question.began, question.sent, first?))
    };
    let mut asked: Vec<(Option<usize>, Tick, Tick, Tick)> =
        questions.iter().filter_map(asked).collect();
    for (_, _, sent, at) in &asked {
        let waited = at.since(*sent);
        if waited > world.plan.queue_age + 2 * CROSSING {
            world.wrong(format!("a request waited {waited:?} for its turn"));
        }
    }
    asked.retain(|(shard, ..)| shard.is_some());
    for (shard, _, sent, at) in &asked {
        let overtook = asked.iter().find(|(other, began, _, there)| {
            other == shard && *began > sent.after(PACKET) && there.after(CROSSING) < *at
        });
        if let Some((_, began, ..)) = overtook {
            let late = began.since(*sent);
            return world.wrong(format!("one that came {late:?} later had its turn before"));
        }
    }
}
