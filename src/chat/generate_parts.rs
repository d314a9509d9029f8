//! The contents of a `generateContent` request and their parts
//! (<https://ai.google.dev/api/caching#Content>).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use crate::wire::json::{self, JsonText, Kind, Reader};

use super::carry::{self, Mark};
use super::generate_names::camel;
use super::others::note;
use super::part::{Content, Media, MediaKind, Part, Place, Source};
use super::problem::{ChatError, Problem, typed, typed_at};
use super::shelf::Shelf;
use super::turn::{Call, Role, Turn};

/// More contents than this are refused: a limit on everything.
const TURNS_MAX: usize = 20_000;

/// Reads a conversation.
pub(super) struct Talk<'r, 'b> {
    turns: &'r mut Vec<Turn<'b>>,
    others: &'r mut Vec<Cow<'b, str>>,
    shelf: &'b Shelf,
    /// Calls that nobody has answered yet: id and name.
    open: Vec<(JsonText<'b>, JsonText<'b>)>,
    /// Calls so far.
    calls: usize,
}

/// The fields of a part, before it is clear which part it is.
#[derive(Debug, Default)]
struct Fields<'b> {
    text: Option<JsonText<'b>>,
    thought: bool,
    signature: Option<JsonText<'b>>,
    inline: Option<Blob<'b>>,
    file: Option<Blob<'b>>,
    call: Option<Function<'b>>,
    response: Option<Function<'b>>,
}

/// `inlineData` or `fileData`.
#[derive(Clone, Copy, Debug, Default)]
struct Blob<'b> {
    mime: Option<JsonText<'b>>,
    data: Option<JsonText<'b>>,
    uri: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
}

/// `functionCall` or `functionResponse`.
#[derive(Clone, Copy, Debug, Default)]
struct Function<'b> {
    id: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    /// `args` or `response`: a JSON object.
    inside: Option<&'b str>,
    /// What a tool shows besides: an array of parts.
    parts: Option<&'b str>,
}

/// A content while its parts are read.
#[derive(Debug, Default)]
struct Said<'b> {
    /// Reasoning since the last signed block, as in a JSON string.
    thought: String,
    /// Anthropic's blocks of reasoning.
    blocks: String,
    parts: Vec<Part<'b>>,
    calls: Vec<Call<'b>>,
    signature: Option<JsonText<'b>>,
}

impl<'r, 'b> Talk<'r, 'b> {
    pub(super) fn new(
        turns: &'r mut Vec<Turn<'b>>,
        others: &'r mut Vec<Cow<'b, str>>,
        shelf: &'b Shelf,
    ) -> Self {
        Self { turns, others, shelf, open: Vec::new(), calls: 0 }
    }

    /// Reads `contents`; Google takes one without its array, too.
    pub(super) fn contents(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        if reader.kind()? == Kind::Object {
            return self.content(reader, 0);
        }
        typed(reader, Kind::Array, "contents", "an array of contents")?;
        reader.array(|reader, index| {
            if self.turns.len() >= TURNS_MAX {
                return Err(ChatError::at("contents", Problem::Expected("at most 20000 contents")));
            }
            self.content(reader, index)
        })
    }

