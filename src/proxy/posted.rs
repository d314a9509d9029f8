//! The one read that is posted on a client's connection.
//!
//! It is never dropped. While a request is awaited it brings the request; while an exchange runs
//! it is the watch for a client that leaves, and brings the first bytes of a pipelined request.
//! So neither a poll nor a cancellation is needed per request.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::rt::{Lent, Mutant};
use crate::shard::{BUFFER_BYTES, Lead, Seat};

use super::lane::Lane;

/// How much of the requests behind the running one is read ahead.
const EARLY_BYTES_MAX: usize = 4096;

/// How much room is made at once for what a client has announced.
const ANNOUNCED_BYTES_MAX: usize = 64 * 1024;

/// Why no more bytes will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client closed its side, or we stopped reading.
    Closed,
    /// The connection broke.
    Broken,
}

/// Others who wait for what this client has asked for.
#[derive(Debug)]
struct Company {
    lead: Rc<Lead>,
    /// Until the client has left.
    own: Option<Seat>,
}

/// The reading side of one client connection.
pub(super) struct Posted<'s, F, M> {
    /// The pending read, if any.
    slot: Pin<&'s mut Option<F>>,
    /// Starts a read into a buffer; a racer's never does.
    make: Option<M>,
    /// Who runs here, when somebody else watches the client.
    lane: Option<Lane>,
    /// Who else waits for the answer that this client waits for.
    company: Option<Company>,
    /// Bytes that arrived while an exchange ran.
    early: Vec<u8>,
    /// A buffer that an exchange of buffers left over; the next read takes it.
    spare: Vec<u8>,
    ended: Option<Ended>,
}

impl<'s, F, M> Posted<'s, F, M>
where
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    pub(super) fn new(slot: Pin<&'s mut Option<F>>, make: M) -> Self {
        Self::open(slot, Some(make), None)
    }

    /// For one of two candidates that are asked at once: somebody else watches the client.
    pub(super) fn racer(slot: Pin<&'s mut Option<F>>, lane: Lane) -> Self {
        Self::open(slot, None, Some(lane))
    }

    fn open(slot: Pin<&'s mut Option<F>>, make: Option<M>, lane: Option<Lane>) -> Self {
        let (early, spare) = (Vec::new(), Vec::new());
        Self { slot, make, lane, company: None, early, spare, ended: None }
    }

    /// From now on others may wait for the answer, too: when this client leaves, they stay.
    pub(super) fn join(&mut self, lead: Rc<Lead>, own: Seat) {
        self.company = Some(Company { lead, own: Some(own) });
    }

    /// Nobody else waits any more.
    pub(super) fn part(&mut self) {
        self.company = None;
    }

    /// May something be written to the client? Of two candidates only one may.
    pub(super) fn may_speak(&self) -> bool {
        self.lane.as_ref().is_none_or(Lane::claim)
    }

    /// Takes the buffer that was left over: an idle connection needs none.
    pub(super) fn take_spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    /// Posts a read into `buffer`, unless one is pending or would bring nothing that can be kept.
    pub(super) fn post(&mut self, buffer: impl FnOnce() -> Vec<u8>) {
        let room = self.early.len() < EARLY_BYTES_MAX || Mutant::UnboundedBuffer.active();
        if self.slot.is_none() && room && self.ended.is_none() {
            let Some(make) = &self.make else { return };
            let spare = std::mem::take(&mut self.spare);
            let buffer = if spare.capacity() > 0 { spare } else { buffer() };
            self.slot.set(Some(make(buffer)));
        }
    }

    /// Waits for more bytes and appends them to `inbox`. So many are known to come, if any.
    ///
    /// # Errors
    /// When no more bytes will come.
    pub(super) async fn more(
        &mut self,
        inbox: &mut Vec<u8>,
        announced: usize,
    ) -> Result<(), Ended> {
        if let Some(ended) = self.ended {
            return Err(ended);
        }
        let Some(make) = &self.make else { return Err(Ended::Broken) };
        if self.slot.is_none() {
            // Nothing is pending: the read goes straight behind what is there.
            // A client may announce much and send nothing.
            let announced = announced.min(ANNOUNCED_BYTES_MAX);
            let room = inbox.len().clamp(BUFFER_BYTES, 256 * 1024).max(announced);
            if inbox.capacity() - inbox.len() < room {
                inbox.reserve(room);
            }
            self.slot.set(Some(make(std::mem::take(inbox))));
        }
        let (result, buffer) = std::future::poll_fn(|context| self.poll(context)).await;
        self.spare = join(inbox, buffer);
        self.judge(&result)
    }

    /// Ready when the client has left, and all who wait for the same. Bytes of pipelined requests
    /// are kept up to a limit; beyond it nothing is read until the exchange has ended.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.ended.is_some() {
                return self.company.as_mut().map_or(Poll::Ready(()), |company| {
                    company.own = None;
                    company.lead.poll_deserted(context)
                });
            }
            if self.slot.is_none() {
                // Whoever decides polls again.
                let over = self.lane.as_ref().is_some_and(Lane::is_over);
                return if over { Poll::Ready(()) } else { Poll::Pending };
            }
            let Poll::Ready((result, mut buffer)) = self.poll(context) else {
                return Poll::Pending;
            };
            if self.judge(&result).is_ok() && !Mutant::DroppedRead.active() {
                self.spare = join(&mut self.early, buffer);
            } else {
                buffer.clear();
                self.spare = buffer;
            }
            // The next read goes on watching.
            self.post(|| Vec::with_capacity(EARLY_BYTES_MAX));
        }
    }

    /// Removes the first `consumed` bytes of `inbox` and appends what arrived early.
    pub(super) fn advance(&mut self, inbox: &mut Vec<u8>, consumed: usize) {
        inbox.drain(..consumed.min(inbox.len()));
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            self.early = join(inbox, early);
        }
    }

    /// Waits for the pending read after the connection was aborted, so that its buffer comes back.
    pub(super) async fn end(&mut self) -> Option<Vec<u8>> {
        if self.slot.is_none() {
            return None;
        }
        let (_, buffer) = std::future::poll_fn(|context| self.poll(context)).await;
        Some(buffer)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Lent<usize>> {
        let Some(read) = self.slot.as_mut().as_pin_mut() else { return Poll::Pending };
        let done = read.poll(context);
        if done.is_ready() {
            self.slot.set(None);
        }
        done
    }

    fn judge(&mut self, result: &io::Result<usize>) -> Result<(), Ended> {
        self.ended = match result {
            Ok(0) => Some(Ended::Closed),
            Ok(_) => None,
            Err(_) => Some(Ended::Broken),
        };
        self.ended.map_or(Ok(()), Err)
    }
}

/// Appends `arrived` to `inbox`, by exchange when `inbox` is empty; returns the buffer left over.
fn join(inbox: &mut Vec<u8>, mut arrived: Vec<u8>) -> Vec<u8> {
    if inbox.is_empty() && inbox.capacity() <= arrived.capacity() {
        std::mem::swap(inbox, &mut arrived);
    } else {
        inbox.extend_from_slice(&arrived);
        arrived.clear();
    }
    arrived
}
