//! One message of a conversation: who speaks, what is said, which tools are called.

use std::borrow::Cow;

use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::others::note;
use super::part::Content;
use super::problem::{ChatError, Problem};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `system` and `developer`.
    System,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
    /// `tool` and `function`: what a tool answered.
    Tool,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'b> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content<'b>,
    /// The tools that an assistant calls.
    pub calls: Vec<Call<'b>>,
    /// The id of the call that a tool answers.
    pub answers: Option<JsonText<'b>>,
    /// The tool failed, and `content` says why.
    pub failed: bool,
    /// Google's mark on an earlier text, sent back to it.
    pub signature: Option<JsonText<'b>>,
    /// Anthropic's signed thinking blocks, an array as it was sent.
    pub thinking: Option<Cow<'b, str>>,
    /// Anthropic's `cache_control` of the whole message, an object as it was sent.
    pub cache: Option<&'b str>,
}

/// A call of a tool in the history.
#[derive(Clone, Debug)]
pub struct Call<'b> {
    /// Its id, without what other gateways put into it.
    pub id: JsonText<'b>,
    /// The tool.
    pub name: JsonText<'b>,
    /// A JSON object.
    pub arguments: Cow<'b, str>,
    /// Google's mark on the call, sent back to it.
    pub signature: Option<Cow<'b, str>>,
}

impl<'b> Turn<'b> {
    /// A message that only says something.
    pub fn new(role: Role, content: Content<'b>) -> Self {
        Self {
            role,
            content,
            calls: Vec::new(),
            answers: None,
            failed: false,
            signature: None,
            thinking: None,
            cache: None,
        }
    }

    /// Reads OpenAI's message number `index`; fields without a meaning here go to `others`.
    pub(super) fn parse(
        reader: &mut Reader<'b>,
        index: usize,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        let at = |field: &str| format!("messages[{index}]{field}");
        if reader.kind()? != Kind::Object {
            return Err(ChatError::at(at(""), Problem::Expected("an object")));
        }
        let mut fields = Fields { index, ..Fields::default() };
        reader.object(|reader, key| fields.member(reader, key, others))?;
        fields.turn()
    }
}

/// The fields of a message, before it is clear whose it is.
#[derive(Default)]
struct Fields<'b> {
    index: usize,
    role: Option<Role>,
    legacy: bool,
    content: Option<Content<'b>>,
    refusal: Option<JsonText<'b>>,
    calls: Vec<Call<'b>>,
    /// `OpenRouter`'s marks: id of the call and mark.
    encrypted: Vec<(JsonText<'b>, JsonText<'b>)>,
    answers: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    signature: Option<JsonText<'b>>,
    thinking: Option<&'b str>,
    cache: Option<&'b str>,
}

impl<'b> Fields<'b> {
    fn at(&self, field: &str) -> String {
        format!("messages[{}]{field}", self.index)
    }

    fn member(
        &mut self,
        reader: &mut Reader<'b>,
        key: JsonText<'b>,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<(), ChatError> {
        let name = key.unescape();
        match name.as_ref() {
            "role" => self.read_role(reader)?,
            "content" => self.content = Some(Content::parse(reader, self.index, others)?),
            _ if reader.null()? => {}
            "refusal" => self.refusal = Some(self.text(reader, ".refusal")?),
            "tool_calls" => self.tool_calls(reader)?,
            "function_call" => {
                let mut call = CallFields::default();
                call.function(reader).map_err(|error| self.wrong(".function_call", error))?;
                call.id = call.name;
                self.calls.push(call.call(&self.at(".function_call"))?);
            }
            "tool_call_id" => self.answers = Some(bare_id(self.text(reader, ".tool_call_id")?).0),
            "name" => {
                self.name = Some(self.text(reader, ".name")?);
                note(others, "messages[].name");
            }
            "extra_content" => self.signature = google_signature(reader)?,
            "reasoning_details" => self.reasoning_details(reader)?,
            "thinking_blocks" if reader.kind()? == Kind::Array => {
                self.thinking = Some(reader.raw()?);
            }
            "cache_control" if reader.kind()? == Kind::Object => self.cache = Some(reader.raw()?),
            other => {
                // What an earlier answer of ours holds besides is of no use to a vendor.
                if !matches!(other, "reasoning_content" | "annotations" | "audio" | "images") {
                    note(others, &format!("messages[].{other}"));
                }
                reader.skip()?;
            }
        }
        Ok(())
    }