    fn content(&mut self, reader: &mut Reader<'b>, index: usize) -> Result<(), ChatError> {
        const ROLES: Problem = Problem::Expected("one of user, model");
        let at = |field: &str| format!("contents[{index}]{field}");
        typed_at(reader, Kind::Object, || at(""), "an object")?;
        let (mut role, mut parts) = (None, None);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                (_, Kind::Null) => reader.skip()?,
                ("role", Kind::String) => role = Some(reader.string()?),
                ("role", _) => return Err(ChatError::at(at(".role"), ROLES)),
                ("parts", _) => parts = Some(reader.raw()?),
                (other, _) => {
                    note(self.others, &format!("contents[].{other}"));
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        let parts = parts.ok_or_else(|| ChatError::at(at(".parts"), Problem::Missing))?;
        match role.map_or("user", JsonText::raw) {
            "user" | "function" | "tool" => self.user(parts, index),
            "model" => self.model(parts, index),
            _ => Err(ChatError::at(at(".role"), ROLES)),
        }
    }

    fn user(&mut self, parts: &'b str, index: usize) -> Result<(), ChatError> {
        let mut said = Vec::new();
        let mut others = std::mem::take(self.others);
        let read = each_part(parts, index, &mut others, |fields, at, others| {
            if let Some(response) = fields.response {
                push_said(self.turns, &mut said);
                let turn = self.response(response, at, others)?;
                self.turns.push(turn);
                return Ok(());
            }
            fields.parts(at, &mut said)
        });
        *self.others = others;
        read?;
        if let (Some((_, name)), false) = (self.open.first(), said.is_empty()) {
            let name: String =
                name.unescape().chars().filter(|c| !c.is_control()).take(64).collect();
            let what = "begun by a functionResponse for each functionCall of the content before";
            let param = format!("contents[{index}].parts ({name})");
            return Err(ChatError::at(param, Problem::Expected(what)));
        }
        push_said(self.turns, &mut said);
        Ok(())
    }

    /// What a tool answered. Google's own clients may leave the id out.
    fn response(
        &mut self,
        response: Function<'b>,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Turn<'b>, ChatError> {
        let by_id = |id: JsonText<'b>| self.open.iter().position(|(open, _)| *open == id);
        let by_name = |name: JsonText<'b>| self.open.iter().position(|(_, open)| *open == name);
        let found = response.id.and_then(by_id).or_else(|| response.name.and_then(by_name));
        let Some(found) = found else {
            let what = "the id or the name of a functionCall of the content before, once";
            let param = format!("{at}.functionResponse.name");
            return Err(ChatError::at(param, Problem::Expected(what)));
        };
        let (id, _) = self.open.remove(found);
        let (text, failed) = told(response.inside.unwrap_or("{}"), self.shelf)?;
        let mut content = Content::Text(text);
        if let Some(shown) = response.parts {
            let mut parts = vec![Part::Text { text, cache: None }];
            each_part(shown, at.message, others, |fields, at, _others| {
                fields.parts(at, &mut parts)
            })?;
            content = Content::Parts(parts);
        }
        Ok(Turn { answers: Some(id), failed, ..Turn::new(Role::Tool, content) })
    }

    fn model(&mut self, parts: &'b str, index: usize) -> Result<(), ChatError> {
        let mut said = Said::default();
        let shelf = self.shelf;
        each_part(parts, index, self.others, |fields, at, _others| {
            let mark = fields.signature.and_then(|signature| opened(signature, shelf));
            if let Some(call) = fields.call {
                let call = call.call(at, self.calls, fields.signature, shelf)?;
                self.calls += 1;
                self.open.push((call.id, call.name));
                said.calls.push(call);
                return Ok(());
            }
            if fields.thought {
                said.think(fields.text.unwrap_or_default(), mark, self.turns);
                return Ok(());
            }
            if mark.is_none() {
                said.signature = fields.signature.or(said.signature);
            }
            fields.parts(at, &mut said.parts)
        })?;
        said.push(self.turns);
        Ok(())
    }
}

impl<'b> Said<'b> {
    /// Keeps reasoning until it is signed: only Anthropic takes it back, and only with its mark.
    fn think(
        &mut self,
        text: JsonText<'b>,
        mark: Option<(Mark, JsonText<'b>)>,
        turns: &mut Vec<Turn<'b>>,
    ) {
        self.thought.push_str(text.raw());
        let Some((mark, data)) = mark else { return };
        if !self.parts.is_empty() || !self.calls.is_empty() {
            let thought = std::mem::take(&mut self.thought);
            self.push(turns);
            self.thought = thought;
        }
        let (kind, field) = match mark {
            Mark::AnthropicThinking => ("thinking", "signature"),
            Mark::AnthropicRedacted => ("redacted_thinking", "data"),
            Mark::GoogleCall | Mark::GoogleText | Mark::Unsigned => {
                self.thought.clear();
                return;
            }
        };
        let thought = std::mem::take(&mut self.thought);
        self.blocks.push_str(if self.blocks.is_empty() { "[" } else { "," });
        let begin = ["{\"type\":\"", kind, "\",\""];
        begin.into_iter().for_each(|text| self.blocks.push_str(text));
        if mark == Mark::AnthropicThinking {
            let said = ["thinking\":\"", &thought, "\",\""];
            said.into_iter().for_each(|text| self.blocks.push_str(text));
        }
        let end = [field, "\":\"", data.raw(), "\"}"];
        end.into_iter().for_each(|text| self.blocks.push_str(text));
    }

    /// Ends the turn and begins another.
    fn push(&mut self, turns: &mut Vec<Turn<'b>>) {
        let Self { mut blocks, parts, calls, signature, .. } = std::mem::take(self);
        if blocks.is_empty() && parts.is_empty() && calls.is_empty() && signature.is_none() {
            return;
        }
        let thinking = (!blocks.is_empty()).then(|| {
            blocks.push(']');
            Cow::Owned(blocks)
        });
        let content = if parts.is_empty() { Content::None } else { Content::Parts(parts) };
        turns.push(Turn { calls, signature, thinking, ..Turn::new(Role::Assistant, content) });
    }
}

/// Ends a turn that only says something.
fn push_said<'b>(turns: &mut Vec<Turn<'b>>, parts: &mut Vec<Part<'b>>) {
    if !parts.is_empty() {
        turns.push(Turn::new(Role::User, Content::Parts(std::mem::take(parts))));
    }
}

/// Google's marks are bytes, so ours are one base64 further in. Its own are nothing to us.
fn opened<'b>(signature: JsonText<'b>, shelf: &'b Shelf) -> Option<(Mark, JsonText<'b>)> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
    const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    let text = signature.unescape();
    if !text.starts_with(carry::OPAQUE_FORM) {
        return None;
    }
    // Google's own client sends the other alphabet back than it was given.
    let bytes = PLAIN.decode(text.as_bytes()).or_else(|_error| FOR_URLS.decode(text.as_bytes()));
    carry::read(shelf.spell(&String::from_utf8(bytes.ok()?).ok()?))
}

