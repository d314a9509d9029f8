//! The way in to an upstream: a place, and a circuit that lets pass.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::base::Tick;
use crate::chat::{ApiError, Row};
use crate::config::{Route, Target};
use crate::policy::breaker::{HELD, Pass};
use crate::rt::{Lent, Runtime};
use crate::shard::{Place, Shard};

use super::attempt::Plan;
use super::client::{Client, Gone};
use super::exchange::Exchange;
use super::stay::Stay;

/// How often a request that no candidate takes looks again at least.
const RECHECK: Duration = Duration::from_millis(10);

/// When nobody knows how long an upstream will be left alone.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Why a candidate is not asked.
pub(super) enum Shut {
    /// It is left alone for so long.
    Open(Duration),
    /// It has enough to do, and so have those who wait for it.
    Full,
    /// The client has left meanwhile.
    Gone,
}

/// Takes a place at the upstream, and the right to probe it where that is needed; both are the
/// exchange's until the attempt has ended. `forced`: an open circuit lets pass, too.
pub(super) async fn enter<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: &Plan<'_>,
    forced: bool,
) -> Result<(), Shut>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let Some(upstream) = shard.upstreams.get(plan.index) else { return Err(Shut::Full) };
    client.deadline.asks(plan.index);
    let place = match upstream.gate.take() {
        Some(place) => place,
        // Seldom, and large.
        None => Box::pin(queue(client, exchange, plan.index)).await?,
    };
    // The circuit is looked at when there is a place: it may have opened meanwhile.
    let now = shard.rt.lately();
    let probe = match upstream.health.pass(now) {
        Pass::Yes => None,
        // Not even then where an operator holds it open.
        Pass::No(until) if forced && until != HELD => None,
        Pass::No(HELD) => return Err(Shut::Open(shard.config.breaker.timeout)),
        Pass::No(until) => return Err(Shut::Open(until.since(now))),
        Pass::Probe => {
            let probe = shard.probes.take(plan.index).ok_or(Shut::Open(SOON))?;
            upstream.health.probing();
            Some(probe)
        }
    };
    exchange.enter(Stay::new(plan.index, place, probe), plan.order.model);
    shard.show_circuit(plan.index);
    Ok(())
}

/// The candidate that is to be left alone for the shortest time.
pub(super) fn least_bad<'c, R: Runtime>(shard: &Shard<R>, route: &'c Route) -> Option<&'c Target> {
    route.candidates().min_by_key(|target| opens(shard, target))
}

/// When an upstream may be asked again; the past when it may be now.
fn opens<R: Runtime>(shard: &Shard<R>, target: &Target) -> Tick {
    let now = shard.rt.now();
    let pass = shard.upstreams.get(target.upstream).map(|upstream| upstream.health.pass(now));
    match pass {
        Some(Pass::No(until)) => until,
        _ => now,
    }
}

/// Waits until a candidate of the route may be asked again, at most until `end`. False when none
/// may be by then, and when as many wait as the queue takes.
pub(super) async fn wait_for_any<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    route: &Route,
    end: Tick,
) -> Result<bool, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let began = shard.rt.now();
    let soonest = route.candidates().map(|target| opens(shard, target)).min().unwrap_or(end);
    // What is full, or probed by somebody, may be free in a moment.
    let soonest = soonest.max(began.after(RECHECK));
    if soonest > end {
        return Ok(false);
    }
    let Some(_place) = shard.waiting.take() else { return Ok(false) };
    let waited = client.unless_gone(shard.rt.sleep(soonest.since(began))).await;
    let spent = exchange.wait_since(began);
    exchange.phases.queue += spent;
    waited.map(|()| true)
}

/// The same for a rival of a candidate that is asked already: only where there is a place at once,
/// a closed circuit, and a repeat left in the upstream's budget.
pub(super) fn enter_at_once<R: Runtime>(exchange: &mut Exchange<'_, R>, plan: &Plan<'_>) -> bool {
    let shard = exchange.shard;
    let Some(upstream) = shard.upstreams.get(plan.index) else { return false };
    if !matches!(upstream.health.pass(shard.rt.lately()), Pass::Yes) {
        return false;
    }
    let Some(place) = upstream.gate.take() else { return false };
    if !upstream.health.may_repeat() {
        return false;
    }
    exchange.enter(Stay::new(plan.index, place, None), plan.order.model);
    true
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
    let wait = shard.upstreams.get(index).and_then(|upstream| upstream.gate.wait(began));
    let wait = wait.ok_or(Shut::Full)?;
    let limit = exchange.until(shard.config.limits.queue_age).since(began);
    let waiting = async {
        let (mut wait, mut limit) = (pin!(wait), pin!(shard.rt.sleep(limit)));
        std::future::poll_fn(|context| {
            if let Poll::Ready(place) = wait.as_mut().poll(context) {
                return Poll::Ready(place);
            }
            limit.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    let waited = client.unless_gone(waiting).await;
    let spent = exchange.wait_since(began);
    exchange.phases.queue += spent;
    match waited {
        Ok(Some(place)) => Ok(place),
        Ok(None) => Err(Shut::Full),
        Err(Gone) => Err(Shut::Gone),
    }
}

impl Shut {
    /// As the client sees it.
    pub(super) fn told(&self) -> ApiError {
        match self {
            Self::Open(wait) => unavailable(*wait),
            Self::Full | Self::Gone => {
                let message = "the upstream is asked as much as it may be, and the queue is full";
                ApiError::new(Row::OVERLOADED, message)
            }
        }
    }
}

pub(super) fn unavailable(wait: Duration) -> ApiError {
    let message = "the upstream has failed too often and is left alone for a while";
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    ApiError::new(Row::UPSTREAM_UNAVAILABLE, message).with_retry_after(Some(millis))
}