    fn text(&self, reader: &mut Reader<'b>, field: &str) -> Result<JsonText<'b>, ChatError> {
        let text = reader.string();
        text.map_err(|error| ChatError::json(&self.at(field), "a string", error))
    }

    fn wrong(&self, field: &str, error: JsonError) -> ChatError {
        ChatError::json(&self.at(field), "an object with a name and arguments", error)
    }

    fn read_role(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        const ROLES: &str = "one of system, developer, user, assistant, tool";
        let text = reader.string();
        let text = text.map_err(|error| ChatError::json(&self.at(".role"), ROLES, error))?;
        let text = text.unescape();
        self.legacy = text == "function";
        self.role = Some(match text.as_ref() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => Role::Tool,
            _ => return Err(ChatError::at(self.at(".role"), Problem::Expected(ROLES))),
        });
        Ok(())
    }

    fn tool_calls(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        let at = self.at(".tool_calls");
        super::problem::typed(reader, Kind::Array, &at, "an array of calls")?;
        reader.array(|reader, call| {
            let at = format!("{at}[{call}]");
            let mut fields = CallFields::default();
            let read = reader.object(|reader, key| fields.member(reader, key));
            read.map_err(|error| ChatError::json(&at, "an object", error))?;
            self.calls.push(fields.call(&at)?);
            Ok::<(), ChatError>(())
        })
    }

