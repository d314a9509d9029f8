//! The outline of a client's request: the whole body is checked, little of it is understood.
//!
//! It is all that a request needs whose bytes go on as they came, and what every other request is
//! routed by. Fields that we and a vendor must read alike are refused when they stand twice; all
//! else, with its order and its spelling, is left to the vendor.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use crate::base::ascii::ByteSet;
use crate::wire::find::find;
use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};
use crate::wire::splice::Splices;

use super::carry;
use super::problem::{ChatError, Problem};
use super::turn::MARK_SEPARATOR;

/// How many fields a body has at most.
const FIELDS_MAX: usize = 256;

/// How many the usual one has.
pub(super) const FIELDS: usize = 12;

/// A field as it is spelt: the inside of its name, and its value.
pub(super) type Field<'b> = (&'b str, &'b str);

/// What a body must have besides its model.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The field that holds what there is to answer.
    pub payload: &'static str,
    /// What it must be.
    pub kinds: &'static [Kind],
    /// The same in words.
    pub expected: &'static str,
    /// The answer can be asked for in events.
    pub streams: bool,
    /// The body names the model; else the path does.
    pub names_model: bool,
}

impl Form {
    /// `POST /v1/chat/completions`.
    pub const CHAT: Self = Self {
        payload: "messages",
        kinds: &[Kind::Array],
        expected: "an array of messages",
        streams: true,
        names_model: true,
    };
    /// `POST /v1/completions`.
    pub const COMPLETIONS: Self = Self {
        payload: "prompt",
        kinds: &[Kind::String, Kind::Array],
        expected: "a string or an array",
        streams: true,
        names_model: true,
    };
    /// `POST /v1/messages`.
    pub const MESSAGES: Self = Self::CHAT;
    /// `POST /v1/embeddings`.
    pub const EMBEDDINGS: Self = Self {
        payload: "input",
        kinds: &[Kind::String, Kind::Array],
        expected: "a string or an array",
        streams: false,
        names_model: true,
    };
    /// `POST /v1/responses`.
    pub const RESPONSES: Self = Self {
        payload: "input",
        kinds: &[Kind::String, Kind::Array],
        expected: "a string or an array of items",
        streams: true,
        names_model: true,
    };
    /// `POST /v1beta/models/{model}:generateContent`.
    pub const GENERATE: Self = Self {
        payload: "contents",
        kinds: &[Kind::Array, Kind::Object],
        expected: "an array of contents",
        streams: false,
        names_model: false,
    };
}

/// Where `stream_options` stands, as far as a wish for usage needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Options {
    /// Nowhere.
    Missing,
    /// Here, as `null`.
    Null(Range<usize>),
    /// Its first field would stand here; is there another one?
    Object { inside: usize, empty: bool },
    /// It has `include_usage`, with this value.
    Usage(Range<usize>),
}

/// The outline of one body.
#[derive(Debug)]
pub struct Outline<'b> {
    /// The model as the client names it: `[A-Za-z0-9._:/@-]{1,128}` without `..`.
    pub model: Cow<'b, str>,
    /// Wants events instead of one answer.
    pub stream: bool,
    /// Wants a usage chunk at the end of the stream.
    pub include_usage: bool,
    body: &'b str,
    /// The value of `model`, with its quotes.
    model_at: Range<usize>,
    /// The name `model`, with its quotes.
    model_key_at: Range<usize>,
    options: Options,
    /// The brace that ends the body.
    end: usize,
    /// What other gateways have put behind ids.
    marks: Vec<Range<usize>>,
    /// The fields in their order, if they were to be kept and are not too many.
    fields: Vec<Field<'b>>,
    /// How many there are in all.
    count: usize,
}

/// Which of the guarded fields have been seen.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one field")]
struct Seen {
    model: bool,
    payload: bool,
    stream: bool,
    options: bool,
}

impl<'b> Outline<'b> {
    /// Reads a body in one pass.
    ///
    /// # Errors
    /// What is wrong and which field it concerns. A body that is not JSON is just that, whatever
    /// else is wrong with it.
    pub fn parse(body: &'b [u8], form: &Form) -> Result<Self, ChatError> {
        Self::read(body, form, false)
    }

