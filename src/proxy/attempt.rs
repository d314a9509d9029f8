//! One try at an upstream: a link, the request, the head of the answer.

use crate::base::ascii;
use crate::chat::problem::ChatError;
use crate::chat::{Dialect, Request};
use crate::config::{Kind, Upstream};
use crate::net::dial::dial;
use crate::net::{Link, NetError, NetErrorKind, NetOp, StreamOf};
use crate::provider::{Dropped, Order, RateLimits, UpstreamError, UpstreamErrorKind, vendor};
use crate::rt::{Lent, Runtime};
use crate::shard::{Deadline, Late};
use crate::wire::head::{Known, field_store};
use crate::wire::hop::{self, Crossing};
use crate::wire::splice::Splices;
use crate::wire::{BodyReader, HeadLimits, HeadScan, Method, ResponseHead, WireError, write};

use super::body::{Answer, READ_BYTES_MAX, STREAM_READ_BYTES_MAX};
use super::client::{Client, Gone};
use super::credential;
use super::exchange::Exchange;
use super::failure::{Failure, Phase, read_failure, status_reason};
use super::secure;
use super::tunnel;

/// The version of Anthropic's API that we speak.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Interim answers (1xx) before the answer; more is not an answer.
const INTERIM_MAX: usize = 16;

/// An upstream's head may have so many bytes, whatever clients are allowed.
const HEAD: HeadLimits = HeadLimits { head_bytes: 64 * 1024, fields: 128, target_bytes: 0 };

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'p> {
    pub(super) upstream: &'p Upstream,
    pub(super) index: usize,
    pub(super) order: Order<'p>,
    /// What a stream tells is kept: another candidate may take over.
    pub(super) keeps: bool,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing<'r> {
    /// A request in the vendor's words.
    Translated(&'r Request<'r>),
    /// The client's own.
    Exact(&'r Forward<'r>),
}

/// A body that goes on as it came, but for a few changes.
#[derive(Debug)]
pub(super) struct Forward<'b> {
    /// What follows the upstream's own path.
    pub(super) target: Vec<u8>,
    /// The version of Anthropic's API that the client speaks.
    pub(super) version: Option<&'b str>,
    /// Unfinished features of Anthropic's that it wants.
    pub(super) betas: Option<&'b str>,
    pub(super) body: &'b str,
    pub(super) changes: Splices,
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) is_event_stream: bool,
    /// A content coding that was not asked for.
    pub(super) encoded: bool,
    /// When the vendor wants to be asked again.
    pub(super) retry_after_ms: Option<u64>,
}

