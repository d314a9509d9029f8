//! One client connection: requests in order, one at a time.

use std::pin::{Pin, pin};

use crate::base::Tick;
use crate::chat::{ApiError, Dialect, Row};
use crate::policy::{Accepts, KeyId};
use crate::rt::{Conn, Lent, Runtime};
use crate::shard::{Late, Permit, Shard};
use crate::wire::{HeadScan, WireError};

use super::answer;
use super::asked::{Asked, What, understand, wire_error};
use super::candidate::Asker;
use super::chat;
use super::client::{Client, Gone};
use super::errand;
use super::exchange::{After, Exchange};
use super::incoming::{Body, Incoming, NoBody};
use super::plain::plain;
use super::posted::{Ended, Posted};
use super::recorded;
use super::reply::Envelope;
use super::route::Port;
use super::secure::{self, Welcome};

/// How much of an unread body is taken before a close, so that the answer is not lost in a reset.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long an unread body is taken before a close.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves `conn` until it closes.
pub(super) async fn connection<R: Runtime>(shard: &Shard<R>, conn: R::Conn, port: Port) {
    let (conn, mut refused) = match Box::pin(secure::with_client(shard, conn)).await {
        Welcome::Stream(conn) => (conn, false),
        Welcome::PlainHttp(conn) => (conn, true),
        Welcome::Gone => return,
    };
    let deadline = shard.deadlines.register(conn.clone());
    let mut slot = pin!(None);
    let posted = Posted::new(slot.as_mut(), |buffer| conn.read(buffer));
    let (lead, capture, telling) = (None, None, None);
    let mut client =
        Client { shard, conn: &conn, deadline: &deadline, posted, lead, port, capture, telling };
    let mut inbox = Vec::new();
    let mut first = true;
    loop {
        let after = if std::mem::take(&mut refused) {
            Box::pin(refuse_plain(&client)).await
        } else {
            one(&mut client, &mut inbox, first).await
        };
        match after {
            After::KeepAlive => {}
            After::Close => {
                Box::pin(linger(&mut client)).await;
                break;
            }
            After::Gone => break,
        }
        first = false;
    }
    conn.abort();
    if let Some(buffer) = client.posted.end().await {
        shard.buffers.give(buffer);
    }
    shard.buffers.give(inbox);
}

/// Says that nothing more will be written, and takes what the client still sends, for a while.
async fn linger<R, F, M>(client: &mut Client<'_, R, F, M>)
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    client.conn.finish();
    let until = client.shard.rt.now().after(LINGER);
    client.deadline.set(until, Late::Abort);
    let (mut rest, mut taken) = (Vec::new(), 0);
    while taken < LINGER_BYTES_MAX && client.posted.more(&mut rest, 0).await.is_ok() {
        taken += rest.len();
        rest.clear();
    }
    client.deadline.clear();
}
/// Reads and serves one request.
async fn one<R, F, M>(client: &mut Client<'_, R, F, M>, inbox: &mut Vec<u8>, first: bool) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    client.deadline.tag(0);
    let head = read_head(client, inbox, first).await;
    answer_to(client, inbox, head).await
}

/// What an exchange needs lives beside the connection, which has nothing of it while it is idle.
type Answering<'c> = Pin<Box<dyn Future<Output = After> + 'c>>;

/// Room first, so that what is put into it is made there, and not copied.
fn boxed<'c>(answering: impl Future<Output = After> + 'c) -> Answering<'c> {
    let answering = Box::write(Box::new_uninit(), answering);
    Box::into_pin(answering)
}

/// Serves a request whose head has been read, or says what is wrong with the head.
fn answer_to<'c, R, F, M>(
    client: &'c mut Client<'_, R, F, M>,
    inbox: &'c mut Vec<u8>,
    head_bytes: Result<usize, NoHead>,
) -> Answering<'c>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let head_bytes = match head_bytes {
        Ok(head_bytes) => head_bytes,
        Err(NoHead::Gone) => {
            // Nothing is being answered, so nothing is cut off.
            client.conn.finish();
            return boxed(std::future::ready(After::Gone));
        }
        Err(NoHead::Slow) => {
            let message = "the request head did not arrive in time";
            return boxed(refuse_head(client, ApiError::new(Row::REQUEST_TIMEOUT, message)));
        }
        Err(NoHead::Broken(error)) => return boxed(refuse_head(client, wire_error(error, shard))),
    };
    let started = shard.rt.now();
    let head = inbox.get(..head_bytes).unwrap_or_default();
    let asked = match understand(shard, client.port, head) {
        Ok(asked) => asked,
        Err(error) => return boxed(refuse_head(client, wire_error(error, shard))),
    };
    let Asked { envelope, key, what, framing, expects_continue, head_bytes } = asked;
    match what {
        What::Talk(permit, asker) => {
            let body = Incoming { head_bytes, framing, expects_continue };
            let exchange = (envelope, key, started);
            boxed(chat_request(client, inbox, (permit, asker), (exchange, body)))
        }
        What::Errand(wish) => {
            let body = Incoming { head_bytes, framing, expects_continue };
            boxed(errand::serve(client, inbox, envelope, *wish, body))
        }
        what => {
            let asked = Asked { envelope, key, what, framing, expects_continue, head_bytes };
            boxed(plain(client, inbox, asked, started))
        }
    }
}

/// Why there is no request head.
#[derive(Clone, Copy)]
enum NoHead {
    Gone,
    Slow,
    Broken(WireError),
}

