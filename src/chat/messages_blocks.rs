//! The messages of Anthropic's Messages API and their content blocks.
//!
//! One message may become several turns: what tools answered stands in messages of the user, and
//! an assistant may think, speak and call in any order, while a turn has one order.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::carry::{self, Mark};
use super::others::note;
use super::part::{Content, Media, MediaKind, Part, Place, Source};
use super::problem::{ChatError, Problem, typed, typed_at};
use super::turn::{Call, Role, Turn};

/// More turns than this are refused: a limit on everything.
const TURNS_MAX: usize = 20_000;

/// Reads a conversation.
pub(super) struct Talk<'r, 'b> {
    turns: &'r mut Vec<Turn<'b>>,
    others: &'r mut Vec<Cow<'b, str>>,
    /// Calls of the last assistant messages that nobody has answered yet.
    open: Vec<JsonText<'b>>,
}

/// The fields of a block, before it is clear which block it is.
#[derive(Debug, Default)]
struct Fields<'b> {
    kind: Option<JsonText<'b>>,
    text: Option<JsonText<'b>>,
    id: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    thinking: Option<JsonText<'b>>,
    signature: Option<JsonText<'b>>,
    data: Option<JsonText<'b>>,
    title: Option<JsonText<'b>>,
    /// A JSON object.
    input: Option<&'b str>,
    /// What a tool answered, or what a search found: read when its kind is known.
    content: Option<&'b str>,
    /// An object, or a text in search results.
    source: Option<&'b str>,
    failed: bool,
    cache: Option<&'b str>,
    /// The whole block.
    raw: &'b str,
}

/// `source` of an image or a document.
#[derive(Debug, Default)]
struct Origin<'b> {
    kind: Option<JsonText<'b>>,
    mime: Option<JsonText<'b>>,
    data: Option<JsonText<'b>>,
    url: Option<JsonText<'b>>,
    file: Option<JsonText<'b>>,
    content: Option<&'b str>,
}

/// A turn of the assistant while its blocks are read.
#[derive(Debug, Default)]
struct Said<'b> {
    thoughts: String,
    parts: Vec<Part<'b>>,
    calls: Vec<Call<'b>>,
    signature: Option<JsonText<'b>>,
    cache: Option<&'b str>,
}

impl<'r, 'b> Talk<'r, 'b> {
    pub(super) fn new(turns: &'r mut Vec<Turn<'b>>, others: &'r mut Vec<Cow<'b, str>>) -> Self {
        Self { turns, others, open: Vec::new() }
    }

