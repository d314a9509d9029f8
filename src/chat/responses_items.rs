//! The items of the input of OpenAI's responses.
//!
//! One turn may be several items: reasoning, a message, calls. Neighbours of the assistant become
//! one turn where the order of a turn allows it.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::carry::{self, Mark};
use super::others::note;
use super::part::{Content, Media, MediaKind, Part, Place, Source, is_address, locate};
use super::problem::{ChatError, Problem, typed};
use super::turn::{Call, Role, Turn, is_object};

/// More turns than this are refused: a limit on everything.
const TURNS_MAX: usize = 20_000;

/// Reads a conversation.
pub(super) struct Talk<'r, 'b> {
    turns: &'r mut Vec<Turn<'b>>,
    others: &'r mut Vec<Cow<'b, str>>,
    /// The assistant's turn that is not ended yet.
    said: Said<'b>,
    /// Google's mark on the call that comes next.
    mark: Option<JsonText<'b>>,
    /// Calls that nobody has answered yet.
    open: Vec<JsonText<'b>>,
}

/// A turn of the assistant while its items are read.
#[derive(Debug, Default)]
struct Said<'b> {
    thoughts: String,
    parts: Vec<Part<'b>>,
    calls: Vec<Call<'b>>,
    signature: Option<JsonText<'b>>,
}

/// The fields of an item or a part, before it is clear which it is.
#[derive(Debug, Default)]
struct Fields<'b> {
    kind: Option<JsonText<'b>>,
    role: Option<JsonText<'b>>,
    text: Option<JsonText<'b>>,
    call_id: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    arguments: Option<JsonText<'b>>,
    encrypted: Option<JsonText<'b>>,
    url: Option<JsonText<'b>>,
    data: Option<JsonText<'b>>,
    file: Option<JsonText<'b>>,
    format: Option<JsonText<'b>>,
    detail: Option<JsonText<'b>>,
    /// A text or an array, read when the kind is known.
    content: Option<&'b str>,
    summary: Option<&'b str>,
}

impl<'r, 'b> Talk<'r, 'b> {
    pub(super) fn new(turns: &'r mut Vec<Turn<'b>>, others: &'r mut Vec<Cow<'b, str>>) -> Self {
        Self { turns, others, said: Said::default(), mark: None, open: Vec::new() }
    }

    /// Reads `input`: a text of the user's, or items.
    pub(super) fn input(mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        if reader.kind()? == Kind::String {
            let text = reader.string()?;
            self.turns.push(Turn::new(Role::User, Content::Text(text)));
            return Ok(());
        }
        reader.array(|reader, index| {
            if self.turns.len() >= TURNS_MAX {
                return Err(ChatError::at("input", Problem::Expected("at most 20000 items")));
            }
            self.item(reader, index)
        })?;
        self.said.push(self.turns);
        if self.turns.is_empty() {
            return Err(ChatError::at("input", Problem::Expected("at least one item")));
        }
        Ok(())
    }

    fn item(&mut self, reader: &mut Reader<'b>, index: usize) -> Result<(), ChatError> {
        let at = format!("input[{index}]");
        let fields = Fields::read(reader, &at, self.others)?;
        match fields.kind.map_or("message", JsonText::raw) {
            "message" => self.message(&fields, index),
            "function_call" => self.call(&fields, &at),
            "function_call_output" => self.output(&fields, index),
            "reasoning" => self.reasoning(&fields),
            "image_generation_call" => {
                if let Some(data) = fields.data {
                    self.said.parts.push(picture(data, Place::in_items(index, 0)));
                }
                Ok(())
            }
            "item_reference" => {
                let why = "nothing is kept between requests: send the item itself";
                Err(ChatError::at(format!("{at}.type"), Problem::Unsupported(why)))
            }
            _ => {
                let why = "only OpenAI itself has this kind of item; others take message, \
                           function_call, function_call_output and reasoning";
                Err(ChatError::at(format!("{at}.type"), Problem::Unsupported(why)))
            }
        }
    }

