//! From candidate to candidate until one has answered: who is asked, how often, and what the client
//! is told when nobody could.

use std::time::Duration;

use smallvec::SmallVec;

use crate::base::Rng;
use crate::chat::{ApiError, Outline};
use crate::config::{Exhausted, Route, Target};
use crate::policy::pick::{self, Standing};
use crate::policy::retry::{self, Attempted, Next, Rules};
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::answer;
use super::attempt::Plan;
use super::candidate::{Asker, candidate};
use super::client::{Client, Gone};
use super::entry::{SOON, Shut, enter, unavailable};
use super::exchange::{After, Exchange};
use super::outcome::{Failed, Outcome};
use super::{choice, entry, race, resume};

/// What the client is told when no candidate is left.
enum Last {
    /// A candidate's failure.
    Failed(Failed, usize),
    /// None was asked.
    Shut(ApiError),
}

/// How far a request has come on its route.
struct Course<'c> {
    /// The candidates, in the order in which they are asked.
    order: Order<'c>,
    last: Option<Last>,
    /// We have asked an upstream again ourselves.
    repeated: bool,
    /// Circuits are not looked at.
    forced: bool,
}

/// Where the course of a request has led.
enum Led<'s, R: Runtime> {
    /// To its end.
    End(After),
    /// Nowhere: the client is told what is left.
    Nowhere(Exchange<'s, R>),
    /// To the next candidate but so many.
    On(Exchange<'s, R>, usize),
}

impl Course<'_> {
    /// Keeps what the client is told if nothing better comes.
    fn note(&mut self, next: &Next, failed: Failed, upstream: usize) {
        if matches!(next, Next::Again(_)) {
            self.repeated = true;
            self.last = Some(Last::Failed(failed, upstream));
        } else {
            remember(&mut self.last, failed, upstream);
        }
    }
}

/// What is asked of the candidate at this place.
fn plan_of<'p, R: Runtime>(
    shard: &'p Shard<R>,
    order: &[&'p Target],
    step: usize,
    outline: &'p Outline<'_>,
) -> Option<Plan<'p>> {
    let mut plan = choice::plan(&shard.config, order.get(step)?, &outline.model)?;
    plan.keeps = step + 1 < order.len() && shard.config.fallback.resume;
    Some(plan)
}

impl<'s, R: Runtime> Led<'s, R> {
    /// The client has left.
    fn left(exchange: Exchange<'s, R>) -> Self {
        Self::End(exchange.client_left())
    }
}

/// Serves a request by the candidates of its route.
pub(super) async fn run<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    asker: &Asker,
    outline: &Outline<'_>,
    route: &Route,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    // An answer that is not streamed comes whole or not at all.
    let wished = asker.wishes.as_ref().and_then(|wishes| wishes.first_token);
    let first_token = wished.or(shard.config.timeouts.first_token);
    exchange.speak_within = first_token.filter(|_| outline.stream);
    let order = order(shard, route, asker);
    let mut course = Course { order, last: None, repeated: false, forced: false };
    let waits_until = exchange.until(shard.config.limits.queue_age);
    loop {
        exchange = match walk(client, exchange, &mut course, (asker, outline)).await {
            Led::End(after) => return after,
            Led::Nowhere(back) | Led::On(back, _) => back,
        };
        let refused = matches!(course.last, Some(Last::Shut(_)));
        match route.exhausted {
            Exhausted::LeastBad if refused && !course.forced => {
                course.forced = true;
                course.order = entry::least_bad(shard, route).into_iter().collect();
            }
            Exhausted::Wait if refused => {
                let any = entry::wait_for_any(client, &mut exchange, route, waits_until);
                match Box::pin(any).await {
                    Ok(true) => course.order = self::order(shard, route, asker),
                    Ok(false) => break,
                    Err(Gone) => {
                        return exchange.client_left();
                    }
                }
            }
            _ => break,
        }
    }
    tell(client, exchange, course.last, course.repeated).await
}

/// Asks one candidate after the other.
async fn walk<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    course: &mut Course<'_>,
    asked: (&Asker, &Outline<'_>),
) -> Led<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut step = 0;
    while step < course.order.len() {
        match ask(client, exchange, course, step, asked).await {
            Led::On(back, steps) => {
                exchange = back;
                step += steps;
            }
            other => return other,
        }
    }
    Led::Nowhere(exchange)
}

/// Asks one candidate, as often as it may be asked.
async fn ask<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    course: &mut Course<'_>,
    step: usize,
    (asker, outline): (&Asker, &Outline<'_>),
) -> Led<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let Some(plan) = plan_of(shard, &course.order, step, outline) else {
        return Led::On(exchange, 1);
    };
    let (mut steps, mut tries) = (1, 0);
    loop {
        if let Err(shut) = enter(client, &mut exchange, &plan, course.forced).await {
            if matches!(shut, Shut::Gone) {
                return Led::left(exchange);
            }
            course.last.get_or_insert_with(|| Last::Shut(shut.told()));
            return Led::On(exchange, steps);
        }
        if tries == 0 {
            shard.on_first(plan.index);
        }
        tries += 1;
        let after = shard.config.fallback.after.filter(|_| outline.stream && steps == 1);
        let outcome = if let Some(after) = after
            && let Some(rival) = plan_of(shard, &course.order, step + 1, outline)
        {
            // Beside the common way, so that it does not make that one larger.
            let race = race::run(client, exchange, [&plan, &rival], after, (asker, outline));
            let (outcome, both) = Box::pin(race).await;
            steps += usize::from(both);
            outcome
        } else {
            candidate(client, exchange, &plan, asker, outline).await
        };
        let failed = match outcome {
            Outcome::Ended(after) => return Led::End(after),
            Outcome::Cut(cut) => {
                let rest = course.order.get(step + steps..).unwrap_or_default();
                let going_on = resume::run(client, *cut, (&plan, rest), asker, outline);
                return Led::End(Box::pin(going_on).await);
            }
            Outcome::Failed(back, failed) => {
                exchange = back;
                failed
            }
        };
        failed.leave(&mut exchange);
        let others = step + steps < course.order.len();
        let next = next(&exchange, &plan, (&failed, tries), (others, asker));
        course.note(&next, failed, plan.index);
        match next {
            Next::Again(wait) => {
                if Box::pin(pause(client, &mut exchange, wait)).await.is_err() {
                    return Led::left(exchange);
                }
            }
            Next::Other => return Led::On(exchange, steps),
            Next::Stop => return Led::Nowhere(exchange),
        }
    }
}