    /// Reads `messages`.
    pub(super) fn messages(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Array, "messages", "an array of messages")?;
        reader.array(|reader, index| {
            if self.turns.len() >= TURNS_MAX {
                return Err(ChatError::at("messages", Problem::Expected("at most 20000 messages")));
            }
            self.message(reader, index)
        })?;
        if self.turns.is_empty() {
            return Err(ChatError::at("messages", Problem::Expected("at least one message")));
        }
        Ok(())
    }

    fn message(&mut self, reader: &mut Reader<'b>, index: usize) -> Result<(), ChatError> {
        const ROLES: &str = "one of user, assistant";
        let at = |field: &str| format!("messages[{index}]{field}");
        typed_at(reader, Kind::Object, || at(""), "an object")?;
        let (mut role, mut content) = (None, None);
        reader.object(|reader, key| {
            match key.unescape().as_ref() {
                "role" => {
                    let read = reader.string();
                    role = Some(read.map_err(|e| ChatError::json(&at(".role"), ROLES, e))?);
                }
                "content" => content = Some(reader.raw()?),
                other => {
                    note(self.others, &format!("messages[].{other}"));
                    reader.skip()?;
                }
            }
            Ok::<(), ChatError>(())
        })?;
        let missing = |field: &str| ChatError::at(at(field), Problem::Missing);
        let content = content.ok_or_else(|| missing(".content"))?;
        let mut content = Reader::new(content);
        match role.ok_or_else(|| missing(".role"))?.raw() {
            "user" => self.user(&mut content, index),
            "assistant" => self.assistant(&mut content, index),
            "system" => {
                let content = self.plain(&mut content, Place::in_messages(index, 0))?;
                self.turns.push(Turn::new(Role::System, content));
                Ok(())
            }
            _ => Err(ChatError::at(at(".role"), Problem::Expected(ROLES))),
        }
    }

    fn user(&mut self, reader: &mut Reader<'b>, index: usize) -> Result<(), ChatError> {
        let mut parts = Vec::new();
        if reader.kind()? == Kind::String {
            let text = reader.string()?;
            self.answered(index)?;
            self.turns.push(Turn::new(Role::User, Content::Text(text)));
            return Ok(());
        }
        each_block(reader, index, self.others, |fields, at, others| {
            if fields.is("tool_result") {
                push_said(self.turns, Role::User, &mut parts);
                let result = result(fields, at, others)?;
                let answers = result.answers.unwrap_or_default();
                let Some(call) = self.open.iter().position(|id| *id == answers) else {
                    let what = "the id of a tool_use block of the message before, once";
                    let param = format!("{at}.tool_use_id");
                    return Err(ChatError::at(param, Problem::Expected(what)));
                };
                self.open.remove(call);
                self.turns.push(result);
                return Ok(());
            }
            fields.parts(at, others, &mut parts)
        })?;
        self.answered(index)?;
        push_said(self.turns, Role::User, &mut parts);
        Ok(())
    }

    /// Vendors want the results of all calls right behind them.
    fn answered(&self, index: usize) -> Result<(), ChatError> {
        let Some(id) = self.open.first() else { return Ok(()) };
        let id: String = id.unescape().chars().filter(|c| !c.is_control()).take(64).collect();
        let param = format!("messages[{index}].content ({id})");
        let what = "begun by a tool_result block for each tool_use block of the message before";
        Err(ChatError::at(param, Problem::Expected(what)))
    }

    fn assistant(&mut self, reader: &mut Reader<'b>, index: usize) -> Result<(), ChatError> {
        if reader.kind()? == Kind::String {
            let text = reader.string()?;
            self.turns.push(Turn::new(Role::Assistant, Content::Text(text)));
            return Ok(());
        }
        let mut said = Said::default();
        // Google's mark on the call that comes next.
        let mut mark = None;
        each_block(reader, index, self.others, |fields, at, others| {
            let kind = fields.kind.map(JsonText::raw).unwrap_or_default();
            match kind {
                "thinking" | "redacted_thinking" => {
                    let place = if kind == "thinking" { fields.signature } else { fields.data };
                    let signature = place.unwrap_or_default();
                    match carry::read(signature) {
                        Some((Mark::GoogleCall, text)) => mark = Some(text),
                        Some((Mark::GoogleText, text)) => said.signature = Some(text),
                        Some(_) => {}
                        // Nobody takes reasoning back that nobody has signed.
                        None if signature.is_empty() => {}
                        None => said.think(fields.raw, self.turns),
                    }
                }
                "tool_use" => {
                    let mut call = fields.call(at)?;
                    call.signature =
                        mark.take().map(|mark: JsonText<'b>| Cow::Borrowed(mark.raw()));
                    self.open.push(call.id);
                    said.cache = fields.cache.or(said.cache);
                    said.calls.push(call);
                }
                _ => {
                    fields.parts(at, others, &mut said.parts)?;
                }
            }
            Ok(())
        })?;
        said.push(self.turns);
        Ok(())
    }

    /// Content that may only be shown or told.
    fn plain(&mut self, reader: &mut Reader<'b>, at: Place) -> Result<Content<'b>, ChatError> {
        plain(reader, at, self.others)
    }
}

impl<'b> Said<'b> {
    /// Keeps a block as it was sent. A turn thinks before it says anything.
    fn think(&mut self, block: &str, turns: &mut Vec<Turn<'b>>) {
        if !self.parts.is_empty() || !self.calls.is_empty() {
            self.push(turns);
        }
        self.thoughts.push(if self.thoughts.is_empty() { '[' } else { ',' });
        self.thoughts.push_str(block);
    }

    /// Ends the turn and begins another.
    fn push(&mut self, turns: &mut Vec<Turn<'b>>) {
        let Self { mut thoughts, parts, calls, signature, cache } = std::mem::take(self);
        let empty = parts.is_empty() && calls.is_empty() && signature.is_none();
        if thoughts.is_empty() && empty {
            return;
        }
        let thinking = (!thoughts.is_empty()).then(|| {
            thoughts.push(']');
            Cow::Owned(thoughts)
        });
        let content = if parts.is_empty() { Content::None } else { Content::Parts(parts) };
        let turn = Turn::new(Role::Assistant, content);
        turns.push(Turn { calls, signature, thinking, cache, ..turn });
    }
}

/// Ends a turn that only says something.
fn push_said<'b>(turns: &mut Vec<Turn<'b>>, role: Role, parts: &mut Vec<Part<'b>>) {
    if !parts.is_empty() {
        turns.push(Turn::new(role, Content::Parts(std::mem::take(parts))));
    }
}

