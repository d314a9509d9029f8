//! One client connection as an exchange sees it: write an answer, notice that the client left.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::net::StreamOf;
use crate::rt::{Lent, Mutant, Runtime};
use crate::shard::{Capture, Deadline, Late, Lead, Shard};

use super::lane::Lane;
use super::posted::Posted;
use super::route::Port;
use super::telling::Telling;

/// The client's side of one connection.
pub(super) struct Client<'s, R: Runtime, F, M> {
    pub(super) shard: &'s Shard<R>,
    pub(super) conn: &'s StreamOf<R>,
    pub(super) deadline: &'s Deadline<StreamOf<R>>,
    pub(super) posted: Posted<'s, F, M>,
    /// What is written is kept here, for all who ask the same, and not sent.
    pub(super) lead: Option<&'s Lead>,
    /// What is served where it has connected.
    pub(super) port: Port,
    /// An operator wants to see what is written.
    pub(super) capture: Option<Rc<Capture>>,
    /// Writes the head of a stream before anything of its answer has come, if it is wanted.
    pub(super) telling: Option<Telling<'s>>,
}

/// The client has left, or reads too slowly: nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// How much one write offers the kernel. A slow reader of a large answer then has the write
/// deadline per slice, not for the whole.
const SLICE_BYTES: usize = 256 * 1024;

impl<'s, R, F, M> Client<'s, R, F, M>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    /// The same client for one of two candidates that are asked at once.
    pub(super) fn racer<'r>(
        &self,
        lane: Lane,
        deadline: &'r Deadline<StreamOf<R>>,
        slot: Pin<&'r mut Option<F>>,
    ) -> Client<'r, R, F, M>
    where
        's: 'r,
    {
        let posted = Posted::racer(slot, lane);
        let (lead, port, capture) = (self.lead, self.port, self.capture.clone());
        let (shard, conn, telling) = (self.shard, self.conn, None);
        Client { shard, conn, deadline, posted, lead, port, capture, telling }
    }

    /// A client that keeps what it is told, for all who ask the same as this one.
    pub(super) fn keeper<'r>(
        &self,
        lead: &'r Lead,
        lane: Lane,
        deadline: &'r Deadline<StreamOf<R>>,
        slot: Pin<&'r mut Option<F>>,
    ) -> Client<'r, R, F, M>
    where
        's: 'r,
    {
        Client { lead: Some(lead), ..self.racer(lane, deadline, slot) }
    }

    /// May something be written? Of two candidates that are asked at once only one may.
    pub(super) fn may_speak(&self) -> bool {
        self.posted.may_speak()
    }

    /// From now on somebody else than the teller of an early head writes. Tells how much of one has
    /// gone out.
    pub(super) async fn speaks(&self) -> Option<u64> {
        match &self.telling {
            None => None,
            // Seldom, and larger than nothing.
            Some(telling) => Box::pin(telling.stop()).await,
        }
    }

    /// Says whether silence behind an early head may be filled from now on.
    pub(super) fn fill_silence(&self, fills: bool) {
        if let Some(telling) = &self.telling {
            telling.teller().early().fill(fills);
        }
    }

    /// Writes all of `bytes` and gives the buffer back empty.
    pub(super) async fn write(&self, mut bytes: Vec<u8>) -> (Result<(), Gone>, Vec<u8>) {
        if !self.posted.may_speak() {
            return (Err(Gone), bytes);
        }
        if let Some(lead) = self.lead {
            lead.put(&bytes);
            std::future::poll_fn(|context| lead.poll_room(context)).await;
            bytes.clear();
            return (Ok(()), bytes);
        }
        if let Some(capture) = &self.capture {
            capture.put(&bytes);
        }
        if bytes.len() <= SLICE_BYTES {
            return self.write_slice(bytes).await;
        }
        let mut slice = Vec::with_capacity(SLICE_BYTES);
        for part in bytes.chunks(SLICE_BYTES) {
            slice.extend_from_slice(part);
            let (result, back) = self.write_slice(slice).await;
            slice = back;
            if result.is_err() {
                return (result, slice);
            }
        }
        (Ok(()), slice)
    }

    async fn write_slice(&self, mut bytes: Vec<u8>) -> (Result<(), Gone>, Vec<u8>) {
        if Mutant::ShortWrite.active() {
            bytes.truncate(bytes.len() / 2);
        }
        let timeouts = &self.shard.config.timeouts;
        let until = self.shard.rt.lately().after(timeouts.client_write_idle);
        self.deadline.set(until, Late::Abort);
        let (result, buffer) = self.conn.write_all_of(bytes, self.shard.is_quiet()).await;
        self.deadline.clear();
        (result.map_err(|_left| Gone), buffer)
    }

    /// Runs `work` on an upstream connection to its end. When the client leaves before, `abort`
    /// ends the work early; the answer says whether it did.
    pub(super) async fn watch<T>(
        &mut self,
        work: impl Future<Output = T>,
        abort: impl Fn(),
    ) -> (T, bool) {
        let mut work = pin!(work);
        let mut gone = false;
        self.posted.post(|| self.shard.buffers.take_small());
        let posted = &mut self.posted;
        let telling = self.telling.as_ref();
        let value = std::future::poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(value);
            }
            if !gone && posted.poll_gone(context).is_ready() {
                gone = true;
                if Mutant::CancelIgnored.active() {
                    return Poll::Pending;
                }
                abort();
                return work.as_mut().poll(context);
            }
            if let Some(telling) = telling {
                telling.teller().poll(context);
            }
            Poll::Pending
        })
        .await;
        (value, gone)
    }

    /// Runs `work` on like [`Client::watch`], but comes back without a value when nothing has
    /// happened for `silence`; `work` is then given again.
    pub(super) async fn watch_for<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
        abort: impl Fn(),
        silence: Duration,
    ) -> Option<(T, bool)> {
        let mut armed = false;
        let (shard, deadline) = (self.shard, self.deadline);
        let silent = std::future::poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            if armed && deadline.fired() {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut armed, true) {
                deadline.wake_at(shard.rt.lately().after(silence), context.waker());
            }
            Poll::Pending
        });
        let (value, gone) = self.watch(silent, abort).await;
        deadline.clear();
        value.map(|value| (value, gone))
    }

    /// Runs `work`, which may be dropped at any time, unless the client leaves before.
    pub(super) async fn unless_gone<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Gone> {
        let mut work = pin!(work);
        self.posted.post(|| self.shard.buffers.take_small());
        let posted = &mut self.posted;
        let telling = self.telling.as_ref();
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            if let Some(telling) = telling {
                telling.teller().poll(context);
            }
            posted.poll_gone(context).map(|()| Err(Gone))
        })
        .await
    }
}
