//! Streamed answers: vendor events in, the client's events out, one write per wake-up.
//!
//! The next upstream read starts only after the client's write has returned: that is the
//! back-pressure, and the bound on memory. The head is held until the vendor's first event is
//! valid, so that an early failure still has its own status.

use crate::chat::{ApiError, StreamWriter};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Expected, UpstreamError, UpstreamErrorKind};
use crate::rt::{Lent, Mutant, Runtime};
use crate::wire::write;

use super::answer::{self, after};
use super::attempt::Plan;
use super::body::{Answer, More};
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::reply::{Ends, end_head};

/// The state of one stream.
struct Relay<'s, R: Runtime> {
    exchange: Exchange<'s, R>,
    answer: Answer<R>,
    decoder: Decoder,
    writer: StreamWriter,
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

/// Relays a successful answer event by event.
pub(super) async fn relay<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    answer: Answer<R>,
    writer: StreamWriter,
    (expected, fields): (Expected, Vec<u8>),
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let limits = &exchange.shard.config.limits;
    let limits =
        AnswerLimits { body_bytes: limits.upstream_body_bytes, event_bytes: limits.event_bytes };
    let out = exchange.shard.buffers.take();
    let mut relay = Relay {
        decoder: Decoder::new(expected, limits),
        ping: framed(writer.ping(), exchange.envelope.http10),
        writer,
        exchange,
        answer,
        out,
        head_sent: false,
        fields,
    };
    match relay.run(client).await {
        Ok(()) => relay.finish(client, plan.index).await,
        Err(Stop::ClientLeft) => {
            relay.exchange.settle(Ending::ClientLeft);
            After::Gone
        }
        Err(Stop::Failed(failure)) => {
            relay.exchange.shard.cells.on_failure(failure.reason());
            relay.fail(client, &failure.to_api(), plan.index).await
        }
    }
}

impl<R: Runtime> Relay<'_, R> {
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
                return ended;
            }
            if self.writer.has_started() && !self.out.is_empty() {
                self.flush(client).await.map_err(|Gone| Stop::ClientLeft)?;
            }
            // Only once the head is out: before it an early failure still has its status.
            let ping = self.head_sent.then_some(self.ping.as_slice());
            let wait = (self.until(), ping);
            match self.answer.more(client, &mut self.exchange, wait).await {
                More::Some if self.answer.ended_by_close() => {
                    let mark = self.open_chunk();
                    let ended = self.end_of_answer();
                    self.close_chunk(mark);
                    return ended;
                }
                More::Some => {}
                More::ClientLeft => return Err(Stop::ClientLeft),
                More::Failed(failure) => return Err(Stop::Failed(failure)),
            }
        }
    }

    /// Until the first event the limit is the one for the first token, then the one between two.
    fn until(&self) -> crate::base::Tick {
        let timeouts = &self.exchange.shard.config.timeouts;
        let idle = self.exchange.until(timeouts.idle);
        match timeouts.first_token {
            Some(limit) if !self.writer.has_started() => {
                idle.min(self.exchange.started.after(limit))
            }
            _ => idle,
        }
    }

    /// Translates all that has arrived; true at the end of the body.
    fn translate(&mut self) -> Result<bool, UpstreamError> {
        let Self { answer, decoder, writer, exchange, out, .. } = self;
        answer.drain(|data| {
            decoder.feed(data, &mut |event| {
                exchange.on_event(&event);
                writer.on_event(&event, out);
            })
        })
    }

    /// The body has ended: was the answer whole?
    fn end_of_answer(&mut self) -> Result<(), Stop> {
        let Self { decoder, writer, exchange, out, .. } = self;
        let finished = decoder.finish(&mut |event| {
            exchange.on_event(&event);
            writer.on_event(&event, out);
        });
        match finished {
            Err(error)
                if error.kind == UpstreamErrorKind::Truncated
                    && Mutant::TruncationHidden.active() => {}
            Err(error) => return Err(Stop::Failed(Failure::Vendor(error))),
            Ok(()) => {}
        }
        writer.end(out);
        Ok(())
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

    /// Ends with an error: with its own status while nothing was said, else as an event.
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
        if !self.head_sent && !self.writer.has_started() {
            self.answer.discard(&self.exchange, upstream);
            return answer::fail(client, self.exchange, error).await;
        }
        let mark = self.open_chunk();
        self.writer.error(error, self.exchange.envelope.id.as_str(), &mut self.out);
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
        out.extend_from_slice(self.writer.content_type().as_bytes());
        out.extend_from_slice(b"\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n");
        out.extend_from_slice(&self.fields);
        exchange.phases.gateway = exchange.age().saturating_sub(exchange.waited);
        exchange.push_timing(out);
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