/// Reads the blocks of one message.
fn each_block<'b>(
    reader: &mut Reader<'b>,
    message: usize,
    others: &mut Vec<Cow<'b, str>>,
    mut take: impl FnMut(&Fields<'b>, Place, &mut Vec<Cow<'b, str>>) -> Result<(), ChatError>,
) -> Result<(), ChatError> {
    let at = format!("messages[{message}].content");
    typed(reader, Kind::Array, &at, "a string or an array of content blocks")?;
    reader.array(|reader, part| {
        let at = Place::in_messages(message, part);
        let fields = Fields::read(reader, at, others)?;
        take(&fields, at, others)
    })
}

/// What a tool answered.
fn result<'b>(
    fields: &Fields<'b>,
    at: Place,
    others: &mut Vec<Cow<'b, str>>,
) -> Result<Turn<'b>, ChatError> {
    let missing = || ChatError::at(format!("{at}.tool_use_id"), Problem::Missing);
    let answers = fields.id.ok_or_else(missing)?;
    let content = match fields.content {
        Some(content) => plain(&mut Reader::new(content), at, others)?,
        None => Content::Text(JsonText::plain("")),
    };
    let turn = Turn::new(Role::Tool, content);
    Ok(Turn { answers: Some(answers), failed: fields.failed, cache: fields.cache, ..turn })
}

/// A text, or blocks that show or tell.
fn plain<'b>(
    reader: &mut Reader<'b>,
    at: Place,
    others: &mut Vec<Cow<'b, str>>,
) -> Result<Content<'b>, ChatError> {
    if reader.kind()? == Kind::String {
        return Ok(Content::Text(reader.string()?));
    }
    let what = "a string or an array of content blocks";
    typed(reader, Kind::Array, &format!("{at}.content"), what)?;
    let mut parts = Vec::new();
    reader
        .array(|reader, _index| Fields::read(reader, at, others)?.parts(at, others, &mut parts))?;
    Ok(Content::Parts(parts))
}

