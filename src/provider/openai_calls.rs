//! The calls of one choice, put together from the pieces of a stream.
//!
//! OpenAI numbers the calls from 0 and names each in its first piece. Compatible services number
//! from 1, by content block or not at all, begin again in every chunk, or send no id.

use crate::base::Rng;
use crate::chat::Event;
use crate::chat::turn::is_object;
use crate::wire::json::JsonText;

use super::call_id;
use super::error::{UpstreamError, UpstreamErrorKind};
use super::openai_message::{Arguments, Fragment};

/// No vendor calls more tools in one answer.
const CALLS_MAX: usize = 4096;

/// One call.
#[derive(Debug, Default)]
struct Call {
    /// The vendor's number.
    number: Option<u64>,
    /// The vendor's id; empty while there is none.
    id: String,
    /// Its tool has been named, and it has been told.
    told: bool,
    /// Arguments that came before that.
    early: String,
    /// Some arguments have come.
    argued: bool,
}

/// The calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

impl Calls {
    /// Takes a piece of a stream, or a `whole` call.
    pub(super) fn take(
        &mut self,
        (choice, whole): (u32, bool),
        fragment: Fragment<'_>,
        rng: &mut Rng,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let at = self.place(&fragment);
        if at >= CALLS_MAX {
            return Err(UpstreamError::new(UpstreamErrorKind::Invalid, "too many tool calls"));
        }
        if at == self.0.len() {
            self.0.push(Call { number: fragment.index, ..Call::default() });
        }
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let Some(call) = self.0.get_mut(at) else { return Ok(()) };
        if let (true, Some(id)) = (call.id.is_empty(), fragment.id) {
            id.raw().clone_into(&mut call.id);
        }
        let text = match fragment.arguments {
            Some(Arguments::Text(text)) if whole => Some(text.unescape()),
            _ => None,
        };
        let complete = match (fragment.arguments, text.as_deref().map(str::trim)) {
            (Some(Arguments::Object(object)), _) => Some(object),
            (_, Some("")) => Some("{}"),
            (_, Some(text)) if is_object(text) => Some(text),
            _ => None,
        };
        if let (false, Some(name)) = (call.told, fragment.name) {
            call.told = true;
            call.argued = complete.is_some();
            let random;
            let id = if call.id.is_empty() {
                random = call_id::random(rng);
                random.text()
            } else {
                JsonText::spelt(&call.id)
            };
            let (signature, arguments) = (fragment.signature, complete);
            sink(Event::Call { choice, call: number, id, name, arguments, signature });
            if !call.early.is_empty() {
                call.argued = true;
                let piece = JsonText::spelt(&call.early);
                sink(Event::Arguments { choice, call: number, piece });
            }
        }
        match fragment.arguments {
            Some(Arguments::Text(piece)) if complete.is_none() && !piece.is_empty() => {
                if call.told {
                    call.argued = true;
                    sink(Event::Arguments { choice, call: number, piece });
                } else {
                    call.early.push_str(piece.raw());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Which call a piece belongs to; behind the last one for a new call.
    fn place(&self, fragment: &Fragment<'_>) -> usize {
        let new = self.0.len();
        let same_id =
            |call: &Call| fragment.id.is_none_or(|id| call.id.is_empty() || call.id == id.raw());
        match fragment.index {
            // One number with another id and a name is another call.
            Some(number) => {
                let known = self.0.iter().rposition(|call| call.number == Some(number));
                let known = known
                    .filter(|at| fragment.name.is_none() || self.0.get(*at).is_some_and(same_id));
                known.unwrap_or(new)
            }
            None if fragment.name.is_some() => new,
            None => match fragment.id {
                Some(id) => self.0.iter().position(|call| call.id == id.raw()).unwrap_or(new),
                None => new.saturating_sub(1),
            },
        }
    }

    /// The answer has ended: a call without arguments has none. Was there any call?
    pub(super) fn finish(
        &self,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<bool, UpstreamError> {
        for (at, call) in self.0.iter().enumerate() {
            if !call.told {
                let what = "the upstream called a tool without its name";
                return Err(UpstreamError::new(UpstreamErrorKind::Invalid, what));
            }
            if !call.argued {
                let (call, piece) = (u32::try_from(at).unwrap_or(u32::MAX), JsonText::plain("{}"));
                sink(Event::Arguments { choice, call, piece });
            }
        }
        Ok(!self.0.is_empty())
    }
}
