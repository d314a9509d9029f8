//! Answers that are whole when they are written: errors, fixed bodies, JSON.

use crate::chat::ApiError;
use crate::policy::Coding;
use crate::provider::Dropped;
use crate::rt::{Lent, Runtime};
use crate::shard::{FlightHead, Kept, Shard};
use crate::wire::write;

use super::client::{Client, Gone};
use super::early;
use super::exchange::{After, Ending, Exchange};
use super::reply::{Ends, Envelope, end_head};
use super::source::shared;

/// A whole answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    /// Ready field lines, each with its line end.
    pub(super) fields: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Whole<'_> {
    /// The same for all who are told of it; `own` are lines for the one who asked.
    fn kept(&self, envelope: &Envelope, own: &[u8]) -> Kept {
        // Only errors have it in their text.
        let id = if self.status == 200 { "" } else { envelope.id.as_str() };
        let head = FlightHead {
            id: id.to_owned(),
            status: self.status,
            content_type: self.content_type.to_owned(),
            own_fields: own.to_vec(),
            fields: shared(self.fields),
            is_stream: false,
            ping: b"",
        };
        Kept { head, body: self.body.to_vec() }
    }
}

/// Writes a whole answer with one call.
pub(super) async fn send<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    answer: &Whole<'_>,
) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut out = client.shard.buffers.take();
    envelope.begin(client.shard, answer.status, &mut out);
    out.extend_from_slice(b"content-type: ");
    out.extend_from_slice(answer.content_type.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(answer.fields);
    push_body(client.shard, envelope, answer, &mut out);
    let sent = u64::try_from(out.len()).unwrap_or(u64::MAX);
    let (result, out) = client.write(out).await;
    client.shard.buffers.give(out);
    result.map(|()| sent)
}

/// Ends the head and appends the body, packed where the client takes it, it is worth it and the
/// core has the time.
fn push_body<R: Runtime>(
    shard: &Shard<R>,
    envelope: &Envelope,
    Whole { fields, body, .. }: &Whole<'_>,
    out: &mut Vec<u8>,
) {
    let Envelope { accepts, head_only, .. } = *envelope;
    let packer = &shard.packer;
    // Who takes nothing as it is gets short bodies packed, too.
    let must = !accepts.plain && packer.may(body.len()) && !has_coding(fields);
    let offered = must || packer.takes(body.len());
    if offered {
        out.extend_from_slice(b"vary: accept-encoding\r\n");
    }
    let mut push = |coding: Option<Coding>, body: &[u8]| {
        if let Some(coding) = coding {
            write::field(out, "content-encoding", coding.name().as_bytes());
        }
        end_head(Ends::Length(body.len()), out);
        if !head_only {
            out.extend_from_slice(body);
        }
    };
    let Some(coding) = accepts.best.filter(|_| offered) else { return push(None, body) };
    let now = || shard.rt.now();
    let packed = match must || packer.has_time() {
        true => packer.pack((coding, must), body, now, |packed| push(Some(coding), packed)),
        false => None,
    };
    shard.cells.on_packed(packed.map(|()| coding as usize));
    if packed.is_none() {
        push(None, body);
    }
}

/// Is the body packed already?
fn has_coding(fields: &[u8]) -> bool {
    const NAME: &[u8] = b"content-encoding:";
    fields.windows(NAME.len()).any(|text| text == NAME)
}

/// Writes an error.
pub(super) async fn send_error<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    error: &ApiError,
) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    send_error_with(client, envelope, error, Vec::new()).await
}

/// Writes an error with fields of its own.
pub(super) async fn send_error_with<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    error: &ApiError,
    mut fields: Vec<u8>,
) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut body = Vec::with_capacity(256);
    error_fields(error, client.shard, &mut fields);
    let dialect = envelope.dialect;
    error.render(dialect, envelope.id.as_str(), &mut body);
    let (status, content_type) = (error.status(dialect), dialect.head().json);
    let answer = Whole { status, content_type, fields: &fields, body: &body };
    send(client, envelope, &answer).await
}

