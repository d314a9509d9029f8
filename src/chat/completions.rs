//! OpenAI's old completions: one text goes on where the prompt ends
//! (<https://platform.openai.com/docs/api-reference/completions>).
//!
//! Models that chat take the prompt for what a user says. What only the old models could do is
//! refused by name.

use std::borrow::Cow;

use crate::base::ascii;
use crate::wire::json::{self, JsonText, Kind, Reader};

use super::event::{Event, FinishReason, Usage};
use super::ids;
use super::others::OTHERS_MAX;
use super::outline::Outline;
use super::part::Content;
use super::problem::{ChatError, Problem, typed};
use super::render::{CHOICES_MAX, ReplyMeta};
use super::request::Request;
use super::turn::{Role, Turn};

/// Understands a body whose syntax has been checked.
pub(super) fn read<'b>(outline: &Outline<'b>) -> Result<Request<'b>, ChatError> {
    let mut request = Request {
        model: outline.model.clone(),
        stream: outline.stream,
        include_usage: outline.include_usage,
        ..Request::empty()
    };
    outline.members(|reader, name| member(&mut request, reader, name))?;
    Ok(request)
}

fn member<'b>(
    request: &mut Request<'b>,
    reader: &mut Reader<'b>,
    name: Cow<'b, str>,
) -> Result<(), ChatError> {
    const ALONE: &str = "only the old models of OpenAI can do it";
    let refused = || ChatError::at(name.as_ref(), Problem::Unsupported(ALONE));
    match name.as_ref() {
        // The outline has them.
        "model" | "stream" | "stream_options" => reader.skip()?,
        "prompt" => {
            let text = read_prompt(reader)?;
            request.turns.push(Turn::new(Role::User, Content::Text(text)));
        }
        _ if reader.null()? => {}
        "echo" => {
            let read = reader.boolean();
            if read.map_err(|e| ChatError::json("echo", "a boolean", e))? {
                return Err(refused());
            }
        }
        "best_of" => {
            let read = reader.unsigned();
            if read.map_err(|e| ChatError::json("best_of", "a whole number", e))? > 1 {
                return Err(refused());
            }
        }
        "suffix" => {
            let read = reader.string();
            if !read.map_err(|e| ChatError::json("suffix", "a string", e))?.is_empty() {
                return Err(refused());
            }
        }
        "logprobs" => return Err(refused()),
        // The chat API has these, and here they mean nothing.
        "top_logprobs" | "response_format" | "reasoning_effort" | "modalities" | "audio" => {
            reader.skip()?;
            request.others.push(name);
        }
        known => {
            if !request.options.member(known, reader)? {
                reader.skip()?;
                if request.others.len() < OTHERS_MAX {
                    request.others.push(name);
                }
            }
        }
    }
    Ok(())
}

/// One text, bare or in an array.
fn read_prompt<'b>(reader: &mut Reader<'b>) -> Result<JsonText<'b>, ChatError> {
    const TEXT: &str = "a string, or an array with one string";
    if reader.kind()? == Kind::String {
        return Ok(reader.string()?);
    }
    typed(reader, Kind::Array, "prompt", TEXT)?;
    let mut only = None;
    reader.array(|reader, index| {
        match (reader.kind()?, index) {
            (Kind::String, 0) => only = Some(reader.string()?),
            (Kind::String, _) => {
                let why = "several prompts in one request cannot be translated; send them apart";
                return Err(ChatError::at("prompt", Problem::Unsupported(why)));
            }
            (Kind::Number | Kind::Array, _) => {
                let why = "tokens are those of OpenAI's models; send the text";
                return Err(ChatError::at("prompt", Problem::Unsupported(why)));
            }
            _ => return Err(ChatError::at("prompt", Problem::Expected(TEXT))),
        }
        Ok(())
    })?;
    only.ok_or_else(|| ChatError::at("prompt", Problem::Expected(TEXT)))
}

/// Appends `{"id":…,"object":…,"created":…,"model":…,"choices":[`, from an event that begins.
fn push_head(meta: &ReplyMeta, event: &Event<'_>, out: &mut Vec<u8>) {
    let Event::Start { id, model, created, .. } = *event else { return };
    out.extend_from_slice(b"{\"id\":\"");
    ids::push("cmpl-", id, (meta.fallback_id, 24), out);
    out.extend_from_slice(b"\",\"object\":\"text_completion\",\"created\":");
    ascii::push_u64(out, created.unwrap_or(meta.created));
    out.extend_from_slice(b",\"model\":");
    match model {
        Some(model) => {
            out.push(b'"');
            out.extend_from_slice(model.raw().as_bytes());
            out.push(b'"');
        }
        None => json::push_string(out, &meta.model),
    }
    out.extend_from_slice(b",\"choices\":[");
}