/// Appends one of our marks in the form that Google's have.
pub(super) fn push_opaque(mark: Mark, data: JsonText<'_>, out: &mut Vec<u8>) {
    let mut inside = Vec::with_capacity(data.raw().len() + 16);
    carry::open(mark, &mut inside);
    inside.extend_from_slice(data.unescape().as_bytes());
    out.extend_from_slice(STANDARD.encode(inside).as_bytes());
}

/// What a tool answered, as a text. The hub wraps a text into `output` or `error` for Google, and
/// this takes it out again; any other object is told as it is.
fn told<'b>(response: &'b str, shelf: &'b Shelf) -> Result<(JsonText<'b>, bool), ChatError> {
    let (mut fields, mut only) = (0, None);
    Reader::new(response).object(|reader, key| {
        fields += 1;
        match (key.raw(), reader.kind()?) {
            (word @ ("output" | "error"), Kind::String) => {
                only = Some((reader.string()?, word == "error"));
            }
            _ => reader.skip()?,
        }
        Ok::<(), ChatError>(())
    })?;
    if let (1, Some(only)) = (fields, only) {
        return Ok(only);
    }
    let mut text = Vec::with_capacity(response.len() + 16);
    json::push_compact_escaped(&mut text, response);
    let text = shelf.keep(String::from_utf8(text).unwrap_or_default());
    Ok((JsonText::spelt(text), false))
}

/// Reads the parts of one content; Google takes one without its array, too.
fn each_part<'b>(
    parts: &'b str,
    message: usize,
    others: &mut Vec<Cow<'b, str>>,
    mut take: impl FnMut(&Fields<'b>, Place, &mut Vec<Cow<'b, str>>) -> Result<(), ChatError>,
) -> Result<(), ChatError> {
    let mut reader = Reader::new(parts);
    let mut one = |reader: &mut Reader<'b>, part: usize| {
        let at = Place::in_contents(message, part);
        let fields = Fields::read(reader, at, others)?;
        take(&fields, at, others)
    };
    if reader.kind()? == Kind::Object {
        return one(&mut reader, 0);
    }
    let param = format!("contents[{message}].parts");
    typed(&mut reader, Kind::Array, &param, "an array of parts")?;
    reader.array(one)
}

