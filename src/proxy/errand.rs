//! Requests to the admin API: the shard reads them, a thread of its own answers them.

use crate::chat::{ApiError, Row};
use crate::policy::client_address;
use crate::rt::{Lent, Runtime, mailbox};
use crate::shard::{Errand, Reply, Report};

use super::answer::{self, Whole};
use super::asked::Wish;
use super::client::{Client, Gone};
use super::exchange::After;
use super::incoming::{Body, Incoming, NoBody};
use super::reply::Envelope;

/// What an operator sends is a few words.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Reads the body, lets the admin thread answer, and passes its answer on.
pub(super) async fn serve<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    mut envelope: Envelope,
    wish: Wish,
    body: Incoming,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (bytes, end) = match body.read(client, inbox).await {
        Ok(Body::InPlace(end)) => {
            (inbox.get(body.head_bytes..end).unwrap_or_default().to_vec(), end)
        }
        Ok(Body::Decoded(bytes)) => (bytes, 0),
        Err(NoBody::Gone) => return After::Gone,
        Err(NoBody::Refused(error)) => {
            envelope.keep_alive = false;
            return sent(&envelope, answer::send_error(client, &envelope, &error).await);
        }
    };
    client.posted.advance(inbox, end);
    if bytes.len() > BODY_BYTES_MAX {
        let message = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        let error = ApiError::new(Row::BODY_TOO_LARGE, message);
        return sent(&envelope, answer::send_error(client, &envelope, &error).await);
    }
    let Some(reply) = ask(client, &envelope, wish, bytes).await else {
        let error = ApiError::new(Row::SHUTTING_DOWN, "the gateway is shutting down");
        return sent(&envelope, answer::send_error(client, &envelope, &error).await);
    };
    let Reply { status, content_type, fields, body } = reply;
    let whole = Whole { status, content_type, fields: &fields, body: &body };
    sent(&envelope, answer::send(client, &envelope, &whole).await)
}

/// The answer of the admin thread; none when it has ended.
async fn ask<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    wish: Wish,
    body: Vec<u8>,
) -> Option<Reply>
where
    R: Runtime,
{
    let (reply, letters) = mailbox();
    let trusted = &client.shard.config.server.trusted_proxies;
    let from = client.conn.peer_address().map(|peer| peer.ip());
    let errand = Errand {
        method: wish.method.name(),
        path: wish.path,
        query: wish.query,
        body,
        who: wish.who,
        from: from.map(|peer| client_address(peer, &wish.forwarded, trusted)),
        id: envelope.id.as_str().to_owned(),
        reply,
    };
    client.shard.control.send(Report::Errand(Box::new(errand))).ok()?;
    Some(letters.next().await)
}

fn sent(envelope: &Envelope, written: Result<u64, Gone>) -> After {
    if written.is_err() { After::Gone } else { answer::after(envelope) }
}
