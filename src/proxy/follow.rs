//! Telling a client what comes to all who ask the same, and what came before.

use std::future::Future;
use std::task::Poll;

use crate::base::Tick;
use crate::rt::{Lent, Runtime};
use crate::shard::{FlightHead, Landing, Seat, Step};
use crate::wire::write;

use super::answer::{self, Whole};
use super::body::SILENCE;
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::reply::{Envelope, stream_head};

/// What became of a client that was told.
pub(super) struct Tale {
    pub(super) after: After,
    /// How the answer ended; none when the client left before.
    landing: Option<Landing>,
    status: u16,
    bytes: u64,
}

impl Tale {
    /// Nobody answers: the client has got nothing.
    const NONE: Self =
        Self { after: After::Gone, landing: Some(Landing::Lost), status: 0, bytes: 0 };

    fn left(bytes: u64) -> Self {
        Self { after: After::Gone, landing: None, status: 0, bytes }
    }
}

/// Tells a client an answer that is on its way to somebody else; gives the exchange back when that
/// will not come after all.
pub(super) async fn follow<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    seat: Seat,
) -> Result<After, Exchange<'s, R>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let began = exchange.shard.rt.now();
    exchange.phases.parse = exchange.age().saturating_sub(exchange.waited);
    let envelope = exchange.envelope;
    let mut fields = |head: &FlightHead| {
        exchange.phases.upstream = exchange.wait_since(began);
        if head.is_stream {
            exchange.first_token = Some(exchange.age());
        }
        exchange.crossing.extend_from_slice(&head.fields);
        answer::take_fields(&mut exchange)
    };
    let tale = tell(client, envelope, seat, &mut fields).await;
    exchange.bytes_out += tale.bytes;
    let ending = match tale.landing {
        None => Ending::ClientLeft,
        Some(Landing::Lost) if tale.status == 0 => return Err(exchange),
        Some(Landing::Lost) => Ending::Broken("internal_error"),
        Some(Landing::Whole) => Ending::Answered,
        Some(Landing::Failed(cause)) if tale.status == 200 => Ending::Broken(cause),
        Some(Landing::Failed(cause)) => Ending::Failed(tale.status, cause),
    };
    exchange.settle(ending);
    Ok(tale.after)
}

/// Writes to a client what is read from this seat. `fields` gives the lines for a head.
pub(super) async fn tell<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut envelope: Envelope,
    mut seat: Seat,
    fields: &mut impl FnMut(&FlightHead) -> Vec<u8>,
) -> Tale
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let (mut piece, mut out) = (shard.buffers.take(), Vec::new());
    let (mut bytes, mut ping): (u64, Option<&'static [u8]>) = (0, None);
    let tale = loop {
        let step = match next(client, &mut seat, &mut piece, ping.is_some()).await {
            Ok(step) => step,
            Err(Gone) => break Tale::left(bytes),
        };
        let end = match step {
            None => {
                piece.extend_from_slice(ping.unwrap_or_default());
                None
            }
            Some(Step::Head(head)) => {
                ping = Some(head.ping);
                out = shard.buffers.take();
                let lines = fields(&head);
                stream_head(&mut envelope, shard, (&head.content_type, &lines), &mut out);
                continue;
            }
            Some(Step::More) => None,
            Some(Step::End(landing)) if ping.is_some() => Some(landing),
            Some(Step::End(_)) => break Tale::NONE,
            Some(Step::All(kept, landing)) => {
                let lines = fields(&kept.head);
                break tell_all(client, &envelope, (&kept.head, &lines, &kept.body), landing).await;
            }
        };
        push_piece(&envelope, &piece, end, &mut out);
        piece.clear();
        bytes += u64::try_from(out.len()).unwrap_or(0);
        let (written, room) = client.write(std::mem::take(&mut out)).await;
        out = room;
        match (written, end) {
            (Err(Gone), _) => break Tale::left(bytes),
            (Ok(()), None) => {}
            (Ok(()), Some(landing)) => {
                let whole = landing == Landing::Whole && envelope.keep_alive;
                let after = if whole { answer::after(&envelope) } else { After::Close };
                break Tale { after, landing: Some(landing), status: 200, bytes };
            }
        }
    };
    shard.buffers.give(piece);
    shard.buffers.give(out);
    tale
}

/// Appends a piece as a chunk, and behind it the end of the body, if it is there. A stream that
/// nobody ends as it should ends with its connection.
fn push_piece(envelope: &Envelope, piece: &[u8], end: Option<Landing>, out: &mut Vec<u8>) {
    if envelope.http10 {
        out.extend_from_slice(piece);
    } else {
        let mark = write::begin_chunk(out);
        out.extend_from_slice(piece);
        write::end_chunk(out, mark);
        if end.is_some_and(|landing| landing != Landing::Lost) {
            write::open_trailer(out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Writes an answer in one piece.
async fn tell_all<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    (head, fields, body): (&FlightHead, &[u8], &[u8]),
    landing: Landing,
) -> Tale
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let own = with_id(head, body, envelope);
    let body = own.as_deref().unwrap_or(body);
    let whole = Whole { status: head.status, content_type: &head.content_type, fields, body };
    match answer::send(client, envelope, &whole).await {
        Ok(bytes) => {
            let after = answer::after(envelope);
            Tale { after, landing: Some(landing), status: head.status, bytes }
        }
        Err(Gone) => Tale::left(0),
    }
}

/// An error with the id of the request that it is told to, where it has another's in it.
fn with_id(head: &FlightHead, body: &[u8], envelope: &Envelope) -> Option<Vec<u8>> {
    let (theirs, own) = (head.id.as_bytes(), envelope.id.as_bytes());
    if head.status == 200 || theirs == own || theirs.is_empty() {
        return None;
    }
    let at = body.windows(theirs.len()).position(|text| text == theirs)?;
    let (before, behind) = (body.get(..at)?, body.get(at + theirs.len()..)?);
    Some([before, own, behind].concat())
}

/// The next step, unless the client leaves; none when nothing has come for long and `pings`.
async fn next<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    seat: &mut Seat,
    piece: &mut Vec<u8>,
    pings: bool,
) -> Result<Option<Step>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (shard, deadline) = (client.shard, client.deadline);
    client.posted.post(|| shard.buffers.take_small());
    let posted = &mut client.posted;
    let until: Option<Tick> = pings.then(|| shard.rt.lately().after(SILENCE));
    let mut armed = false;
    let step = std::future::poll_fn(|context| {
        if let Poll::Ready(step) = seat.poll(context, piece) {
            return Poll::Ready(Ok(Some(step)));
        }
        if posted.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Gone));
        }
        if armed && deadline.fired() {
            return Poll::Ready(Ok(None));
        }
        if let Some(until) = until.filter(|_| !std::mem::replace(&mut armed, true)) {
            deadline.wake_at(until, context.waker());
        }
        Poll::Pending
    })
    .await;
    deadline.clear();
    step
}

/// Ends an exchange with a stream that came before.
pub(super) async fn replay<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    content_type: &str,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    exchange.first_token = Some(exchange.age());
    let fields = answer::take_fields(&mut exchange);
    let mut out = shard.buffers.take();
    stream_head(&mut exchange.envelope, shard, (content_type, &fields), &mut out);
    push_piece(&exchange.envelope, body, Some(Landing::Whole), &mut out);
    exchange.bytes_out = u64::try_from(out.len()).unwrap_or(0);
    let (written, out) = client.write(out).await;
    shard.buffers.give(out);
    if written.is_err() {
        return exchange.client_left();
    }
    let after = answer::after(&exchange.envelope);
    exchange.settle(Ending::Answered);
    after
}
