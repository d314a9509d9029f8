//! Streamed answers: the vendor's bytes in, the client's out, one write per wake-up.
//!
//! The next upstream read starts only after the client's write has returned: that is the
//! back-pressure, and the bound on memory. The head is held until the vendor's first event is
//! valid, so that an early failure still has its own status. What becomes of the bytes in between
//! is decided by a [`Pipe`].

use crate::chat::ApiError;
use crate::provider::UpstreamError;
use crate::rt::{Lent, Runtime};
use crate::wire::write;

use super::answer::after;
use super::attempt::Plan;
use super::body::{Answer, More};
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::outcome::Outcome;
use super::reply::{Ends, end_head};

/// What makes a client's stream of a vendor's.
pub(super) trait Pipe<R: Runtime> {
    /// Takes body bytes and appends what the client gets.
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError>;

    /// The body has ended: appends the rest when the answer is whole.
    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError>;

    /// Appends an error as the last event. `id` is the request's.
    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>);

    /// Has the vendor said anything that settles the status?
    fn has_started(&self) -> bool;

    /// Has the client got the end of its answer? What breaks after that harms nobody.
    fn has_ended(&self) -> bool;

    /// What keeps a silent stream alive without saying anything; empty where the bytes are not
    /// ours.
    fn ping(&self) -> &'static [u8];

    /// The content type of the client's stream.
    fn content_type(&self) -> &'static str;
}

/// The state of one stream.
struct Relay<'s, R: Runtime, P> {
    exchange: Exchange<'s, R>,
    answer: Answer<R>,
    pipe: P,
    /// What goes out with the next write: the open chunk, and before it the head the first time.
    out: Vec<u8>,
    head_sent: bool,
    /// Ready field lines of the head.
    fields: Vec<u8>,
    /// What goes out when nothing else does, framed.
    ping: Vec<u8>,
}

/// Why a stream stops before its end.
enum Stop {
    Failed(Failure),
    ClientLeft,
}

/// Relays a successful answer event by event. `fields` are ready lines of the head. Until the first
/// event that settles the status a failure is the candidate's alone.
pub(super) async fn relay<'s, R, F, M, P>(
    client: &mut Client<'_, R, F, M>,
    exchange: Exchange<'s, R>,
    plan: Plan<'_>,
    answer: Answer<R>,
    pipe: P,
    fields: Vec<u8>,
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
    P: Pipe<R>,
{
    let out = exchange.shard.buffers.take();
    let ping = framed(pipe.ping(), exchange.envelope.http10);
    let mut relay = Relay { exchange, answer, pipe, out, head_sent: false, fields, ping };
    match relay.run(client).await {
        Ok(()) => Outcome::Ended(relay.finish(client, plan.index).await),
        Err(Stop::ClientLeft) => Outcome::left(relay.exchange),
        Err(Stop::Failed(failure)) if !relay.head_sent && !relay.pipe.has_started() => {
            let Relay { exchange, answer, .. } = relay;
            answer.discard(&exchange, plan.index);
            Outcome::failed(exchange, failure)
        }
        Err(Stop::Failed(failure)) => {
            relay.exchange.on_failure(failure.reason());
            Outcome::Ended(relay.fail(client, &failure.told(plan.upstream), plan.index).await)
        }
    }
}

