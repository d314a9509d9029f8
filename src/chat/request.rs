//! A client's chat request, read once and borrowed from its body.
//!
//! Numbers and text keep their spelling. What the hub does not understand is kept by name, so
//! that whoever encodes the request for a vendor can say what was left out.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::options::Options;
use super::problem::{ChatError, Problem, typed};

/// More turns than this are refused: a limit on everything.
const TURNS_MAX: usize = 20_000;

/// Unknown top-level fields that are remembered by name.
const OTHERS_MAX: usize = 64;

/// A chat request.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    /// The model as the client names it: `[A-Za-z0-9._:/@-]{1,128}` without `..`.
    pub model: Cow<'b, str>,
    /// Wants events instead of one answer.
    pub stream: bool,
    /// Wants a usage chunk at the end of the stream.
    pub include_usage: bool,
    /// The conversation, in order.
    pub turns: Vec<Turn<'b>>,
    /// Sampling and all other wishes.
    pub options: Options<'b>,
    /// Top-level fields that have no meaning here, by name.
    pub others: Vec<Cow<'b, str>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `system` and `developer`.
    System,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'b> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content<'b>,
    /// A mark of the vendor on an earlier answer, sent back to it.
    pub signature: Option<JsonText<'b>>,
}

/// What is said in one message.
#[derive(Clone, Debug)]
pub enum Content<'b> {
    /// Nothing.
    None,
    /// One text.
    Text(JsonText<'b>),
    /// Several parts.
    Parts(Vec<Part<'b>>),
}

/// One part of a message.
#[derive(Clone, Copy, Debug)]
pub enum Part<'b> {
    /// Text.
    Text(JsonText<'b>),
}

impl<'b> Content<'b> {
    /// The parts, whatever their form.
    pub fn parts(&self) -> impl Iterator<Item = Part<'b>> + '_ {
        let (single, several): (Option<Part<'b>>, &[Part<'b>]) = match self {
            Content::None => (None, &[]),
            Content::Text(text) => (Some(Part::Text(*text)), &[]),
            Content::Parts(parts) => (None, parts),
        };
        single.into_iter().chain(several.iter().copied())
    }
}

/// Which required fields have been seen.
#[derive(Debug, Default)]
struct Seen<'b> {
    names: Vec<&'b str>,
    model: bool,
    messages: bool,
}

impl<'b> Request<'b> {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn parse(body: &'b [u8]) -> Result<Self, ChatError> {
        let text =
            std::str::from_utf8(body).map_err(|_offset| ChatError::at("", Problem::NotUtf8))?;
        let mut reader = Reader::new(text);
        if reader.kind()? != Kind::Object {
            reader.skip()?;
            reader.end()?;
            return Err(ChatError::at("", Problem::Expected("an object")));
        }
        let mut request = Self {
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            turns: Vec::new(),
            options: Options::default(),
            others: Vec::new(),
        };
        // A request that breaks off is broken JSON, whatever else is wrong with the part before.
        let mut first_problem: Option<ChatError> = None;
        let mut seen = Seen::default();
        reader.object(|reader, key| {
            let mut ahead = reader.clone();
            reader.skip()?;
            if first_problem.is_none() {
                first_problem = request.member(&mut ahead, key, &mut seen).err();
            }
            Ok::<(), ChatError>(())
        })?;
        reader.end()?;
        if let Some(problem) = first_problem {
            return Err(problem);
        }
        for (name, there) in [("model", seen.model), ("messages", seen.messages)] {
            if !there {
                return Err(ChatError::at(name, Problem::Missing));
            }
        }
        request.options.check()?;
        Ok(request)
    }

    fn member(
        &mut self,
        reader: &mut Reader<'b>,
        key: JsonText<'b>,
        seen: &mut Seen<'b>,
    ) -> Result<(), ChatError> {
        let name = key.unescape();
        seen.once(key, &name)?;
        match name.as_ref() {
            "model" => {
                self.model = model_name(reader)?;
                seen.model = true;
            }
            "messages" => {
                self.messages(reader)?;
                seen.messages = true;
            }
            _ if reader.null()? => {}
            "stream" => {
                self.stream = reader
                    .boolean()
                    .map_err(|error| ChatError::json("stream", "a boolean", error))?;
            }
            "stream_options" => self.stream_options(reader)?,
            known => {
                if !self.options.member(known, reader)? && self.others.len() < OTHERS_MAX {
                    self.others.push(name);
                }
            }
        }
        Ok(())
    }

