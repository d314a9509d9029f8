//! From candidate to candidate until one has answered: who is asked, how often, and what the client
//! is told when nobody could.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::chat::{ApiError, Outline, Row};
use crate::config::{Route, Target};
use crate::policy::breaker::Pass;
use crate::policy::pick::{self, Balance, Standing};
use crate::policy::retry::{self, Attempted, Next, Rules};
use crate::rt::{Lent, Runtime};
use crate::shard::{Place, Shard};

use super::answer;
use super::attempt::Plan;
use super::candidate::{Asker, candidate};
use super::choice;
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::outcome::{Failed, Outcome};

/// When nobody knows how long an upstream will be left alone.
const SOON: Duration = Duration::from_secs(1);

/// Why a candidate is not asked.
enum Shut {
    /// It is left alone for so long.
    Open(Duration),
    /// It has enough to do, and so have those who wait for it.
    Full,
    /// The client has left meanwhile.
    Gone,
}

/// What the client is told when no candidate is left.
enum Last {
    /// A candidate's failure.
    Failed(Failed, usize),
    /// None was asked.
    Shut(ApiError),
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
    let order = order(shard, route);
    let mut last = None;
    let mut repeated = false;
    for (step, target) in order.iter().enumerate() {
        let Some(plan) = choice::plan(&shard.config, target, &outline.model) else { continue };
        let others = step + 1 < order.len();
        let mut tries = 0;
        loop {
            match enter(client, &mut exchange, plan).await {
                Ok(()) => {}
                Err(Shut::Gone) => {
                    exchange.settle(Ending::ClientLeft);
                    return After::Gone;
                }
                Err(shut) => {
                    last.get_or_insert_with(|| Last::Shut(shut_error(&shut)));
                    break;
                }
            }
            if tries == 0 {
                shard.on_first(plan.index);
            }
            tries += 1;
            let failed = match candidate(client, exchange, plan, asker, outline).await {
                Outcome::Ended(after) => return after,
                Outcome::Failed(back, failed) => {
                    exchange = back;
                    failed
                }
            };
            exchange.leave(failed.failure().map(Failure::reason), failed.fault(), failed.wait());
            let next = next(&exchange, plan, (&failed, tries), others);
            repeated |= matches!(next, Next::Again(_));
            match next {
                Next::Again(wait) => {
                    last = Some(Last::Failed(failed, plan.index));
                    if pause(client, &mut exchange, wait).await.is_err() {
                        exchange.settle(Ending::ClientLeft);
                        return After::Gone;
                    }
                }
                Next::Other => {
                    remember(&mut last, failed, plan.index);
                    break;
                }
                Next::Stop => {
                    remember(&mut last, failed, plan.index);
                    return tell(client, exchange, last, repeated).await;
                }
            }
        }
    }
    tell(client, exchange, last, repeated).await
}

/// The candidates in the order in which they are asked.
fn order<'c, R: Runtime>(shard: &Shard<R>, route: &'c Route) -> Vec<&'c Target> {
    let Route { targets, fallbacks, .. } = route;
    if let ([only], []) = (targets.as_slice(), fallbacks.as_slice()) {
        return vec![only];
    }
    let now = shard.rt.now();
    let standing = |target: &Target| {
        let upstream = shard.upstreams.get(target.upstream);
        upstream.map_or_else(Standing::default, |upstream| {
            upstream.health.standing(target.weight, upstream.gate.taken(), now)
        })
    };
    let first: Vec<Standing> = targets.iter().map(standing).collect();
    let then: Vec<Standing> = fallbacks.iter().map(standing).collect();
    let places = pick::order(&first, &then, Balance::Weight, || shard.random());
    let all: Vec<&Target> = targets.iter().chain(fallbacks).collect();
    if places.is_empty() {
        // All circuits are open: the first one says for how long.
        return all.first().copied().into_iter().collect();
    }
    places.into_iter().filter_map(|place| all.get(place).copied()).collect()
}

/// Takes a place at the upstream, and the right to probe it where that is needed; both are the
/// exchange's until the attempt has ended.
async fn enter<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: Plan<'_>,
) -> Result<(), Shut>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let Some(upstream) = shard.upstreams.get(plan.index) else { return Err(Shut::Full) };
    let place = match upstream.gate.take() {
        Some(place) => place,
        None => queue(client, exchange, plan.index).await?,
    };
    // The circuit is looked at when there is a place: it may have opened meanwhile.
    let now = shard.rt.now();
    let probe = match upstream.health.pass(now) {
        Pass::Yes => None,
        Pass::No(until) => return Err(Shut::Open(until.since(now))),
        Pass::Probe => {
            let probe = shard.probes.take(plan.index).ok_or(Shut::Open(SOON))?;
            upstream.health.probing();
            Some(probe)
        }
    };
    exchange.enter(plan.index, place, probe);
    shard.show_circuit(plan.index);
    Ok(())
}

/// Waits for a place, at most as long as the queue keeps anybody.
async fn queue<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    index: usize,
) -> Result<Place, Shut>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let began = shard.rt.now();
    let wait = shard.upstreams.get(index).and_then(|upstream| upstream.gate.wait());
    let wait = wait.ok_or(Shut::Full)?;
    let limit = exchange.until(shard.config.limits.queue_age).since(began);
    let waiting = async {
        let (mut wait, mut limit) = (pin!(wait), pin!(shard.rt.sleep(limit)));
        std::future::poll_fn(|context| {
            if let Poll::Ready(place) = wait.as_mut().poll(context) {
                return Poll::Ready(Some(place));
            }
            limit.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    let waited = client.unless_gone(waiting).await;
    let spent = shard.rt.now().since(began);
    exchange.phases.queue += spent;
    exchange.waited += spent;
    match waited {
        Ok(Some(place)) => Ok(place),
        Ok(None) => Err(Shut::Full),
        Err(Gone) => Err(Shut::Gone),
    }
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
    plan: Plan<'_>,
    (failed, tries): (&Failed, u32),
    others: bool,
) -> Next {
    let shard = exchange.shard;
    let left = shard.config.timeouts.total.map(|total| total.saturating_sub(exchange.age()));
    let attempted =
        Attempted { fault: failed.fault(), tries, retry_after: failed.wait(), left, others };
    let retry = shard.config.retry;
    let rules = Rules { attempts: retry.attempts, wait_max: retry.wait_max };
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

fn shut_error(shut: &Shut) -> ApiError {
    match shut {
        Shut::Open(wait) => unavailable(*wait),
        Shut::Full | Shut::Gone => {
            let message = "the upstream is asked as much as it may be, and the queue is full";
            ApiError::new(Row::OVERLOADED, message)
        }
    }
}

fn unavailable(wait: Duration) -> ApiError {
    let message = "the upstream has failed too often and is left alone for a while";
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    ApiError::new(Row::UPSTREAM_UNAVAILABLE, message).with_retry_after(Some(millis))
}
