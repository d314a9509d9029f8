//! What a client has been told of an answer, so that another upstream can go on with it.
//!
//! Nothing is guessed: an answer that takes over must begin with all that was sent, character for
//! character, and only what follows is passed on. Calls of tools are held back until they are
//! whole, so that one that breaks off was never begun.

use crate::wire::json::JsonText;

use super::event::Event;

/// Of an answer that is longer nothing is kept, and it cannot be continued.
const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// The other answer does not begin like the one that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differs;

/// Watches the answer to one client.
#[derive(Debug, Default)]
pub struct Continuity {
    told: Told,
    held: Vec<Held>,
    /// How far an answer that takes over has repeated what was told.
    replay: Option<Replay>,
}

/// What the client has.
#[derive(Debug, Default)]
struct Told {
    text: String,
    reasoning: String,
    calls: Vec<Called>,
    /// It has something that no other answer can repeat, such as a vendor's mark.
    sealed: bool,
}

/// A call that the client has.
#[derive(Debug, PartialEq, Eq)]
struct Called {
    name: String,
    arguments: String,
}

/// A call that is not whole yet, as the vendor spelt it.
#[derive(Debug)]
struct Held {
    choice: u32,
    call: u32,
    id: String,
    name: String,
    arguments: Option<String>,
    pieces: String,
    signature: Option<String>,
}

/// Places in what was told.
#[derive(Clone, Copy, Debug, Default)]
struct Replay {
    text: usize,
    reasoning: usize,
    calls: usize,
}

impl Continuity {
    /// Nothing has been told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Can another answer take over?
    pub const fn can_go_on(&self) -> bool {
        !self.told.sealed
    }

    /// The text that was told, when nothing else was.
    pub fn only_text(&self) -> Option<&str> {
        let Told { text, reasoning, calls, .. } = &self.told;
        (!text.is_empty() && reasoning.is_empty() && calls.is_empty()).then_some(text)
    }

    /// Another answer takes over. It was given the first `given` bytes of the text to go on with,
    /// and repeats the rest.
    pub fn take_over(&mut self, given: usize) {
        self.held.clear();
        self.replay = Some(Replay { text: given, ..Replay::default() });
    }

    /// Passes on what is news to the client.
    ///
    /// # Errors
    /// When the answer that took over is another one.
    pub fn on_event(
        &mut self,
        event: &Event<'_>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> Result<(), Differs> {
        if self.hold(event, sink)? {
            return Ok(());
        }
        self.release(sink)?;
        match event {
            Event::Start { .. } | Event::Open { .. } if self.replay.is_some() => {}
            Event::Text { choice, text } => {
                let rest = self.news(*text, |told, replay| (&told.text, &mut replay.text))?;
                if !rest.is_empty() {
                    self.caught_up()?;
                    self.told.push(|told| &mut told.text, rest);
                    sink(&Event::Text { choice: *choice, text: rest });
                }
            }
            Event::Reasoning { choice, text } => {
                let rest =
                    self.news(*text, |told, replay| (&told.reasoning, &mut replay.reasoning))?;
                if !rest.is_empty() {
                    self.caught_up()?;
                    self.told.push(|told| &mut told.reasoning, rest);
                    sink(&Event::Reasoning { choice: *choice, text: rest });
                }
            }
            Event::Finish { .. } => {
                self.caught_up()?;
                sink(event);
            }
            Event::Refusal { .. }
            | Event::Signature { .. }
            | Event::Thought { .. }
            | Event::Redacted { .. }
            | Event::Media { .. }
            | Event::Logprobs { .. } => {
                // While what was told is repeated, marks belong to that.
                if self.caught_up().is_ok() {
                    self.told.seal();
                    sink(event);
                }
            }
            _ => sink(event),
        }
        Ok(())
    }