/// Ends an exchange with an error: one with its status, unless the head of a stream is out.
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
    if client.speaks().await.is_some() {
        return Box::pin(early::fail(client, exchange, error)).await;
    }
    let mut fields = take_fields(&mut exchange);
    error_fields(error, exchange.shard, &mut fields);
    let mut body = Vec::with_capacity(256);
    let dialect = exchange.envelope.dialect;
    error.render(dialect, exchange.envelope.id.as_str(), &mut body);
    let (status, content_type) = (error.status(dialect), dialect.head().json);
    let whole = Whole { status, content_type, fields: &fields, body: &body };
    end(client, exchange, &whole, Ending::Failed(status, error.row.code.unwrap_or("refused"))).await
}

/// Ends an exchange with a JSON text of ours.
pub(super) async fn json<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let fields = std::mem::take(&mut exchange.crossing);
    let content_type = exchange.envelope.dialect.head().json;
    let whole = Whole { status: 200, content_type, fields: &fields, body };
    end(client, exchange, &whole, Ending::Answered).await
}

/// Writes a whole answer and ends its exchange.
pub(super) async fn end<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    whole: &Whole<'_>,
    ending: Ending,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if let Some(lead) = client.lead {
        if !client.may_speak() {
            return exchange.client_left();
        }
        exchange.bytes_out = u64::try_from(whole.body.len()).unwrap_or(u64::MAX);
        lead.put_all(whole.kept(&exchange.envelope, whole.fields));
        let after = after(&exchange.envelope);
        exchange.settle(ending);
        return after;
    }
    // Whoever else waits for it does not wait for this client.
    let told = exchange.lead.is_some();
    if let Some(lead) = &exchange.lead {
        lead.put_all(whole.kept(&exchange.envelope, b""));
        exchange.land(ending);
    }
    match send(client, &exchange.envelope, whole).await {
        Ok(sent) => {
            let after = after(&exchange.envelope);
            exchange.bytes_out = sent;
            exchange.settle(ending);
            after
        }
        Err(Gone) if told => {
            exchange.settle(ending);
            After::Gone
        }
        Err(Gone) => exchange.client_left(),
    }
}

/// The fields of the vendor's head that cross, and ours.
pub(super) fn take_fields<R: Runtime>(exchange: &mut Exchange<'_, R>) -> Vec<u8> {
    let mut fields = std::mem::take(&mut exchange.crossing);
    exchange.push_own(&mut fields);
    fields
}

/// Appends the field that tells what was left out of the translated request.
pub(super) fn push_dropped(dropped: &Dropped<'_>, own_headers: bool, fields: &mut Vec<u8>) {
    if own_headers && !dropped.is_empty() {
        fields.extend_from_slice(b"x-vertex-bridge-dropped: ");
        dropped.render(fields);
        fields.extend_from_slice(b"\r\n");
    }
}

/// What the envelope promised.
pub(super) fn after(envelope: &Envelope) -> After {
    if envelope.keep_alive { After::KeepAlive } else { After::Close }
}

/// The fields that tell a client when, and whether, to try again.
pub(super) fn error_fields<R: Runtime>(error: &ApiError, shard: &Shard<R>, fields: &mut Vec<u8>) {
    use crate::base::ascii::push_u64;
    let ours = matches!(error.row.code, Some("overloaded" | "shutting_down"));
    // Refused clients must not come back all at the same moment.
    let jittered = ours.then(|| 1000 * (1 + shard.random() % 3));
    if let Some(millis) = error.retry_after_ms.or(jittered) {
        fields.extend_from_slice(b"retry-after: ");
        push_u64(fields, millis.div_ceil(1000));
        fields.extend_from_slice(b"\r\nretry-after-ms: ");
        push_u64(fields, millis);
        fields.extend_from_slice(b"\r\n");
    }
    if error.row.final_answer {
        fields.extend_from_slice(b"x-should-retry: false\r\n");
    }
}
