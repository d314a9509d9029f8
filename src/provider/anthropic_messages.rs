//! The conversation in Anthropic's wire format: `system` and `messages`
//! (<https://docs.claude.com/en/api/messages>).

use std::ops::Range;

use crate::chat::history::{self, Place, Step};
use crate::chat::options::ResponseFormat;
use crate::chat::part::Piece;
use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Content, Request, Role, Turn};
use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};

use super::anthropic_blocks::Blocks;
use super::anthropic_ids::CallIds;
use super::anthropic_media;
use super::dropped::Dropped;
use super::put::{name, quoted};

/// Anthropic has no mode for any JSON object; a forced tool would change the reason why an answer
/// ends, and would stand in the way of the client's own tools.
const ONLY_JSON: &str = "Answer with one JSON object and nothing else.";

/// Appends `system`: one block for each text, wherever it was said.
pub(super) fn system(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    const OPEN: &[u8] = b",\"system\":[";
    let start = out.len();
    out.extend_from_slice(OPEN);
    let mut blocks = Blocks::new(out);
    for turn in request.turns.iter().filter(|turn| turn.role == Role::System) {
        if let Some(medium) = turn.content.media().next() {
            let why = Problem::Unsupported("a system message can only hold text");
            return Err(ChatError::at(medium.at.to_string(), why));
        }
        blocks.begin_turn();
        for piece in turn.content.pieces() {
            if let Piece::Text(text, cache) = piece
                && !text.is_empty()
            {
                blocks.text(text, cache);
            }
        }
        blocks.mark(turn.cache);
    }
    if request.options.response_format == ResponseFormat::JsonObject {
        blocks.text(JsonText::plain(ONLY_JSON), None);
    }
    if blocks.is_empty() {
        out.truncate(start);
    } else {
        out.push(b']');
    }
    Ok(())
}

/// Appends `messages`, which alternate between user and assistant.
pub(super) fn messages(
    turns: &[Turn<'_>],
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'_>,
) -> Result<(), ChatError> {
    out.extend_from_slice(b",\"messages\":[");
    let steps = history::steps(turns)?;
    let blocks = Blocks::new(out);
    let mut messages = Messages { blocks, open: None, ids: CallIds::default(), unsigned: false };
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::User(run) => messages.user(turns, run)?,
            Step::Model(run) => messages.model(turns, run, index + 1 == steps.len())?,
            Step::Results(pairs) => messages.results(turns, pairs)?,
        }
    }
    if messages.unsigned {
        dropped.push("messages[].thinking_blocks[]".into());
    }
    if messages.open.is_none() {
        let what =
            Problem::Expected("a conversation in which a user or an assistant says something");
        return Err(ChatError::at("messages", what));
    }
    out.extend_from_slice(b"]}]");
    Ok(())
}

struct Messages<'o, 't> {
    blocks: Blocks<'o>,
    /// Whose message is open.
    open: Option<Role>,
    ids: CallIds<'t>,
    /// A block of reasoning had no signature.
    unsigned: bool,
}

