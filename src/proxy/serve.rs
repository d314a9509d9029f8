//! One client connection: requests in order, one at a time.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::pin;

use crate::base::{RequestId, Tick};
use crate::chat::door::Beside;
use crate::chat::models::{self, Model};
use crate::chat::{ApiError, Dialect, Row};
use crate::policy::{KeyId, Reject, screen};
use crate::rt::{Conn, Lent, Runtime, mailbox};
use crate::shard::{Ask, Late, Page, Permit, Report, Shard};
use crate::wire::head::field_store;
use crate::wire::{BodyReader, Framing, HeadLimits, HeadScan, Method, RequestHead, WireError};

use super::answer::{self, JSON, Whole};
use super::chat::{self, Asker};
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::posted::{Ended, Posted};
use super::reply::Envelope;
use super::route::{self, Endpoint, NoRoute};
use super::secure::{self, Welcome};

/// A client may send a body this slowly after the first ten seconds, in bytes per second.
const BODY_RATE_MIN: u64 = 1024;

/// How much of an unread body is taken before a close, so that the answer is not lost in a reset.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long an unread body is taken before a close.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves `conn` until it closes.
pub(super) async fn connection<R: Runtime>(shard: &Shard<R>, conn: R::Conn, _peer: SocketAddr) {
    let (conn, mut refusal) = match secure::with_client(shard, conn).await {
        Welcome::Stream(conn) => (conn, None),
        Welcome::PlainHttp(conn) => {
            let message = "this port speaks TLS: use an https:// address";
            (conn, Some(ApiError::new(Row::BAD_REQUEST, message)))
        }
        Welcome::Gone => return,
    };
    let deadline = shard.deadlines.register(conn.clone());
    let mut slot = pin!(None);
    let posted = Posted::new(slot.as_mut(), |buffer| conn.read(buffer));
    let mut client = Client { shard, conn: &conn, deadline: &deadline, posted };
    let mut inbox = Vec::new();
    let mut first = true;
    loop {
        let after = match refusal.take() {
            Some(error) => refuse_head(&client, error).await,
            None => one(&mut client, &mut inbox, first).await,
        };
        match after {
            After::KeepAlive => {}
            After::Close => {
                linger(&mut client).await;
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
    while taken < LINGER_BYTES_MAX && client.posted.more(&mut rest).await.is_ok() {
        taken += rest.len();
        rest.clear();
    }
    client.deadline.clear();
}

/// What the head of a request asks for, without the head.
struct Asked {
    envelope: Envelope,
    what: What,
    framing: Framing,
    expects_continue: bool,
    head_bytes: usize,
}

/// What is to be done.
enum What {
    /// A conversation.
    Talk(Permit, Asker),
    Health,
    Page(Page),
    Models,
    Model(String),
    /// A refusal of an API request, which is counted.
    Refuse(ApiError),
    /// Any other refusal.
    Error(ApiError),
    /// A refusal with a fixed body, a field, and whether it is counted.
    Fixed(u16, &'static str, bool),
}

/// Reads and serves one request.
async fn one<R, F, M>(client: &mut Client<'_, R, F, M>, inbox: &mut Vec<u8>, first: bool) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let head_bytes = match read_head(client, inbox, first).await {
        Ok(head_bytes) => head_bytes,
        Err(NoHead::Gone) => {
            // Nothing is being answered, so nothing is cut off.
            client.conn.finish();
            return After::Gone;
        }
        Err(NoHead::Slow) => {
            let message = "the request head did not arrive in time";
            return refuse_head(client, ApiError::new(Row::REQUEST_TIMEOUT, message)).await;
        }
        Err(NoHead::Broken(error)) => return refuse_head(client, wire_error(error, shard)).await,
    };
    let started = shard.rt.now();
    let head = inbox.get(..head_bytes).unwrap_or_default();
    let asked = match understand(shard, head) {
        Ok(asked) => asked,
        Err(error) => return refuse_head(client, wire_error(error, shard)).await,
    };
    match asked.what {
        What::Talk(..) => chat_request(client, inbox, asked, started).await,
        _ => plain(client, inbox, asked, started).await,
    }
}

/// Why there is no request head.
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
        client.deadline.set(idle_until(shard), Late::CloseIdle);
    } else {
        client
            .deadline
            .set(shard.rt.now().after(shard.config.timeouts.client_head), Late::StopReading);
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
        client.posted.post(|| shard.buffers.take());
        match client.posted.more(inbox).await {
            Ok(()) => {}
            Err(_) if client.deadline.fired() && !waits_for_first_byte => return Err(NoHead::Slow),
            Err(Ended::Closed | Ended::Broken) => return Err(NoHead::Gone),
        }
        if std::mem::take(&mut waits_for_first_byte) {
            let until = shard.rt.now().after(shard.config.timeouts.client_head);
            client.deadline.set(until, Late::StopReading);
        }
    }
}

/// How long an idle client is kept; during a drain only for a last request.
fn idle_until<R: Runtime>(shard: &Shard<R>) -> Tick {
    let limit = shard.config.timeouts.keep_alive;
    let limit = if shard.is_draining() { limit.min(LINGER) } else { limit };
    shard.rt.now().after(limit)
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

/// Reads a head and decides what is to be done, before any byte of the body is awaited.
fn understand<R: Runtime>(shard: &Shard<R>, bytes: &[u8]) -> Result<Asked, WireError> {
    let config = &shard.config.limits;
    let limits = HeadLimits {
        head_bytes: config.head_bytes,
        fields: config.fields,
        target_bytes: config.target_bytes,
    };
    let mut store = field_store();
    let head = RequestHead::parse(bytes, &limits, &mut store)?;
    let framing = head.framing()?;
    let sent_id = head.field("x-request-id").and_then(RequestId::from_client);
    let envelope = Envelope {
        id: sent_id.unwrap_or_else(|| shard.request_id()),
        keep_alive: head.keep_alive() && !shard.is_draining(),
        http10: head.minor_version == 0,
        head_only: head.method == Method::Head,
        gzip: head.field("accept-encoding").is_some_and(accepts_gzip),
        dialect: route::dialect(head.path()),
    };
    let expects_continue = head.expects_continue()?;
    let what = decide(shard, &head, framing);
    Ok(Asked { envelope, what, framing, expects_continue, head_bytes: bytes.len() })
}

/// Route, key, size and room, in this order.
fn decide<R: Runtime>(shard: &Shard<R>, head: &RequestHead<'_, '_>, framing: Framing) -> What {
    let endpoint = match route::find(head.method, head.path()) {
        Ok(endpoint) => endpoint,
        Err(NoRoute::Unknown) => return What::Fixed(404, "", false),
        Err(NoRoute::Method(allow)) => return What::Fixed(405, allow, false),
    };
    let counted = matches!(endpoint, Endpoint::Door(..));
    let mut key = KeyId::Nobody;
    if !matches!(endpoint, Endpoint::Health | Endpoint::Ready) {
        let screened = screen(head.count("authorization"), head.target);
        match screened.and_then(|()| shard.keys.check(head.field("authorization"))) {
            Ok(known) => key = known,
            Err(reject) => return refused(reject, counted),
        }
    }
    match endpoint {
        Endpoint::Health => What::Health,
        Endpoint::Ready => What::Page(Page::Ready),
        Endpoint::Metrics => What::Page(Page::Metrics),
        Endpoint::Prometheus => What::Page(Page::Prometheus),
        Endpoint::Models => What::Models,
        Endpoint::Model(id) => What::Model(id.to_owned()),
        Endpoint::Door(door, model) => {
            let betas = head.field("anthropic-beta").map(String::from_utf8_lossy);
            let beside = Beside { model: model.to_owned(), betas: betas.map(Cow::into_owned) };
            admit(shard, head, framing, Asker { key, door, beside })
        }
    }
}

/// What a key's refusal looks like.
fn refused(reject: Reject, counted: bool) -> What {
    match reject {
        Reject::DuplicateKey => What::Error(ApiError::new(Row::BAD_REQUEST, reject.message())),
        _ => What::Fixed(401, "", counted),
    }
}

/// The checks of a chat request that need no body.
fn admit<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
    framing: Framing,
    asker: Asker,
) -> What {
    if shard.is_draining() {
        let message = "the gateway is shutting down";
        return What::Refuse(ApiError::new(Row::SHUTTING_DOWN, message));
    }
    if let Some(kind) = head.field("content-type").filter(|kind| !is_json(kind)) {
        let shown = String::from_utf8_lossy(kind).chars().take(100).collect::<String>();
        let message = format!("the content type must be application/json, not `{shown}`");
        return What::Refuse(ApiError::new(Row::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let most = shard.config.server.request_body_bytes_max;
    if matches!(framing, Framing::Length(length) if length > u64::try_from(most).unwrap_or(0)) {
        return What::Refuse(wire_error(WireError::BodyTooLarge, shard));
    }
    match shard.permits.take() {
        Some(permit) => What::Talk(permit, asker),
        None => {
            let message = "the gateway runs as many requests as it may";
            What::Refuse(ApiError::new(Row::OVERLOADED, message))
        }
    }
}

/// Reads the body of a chat request and serves it.
async fn chat_request<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    asked: Asked,
    started: Tick,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let What::Talk(permit, asker) = asked.what else { return After::Close };
    let shard = client.shard;
    let mut exchange = Exchange::new(shard, asked.envelope, started, Some(permit));
    let body = Incoming {
        head_bytes: asked.head_bytes,
        framing: asked.framing,
        expects_continue: asked.expects_continue,
    };
    match body.read(client, inbox).await {
        Ok(Body::InPlace(end)) => {
            exchange.bytes_in = u64::try_from(end).unwrap_or(u64::MAX);
            let bytes = inbox.get(asked.head_bytes..end).unwrap_or_default();
            let after = chat::serve(client, exchange, &asker, bytes).await;
            client.posted.advance(inbox, end);
            after
        }
        Ok(Body::Decoded(bytes)) => {
            exchange.bytes_in = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let after = chat::serve(client, exchange, &asker, &bytes).await;
            client.posted.advance(inbox, 0);
            after
        }
        Err(NoBody::Gone) => {
            exchange.settle(Ending::ClientLeft);
            After::Gone
        }
        Err(NoBody::Refused(error)) => {
            exchange.envelope.keep_alive = false;
            answer::fail(client, exchange, &error).await
        }
    }
}

/// A body that is still to come.
#[derive(Clone, Copy)]
struct Incoming {
    head_bytes: usize,
    framing: Framing,
    expects_continue: bool,
}

/// Where a body is.
enum Body {
    /// In the inbox, behind the head and up to here.
    InPlace(usize),
    /// Taken out of its chunks; the inbox holds only what follows.
    Decoded(Vec<u8>),
}

enum NoBody {
    Gone,
    Refused(ApiError),
}

impl Incoming {
    async fn read<R, F, M>(
        self,
        client: &mut Client<'_, R, F, M>,
        inbox: &mut Vec<u8>,
    ) -> Result<Body, NoBody>
    where
        R: Runtime,
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        if self.expects_continue && inbox.len() == self.head_bytes {
            let mut out = client.shard.buffers.take();
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            let (written, out) = client.write(out).await;
            client.shard.buffers.give(out);
            written.map_err(|Gone| NoBody::Gone)?;
        }
        match self.framing {
            Framing::None | Framing::UntilClose => Ok(Body::InPlace(self.head_bytes)),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.read_length(client, inbox, self.head_bytes.saturating_add(length)).await
            }
            Framing::Chunked => self.read_chunked(client, inbox).await,
        }
    }

    async fn read_length<R, F, M>(
        self,
        client: &mut Client<'_, R, F, M>,
        inbox: &mut Vec<u8>,
        end: usize,
    ) -> Result<Body, NoBody>
    where
        R: Runtime,
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        let started = client.shard.rt.now();
        while inbox.len() < end {
            body_deadline(client, started, inbox.len());
            more_body(client, inbox).await?;
        }
        client.deadline.clear();
        Ok(Body::InPlace(end))
    }

    async fn read_chunked<R, F, M>(
        self,
        client: &mut Client<'_, R, F, M>,
        inbox: &mut Vec<u8>,
    ) -> Result<Body, NoBody>
    where
        R: Runtime,
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        let shard = client.shard;
        let started = shard.rt.now();
        let refuse = |error| NoBody::Refused(wire_error(error, shard));
        let most = u64::try_from(shard.config.server.request_body_bytes_max).unwrap_or(0);
        let mut reader = BodyReader::new(Framing::Chunked, most).map_err(refuse)?;
        let mut body = Vec::new();
        inbox.drain(..self.head_bytes);
        loop {
            let mut used = 0;
            while !reader.is_done() && used < inbox.len() {
                let input = inbox.get(used..).unwrap_or_default();
                let step = reader.feed(input).map_err(refuse)?;
                body.extend_from_slice(step.data);
                used += step.consumed;
            }
            inbox.drain(..used);
            if reader.is_done() {
                client.deadline.clear();
                return Ok(Body::Decoded(body));
            }
            body_deadline(client, started, body.len());
            more_body(client, inbox).await?;
        }
    }
}

