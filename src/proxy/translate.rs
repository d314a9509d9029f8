//! Translation as a [`Pipe`]: vendor bytes to chat events to the client's events.

use crate::chat::{ApiError, StreamWriter};
use crate::provider::Expected;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, UpstreamError, UpstreamErrorKind};
use crate::rt::{Mutant, Runtime};

use super::exchange::Exchange;
use super::stream::Pipe;

/// The state of one translated stream.
pub(super) struct Translation {
    decoder: Decoder,
    writer: StreamWriter,
}

impl Translation {
    /// Nothing has come yet.
    pub(super) fn new(expected: Expected, limits: AnswerLimits, writer: StreamWriter) -> Self {
        Self { decoder: Decoder::new(expected, limits), writer }
    }
}

impl<R: Runtime> Pipe<R> for Translation {
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        let Self { decoder, writer } = self;
        decoder.feed(bytes, &mut |event| {
            exchange.on_event(&event);
            writer.on_event(&event, out);
        })
    }

    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        let Self { decoder, writer } = self;
        let finished = decoder.finish(&mut |event| {
            exchange.on_event(&event);
            writer.on_event(&event, out);
        });
        match finished {
            Err(error)
                if error.kind == UpstreamErrorKind::Truncated
                    && Mutant::TruncationHidden.active() => {}
            other => other?,
        }
        writer.end(out);
        Ok(())
    }

    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        self.writer.error(error, id, out);
    }

    fn has_started(&self) -> bool {
        self.writer.has_started()
    }

    /// The client's end is written when the vendor's body has ended, and not before.
    fn has_ended(&self) -> bool {
        false
    }

    fn ping(&self) -> &'static [u8] {
        self.writer.ping()
    }

    fn content_type(&self) -> &'static str {
        self.writer.content_type()
    }
}
