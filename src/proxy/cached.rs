//! Requests that may be answered without asking an upstream: from the cache, or together with an
//! identical request that is on its way.
//!
//! Who leads runs the usual course against a client that keeps what it is told
//! ([`crate::shard::Lead`]), and beside it hands the answer to its own client, like all who follow.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::chat::door::Beside;
use crate::chat::generate_out::Series;
use crate::chat::repeat::Repeat;
use crate::chat::{ApiError, Door, Outline, Row};
use crate::config::{Cache as Wanted, Route};
use crate::policy::{CacheKey, CacheWish, KeyId};
use crate::rt::{Lent, Runtime};
use crate::shard::{FlightHead, Found, Kept, Lead, Seat, Shard};
use crate::wire::RequestHead;

use super::answer::{self, Whole};
use super::candidate::Asker;
use super::client::Client;
use super::course;
use super::exact::Errand;
use super::exchange::{After, Ending, Exchange};
use super::follow;
use super::lane::Lane;
use super::source::Source;

/// What the head of a request says about the cache, if there is one and it says anything.
///
/// # Errors
/// A field that makes no sense.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn wish<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
) -> Result<Option<Box<CacheWish>>, ApiError> {
    if shard.cache.is_none() {
        return Ok(None);
    }
    let read = CacheWish::read(head.field("x-vertex-bridge-cache"), head.lines("cache-control"));
    let some = |wish| (wish != CacheWish::NONE).then(|| Box::new(wish));
    read.map(some).map_err(|_wrong| {
        let message = "the field x-vertex-bridge-cache must be on or off";
        ApiError::new(Row::INVALID_VALUE, message)
    })
}

/// What the cache has for a request.
pub(super) struct Known {
    key: CacheKey,
    /// Nothing, where nobody else is to be asked.
    found: Option<Found>,
}

/// What the cache has for a request whose route is known; none when an upstream is to be asked as
/// if there were no cache. Others are told what comes of that, where they may have it.
pub(super) fn look<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    (asker, outline): (&Asker, &Outline<'_>),
    route: &Route,
) -> Option<Known>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let cache = shard.cache.as_ref()?;
    let Some((wish, wanted)) = admitted(shard, asker, outline, route) else {
        exchange.source = Source::Bypass;
        return None;
    };
    let key = key(shard, wanted, asker, outline);
    let now = shard.rt.now();
    if wish.only_if_cached {
        let found = cache.peek(key, wish, now).map(|(kept, age)| Found::Hit(kept, age));
        return Some(Known { key, found });
    }
    match cache.find(key, wish, now) {
        Found::Lead(lead, seat) if !outline.stream => {
            accompany(client, exchange, lead, seat);
            None
        }
        found => Some(Known { key, found: Some(found) }),
    }
}

/// An upstream is asked for an answer in one piece: its client gets it as it always does, and what
/// it got is told to all who ask the same.
fn accompany<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    lead: Lead,
    seat: Seat,
) where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    exchange.shard.cells.cache_misses.add(1);
    exchange.source = Source::Miss;
    let lead = Rc::new(lead);
    client.posted.join(Rc::clone(&lead), seat);
    exchange.lead = Some(lead);
}

/// Serves a request from what the cache has for it, or together with others.
pub(super) async fn serve<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    Known { key, mut found }: Known,
    (asker, outline): (&Asker, &Outline<'_>),
    route: &Route,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    loop {
        match found {
            Some(Found::Hit(kept, age)) => return hit(client, exchange, &kept, age).await,
            Some(Found::Follow(seat)) => {
                shard.cells.cache_coalesced.add(1);
                exchange.source = Source::Coalesced;
                match follow::follow(client, exchange, seat).await {
                    Ok(after) => return after,
                    // Whoever led is gone: somebody else has to.
                    Err(back) => exchange = back,
                }
                let cache = shard.cache.as_ref();
                found = cache.map(|cache| cache.find(key, asker.wish(), shard.rt.now()));
            }
            Some(Found::Lead(lead, seat)) if outline.stream => {
                shard.cells.cache_misses.add(1);
                exchange.source = Source::Miss;
                let flight = (Rc::new(lead), seat);
                return self::lead(client, exchange, flight, (asker, outline), route).await;
            }
            Some(Found::Lead(lead, seat)) => {
                accompany(client, &mut exchange, lead, seat);
                let after = course::run(client, exchange, asker, outline, route).await;
                client.posted.part();
                return after;
            }
            None => {
                exchange.source = Source::Miss;
                shard.cells.cache_misses.add(1);
                let message = "nothing in the cache will do, and only-if-cached asks nobody else";
                return answer::fail(client, exchange, &ApiError::new(Row::NOT_CACHED, message))
                    .await;
            }
        }
    }
}