    /// `reasoning_details:[{type:"reasoning.encrypted",id,data}]`.
    fn reasoning_details(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        if reader.kind()? != Kind::Array {
            return Ok(reader.skip()?);
        }
        reader.array(|reader, _index| {
            if reader.kind()? != Kind::Object {
                return reader.skip();
            }
            let (mut kind, mut id, mut data) = (None, None, None);
            reader.object(|reader, key| {
                let place = match (key.raw(), reader.kind()?) {
                    ("type", Kind::String) => &mut kind,
                    ("id", Kind::String) => &mut id,
                    ("data", Kind::String) => &mut data,
                    _ => return reader.skip(),
                };
                *place = Some(reader.string()?);
                Ok::<(), JsonError>(())
            })?;
            let encrypted = kind.is_some_and(|kind| kind.raw() == "reasoning.encrypted");
            if let (true, Some(id), Some(data)) = (encrypted, id, data) {
                self.encrypted.push((bare_id(id).0, data));
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(())
    }

    fn turn(mut self) -> Result<Turn<'b>, ChatError> {
        let role = self.role.ok_or_else(|| ChatError::at(self.at(".role"), Problem::Missing))?;
        let said = self.content.is_some();
        let mut content = self.content.take().unwrap_or(Content::None);
        if let Some(refusal) = self.refusal.filter(|_| !content.says_something()) {
            content = Content::Text(refusal);
        }
        let silent = matches!(content, Content::None);
        let may_be_silent = role == Role::Assistant && (said || !self.calls.is_empty());
        if silent && !may_be_silent {
            return Err(ChatError::at(self.at(".content"), Problem::Missing));
        }
        let answers = if self.legacy { self.name } else { self.answers };
        if role == Role::Tool && answers.is_none() {
            let field = if self.legacy { ".name" } else { ".tool_call_id" };
            return Err(ChatError::at(self.at(field), Problem::Missing));
        }
        for call in &mut self.calls {
            let mark = self.encrypted.iter().find(|(id, _)| *id == call.id);
            if let (None, Some((_, data))) = (&call.signature, mark) {
                call.signature = Some(Cow::Borrowed(data.raw()));
            }
        }
        let calls = if role == Role::Assistant { self.calls } else { Vec::new() };
        Ok(Turn {
            calls,
            answers: answers.filter(|_| role == Role::Tool),
            signature: self.signature,
            thinking: self.thinking.map(Cow::Borrowed),
            cache: self.cache,
            ..Turn::new(role, content)
        })
    }
}

/// The fields of one call.
#[derive(Debug, Default)]
struct CallFields<'b> {
    id: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    arguments: Option<JsonText<'b>>,
    google: Option<JsonText<'b>>,
    litellm: Option<JsonText<'b>>,
    portkey: Option<JsonText<'b>>,
    custom: bool,
    /// The arguments are there, and are no text.
    odd: bool,
}

impl<'b> CallFields<'b> {
    fn member(&mut self, reader: &mut Reader<'b>, key: JsonText<'b>) -> Result<(), JsonError> {
        match (key.unescape().as_ref(), reader.kind()?) {
            ("id", Kind::String) => self.id = Some(reader.string()?),
            ("type", Kind::String) => self.custom = reader.string()?.raw() == "custom",
            ("function", Kind::Object) => self.function(reader)?,
            ("extra_content", Kind::Object) => self.google = google_signature(reader)?,
            ("provider_specific_fields", Kind::Object) => {
                self.litellm = signature_member(reader)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn function(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            let place = match (key.unescape().as_ref(), reader.kind()?) {
                ("name", Kind::String) => &mut self.name,
                ("arguments", Kind::String) => &mut self.arguments,
                ("thought_signature", Kind::String) => &mut self.portkey,
                (name, kind) => {
                    self.odd |= name == "arguments" && kind != Kind::Null;
                    return reader.skip();
                }
            };
            *place = Some(reader.string()?);
            Ok(())
        })
    }

    fn call(self, at: &str) -> Result<Call<'b>, ChatError> {
        let missing = |field: &str| ChatError::at(format!("{at}.{field}"), Problem::Missing);
        if self.custom {
            let why = Problem::Unsupported("custom tools cannot be translated");
            return Err(ChatError::at(format!("{at}.type"), why));
        }
        let name = self.name.ok_or_else(|| missing("function.name"))?;
        let (id, in_id) = bare_id(self.id.ok_or_else(|| missing("id"))?);
        let arguments = self.arguments.map(JsonText::unescape).unwrap_or_default();
        let arguments = match arguments.trim() {
            "" if !self.odd => Cow::Borrowed("{}"),
            text if is_object(text) => arguments,
            _ => {
                let what = Problem::Expected("a JSON object in a string");
                return Err(ChatError::at(format!("{at}.function.arguments"), what));
            }
        };
        let marks = [self.google, self.litellm, self.portkey, in_id].into_iter().flatten();
        let signature = { marks }.find(|mark| !mark.is_empty());
        let signature = signature.map(|mark| Cow::Borrowed(mark.raw()));
        Ok(Call { id, name, arguments, signature })
    }
}

/// Is `text` one JSON object?
pub fn is_object(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.kind() == Ok(Kind::Object) && reader.skip().is_ok() && reader.end().is_ok()
}

/// What stands between an id and the mark that other gateways hide behind it.
pub(super) const MARK_SEPARATOR: &str = "__thought__";

/// Other gateways hide Google's mark in the id of a call. No other vendor may see it there.
pub(super) fn bare_id(id: JsonText<'_>) -> (JsonText<'_>, Option<JsonText<'_>>) {
    match id.raw().find(MARK_SEPARATOR) {
        Some(at) => (id.head(at), Some(id.tail(at + MARK_SEPARATOR.len()))),
        None => (id, None),
    }
}

/// `google.thought_signature` or `vertex.thought_signature` of an `extra_content`.
fn google_signature<'b>(reader: &mut Reader<'b>) -> Result<Option<JsonText<'b>>, JsonError> {
    let mut found = None;
    if reader.kind()? != Kind::Object {
        reader.skip()?;
        return Ok(None);
    }
    reader.object(|reader, vendor| {
        let google = matches!(vendor.raw(), "google" | "vertex");
        if !google || reader.kind()? != Kind::Object {
            return reader.skip();
        }
        found = signature_member(reader)?.or(found);
        Ok::<(), JsonError>(())
    })?;
    Ok(found)
}