/// Candidates; most routes have one.
type Order<'c> = SmallVec<[&'c Target; 1]>;

/// The candidates in the order in which they are asked.
fn order<'c, R: Runtime>(shard: &Shard<R>, route: &'c Route, asker: &Asker) -> Order<'c> {
    let Route { targets, fallbacks, .. } = route;
    if let ([only], []) = (targets.as_slice(), fallbacks.as_slice()) {
        return Order::from_buf([only]);
    }
    let mut order = in_order(shard, route, asker);
    if let Some(wishes) = &asker.wishes {
        if let Some(wanted) = wishes.upstream {
            order = route.candidates().filter(|target| target.upstream == wanted).collect();
        }
        order.truncate(if wishes.alone { 1 } else { usize::MAX });
    }
    order.into()
}

/// The same where there is a choice and the client has no wish.
fn in_order<'c, R: Runtime>(shard: &Shard<R>, route: &'c Route, asker: &Asker) -> Vec<&'c Target> {
    let Route { targets, fallbacks, .. } = route;
    let now = shard.rt.lately();
    let standing = |target: &Target| {
        let upstream = shard.upstreams.get(target.upstream);
        upstream.map_or_else(Standing::default, |upstream| {
            upstream.health.standing(target.weight, upstream.gate.taken(), now)
        })
    };
    let first: Vec<Standing> = targets.iter().map(standing).collect();
    let then: Vec<Standing> = fallbacks.iter().map(standing).collect();
    let session = route.affinity.as_ref().and_then(|name| asker.session(name));
    let mut rng = Rng::new(session.unwrap_or_else(|| shard.random()));
    let places = pick::order(&first, &then, route.balance, || rng.bits());
    let all: Vec<&Target> = route.candidates().collect();
    if places.is_empty() {
        // All circuits are open: the first one says for how long.
        return all.first().copied().into_iter().collect();
    }
    places.into_iter().filter_map(|place| all.get(place).copied()).collect()
}

/// Waits before a repeat, unless the client leaves meanwhile.
async fn pause<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    wait: Duration,
) -> Result<(), Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if wait.is_zero() {
        return Ok(());
    }
    let rt = &exchange.shard.rt;
    let paused = client.unless_gone(rt.sleep(wait)).await;
    exchange.waited += wait;
    paused
}

/// What is done after a failure. A repeat that the budget has none left for becomes the next
/// candidate.
fn next<R: Runtime>(
    exchange: &Exchange<'_, R>,
    plan: &Plan<'_>,
    (failed, tries): (&Failed, u32),
    (others, asker): (bool, &Asker),
) -> Next {
    let shard = exchange.shard;
    let left = shard.config.timeouts.total.map(|total| total.saturating_sub(exchange.age()));
    let attempted =
        Attempted { fault: failed.fault(), tries, retry_after: failed.wait(), left, others };
    let retry = shard.config.retry;
    let wished = asker.wishes.as_ref().and_then(|wishes| wishes.retries);
    let attempts = wished.unwrap_or(retry.attempts);
    let rules = Rules { attempts, wait_max: retry.wait_max };
    let next = retry::next(&attempted, &rules, shard.random());
    let upstream = shard.upstreams.get(plan.index);
    match next {
        Next::Again(_) if !upstream.is_some_and(|upstream| upstream.health.may_repeat()) => {
            if others {
                Next::Other
            } else {
                Next::Stop
            }
        }
        next => next,
    }
}

/// A later failure says more, unless it only says that a fallback is no good for this request.
fn remember(last: &mut Option<Last>, failed: Failed, upstream: usize) {
    use crate::policy::Fault;
    let unfit = matches!(failed.fault(), Fault::Request | Fault::UnknownModel | Fault::Credential);
    match last {
        Some(Last::Failed(..)) if unfit => {}
        _ => *last = Some(Last::Failed(failed, upstream)),
    }
}

/// Ends the exchange with the failure that is left.
async fn tell<R, F, M>(
    client: &Client<'_, R, F, M>,
    exchange: Exchange<'_, R>,
    last: Option<Last>,
    repeated: bool,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    match last {
        Some(Last::Failed(failed, index)) => match shard.config.upstreams.get(index) {
            Some(upstream) => failed.tell(client, exchange, upstream, repeated).await,
            None => answer::fail(client, exchange, &unavailable(SOON)).await,
        },
        Some(Last::Shut(error)) => answer::fail(client, exchange, &error).await,
        None => answer::fail(client, exchange, &unavailable(SOON)).await,
    }
}
