//! The head of a stream that goes out before anything of its answer has come, where the operator
//! wants that: whoever stands between us and the client then sees that the request lives. What
//! fails after it has no status of its own any more, and is an event.

use std::rc::Rc;
use std::time::Duration;

use crate::chat::{ApiError, Door};
use crate::net::StreamOf;
use crate::rt::{Lent, Runtime};
use crate::shard::{Capture, Late, Shard};
use crate::wire::write;

use super::body::SILENCE;
use super::client::Client;
use super::exchange::{After, Ending, Exchange};
use super::limits;
use super::reply::{Envelope, stream_head};
use super::telling::{Early, Telling};

/// The teller of an exchange whose answer is to be a stream, if the operator wants one.
pub(super) fn teller<'s, R, F, M>(
    client: &Client<'s, R, F, M>,
    exchange: &Exchange<'_, R>,
    door: Door,
) -> Option<Telling<'s>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let after = shard.config.stream.early_head?;
    let early = Rc::new(Early::new(door));
    let mut fields = Vec::new();
    limits::push_fields(shard, exchange.key, &mut fields);
    let head = (exchange.envelope, fields);
    let wait = after.saturating_sub(exchange.age());
    let telling = tell(shard, (client.conn, client.capture.clone()), Rc::clone(&early), wait, head);
    Some(Telling::new(early, telling))
}

/// Writes the head after `wait`, and pings behind it.
async fn tell<R: Runtime>(
    shard: &Shard<R>,
    (conn, capture): (&StreamOf<R>, Option<Rc<Capture>>),
    early: Rc<Early>,
    wait: Duration,
    (mut envelope, fields): (Envelope, Vec<u8>),
) {
    shard.rt.sleep(wait).await;
    let mut out = Vec::new();
    stream_head(&mut envelope, shard, (early.door.content_type(), &fields), &mut out);
    let deadline = shard.deadlines.register(conn.clone());
    loop {
        if let Some(capture) = &capture {
            capture.put(&out);
        }
        deadline.set(shard.rt.now().after(shard.config.timeouts.client_write_idle), Late::Abort);
        early.begin(out.len());
        let (written, back) = conn.write_all_of(out, false).await;
        early.written();
        deadline.clear();
        // A client that is gone is noticed by whoever reads from it.
        if written.is_err() {
            return;
        }
        out = back;
        out.clear();
        loop {
            shard.rt.sleep(SILENCE).await;
            if early.fills() {
                break;
            }
        }
        let ping = early.door.ping();
        write::piece(&mut out, !envelope.http10, |out| out.extend_from_slice(ping));
    }
}

/// Ends an exchange whose head is out with an error as the only event.
pub(super) async fn fail<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    error: &ApiError,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (shard, frames) = (exchange.shard, exchange.frames());
    let mut out = shard.buffers.take();
    let early = client.telling.as_ref().map(|telling| telling.teller().early());
    if let Some(early) = early {
        let id = exchange.envelope.id.as_str();
        write::piece(&mut out, frames, |out| early.door.error(error, id, out));
    }
    if frames {
        write::open_trailer(&mut out);
        out.extend_from_slice(b"\r\n");
    }
    exchange.bytes_out =
        early.and_then(Early::sent).unwrap_or(0) + u64::try_from(out.len()).unwrap_or(0);
    let (written, out) = client.write(out).await;
    shard.buffers.give(out);
    if written.is_err() {
        return exchange.client_left();
    }
    exchange.settle(Ending::Broken(error.row.code.unwrap_or("refused")));
    After::Close
}