fn signature_member<'b>(reader: &mut Reader<'b>) -> Result<Option<JsonText<'b>>, JsonError> {
    let mut found = None;
    reader.object(|reader, key| {
        if key.raw() == "thought_signature" && reader.kind()? == Kind::String {
            found = Some(reader.string()?);
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Result<(Turn<'_>, Vec<Cow<'_, str>>), ChatError> {
        let mut others = Vec::new();
        Turn::parse(&mut Reader::new(message), 3, &mut others).map(|turn| (turn, others))
    }

    #[test]
    fn calls_keep_their_arguments_and_find_their_mark() {
        let forms = [
            r#""id":"c","extra_content":{"google":{"thought_signature":"S"}}"#,
            r#""id":"c","extra_content":{"vertex":{"thought_signature":"S"}}"#,
            r#""id":"c","provider_specific_fields":{"thought_signature":"S"}"#,
            r#""id":"c__thought__S""#,
        ];
        for form in forms {
            let message = format!(
                r#"{{"role":"assistant","tool_calls":[{{"type":"function",{form},"function":{{"name":"f","arguments":"{{\"n\":1.0e400}}"}}}}]}}"#
            );
            let (turn, _) = read(&message).unwrap();
            let call = turn.calls.first().unwrap();
            assert_eq!((call.id.raw(), call.name.raw()), ("c", "f"), "{form}");
            assert_eq!(call.signature.as_deref(), Some("S"), "{form}");
            assert_eq!(call.arguments, r#"{"n":1.0e400}"#);
        }
        let details = r#"{"role":"assistant","reasoning_details":[{"type":"reasoning.encrypted","id":"c","data":"S"}],"tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}"#;
        let (turn, _) = read(details).unwrap();
        assert_eq!(turn.calls[0].signature.as_deref(), Some("S"));
        assert_eq!(turn.calls[0].arguments, "{}");
    }

    #[test]
    fn old_functions_are_tools() {
        let (turn, _) = read(r#"{"role":"function","name":"f","content":"1"}"#).unwrap();
        assert_eq!((turn.role, turn.answers.unwrap().raw()), (Role::Tool, "f"));
        let message =
            r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#;
        let (turn, _) = read(message).unwrap();
        assert_eq!(turn.calls[0].id.raw(), "f");
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let call = |inside: &str| format!(r#"{{"role":"assistant","tool_calls":[{inside}]}}"#);
        let cases = [
            (
                call(r#"{"id":"c","function":{"name":"f","arguments":"[1]"}}"#),
                "messages[3].tool_calls[0].function.arguments",
            ),
            (
                call(r#"{"id":"c","function":{"name":"f","arguments":"{"}}"#),
                "messages[3].tool_calls[0].function.arguments",
            ),
            (
                call(r#"{"id":"c","function":{"name":"f","arguments":{"a":1}}}"#),
                "messages[3].tool_calls[0].function.arguments",
            ),
            (
                r#"{"role":"assistant","function_call":{"name":"f","arguments":{"a":1}}}"#
                    .to_owned(),
                "messages[3].function_call.function.arguments",
            ),
            (call(r#"{"function":{"name":"f"}}"#), "messages[3].tool_calls[0].id"),
            (call(r#"{"id":"c","type":"custom","custom":{}}"#), "messages[3].tool_calls[0].type"),
            (call("7"), "messages[3].tool_calls[0]"),
            (r#"{"role":"tool","content":"x"}"#.to_owned(), "messages[3].tool_call_id"),
            (r#"{"role":"assistant"}"#.to_owned(), "messages[3].content"),
            (r#"{"role":"robot","content":"x"}"#.to_owned(), "messages[3].role"),
        ];
        for (message, param) in cases {
            assert_eq!(read(&message).unwrap_err().param, param, "{message}");
        }
        let (_, others) = read(r#"{"role":"user","content":"x","name":"n","z":1,"z":2}"#).unwrap();
        assert_eq!(others, ["messages[].name", "messages[].z"]);
    }
}
