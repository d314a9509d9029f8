//! What becomes of the bytes between a vendor's stream and a client's.

use crate::chat::ApiError;
use crate::provider::UpstreamError;
use crate::rt::Runtime;

use super::exchange::Exchange;
use super::remains::Remains;

/// What makes a client's stream of a vendor's.
pub(super) trait Pipe<R: Runtime> {
    /// Takes body bytes and appends what the client gets.
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError>;

    /// The body has ended: appends the rest when the answer is whole.
    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError>;

    /// Appends an error as the last event. `id` is the request's.
    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>);

    /// Has the vendor said anything that settles the status?
    fn has_started(&self) -> bool;

    /// Has it said anything of the answer, not only opened it?
    fn has_spoken(&self) -> bool;

    /// Has the client got the end of its answer? What breaks after that harms nobody.
    fn has_ended(&self) -> bool;

    /// What keeps a silent stream alive without saying anything; empty where the bytes are not
    /// ours.
    fn ping(&self) -> &'static [u8];

    /// The content type of the client's stream.
    fn content_type(&self) -> &'static str;

    /// Can another answer take over from this one?
    fn can_go_on(&self) -> bool;

    /// Has all come but the mark of the end?
    fn is_whole(&self) -> bool;

    /// What another answer takes over.
    fn remains(self) -> Remains;
}