/// What the request wishes, if the cache is for it.
fn admitted<'c, R: Runtime>(
    shard: &'c Shard<R>,
    asker: &'c Asker,
    outline: &Outline<'_>,
    route: &Route,
) -> Option<(&'c CacheWish, &'c Wanted)> {
    let wish = asker.wish();
    let wanted = shard.config.cache.as_ref()?;
    let same = match asker.errand {
        // Counting is free, and vectors are what they are.
        Errand::Count => return None,
        Errand::Embed => Repeat::Same,
        Errand::Talk(_) => outline.repeat(),
    };
    // Who wishes for an upstream wants to hear that one.
    let usual = asker.wishes.is_none() && same != Repeat::Never;
    (usual && wish.admits(same == Repeat::Same, route.cache)).then_some((wish, wanted))
}

/// What the answer to a request is found by.
fn key<R: Runtime>(
    shard: &Shard<R>,
    wanted: &Wanted,
    asker: &Asker,
    outline: &Outline<'_>,
) -> CacheKey {
    let kind = match asker.key {
        _ if wanted.shared => b"shared",
        KeyId::Nobody => b"nobody",
        KeyId::Development => b"develo",
        KeyId::Configured(_) => b"config",
    };
    // A key's place is another one in each gateway; its name is not.
    let keys = shard.access.keys();
    let name = if wanted.shared { "" } else { keys.name(asker.key) };
    let errand: &[u8] = match asker.errand {
        Errand::Embed => b"embed",
        Errand::Count => b"count",
        Errand::Talk(Door::Chat) => b"chat",
        Errand::Talk(Door::Completions) => b"completions",
        Errand::Talk(Door::Responses) => b"responses",
        Errand::Talk(Door::Messages) => b"messages",
        Errand::Talk(Door::Generate(None)) => b"generate",
        Errand::Talk(Door::Generate(Some(Series::Events))) => b"generate events",
        Errand::Talk(Door::Generate(Some(Series::Array))) => b"generate array",
    };
    let Beside { betas, version, model, .. } = &asker.beside;
    let [betas, version] = [betas, version].map(|said| said.as_deref().unwrap_or_default());
    let mut body = shard.buffers.take();
    outline.push_canonical(&mut body);
    let [name, model, betas, version] = [name, model, betas, version].map(str::as_bytes);
    let key = CacheKey::of(&mut body, &[kind, name, errand, model, betas, version]);
    shard.buffers.give(body);
    key
}

/// Answers from the cache.
async fn hit<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    kept: &Kept,
    age: Duration,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    exchange.shard.cells.cache_hits.add(1);
    exchange.source = Source::Hit(age);
    let head = &kept.head;
    exchange.phases.parse = exchange.age();
    exchange.crossing.extend_from_slice(&head.fields);
    if head.is_stream {
        return follow::replay(client, exchange, &head.content_type, &kept.body).await;
    }
    let fields = answer::take_fields(&mut exchange);
    let content_type = &head.content_type;
    let whole = Whole { status: head.status, content_type, fields: &fields, body: &kept.body };
    answer::end(client, exchange, &whole, Ending::Answered).await
}

/// Asks the upstream for all who ask the same, and tells the client what comes.
async fn lead<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    (lead, seat): (Rc<Lead>, Seat),
    (asker, outline): (&Asker, &Outline<'_>),
    route: &Route,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let envelope = exchange.envelope;
    let mut fields = |head: &FlightHead| head.own_fields.clone();
    exchange.lead = Some(Rc::clone(&lead));
    let [lane, _] = Lane::pair();
    let (deadline, slot) = (shard.deadlines.register(client.conn.clone()), pin!(None));
    let mut keeper = client.keeper(&lead, lane.clone(), &deadline, slot);
    let mut asking = Box::pin(course::run(&mut keeper, exchange, asker, outline, route));
    let mut telling = Box::pin(follow::tell(client, envelope, seat, &mut fields));
    let (mut asked, mut after) = (false, None);
    std::future::poll_fn(|context| {
        loop {
            let before = (lead.mark(), lane.state());
            asked = asked || asking.as_mut().poll(context).is_ready();
            if after.is_none()
                && let Poll::Ready(told) = telling.as_mut().poll(context)
            {
                after = Some(told.after);
            }
            // Nobody is left to tell: the upstream is let go.
            if !asked && lead.poll_deserted(context).is_ready() {
                lane.leave();
            }
            if (lead.mark(), lane.state()) == before {
                break;
            }
        }
        if asked && after.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    after.unwrap_or(After::Gone)
}