/// Ten seconds of grace, then a rate that any client reaches, and an end to it all.
fn body_deadline<R: Runtime, F, M>(client: &Client<'_, R, F, M>, started: Tick, bytes: usize) {
    let timeouts = &client.shard.config.timeouts;
    let earned = u64::try_from(bytes).unwrap_or(u64::MAX) / BODY_RATE_MIN;
    let by_rate = started.after(timeouts.client_head).after(std::time::Duration::from_secs(earned));
    let until = by_rate.min(started.after(timeouts.client_body));
    client.deadline.set(until, Late::StopReading);
}

async fn more_body<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
) -> Result<(), NoBody>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    match client.posted.more(inbox).await {
        Ok(()) => Ok(()),
        Err(_) if client.deadline.fired() => {
            let message = "the request body did not arrive in time";
            Err(NoBody::Refused(ApiError::new(Row::REQUEST_TIMEOUT, message)))
        }
        Err(_) => Err(NoBody::Gone),
    }
}

/// Answers everything but chat. A body that is not here yet is not waited for.
async fn plain<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    mut asked: Asked,
    started: Tick,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let body_end = match asked.framing {
        Framing::None => Some(asked.head_bytes),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .and_then(|length| asked.head_bytes.checked_add(length))
            .filter(|end| *end <= inbox.len()),
        Framing::Chunked | Framing::UntilClose => None,
    };
    asked.envelope.keep_alive &= body_end.is_some();
    let counted = match &asked.what {
        What::Refuse(error) => Some((error.row.status, error.row.code)),
        What::Fixed(status, _, true) => Some((*status, Some("invalid_api_key"))),
        _ => None,
    };
    let exchange = counted
        .map(|counted| (Exchange::new(client.shard, asked.envelope, started, None), counted));
    let sent = give(client, &asked).await;
    if let Some((exchange, (status, code))) = exchange {
        let failed = Ending::Failed(status, code.unwrap_or("refused"));
        exchange.settle(if sent.is_ok() { failed } else { Ending::ClientLeft });
    }
    if sent.is_err() {
        return After::Gone;
    }
    match body_end {
        Some(end) if asked.envelope.keep_alive => {
            client.posted.advance(inbox, end);
            After::KeepAlive
        }
        _ => After::Close,
    }
}

