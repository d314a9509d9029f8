//! A client's chat request, read once and borrowed from its body.
//!
//! Numbers and text keep their spelling. What the hub does not understand is kept by name, so
//! that whoever encodes the request for a vendor can say what was left out.

use std::borrow::Cow;

use crate::wire::json::{Kind, Reader};

use super::options::Options;
use super::others::OTHERS_MAX;
use super::outline::{Form, Outline};
use super::problem::{ChatError, Problem, typed};
use super::tools::Tools;
use super::turn::{Role, Turn};

/// More turns than this are refused: a limit on everything.
const TURNS_MAX: usize = 20_000;

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
    /// What may be called.
    pub tools: Tools<'b>,
    /// Sampling and all other wishes.
    pub options: Options<'b>,
    /// Fields that have no meaning here, by name.
    pub others: Vec<Cow<'b, str>>,
    /// Fields that the answer repeats, as they were sent.
    pub echo: Vec<(&'static str, &'b str)>,
    /// Unfinished features of Anthropic's that the client wants: a header field, not in the body.
    pub betas: Option<&'b str>,
}

impl<'b> Request<'b> {
    /// A request that says nothing yet, for the readers of other dialects.
    pub fn empty() -> Self {
        Self {
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            turns: Vec::new(),
            tools: Tools::default(),
            options: Options::default(),
            others: Vec::new(),
            echo: Vec::new(),
            betas: None,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn parse(body: &'b [u8]) -> Result<Self, ChatError> {
        Self::read(&Outline::parse(body, &Form::CHAT)?)
    }

    /// Understands a body whose syntax has been checked.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn read(outline: &Outline<'b>) -> Result<Self, ChatError> {
        let mut request = Self {
            model: outline.model.clone(),
            stream: outline.stream,
            include_usage: outline.include_usage,
            ..Self::empty()
        };
        outline.members(|reader, name| request.member(reader, name))?;
        request.options.check()?;
        request.tools.check()?;
        Ok(request)
    }

    /// Turns system messages behind the first turn into the user's, where they stand: a system
    /// instruction that grows would spoil what the vendor has cached. One between a call and its
    /// result stays what it is, since nothing may stand there.
    pub fn inline_system(&mut self) {
        let mut talks = false;
        let mut waits_for_results = false;
        for turn in &mut self.turns {
            match turn.role {
                Role::System if talks && !waits_for_results => turn.role = Role::User,
                Role::System => {}
                Role::User | Role::Tool => talks = true,
                Role::Assistant => {
                    talks = true;
                    waits_for_results = !turn.calls.is_empty();
                }
            }
            waits_for_results &= turn.role != Role::Tool;
        }
    }

    fn member(&mut self, reader: &mut Reader<'b>, name: Cow<'b, str>) -> Result<(), ChatError> {
        match name.as_ref() {
            // The outline has them.
            "model" | "stream" | "stream_options" => reader.skip()?,
            "messages" => self.messages(reader)?,
            _ if reader.null()? => {}
            known => {
                let read = self.options.member(known, reader)?
                    || self.tools.member(known, reader, &mut self.others)?;
                if !read {
                    reader.skip()?;
                    self.others.extend((self.others.len() < OTHERS_MAX).then_some(name));
                }
            }
        }
        Ok(())
    }

    fn messages(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Array, "messages", "an array of messages")?;
        reader.array(|reader, index| {
            if index == TURNS_MAX {
                return Err(ChatError::at("messages", Problem::Expected("at most 20000 messages")));
            }
            let turn = Turn::parse(reader, index, &mut self.others)?;
            self.turns.push(turn);
            Ok(())
        })?;
        if self.turns.is_empty() {
            return Err(ChatError::at("messages", Problem::Expected("at least one message")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::json::JsonText;

    use super::super::part::Content;
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
        assert_eq!(request.turns[1].content.texts().count(), 2);
        assert!(matches!(request.turns[2].content, Content::Text(text) if text.raw() == "no"));
        assert_eq!(request.others, ["x"]);
        assert_eq!(request.options.user.map(JsonText::raw), Some("u"));
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
    fn system_messages_may_stay_where_they_are() {
        let body = r#"{"model":"m","messages":[{"role":"system","content":"a"},
            {"role":"user","content":"b"},{"role":"system","content":"c"},
            {"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f"}}]},
            {"role":"system","content":"d"},{"role":"tool","tool_call_id":"x","content":"e"},
            {"role":"developer","content":"f"}]}"#;
        let mut request = Request::parse(body.as_bytes()).unwrap();
        request.inline_system();
        let roles: Vec<Role> = request.turns.iter().map(|turn| turn.role).collect();
        use Role::{Assistant, System, Tool, User};
        assert_eq!(roles, [System, User, User, Assistant, System, Tool, User]);
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
