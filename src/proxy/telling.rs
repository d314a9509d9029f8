//! Who writes the head of a stream before anything of its answer has come, and who may write
//! meanwhile.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::chat::Door;

/// What is known of an early head by all who may write to the client.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) door: Door,
    /// Bytes that went out, or are going out; none while nothing has.
    sent: Cell<Option<u64>>,
    /// A write has begun and has not ended: nobody else may write.
    writing: Cell<bool>,
    /// May silence be filled? Not where a vendor's bytes pass as they are.
    fills: Cell<bool>,
}

/// Writes the head when it is time for it, and what fills the silence after it.
pub(super) struct Teller<'s> {
    early: Rc<Early>,
    /// None once it has ended, or somebody else speaks.
    telling: RefCell<Option<Pin<Box<dyn Future<Output = ()> + 's>>>>,
}

/// Whose teller it is. One of two candidates that are asked at once has that of both.
pub(super) enum Telling<'s> {
    Own(Teller<'s>),
    Lent(&'s (dyn Tell + 's)),
}

/// What a teller does for whoever waits.
pub(super) trait Tell {
    fn early(&self) -> &Early;

    /// Goes on with it.
    fn poll(&self, context: &mut Context<'_>);

    /// It has nothing more to say.
    fn end(&self);
}

impl Early {
    /// Nothing has gone out.
    pub(super) const fn new(door: Door) -> Self {
        let (sent, writing, fills) = (Cell::new(None), Cell::new(false), Cell::new(false));
        Self { door, sent, writing, fills }
    }

    /// How much has gone out, if anything.
    pub(super) fn sent(&self) -> Option<u64> {
        self.sent.get()
    }

    /// A write of so many bytes begins.
    pub(super) fn begin(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent.set(Some(self.sent.get().unwrap_or(0).saturating_add(bytes)));
        self.writing.set(true);
    }

    /// It has ended.
    pub(super) fn written(&self) {
        self.writing.set(false);
    }

    /// May silence be filled?
    pub(super) fn fills(&self) -> bool {
        self.fills.get()
    }

    /// Says whether silence may be filled from now on.
    pub(super) fn fill(&self, fills: bool) {
        self.fills.set(fills);
    }
}

impl Tell for Teller<'_> {
    fn early(&self) -> &Early {
        &self.early
    }

    fn poll(&self, context: &mut Context<'_>) {
        let mut telling = self.telling.borrow_mut();
        if telling.as_mut().is_some_and(|telling| telling.as_mut().poll(context).is_ready()) {
            *telling = None;
        }
    }

    fn end(&self) {
        *self.telling.borrow_mut() = None;
    }
}

impl<'s> Telling<'s> {
    /// Goes on with `telling`, which notes in `early` what it does.
    pub(super) fn new(early: Rc<Early>, telling: impl Future<Output = ()> + 's) -> Self {
        Self::Own(Teller { early, telling: RefCell::new(Some(Box::pin(telling))) })
    }

    /// The teller.
    pub(super) fn teller(&self) -> &dyn Tell {
        match self {
            Self::Own(teller) => teller,
            Self::Lent(teller) => *teller,
        }
    }

    /// From now on somebody else speaks: waits for a write that has begun, and tells how much has
    /// gone out.
    pub(super) async fn stop(&self) -> Option<u64> {
        let teller = self.teller();
        std::future::poll_fn(|context| {
            if teller.early().writing.get() {
                teller.poll(context);
            }
            if teller.early().writing.get() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        teller.end();
        teller.early().sent()
    }
}
