//! Calls one behind the other, for APIs whose answers have one block or item open at a time.
//!
//! Some upstreams give the arguments of two calls by turns. What is open is ended when the next one
//! begins, so a call that begins too early waits here until the one before it is complete.

use crate::wire::json::JsonText;

use super::event::Event;

/// So many bytes may wait; an answer that lets more wait gets its calls as they come.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Holds calls back; everything else passes.
#[derive(Debug, Default)]
pub(super) struct Serial {
    /// The call whose arguments come now.
    open: Option<(u32, Progress)>,
    /// Those behind it, in their order.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    call: u32,
    id: String,
    name: String,
    signature: Option<String>,
    /// All arguments, if they came at once.
    whole: Option<String>,
    /// Else those so far, as the inside of a JSON string.
    pieces: String,
}

impl Serial {
    /// Calls `next` with what may go on now.
    pub(super) fn on_event(&mut self, event: &Event<'_>, next: &mut dyn FnMut(&Event<'_>)) {
        match *event {
            Event::Call { choice: 0, call, id, name, arguments, signature } => {
                if self.open.as_ref().is_some_and(|(_, progress)| !progress.is_done()) {
                    let owned = |text: JsonText<'_>| text.raw().to_owned();
                    self.held.push(Held {
                        call,
                        id: owned(id),
                        name: owned(name),
                        signature: signature.map(owned),
                        whole: arguments.map(str::to_owned),
                        pieces: String::new(),
                    });
                    self.bound(next);
                } else {
                    self.open = arguments.is_none().then(|| (call, Progress::default()));
                    next(event);
                }
            }
            Event::Arguments { choice: 0, call, piece } => self.arguments(call, piece, event, next),
            Event::Finish { choice: 0, .. } => {
                self.release(true, next);
                next(event);
            }
            _ => next(event),
        }
    }

    fn arguments(
        &mut self,
        call: u32,
        piece: JsonText<'_>,
        event: &Event<'_>,
        next: &mut dyn FnMut(&Event<'_>),
    ) {
        if let Some(held) = self.held.iter_mut().find(|held| held.call == call) {
            held.pieces.push_str(piece.raw());
            self.bound(next);
            return;
        }
        if let Some((open, progress)) = &mut self.open
            && *open == call
        {
            progress.take(piece.raw());
        }
        next(event);
        self.release(false, next);
    }

    fn bound(&mut self, next: &mut dyn FnMut(&Event<'_>)) {
        let bytes = |held: &Held| {
            let whole = held.whole.as_ref().map_or(0, String::len);
            held.id.len() + held.name.len() + held.pieces.len() + whole + size_of::<Held>()
        };
        if self.held.iter().map(bytes).sum::<usize>() > HELD_BYTES_MAX {
            self.release(true, next);
        }
    }

    /// Lets calls go that nothing stands before; all of them where nothing more is waited for.
    fn release(&mut self, all: bool, next: &mut dyn FnMut(&Event<'_>)) {
        while !self.held.is_empty() {
            if !all && self.open.as_ref().is_some_and(|(_, progress)| !progress.is_done()) {
                return;
            }
            let Held { call, id, name, signature, whole, pieces } = self.held.remove(0);
            next(&Event::Call {
                choice: 0,
                call,
                id: JsonText::spelt(&id),
                name: JsonText::spelt(&name),
                arguments: whole.as_deref(),
                signature: signature.as_deref().map(JsonText::spelt),
            });
            let mut progress = Progress::default();
            progress.take(&pieces);
            self.open = whole.is_none().then_some((call, progress));
            if !pieces.is_empty() {
                let piece = JsonText::spelt(&pieces);
                next(&Event::Arguments { choice: 0, call, piece });
            }
        }
    }
}

/// How far a JSON object has come, of which the pieces are insides of JSON strings.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact")]
struct Progress {
    /// Brackets that are open.
    depth: u32,
    begun: bool,
    in_text: bool,
    /// The next character of the text is escaped.
    escaped: bool,
}

impl Progress {
    fn is_done(&self) -> bool {
        self.begun && self.depth == 0
    }

    fn take(&mut self, piece: &str) {
        let mut bytes = piece.bytes();
        while let Some(byte) = bytes.next() {
            let meant = match byte {
                b'\\' => match bytes.next() {
                    Some(b'u') => unicode(&mut bytes),
                    Some(other @ (b'"' | b'\\')) => other,
                    _ => b' ',
                },
                other => other,
            };
            self.see(meant);
        }
    }

    fn see(&mut self, byte: u8) {
        if self.in_text {
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => {
                self.begun = true;
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// What four digits stand for; any letter does for what is not ASCII.
fn unicode(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    let digits = bytes.take(4).map(|digit| char::from(digit).to_digit(16));
    let number = digits.fold(0, |number, digit| number * 16 + digit.unwrap_or(0));
    u8::try_from(number).ok().filter(u8::is_ascii).unwrap_or(b'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(call: u32, arguments: Option<&'static str>) -> Event<'static> {
        let id = JsonText::plain(["a", "b", "c"][usize::try_from(call).unwrap()]);
        Event::Call { choice: 0, call, id, name: JsonText::plain("f"), arguments, signature: None }
    }

    fn piece(call: u32, piece: &'static str) -> Event<'static> {
        Event::Arguments { choice: 0, call, piece: JsonText::spelt(piece) }
    }

    fn end() -> Event<'static> {
        let reason = super::super::event::FinishReason::ToolCalls;
        Event::Finish { choice: 0, reason, sequence: None }
    }

    /// Begins as `+call`, arguments as they are spelt, the end as `.`.
    fn order(events: &[Event<'_>]) -> Vec<String> {
        let (mut serial, mut heard) = (Serial::default(), Vec::new());
        for event in events {
            serial.on_event(event, &mut |event| {
                heard.push(match event {
                    Event::Call { call, arguments, .. } => {
                        format!("+{call}{}", arguments.unwrap_or_default())
                    }
                    Event::Arguments { call, piece, .. } => format!("{call}:{}", piece.raw()),
                    _ => ".".to_owned(),
                });
            });
        }
        heard
    }

    #[test]
    fn calls_that_come_in_their_order_pass() {
        let events = [
            call(0, None),
            piece(0, r#"{\"a\":[\"}\\\"\","#),
            piece(0, r#"\"\u0022]}"#),
            call(1, None),
            piece(1, "{}"),
            call(2, Some("{}")),
            end(),
        ];
        let expected =
            ["+0", r#"0:{\"a\":[\"}\\\"\","#, r#"0:\"\u0022]}"#, "+1", "1:{}", "+2{}", "."];
        assert_eq!(order(&events), expected);
    }

    #[test]
    fn what_begins_too_early_waits() {
        let events = [
            call(0, None),
            piece(0, r#"{\"a\""#),
            call(1, None),
            piece(1, r#"{\"b\""#),
            call(2, Some("{}")),
            piece(0, ":1}"),
            piece(1, ":2}"),
            end(),
        ];
        let expected = ["+0", r#"0:{\"a\""#, "0::1}", "+1", r#"1:{\"b\""#, "1::2}", "+2{}", "."];
        assert_eq!(order(&events), expected);
        // One that never gets arguments is no reason to lose the others.
        let silent = [call(0, None), call(1, None), piece(1, "{}"), end()];
        assert_eq!(order(&silent), ["+0", "+1", "1:{}", "."]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let long: &'static str = "x".repeat(HELD_BYTES_MAX).leak();
        let events = [call(0, None), call(1, None), piece(1, long), piece(1, "y")];
        assert_eq!(order(&events).len(), 4);
    }
}