    fn stream_options(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Object, "stream_options", "an object")?;
        reader.object(|reader, key| {
            if key.unescape() != "include_usage" {
                return Ok(reader.skip()?);
            }
            if !reader.null()? {
                let name = "stream_options.include_usage";
                self.include_usage =
                    reader.boolean().map_err(|error| ChatError::json(name, "a boolean", error))?;
            }
            Ok(())
        })
    }

    fn messages(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Array, "messages", "an array of messages")?;
        reader.array(|reader, index| {
            if index == TURNS_MAX {
                return Err(ChatError::at("messages", Problem::Expected("at most 20000 messages")));
            }
            let turn = Turn::parse(reader, index)?;
            self.turns.push(turn);
            Ok(())
        })?;
        if self.turns.is_empty() {
            return Err(ChatError::at("messages", Problem::Expected("at least one message")));
        }
        Ok(())
    }
}

impl<'b> Seen<'b> {
    /// Two readers could take different ones of two fields with one name.
    fn once(&mut self, key: JsonText<'b>, name: &str) -> Result<(), ChatError> {
        // The usual request has a handful of fields; one with thousands is not worth serving.
        if self.names.len() > 256 {
            return Err(ChatError::at("", Problem::Expected("an object with at most 256 fields")));
        }
        let double = self.names.iter().any(|seen| *seen == key.raw());
        let escaped = key.raw() != name;
        if double || escaped && self.names.contains(&name) {
            return Err(ChatError::at(printable(name), Problem::Duplicate));
        }
        self.names.push(key.raw());
        Ok(())
    }
}

impl<'b> Turn<'b> {
    fn parse(reader: &mut Reader<'b>, index: usize) -> Result<Self, ChatError> {
        let at = |field: &str| format!("messages[{index}]{field}");
        if reader.kind()? != Kind::Object {
            return Err(ChatError::at(at(""), Problem::Expected("an object")));
        }
        let (mut role, mut content, mut refusal) = (None, Content::None, None);
        let (mut signature, mut said) = (None, false);
        reader.object(|reader, key| {
            match key.unescape().as_ref() {
                "role" => role = Some(read_role(reader, || at(".role"))?),
                "content" => {
                    said = true;
                    content = read_content(reader, index)?;
                }
                "refusal" if !reader.null()? => {
                    let text = reader.string();
                    refusal = Some(text.map_err(|error| {
                        ChatError::json(&at(".refusal"), "a string or null", error)
                    })?);
                }
                "tool_calls" | "function_call" if !reader.null()? => {
                    let text = "tool calls are not supported yet";
                    return Err(ChatError::at(at(".tool_calls"), Problem::Unsupported(text)));
                }
                "extra_content" => signature = super::options::google_signature(reader)?,
                _ => reader.skip()?,
            }
            Ok::<(), ChatError>(())
        })?;
        let role = role.ok_or_else(|| ChatError::at(at(".role"), Problem::Missing))?;
        if let (Content::None, Some(refusal)) = (&content, refusal) {
            content = Content::Text(refusal);
        }
        let silent = matches!(content, Content::None);
        if silent && (role != Role::Assistant || !said) {
            return Err(ChatError::at(at(".content"), Problem::Missing));
        }
        Ok(Self { role, content, signature })
    }
}

fn read_role(reader: &mut Reader<'_>, at: impl Fn() -> String) -> Result<Role, ChatError> {
    const ROLES: &str = "one of system, developer, user, assistant";
    let text = reader.string().map_err(|error| ChatError::json(&at(), ROLES, error))?;
    match text.unescape().as_ref() {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" | "function" => {
            Err(ChatError::at(at(), Problem::Unsupported("tool results are not supported yet")))
        }
        _ => Err(ChatError::at(at(), Problem::Expected(ROLES))),
    }
}

fn read_content<'b>(reader: &mut Reader<'b>, index: usize) -> Result<Content<'b>, ChatError> {
    let at = |field: &str| format!("messages[{index}].content{field}");
    match reader.kind()? {
        Kind::Null => {
            reader.null()?;
            Ok(Content::None)
        }
        Kind::String => Ok(Content::Text(reader.string()?)),
        Kind::Array => {
            let mut parts = Vec::new();
            reader.array(|reader, part| {
                parts.push(read_part(reader, || at(&format!("[{part}]")))?);
                Ok::<(), ChatError>(())
            })?;
            if parts.is_empty() {
                return Err(ChatError::at(at(""), Problem::Expected("at least one part")));
            }
            Ok(Content::Parts(parts))
        }
        Kind::Object | Kind::Number | Kind::Bool => {
            Err(ChatError::at(at(""), Problem::Expected("a string or an array of parts")))
        }
    }
}