    /// The same; `keep` says that somebody will ask for all fields.
    pub(super) fn read(body: &'b [u8], form: &Form, keep: bool) -> Result<Self, ChatError> {
        let text =
            std::str::from_utf8(body).map_err(|_offset| ChatError::at("", Problem::NotUtf8))?;
        let mut reader = Reader::new(text);
        if reader.kind()? != Kind::Object {
            reader.skip()?;
            reader.end()?;
            return Err(ChatError::at("", Problem::Expected("an object")));
        }
        let mut outline = Self {
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            body: text,
            model_at: 0..0,
            model_key_at: 0..0,
            options: Options::Missing,
            end: 0,
            marks: Vec::new(),
            fields: Vec::with_capacity(if keep { FIELDS } else { 0 }),
            count: 0,
        };
        let (mut seen, mut first_problem) = (Seen::default(), None);
        reader.object(|reader, key| {
            let mut ahead = reader.clone();
            match outline.member(reader, key, form, &mut seen) {
                Ok(from) => {
                    outline.count += 1;
                    if keep && outline.count <= FIELDS_MAX {
                        outline.fields.push((key.raw(), reader.since(from)));
                    }
                    Ok(())
                }
                Err(problem) => {
                    ahead.skip()?;
                    *reader = ahead;
                    first_problem.get_or_insert(problem);
                    Ok::<(), ChatError>(())
                }
            }
        })?;
        outline.end = reader.offset() - 1;
        reader.end()?;
        if let Some(problem) = first_problem {
            return Err(problem);
        }
        let named = seen.model || !form.names_model;
        for (name, there) in [("model", named), (form.payload, seen.payload)] {
            if !there {
                return Err(ChatError::at(name, Problem::Missing));
            }
        }
        Ok(outline)
    }

