//! The calls of one choice, put together from the pieces of a stream.

use crate::base::Rng;
use crate::chat::Event;
use crate::chat::turn::is_object;
use crate::wire::json::JsonText;

use super::call_id;
use super::error::{UpstreamError, UpstreamErrorKind};
use super::openai_message::{Arguments, Fragment};
use super::openai_numbers::{Label, Numbers};

/// One call.
#[derive(Debug, Default)]
struct Call {
    /// Its tool has been named, and it has been told.
    told: bool,
    /// Arguments that came before that.
    early: String,
    /// Some arguments have come.
    argued: bool,
}

/// The calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls {
    numbers: Numbers,
    /// By place.
    calls: Vec<Call>,
}

impl Calls {
    /// Takes a piece of a stream, or a `whole` call.
    pub(super) fn take(
        &mut self,
        (choice, whole): (u32, bool),
        fragment: Fragment<'_>,
        rng: &mut Rng,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let named = fragment.name.is_some();
        let label = Label { number: fragment.index, id: fragment.id, named };
        let Some((at, new)) = self.numbers.place(label) else {
            return Err(UpstreamError::new(UpstreamErrorKind::Invalid, "too many tool calls"));
        };
        if new {
            self.calls.push(Call::default());
        }
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let id = self.numbers.id(at);
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
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
            let id = if id.is_empty() {
                random = call_id::random(rng);
                random.text()
            } else {
                JsonText::spelt(id)
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

    /// The answer has ended: a call without arguments has none. Was there any call?
    pub(super) fn finish(
        &self,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<bool, UpstreamError> {
        for (at, call) in self.calls.iter().enumerate() {
            if !call.told {
                let what = "the upstream called a tool without its name";
                return Err(UpstreamError::new(UpstreamErrorKind::Invalid, what));
            }
            if !call.argued {
                let (call, piece) = (u32::try_from(at).unwrap_or(u32::MAX), JsonText::plain("{}"));
                sink(Event::Arguments { choice, call, piece });
            }
        }
        Ok(!self.numbers.is_empty())
    }
}