    /// Keeps a piece of a call, if the event is one.
    fn hold(
        &mut self,
        event: &Event<'_>,
        sink: &mut impl FnMut(&Event<'_>),
    ) -> Result<bool, Differs> {
        match event {
            Event::Call { choice, call, id, name, arguments, signature } => {
                self.held.push(Held {
                    choice: *choice,
                    call: *call,
                    id: id.raw().to_owned(),
                    name: name.raw().to_owned(),
                    arguments: arguments.map(str::to_owned),
                    pieces: String::new(),
                    signature: signature.map(|mark| mark.raw().to_owned()),
                });
            }
            Event::Arguments { choice, call, piece } => {
                let held = self.held.iter_mut();
                let of = held.rev().find(|held| (held.choice, held.call) == (*choice, *call));
                match of {
                    Some(held) => held.pieces.push_str(piece.raw()),
                    // Its call was too long to be held.
                    None => sink(event),
                }
                self.bound(sink)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What of a piece the client has not been told.
    fn news<'e>(
        &mut self,
        piece: JsonText<'e>,
        of: impl for<'t> FnOnce(&'t Told, &'t mut Replay) -> (&'t String, &'t mut usize),
    ) -> Result<JsonText<'e>, Differs> {
        let Some(replay) = &mut self.replay else { return Ok(piece) };
        let (told, place) = of(&self.told, replay);
        let mut known = told.get(*place..).unwrap_or_default().chars();
        let mut rest = piece.raw();
        while let Some((character, length)) = first(rest) {
            match known.next() {
                None => break,
                Some(expected) if expected == character => {}
                Some(_) => return Err(Differs),
            }
            *place += character.len_utf8();
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(JsonText::spelt(rest))
    }

    /// Is all that was told repeated?
    fn caught_up(&mut self) -> Result<(), Differs> {
        let Some(replay) = self.replay else { return Ok(()) };
        let Told { text, reasoning, calls, .. } = &self.told;
        let behind = replay.text < text.len()
            || replay.reasoning < reasoning.len()
            || replay.calls < calls.len();
        if behind {
            return Err(Differs);
        }
        self.replay = None;
        Ok(())
    }

    /// Lets calls go that are too long to be held.
    fn bound(&mut self, sink: &mut impl FnMut(&Event<'_>)) -> Result<(), Differs> {
        let held: usize = self.held.iter().map(|held| held.pieces.len()).sum();
        if held > TOLD_BYTES_MAX {
            self.release(sink)?;
            self.told.seal();
        }
        Ok(())
    }

    /// The calls that are held are whole.
    fn release(&mut self, sink: &mut impl FnMut(&Event<'_>)) -> Result<(), Differs> {
        for held in std::mem::take(&mut self.held) {
            let called = held.called();
            if let Some(replay) = &mut self.replay
                && let Some(told) = self.told.calls.get(replay.calls)
            {
                if *told != called {
                    return Err(Differs);
                }
                replay.calls += 1;
                continue;
            }
            // A call that is news stands behind all that was told before it.
            self.caught_up()?;
            self.told.call(called);
            held.emit(sink);
        }
        Ok(())
    }
}

impl Told {
    fn push(&mut self, of: impl FnOnce(&mut Self) -> &mut String, text: JsonText<'_>) {
        if self.sealed {
            return;
        }
        of(self).push_str(&text.unescape());
        self.bound();
    }

    fn call(&mut self, called: Called) {
        if !self.sealed {
            self.calls.push(called);
            self.bound();
        }
    }

    /// Gives up what is too long to be kept.
    fn bound(&mut self) {
        let calls = self.calls.iter().map(|call| call.name.len() + call.arguments.len());
        let kept = self.text.len() + self.reasoning.len() + calls.sum::<usize>();
        if kept > TOLD_BYTES_MAX {
            self.seal();
        }
    }

    fn seal(&mut self) {
        *self = Self { sealed: true, ..Self::default() };
    }
}

impl Held {
    fn called(&self) -> Called {
        let pieces = JsonText::spelt(&self.pieces).unescape();
        Called {
            name: JsonText::spelt(&self.name).unescape().into_owned(),
            arguments: self.arguments.clone().unwrap_or_default() + &pieces,
        }
    }

    fn emit(&self, sink: &mut impl FnMut(&Event<'_>)) {
        let Self { choice, call, .. } = *self;
        sink(&Event::Call {
            choice,
            call,
            id: JsonText::spelt(&self.id),
            name: JsonText::spelt(&self.name),
            arguments: self.arguments.as_deref(),
            signature: self.signature.as_deref().map(JsonText::spelt),
        });
        if !self.pieces.is_empty() {
            sink(&Event::Arguments { choice, call, piece: JsonText::spelt(&self.pieces) });
        }
    }
}

/// The first character that a spelling means, and how long its own spelling is.
fn first(raw: &str) -> Option<(char, usize)> {
    let plain = raw.chars().next()?;
    if plain != '\\' {
        return Some((plain, plain.len_utf8()));
    }
    let meant = |length| Some(JsonText::spelt(raw.get(..length)?).unescape());
    // Two escapes that mean one character are a pair of surrogates.
    let pair = meant(12).filter(|text| raw.starts_with("\\u") && text.chars().count() == 1);
    let length = match (pair, raw.as_bytes().get(1)) {
        (Some(_), _) => 12,
        (None, Some(b'u')) => 6,
        (None, _) => 2,
    };
    Some((meant(length)?.chars().next()?, length))
}

#[cfg(test)]
mod tests {
    use super::super::event::FinishReason;
    use super::*;

    /// What the client gets of these events, one word for each.
    fn play(continuity: &mut Continuity, events: &[Event<'_>]) -> Result<Vec<String>, Differs> {
        let mut got = Vec::new();
        for event in events {
            continuity.on_event(event, &mut |event| {
                got.push(match event {
                    Event::Text { text, .. } => format!("t:{}", text.raw()),
                    Event::Reasoning { text, .. } => format!("r:{}", text.raw()),
                    Event::Call { name, arguments, .. } => {
                        format!("c:{}{}", name.raw(), arguments.unwrap_or_default())
                    }
                    Event::Arguments { piece, .. } => format!("a:{}", piece.raw()),
                    Event::Finish { .. } => "f".to_owned(),
                    Event::Start { .. } => "s".to_owned(),
                    _ => "o".to_owned(),
                });
            })?;
        }
        Ok(got)
    }

    fn text(text: &str) -> Event<'_> {
        Event::Text { choice: 0, text: JsonText::spelt(text) }
    }

    fn reasoning(text: &str) -> Event<'_> {
        Event::Reasoning { choice: 0, text: JsonText::spelt(text) }
    }

    fn call<'e>(call: u32, name: &'e str) -> Event<'e> {
        let (id, name) = (JsonText::plain("id"), JsonText::spelt(name));
        Event::Call { choice: 0, call, id, name, arguments: None, signature: None }
    }

    fn arguments(call: u32, piece: &str) -> Event<'_> {
        Event::Arguments { choice: 0, call, piece: JsonText::spelt(piece) }
    }

    const START: Event<'_> = Event::Start { id: None, bare: false, model: None, created: None };
    const FINISH: Event<'_> =
        Event::Finish { choice: 0, reason: FinishReason::Stop, sequence: None };

    #[test]
    fn an_answer_goes_on_where_the_other_broke_off_whatever_the_pieces_and_the_spelling() {
        let pieces =
            ["G", "r", "\\u00fc", "ß", "e", " ", "\\ud83d\\ude00", " ", "\\\"", "x", "\\n"];
        let other = "Grü\\u00dfe 😀 \\u0022x\\u000a";
        let whole = JsonText::spelt(other).unescape();
        for cut in 0..=pieces.len() {
            let mut continuity = Continuity::new();
            let before: Vec<Event<'_>> = pieces[..cut].iter().map(|part| text(part)).collect();
            let mut got = play(&mut continuity, &before).unwrap();
            continuity.take_over(0);
            got.extend(play(&mut continuity, &[START, text(other), FINISH]).unwrap());
            assert_eq!(got.pop().as_deref(), Some("f"));
            let got = got.concat().replace("t:", "");
            assert_eq!(JsonText::spelt(&got).unescape(), whole, "{cut}");
        }
    }

    #[test]
    fn another_answer_is_not_passed_on() {
        for (first, second) in [
            (vec![text("one two")], vec![text("one"), text(" three")]),
            (vec![text("one two")], vec![text("one"), FINISH]),
            (vec![text("one two")], vec![text("one"), call(0, "f"), FINISH]),
            (vec![reasoning("hm")], vec![text("one"), FINISH]),
            (vec![reasoning("hm")], vec![reasoning("ha")]),
        ] {
            let mut continuity = Continuity::new();
            play(&mut continuity, &first).unwrap();
            continuity.take_over(0);
            assert_eq!(play(&mut continuity, &second), Err(Differs), "{first:?} {second:?}");
        }
    }

    #[test]
    fn calls_are_held_until_they_are_whole() {
        let mut continuity = Continuity::new();
        let begun = [text("a"), call(0, "f"), arguments(0, "{\\\"x\\\""), call(1, "g")];
        assert_eq!(play(&mut continuity, &begun).unwrap(), ["t:a"]);
        // It breaks off here: the client has the text alone.
        continuity.take_over(0);
        let again = [
            START,
            text("a"),
            call(0, "h"),
            call(1, "g"),
            arguments(0, "{"),
            arguments(1, "1"),
            arguments(0, "}"),
            FINISH,
        ];
        assert_eq!(play(&mut continuity, &again).unwrap(), ["c:h", "a:{}", "c:g", "a:1", "f"]);
        assert!(continuity.only_text().is_none());
    }

    #[test]
    fn a_call_that_was_told_is_told_once() {
        let whole = [call(0, "f"), arguments(0, "{}"), text("then")];
        let mut continuity = Continuity::new();
        assert_eq!(play(&mut continuity, &whole).unwrap(), ["c:f", "a:{}", "t:then"]);
        continuity.take_over(0);
        let rest = [call(0, "f"), arguments(0, "{}"), text("then more"), FINISH];
        assert_eq!(play(&mut continuity, &rest).unwrap(), ["t: more", "f"]);
        let mut continuity = Continuity::new();
        play(&mut continuity, &whole).unwrap();
        continuity.take_over(0);
        let other = [call(0, "f"), arguments(0, "[]"), text("then")];
        assert_eq!(play(&mut continuity, &other), Err(Differs));
    }

    #[test]
    fn what_was_given_need_not_be_repeated_but_what_follows_it_must_be() {
        let mut continuity = Continuity::new();
        play(&mut continuity, &[text("one two ")]).unwrap();
        assert_eq!(continuity.only_text(), Some("one two "));
        continuity.take_over("one two".len());
        assert_eq!(play(&mut continuity, &[START, text(" three")]).unwrap(), ["t:three"]);
        // It may break off again.
        continuity.take_over("one two".len());
        assert_eq!(play(&mut continuity, &[text("three")]), Err(Differs));
    }

    #[test]
    fn marks_of_a_vendor_and_long_answers_cannot_be_continued() {
        let mut continuity = Continuity::new();
        assert!(continuity.can_go_on());
        let mark = Event::Signature { choice: 0, data: JsonText::plain("m") };
        assert_eq!(play(&mut continuity, &[text("a"), mark]).unwrap(), ["t:a", "o"]);
        assert!(!continuity.can_go_on());
        let mut continuity = Continuity::new();
        let long = "x".repeat(1024);
        for _ in 0..=1024 {
            assert_eq!(play(&mut continuity, &[text(&long)]).unwrap().len(), 1);
        }
        assert!(!continuity.can_go_on() && continuity.told.text.capacity() == 0);
    }
}
