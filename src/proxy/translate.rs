//! Translation as a [`Pipe`]: vendor bytes to chat events to the client's events.

use crate::chat::ApiError;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Expected, UpstreamError};
use crate::rt::Runtime;

use super::exchange::Exchange;
use super::pipe::Pipe;
use super::remains::{Remains, Tale, Translated};

/// One translated stream.
pub(super) struct Translation(Box<Translated>);

impl Translation {
    /// Nothing has come yet.
    pub(super) fn new(expected: Expected, limits: AnswerLimits, tale: Tale) -> Self {
        Self(Box::new(Translated { decoder: Decoder::new(expected, limits), tale }))
    }
}

impl<R: Runtime> Pipe<R> for Translation {
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        let Translated { decoder, tale } = &mut *self.0;
        decoder.feed(bytes, &mut |event| {
            exchange.on_event(&event);
            tale.on_event(&event, out);
        })?;
        tale.check()
    }

    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        self.0.finish(&mut |event| exchange.on_event(event), out)
    }

    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        self.0.tale.error(error, id, out);
    }

    fn has_started(&self) -> bool {
        self.0.tale.writer.has_started()
    }

    fn has_spoken(&self) -> bool {
        self.0.tale.spoken
    }

    /// The client's end is written when the vendor's body has ended, and not before.
    fn has_ended(&self) -> bool {
        false
    }

    fn ping(&self) -> &'static [u8] {
        self.0.tale.writer.ping()
    }

    fn content_type(&self) -> &'static str {
        self.0.tale.writer.content_type()
    }

    fn can_go_on(&self) -> bool {
        self.0.tale.can_go_on()
    }

    fn is_whole(&self) -> bool {
        self.0.decoder.is_whole()
    }

    fn remains(self) -> Remains {
        Remains::Translated(self.0)
    }
}