/// Writes the answer to anything but chat.
async fn give<R, F, M>(client: &Client<'_, R, F, M>, asked: &Asked) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let envelope = &asked.envelope;
    let mut body = Vec::new();
    let ok = |body| Whole { status: 200, content_type: JSON, fields: b"", body };
    match &asked.what {
        What::Health => {
            super::health::render(shard, &mut body);
            answer::send(client, envelope, ok(&body)).await
        }
        What::Models => {
            models::list(&served(shard), &mut body);
            answer::send(client, envelope, ok(&body)).await
        }
        What::Model(id) => {
            let routed = shard.config.route(id).is_some();
            let known = served(shard).into_iter().find(|model| model.id == id);
            let owner = shard.config.upstreams.first().map_or("", |upstream| &upstream.name);
            let by_pattern = Model { id, owned_by: owner, created: 0 };
            if !routed {
                let message = format!("no route serves the model `{}`", short(id));
                let error = ApiError::new(Row::MODEL_NOT_FOUND, message).with_param("model");
                return answer::send_error(client, envelope, &error).await;
            }
            models::one(&known.unwrap_or(by_pattern), &mut body);
            answer::send(client, envelope, ok(&body)).await
        }
        What::Page(page) => {
            let (status, body) = ask(shard, *page).await;
            let content_type = match page {
                Page::Prometheus => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Page::Metrics | Page::Ready => JSON,
            };
            let answer = Whole { status, content_type, fields: b"", body: &body };
            answer::send(client, envelope, answer).await
        }
        What::Fixed(status, allow, _) => fixed(client, envelope, *status, allow).await,
        What::Refuse(error) | What::Error(error) => {
            answer::send_error(client, envelope, error).await
        }
        What::Talk(..) => Ok(0),
    }
}