fn read_part<'b>(reader: &mut Reader<'b>, at: impl Fn() -> String) -> Result<Part<'b>, ChatError> {
    if reader.kind()? != Kind::Object {
        return Err(ChatError::at(at(), Problem::Expected("an object")));
    }
    let (mut kind, mut text) = (None, None);
    reader.object(|reader, key| {
        let name = key.unescape();
        if !matches!(name.as_ref(), "type" | "text" | "refusal") {
            return Ok(reader.skip()?);
        }
        let value = reader
            .string()
            .map_err(|error| ChatError::json(&format!("{}.{name}", at()), "a string", error))?;
        *(if name == "type" { &mut kind } else { &mut text }) = Some(value);
        Ok::<(), ChatError>(())
    })?;
    let missing = |field: &str| ChatError::at(format!("{}.{field}", at()), Problem::Missing);
    let kind = kind.ok_or_else(|| missing("type"))?.unescape();
    match kind.as_ref() {
        "text" | "refusal" => Ok(Part::Text(text.ok_or_else(|| missing("text"))?)),
        "image_url" | "input_audio" | "file" => Err(ChatError::at(
            format!("{}.type", at()),
            Problem::Unsupported("images, audio and files are not supported yet"),
        )),
        _ => Err(ChatError::at(
            format!("{}.type", at()),
            Problem::Expected("one of text, image_url, input_audio, file, refusal"),
        )),
    }
}

/// Names go into URLs, headers and logs, so they are kept to harmless characters.
fn model_name<'b>(reader: &mut Reader<'b>) -> Result<Cow<'b, str>, ChatError> {
    const NAME: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : / @ - without two dots in a row";
    let text = reader.string().map_err(|error| ChatError::json("model", "a string", error))?;
    let name = text.unescape();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    if (1..=128).contains(&name.len()) && name.bytes().all(legal) && !name.contains("..") {
        return Ok(name);
    }
    Err(ChatError::at("model", Problem::Expected(NAME)))
}

/// A client's own field name, short enough to be quoted.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(body: &str) -> (String, Problem) {
        let error = Request::parse(body.as_bytes()).err();
        error.map(|error| (error.param, error.problem)).unwrap_or_else(|| panic!("{body} passes"))
    }

    #[test]
    fn a_plain_request_is_read() {
        let body = r#"{"model":"gemini-2.5-flash","messages":[
            {"role":"system","content":"Be \"brief\""},
            {"role":"user","content":[{"type":"text","text":"a"},{"text":"b","type":"text"}]},
            {"role":"assistant","content":null,"refusal":"no"}],
            "stream":true,"stream_options":{"include_usage":true},"user":"u","x":{"y":[1]}}"#;
        let request = Request::parse(body.as_bytes()).unwrap();
        assert_eq!(request.model, "gemini-2.5-flash");
        assert!(request.stream && request.include_usage);
        assert_eq!(request.turns.len(), 3);
        assert_eq!(request.turns[1].content.parts().count(), 2);
        assert!(matches!(request.turns[2].content, Content::Text(text) if text.raw() == "no"));
        assert_eq!(request.others, ["user", "x"]);
    }

    #[test]
    fn the_field_at_fault_is_named() {
        use Problem as P;
        let m = r#""messages":[{"role":"user","content":"x"}]"#;
        let ask = |rest: &str| format!(r#"{{"model":"m",{m}{rest}}}"#);
        assert_eq!(fails("{"), (String::new(), P::Syntax));
        assert_eq!(fails("[]").1, P::Expected("an object"));
        assert_eq!(fails(&format!("{{{m}}}")), ("model".to_owned(), P::Missing));
        assert_eq!(fails(r#"{"model":"m"}"#), ("messages".to_owned(), P::Missing));
        assert_eq!(fails(&ask(r#","model":"m""#)), ("model".to_owned(), P::Duplicate));
        assert_eq!(fails(&ask(r#","mo\u0064el":"m""#)), ("model".to_owned(), P::Duplicate));
        assert_eq!(fails(&ask(r#","stream":1"#)).0, "stream");
        assert_eq!(
            fails(&ask(r#","stream_options":{"include_usage":0}"#)).0,
            "stream_options.include_usage"
        );
        assert_eq!(fails(&ask("} ")).1, P::Syntax);
        assert_eq!(fails(&ask(&format!(",\"x\":{}", "[".repeat(200)))).1, P::TooDeep);
        for (messages, param) in [
            ("1", "messages"),
            ("[]", "messages"),
            ("[1]", "messages[0]"),
            (r#"[{"content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":7}]"#, "messages[0].content"),
            (r#"[{"role":"king","content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
            (r#"[{"role":"user","content":[{"text":"x"}]}]"#, "messages[0].content[0].type"),
        ] {
            let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
            assert_eq!(fails(&body).0, param, "{messages}");
        }
        for name in ["", "a b", "a/../b", "é", "a\\nb", "a?b"] {
            let body = format!(r#"{{"model":"{name}",{m}}}"#);
            assert_eq!(fails(&body).0, "model", "{name}");
        }
    }

    #[test]
    fn no_prefix_of_a_request_is_a_request() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"é😀\n"}],"n":1}"#;
        assert!(Request::parse(body.as_bytes()).is_ok());
        for cut in 0..body.len() {
            assert!(Request::parse(&body.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }
}
