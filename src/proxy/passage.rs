//! Bytes that pass as they came, as a [`Pipe`].

use crate::chat::{ApiError, Dialect, Event};
use crate::provider::{ExactStream, UpstreamError};
use crate::rt::Runtime;

use super::exchange::Exchange;
use super::pipe::Pipe;
use super::remains::{Passed, Remains};

/// A stream that passes as it came.
pub(super) struct Passage(Box<Passed>);

impl Passage {
    /// Nothing has come yet.
    pub(super) fn new(stream: ExactStream, dialect: Dialect, content_type: &'static str) -> Self {
        Self(Box::new(Passed { stream, dialect, content_type, finished: false }))
    }
}

impl<R: Runtime> Pipe<R> for Passage {
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        let Passed { stream, finished, .. } = &mut *self.0;
        let fed = stream.feed(bytes, out, &mut |event| {
            *finished |= matches!(event, Event::Finish { .. });
            exchange.on_event(&event);
        });
        exchange.account.relayed(stream.take_untold());
        fed
    }

    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        self.0.stream.finish(out, &mut |event| exchange.on_event(&event))
    }

    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        self.0.stream.error(error, self.0.dialect, id, out);
    }

    fn has_started(&self) -> bool {
        self.0.stream.has_started()
    }

    fn has_spoken(&self) -> bool {
        self.0.stream.has_spoken()
    }

    fn has_ended(&self) -> bool {
        self.0.stream.has_ended()
    }

    fn ping(&self) -> &'static [u8] {
        b""
    }

    fn content_type(&self) -> &'static str {
        self.0.content_type
    }

    fn can_go_on(&self) -> bool {
        self.0.stream.kept().is_some()
    }

    fn is_whole(&self) -> bool {
        self.0.finished
    }

    fn remains(self) -> Remains {
        Remains::Exact(self.0)
    }
}