impl Head {
    /// What is wrong with an answer of a kind that was not asked for.
    pub(super) fn unfit(&self, stream: bool) -> Option<Failure> {
        let what = match (self.is_event_stream, stream) {
            _ if self.encoded => {
                "the upstream's answer has a content coding that was not asked for"
            }
            (true, false) => "the upstream streamed an answer that was asked for whole",
            (false, true) => "the upstream did not stream its answer",
            _ => return None,
        };
        Some(Failure::Vendor(UpstreamError::new(UpstreamErrorKind::Invalid, what)))
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The request cannot be expressed.
    Request(ChatError),
    /// The upstream failed.
    Failed(Failure),
    /// The client has left.
    ClientLeft,
}

impl From<Gone> for NoAnswer {
    fn from(_: Gone) -> Self {
        Self::ClientLeft
    }
}

/// Sends the request and reads the head of the answer. An idle link that turns out to be closed
/// is replaced by a fresh one, once, if nothing of an answer has come. When the upstream refuses
/// our credential and there is another, it is asked once more: the client has got nothing yet.
pub(super) async fn attempt<'r, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: &Plan<'_>,
    outgoing: Outgoing<'r>,
    dropped: &mut Dropped<'r>,
) -> Result<(Head, Answer<R>), NoAnswer>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let to = (plan.upstream, plan.index);
    let shown = credential::first(client, exchange, to).await?;
    let mut shown = shown.ok_or(NoAnswer::Failed(Failure::NoToken))?;
    let mut tries = 1;
    let mut idle = exchange.shard.take_link(plan.index);
    loop {
        let mut out = exchange.shard.buffers.take();
        let mut left_out = Dropped::default();
        let shard = exchange.shard;
        let known = &*exchange;
        let fields = |out: &mut Vec<u8>| {
            credential::push(shard, plan.upstream, shown, out);
            known.push_trace(plan.upstream, out);
        };
        write_request(plan, outgoing, fields, &mut out, &mut left_out)
            .map_err(NoAnswer::Request)?;
        let link = match idle.take() {
            Some(link) => link,
            // Seldom, and with TLS larger than all the rest.
            None => Box::pin(open(client, exchange, plan)).await?,
        };
        let reused = link.is_reused();
        exchange.attempts += 1;
        exchange.reused = reused;
        exchange.account.sent();
        exchange.shard.cells.attempts.add(1);
        match converse(client, exchange, link, out).await {
            // Some servers say 408 when they close an idle connection: it answers no request.
            Ok((head, _)) if reused && head.status == 408 => {
                exchange.shard.cells.links_stale.add(1);
            }
            Ok((head, answer)) => {
                let refused = (shown, head.status);
                if let Some(other) = credential::next(client, exchange, to, refused, tries).await? {
                    exchange.on_failure(status_reason(head.status));
                    answer.discard(exchange, plan.index);
                    (shown, tries) = (other, tries + 1);
                    idle = exchange.shard.take_link(plan.index);
                    continue;
                }
                *dropped = left_out;
                if head.status == 200 {
                    exchange.account.answers();
                }
                return Ok((head, answer));
            }
            Err(NoAnswer::Failed(failure)) if failure.is_stale_link(reused) => {
                exchange.shard.cells.links_stale.add(1);
            }
            Err(other) => return Err(other),
        }
    }
}

/// Opens a connection, unless the client leaves meanwhile.
async fn open<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: &Plan<'_>,
) -> Result<Link<StreamOf<R>>, NoAnswer>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let began = shard.rt.now();
    let failed = |error| NoAnswer::Failed(Failure::Net(error, Phase::Connect));
    let Some(upstream) = shard.upstreams.get(plan.index) else {
        return Err(failed(NetError { op: NetOp::Resolve, kind: NetErrorKind::NoAddress }));
    };
    let dialing = dial(&shard.rt, &upstream.addresses, shard.config.timeouts.connect);
    let dialed = client.unless_gone(dialing).await?;
    let spent = exchange.wait_since(began);
    exchange.phases.connect += spent;
    let conn = dialed.map_err(failed)?;
    shard.cells.links_opened.add(1);
    let origin = &plan.upstream.origin;
    if let Some(tunnel) = shard.config.tunnel_to(origin) {
        let passed = tunnel::pass(client, exchange, (tunnel, origin), &conn).await?;
        passed.map_err(NoAnswer::Failed)?;
    }
    let to = (upstream, origin);
    let stream = secure::to_upstream(client, exchange, to, conn).await?;
    stream.map(Link::new).map_err(NoAnswer::Failed)
}

