//! Events to answers of OpenAI's responses, streamed
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>) and whole.
//!
//! The last event of a stream repeats the whole answer, so both are written by one writer, which
//! keeps what was said.

use crate::base::{Rng, ascii};
use crate::wire::json::{self, JsonText};

use super::carry::{self, Mark};
use super::error::ApiError;
use super::event::{Event, FinishReason, Usage};
use super::ids;
use super::part::MediaKind;
use super::render::ReplyMeta;
use super::request::Request;
use super::responses_item::{
    Item, Pace, Part, push_item, push_output_index, push_place, push_quoted, push_summary,
    push_summary_place, push_usage,
};
use super::serial::Serial;

/// What a response repeats of its request, and what stands there when it was not sent.
const ECHO: [(&str, &str); 19] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("store", "false"),
    ("temperature", "1.0"),
    ("text", "{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// Writes one response.
#[derive(Debug)]
pub struct ResponseWriter {
    meta: ReplyMeta,
    pace: Pace,
    rng: Rng,
    /// `"id":…,"object":…,"created_at":…,"status":"`; empty before the start.
    head: Vec<u8>,
    /// `,"model":…`
    model: Vec<u8>,
    /// What is repeated of the request.
    echo: Vec<u8>,
    items: Vec<Item>,
    /// The last item still grows.
    open: bool,
    /// Keeps calls in their order.
    serial: Serial,
    /// The items of the calls.
    calls: Vec<usize>,
    /// Google's last mark on a text.
    mark: Vec<u8>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    tier: Vec<u8>,
}

impl ResponseWriter {
    /// A writer that has written nothing yet.
    pub fn new(meta: ReplyMeta, request: &Request<'_>, streamed: bool) -> Self {
        let mut echo = Vec::new();
        for (name, default) in ECHO {
            let sent = request.echo.iter().find(|(sent, _)| *sent == name);
            echo.extend_from_slice(b",\"");
            echo.extend_from_slice(name.as_bytes());
            echo.extend_from_slice(b"\":");
            json::push_compact(&mut echo, sent.map_or(default, |(_, raw)| raw));
        }
        Self {
            rng: Rng::new(meta.fallback_id),
            meta,
            pace: Pace { streamed, sequence: 0 },
            head: Vec::new(),
            model: Vec::new(),
            echo,
            items: Vec::new(),
            open: false,
            serial: Serial::default(),
            calls: Vec::new(),
            mark: Vec::new(),
            finish: None,
            usage: None,
            tier: Vec::new(),
        }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        !self.head.is_empty()
    }

    /// Appends what one event says.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let mut serial = std::mem::take(&mut self.serial);
        serial.on_event(event, &mut |event| self.take(event, out));
        self.serial = serial;
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { id, model, created, .. } if self.head.is_empty() => {
                self.start(id, model, created, out);
            }
            Event::Text { choice: 0, text } if !text.is_empty() => self.text(text, out),
            Event::Refusal { choice: 0, text } if !text.is_empty() => self.refusal(text, out),
            Event::Reasoning { choice: 0, text } if !text.is_empty() => self.reasoning(text, out),
            Event::Thought { choice: 0, text, signature } => {
                if !self.is_reasoning() {
                    self.reasoning(text, out);
                }
                self.sign(Mark::AnthropicThinking, signature, out);
            }
            Event::Redacted { choice: 0, data } => {
                self.close(out);
                self.sign(Mark::AnthropicRedacted, data, out);
            }
            Event::Signature { choice: 0, data } => {
                self.mark.clear();
                self.mark.extend_from_slice(data.raw().as_bytes());
            }
            Event::Call { choice: 0, id, name, arguments, signature, .. } => {
                self.call(id, name, signature, out);
                if let Some(arguments) = arguments {
                    let mut escaped = Vec::with_capacity(arguments.len() + 16);
                    json::push_compact_escaped(&mut escaped, arguments);
                    self.arguments(self.items.len().saturating_sub(1), &escaped, out);
                }
            }
            Event::Arguments { choice: 0, call, piece } => {
                let call = usize::try_from(call).unwrap_or(usize::MAX);
                if let Some(index) = self.calls.get(call) {
                    self.arguments(*index, piece.raw().as_bytes(), out);
                }
            }
            Event::Media { choice: 0, kind, mime, data } => self.medium(kind, mime, data, out),
            Event::Logprobs { choice: 0, content } => {
                if let Some(Item::Message { parts, .. }) = self.items.last_mut()
                    && let Some(Part { logprobs, .. }) = parts.last_mut()
                {
                    if !logprobs.is_empty() {
                        logprobs.push(b',');
                    }
                    logprobs.extend_from_slice(content.as_bytes());
                }
            }
            Event::Finish { choice: 0, reason, .. } => self.finish = Some(reason),
            Event::Tier(tier) => self.tier = tier.raw().as_bytes().to_vec(),
            Event::Usage(usage) => self.usage = Some(usage),
            _ => {}
        }
    }

    /// Appends the end of a stream whose answer is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.finish_items(out);
        let (status, _) = self.status();
        let name = if status == "completed" { "response.completed" } else { "response.incomplete" };
        self.emit_response(name, None, out);
    }

    /// Appends a whole answer.
    pub fn render(&mut self, out: &mut Vec<u8>) {
        self.finish_items(out);
        let (status, _) = self.status();
        self.push_response(status, None, out);
    }

    /// Appends what tells a client that the answer broke off: the response has failed, and an
    /// error in a form that OpenAI's own client raises.
    pub fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.emit_response("response.failed", Some(error), out);
        self.pace.emit_error(error, out);
    }

    fn start(
        &mut self,
        id: Option<JsonText<'_>>,
        model: Option<JsonText<'_>>,
        created: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        self.head.extend_from_slice(b"\"id\":\"");
        ids::push("resp_", id, (self.meta.fallback_id, 48), &mut self.head);
        self.head.extend_from_slice(b"\",\"object\":\"response\",\"created_at\":");
        ascii::push_u64(&mut self.head, created.unwrap_or(self.meta.created));
        self.head.extend_from_slice(b",\"status\":\"");
        self.model.extend_from_slice(b",\"model\":");
        match model {
            Some(model) => push_quoted(model.raw().as_bytes(), &mut self.model),
            None => json::push_string(&mut self.model, &self.meta.model),
        }
        self.emit_response("response.created", None, out);
        self.emit_response("response.in_progress", None, out);
    }

    fn emit_response(&mut self, name: &str, error: Option<&ApiError>, out: &mut Vec<u8>) {
        let mut pace = std::mem::replace(&mut self.pace, Pace { streamed: false, sequence: 0 });
        let status = match name {
            "response.failed" => "failed",
            "response.completed" => "completed",
            "response.incomplete" => "incomplete",
            _ => "in_progress",
        };
        pace.emit(name, out, |out| {
            out.extend_from_slice(b",\"response\":");
            self.push_response(status, error, out);
        });
        self.pace = pace;
    }

    /// The status of an answer that has ended, and why it is not complete.
    fn status(&self) -> (&'static str, Option<&'static str>) {
        match self.finish.unwrap_or(FinishReason::Stop) {
            FinishReason::Length | FinishReason::ContextFull => {
                ("incomplete", Some("max_output_tokens"))
            }
            FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
            FinishReason::Stop
            | FinishReason::Pause
            | FinishReason::Refusal
            | FinishReason::ToolCalls => ("completed", None),
        }
    }

    fn push_response(&self, status: &str, error: Option<&ApiError>, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.head);
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",\"error\":");
        match error {
            Some(error) => {
                let code =
                    if error.row.status == 429 { "rate_limit_exceeded" } else { "server_error" };
                out.extend_from_slice(b"{\"code\":");
                json::push_string(out, code);
                out.extend_from_slice(b",\"message\":");
                json::push_string(out, &error.message);
                out.push(b'}');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"incomplete_details\":");
        match self.status() {
            (_, Some(reason)) if status == "incomplete" => {
                out.extend_from_slice(b"{\"reason\":");
                json::push_string(out, reason);
                out.push(b'}');
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(&self.model);
        out.extend_from_slice(b",\"output\":[");
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let last = index + 1 == self.items.len();
            item.push(if last { status } else { "completed" }, out);
        }
        out.push(b']');
        out.extend_from_slice(&self.echo);
        out.extend_from_slice(b",\"service_tier\":\"");
        out.extend_from_slice(if self.tier.is_empty() { b"default" } else { &self.tier });
        out.extend_from_slice(b"\",\"usage\":");
        match self.usage.filter(|_| status != "in_progress") {
            Some(usage) => push_usage(&usage, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }

    fn is_reasoning(&self) -> bool {
        self.open && matches!(self.items.last(), Some(Item::Reasoning { .. }))
    }

    /// A new id for an item.
    fn id(&mut self, prefix: &str) -> Vec<u8> {
        let mut id = prefix.as_bytes().to_vec();
        ids::push_random(&mut self.rng, 48, &mut id);
        id
    }

    /// Begins an item.
    fn begin(&mut self, item: Item, out: &mut Vec<u8>) {
        self.close(out);
        self.items.push(item);
        self.open = true;
        let index = self.items.len() - 1;
        let Self { pace, items, .. } = self;
        pace.emit("response.output_item.added", out, |out| {
            push_output_index(index, out);
            out.extend_from_slice(b",\"item\":");
            if let Some(item) = items.last() {
                item.push_empty(out);
            }
        });
    }

    /// The place of the open message, which is begun if there is none.
    fn message(&mut self, out: &mut Vec<u8>) -> usize {
        if !self.open || !matches!(self.items.last(), Some(Item::Message { .. })) {
            let id = self.id("msg_");
            self.begin(Item::Message { id, parts: Vec::new() }, out);
        }
        self.items.len().saturating_sub(1)
    }

    fn text(&mut self, text: JsonText<'_>, out: &mut Vec<u8>) {
        self.say(false, text, out);
    }

    fn refusal(&mut self, text: JsonText<'_>, out: &mut Vec<u8>) {
        self.say(true, text, out);
    }

    /// More of a part of the message.
    fn say(&mut self, refusal: bool, text: JsonText<'_>, out: &mut Vec<u8>) {
        let index = self.message(out);
        let Self { pace, items, .. } = self;
        let Some(Item::Message { id, parts }) = items.last_mut() else { return };
        if parts.last().is_none_or(|part| part.refusal != refusal) {
            end_part(pace, (id, index), parts, out);
            parts.push(Part { refusal, text: Vec::new(), logprobs: Vec::new() });
            let place = parts.len() - 1;
            pace.emit("response.content_part.added", out, |out| {
                push_place(id, index, place, out);
                out.extend_from_slice(b",\"part\":");
                Part::push_empty(refusal, out);
            });
        }
        let place = parts.len() - 1;
        if let Some(part) = parts.last_mut() {
            part.text.extend_from_slice(text.raw().as_bytes());
        }
        let name = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        pace.emit(name, out, |out| {
            push_place(id, index, place, out);
            out.extend_from_slice(b",\"delta\":");
            push_quoted(text.raw().as_bytes(), out);
            if !refusal {
                out.extend_from_slice(b",\"logprobs\":[]");
            }
        });
    }

    fn reasoning(&mut self, text: JsonText<'_>, out: &mut Vec<u8>) {
        if !self.is_reasoning() {
            let id = self.id("rs_");
            self.begin(Item::Reasoning { id, text: Vec::new(), encrypted: Vec::new() }, out);
        }
        let index = self.items.len().saturating_sub(1);
        let Self { pace, items, .. } = self;
        let Some(Item::Reasoning { id, text: kept, .. }) = items.last_mut() else { return };
        if kept.is_empty() {
            pace.emit("response.reasoning_summary_part.added", out, |out| {
                push_summary_place(id, index, out);
                out.extend_from_slice(b",\"part\":");
                push_summary(b"", out);
            });
        }
        kept.extend_from_slice(text.raw().as_bytes());
        pace.emit("response.reasoning_summary_text.delta", out, |out| {
            push_summary_place(id, index, out);
            out.extend_from_slice(b",\"delta\":");
            push_quoted(text.raw().as_bytes(), out);
        });
    }

    /// Ends the reasoning with a mark; without reasoning the mark stands alone.
    fn sign(&mut self, mark: Mark, data: JsonText<'_>, out: &mut Vec<u8>) {
        if !self.is_reasoning() {
            let id = self.id("rs_");
            self.begin(Item::Reasoning { id, text: Vec::new(), encrypted: Vec::new() }, out);
        }
        if let Some(Item::Reasoning { encrypted, .. }) = self.items.last_mut() {
            carry::open(mark, encrypted);
            encrypted.extend_from_slice(data.raw().as_bytes());
        }
        self.close(out);
    }

    fn call(
        &mut self,
        id: JsonText<'_>,
        name: JsonText<'_>,
        signature: Option<JsonText<'_>>,
        out: &mut Vec<u8>,
    ) {
        if let Some(mark) = signature.filter(|mark| !mark.is_empty()) {
            self.sign(Mark::GoogleCall, mark, out);
        }
        let mut call_id = Vec::new();
        ids::push("call_", Some(id), (0, 0), &mut call_id);
        let (id, name) = (self.id("fc_"), name.raw().as_bytes().to_vec());
        self.begin(Item::Call { id, call_id, name, arguments: Vec::new() }, out);
        self.calls.push(self.items.len() - 1);
    }

    fn arguments(&mut self, index: usize, piece: &[u8], out: &mut Vec<u8>) {
        let Self { pace, items, .. } = self;
        let Some(Item::Call { id, arguments, .. }) = items.get_mut(index) else { return };
        if piece.is_empty() {
            return;
        }
        arguments.extend_from_slice(piece);
        pace.emit("response.function_call_arguments.delta", out, |out| {
            push_item(id, index, out);
            out.extend_from_slice(b",\"delta\":");
            push_quoted(piece, out);
        });
    }

    /// An image is an item of its own; anything else is told as a text that shows it.
    fn medium(
        &mut self,
        kind: MediaKind,
        mime: JsonText<'_>,
        data: JsonText<'_>,
        out: &mut Vec<u8>,
    ) {
        if kind == MediaKind::Image {
            let id = self.id("ig_");
            self.begin(Item::Image { id, data: data.raw().as_bytes().to_vec() }, out);
            self.close(out);
            return;
        }
        let pieces = [JsonText::plain("[audio](data:"), mime, JsonText::plain(";base64,"), data];
        pieces.into_iter().for_each(|piece| self.text(piece, out));
        self.text(JsonText::plain(")"), out);
    }

    /// Ends the open item.
    fn close(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let index = self.items.len().saturating_sub(1);
        let status = match self.finish {
            Some(_) => self.status().0,
            None => "completed",
        };
        let Self { pace, items, .. } = self;
        let Some(item) = items.last_mut() else { return };
        match item {
            Item::Message { id, parts } => end_part(pace, (id, index), parts, out),
            Item::Reasoning { id, text, .. } if !text.is_empty() => {
                pace.emit("response.reasoning_summary_text.done", out, |out| {
                    push_summary_place(id, index, out);
                    out.extend_from_slice(b",\"text\":");
                    push_quoted(text, out);
                });
                pace.emit("response.reasoning_summary_part.done", out, |out| {
                    push_summary_place(id, index, out);
                    out.extend_from_slice(b",\"part\":");
                    push_summary(text, out);
                });
            }
            Item::Reasoning { .. } | Item::Image { .. } => {}
            Item::Call { id, arguments, name, .. } => {
                if arguments.is_empty() {
                    arguments.extend_from_slice(b"{}");
                }
                pace.emit("response.function_call_arguments.done", out, |out| {
                    push_item(id, index, out);
                    out.extend_from_slice(b",\"name\":");
                    push_quoted(name, out);
                    out.extend_from_slice(b",\"arguments\":");
                    push_quoted(arguments, out);
                });
            }
        }
        pace.emit("response.output_item.done", out, |out| {
            push_output_index(index, out);
            out.extend_from_slice(b",\"item\":");
            item.push(status, out);
        });
    }

    /// Nothing follows.
    fn finish_items(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        if !self.mark.is_empty() {
            let mark = std::mem::take(&mut self.mark);
            let mark = JsonText::spelt(std::str::from_utf8(&mark).unwrap_or_default());
            self.sign(Mark::GoogleText, mark, out);
        }
    }
}

/// Ends the last part of a message.
fn end_part(pace: &mut Pace, (id, index): (&[u8], usize), parts: &[Part], out: &mut Vec<u8>) {
    let Some(part) = parts.last() else { return };
    let place = parts.len() - 1;
    let name = if part.refusal { "response.refusal.done" } else { "response.output_text.done" };
    pace.emit(name, out, |out| {
        push_place(id, index, place, out);
        let field: &[u8] = if part.refusal { b",\"refusal\":" } else { b",\"text\":" };
        out.extend_from_slice(field);
        push_quoted(&part.text, out);
        if !part.refusal {
            out.extend_from_slice(b",\"logprobs\":[");
            out.extend_from_slice(&part.logprobs);
            out.push(b']');
        }
    });
    pace.emit("response.content_part.done", out, |out| {
        push_place(id, index, place, out);
        out.extend_from_slice(b",\"part\":");
        part.push(out);
    });
}

/// Appends the event that ends a stream of another writer's, behind so many events.
pub fn push_error_event(error: &ApiError, sequence: u64, out: &mut Vec<u8>) {
    Pace { streamed: true, sequence }.emit_error(error, out);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::Row;
    use super::super::outline::{Form, Outline};
    use super::super::responses_in;
    use super::*;

    const T: fn(&'static str) -> JsonText<'static> = JsonText::plain;

    const START: Event<'static> = Event::Start {
        id: Some(JsonText::plain("r-1")),
        bare: true,
        model: Some(JsonText::plain("m-1")),
        created: None,
    };

    fn writer(streamed: bool) -> ResponseWriter {
        let body = br#"{"model":"m","input":"x","instructions":"S","tools":[{"type":"function","name":"f"}],"user":"u"}"#;
        let request = responses_in::read(&Outline::parse(body, &Form::RESPONSES).unwrap());
        let meta = ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() };
        ResponseWriter::new(meta, &request.unwrap(), streamed)
    }

    fn called(
        call: u32,
        id: &'static str,
        arguments: Option<&'static str>,
        signature: Option<&'static str>,
    ) -> Event<'static> {
        let (id, signature) = (T(id), signature.map(T));
        Event::Call { choice: 0, call, id, name: T("f"), arguments, signature }
    }

    fn finish(reason: FinishReason) -> Event<'static> {
        Event::Finish { choice: 0, reason, sequence: None }
    }

    fn read(text: &str) -> Vec<Value> {
        let events = text.split_terminator("\n\n").enumerate().map(|(number, event)| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
            assert_eq!(data["sequence_number"].as_u64(), u64::try_from(number).ok());
            data
        });
        events.collect()
    }

    fn streamed(events: &[Event<'_>]) -> Vec<Value> {
        let (mut writer, mut out) = (writer(true), Vec::new());
        events.iter().for_each(|event| writer.on_event(event, &mut out));
        writer.end(&mut out);
        read(&String::from_utf8(out).unwrap())
    }

    fn whole(events: &[Event<'_>]) -> Value {
        let (mut writer, mut out) = (writer(false), Vec::new());
        events.iter().for_each(|event| writer.on_event(event, &mut out));
        assert!(out.is_empty());
        writer.render(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    /// Plays a stream as a client would: every item and every text must be whole at its end.
    fn played(events: &[Event<'_>]) -> Value {
        let mut items: Vec<Value> = Vec::new();
        let mut texts: Vec<(Value, String)> = Vec::new();
        let mut last = Value::Null;
        for event in streamed(events) {
            let place = json!([event["item_id"], event["content_index"], event["summary_index"]]);
            let kind = event["type"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "response.output_item.added" => {
                    assert_eq!(event["output_index"].as_u64(), u64::try_from(items.len()).ok());
                    items.push(event["item"].clone());
                }
                "response.output_item.done" => {
                    let index = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
                    assert_eq!(items[index]["id"], event["item"]["id"]);
                    items[index] = event["item"].clone();
                }
                "response.completed" | "response.incomplete" => last = event["response"].clone(),
                delta if delta.ends_with(".delta") => {
                    let piece = event["delta"].as_str().unwrap();
                    match texts.last_mut().filter(|(open, _)| *open == place) {
                        Some((_, text)) => text.push_str(piece),
                        None => texts.push((place, piece.to_owned())),
                    }
                }
                done if done.ends_with("_text.done")
                    || done.ends_with("refusal.done")
                    || done.ends_with("arguments.done") =>
                {
                    let names = ["text", "refusal", "arguments"];
                    let text = names.iter().find_map(|name| event[*name].as_str()).unwrap();
                    let (_, said) = texts.iter().find(|(open, _)| *open == place).unwrap();
                    assert_eq!(said, text, "{done}");
                }
                _ => {}
            }
        }
        assert_eq!(last["output"], Value::from(items));
        last
    }

    #[test]
    fn streams_and_whole_answers_say_the_same() {
        let usage =
            Usage { prompt: 10, completion: 9, cached: 6, reasoning: 4, ..Usage::default() };
        let events = [
            START,
            Event::Reasoning { choice: 0, text: T("hm ") },
            Event::Reasoning { choice: 0, text: T("so") },
            called(0, "call_1", Some("{ \"a\": 1.0 }"), Some("S1")),
            called(1, "toolu_2", None, None),
            Event::Arguments { choice: 0, call: 1, piece: T("{\\\"b\\\":") },
            Event::Arguments { choice: 0, call: 1, piece: T("2}") },
            finish(FinishReason::ToolCalls),
            Event::Usage(usage),
        ];
        let response = whole(&events);
        assert_eq!(response, played(&events));
        assert_eq!(
            (response["id"].as_str(), response["object"].as_str()),
            (Some("resp_r-1"), Some("response"))
        );
        assert_eq!(
            (response["status"].as_str(), response["model"].as_str()),
            (Some("completed"), Some("m-1"))
        );
        assert_eq!(
            (response["instructions"].as_str(), response["user"].as_str()),
            (Some("S"), Some("u"))
        );
        assert_eq!(
            (response["tools"][0]["name"].as_str(), response["store"].as_bool()),
            (Some("f"), Some(false))
        );
        let output = response["output"].as_array().unwrap();
        assert_eq!(output[0]["summary"], json!([{"type": "summary_text", "text": "hm so"}]));
        assert_eq!(output[0]["encrypted_content"], "vbridge1.gc.S1");
        assert_eq!(
            (output[1]["call_id"].as_str(), output[1]["arguments"].as_str()),
            (Some("call_1"), Some("{\"a\":1.0}"))
        );
        assert_eq!(
            (output[2]["call_id"].as_str(), output[2]["arguments"].as_str()),
            (Some("call_2"), Some("{\"b\":2}"))
        );
        assert_eq!(response["usage"]["output_tokens_details"]["reasoning_tokens"], 4);
        assert_eq!(response["usage"]["total_tokens"], 19);
    }

    #[test]
    fn everything_that_is_said_has_its_item() {
        let logprobs = r#"{"token":"a","logprob":-1}"#;
        let events = [
            START,
            Event::Thought { choice: 0, text: T("t"), signature: T("Eq") },
            Event::Redacted { choice: 0, data: T("Em") },
            Event::Text { choice: 0, text: T("a\\n") },
            Event::Logprobs { choice: 0, content: logprobs },
            Event::Refusal { choice: 0, text: T("no") },
            Event::Signature { choice: 0, data: T("S") },
            Event::Media { choice: 0, kind: MediaKind::Image, mime: T("image/png"), data: T("AA") },
            Event::Media { choice: 0, kind: MediaKind::Audio, mime: T("audio/wav"), data: T("BB") },
            Event::Text { choice: 1, text: T("nobody asked") },
            called(0, "1", None, None),
            finish(FinishReason::Length),
        ];
        let response = whole(&events);
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
        let kinds: Vec<_> =
            response["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
        let expected = [
            "reasoning",
            "reasoning",
            "message",
            "image_generation_call",
            "message",
            "function_call",
            "reasoning",
        ];
        assert_eq!(kinds, expected);
        let output = &response["output"];
        assert_eq!(output[0]["encrypted_content"], "vbridge1.at.Eq");
        assert_eq!(output[1]["encrypted_content"], "vbridge1.ar.Em");
        let content = &output[2]["content"];
        assert_eq!(
            (content[0]["text"].as_str(), content[1]["refusal"].as_str()),
            (Some("a\n"), Some("no"))
        );
        assert_eq!(content[0]["logprobs"][0]["token"], "a");
        assert_eq!(output[4]["content"][0]["text"], "[audio](data:audio/wav;base64,BB)");
        assert_eq!(output[5]["arguments"], "{}");
        assert_eq!(output[6]["encrypted_content"], "vbridge1.gt.S");
        let order: Vec<_> = streamed(&events[..4]).iter().map(|e| e["type"].clone()).collect();
        assert_eq!(order[..2], ["response.created", "response.in_progress"]);
        assert_eq!(order.last().unwrap(), "response.completed");
    }

    #[test]
    fn a_failure_is_an_event_that_clients_raise() {
        let (mut writer, mut out) = (writer(true), Vec::new());
        writer.on_event(&START, &mut out);
        writer.on_event(&Event::Text { choice: 0, text: T("a") }, &mut out);
        writer.error(&ApiError::new(Row::UPSTREAM_TRUNCATED, "cut"), &mut out);
        let events = read(&String::from_utf8(out).unwrap());
        let [.., failed, error] = &events[..] else { panic!("{events:?}") };
        assert_eq!(failed["type"], "response.failed");
        assert_eq!(failed["response"]["error"], json!({"code": "server_error", "message": "cut"}));
        assert_eq!(failed["response"]["output"][0]["status"], "incomplete");
        assert_eq!(
            (error["type"].as_str(), error["code"].as_str()),
            (Some("error"), Some("upstream_truncated"))
        );
        assert_eq!(error["error"]["message"], "cut");
    }
}
