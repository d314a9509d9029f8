//! What we show to an upstream: a key, or the token of a service account, and the wait for one.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use crate::config::limits::TOKEN_WAIT;
use crate::config::{Kind, Upstream};
use crate::rt::{Lent, Runtime};
use crate::shard::{Held, Report, Shard, TokenSlot};

use super::client::{Client, Gone};
use super::exchange::Exchange;

/// What one attempt showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The key at this place, or nothing.
    Key(usize),
    /// The token with this serial number.
    Token(u64),
}

/// Appends the field that carries our credential.
pub(super) fn push<R: Runtime>(
    shard: &Shard<R>,
    upstream: &Upstream,
    shown: Shown,
    out: &mut Vec<u8>,
) {
    match shown {
        Shown::Token(_) => {
            let Some(slot) = slot(shard, upstream) else { return };
            out.extend_from_slice(b"authorization: ");
            slot.push_bearer(out);
        }
        Shown::Key(place) => {
            let Some(key) = upstream.keys.get(place) else { return };
            out.extend_from_slice(key_field(upstream.kind));
            out.extend_from_slice(key.expose().as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the same field with a mask where the secret stands.
pub(super) fn push_masked(upstream: &Upstream, out: &mut Vec<u8>) {
    let field = match upstream.account {
        Some(_) => key_field(Kind::OpenAi),
        None if upstream.keys.is_empty() => return,
        None => key_field(upstream.kind),
    };
    out.extend_from_slice(field);
    out.extend_from_slice(b"***\r\n");
}

/// How a field with a key begins.
fn key_field(kind: Kind) -> &'static [u8] {
    match kind {
        // On Vertex AI a key means express mode.
        Kind::Gemini | Kind::Vertex => b"x-goog-api-key: ",
        Kind::Anthropic => b"x-api-key: ",
        Kind::OpenAi => b"authorization: Bearer ",
    }
}

fn slot<'s, R: Runtime>(shard: &'s Shard<R>, upstream: &Upstream) -> Option<&'s TokenSlot> {
    shard.tokens.get(upstream.account?)
}

/// What to show first; none when there is no token. Waits for the first one, at most
/// [`TOKEN_WAIT`].
pub(super) async fn first<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    (upstream, index): (&Upstream, usize),
) -> Result<Option<Shown>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let Some(slot) = slot(exchange.shard, upstream) else {
        return Ok(Some(Shown::Key(exchange.shard.key_in_turn(index))));
    };
    if slot.held() == Held::Pending {
        Box::pin(wait(client, exchange, slot)).await?;
    }
    Ok(match slot.held() {
        Held::Token(serial) => Some(Shown::Token(serial)),
        Held::Pending | Held::Lost => None,
    })
}

/// What to show after the upstream has answered this status to what was `shown` in so many
/// `tries`: the next key, once around, or a newer token, once. None when that would not help.
pub(super) async fn next<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    (upstream, index): (&Upstream, usize),
    (shown, status): (Shown, u16),
    tries: usize,
) -> Result<Option<Shown>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let keys = upstream.keys.len();
    match shown {
        // A spent quota belongs to a key, as its rights do.
        Shown::Key(place) if keys > 1 && matches!(status, 401 | 403 | 429) => {
            let next = exchange.shard.turn_key(index, place, keys);
            Ok((tries < keys).then_some(Shown::Key(next)))
        }
        Shown::Token(serial) if status == 401 && tries == 1 => {
            Box::pin(newer(client, exchange, upstream, serial)).await
        }
        _ => Ok(None),
    }
}

/// A token that is newer than the refused one, if there is one soon.
async fn newer<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    upstream: &Upstream,
    serial: u64,
) -> Result<Option<Shown>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let (Some(slot), Some(account)) = (slot(shard, upstream), upstream.account) else {
        return Ok(None);
    };
    if slot.on_refused(serial, shard.rt.now()) {
        // Without a control thread the process ends anyway.
        let _nobody = shard.control.send(Report::TokenRefused { account, serial });
    }
    if slot.held() == Held::Token(serial) && slot.is_awaited() {
        wait(client, exchange, slot).await?;
    }
    Ok(match slot.held() {
        Held::Token(newer) if newer != serial => Some(Shown::Token(newer)),
        _ => None,
    })
}

/// Waits for news of a token. The time counts as time to connect: it is spent on the upstream.
async fn wait<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    slot: &TokenSlot,
) -> Result<(), Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let rt = &exchange.shard.rt;
    let began = rt.now();
    let limit = exchange.until(TOKEN_WAIT).since(began);
    let waiting = async {
        let (mut news, mut limit) = (pin!(slot.news()), pin!(rt.sleep(limit)));
        std::future::poll_fn(|context| {
            if news.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            limit.as_mut().poll(context)
        })
        .await;
    };
    let waited = client.unless_gone(waiting).await;
    let spent = exchange.wait_since(began);
    exchange.phases.connect += spent;
    waited
}