impl<'t> Messages<'_, 't> {
    /// Sees to it that a message of `role` is open; neighbours of one role are one message.
    fn open(&mut self, role: Role) {
        if self.open == Some(role) {
            return;
        }
        let out = &mut *self.blocks.out;
        out.extend_from_slice(if self.open.is_some() { b"]}," } else { b"" });
        out.extend_from_slice(b"{\"role\":");
        json::push_string(out, if role == Role::User { "user" } else { "assistant" });
        out.extend_from_slice(b",\"content\":[");
        self.blocks.begin_message();
        self.open = Some(role);
    }

    fn user(&mut self, turns: &'t [Turn<'_>], run: &Range<usize>) -> Result<(), ChatError> {
        for (_, turn) in of_role(turns, run, Role::User) {
            self.blocks.begin_turn();
            self.pieces(turn)?;
            self.blocks.mark(turn.cache);
        }
        Ok(())
    }

    /// What a user says. Anthropic refuses empty texts.
    fn pieces(&mut self, turn: &Turn<'_>) -> Result<(), ChatError> {
        for piece in turn.content.pieces() {
            match piece {
                Piece::Text(text, _) if text.is_empty() => {}
                Piece::Text(text, cache) => {
                    self.open(Role::User);
                    self.blocks.text(text, cache);
                }
                Piece::Media(medium) => {
                    self.open(Role::User);
                    anthropic_media::push(medium, &mut self.blocks)?;
                }
            }
        }
        Ok(())
    }

    /// Reasoning, text, calls, in this order also when several turns are one message: text behind
    /// a call is refused.
    fn model(
        &mut self,
        turns: &'t [Turn<'_>],
        run: &Range<usize>,
        is_last: bool,
    ) -> Result<(), ChatError> {
        let turns = of_role(turns, run, Role::Assistant);
        let calls = turns.clone().any(|(_, turn)| !turn.calls.is_empty());
        // An answer that the model shall go on with must not end in space.
        let texts = turns.clone().flat_map(|(_, turn)| turn.content.texts());
        let last = texts.filter(|text| !is_blank(*text)).count().checked_sub(1);
        let prefill = last.filter(|_| is_last && !calls);
        let mut at = 0;
        for (_, turn) in turns.clone() {
            self.blocks.begin_turn();
            self.thoughts(turn)?;
            for piece in turn.content.pieces() {
                match piece {
                    Piece::Media(medium) => {
                        let why = "an assistant's message can only hold text for this upstream";
                        let at = medium.at.to_string();
                        return Err(ChatError::at(at, Problem::Unsupported(why)));
                    }
                    // The model itself says blank lines before a call, and refuses to hear them.
                    Piece::Text(text, _) if is_blank(text) => continue,
                    Piece::Text(text, cache) => {
                        self.open(Role::Assistant);
                        self.said(text, prefill == Some(at), cache);
                    }
                }
                at += 1;
            }
            if turn.calls.is_empty() {
                self.blocks.mark(turn.cache);
            }
        }
        turns.for_each(|(index, turn)| self.calls(index, turn));
        Ok(())
    }

    fn said(&mut self, text: JsonText<'_>, trimmed: bool, cache: Option<&str>) {
        if !trimmed {
            self.blocks.text(text, cache);
            return;
        }
        let meant = text.unescape();
        let kept = meant.trim_end();
        if kept.len() == meant.len() {
            self.blocks.text(text, cache);
            return;
        }
        self.blocks.begin("text");
        name(b"text", self.blocks.out);
        json::push_string(self.blocks.out, kept);
        self.blocks.end(cache);
    }

    /// The signed blocks as the vendor made them. Without its signature a block is refused.
    fn thoughts(&mut self, turn: &Turn<'_>) -> Result<(), ChatError> {
        let Some(thinking) = turn.thinking.as_deref() else { return Ok(()) };
        Reader::new(thinking).array(|reader, _index| {
            let block = reader.raw()?;
            if !is_signed(block)? {
                self.unsigned = true;
                return Ok(());
            }
            self.open(Role::Assistant);
            self.blocks.ready(block);
            Ok(())
        })
    }

    fn calls(&mut self, index: usize, turn: &'t Turn<'_>) {
        for (place, call) in turn.calls.iter().enumerate() {
            self.open(Role::Assistant);
            let id = self.ids.give((index, place), call.id);
            self.blocks.begin("tool_use");
            name(b"id", self.blocks.out);
            json::push_string(self.blocks.out, &id);
            name(b"name", self.blocks.out);
            quoted(call.name, self.blocks.out);
            name(b"input", self.blocks.out);
            self.blocks.out.extend_from_slice(call.arguments.trim().as_bytes());
            let last = place + 1 == turn.calls.len();
            self.blocks.end(turn.cache.filter(|_| last));
        }
    }

    /// Results stand first in the user's message, in the order of the calls.
    fn results(
        &mut self,
        turns: &'t [Turn<'_>],
        pairs: &[(Place, usize)],
    ) -> Result<(), ChatError> {
        for (place, answer) in pairs {
            let (call, answer) = (history::call(turns, *place), turns.get(*answer));
            let (Some(call), Some(answer)) = (call, answer) else { continue };
            self.open(Role::User);
            let id = self.ids.given(*place, call.id);
            self.blocks.begin("tool_result");
            name(b"tool_use_id", self.blocks.out);
            json::push_string(self.blocks.out, &id);
            self.told(&answer.content)?;
            if answer.failed {
                name(b"is_error", self.blocks.out);
                self.blocks.out.extend_from_slice(b"true");
            }
            self.blocks.end(answer.cache);
        }
        Ok(())
    }

    /// The content of a result: text and media.
    fn told(&mut self, content: &Content<'_>) -> Result<(), ChatError> {
        if !content.says_something() {
            return Ok(());
        }
        name(b"content", self.blocks.out);
        self.blocks.out.push(b'[');
        let mut inner = Blocks::new(self.blocks.out);
        for piece in content.pieces() {
            match piece {
                Piece::Text(text, _) if text.is_empty() => {}
                Piece::Text(text, cache) => inner.text(text, cache),
                Piece::Media(medium) => anthropic_media::push(medium, &mut inner)?,
            }
        }
        self.blocks.out.push(b']');
        Ok(())
    }
}

/// The turns of `role` in a run, with their numbers.
fn of_role<'t, 'b>(
    turns: &'t [Turn<'b>],
    run: &Range<usize>,
    role: Role,
) -> impl Iterator<Item = (usize, &'t Turn<'b>)> + Clone {
    let range = turns.get(run.clone()).unwrap_or_default();
    (run.start..).zip(range).filter(move |(_, turn)| turn.role == role)
}

/// Nothing but space?
fn is_blank(text: JsonText<'_>) -> bool {
    let mut rest = text.raw().trim_start();
    while let Some(after) = ["\\n", "\\r", "\\t"].iter().find_map(|space| rest.strip_prefix(space))
    {
        rest = after.trim_start();
    }
    rest.is_empty()
}

/// A block of reasoning that the vendor will know again.
fn is_signed(block: &str) -> Result<bool, JsonError> {
    let mut reader = Reader::new(block);
    if reader.kind()? != Kind::Object {
        return Ok(false);
    }
    let (mut redacted, mut thinking, mut signed) = (false, false, false);
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("type", Kind::String) => {
                let kind = reader.string()?.raw();
                (redacted, thinking) = (kind == "redacted_thinking", kind == "thinking");
            }
            ("signature", Kind::String) => signed = !reader.string()?.is_empty(),
            _ => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(redacted || thinking && signed)
}
