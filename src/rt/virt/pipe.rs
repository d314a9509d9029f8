//! One direction of a virtual connection.

use std::collections::VecDeque;
use std::task::Waker;

use crate::base::Tick;

use super::world::{FaultKind, World};

/// What a direction holds before its writer has to wait: small, so that back-pressure is common.
const CAPACITY: usize = 16 * 1024;

/// So many bytes come one by one.
const DRIP_BYTES: usize = 512;

/// How the reader will find the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Reset,
}

/// Bytes on their way from a writer to a reader.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the direction")]
#[derive(Default)]
pub(super) struct Pipe {
    /// In flight, with their times of arrival, which never decrease.
    flying: VecDeque<(Tick, Vec<u8>)>,
    landed: VecDeque<u8>,
    end: Option<(Tick, End)>,
    /// The reader wants no more: its reads end, what comes is thrown away.
    pub(super) closed_here: bool,
    pub(super) reading: bool,
    pub(super) writing: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// A fault that comes after so many bytes.
    pub(super) fault: Option<(FaultKind, usize)>,
    /// A fault has come: nothing more arrives.
    dead: bool,
    last_arrival: Tick,
    /// When the pending read is woken, if it is.
    pub(super) told: Option<Tick>,
}

impl Pipe {
    /// Takes in what has arrived by now.
    pub(super) fn land(&mut self, now: Tick) {
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.flying.pop_front()
                && !self.closed_here
            {
                self.landed.extend(bytes);
            }
        }
    }

    /// The end, if the reader has come to it.
    pub(super) fn ended(&self, now: Tick) -> Option<End> {
        let (at, end) = self.end?;
        let all_read = self.flying.is_empty() && self.landed.is_empty();
        // A reset overtakes what was not read yet.
        let visible = at <= now && (all_read || end == End::Reset);
        visible.then_some(end)
    }

    /// Has the writer ended, whether its reader knows or not?
    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.landed.is_empty()
    }

    /// Moves at most `most` bytes into `buffer`.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>, most: usize) -> usize {
        let count = most.min(self.landed.len());
        buffer.extend(self.landed.drain(..count));
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        count
    }

    /// Moves what fits into `into`.
    pub(super) fn take_into(&mut self, into: &mut [u8]) -> usize {
        let mut taken = Vec::with_capacity(into.len());
        let count = self.take(&mut taken, into.len());
        into.iter_mut().zip(taken).for_each(|(place, byte)| *place = byte);
        count
    }

    pub(super) fn room(&self) -> usize {
        let flying: usize = self.flying.iter().map(|(_, bytes)| bytes.len()).sum();
        CAPACITY.saturating_sub(flying + self.landed.len())
    }

    /// May the writer still write?
    pub(super) fn is_open(&self) -> bool {
        self.end.is_none() || self.dead
    }

    /// Is writing pointless, because the reader will never see it?
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.end, Some((_, End::Reset)))
    }

    /// Sends bytes on their way; a fault may cut them short.
    pub(super) fn push(&mut self, world: &mut World, mut bytes: Vec<u8>) {
        if self.dead || bytes.is_empty() {
            return;
        }
        let Some((kind, left)) = self.fault else {
            return self.fly(world, bytes);
        };
        if bytes.len() < left {
            self.fault = Some((kind, left - bytes.len()));
            return self.fly(world, bytes);
        }
        self.fault = None;
        world.hit(kind);
        if kind == FaultKind::Drip {
            let rest = bytes.split_off(bytes.len().min(DRIP_BYTES));
            for byte in bytes {
                self.fly(world, vec![byte]);
                self.last_arrival.0 += 2_000_000;
            }
            return self.fly(world, rest);
        }
        bytes.truncate(left);
        self.fly(world, bytes);
        match kind {
            FaultKind::Reset => self.close(world, End::Reset),
            FaultKind::Close => self.close(world, End::Close),
            _ => {}
        }
        self.dead = true;
    }

    fn fly(&mut self, world: &mut World, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = world.now.after(world.latency()).max(self.last_arrival);
        self.last_arrival = at;
        self.flying.push_back((at, bytes));
        self.tell(world, at);
    }

    /// No more bytes will come.
    pub(super) fn close(&mut self, world: &mut World, end: End) {
        if self.dead || matches!(self.end, Some((_, known)) if known == End::Reset || known == end)
        {
            return;
        }
        let at = world.now.after(world.latency()).max(self.last_arrival);
        self.end = Some((at, end));
        self.tell(world, at);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// A read is pending: its task is woken when something comes.
    pub(super) fn wait(&mut self, world: &mut World, waker: &Waker) {
        let known = self.reader.as_ref().is_some_and(|known| known.will_wake(waker));
        if !known || self.told.is_some_and(|told| told <= world.now) {
            self.told = None;
        }
        if !known {
            self.reader = Some(waker.clone());
        }
        if let Some(at) = self.next_arrival() {
            self.tell(world, at);
        }
    }

    /// Wakes the reader at this time, unless it looks earlier anyhow.
    fn tell(&mut self, world: &mut World, at: Tick) {
        if let Some(reader) =
            self.reader.as_ref().filter(|_| self.told.is_none_or(|told| at < told))
        {
            world.wake_at(at, reader.clone());
            self.told = Some(at);
        }
    }

    /// When the reader should look again, if something is on its way.
    fn next_arrival(&self) -> Option<Tick> {
        let reset = self.end.filter(|(_, end)| *end == End::Reset).map(|(at, _)| at);
        let bytes = self.flying.front().map(|(at, _)| *at);
        let end = self.end.map(|(at, _)| at);
        reset.into_iter().chain(bytes).min().or(end)
    }
}
