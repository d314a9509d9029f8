//! Streamed answers: the vendor's bytes in, the client's out, one write per wake-up.
//!
//! The next upstream read starts only after the client's write has returned: that is the
//! back-pressure, and the bound on memory. The head is held until the vendor's first event is
//! valid, so that an early failure still has its own status. What becomes of the bytes in between
//! is decided by a [`Pipe`].

use std::time::Duration;

use crate::base::Tick;
use crate::net::{NetError, NetErrorKind, NetOp};
use crate::policy::Fault;
use crate::provider::UpstreamError;
use crate::rt::{Lent, Runtime};

use super::attempt::Plan;
use super::body::{Answer, More, SILENCE};
use super::client::{Client, Gone};
use super::exchange::Exchange;
use super::failure::{Failure, Phase};
use super::outcome::Outcome;
use super::pipe::Pipe;
use super::side::{Cut, Side};

/// Over this time it is judged whether a stream is too slow.
const PACE: Duration = Duration::from_secs(10);

/// How long the mark of the end is waited for when all else has come and another candidate could
/// have given it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The state of one stream.
struct Relay<'s, R: Runtime, P> {
    side: Side<'s, R, P>,
    answer: Answer<R>,
    /// So many bytes have come since then.
    pace: (Tick, u64),
}

/// Why a stream stops before its end.
enum Stop {
    Failed(Failure),
    ClientLeft,
}

/// Relays a successful answer event by event. `fields` are ready lines of the head. Until the first
/// event that settles the status a failure is the candidate's alone.
pub(super) fn relay<'s, R, F, M, P>(
    client: &mut Client<'_, R, F, M>,
    exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    answer: Answer<R>,
    pipe: P,
    fields: Vec<u8>,
) -> impl Future<Output = Outcome<'s, R>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
    P: Pipe<R>,
{
    go_on(client, Side::new(exchange, pipe, fields), plan, answer)
}

/// Goes on with a stream by the answer of the upstream that the plan names. What is given stands in
/// the future once; in that of an `async fn` it would stand twice.
pub(super) fn go_on<'s, R, F, M, P>(
    client: &mut Client<'_, R, F, M>,
    side: Side<'s, R, P>,
    plan: &Plan<'_>,
    answer: Answer<R>,
) -> impl Future<Output = Outcome<'s, R>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
    P: Pipe<R>,
{
    let now = side.exchange.shard.rt.lately();
    let mut relay = Relay { side, answer, pace: (now, 0) };
    async move {
        match relay.run(client).await {
            Ok(()) => {
                relay.answer.release(&relay.side.exchange, plan.index);
                Outcome::Ended(relay.side.finish(client).await)
            }
            Err(Stop::ClientLeft) => Outcome::left(relay.side.exchange),
            Err(Stop::Failed(failure)) => {
                let Relay { mut side, answer, .. } = relay;
                answer.discard(&side.exchange, plan.index);
                if !side.head_sent && !side.is_ready() {
                    return Outcome::failed(side.exchange, failure);
                }
                if side.pipe.can_go_on() && failure.fault() != Fault::Request {
                    return Outcome::Cut(Box::new(Cut { side: side.map(P::remains), failure }));
                }
                side.exchange.on_failure(failure.reason());
                Outcome::Ended(Box::pin(side.fail(client, &failure.told(plan.upstream))).await)
            }
        }
    }
}

impl<R: Runtime, P: Pipe<R>> Relay<'_, R, P> {
    /// Runs until the vendor's last event has been rendered; the last write is left to
    /// [`Side::finish`].
    async fn run<F, M>(&mut self, client: &mut Client<'_, R, F, M>) -> Result<(), Stop>
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        loop {
            let mark = self.side.open_chunk();
            let done = self.translate().map_err(|error| Stop::Failed(Failure::Vendor(error)));
            // What was said before a failure belongs to the client.
            let ended = match done {
                Ok(false) => None,
                Ok(true) => Some(self.end_of_answer()),
                Err(stop) => Some(Err(stop)),
            };
            self.side.close_chunk(mark);
            if let Some(ended) = ended {
                return self.judge(ended);
            }
            let until = self.until();
            let Self { side, answer, .. } = self;
            if side.is_ready() && !client.may_speak() {
                return Err(Stop::ClientLeft);
            }
            let now = side.exchange.shard.rt.lately();
            // What comes need not be news to the client, and a long silence is a dead connection.
            if side.head_sent && side.out.is_empty() && now.since(side.told) >= SILENCE {
                side.out.extend_from_slice(&side.ping);
            }
            if side.is_ready() && !side.out.is_empty() {
                side.flush(client).await.map_err(|Gone| Stop::ClientLeft)?;
            }
            // Only once the head is out: before it an early failure still has its status.
            let ping = Some(side.ping.as_slice());
            let ping = ping.filter(|ping| side.head_sent && !ping.is_empty());
            match answer.more(client, &mut side.exchange, (until, ping)).await {
                More::Some if answer.ended_by_close() => {
                    let mark = side.open_chunk();
                    let ended = self.end_of_answer();
                    self.side.close_chunk(mark);
                    return self.judge(ended);
                }
                More::Some if self.keeps_pace() => {}
                More::Some => {
                    let error = NetError { op: NetOp::Read, kind: NetErrorKind::Timeout };
                    let slow = Failure::Net(error, Phase::Body);
                    return self.judge(Err(Stop::Failed(slow)));
                }
                More::ClientLeft => return Err(Stop::ClientLeft),
                More::Failed(failure) => return self.judge(Err(Stop::Failed(failure))),
            }
        }
    }

    /// Does as much come as the operator wants at least?
    fn keeps_pace(&mut self) -> bool {
        let shard = self.side.exchange.shard;
        let Some(rate) = shard.config.timeouts.slow_stream else { return true };
        let (since, bytes) = &mut self.pace;
        *bytes += u64::try_from(self.answer.buffer.len()).unwrap_or(0);
        let now = shard.rt.lately();
        let gone = now.since(*since);
        if gone < PACE {
            return true;
        }
        let enough = *bytes >= rate.saturating_mul(gone.as_secs());
        self.pace = (now, 0);
        enough
    }

    /// A failure behind the end of the answer is none of the client's.
    fn judge(&self, ended: Result<(), Stop>) -> Result<(), Stop> {
        if self.side.pipe.has_ended() { Ok(()) } else { ended }
    }

    /// Until the first event the limits are those of the first token and of the whole request, then
    /// the one between two: a stream that goes on is never cut.
    fn until(&self) -> Tick {
        let Side { exchange, pipe, .. } = &self.side;
        let shard = exchange.shard;
        let timeouts = &shard.config.timeouts;
        if pipe.is_whole() && pipe.can_go_on() {
            return shard.rt.lately().after(timeouts.idle.min(LAST_WORDS));
        }
        if self.side.is_ready() {
            return shard.rt.lately().after(timeouts.idle);
        }
        exchange.until_it_speaks(timeouts.idle)
    }

    /// Takes all that has arrived; true at the end of the body.
    fn translate(&mut self) -> Result<bool, UpstreamError> {
        let Side { exchange, pipe, out, .. } = &mut self.side;
        self.answer.drain(|data| pipe.feed(data, exchange, out))
    }

    /// The body has ended: was the answer whole?
    fn end_of_answer(&mut self) -> Result<(), Stop> {
        let Side { exchange, pipe, out, .. } = &mut self.side;
        let finished = pipe.finish(exchange, out);
        finished.map_err(|error| Stop::Failed(Failure::Vendor(error)))
    }
}