/// Appends head and body; `fields` appends those that prove who asks, and in which trace. Both have
/// one length, which is patched in behind the fixed part: the field's value may have leading spaces
/// (RFC 9110 section 5.5).
pub(super) fn write_request<'r>(
    plan: &Plan<'_>,
    outgoing: Outgoing<'r>,
    fields: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    let origin = &plan.upstream.origin;
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(origin.path.as_bytes());
    match outgoing {
        Outgoing::Translated(request) => vendor::target(&plan.order, request.stream, out)?,
        Outgoing::Exact(forward) => out.extend_from_slice(&forward.target),
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(origin.authority.as_bytes());
    out.extend_from_slice(b"\r\ncontent-type: application/json\r\naccept-encoding: identity\r\n");
    out.extend_from_slice(
        concat!("user-agent: vertex-bridge/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes(),
    );
    if plan.upstream.kind == Kind::Anthropic {
        push_version(outgoing, out);
    }
    fields(out);
    match outgoing {
        Outgoing::Translated(request) => vendor::fields(&plan.order, request, out),
        Outgoing::Exact(forward) => {
            if let Some(betas) = forward.betas {
                write::field(out, "anthropic-beta", betas.as_bytes());
            }
        }
    }
    out.extend_from_slice(b"content-length:           ");
    let digits_end = out.len();
    out.extend_from_slice(b"\r\n\r\n");
    let body = out.len();
    match outgoing {
        Outgoing::Translated(request) => vendor::encode(&plan.order, request, out, dropped)?,
        Outgoing::Exact(forward) => {
            out.reserve(forward.body.len());
            forward.changes.apply(forward.body.as_bytes(), out);
        }
    }
    let mut room = [0; ascii::DIGITS_MAX];
    let digits = ascii::digits(u64::try_from(out.len() - body).unwrap_or(0), &mut room);
    if let Some(place) = out.get_mut(digits_end.saturating_sub(digits.len())..digits_end) {
        place.copy_from_slice(digits);
    }
    Ok(())
}

/// Appends the version of Anthropic's API: the client's own where its words go on.
fn push_version(outgoing: Outgoing<'_>, out: &mut Vec<u8>) {
    let told = match outgoing {
        Outgoing::Exact(forward) => forward.version,
        Outgoing::Translated(_) => None,
    };
    write::field(out, "anthropic-version", told.unwrap_or(ANTHROPIC_VERSION).as_bytes());
}

/// Writes the request and reads up to the end of the answer's head.
async fn converse<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    link: Link<StreamOf<R>>,
    out: Vec<u8>,
) -> Result<(Head, Answer<R>), NoAnswer>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let timeouts = &shard.config.timeouts;
    let deadline = shard.deadlines.register(link.conn().clone());
    deadline.set(exchange.until(timeouts.write_head), Late::Abort);
    let began = shard.rt.lately();
    let writing = link.conn().write_all_of(out, shard.is_quiet());
    let ((written, buffer), gone) = client.watch(writing, || link.abort()).await;
    shard.buffers.give(buffer);
    if gone {
        return Err(NoAnswer::ClientLeft);
    }
    if let Err(error) = written {
        let mut error = NetError::from_io(NetOp::Write, &error);
        if deadline.fired() {
            error.kind = NetErrorKind::Timeout;
            return Err(NoAnswer::Failed(Failure::Net(error, Phase::Write)));
        }
        // An upstream may answer before it has read all, and close: what it said is waiting.
        let said = read_head(client, exchange, &link, &deadline).await;
        return match said {
            Ok(mut read) => {
                read.keep_alive = false;
                Ok(read.into_answer(link, deadline))
            }
            Err(NoAnswer::ClientLeft) => Err(NoAnswer::ClientLeft),
            Err(_) => Err(NoAnswer::Failed(Failure::Net(error, Phase::Write))),
        };
    }
    deadline.set(exchange.until_it_speaks(timeouts.first_byte), Late::Abort);
    let read = read_head(client, exchange, &link, &deadline).await;
    let spent = exchange.wait_since(began);
    exchange.phases.upstream = spent;
    let read = read?;
    deadline.clear();
    Ok(read.into_answer(link, deadline))
}

/// A head with all that was read with it.
struct ReadHead {
    head: Head,
    /// What was read; the body begins at `at`.
    buffer: Vec<u8>,
    at: usize,
    reader: BodyReader,
    keep_alive: bool,
    crossing: Vec<u8>,
}

impl ReadHead {
    fn into_answer<R: Runtime>(
        self,
        link: Link<StreamOf<R>>,
        deadline: Deadline<StreamOf<R>>,
    ) -> (Head, Answer<R>) {
        let Self { head, buffer, at, reader, keep_alive, crossing } = self;
        let read_bytes_max =
            if head.is_event_stream { STREAM_READ_BYTES_MAX } else { READ_BYTES_MAX };
        let answer = Answer {
            link,
            deadline,
            reader,
            buffer,
            at,
            keep_alive,
            read_bytes_max,
            cut: false,
            crossing,
        };
        (head, answer)
    }
}