impl<'b> Fields<'b> {
    fn read(
        reader: &mut Reader<'b>,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        typed(reader, Kind::Object, &at.to_string(), "an object")?;
        let mut fields = Self { raw: reader.clone().raw()?, ..Self::default() };
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                (_, Kind::Null) => return Ok(reader.skip()?),
                ("type", _) => &mut fields.kind,
                ("text", _) => &mut fields.text,
                ("id" | "tool_use_id", _) => &mut fields.id,
                ("name", _) => &mut fields.name,
                ("thinking", _) => &mut fields.thinking,
                ("signature", _) => &mut fields.signature,
                ("data", _) => &mut fields.data,
                ("title", _) => &mut fields.title,
                ("is_error", Kind::Bool) => {
                    fields.failed = reader.boolean()?;
                    return Ok(());
                }
                ("input", Kind::Object) => {
                    fields.input = Some(reader.raw()?);
                    return Ok(());
                }
                ("content", _) => {
                    fields.content = Some(reader.raw()?);
                    return Ok(());
                }
                ("source", _) => {
                    fields.source = Some(reader.raw()?);
                    return Ok(());
                }
                ("cache_control", Kind::Object) => {
                    fields.cache = Some(reader.raw()?);
                    return Ok(());
                }
                // What Anthropic says of its own calls; it has no meaning elsewhere.
                ("caller", _) => return Ok(reader.skip()?),
                (other, _) => {
                    note(others, &format!("messages[].content[].{other}"));
                    return Ok(reader.skip()?);
                }
            };
            let text = reader.string();
            let param = || format!("{at}.{}", key.raw());
            *place = Some(text.map_err(|error| ChatError::json(&param(), "a string", error))?);
            Ok::<(), ChatError>(())
        })?;
        if fields.kind.is_none() {
            return Err(ChatError::at(format!("{at}.type"), Problem::Missing));
        }
        Ok(fields)
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.is_some_and(|found| found.raw() == kind)
    }

    fn missing(at: Place, field: &str) -> ChatError {
        ChatError::at(format!("{at}.{field}"), Problem::Missing)
    }

    /// The parts of a block that shows or tells something.
    fn parts(
        &self,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
        parts: &mut Vec<Part<'b>>,
    ) -> Result<(), ChatError> {
        let cache = self.cache;
        match self.kind.map(JsonText::raw).unwrap_or_default() {
            "text" => {
                let text = self.text.ok_or_else(|| Self::missing(at, "text"))?;
                parts.push(Part::Text { text, cache });
                Ok(())
            }
            "image" => self.medium(MediaKind::Image, at, others, parts),
            "document" => self.medium(MediaKind::File, at, others, parts),
            "search_result" => {
                note(others, "messages[].content[].source");
                let content = self.content.ok_or_else(|| Self::missing(at, "content"))?;
                parts.extend(self.title.map(|text| Part::Text { text, cache: None }));
                self.nested(content, at, others, parts)
            }
            "tool_reference" | "server_tool_use" | "container_upload" | "browser_state" => {
                let why = "only Anthropic itself has this kind of block";
                Err(ChatError::at(format!("{at}.type"), Problem::Unsupported(why)))
            }
            kind if kind.ends_with("_tool_result") => {
                let why = "only Anthropic itself has this kind of block";
                Err(ChatError::at(format!("{at}.type"), Problem::Unsupported(why)))
            }
            _ => {
                let kinds = "a kind of block that may stand here, such as text, image, document";
                Err(ChatError::at(format!("{at}.type"), Problem::Expected(kinds)))
            }
        }
    }

    /// Blocks inside of this one.
    fn nested(
        &self,
        content: &'b str,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
        parts: &mut Vec<Part<'b>>,
    ) -> Result<(), ChatError> {
        match plain(&mut Reader::new(content), at, others)? {
            Content::None => {}
            Content::Text(text) => parts.push(Part::Text { text, cache: self.cache }),
            Content::Parts(inside) => parts.extend(inside),
        }
        Ok(())
    }

    fn medium(
        &self,
        kind: MediaKind,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
        parts: &mut Vec<Part<'b>>,
    ) -> Result<(), ChatError> {
        let source = self.source.ok_or_else(|| Self::missing(at, "source"))?;
        let origin = Origin::read(&mut Reader::new(source), at)?;
        let missing = |field: &str| Self::missing(at, &format!("source.{field}"));
        let source = match origin.kind.map(JsonText::raw) {
            Some("base64") => Source::Base64(origin.data.ok_or_else(|| missing("data"))?),
            Some("url") => Source::Url(origin.url.ok_or_else(|| missing("url"))?),
            Some("file") => Source::Id(origin.file.ok_or_else(|| missing("file_id"))?),
            // Text is text, whatever it was wrapped in.
            Some("text") => {
                let text = origin.data.ok_or_else(|| missing("data"))?;
                parts.extend(self.title.map(|text| Part::Text { text, cache: None }));
                parts.push(Part::Text { text, cache: self.cache });
                return Ok(());
            }
            Some("content") => {
                let content = origin.content.ok_or_else(|| missing("content"))?;
                parts.extend(self.title.map(|text| Part::Text { text, cache: None }));
                return self.nested(content, at, others, parts);
            }
            _ => {
                let kinds = Problem::Expected("one of base64, url, file, text, content");
                return Err(ChatError::at(format!("{at}.source.type"), kinds));
            }
        };
        let mime = origin.mime.map(JsonText::unescape);
        let mime = match (mime, kind, source) {
            (Some(mime), _, _) => Some(mime),
            (None, MediaKind::File, _) => Some(Cow::Borrowed("application/pdf")),
            (None, _, Source::Url(url)) => super::part::mime_of_path(url.raw()).map(Cow::Borrowed),
            (None, _, _) => None,
        };
        let name = self.title;
        let medium = Media::new(kind, source, mime, at);
        parts.push(Part::Media(Media { name, cache: self.cache, ..medium }));
        Ok(())
    }

    fn call(&self, at: Place) -> Result<Call<'b>, ChatError> {
        let arguments = self.input.ok_or_else(|| Self::missing(at, "input"))?;
        Ok(Call {
            id: self.id.ok_or_else(|| Self::missing(at, "id"))?,
            name: self.name.ok_or_else(|| Self::missing(at, "name"))?,
            arguments: Cow::Borrowed(arguments),
            signature: None,
        })
    }
}

