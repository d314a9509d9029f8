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
    /// Its number among those that have been told; it has been when its tool was named.
    told: Option<u32>,
    /// Arguments that came before that.
    early: String,
    /// Some arguments have come.
    argued: bool,
    /// They have come as an object, so nothing can be added to them.
    whole: bool,
}

/// The calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls {
    numbers: Numbers,
    /// By place.
    calls: Vec<Call>,
    /// How many have been told.
    told: u32,
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
            return Err(invalid("too many tool calls"));
        };
        if new {
            self.calls.push(Call::default());
        }
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
        let more = !call.early.is_empty() || call.told.is_some() && is_text(fragment.arguments);
        let whole = call.whole || complete.is_some();
        if whole && (more || call.told.is_none() && fragment.name.is_none()) {
            return Err(invalid(
                "the upstream called a tool with arguments in parts that do not fit",
            ));
        }
        call.whole = whole;
        if let (None, Some(name)) = (call.told, fragment.name) {
            let number = self.told;
            call.told = Some(number);
            self.told += 1;
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
                if let Some(number) = call.told {
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
        for call in &self.calls {
            let Some(number) = call.told else {
                return Err(invalid("the upstream called a tool without its name"));
            };
            if !call.argued {
                let piece = JsonText::plain("{}");
                sink(Event::Arguments { choice, call: number, piece });
            }
        }
        Ok(!self.numbers.is_empty())
    }
}

/// Is there a piece of a text?
fn is_text(arguments: Option<Arguments<'_>>) -> bool {
    matches!(arguments, Some(Arguments::Text(piece)) if !piece.is_empty())
}

fn invalid(what: &'static str) -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Invalid, what)
}

#[cfg(test)]
mod tests {
    use super::super::openai_message::Message;
    use super::*;
    use crate::wire::json::Reader;

    /// What comes of these pieces of `tool_calls`.
    fn told(pieces: &[&str]) -> Result<Vec<String>, UpstreamErrorKind> {
        let (mut calls, mut rng, mut told) = (Calls::default(), Rng::new(1), Vec::new());
        let mut sink = |event: Event<'_>| {
            told.push(match event {
                Event::Call { call, name, arguments, .. } => {
                    format!("{call} {} {}", name.raw(), arguments.unwrap_or_default())
                }
                Event::Arguments { call, piece, .. } => format!("{call}+{}", piece.raw()),
                other => format!("{other:?}"),
            });
        };
        let mut feed = || {
            for piece in pieces {
                let delta = format!(r#"{{"tool_calls":[{piece}]}}"#);
                let mut message = Message::default();
                message.read(&mut Reader::new(&delta))?;
                message.each_call(|call| calls.take((0, false), call, &mut rng, &mut sink))?;
            }
            calls.finish(0, &mut sink)
        };
        feed().map(|_| told).map_err(|error| error.kind)
    }

    #[test]
    fn calls_are_counted_as_they_are_told() {
        // The first one is named when the second one has been.
        let pieces = [
            r#"{"index":0,"id":"a","function":{"arguments":"{"}}"#,
            r#"{"index":1,"id":"b","function":{"name":"g"}}"#,
            r#"{"index":0,"function":{"name":"f","arguments":"}"}}"#,
        ];
        assert_eq!(told(&pieces).unwrap(), ["0 g ", "1 f ", "1+{", "1+}", "0+{}"]);
        assert_eq!(told(&pieces[..1]), Err(UpstreamErrorKind::Invalid));
    }

    #[test]
    fn nothing_is_added_to_whole_arguments() {
        let object = r#"{"index":0,"function":{"name":"f","arguments":{"a":1}}}"#;
        let text = r#"{"index":0,"function":{"arguments":"{}"}}"#;
        let nothing = r#"{"index":0,"function":{"arguments":""}}"#;
        let bare = r#"{"index":0,"function":{"arguments":{"a":1}}}"#;
        assert_eq!(told(&[object, nothing, object]).unwrap(), [r#"0 f {"a":1}"#]);
        for broken in [[object, text], [text, object], [bare, object]] {
            assert_eq!(told(&broken), Err(UpstreamErrorKind::Invalid), "{broken:?}");
        }
    }
}
