//! The body of a client's request, read whole before it is understood.

use crate::base::Tick;
use crate::chat::{ApiError, Row};
use crate::rt::{Lent, Runtime};
use crate::shard::Late;
use crate::wire::{BodyReader, Framing};

use super::asked::wire_error;
use super::client::{Client, Gone};

/// A client may send a body this slowly after the first ten seconds, in bytes per second.
const BODY_RATE_MIN: u64 = 1024;
/// A body that is still to come.
#[derive(Clone, Copy)]
pub(super) struct Incoming {
    pub(super) head_bytes: usize,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
}

/// Where a body is.
pub(super) enum Body {
    /// In the inbox, behind the head and up to here.
    InPlace(usize),
    /// Taken out of its chunks; the inbox holds only what follows.
    Decoded(Vec<u8>),
}

pub(super) enum NoBody {
    Gone,
    Refused(ApiError),
}

impl Incoming {
    pub(super) async fn read<R, F, M>(
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
        let started = client.shard.rt.lately();
        while inbox.len() < end {
            body_deadline(client, started, inbox.len());
            let announced = end - inbox.len();
            more_body(client, inbox, announced).await?;
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
            more_body(client, inbox, 0).await?;
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
    announced: usize,
) -> Result<(), NoBody>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    match client.posted.more(inbox, announced).await {
        Ok(()) => Ok(()),
        Err(_) if client.deadline.fired() => {
            let message = "the request body did not arrive in time";
            Err(NoBody::Refused(ApiError::new(Row::REQUEST_TIMEOUT, message)))
        }
        Err(_) => Err(NoBody::Gone),
    }
}