/// Appends what stands behind the text of a choice, up to its brace.
fn push_choice_end(index: usize, finish: Option<FinishReason>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\",\"index\":");
    ascii::push_u64(out, u64::try_from(index).unwrap_or(u64::MAX));
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
    match finish {
        None => out.extend_from_slice(b"null}"),
        Some(reason) => {
            // Nothing can be called here.
            let known = if reason == FinishReason::ToolCalls { FinishReason::Stop } else { reason };
            out.push(b'"');
            out.extend_from_slice(known.as_str().as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

const TEXT_OPEN: &[u8] = b"{\"text\":\"";

/// Writes one stream.
#[derive(Debug)]
pub struct CompletionStream {
    meta: ReplyMeta,
    include_usage: bool,
    /// `data: {…,"choices":[` of every chunk; empty before the start.
    prefix: Vec<u8>,
    finishes: Vec<Option<FinishReason>>,
    usage: Usage,
}

impl CompletionStream {
    /// A writer that has written nothing yet.
    pub fn new(meta: ReplyMeta, include_usage: bool) -> Self {
        let usage = Usage::default();
        Self { meta, include_usage, prefix: Vec::new(), finishes: Vec::new(), usage }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// Appends the chunk of one event.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { .. } if self.prefix.is_empty() => {
                self.prefix.reserve(256);
                self.prefix.extend_from_slice(b"data: ");
                push_head(&self.meta, event, &mut self.prefix);
            }
            Event::Text { choice, text } if !text.is_empty() => {
                self.chunk(place(choice), text, None, out);
            }
            Event::Finish { choice, reason, .. } => {
                let index = place(choice);
                while self.finishes.len() <= index && self.finishes.len() < CHOICES_MAX {
                    self.finishes.push(None);
                }
                if let Some(finish) = self.finishes.get_mut(index) {
                    *finish = Some(reason);
                }
            }
            Event::Usage(usage) => self.usage = usage,
            _ => {}
        }
    }

    /// Appends the last chunks and `[DONE]`.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        for (index, finish) in self.finishes.iter().enumerate() {
            if finish.is_some() {
                self.chunk(index, JsonText::default(), *finish, out);
            }
        }
        if self.include_usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"],\"usage\":");
            self.usage.render(out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(
        &self,
        index: usize,
        text: JsonText<'_>,
        finish: Option<FinishReason>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(TEXT_OPEN);
        out.extend_from_slice(text.raw().as_bytes());
        push_choice_end(index, finish, out);
        let end: &[u8] = if self.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        out.extend_from_slice(end);
    }
}

/// Collects one answer.
#[derive(Debug)]
pub struct WholeCompletion {
    meta: ReplyMeta,
    /// `{…,"choices":[`.
    head: Vec<u8>,
    choices: Vec<(Vec<u8>, Option<FinishReason>)>,
    usage: Option<Usage>,
}

impl WholeCompletion {
    /// Nothing has come yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self { meta, head: Vec::new(), choices: Vec::new(), usage: None }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Start { .. } if self.head.is_empty() => {
                push_head(&self.meta, event, &mut self.head);
            }
            Event::Text { choice, text } => {
                if let Some((kept, _)) = self.choice(choice) {
                    kept.extend_from_slice(text.raw().as_bytes());
                }
            }
            Event::Finish { choice, reason, .. } => {
                if let Some((_, finish)) = self.choice(choice) {
                    *finish = Some(reason);
                }
            }
            Event::Usage(usage) => self.usage = Some(usage),
            _ => {}
        }
    }

    /// Appends the answer.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        for (index, (text, finish)) in self.choices.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(TEXT_OPEN);
            out.extend_from_slice(text);
            push_choice_end(index, Some(finish.unwrap_or(FinishReason::Stop)), out);
        }
        out.push(b']');
        if let Some(usage) = &self.usage {
            out.extend_from_slice(b",\"usage\":");
            usage.render(out);
        }
        out.push(b'}');
    }

    fn choice(&mut self, choice: u32) -> Option<&mut (Vec<u8>, Option<FinishReason>)> {
        let index = place(choice);
        while self.choices.len() <= index && self.choices.len() < CHOICES_MAX {
            self.choices.push((Vec::new(), None));
        }
        self.choices.get_mut(index)
    }
}

