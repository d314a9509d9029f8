//! Money of a client's key. What a request may cost is reserved before it goes upstream; the end of
//! its exchange settles what it did cost.

use crate::base::date::rfc3339;
use crate::chat::{ApiError, Outline, Row, bound};
use crate::config::{Route, Target};
use crate::policy::budget::Short;
use crate::policy::price::usd;
use crate::rt::Runtime;
use crate::shard::{Limit, Shard};

use super::exact::Errand;
use super::exchange::Exchange;
use super::limits;

/// A budget that other gateways hold comes here within this time, in milliseconds.
const ELSEWHERE_MS: u64 = 1000;

/// Reserves what a request may cost at the dearest candidate of its route, if its key has a budget.
///
/// # Errors
/// There is not so much left, or nobody knows what it may cost.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn reserve<R: Runtime>(
    exchange: &mut Exchange<'_, R>,
    (errand, outline): (Errand, &Outline<'_>),
    route: &Route,
) -> Result<(), ApiError> {
    let (shard, key) = (exchange.shard, exchange.key);
    // Vendors count tokens for nothing.
    if errand == Errand::Count || !shard.access.rates().has_budget(key) {
        return Ok(());
    }
    let answer = match errand {
        Errand::Embed => 0,
        _ => bound::answer_tokens(outline, shard.config.budgeting.answer_tokens),
    };
    let tokens = (limits::estimate(outline.body().len()), answer);
    let age = u64::try_from(exchange.age().as_millis()).unwrap_or(0);
    // The period in which it began, by which the ledger counts it.
    let now_ms = shard.rt.unix_millis().saturating_sub(age);
    let mut most = 0;
    for target in route.candidates() {
        match dearest(shard, (target, &outline.model), tokens, now_ms) {
            Some(nanos) => most = most.max(nanos),
            None if shard.config.budgeting.allow_unknown => {}
            None => return Err(unknown(shard, target, &outline.model)),
        }
    }
    let taken = shard.access.rates().spend(key, now_ms, most);
    exchange.money = Some(taken.map_err(|short| refusal(shard, &short, most, now_ms))?);
    Ok(())
}

/// What so many tokens of prompt and answer cost at a target.
fn dearest<R: Runtime>(
    shard: &Shard<R>,
    (target, asked): (&Target, &str),
    (prompt, answer): (u64, u64),
    now_ms: u64,
) -> Option<u64> {
    let model = shard.config.upstream_model(target, asked);
    shard.prices.find(target.upstream, model, now_ms)?.estimate(prompt, answer)
}

fn unknown<R: Runtime>(shard: &Shard<R>, target: &Target, asked: &str) -> ApiError {
    let model = shard.config.upstream_model(target, asked);
    let upstream = shard.config.upstreams.get(target.upstream);
    let upstream = upstream.map_or("", |upstream| &upstream.name);
    let message = format!(
        "this API key has a budget, and the price of `{model}` at {upstream} is not known: the \
         operator may set a [[price]], or budget.unknown"
    );
    ApiError::new(Row::PERMISSION_DENIED, message).with_param("model")
}

fn refusal<R: Runtime>(shard: &Shard<R>, short: &Short, nanos: u64, now_ms: u64) -> ApiError {
    shard.cells.limited[Limit::Budget as usize].add(1);
    if short.elsewhere {
        let message = format!(
            "of the key's budget of {} USD, {} USD are spent or reserved; what is left is held by \
             other gateways at this moment, and this request may cost {} USD",
            usd(short.budget.nanos),
            usd(short.used),
            usd(nanos),
        );
        return ApiError::new(Row::BUDGET_SPENT, message).with_retry_after(Some(ELSEWHERE_MS));
    }
    let limit = match short.resets_ms {
        None => "in total".to_owned(),
        Some(ms) => format!("per {} until {}", short.budget.per.as_str(), rfc3339(ms / 1000)),
    };
    let message = format!(
        "the key's budget of {} USD {limit} has not enough left: {} USD are spent or reserved, and \
         this request may cost {} USD",
        usd(short.budget.nanos),
        usd(short.used),
        usd(nanos),
    );
    let wait = short.resets_ms.map(|ms| ms.saturating_sub(now_ms).max(1));
    ApiError::new(Row::BUDGET_SPENT, message).with_retry_after(wait)
}