    /// The body as it came.
    pub fn body(&self) -> &'b str {
        self.body
    }

    /// The fields in their order; none when there are more than [`FIELDS_MAX`].
    pub(super) fn fields(&self) -> Option<Cow<'_, [Field<'b>]>> {
        if self.fields.len() == self.count {
            return Some(Cow::Borrowed(&self.fields));
        }
        if self.count > FIELDS_MAX {
            return None;
        }
        let mut fields = Vec::with_capacity(self.count);
        let read = Reader::new(self.body).object(|reader, key| {
            fields.push((key.raw(), reader.raw()?));
            Ok::<(), JsonError>(())
        });
        read.ok().map(|()| Cow::Owned(fields))
    }

    /// Calls `each` with the name and the spelt value of all that may say how to answer: the
    /// fields, and those of Gemini's generation config among them.
    pub(super) fn settings(&self, mut each: impl FnMut(&str, &str)) {
        let mut field = |name: &str, value: &str| match name {
            "generationConfig" | "generation_config" => read_fields(value, &mut each),
            _ => each(name, value),
        };
        match self.fields() {
            Some(fields) => fields.iter().for_each(|(name, value)| {
                field(&JsonText::spelt(name).unescape(), value);
            }),
            None => read_fields(self.body, field),
        }
    }

    /// Calls `member` with each field, which it must read. None stands twice: two readers could
    /// take different ones.
    pub(super) fn members(
        &self,
        mut member: impl FnMut(&mut Reader<'b>, Cow<'b, str>) -> Result<(), ChatError>,
    ) -> Result<(), ChatError> {
        let mut names: SmallVec<[&'b str; 16]> = SmallVec::new();
        Reader::new(self.body).object(|reader, key| {
            let name = key.unescape();
            // The usual request has a handful of fields; one with thousands is not worth serving.
            if names.len() > FIELDS_MAX {
                let what = Problem::Expected("an object with at most 256 fields");
                return Err(ChatError::at("", what));
            }
            let double = names.contains(&key.raw());
            let escaped = key.raw() != name;
            if double || escaped && names.contains(&name.as_ref()) {
                return Err(ChatError::at(printable(&name), Problem::Duplicate));
            }
            names.push(key.raw());
            member(reader, name)
        })
    }

    /// What must be changed before the body goes to a vendor: the model's name where it has
    /// another one there, ids that other gateways have marked, and with `ask_usage` the wish for a
    /// usage chunk that the client has not.
    pub fn changes(&self, model: &str, ask_usage: bool) -> Splices {
        let mut changes = Splices::default();
        if model != self.model && !self.model_at.is_empty() {
            let mut name = Vec::with_capacity(model.len() + 2);
            json::push_string(&mut name, model);
            changes.replace(self.model_at.clone(), &name);
        }
        if ask_usage {
            self.ask_usage(&mut changes);
        }
        for mark in &self.marks {
            changes.replace(mark.clone(), b"");
        }
        changes
    }

    /// Puts another member, name and value, in the place of `model`.
    pub fn replace_model(&self, name: &str, value: &str, changes: &mut Splices) {
        if self.model_at.is_empty() {
            return;
        }
        for (at, text) in [(&self.model_key_at, name), (&self.model_at, value)] {
            let mut quoted = Vec::with_capacity(text.len() + 2);
            json::push_string(&mut quoted, text);
            changes.replace(at.clone(), &quoted);
        }
    }

    /// Adds a member behind all others, of which there is at least one.
    pub fn add_member(&self, name: &str, value: &str, changes: &mut Splices) {
        let member = [",\"", name, "\":", value].concat();
        changes.replace(self.end..self.end, member.as_bytes());
    }

    /// Has the conversation been with other vendors, so that it holds what only a translation
    /// takes off: marks in the clothes of this API, or behind ids?
    pub fn has_foreign_marks(&self) -> bool {
        let has = |text: &str| find(self.body.as_bytes(), text.as_bytes());
        carry::FORMS.into_iter().chain([MARK_SEPARATOR]).any(|text| has(text).is_some())
    }

    /// Where the key of the value at `from` stands, with its quotes.
    fn key_before(&self, from: usize, key: JsonText<'_>) -> Range<usize> {
        let before = self.body.get(..from).unwrap_or_default().trim_ascii_end();
        let before = before.strip_suffix(':').unwrap_or(before).trim_ascii_end();
        before.len().saturating_sub(key.raw().len() + 2)..before.len()
    }

    fn ask_usage(&self, changes: &mut Splices) {
        match &self.options {
            Options::Missing => {
                changes.replace(self.end..self.end, br#","stream_options":{"include_usage":true}"#);
            }
            Options::Null(at) => changes.replace(at.clone(), br#"{"include_usage":true}"#),
            Options::Object { inside, empty: true } => {
                changes.replace(*inside..*inside, br#""include_usage":true"#);
            }
            Options::Object { inside, empty: false } => {
                changes.replace(*inside..*inside, br#""include_usage":true,"#);
            }
            Options::Usage(at) => changes.replace(at.clone(), b"true"),
        }
    }

    /// Reads a field; where its value begins.
    fn member(
        &mut self,
        reader: &mut Reader<'b>,
        key: JsonText<'b>,
        form: &Form,
        seen: &mut Seen,
    ) -> Result<usize, ChatError> {
        let kind = reader.kind()?;
        let from = reader.offset();
        let name = key.unescape();
        match name.as_ref() {
            "model" if form.names_model => {
                once(&mut seen.model, &name)?;
                self.model = model_name(reader)?;
                self.model_at = from..reader.offset();
                self.model_key_at = self.key_before(from, key);
            }
            payload if payload == form.payload => {
                once(&mut seen.payload, payload)?;
                if !form.kinds.contains(&kind) {
                    return Err(ChatError::at(payload, Problem::Expected(form.expected)));
                }
                self.payload(reader)?;
            }
            "stream" if form.streams => {
                once(&mut seen.stream, &name)?;
                if !reader.null()? {
                    let read = reader.boolean();
                    self.stream =
                        read.map_err(|error| ChatError::json("stream", "a boolean", error))?;
                }
            }
            "stream_options" if form.streams => {
                once(&mut seen.options, &name)?;
                self.stream_options(reader, kind)?;
            }
            _ => reader.skip()?,
        }
        Ok(from)
    }

    fn stream_options(&mut self, reader: &mut Reader<'b>, kind: Kind) -> Result<(), ChatError> {
        let from = reader.offset();
        match kind {
            Kind::Null => {
                reader.null()?;
                self.options = Options::Null(from..reader.offset());
                return Ok(());
            }
            Kind::Object => {}
            _ => return Err(ChatError::at("stream_options", Problem::Expected("an object"))),
        }
        let mut empty = true;
        let mut usage = None;
        reader.object(|reader, key| {
            empty = false;
            if key.unescape() != "include_usage" {
                return Ok(reader.skip()?);
            }
            let kind = reader.kind()?;
            let from = reader.offset();
            let wanted =
                if kind == Kind::Null { reader.null().map(|_| false) } else { reader.boolean() };
            let name = "stream_options.include_usage";
            let wanted = wanted.map_err(|error| ChatError::json(name, "a boolean", error))?;
            // Of two the last one counts, for all readers that we know.
            usage = Some((wanted, from..reader.offset()));
            Ok::<(), ChatError>(())
        })?;
        self.options = Options::Object { inside: from + 1, empty };
        if let Some((wanted, at)) = usage {
            self.include_usage = wanted;
            self.options = Options::Usage(at);
        }
        Ok(())
    }

    /// Skips what there is to answer; looks for marked ids only where there may be some.
    fn payload(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        if reader.kind()? != Kind::Array
            || find(self.body.as_bytes(), MARK_SEPARATOR.as_bytes()).is_none()
        {
            return Ok(reader.skip()?);
        }
        reader.array(|reader, _index| {
            if reader.kind()? != Kind::Object {
                return reader.skip();
            }
            reader.object(|reader, key| match (key.unescape().as_ref(), reader.kind()?) {
                ("tool_call_id", Kind::String) => self.id(reader),
                ("tool_calls", Kind::Array) => reader.array(|reader, _index| {
                    if reader.kind()? != Kind::Object {
                        return reader.skip();
                    }
                    reader.object(|reader, key| match (key.unescape().as_ref(), reader.kind()?) {
                        ("id", Kind::String) => self.id(reader),
                        _ => reader.skip(),
                    })
                }),
                _ => reader.skip(),
            })
        })?;
        Ok(())
    }

    /// Reads an id and notes the mark behind it.
    fn id(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        let id = reader.string()?;
        if let Some(at) = id.raw().find(MARK_SEPARATOR) {
            let end = reader.offset() - 1;
            self.marks.push(end - id.raw().len() + at..end);
        }
        Ok(())
    }
}

/// Calls `each` with name and value of each field of an object; nothing else has any.
fn read_fields(json: &str, mut each: impl FnMut(&str, &str)) {
    let _no_object = Reader::new(json).object(|reader, name| {
        each(&name.unescape(), reader.raw()?);
        Ok::<(), JsonError>(())
    });
}

/// Two readers could take different ones of two fields with one name.
fn once(seen: &mut bool, name: &str) -> Result<(), ChatError> {
    if std::mem::replace(seen, true) {
        return Err(ChatError::at(name, Problem::Duplicate));
    }
    Ok(())
}

/// A client's own field name, short enough to be quoted.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Names go into URLs, headers and logs, so they are kept to harmless characters.
fn model_name<'b>(reader: &mut Reader<'b>) -> Result<Cow<'b, str>, ChatError> {
    let text = reader.string().map_err(|error| ChatError::json("model", "a string", error))?;
    let name = text.unescape();
    check_model(&name)?;
    Ok(name)
}

/// Refuses a name with other characters.
pub(super) fn check_model(name: &str) -> Result<(), ChatError> {
    const NAME: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : / @ - without two dots in a row";
    const LEGAL: ByteSet = ByteSet::alphanumeric_and(b"._:/@-");
    let bytes = name.as_bytes();
    let doubled = || bytes.windows(2).any(|pair| pair == b"..");
    if (1..=128).contains(&bytes.len()) && LEGAL.has_all(bytes) && !doubled() {
        return Ok(());
    }
    Err(ChatError::at("model", Problem::Expected(NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(body: &str) -> Outline<'_> {
        Outline::parse(body.as_bytes(), &Form::CHAT).unwrap()
    }

    fn changed(body: &str, model: &str, ask_usage: bool) -> String {
        let mut out = Vec::new();
        outline(body).changes(model, ask_usage).apply(body.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_outlined_and_needs_no_change() {
        let body = " {\"messages\" : [7,{\"a\":1,\"a\":1e999}], \"stream\":true,\"x\":[],\"x\":{},\r\n\
            \"mod\\u0065l\": \"gpt-4o\", \"stream_options\":{ \"include_usage\" :true,\"y\":1} }\t";
        let outline = outline(body);
        assert_eq!(outline.model, "gpt-4o");
        assert!(outline.stream && outline.include_usage);
        assert_eq!(changed(body, "gpt-4o", false), body);
        let renamed = body.replace("\"gpt-4o\"", "\"a/b\"");
        assert_eq!(changed(body, "a/b", false), renamed);
    }

    #[test]
    fn usage_is_asked_for_in_every_form() {
        let ask = |options: &str| {
            changed(&format!(r#"{{"model":"m","messages":[]{options} }}"#), "m", true)
        };
        let all = |options: &str| format!(r#"{{"model":"m","messages":[]{options}}}"#);
        assert_eq!(ask(""), all(r#" ,"stream_options":{"include_usage":true}"#));
        for (has, gets) in [
            ("null", r#"{"include_usage":true}"#),
            ("{}", r#"{"include_usage":true}"#),
            ("{ }", r#"{"include_usage":true }"#),
            (r#"{ "a":1}"#, r#"{"include_usage":true, "a":1}"#),
            (r#"{"a":1,"include_usage": false }"#, r#"{"a":1,"include_usage": true }"#),
            (r#"{"include_usage":null}"#, r#"{"include_usage":true}"#),
        ] {
            let options = format!(r#","stream_options":{has}"#);
            let expected = all(&format!(r#","stream_options":{gets} "#));
            assert_eq!(ask(&options), expected, "{has}");
        }
    }

    #[test]
    fn marks_of_other_gateways_leave_the_ids() {
        let message = |calls: &str, result: &str| {
            format!(
                r#"{{"model":"m","messages":[{{"role":"assistant","content":"id__thought__x","tool_calls":[{{"id":"{calls}","function":{{"arguments":"{{\"id\":\"a__thought__b\"}}"}}}}]}},{{"role":"tool","tool_call_id":"{result}"}}],"id":"k__thought__l"}}"#
            )
        };
        let marked = message("call_1__thought__S+/=", "call_1__thought__S__thought__T");
        assert_eq!(changed(&marked, "m", false), message("call_1", "call_1"));
        let clean = message("call_1", "call_2");
        assert_eq!(changed(&clean, "m", false), clean);
    }

    #[test]
    fn what_we_and_a_vendor_must_read_alike_is_checked() {
        use Problem as P;
        let fails = |body: &str| {
            let error = Outline::parse(body.as_bytes(), &Form::CHAT).unwrap_err();
            (error.param, error.problem)
        };
        let m = r#""model":"m","messages":[]"#;
        assert_eq!(fails("[1]").1, P::Expected("an object"));
        assert_eq!(fails(r#"{"messages":[]}"#), ("model".to_owned(), P::Missing));
        assert_eq!(fails(r#"{"model":"m"}"#), ("messages".to_owned(), P::Missing));
        for (twice, name) in [
            (r#""mod\u0065l":"m""#, "model"),
            (r#""messages":[]"#, "messages"),
            (r#""stream":true,"stream":true"#, "stream"),
            (r#""stream_options":{},"stream_options":{}"#, "stream_options"),
        ] {
            assert_eq!(fails(&format!("{{{m},{twice}}}")), (name.to_owned(), P::Duplicate));
        }
        for (wrong, name) in [
            (r#"{"model":1,"messages":[]}"#, "model"),
            (r#"{"model":"a b","messages":[]}"#, "model"),
            (r#"{"model":"m","messages":{}}"#, "messages"),
            (r#"{"model":"m","messages":[],"stream":"true"}"#, "stream"),
            (r#"{"model":"m","messages":[],"stream_options":[]}"#, "stream_options"),
            (
                r#"{"model":"m","messages":[],"stream_options":{"include_usage":1}}"#,
                "stream_options.include_usage",
            ),
        ] {
            assert_eq!(fails(wrong).0, name, "{wrong}");
            // A break later in the body goes before.
            assert_eq!(
                fails(&wrong.replace(r#""messages""#, r#""a":[1,],"messages""#)).1,
                P::Syntax
            );
        }
        assert_eq!(fails(&format!("{{{m},\"x\":{}", "[".repeat(200))).1, P::TooDeep);
        assert_eq!(fails(&format!("{{{m}}} x")).1, P::Syntax);
        assert!(Outline::parse(b"{\"model\":\"\xff\"}", &Form::CHAT).is_err());
    }

    #[test]
    fn every_form_has_its_payload() {
        let parse = |body: &str, form: &Form| Outline::parse(body.as_bytes(), form).map(drop);
        assert!(parse(r#"{"model":"m","input":"x","stream":7}"#, &Form::EMBEDDINGS).is_ok());
        assert!(parse(r#"{"model":"m","input":[[1,2]]}"#, &Form::EMBEDDINGS).is_ok());
        assert!(parse(r#"{"model":"m","input":{}}"#, &Form::EMBEDDINGS).is_err());
        assert!(parse(r#"{"model":"m","messages":[]}"#, &Form::COMPLETIONS).is_err());
        assert!(parse(r#"{"model":"m","prompt":"x","stream":null}"#, &Form::COMPLETIONS).is_ok());
    }

    #[test]
    fn no_prefix_of_a_request_has_an_outline() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"é😀\n"}],"n":1}"#;
        for cut in 0..body.len() {
            assert!(Outline::parse(&body.as_bytes()[..cut], &Form::CHAT).is_err(), "{cut}");
        }
    }
}