async fn read_head<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &Exchange<'_, R>,
    link: &Link<StreamOf<R>>,
    deadline: &Deadline<StreamOf<R>>,
) -> Result<ReadHead, NoAnswer>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut buffer = exchange.shard.buffers.take();
    let (mut scan, mut interim) = (HeadScan::new(), 0);
    loop {
        while let Some(length) = scan.find(&buffer) {
            let body_max = u64::try_from(exchange.shard.config.limits.upstream_body_bytes);
            let bytes = buffer.get(..length).unwrap_or_default();
            let now = exchange.shard.rt.unix_millis() / 1000;
            let dialect = exchange.envelope.dialect;
            let mut read = understand(bytes, body_max.unwrap_or(u64::MAX), now, dialect)
                .map_err(|error| NoAnswer::Failed(Failure::Wire(error)))?;
            if !(100..200).contains(&read.head.status) {
                read.buffer = buffer;
                return Ok(read);
            }
            interim += 1;
            if interim > INTERIM_MAX || read.head.status == 101 {
                return Err(NoAnswer::Failed(Failure::Wire(WireError::BadStatusLine)));
            }
            buffer.drain(..length);
            scan = HeadScan::new();
        }
        if buffer.len() > HEAD.head_bytes {
            return Err(NoAnswer::Failed(Failure::Wire(WireError::HeadTooLarge)));
        }
        // What cannot become a status line need not be read to its end.
        let start = buffer.get(..buffer.len().min(5)).unwrap_or_default();
        if !b"HTTP/".starts_with(start) {
            return Err(NoAnswer::Failed(Failure::Wire(WireError::BadStatusLine)));
        }
        if buffer.len() == buffer.capacity() {
            buffer.reserve(buffer.capacity());
        }
        let begun = !buffer.is_empty();
        let ((result, back), gone) = client.watch(link.read(buffer), || link.abort()).await;
        buffer = back;
        if gone {
            return Err(NoAnswer::ClientLeft);
        }
        let failure = read_failure(&result, deadline.fired(), Phase::Head { begun });
        if let Some(failure) = failure {
            return Err(NoAnswer::Failed(failure));
        }
    }
}

/// Parses a head and takes from it what the rest needs. `now` is in seconds since 1970.
fn understand(
    bytes: &[u8],
    body_max: u64,
    now: u64,
    dialect: Dialect,
) -> Result<ReadHead, WireError> {
    let mut store = field_store();
    let head = ResponseHead::parse(bytes, &HEAD, &mut store)?;
    let reader = BodyReader::new(head.framing(Method::Post)?, body_max)?;
    let content_type = head.known(Known::ContentType).unwrap_or_default();
    let coding = head.known(Known::ContentEncoding).unwrap_or(b"identity");
    let said = Head {
        status: head.status,
        is_event_stream: starts_with_ignoring_case(content_type, b"text/event-stream"),
        encoded: !coding.eq_ignore_ascii_case(b"identity"),
        // A success needs no repeat.
        retry_after_ms: if head.status < 300 { None } else { retry_after_ms(&head, now) },
    };
    let (mut crossing, mut limits) = (Vec::new(), RateLimits::default());
    for (name, value) in head.fields() {
        if limits.take(name, value) {
            continue;
        }
        let name = match hop::crossing(name, value) {
            // Clients of other vendors' APIs expect no fields of this name.
            Crossing::Same if dialect != Dialect::OpenAi && is_openais(name) => continue,
            Crossing::Same => name,
            Crossing::RequestId => "x-upstream-request-id",
            Crossing::Dies => continue,
        };
        // A value that could split our head was refused with the vendor's head already.
        write::field(&mut crossing, name, value);
    }
    limits.render(now, &mut crossing);
    let keep_alive = head.keep_alive();
    Ok(ReadHead { head: said, buffer: Vec::new(), at: bytes.len(), reader, keep_alive, crossing })
}

fn is_openais(name: &str) -> bool {
    starts_with_ignoring_case(name.as_bytes(), b"openai-")
}

/// The vendor's milliseconds, or its seconds, or its date.
fn retry_after_ms(head: &ResponseHead<'_, '_>, now: u64) -> Option<u64> {
    let number = |name| head.field(name).and_then(ascii::parse_u64);
    let seconds = || {
        let date = || crate::wire::date::parse_http_date(head.field("retry-after")?);
        number("retry-after").or_else(|| date().map(|date| date.saturating_sub(now)))
    };
    number("retry-after-ms").or_else(|| seconds().map(|seconds| seconds.saturating_mul(1000)))
}

fn starts_with_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}