    fn message(&mut self, fields: &Fields<'b>, index: usize) -> Result<(), ChatError> {
        const ROLES: Problem = Problem::Expected("one of user, assistant, system, developer");
        let at = |field: &str| format!("input[{index}].{field}");
        let missing = |field: &str| ChatError::at(at(field), Problem::Missing);
        let content = fields.content.ok_or_else(|| missing("content"))?;
        let content = self.content(content, index)?;
        let role = match fields.role.ok_or_else(|| missing("role"))?.raw() {
            "assistant" => {
                // A turn says first what it says, and then calls.
                if !self.said.calls.is_empty() {
                    self.said.push(self.turns);
                }
                match content {
                    Content::None => {}
                    Content::Text(text) => self.said.parts.push(Part::Text { text, cache: None }),
                    Content::Parts(parts) => self.said.parts.extend(parts),
                }
                return Ok(());
            }
            "user" => Role::User,
            "system" | "developer" => Role::System,
            _ => return Err(ChatError::at(at("role"), ROLES)),
        };
        self.said.push(self.turns);
        if let (Role::User, Some(id)) = (role, self.open.first()) {
            let id: String = id.unescape().chars().filter(|c| !c.is_control()).take(64).collect();
            let what = "preceded by a function_call_output for each function_call";
            return Err(ChatError::at(format!("input[{index}] ({id})"), Problem::Expected(what)));
        }
        self.turns.push(Turn::new(role, content));
        Ok(())
    }

    fn call(&mut self, fields: &Fields<'b>, at: &str) -> Result<(), ChatError> {
        let missing = |field: &str| ChatError::at(format!("{at}.{field}"), Problem::Missing);
        let arguments = fields.arguments.map(JsonText::unescape).unwrap_or_default();
        let arguments = match arguments.trim() {
            "" => Cow::Borrowed("{}"),
            text if is_object(text) => arguments,
            _ => {
                let what = Problem::Expected("a JSON object in a string");
                return Err(ChatError::at(format!("{at}.arguments"), what));
            }
        };
        let id = fields.call_id.ok_or_else(|| missing("call_id"))?;
        let signature = self.mark.take().map(|mark| Cow::Borrowed(mark.raw()));
        let name = fields.name.ok_or_else(|| missing("name"))?;
        self.said.calls.push(Call { id, name, arguments, signature });
        self.open.push(id);
        Ok(())
    }

    fn output(&mut self, fields: &Fields<'b>, index: usize) -> Result<(), ChatError> {
        let at = |field: &str| format!("input[{index}].{field}");
        let missing = |field: &str| ChatError::at(at(field), Problem::Missing);
        self.said.push(self.turns);
        let id = fields.call_id.ok_or_else(|| missing("call_id"))?;
        let Some(open) = self.open.iter().position(|open| *open == id) else {
            let what = Problem::Expected("the call_id of a function_call before, once");
            return Err(ChatError::at(at("call_id"), what));
        };
        self.open.remove(open);
        let output = fields.content.ok_or_else(|| missing("output"))?;
        let content = self.content(output, index)?;
        self.turns.push(Turn { answers: Some(id), ..Turn::new(Role::Tool, content) });
        Ok(())
    }

    /// Reasoning goes back to whom it came from, with the mark that it was given.
    fn reasoning(&mut self, fields: &Fields<'b>) -> Result<(), ChatError> {
        let Some(encrypted) = fields.encrypted.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let (mark, data) = match carry::read(encrypted) {
            Some((Mark::GoogleCall, mark)) => {
                self.mark = Some(mark);
                return Ok(());
            }
            Some((Mark::GoogleText, mark)) => {
                self.said.signature = Some(mark);
                return Ok(());
            }
            Some((Mark::Unsigned, _)) => return Ok(()),
            Some((mark @ (Mark::AnthropicThinking | Mark::AnthropicRedacted), data)) => {
                (mark, data)
            }
            None => {
                note(self.others, "input[].encrypted_content");
                return Ok(());
            }
        };
        if !self.said.parts.is_empty() || !self.said.calls.is_empty() {
            self.said.push(self.turns);
        }
        let summary = summary(fields.summary.unwrap_or("[]"))?;
        self.said.think(mark, &summary, data);
        Ok(())
    }

