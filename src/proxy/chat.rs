//! A conversation through any door: who may ask which route, and what would become of it.

use crate::chat::{ApiError, Outline, Request, Row};
use crate::config::Route;
use crate::policy::{KeyId, Reject};
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::answer;
use super::candidate::Asker;
use super::client::Client;
use super::exact::Errand;
use super::exchange::{After, Exchange};
use super::{cached, choice, course, early, explain, limits, marks, spend};

/// Serves one request whose body has been read.
pub(super) async fn serve<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    asker: &Asker,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if asker.explain {
        return explain(client, exchange, asker.key, body).await;
    }
    let shard = exchange.shard;
    let outline = match asker.errand.outline(body, &asker.beside) {
        Ok(outline) => outline,
        Err(error) => return answer::fail(client, exchange, &error.to_api()).await,
    };
    exchange.account.body_bytes = body.len();
    if shard.access.rates().counts_tokens(asker.key) {
        match limits::reserve(shard, asker.key, body.len()) {
            Ok(tokens) => exchange.reserved = Some(tokens),
            Err(error) => return answer::fail(client, exchange, &error).await,
        }
    }
    let route = match admit(shard, &mut exchange, asker, &outline) {
        Ok(route) => route,
        Err(error) => return answer::fail(client, exchange, &error).await,
    };
    let asked = (asker, &outline);
    if let Some(known) = cached::look(client, &mut exchange, asked, route) {
        // Beside the common way, so that it does not make that one larger.
        return Box::pin(cached::serve(client, exchange, known, asked, route)).await;
    }
    if let Errand::Talk(door) = asker.errand
        && outline.stream
    {
        client.telling = early::teller(client, &exchange, door);
    }
    let after = course::run(client, exchange, asker, &outline, route).await;
    client.telling = None;
    client.posted.part();
    after
}

/// Finds the route, takes what the request may cost from its key's budget, and writes down that it
/// runs.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn admit<'p, R: Runtime>(
    shard: &'p Shard<R>,
    exchange: &mut Exchange<'_, R>,
    asker: &Asker,
    outline: &Outline<'_>,
) -> Result<&'p Route, ApiError> {
    let route = choose(shard, exchange, asker.key, &outline.model)?;
    spend::reserve(exchange, (asker.errand, outline), route)?;
    exchange.record_admission(&outline.model)?;
    Ok(route)
}

/// Tells what would become of a request.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
async fn explain<R, F, M>(
    client: &Client<'_, R, F, M>,
    exchange: Exchange<'_, R>,
    key: KeyId,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let permit = |model: &str| permitted(shard, key, model);
    let recall = |request: &mut Request<'_>, vendor| {
        marks::recall(request, vendor, &shard.signatures, shard.rt.now());
    };
    let prices = (&*shard.prices, shard.rt.unix_millis());
    match explain::explain((&shard.config, prices), body, permit, recall) {
        Ok(text) => answer::json(client, exchange, &text).await,
        Err(error) => answer::fail(client, exchange, &error).await,
    }
}

/// The model's route, if the key may use the model.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn choose<'p, R: Runtime>(
    shard: &'p Shard<R>,
    exchange: &mut Exchange<'_, R>,
    key: KeyId,
    model: &str,
) -> Result<&'p Route, ApiError> {
    refuse(shard.access.keys().check_model(key, model))?;
    let (index, route) = choice::route(&shard.config, model)?;
    refuse(shard.access.keys().check_route(key, &route.pattern))?;
    exchange.target = shard.series(index);
    Ok(route)
}

/// May this key use this model?
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn permitted<R: Runtime>(shard: &Shard<R>, key: KeyId, model: &str) -> Result<(), ApiError> {
    refuse(shard.access.keys().check_model(key, model))?;
    // A model that no route serves has its own error.
    match choice::route(&shard.config, model) {
        Ok((_, route)) => refuse(shard.access.keys().check_route(key, &route.pattern)),
        Err(_) => Ok(()),
    }
}

#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn refuse(decided: Result<(), Reject>) -> Result<(), ApiError> {
    decided.map_err(|reject| {
        ApiError::new(Row::PERMISSION_DENIED, reject.message()).with_param("model")
    })
}