impl<R: Runtime, P: Pipe<R>> Relay<'_, R, P> {
    /// Runs until the vendor's last event has been rendered; the last write is left to `finish`.
    async fn run<F, M>(&mut self, client: &mut Client<'_, R, F, M>) -> Result<(), Stop>
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        loop {
            let mark = self.open_chunk();
            let done = self.translate().map_err(|error| Stop::Failed(Failure::Vendor(error)));
            // What was said before a failure belongs to the client.
            let ended = match done {
                Ok(false) => None,
                Ok(true) => Some(self.end_of_answer()),
                Err(stop) => Some(Err(stop)),
            };
            self.close_chunk(mark);
            if let Some(ended) = ended {
                return self.judge(ended);
            }
            if self.pipe.has_started() && !self.out.is_empty() {
                self.flush(client).await.map_err(|Gone| Stop::ClientLeft)?;
            }
            // Only once the head is out: before it an early failure still has its status.
            let ping = Some(self.ping.as_slice());
            let ping = ping.filter(|ping| self.head_sent && !ping.is_empty());
            let wait = (self.until(), ping);
            match self.answer.more(client, &mut self.exchange, wait).await {
                More::Some if self.answer.ended_by_close() => {
                    let mark = self.open_chunk();
                    let ended = self.end_of_answer();
                    self.close_chunk(mark);
                    return self.judge(ended);
                }
                More::Some => {}
                More::ClientLeft => return Err(Stop::ClientLeft),
                More::Failed(failure) => return self.judge(Err(Stop::Failed(failure))),
            }
        }
    }

    /// A failure behind the end of the answer is none of the client's.
    fn judge(&self, ended: Result<(), Stop>) -> Result<(), Stop> {
        if self.pipe.has_ended() { Ok(()) } else { ended }
    }

    /// Until the first event the limits are those of the first token and of the whole request, then
    /// the one between two: a stream that goes on is never cut.
    fn until(&self) -> crate::base::Tick {
        let shard = self.exchange.shard;
        let timeouts = &shard.config.timeouts;
        if self.pipe.has_started() {
            return shard.rt.now().after(timeouts.idle);
        }
        let until = self.exchange.until(timeouts.idle);
        timeouts.first_token.map_or(until, |limit| until.min(self.exchange.started.after(limit)))
    }

    /// Takes all that has arrived; true at the end of the body.
    fn translate(&mut self) -> Result<bool, UpstreamError> {
        let Self { answer, pipe, exchange, out, .. } = self;
        answer.drain(|data| pipe.feed(data, exchange, out))
    }

    /// The body has ended: was the answer whole?
    fn end_of_answer(&mut self) -> Result<(), Stop> {
        let finished = self.pipe.finish(&mut self.exchange, &mut self.out);
        finished.map_err(|error| Stop::Failed(Failure::Vendor(error)))
    }

    /// The last write of a whole stream.
    async fn finish<F, M>(mut self, client: &Client<'_, R, F, M>, upstream: usize) -> After
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        self.end_body();
        let written = self.flush(client).await;
        let Self { exchange, answer, out, .. } = self;
        exchange.shard.buffers.give(out);
        answer.release(&exchange, upstream);
        if written.is_err() {
            exchange.settle(Ending::ClientLeft);
            return After::Gone;
        }
        let after = stream_after(&exchange);
        exchange.settle(Ending::Answered);
        after
    }

    /// Ends with an error as the last event.
    async fn fail<F, M>(
        mut self,
        client: &Client<'_, R, F, M>,
        error: &ApiError,
        upstream: usize,
    ) -> After
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        let mark = self.open_chunk();
        self.pipe.error(error, self.exchange.envelope.id.as_str(), &mut self.out);
        self.close_chunk(mark);
        self.end_body();
        self.exchange.envelope.keep_alive = false;
        let written = self.flush(client).await;
        if written.is_err() {
            self.exchange.settle(Ending::ClientLeft);
            return After::Gone;
        }
        self.answer.discard(&self.exchange, upstream);
        self.exchange.settle(Ending::Broken(error.row.code.unwrap_or("refused")));
        After::Close
    }

    fn open_chunk(&mut self) -> usize {
        if self.exchange.envelope.http10 { 0 } else { write::begin_chunk(&mut self.out) }
    }

    fn close_chunk(&mut self, mark: usize) {
        if !self.exchange.envelope.http10 {
            write::end_chunk(&mut self.out, mark);
        }
    }

    fn end_body(&mut self) {
        if !self.exchange.envelope.http10 {
            write::last_chunk(&mut self.out);
        }
    }

    /// Writes what has been gathered, with the head before it the first time.
    async fn flush<F, M>(&mut self, client: &Client<'_, R, F, M>) -> Result<(), Gone>
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        let mut out = std::mem::take(&mut self.out);
        if !self.head_sent {
            self.head_sent = true;
            self.exchange.first_token = Some(self.exchange.age());
            let mut first = self.exchange.shard.buffers.take();
            self.push_head(&mut first);
            first.extend_from_slice(&out);
            self.exchange.shard.buffers.give(std::mem::replace(&mut out, first));
        }
        self.exchange.bytes_out += u64::try_from(out.len()).unwrap_or(0);
        let (result, out) = client.write(out).await;
        self.out = out;
        result
    }

    fn push_head(&mut self, out: &mut Vec<u8>) {
        let exchange = &mut self.exchange;
        exchange.envelope.keep_alive &= !exchange.envelope.http10;
        exchange.envelope.begin(exchange.shard, 200, out);
        out.extend_from_slice(b"content-type: ");
        out.extend_from_slice(self.pipe.content_type().as_bytes());
        out.extend_from_slice(b"\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n");
        exchange.phases.gateway = exchange.age().saturating_sub(exchange.waited);
        exchange.push_own(&mut self.fields);
        out.extend_from_slice(&self.fields);
        let ends = if exchange.envelope.http10 { Ends::Close } else { Ends::Chunked };
        end_head(ends, out);
    }
}

/// Bytes that may stand between two chunks of a body, as a chunk of their own.
fn framed(bytes: &[u8], http10: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let mark = if http10 { 0 } else { write::begin_chunk(&mut out) };
    out.extend_from_slice(bytes);
    if !http10 {
        write::end_chunk(&mut out, mark);
    }
    out
}

/// A body that ends with the connection leaves no room for another request.
fn stream_after<R: Runtime>(exchange: &Exchange<'_, R>) -> After {
    if exchange.envelope.http10 { After::Close } else { after(&exchange.envelope) }
}
