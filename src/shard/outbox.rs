//! What this gateway has learnt and others may want, on its way off the core.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// So many wait at most; what comes then is only known here.
const WAITING_MAX: usize = 256;

/// Where things wait, if anybody takes them.
#[derive(Clone, Debug)]
pub struct Outbox<T>(Option<SyncSender<T>>);

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Outbox<T> {
    /// An outbox, and where its things are taken from.
    pub fn open() -> (Self, Receiver<T>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self(Some(sender)), receiver)
    }

    /// Puts what `make` makes into it, if there is room. Never waits.
    pub(super) fn put(&self, make: impl FnOnce() -> T) {
        if let Some(sender) = &self.0 {
            // Who does not hear of it asks its own upstream.
            let _full = sender.try_send(make());
        }
    }
}
