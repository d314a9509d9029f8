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
pub(super) const ONLY_JSON: &str = "Answer with one JSON object and nothing else.";

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
                && !is_blank(text)
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

    /// What a user says. Anthropic refuses texts of nothing but space.
    fn pieces(&mut self, turn: &Turn<'_>) -> Result<(), ChatError> {
        for piece in turn.content.pieces() {
            match piece {
                Piece::Text(text, _) if is_blank(text) => {}
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
                Piece::Text(text, _) if is_blank(text) => {}
                Piece::Text(text, cache) => inner.text(text, cache),
                Piece::Media(medium) => anthropic_media::push(medium, &mut inner)?,
            }
        }
        self.blocks.out.push(b']');
        Ok(())
    }
}

/// May the model be told to think within a budget? Where it is in the middle of an answer, with
/// calls that are answered now or words it shall go on with, that answer must have begun with a
/// signed thought, and so must its last part; what another vendor's model said has none. Between
/// its calls such a model does not think anyway, so nothing is lost where a part has none.
pub(super) fn may_think(turns: &[Turn<'_>]) -> bool {
    let begins = |run: &[Turn<'_>]| {
        let first = run.iter().find(|turn| turn.role == Role::Assistant);
        first.is_none_or(has_signed_thought)
    };
    let user = turns.iter().rposition(|turn| turn.role == Role::User);
    let answer = turns.get(user.map_or(0, |last| last + 1)..).unwrap_or_default();
    // Neighbours of one role are one message.
    let other = |turn: &Turn<'_>| matches!(turn.role, Role::User | Role::Tool);
    let said = turns.iter().rposition(|turn| turn.role == Role::Assistant).unwrap_or(0);
    let before = turns.get(..said).unwrap_or_default().iter().rposition(other);
    let part = turns.get(before.map_or(0, |last| last + 1)..).unwrap_or_default();
    let calls = part.iter().any(|turn| !turn.calls.is_empty());
    begins(answer) && (!calls || begins(part))
}

fn has_signed_thought(turn: &Turn<'_>) -> bool {
    let mut signed = false;
    let thinking = turn.thinking.as_deref().unwrap_or("[]");
    let read = Reader::new(thinking).array(|reader, _index| {
        signed |= is_signed(reader.raw()?)?;
        Ok::<(), JsonError>(())
    });
    read.is_ok() && signed
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
    // Most texts are seen not to be at their first letter.
    if text.raw().starts_with(|first: char| first.is_ascii_graphic() && first != '\\') {
        return false;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `system` and `messages`, and what was left out.
    fn sent(list: &str) -> Result<(String, String), ChatError> {
        let body = format!(r#"{{"model":"m","messages":[{list}]}}"#);
        let request = Request::parse(body.as_bytes())?;
        let (mut out, mut dropped) = (Vec::new(), Dropped::default());
        system(&request, &mut out)?;
        messages(&request.turns, &mut out, &mut dropped)?;
        let text = String::from_utf8(out).unwrap().split_off(1);
        serde_json::from_str::<serde::de::IgnoredAny>(&format!("{{{text}}}")).unwrap();
        let mut names = Vec::new();
        dropped.render(&mut names);
        Ok((text, String::from_utf8(names).unwrap()))
    }

    #[track_caller]
    fn becomes(list: &str, expected: &str) {
        assert_eq!(sent(list).unwrap(), (expected.to_owned(), String::new()), "{list}");
    }

    #[test]
    fn neighbours_of_one_role_are_one_message() {
        becomes(
            r#"{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""}]},
               {"role":"developer","content":""},{"role":"user","content":"b\n"},{"role":"user","content":""},
               {"role":"assistant","content":"c"},{"role":"assistant","content":null},{"role":"assistant","content":"d "},
               {"role":"user","content":""},{"role":"assistant","content":"e"},
               {"role":"developer","content":[{"type":"text","text":"T"}]},{"role":"user","content":"f"}"#,
            concat!(
                r#""system":[{"type":"text","text":"S"},{"type":"text","text":"T"}],"messages":["#,
                r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b\n"}]},"#,
                r#"{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d "},{"type":"text","text":"e"}]},"#,
                r#"{"role":"user","content":[{"type":"text","text":"f"}]}]"#
            ),
        );
        becomes(
            r#"{"role":"assistant","content":"first"},{"role":"user","content":"x"}"#,
            r#""messages":[{"role":"assistant","content":[{"type":"text","text":"first"}]},{"role":"user","content":[{"type":"text","text":"x"}]}]"#,
        );
    }

    #[test]
    fn an_answer_to_go_on_with_does_not_end_in_space() {
        let prefill = |content: &str| {
            let list = format!(
                r#"{{"role":"user","content":"x"}},{{"role":"assistant","content":{content}}}"#
            );
            let (text, _) = sent(&list).unwrap();
            let (_, rest) = text.split_once(r#""assistant","content":"#).unwrap_or(("", &text));
            rest.to_owned()
        };
        let block = |text: &str| format!(r#"[{{"type":"text","text":"{text}"}}]}}]"#);
        assert_eq!(prefill(r#""a\u007b""#), block(r"a\u007b"), "spelling stays");
        assert_eq!(prefill(r#""a \n\t ""#), block("a"));
        assert_eq!(prefill(r#""a\u0020\u00a0""#), block("a"));
        assert_eq!(prefill(r#""a\\n""#), block(r"a\\n"), "no line end");
        assert_eq!(prefill(r#""é\"\\\n""#), block("é\\\"\\\\"));
        let two = r#"[{"type":"text","text":"a "},{"type":"text","text":"b "},{"type":"text","text":" \n"}]"#;
        let blocks = r#"[{"type":"text","text":"a "},{"type":"text","text":"b"}]}]"#;
        assert_eq!(prefill(two), blocks);
        let only = r#""messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]"#;
        assert_eq!(prefill(r#""\n""#), only);
    }

    #[test]
    fn results_come_first_and_text_before_calls() {
        let call = |id: &str, name: &str, arguments: &str| {
            format!(
                r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}"#
            )
        };
        let list = [
            r#"{"role":"user","content":"go"}"#,
            &format!(
                r#"{{"role":"assistant","content":"\n\n","tool_calls":[{},{}]}}"#,
                call("a.1", "f", r#" {\"n\": 1.0e400} "#),
                call("b", "g", "")
            ),
            &format!(
                r#"{{"role":"assistant","content":"late","tool_calls":[{}]}}"#,
                call("c", "h", "{}")
            ),
            r#"{"role":"tool","tool_call_id":"c","content":""}"#,
            r#"{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"B"},{"type":"image_url","image_url":{"url":"https://h/b.png"}}]}"#,
            r#"{"role":"tool","tool_call_id":"a.1","content":"{\"x\":1}"}"#,
            r#"{"role":"user","content":"so?"}"#,
            &format!(r#"{{"role":"assistant","tool_calls":[{}]}}"#, call("a_1", "f", "{}")),
            r#"{"role":"tool","tool_call_id":"a_1","content":"A"}"#,
        ]
        .join(",");
        becomes(
            &list,
            concat!(
                r#""messages":[{"role":"user","content":[{"type":"text","text":"go"}]},"#,
                r#"{"role":"assistant","content":[{"type":"text","text":"late"},"#,
                r#"{"type":"tool_use","id":"a_1","name":"f","input":{"n": 1.0e400}},"#,
                r#"{"type":"tool_use","id":"b","name":"g","input":{}},"#,
                r#"{"type":"tool_use","id":"c","name":"h","input":{}}]},"#,
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a_1","content":[{"type":"text","text":"{\"x\":1}"}]},"#,
                r#"{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"B"},{"type":"image","source":{"type":"url","url":"https://h/b.png"}}]},"#,
                r#"{"type":"tool_result","tool_use_id":"c"},{"type":"text","text":"so?"}]},"#,
                r#"{"role":"assistant","content":[{"type":"tool_use","id":"a_1_2","name":"f","input":{}}]},"#,
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a_1_2","content":[{"type":"text","text":"A"}]}]}]"#
            ),
        );
    }

    #[test]
    fn failed_tools_say_so() {
        let mut turns = Request::parse(
            br#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f"}}]},{"role":"tool","tool_call_id":"a","content":"no"}]}"#,
        )
        .unwrap()
        .turns;
        turns[1].failed = true;
        let mut out = Vec::new();
        messages(&turns, &mut out, &mut Dropped::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(r#""content":[{"type":"text","text":"no"}],"is_error":true}"#),
            "{text}"
        );
    }

    #[test]
    fn signed_reasoning_goes_back_as_it_came() {
        let signed = r#"{ "type":"thinking", "thinking":"h\u00e9","signature":"c2ln" }"#;
        let redacted = r#"{"data":"ZA==","type":"redacted_thinking"}"#;
        let unsigned = r#"{"type":"thinking","thinking":"x"},{"type":"thinking","thinking":"x","signature":""},{"type":"text","text":"x","signature":"s"},7"#;
        let list = |blocks: &str| {
            format!(
                r#"{{"role":"user","content":"x"}},{{"role":"assistant","content":"a","reasoning_content":"h","thinking_blocks":[{blocks}],"tool_calls":[{{"id":"c","function":{{"name":"f","arguments":""}}}}]}},{{"role":"tool","tool_call_id":"c","content":"r"}}"#
            )
        };
        let (text, dropped) = sent(&list(&format!("{signed} , {redacted}"))).unwrap();
        let content = format!(
            r#""assistant","content":[{signed},{redacted},{{"type":"text","text":"a"}},{{"type":"tool_use""#
        );
        assert!(text.contains(&content), "{text}");
        assert_eq!(dropped, "");
        let (text, dropped) = sent(&list(unsigned)).unwrap();
        assert!(text.contains(r#""assistant","content":[{"type":"text","text":"a"}"#), "{text}");
        assert_eq!(dropped, "messages[].thinking_blocks[]");
    }

    #[test]
    fn cache_marks_stand_where_they_were_set() {
        let cache = r#""cache_control":{"type":"ephemeral"}"#;
        let one_hour = r#""cache_control":{ "type":"ephemeral","ttl":"1h" }"#;
        becomes(
            &format!(
                r#"{{"role":"system","content":"S",{cache}}},
                {{"role":"system","content":[{{"type":"text","text":"T",{one_hour}}},{{"type":"text","text":"U"}}]}},
                {{"role":"user","content":[{{"type":"text","text":"a",{cache}}},{{"type":"text","text":"b"}},{{"type":"image_url","image_url":{{"url":"https://h/i"}},{one_hour}}}]}},
                {{"role":"user","content":[{{"type":"text","text":"c"}},{{"type":"text","text":"d"}}],{cache}}},
                {{"role":"user","content":"","cache_control":{{"type":"lost"}}}},
                {{"role":"user","content":[{{"type":"text","text":"e",{one_hour}}}],{cache}}},
                {{"role":"assistant","content":"f","tool_calls":[{{"id":"1","function":{{"name":"f","arguments":""}}}},{{"id":"2","function":{{"name":"f","arguments":""}}}}],{cache}}},
                {{"role":"tool","tool_call_id":"1","content":[{{"type":"text","text":"r",{one_hour}}}]}},
                {{"role":"tool","tool_call_id":"2","content":"s",{cache}}},
                {{"role":"assistant","content":"g",{cache}}}"#
            ),
            &[
                r#""system":[{"type":"text","text":"S","#,
                cache,
                r#"},{"type":"text","text":"T","#,
                one_hour,
                r#"},{"type":"text","text":"U"}],"messages":[{"role":"user","content":[{"type":"text","text":"a","#,
                cache,
                r#"},{"type":"text","text":"b"},{"type":"image","source":{"type":"url","url":"https://h/i"},"#,
                one_hour,
                r#"},{"type":"text","text":"c"},{"type":"text","text":"d","#,
                cache,
                r#"},{"type":"text","text":"e","#,
                one_hour,
                r#"}]},{"role":"assistant","content":[{"type":"text","text":"f"},{"type":"tool_use","id":"1","name":"f","input":{}},{"type":"tool_use","id":"2","name":"f","input":{},"#,
                cache,
                r#"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"r","#,
                one_hour,
                r#"}]},{"type":"tool_result","tool_use_id":"2","content":[{"type":"text","text":"s"}],"#,
                cache,
                r#"}]},{"role":"assistant","content":[{"type":"text","text":"g","#,
                cache,
                "}]}]",
            ]
            .concat(),
        );
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let image = r#"[{"type":"image_url","image_url":{"url":"https://h/i.png"}}]"#;
        for (list, param) in [
            (r#"{"role":"system","content":"S"}"#.to_owned(), "messages"),
            (r#"{"role":"user","content":""}"#.to_owned(), "messages"),
            (format!(r#"{{"role":"system","content":{image}}}"#), "messages[0].content[0]"),
            (format!(r#"{{"role":"assistant","content":{image}}}"#), "messages[0].content[0]"),
            (
                r#"{"role":"user","content":"x"},{"role":"tool","tool_call_id":"z","content":"x"}"#
                    .to_owned(),
                "messages[1].tool_call_id",
            ),
        ] {
            assert_eq!(sent(&list).unwrap_err().param, param, "{list}");
        }
    }
}