fn place(choice: u32) -> usize {
    usize::try_from(choice).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    fn parse(body: &[u8]) -> Result<Request<'_>, ChatError> {
        read(&Outline::parse(body, &Form::COMPLETIONS)?)
    }

    fn fails(rest: &str) -> (String, Problem) {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        let error = parse(body.as_bytes()).err();
        error.map(|e| (e.param, e.problem)).unwrap_or_else(|| panic!("{body} passes"))
    }

    #[test]
    fn a_prompt_is_what_the_user_says() {
        for prompt in [r#""Once\n""#, r#"["Once\n"]"#] {
            let body = format!(
                r#"{{"model":"m","prompt":{prompt},"max_tokens":5,"stop":"x","n":2,"echo":false,
                "best_of":1,"suffix":null,"logprobs":null,"user":"u","stream":true,
                "stream_options":{{"include_usage":true}},"logit_bias":{{}}}}"#
            );
            let request = parse(body.as_bytes()).unwrap();
            let turn = &request.turns[0];
            assert_eq!((request.turns.len(), turn.role), (1, Role::User));
            assert!(matches!(turn.content, Content::Text(text) if text.raw() == r"Once\n"));
            assert_eq!((request.options.max_tokens(), request.options.n), (Some(5), Some(2)));
            assert!(request.stream && request.include_usage);
            assert_eq!(request.others, ["logit_bias"]);
        }
    }

    #[test]
    fn what_only_old_models_can_do_is_refused_by_name() {
        let unsupported = |rest: &str, name: &str| {
            let (param, problem) = fails(rest);
            assert_eq!(param, name, "{rest}");
            assert!(matches!(problem, Problem::Unsupported(_)), "{rest} {problem:?}");
        };
        unsupported(r#""prompt":["a","b"]"#, "prompt");
        unsupported(r#""prompt":[1,2]"#, "prompt");
        unsupported(r#""prompt":[[1,2]]"#, "prompt");
        for (field, name) in [
            (r#""suffix":"s""#, "suffix"),
            (r#""echo":true"#, "echo"),
            (r#""best_of":2"#, "best_of"),
            (r#""logprobs":0"#, "logprobs"),
        ] {
            unsupported(&format!(r#""prompt":"x",{field}"#), name);
        }
        assert_eq!(fails(r#""n":1"#), ("prompt".to_owned(), Problem::Missing));
        assert_eq!(fails(r#""prompt":[]"#).0, "prompt");
        assert_eq!(fails(r#""prompt":7"#).0, "prompt");
        assert_eq!(fails(r#""prompt":[{}]"#).0, "prompt");
        assert_eq!(fails(r#""prompt":"x","stream":1"#).0, "stream");
        assert_eq!(fails(r#""prompt":"x","prompt":"y""#).1, Problem::Duplicate);
        assert!(parse(br#"{"prompt":"x"}"#).is_err());
    }

    const EVENTS: [Event<'static>; 6] = [
        Event::Start { id: Some(JsonText::plain("r1")), bare: true, model: None, created: Some(9) },
        Event::Reasoning { choice: 0, text: JsonText::plain("hm") },
        Event::Text { choice: 0, text: JsonText::plain("a\\n") },
        Event::Text { choice: 1, text: JsonText::plain("b") },
        Event::Finish { choice: 0, reason: FinishReason::Length, sequence: None },
        Event::Finish { choice: 1, reason: FinishReason::Stop, sequence: None },
    ];

    fn meta() -> ReplyMeta {
        ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() }
    }

    #[test]
    fn a_stream_is_made_of_text_completions() {
        for include_usage in [false, true] {
            let mut writer = CompletionStream::new(meta(), include_usage);
            let mut out = Vec::new();
            assert!(!writer.has_started());
            EVENTS.iter().for_each(|event| writer.on_event(event, &mut out));
            let usage = Usage { prompt: 2, completion: 3, ..Usage::default() };
            writer.on_event(&Event::Usage(usage), &mut out);
            writer.end(&mut out);
            let text = String::from_utf8(out).unwrap();
            let chunks: Vec<&str> =
                text.split_terminator("\n\n").map(|c| c.strip_prefix("data: ").unwrap()).collect();
            assert_eq!(chunks.len(), if include_usage { 6 } else { 5 }, "{text}");
            let end = if include_usage { r#","usage":null}"# } else { "}" };
            let chunk = |text: &str, rest: &str| {
                format!(
                    r#"{{"id":"cmpl-r1","object":"text_completion","created":9,"model":"asked","choices":[{{"text":"{text}","index":{rest}}}]{end}"#
                )
            };
            assert_eq!(chunks[0], chunk(r"a\n", r#"0,"logprobs":null,"finish_reason":null"#));
            assert_eq!(chunks[1], chunk("b", r#"1,"logprobs":null,"finish_reason":null"#));
            assert_eq!(chunks[2], chunk("", r#"0,"logprobs":null,"finish_reason":"length""#));
            assert_eq!(chunks[3], chunk("", r#"1,"logprobs":null,"finish_reason":"stop""#));
            if include_usage {
                assert!(chunks[4].contains(r#""choices":[],"usage":{"prompt_tokens":2"#));
            }
            assert_eq!(chunks.last(), Some(&"[DONE]"));
        }
    }

    #[test]
    fn a_whole_answer_has_all_choices() {
        let mut writer = WholeCompletion::new(meta());
        EVENTS.iter().for_each(|event| writer.on_event(event));
        let mut out = Vec::new();
        writer.render(&mut out);
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (&answer["id"], &answer["object"]),
            (&"cmpl-r1".into(), &"text_completion".into())
        );
        assert_eq!(answer["choices"][0]["text"], "a\n");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["choices"][1]["text"], "b");
        assert!(answer.get("usage").is_none());
    }
}
