//! The body of an upstream's answer, read piece by piece.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use crate::net::{Link, StreamOf};
use crate::provider::{UpstreamError, UpstreamErrorKind};
use crate::rt::{Lent, Mutant, Runtime};
use crate::shard::{Deadline, Late, PIECE_BYTES};
use crate::wire::{BodyReader, WireError};

use super::client::Client;
use super::exchange::Exchange;
use super::failure::{Failure, Phase, read_failure};

/// After so long a silence of the upstream a client is told that the stream lives.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// A buffer that was filled to the brim is followed by a larger one, up to this size.
pub(super) const READ_BYTES_MAX: usize = 64 * 1024;

/// The same for a stream: with what becomes of it, a client that does not read costs no more than a
/// client may.
pub(super) const STREAM_READ_BYTES_MAX: usize = 8 * 1024;

/// What counts as short where [`Mutant::DroppedPiece`] is planted.
const SHORT_PIECE: usize = 16;

/// An answer whose head has been read.
pub(super) struct Answer<R: Runtime> {
    pub(super) link: Link<StreamOf<R>>,
    pub(super) deadline: Deadline<StreamOf<R>>,
    pub(super) reader: BodyReader,
    /// Bytes that were read; those before `at` are used.
    pub(super) buffer: Vec<u8>,
    pub(super) at: usize,
    /// May the link carry another exchange?
    pub(super) keep_alive: bool,
    /// How large a buffer a read may get.
    pub(super) read_bytes_max: usize,
    /// TLS ended without a goodbye.
    pub(super) cut: bool,
    /// Fields of the vendor's head that cross to the client, ready to be written.
    pub(super) crossing: Vec<u8>,
}

/// What a read for more of the body brought.
pub(super) enum More {
    /// More bytes, or an end that the framing allows.
    Some,
    /// The client has left meanwhile.
    ClientLeft,
    /// The answer broke off.
    Failed(Failure),
}

impl<R: Runtime> Answer<R> {
    /// Hands the body bytes that are here to `sink`; true when the body has ended.
    pub(super) fn drain<E: From<WireError>>(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        while !self.reader.is_done() {
            let input = self.buffer.get(self.at..).unwrap_or_default();
            if input.is_empty() {
                break;
            }
            let step = self.reader.feed(input)?;
            self.at += step.consumed;
            if step.data.len() < SHORT_PIECE && Mutant::DroppedPiece.active() {
                continue;
            }
            sink(step.data)?;
            if Mutant::DoubledRead.active() {
                sink(step.data)?;
            }
        }
        Ok(self.reader.is_done())
    }

    /// Reads on, at most until `until`. While the upstream is silent, `ping` goes to the client.
    pub(super) async fn more<F, M>(
        &mut self,
        client: &mut Client<'_, R, F, M>,
        exchange: &mut Exchange<'_, R>,
        (until, ping): (crate::base::Tick, Option<&[u8]>),
    ) -> More
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (brought, room) = (buffer.len(), buffer.capacity());
        buffer.clear();
        self.at = 0;
        if brought == room && room < self.read_bytes_max {
            buffer.reserve_exact((room * 4).min(self.read_bytes_max));
        } else if room > PIECE_BYTES && brought <= PIECE_BYTES / 2 && self.is_stream() {
            let buffers = &exchange.shard.buffers;
            buffers.give(std::mem::replace(&mut buffer, buffers.take_piece()));
        }
        self.deadline.set(until, Late::Abort);
        let began = exchange.shard.rt.now();
        let link = &self.link;
        let mut read = pin!(link.read(buffer));
        let ((result, buffer), gone) = loop {
            let watched = client.watch_for(read.as_mut(), || link.abort(), SILENCE).await;
            match (watched, ping) {
                (Some(done), _) => break done,
                (None, None) => {}
                // A client that is gone is noticed by the watch that follows.
                // Seldom, and larger than the wait.
                (None, Some(ping)) => drop(Box::pin(client.write(ping.to_vec())).await),
            }
        };
        exchange.wait_since(began);
        self.buffer = buffer;
        self.cut = result.as_ref().is_err_and(|e| e.kind() == ErrorKind::UnexpectedEof);
        self.deadline.clear();
        if gone {
            return More::ClientLeft;
        }
        // A connection that ends may be cut, with TLS and without: whether a body that ends with
        // it is whole must show in the body.
        let ended = !self.deadline.fired() && (self.cut || matches!(result, Ok(0)));
        match read_failure(&result, self.deadline.fired(), Phase::Body) {
            None => More::Some,
            Some(_) if ended && self.reader.on_eof().is_ok() => More::Some,
            Some(failure) => More::Failed(failure),
        }
    }

    /// Does it come piece by piece, with long waits between them?
    fn is_stream(&self) -> bool {
        self.read_bytes_max == STREAM_READ_BYTES_MAX
    }

    /// What an answer that makes no sense means: one that TLS did not end was cut.
    pub(super) fn blame(&self, error: UpstreamError) -> Failure {
        let cut = self.cut && error.kind == UpstreamErrorKind::Invalid;
        Failure::Vendor(if cut { UpstreamError::truncated() } else { error })
    }

    /// Has the upstream closed where the framing takes that for the end?
    pub(super) fn ended_by_close(&self) -> bool {
        self.buffer.is_empty() && self.reader.on_eof().is_ok()
    }

    /// Puts the link back if its answer was read to the very end and nothing else came.
    pub(super) fn release(self, exchange: &Exchange<'_, R>, upstream: usize) {
        let Self { link, deadline, reader, buffer, at, keep_alive, .. } = self;
        // The slot holds the connection too: without this it would stay open after the link.
        drop(deadline);
        let clean = reader.is_done() && keep_alive && at == buffer.len();
        exchange.shard.buffers.give(buffer);
        if clean {
            exchange.shard.put_link(upstream, link);
        }
    }

    /// Closes the link of an answer that was not understood. It may have been an answer to
    /// something else, and then the right one would come next, to the wrong client.
    pub(super) fn discard(self, exchange: &Exchange<'_, R>, upstream: usize) {
        if Mutant::PoisonedLinkReused.active() {
            drop(self.deadline);
            exchange.shard.put_link(upstream, self.link);
        }
    }
}