    /// A text, or parts.
    fn content(&mut self, content: &'b str, index: usize) -> Result<Content<'b>, ChatError> {
        let mut reader = Reader::new(content);
        if reader.kind()? == Kind::String {
            return Ok(Content::Text(reader.string()?));
        }
        let param = format!("input[{index}].content");
        typed(&mut reader, Kind::Array, &param, "a string or an array of parts")?;
        let mut parts = Vec::new();
        reader.array(|reader, part| {
            let at = Place::in_items(index, part);
            let fields = Fields::read(reader, &at.to_string(), self.others)?;
            parts.push(fields.part(at)?);
            Ok::<(), ChatError>(())
        })?;
        Ok(Content::Parts(parts))
    }
}

impl<'b> Said<'b> {
    /// Keeps a block of Anthropic's.
    fn think(&mut self, mark: Mark, text: &str, data: JsonText<'_>) {
        self.thoughts.push(if self.thoughts.is_empty() { '[' } else { ',' });
        let block = match mark {
            Mark::AnthropicRedacted => [r#"{"type":"redacted_thinking"#, "", r#"","data":""#],
            _ => [r#"{"type":"thinking","thinking":""#, text, r#"","signature":""#],
        };
        block.into_iter().chain([data.raw(), "\"}"]).for_each(|text| self.thoughts.push_str(text));
    }

    /// Ends the turn and begins another.
    fn push(&mut self, turns: &mut Vec<Turn<'b>>) {
        let Self { mut thoughts, parts, calls, signature } = std::mem::take(self);
        if thoughts.is_empty() && parts.is_empty() && calls.is_empty() && signature.is_none() {
            return;
        }
        let thinking = (!thoughts.is_empty()).then(|| {
            thoughts.push(']');
            Cow::Owned(thoughts)
        });
        let content = if parts.is_empty() { Content::None } else { Content::Parts(parts) };
        turns.push(Turn { calls, signature, thinking, ..Turn::new(Role::Assistant, content) });
    }
}

/// The texts of a summary as one, as in a JSON string.
fn summary(list: &str) -> Result<String, ChatError> {
    let mut joined = String::new();
    let mut reader = Reader::new(list);
    typed(&mut reader, Kind::Array, "input[].summary", "an array")?;
    reader.array(|reader, _index| {
        typed(reader, Kind::Object, "input[].summary", "an array of objects")?;
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("text", Kind::String) => {
                joined.push_str(reader.string()?.raw());
                Ok(())
            }
            _ => Ok::<(), ChatError>(reader.skip()?),
        })
    })?;
    Ok(joined)
}

/// An image that an assistant made.
fn picture(data: JsonText<'_>, at: Place) -> Part<'_> {
    let (kind, source) = (MediaKind::Image, Source::Base64(data));
    let mime = Some(Cow::Borrowed("image/png"));
    Part::Media(Media::new(kind, source, mime, at))
}

impl<'b> Fields<'b> {
    fn read(
        reader: &mut Reader<'b>,
        at: &str,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        typed(reader, Kind::Object, at, "an object")?;
        let mut fields = Self::default();
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                (_, Kind::Null) => return Ok(reader.skip()?),
                ("type", _) => &mut fields.kind,
                ("role", _) => &mut fields.role,
                ("text" | "refusal", _) => &mut fields.text,
                ("call_id", _) => &mut fields.call_id,
                ("name" | "filename", _) => &mut fields.name,
                ("arguments", _) => &mut fields.arguments,
                ("encrypted_content", _) => &mut fields.encrypted,
                ("image_url" | "file_url", _) => &mut fields.url,
                ("file_data" | "result", _) => &mut fields.data,
                ("file_id", _) => &mut fields.file,
                ("detail", _) => &mut fields.detail,
                ("content" | "output", _) => {
                    fields.content = Some(reader.raw()?);
                    return Ok(());
                }
                ("summary", _) => {
                    fields.summary = Some(reader.raw()?);
                    return Ok(());
                }
                ("input_audio", Kind::Object) => return fields.audio(reader),
                // What an answer says of itself; it has no meaning for a vendor.
                ("id" | "status" | "annotations" | "logprobs" | "phase" | "caller", _) => {
                    return Ok(reader.skip()?);
                }
                (other, _) => {
                    note(others, &format!("input[].{other}"));
                    return Ok(reader.skip()?);
                }
            };
            let text = reader.string();
            let param = || format!("{at}.{}", key.raw());
            *place = Some(text.map_err(|error| ChatError::json(&param(), "a string", error))?);
            Ok::<(), ChatError>(())
        })?;
        Ok(fields)
    }

    fn audio(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("data", Kind::String) => self.data = Some(reader.string()?),
                ("format", Kind::String) => self.format = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn part(&self, at: Place) -> Result<Part<'b>, ChatError> {
        let missing = |field: &str| ChatError::at(format!("{at}.{field}"), Problem::Missing);
        let kind = self.kind.ok_or_else(|| missing("type"))?;
        let (kind, source, mime) = match kind.raw() {
            "input_text" | "output_text" | "text" | "refusal" => {
                let text = self.text.ok_or_else(|| missing("text"))?;
                return Ok(Part::Text { text, cache: None });
            }
            "input_image" => {
                let (source, mime) = match (self.url, self.file) {
                    (Some(url), _) => locate(url, at, "image_url")?,
                    (None, Some(file)) => (Source::Id(file), None),
                    (None, None) => return Err(missing("image_url")),
                };
                (MediaKind::Image, source, mime)
            }
            "input_file" => {
                let (source, mime) = self.source(at)?;
                (MediaKind::File, source, mime)
            }
            "input_audio" => {
                let data = self.data.ok_or_else(|| missing("input_audio.data"))?;
                let format = self.format.map(JsonText::unescape);
                let mime = format.map(|format| Cow::Owned(format!("audio/{format}")));
                (MediaKind::Audio, Source::Base64(data), mime)
            }
            _ => {
                let kinds = "one of input_text, input_image, input_file, input_audio, output_text, \
                             refusal";
                return Err(ChatError::at(format!("{at}.type"), Problem::Expected(kinds)));
            }
        };
        let (name, detail) = (self.name, self.detail);
        Ok(Part::Media(Media { name, detail, ..Media::new(kind, source, mime, at) }))
    }

    /// Where a file is.
    fn source(&self, at: Place) -> Result<(Source<'b>, Option<Cow<'b, str>>), ChatError> {
        match (self.data, self.url, self.file) {
            (Some(data), _, _) if data.raw().starts_with("data:") => locate(data, at, "file_data"),
            (Some(data), _, _) => {
                Ok((Source::Base64(data), Some(Cow::Borrowed("application/pdf"))))
            }
            (None, Some(url), _) => locate(url, at, "file_url"),
            (None, None, Some(id)) if is_address(id.raw()) => locate(id, at, "file_id"),
            (None, None, Some(id)) => Ok((Source::Id(id), None)),
            (None, None, None) => Err(ChatError::at(format!("{at}.file_data"), Problem::Missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> Result<(Vec<Turn<'_>>, Vec<Cow<'_, str>>), ChatError> {
        let (mut turns, mut others) = (Vec::new(), Vec::new());
        Talk::new(&mut turns, &mut others).input(&mut Reader::new(input))?;
        Ok((turns, others))
    }

    #[test]
    fn marks_go_back_to_where_they_were() {
        let input = r#"[{"role":"user","content":"q"},
            {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"vbridge1.gc.S\/1"},
            {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"n\":1.0e400}","status":"completed"},
            {"type":"function_call","call_id":"c2","name":"g","arguments":""},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image/png;base64,AA","detail":"auto"}]},
            {"type":"function_call_output","call_id":"c1","output":"a"},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"done","annotations":[]}]},
            {"type":"reasoning","summary":[],"encrypted_content":"vbridge1.gt.T"},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]}]"#;
        let (turns, others) = read(input).unwrap();
        let [_, said, second, first, told, go] = &turns[..] else { panic!("{turns:#?}") };
        assert_eq!(said.calls[0].signature.as_deref(), Some("S\\/1"));
        assert_eq!(said.calls[0].arguments, r#"{"n":1.0e400}"#);
        assert_eq!(
            (said.calls[1].signature.as_deref(), said.calls[1].arguments.as_ref()),
            (None, "{}")
        );
        assert_eq!((second.answers.unwrap().raw(), second.content.media().count()), ("c2", 1));
        assert_eq!(first.answers.unwrap().raw(), "c1");
        assert_eq!(told.signature.map(JsonText::raw), Some("T"));
        assert_eq!(go.role, Role::User);
        assert!(others.is_empty(), "{others:?}");
        let shown = second.content.media().next().and_then(|image| image.detail);
        assert_eq!(shown.map(JsonText::raw), Some("auto"));
    }

    #[test]
    fn anthropics_thinking_comes_back() {
        let input = r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"a\""},{"type":"summary_text","text":"b"}],"encrypted_content":"vbridge1.at.Eq"},
            {"type":"reasoning","summary":[],"encrypted_content":"vbridge1.ar.Em"},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"type":"reasoning","summary":[],"encrypted_content":"gAAAAopenai"},
            {"type":"reasoning","summary":[]}]"#;
        let (turns, others) = read(input).unwrap();
        let blocks = r#"[{"type":"thinking","thinking":"a\"b","signature":"Eq"},{"type":"redacted_thinking","data":"Em"}]"#;
        assert_eq!(turns[0].thinking.as_deref(), Some(blocks));
        assert_eq!((turns.len(), turns[0].calls.len()), (1, 1));
        assert_eq!(others, ["input[].encrypted_content"]);
    }

    #[test]
    fn the_item_at_fault_is_named() {
        let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
        for (input, param) in [
            ("[]".to_owned(), "input"),
            ("[7]".to_owned(), "input[0]"),
            (r#"[{"content":"x"}]"#.to_owned(), "input[0].role"),
            (r#"[{"role":"king","content":"x"}]"#.to_owned(), "input[0].role"),
            (r#"[{"role":"user"}]"#.to_owned(), "input[0].content"),
            (r#"[{"role":"user","content":7}]"#.to_owned(), "input[0].content"),
            (
                r#"[{"role":"user","content":[{"type":"video"}]}]"#.to_owned(),
                "input[0].content[0].type",
            ),
            (
                r#"[{"role":"user","content":[{"type":"input_image"}]}]"#.to_owned(),
                "input[0].content[0].image_url",
            ),
            (
                r#"[{"role":"user","content":[{"type":"input_file"}]}]"#.to_owned(),
                "input[0].content[0].file_data",
            ),
            (r#"[{"type":"web_search_call"}]"#.to_owned(), "input[0].type"),
            (r#"[{"type":"item_reference","id":"x"}]"#.to_owned(), "input[0].type"),
            (
                r#"[{"type":"function_call","call_id":"c","name":"f","arguments":"["}]"#.to_owned(),
                "input[0].arguments",
            ),
            (r#"[{"type":"function_call","name":"f"}]"#.to_owned(), "input[0].call_id"),
            (
                r#"[{"type":"function_call_output","call_id":"z","output":""}]"#.to_owned(),
                "input[0].call_id",
            ),
            (format!(r#"[{call},{{"role":"user","content":"x"}}]"#), "input[1] (c)"),
            (
                format!(r#"[{call},{{"type":"function_call_output","call_id":"c"}}]"#),
                "input[1].output",
            ),
        ] {
            let error = read(&input).err().unwrap_or_else(|| panic!("{input} passes"));
            assert_eq!(error.param, param, "{input}");
        }
    }
}