/// Waits for a whole head at the start of `inbox`.
async fn read_head<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    first: bool,
) -> Result<usize, NoHead>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let limits = &shard.config.limits;
    let mut scan = HeadScan::new();
    let mut waits_for_first_byte = false;
    if inbox.is_empty() && !first {
        waits_for_first_byte = true;
        // While nothing comes, one buffer is enough: the one that the next read fills.
        shard.buffers.give(std::mem::take(inbox));
        shard.buffers.give(client.posted.take_spare());
        client.deadline.set(idle_until(shard), Late::CloseIdle);
    } else {
        client
            .deadline
            .set(shard.rt.lately().after(shard.config.timeouts.client_head), Late::StopReading);
    }
    loop {
        skip_blank_lines(inbox);
        if let Some(length) = scan.find(inbox) {
            client.deadline.clear();
            return Ok(length);
        }
        if scan.is_broken(inbox) {
            return Err(NoHead::Broken(WireError::BadField));
        }
        if inbox.len() > limits.head_bytes {
            return Err(NoHead::Broken(too_large(inbox, limits.target_bytes)));
        }
        client.posted.post(|| {
            let idle = waits_for_first_byte;
            if idle { shard.buffers.take_small() } else { shard.buffers.take_piece() }
        });
        match client.posted.more(inbox, 0).await {
            Ok(()) => {}
            Err(_) if client.deadline.fired() && !waits_for_first_byte => return Err(NoHead::Slow),
            Err(Ended::Closed | Ended::Broken) => return Err(NoHead::Gone),
        }
        if std::mem::take(&mut waits_for_first_byte) {
            let until = shard.rt.lately().after(shard.config.timeouts.client_head);
            client.deadline.set(until, Late::StopReading);
        }
    }
}

/// How long an idle client is kept; during a drain only for a last request.
fn idle_until<R: Runtime>(shard: &Shard<R>) -> Tick {
    let limit = shard.config.timeouts.keep_alive;
    let limit = if shard.is_noticed() { limit.min(LINGER) } else { limit };
    shard.rt.lately().after(limit)
}

/// Blank lines before a request line are forgiven (RFC 9112 section 2.2), two at most.
fn skip_blank_lines(inbox: &mut Vec<u8>) {
    for _ in 0..2 {
        if inbox.starts_with(b"\r\n") {
            inbox.drain(..2);
        }
    }
}

/// A head without end: is it the target that is too long?
fn too_large(inbox: &[u8], target_max: usize) -> WireError {
    let line_ends = memchr_newline(inbox);
    if line_ends > target_max { WireError::TargetTooLong } else { WireError::HeadTooLarge }
}

fn memchr_newline(inbox: &[u8]) -> usize {
    inbox.iter().position(|byte| *byte == b'\n').unwrap_or(inbox.len())
}

/// Reads the body of a chat request and serves it. What is given stands in the future once; in that
/// of an `async fn` it would stand twice.
fn chat_request<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    (permit, mut asker): (Permit, Asker),
    (exchange, body): ((Envelope, KeyId, Tick), Incoming),
) -> impl Future<Output = After>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (envelope, key, started) = exchange;
    client.deadline.tag(envelope.id.tag());
    let mut exchange = Exchange::new(client.shard, (envelope, key), started, Some(permit));
    exchange.trace_state = asker.trace_state.take();
    exchange.api = recorded::api(asker.errand);
    async move {
        // What is matched on stays in the future as long as the match goes on.
        let (decoded, end) = match body.read(client, inbox).await {
            Ok(Body::InPlace(end)) => (None, end),
            Ok(Body::Decoded(bytes)) => (Some(bytes), 0),
            Err(NoBody::Gone) => return exchange.client_left(),
            Err(NoBody::Refused(error)) => {
                exchange.envelope.keep_alive = false;
                return answer::fail(client, exchange, &error).await;
            }
        };
        let length = decoded.as_ref().map_or(end, Vec::len);
        exchange.bytes_in = u64::try_from(length).unwrap_or(u64::MAX);
        let in_place = || inbox.get(body.head_bytes..end).unwrap_or_default();
        let bytes = decoded.as_deref().unwrap_or_else(in_place);
        capture(client, &mut exchange, bytes);
        let after = chat::serve(client, exchange, &asker, bytes).await;
        client.posted.advance(inbox, end);
        client.capture = None;
        after
    }
}

/// Keeps what is sent and got, if an operator wants to see this key's.
fn capture<R, F, M>(client: &mut Client<'_, R, F, M>, exchange: &mut Exchange<'_, R>, body: &[u8])
where
    R: Runtime,
{
    let shard = client.shard;
    if shard.captures.is_on() {
        let (now, known) = (shard.rt.unix_millis(), (exchange.envelope.id.as_str(), body));
        client.capture = shard.captures.begin(&shard.access, exchange.key, now, known);
        if client.capture.is_some() {
            // What is packed cannot be read, nor searched for secrets.
            exchange.envelope.accepts = Accepts::PLAIN;
        }
    }
}

/// Tells a client that has not noticed that it must speak TLS.
async fn refuse_plain<R, F, M>(client: &Client<'_, R, F, M>) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let message = "this port speaks TLS: use an https:// address";
    refuse_head(client, ApiError::new(Row::BAD_REQUEST, message)).await
}

/// Answers a request whose head cannot be trusted, and closes.
async fn refuse_head<R, F, M>(client: &Client<'_, R, F, M>, error: ApiError) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let envelope = Envelope {
        id: client.shard.request_id(),
        trace: client.shard.trace(None),
        keep_alive: false,
        http10: false,
        head_only: false,
        trailers: false,
        accepts: Accepts::PLAIN,
        dialect: Dialect::OpenAi,
        page: None,
    };
    match answer::send_error(client, &envelope, &error).await {
        Ok(_) => After::Close,
        Err(Gone) => After::Gone,
    }
}