impl<'b> Fields<'b> {
    fn read(
        reader: &mut Reader<'b>,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        typed(reader, Kind::Object, &at.to_string(), "an object")?;
        let mut fields = Self::default();
        reader.object(|reader, key| {
            let name = camel(key);
            let wrong = |what| ChatError::at(format!("{at}.{name}"), Problem::Expected(what));
            match (name.as_ref(), reader.kind()?) {
                (_, Kind::Null) => reader.skip()?,
                ("text", Kind::String) => fields.text = Some(reader.string()?),
                ("thought", Kind::Bool) => fields.thought = reader.boolean()?,
                ("thoughtSignature", Kind::String) => {
                    fields.signature = Some(reader.string()?).filter(|text| !text.is_empty());
                }
                ("text" | "thoughtSignature", _) => return Err(wrong("a string")),
                ("thought", _) => return Err(wrong("a boolean")),
                ("inlineData", Kind::Object) => fields.inline = Some(Blob::read(reader)?),
                ("fileData", Kind::Object) => fields.file = Some(Blob::read(reader)?),
                ("functionCall", Kind::Object) => fields.call = Some(Function::read(reader)?),
                ("functionResponse", Kind::Object) => {
                    fields.response = Some(Function::read(reader)?);
                }
                ("inlineData" | "fileData" | "functionCall" | "functionResponse", _) => {
                    return Err(wrong("an object"));
                }
                ("executableCode" | "codeExecutionResult" | "toolCall" | "toolResponse", _) => {
                    let why = Problem::Unsupported("only Google itself has this kind of part");
                    return Err(ChatError::at(format!("{at}.{name}"), why));
                }
                (other, _) => {
                    note(others, &format!("contents[].parts[].{other}"));
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(fields)
    }

    /// What a part shows or tells.
    fn parts(&self, at: Place, parts: &mut Vec<Part<'b>>) -> Result<(), ChatError> {
        if let Some(text) = self.text {
            parts.push(Part::Text { text, cache: None });
        }
        for (blob, field) in [(self.inline, "inlineData"), (self.file, "fileData")] {
            if let Some(blob) = blob {
                parts.push(Part::Media(blob.media(at, field)?));
            }
        }
        let empty = self.text.is_none() && self.inline.is_none() && self.file.is_none();
        if empty && self.signature.is_none() {
            let what = "a part with a text, inlineData, fileData, functionCall or functionResponse";
            return Err(ChatError::at(at.to_string(), Problem::Expected(what)));
        }
        Ok(())
    }
}

impl<'b> Blob<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, ChatError> {
        let mut blob = Self::default();
        reader.object(|reader, key| {
            let place = match (camel(key).as_ref(), reader.kind()?) {
                ("mimeType", Kind::String) => &mut blob.mime,
                ("data", Kind::String) => &mut blob.data,
                ("fileUri", Kind::String) => &mut blob.uri,
                ("displayName", Kind::String) => &mut blob.name,
                _ => return Ok(reader.skip()?),
            };
            *place = Some(reader.string()?);
            Ok::<(), ChatError>(())
        })?;
        Ok(blob)
    }

    fn media(self, at: Place, field: &str) -> Result<Media<'b>, ChatError> {
        let missing = |name: &str| ChatError::at(format!("{at}.{field}.{name}"), Problem::Missing);
        let source = match (self.data, self.uri) {
            (Some(data), _) => Source::Base64(data),
            (None, Some(uri)) => Source::Url(uri),
            (None, None) if field == "fileData" => return Err(missing("fileUri")),
            (None, None) => return Err(missing("data")),
        };
        let mime = self.mime.map(JsonText::unescape);
        let by_path = self.uri.and_then(|uri| super::part::mime_of_path(uri.raw()));
        let mime = mime.or_else(|| by_path.map(Cow::Borrowed));
        let kind = match mime.as_deref().unwrap_or_default() {
            image if image.starts_with("image/") => MediaKind::Image,
            audio if audio.starts_with("audio/") => MediaKind::Audio,
            _ => MediaKind::File,
        };
        Ok(Media { name: self.name, ..Media::new(kind, source, mime, at) })
    }
}

impl<'b> Function<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, ChatError> {
        let mut function = Self::default();
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("id", Kind::String) => {
                    function.id = Some(reader.string()?).filter(|id| !id.is_empty());
                }
                ("name", Kind::String) => function.name = Some(reader.string()?),
                ("args" | "response", Kind::Object) => function.inside = Some(reader.raw()?),
                ("parts", Kind::Array) => function.parts = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok::<(), ChatError>(())
        })?;
        Ok(function)
    }

    fn call(
        self,
        at: Place,
        number: usize,
        signature: Option<JsonText<'b>>,
        shelf: &'b Shelf,
    ) -> Result<Call<'b>, ChatError> {
        let missing = || ChatError::at(format!("{at}.functionCall.name"), Problem::Missing);
        // Other vendors want ids. These say the same in every turn, as prompt caches want it.
        let made = || JsonText::spelt(shelf.keep(format!("call_{number:04}")));
        Ok(Call {
            id: self.id.unwrap_or_else(made),
            name: self.name.ok_or_else(missing)?,
            arguments: Cow::Borrowed(self.inside.unwrap_or("{}")),
            signature: signature.map(|mark| Cow::Borrowed(mark.raw())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard {
        turns: String,
        others: Vec<String>,
    }

    fn read(contents: &str) -> Result<Heard, ChatError> {
        let shelf = Shelf::default();
        let (mut turns, mut others) = (Vec::new(), Vec::new());
        Talk::new(&mut turns, &mut others, &shelf).contents(&mut Reader::new(contents))?;
        let others = others.into_iter().map(Cow::into_owned).collect();
        Ok(Heard { turns: turns.iter().map(shown).collect::<Vec<_>>().join("\n"), others })
    }

    /// A turn in a few words.
    fn shown(turn: &Turn<'_>) -> String {
        let texts: Vec<_> = turn.content.texts().map(JsonText::raw).collect();
        let media: Vec<_> =
            turn.content.media().map(|m| format!("{:?} {:?}", m.kind, m.mime)).collect();
        let call = |call: &Call<'_>| {
            format!(
                "{}:{}({})@{:?}",
                call.id.raw(),
                call.name.raw(),
                call.arguments,
                call.signature
            )
        };
        let calls: Vec<_> = turn.calls.iter().map(call).collect();
        let marks = (turn.signature.map(JsonText::raw), turn.thinking.as_deref());
        let answers = turn.answers.map(JsonText::raw);
        format!(
            "{:?} {texts:?} {media:?} {calls:?} {marks:?} {answers:?} {}",
            turn.role, turn.failed
        )
    }

    #[test]
    fn calls_find_their_answers_by_id_or_by_name() {
        let contents = r#"[{"role":"user","parts":[{"text":"q"}]},
            {"role":"model","parts":[{"text":"hm","thought":true},{"text":"a","thoughtSignature":"T"},
              {"functionCall":{"name":"f","args":{"n":1.0e400}},"thoughtSignature":"S"},
              {"functionCall":{"name":"f"}},{"function_call":{"id":"x","name":"g","args":{}}}]},
            {"role":"function","parts":[{"functionResponse":{"id":"x","name":"g","response":{"output":"o\n"}}},
              {"functionResponse":{"name":"f","response":{"error":"e"}}},
              {"functionResponse":{"name":"f","response":{"a": 1, "b": "c"},"parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}}]}}]},
            {"parts":{"text":"go"}}]"#;
        let heard = read(contents).unwrap();
        let expected = [
            r#"User ["q"] [] [] (None, None) None false"#,
            r#"Assistant ["a"] [] ["call_0000:f({\"n\":1.0e400})@Some(\"S\")", "call_0001:f({})@None", "x:g({})@None"] (Some("T"), None) None false"#,
            r#"Tool ["o\\n"] [] [] (None, None) Some("x") false"#,
            r#"Tool ["e"] [] [] (None, None) Some("call_0000") true"#,
            r#"Tool ["{\\\"a\\\":1,\\\"b\\\":\\\"c\\\"}"] ["Image Some(\"image/png\")"] [] (None, None) Some("call_0001") false"#,
            r#"User ["go"] [] [] (None, None) None false"#,
        ];
        assert_eq!(heard.turns, expected.join("\n"));
        assert!(heard.others.is_empty());
    }

    #[test]
    fn anthropics_marks_come_back_in_either_alphabet() {
        let mark = |mark, data| {
            let mut out = Vec::new();
            push_opaque(mark, JsonText::plain(data), &mut out);
            String::from_utf8(out).unwrap()
        };
        let signed = mark(Mark::AnthropicThinking, "Eq+/?>~=");
        assert!(signed.contains('/') || signed.contains('+'), "{signed}");
        let for_urls = signed.replace('+', "-").replace('/', "_").replace('=', "");
        let redacted = mark(Mark::AnthropicRedacted, "Em");
        for signed in [signed, for_urls] {
            let contents = format!(
                r#"{{"role":"model","parts":[{{"text":"a","thought":true}},{{"text":"b\"","thought":true}},
                {{"text":"","thought":true,"thoughtSignature":"{signed}"}},{{"text":"","thought":true,"thoughtSignature":"{redacted}"}},
                {{"text":"c"}},{{"text":"d","thought":true,"thoughtSignature":"{signed}"}},{{"functionCall":{{"name":"f"}}}}]}}"#
            )
            .replace(r#"b\""#, r#"b\\\""#);
            let heard = read(&contents).unwrap();
            let blocks = r#"[{"type":"thinking","thinking":"ab\\\"","signature":"Eq+/?>~="},{"type":"redacted_thinking","data":"Em"}]"#;
            let expected = format!(
                "Assistant [\"c\"] [] [] (None, Some({blocks:?})) None false\n{}",
                r#"Assistant [] [] ["call_0000:f({})@None"] (None, Some("[{\"type\":\"thinking\",\"thinking\":\"d\",\"signature\":\"Eq+/?>~=\"}]")) None false"#
            );
            assert_eq!(heard.turns, expected);
        }
    }

    #[test]
    fn media_and_unknown_parts() {
        let contents = r#"[{"role":"user","parts":[{"inline_data":{"mime_type":"audio/wav","data":"AA"}},
            {"fileData":{"fileUri":"gs://b/x.pdf"},"videoMetadata":{}},{"text":null,"fileData":{"fileUri":"https://h/v","mimeType":"video/mp4"}}],"x":1}]"#;
        let heard = read(contents).unwrap();
        let media = r#"["Audio Some(\"audio/wav\")", "File Some(\"application/pdf\")", "File Some(\"video/mp4\")"]"#;
        assert!(heard.turns.contains(media), "{}", heard.turns);
        assert_eq!(heard.others, ["contents[].x", "contents[].parts[].videoMetadata"]);
    }

    #[test]
    fn the_part_at_fault_is_named() {
        let user = |part: &str| format!(r#"[{{"role":"user","parts":[{part}]}}]"#);
        let calls = r#"{"role":"model","parts":[{"functionCall":{"name":"f"}}]}"#;
        for (contents, param) in [
            ("7".to_owned(), "contents"),
            ("[7]".to_owned(), "contents[0]"),
            ("[{}]".to_owned(), "contents[0].parts"),
            (r#"[{"role":"king","parts":[]}]"#.to_owned(), "contents[0].role"),
            (r#"[{"parts":7}]"#.to_owned(), "contents[0].parts"),
            (user("7"), "contents[0].parts[0]"),
            (user("{}"), "contents[0].parts[0]"),
            (user(r#"{"text":7}"#), "contents[0].parts[0].text"),
            (user(r#"{"inlineData":{}}"#), "contents[0].parts[0].inlineData.data"),
            (user(r#"{"fileData":{}}"#), "contents[0].parts[0].fileData.fileUri"),
            (user(r#"{"executableCode":{}}"#), "contents[0].parts[0].executableCode"),
            (
                user(r#"{"functionResponse":{"name":"f"}}"#),
                "contents[0].parts[0].functionResponse.name",
            ),
            (
                r#"[{"role":"model","parts":[{"functionCall":{}}]}]"#.to_owned(),
                "contents[0].parts[0].functionCall.name",
            ),
            (format!(r#"[{calls},{{"parts":[{{"text":"x"}}]}}]"#), "contents[1].parts (f)"),
        ] {
            let error = read(&contents).err().unwrap_or_else(|| panic!("{contents} passes"));
            assert_eq!(error.param, param, "{contents}");
        }
    }
}