/// Writes a body that was rendered, and compressed, at the start.
async fn fixed<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    status: u16,
    allow: &str,
) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let Some(body) = shard.fixed.iter().find(|body| body.status == status) else {
        return Err(Gone);
    };
    let mut fields = Vec::from(&b"vary: accept-encoding\r\n"[..]);
    if !allow.is_empty() {
        fields.extend_from_slice(b"allow: ");
        fields.extend_from_slice(allow.as_bytes());
        fields.extend_from_slice(b"\r\n");
    }
    if status == 401 {
        fields.extend_from_slice(b"www-authenticate: Bearer\r\n");
    }
    let zip = envelope.gzip && !body.gzip.is_empty();
    if zip {
        fields.extend_from_slice(b"content-encoding: gzip\r\n");
    }
    let bytes = if zip { &body.gzip } else { &body.plain };
    let answer = Whole { status, content_type: JSON, fields: &fields, body: bytes };
    answer::send(client, envelope, answer).await
}

/// A page that the control thread renders.
async fn ask<R: Runtime>(shard: &Shard<R>, page: Page) -> (u16, Vec<u8>) {
    let (reply, letters) = mailbox();
    if shard.control.send(Report::Ask(Ask { page, reply })).is_err() {
        return (503, b"{}".to_vec());
    }
    letters.next().await
}