impl<'b> Origin<'b> {
    fn read(reader: &mut Reader<'b>, at: Place) -> Result<Self, ChatError> {
        typed(reader, Kind::Object, &format!("{at}.source"), "an object")?;
        let mut origin = Self::default();
        reader.object(|reader, key| {
            let place = match key.raw() {
                "type" => &mut origin.kind,
                "media_type" => &mut origin.mime,
                "data" => &mut origin.data,
                "url" => &mut origin.url,
                "file_id" => &mut origin.file,
                "content" => {
                    origin.content = Some(reader.raw()?);
                    return Ok(());
                }
                _ => return Ok(reader.skip()?),
            };
            let text = reader.string();
            let param = || format!("{at}.source.{}", key.raw());
            *place = Some(text.map_err(|error| ChatError::json(&param(), "a string", error))?);
            Ok::<(), ChatError>(())
        })?;
        Ok(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &str) -> Result<(Vec<Turn<'_>>, Vec<Cow<'_, str>>), ChatError> {
        let (mut turns, mut others) = (Vec::new(), Vec::new());
        Talk::new(&mut turns, &mut others).messages(&mut Reader::new(messages))?;
        Ok((turns, others))
    }

    #[test]
    fn marks_go_back_to_where_they_were() {
        let messages = r#"[{"role":"user","content":"q"},{"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"vbridge1.gc.S\/1"},
            {"type":"tool_use","id":"toolu_1","name":"f","input":{"n":1.0e400},"caller":{"type":"direct"}},
            {"type":"tool_use","id":"toolu_2","name":"g","input":{}},
            {"type":"redacted_thinking","data":"vbridge1.gt.T"},
            {"type":"thinking","thinking":"x","signature":"vbridge1.un."},
            {"type":"thinking","thinking":"x","signature":""}]},
            {"role":"user","content":[
            {"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"b"},
              {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},
            {"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":"no"},
            {"type":"text","text":"go on"}]}]"#;
        let (turns, others) = read(messages).unwrap();
        assert_eq!(turns.len(), 5, "{turns:#?}");
        let [_, said, second, first, go] = &turns[..] else { panic!() };
        assert_eq!(said.calls[0].signature.as_deref(), Some("S\\/1"));
        assert_eq!(said.calls[0].arguments, r#"{"n":1.0e400}"#);
        assert_eq!((said.calls[1].signature.as_deref(), said.thinking.as_deref()), (None, None));
        assert_eq!(said.signature.map(JsonText::raw), Some("T"));
        assert_eq!((second.role, second.answers.unwrap().raw()), (Role::Tool, "toolu_2"));
        assert_eq!(second.content.media().count(), 1);
        assert!(first.failed && !second.failed);
        assert_eq!(go.role, Role::User);
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn anthropics_own_thinking_keeps_its_order() {
        let messages = r#"[{"role":"assistant","content":[
            {"type":"thinking","thinking":"a","signature":"EqQ"},{"type":"redacted_thinking","data":"Em"},
            {"type":"text","text":"b"},{"type":"thinking","thinking":"c","signature":"Er"},
            {"type":"tool_use","id":"x","name":"f","input":{}}]}]"#;
        let (turns, _) = read(messages).unwrap();
        assert_eq!(turns.len(), 2);
        let first = r#"[{"type":"thinking","thinking":"a","signature":"EqQ"},{"type":"redacted_thinking","data":"Em"}]"#;
        assert_eq!(turns[0].thinking.as_deref(), Some(first));
        assert_eq!(turns[0].content.texts().count(), 1);
        assert!(turns[1].thinking.as_deref().unwrap().contains("Er"));
        assert_eq!(turns[1].calls.len(), 1);
    }

    #[test]
    fn documents_and_finds_are_told() {
        let messages = r#"[{"role":"user","content":[
            {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"a.pdf","citations":{"enabled":true}},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"},"title":"t"},
            {"type":"document","source":{"type":"content","content":[{"type":"text","text":"inside"}]}},
            {"type":"document","source":{"type":"url","url":"https://h/x.pdf"}},
            {"type":"image","source":{"type":"url","url":"https://h/x.PNG"}},
            {"type":"image","source":{"type":"file","file_id":"file_1"}},
            {"type":"search_result","source":"https://s","title":"found","content":[{"type":"text","text":"it"}]}]}]"#;
        let (turns, others) = read(messages).unwrap();
        let texts: Vec<_> = turns[0].content.texts().map(JsonText::raw).collect();
        assert_eq!(texts, ["t", "plain", "inside", "found", "it"]);
        let media: Vec<_> = turns[0].content.media().collect();
        assert_eq!(media[0].name.map(JsonText::raw), Some("a.pdf"));
        assert_eq!(media[1].mime.as_deref(), Some("application/pdf"));
        assert_eq!(media[2].mime.as_deref(), Some("image/png"));
        assert!(matches!(media[3].source, Source::Id(_)));
        assert_eq!(others, ["messages[].content[].citations", "messages[].content[].source"]);
    }

    #[test]
    fn the_block_at_fault_is_named() {
        let user = |block: &str| format!(r#"[{{"role":"user","content":[{block}]}}]"#);
        let calls = r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}"#;
        for (messages, param) in [
            ("7".to_owned(), "messages"),
            ("[]".to_owned(), "messages"),
            ("[7]".to_owned(), "messages[0]"),
            (r#"[{"content":"x"}]"#.to_owned(), "messages[0].role"),
            (r#"[{"role":"tool","content":"x"}]"#.to_owned(), "messages[0].role"),
            (r#"[{"role":"user"}]"#.to_owned(), "messages[0].content"),
            (r#"[{"role":"user","content":7}]"#.to_owned(), "messages[0].content"),
            (user("7"), "messages[0].content[0]"),
            (user(r#"{"text":"x"}"#), "messages[0].content[0].type"),
            (user(r#"{"type":"text"}"#), "messages[0].content[0].text"),
            (user(r#"{"type":"text","text":7}"#), "messages[0].content[0].text"),
            (user(r#"{"type":"video"}"#), "messages[0].content[0].type"),
            (user(r#"{"type":"container_upload","file_id":"x"}"#), "messages[0].content[0].type"),
            (user(r#"{"type":"image"}"#), "messages[0].content[0].source"),
            (
                user(r#"{"type":"image","source":{"type":"ftp"}}"#),
                "messages[0].content[0].source.type",
            ),
            (
                user(r#"{"type":"image","source":{"type":"url"}}"#),
                "messages[0].content[0].source.url",
            ),
            (user(r#"{"type":"tool_result","content":"x"}"#), "messages[0].content[0].tool_use_id"),
            (
                user(r#"{"type":"tool_result","tool_use_id":"z"}"#),
                "messages[0].content[0].tool_use_id",
            ),
            (format!(r#"[{calls},{{"role":"user","content":"x"}}]"#), "messages[1].content (a)"),
            (
                format!(r#"[{calls},{{"role":"user","content":[{{"type":"text","text":"x"}}]}}]"#),
                "messages[1].content (a)",
            ),
            (
                r#"[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f"}]}]"#
                    .to_owned(),
                "messages[0].content[0].input",
            ),
        ] {
            let error = read(&messages).err().unwrap_or_else(|| panic!("{messages} passes"));
            assert_eq!(error.param, param, "{messages}");
        }
        assert!(read(&format!("[{calls}]")).is_ok(), "the vendor may judge the last");
    }
}