/// The models that the routes name, and the patterns they serve.
fn served<R: Runtime>(shard: &Shard<R>) -> Vec<Model<'_>> {
    let routes = shard.config.routes.as_slice().iter();
    let models = routes.filter_map(|route| {
        let upstream = shard.config.upstreams.get(route.targets.first()?.upstream)?;
        Some(Model { id: &route.pattern, owned_by: &upstream.name, created: 0 })
    });
    models.collect()
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
        keep_alive: false,
        http10: false,
        head_only: false,
        gzip: false,
        dialect: Dialect::OpenAi,
    };
    match answer::send_error(client, &envelope, &error).await {
        Ok(_) => After::Close,
        Err(Gone) => After::Gone,
    }
}

/// The row of a broken rule of HTTP, with the limit that was passed.
fn wire_error<R: Runtime>(error: WireError, shard: &Shard<R>) -> ApiError {
    let limits = &shard.config.limits;
    let (row, message) = match error {
        WireError::HeadTooLarge => {
            (Row::HEAD_TOO_LARGE, format!("the head is longer than {} bytes", limits.head_bytes))
        }
        WireError::TooManyFields => {
            (Row::HEAD_TOO_LARGE, format!("the head has more than {} fields", limits.fields))
        }
        WireError::TargetTooLong => {
            let most = limits.target_bytes;
            (Row::TARGET_TOO_LONG, format!("the target is longer than {most} bytes"))
        }
        WireError::BodyTooLarge => {
            let most = shard.config.server.request_body_bytes_max;
            (Row::BODY_TOO_LARGE, format!("the body is longer than {most} bytes"))
        }
        WireError::BadVersion => {
            let row = Row { status: 505, ..Row::BAD_REQUEST };
            (row, "only HTTP/1.1 and HTTP/1.0 are spoken here".to_owned())
        }
        WireError::BadExpectation => {
            let row = Row { status: 417, ..Row::BAD_REQUEST };
            (row, "the only expectation known here is 100-continue".to_owned())
        }
        WireError::BadHost => (Row::BAD_REQUEST, "one valid Host field is required".to_owned()),
        WireError::BadChunk => (Row::BAD_REQUEST, "the chunked body is broken".to_owned()),
        WireError::FramingConflict | WireError::UnsupportedCoding => {
            (Row::BAD_REQUEST, "the length of the body is ambiguous".to_owned())
        }
        _ => (Row::BAD_REQUEST, "the request is not valid HTTP".to_owned()),
    };
    ApiError::new(row, message)
}

/// `application/json`, with or without parameters.
fn is_json(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// Does the client take gzip? A quality of zero means no.
fn accepts_gzip(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        let refused = parts.any(|parameter| {
            let value = parameter.strip_prefix(b"q=").unwrap_or(b"1");
            value.iter().all(|byte| matches!(byte, b'0' | b'.'))
        });
        named && !refused
    })
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_and_types_are_read_as_http_means_them() {
        for yes in ["gzip", "br, GZIP;q=0.5", "gzip;q=1"] {
            assert!(accepts_gzip(yes.as_bytes()), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip"] {
            assert!(!accepts_gzip(no.as_bytes()), "{no}");
        }
        assert!(is_json(b"Application/JSON; charset=utf-8") && !is_json(b"text/plain"));
    }
}
