//! A response as items, whole and as the events that build it.
//!
//! <https://platform.openai.com/docs/api-reference/responses-streaming>

use super::super::super::json::{put, quote};
use super::super::super::reply::Reply;
use super::super::super::script::{self, Said};
use super::super::super::tools;

/// Bytes of one piece of a call's arguments.
const PIECE: usize = 7;

/// What a response is made of.
pub(super) enum Item {
    Reasoning { id: String, summary: bool, encrypted: Option<String> },
    Message { id: String, said: Said },
    Refusal { id: String, text: String },
    Call { id: String, call_id: String, call: tools::Call },
}

/// A response.
pub(super) struct Speech {
    /// The fields of the response that do not change while it is made, in JSON.
    pub(super) head: String,
    pub(super) items: Vec<Item>,
    /// Why the response is not complete, if it is not.
    pub(super) incomplete: Option<&'static str>,
    pub(super) prompt: u32,
    pub(super) thoughts: u32,
}

impl Item {
    fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Message { id, .. }
            | Self::Refusal { id, .. }
            | Self::Call { id, .. } => id,
        }
    }

    /// The item as it ends, or as a stream begins it.
    fn json(&self, whole: bool) -> String {
        let status = if whole { "completed" } else { "in_progress" };
        match self {
            Self::Reasoning { id, summary, encrypted } => {
                let text = quote(&script::THOUGHTS.concat());
                let parts = if whole && *summary {
                    format!("{{\"type\":\"summary_text\",\"text\":{text}}}")
                } else {
                    String::new()
                };
                let encrypted = encrypted
                    .as_ref()
                    .map_or_else(String::new, |data| format!(",\"encrypted_content\":\"{data}\""));
                format!(
                    "{{\"id\":\"{id}\",\"type\":\"reasoning\",\"summary\":[{parts}]{encrypted}}}"
                )
            }
            Self::Message { id, .. } | Self::Refusal { id, .. } => {
                let part = if whole { self.part(true) } else { String::new() };
                format!(
                    "{{\"id\":\"{id}\",\"type\":\"message\",\"status\":\"{status}\",\"content\":[{part}],\"role\":\"assistant\"}}"
                )
            }
            Self::Call { id, call_id, call } => format!(
                "{{\"id\":\"{id}\",\"type\":\"function_call\",\"status\":\"{status}\",\"arguments\":{},\"call_id\":\"{call_id}\",\"name\":{}}}",
                quote(if whole { &call.arguments } else { "" }),
                quote(&call.name)
            ),
        }
    }

    /// The only part of a message.
    fn part(&self, whole: bool) -> String {
        match self {
            Self::Refusal { text, .. } => {
                let text = if whole { text } else { "" };
                format!("{{\"type\":\"refusal\",\"refusal\":{}}}", quote(text))
            }
            Self::Message { said, .. } => {
                let text = if whole { said.whole() } else { String::new() };
                format!(
                    "{{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":{}}}",
                    quote(&text)
                )
            }
            Self::Reasoning { .. } | Self::Call { .. } => String::new(),
        }
    }
}

impl Speech {
    pub(super) fn whole(&self) -> Reply {
        let status = if self.incomplete.is_some() { "incomplete" } else { "completed" };
        Reply::json(200, self.json(status)).typed("application/json")
    }

    /// The response in one of its states.
    fn json(&self, status: &str) -> String {
        let ended = status != "in_progress";
        let items: Vec<String> =
            self.items.iter().filter(|_| ended).map(|item| item.json(true)).collect();
        let details = self
            .incomplete
            .filter(|_| ended)
            .map_or_else(|| "null".to_owned(), |reason| format!("{{\"reason\":\"{reason}\"}}"));
        let usage = if ended { self.usage() } else { "null".to_owned() };
        format!(
            "{{{},\"status\":\"{status}\",\"error\":null,\"incomplete_details\":{details},\"output\":[{}],\"usage\":{usage}}}",
            self.head,
            items.join(",")
        )
    }

    fn usage(&self) -> String {
        let spoken: u32 = self
            .items
            .iter()
            .map(|item| match item {
                Item::Reasoning { .. } => 0,
                Item::Message { said, .. } => said.count(),
                Item::Refusal { text, .. } => script::tokens_of(text.len()),
                Item::Call { call, .. } => {
                    script::tokens_of(call.name.len() + call.arguments.len())
                }
            })
            .sum();
        let output = spoken + self.thoughts;
        format!(
            "{{\"input_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":0}},\"output_tokens\":{output},\"output_tokens_details\":{{\"reasoning_tokens\":{}}},\"total_tokens\":{}}}",
            self.prompt,
            self.thoughts,
            self.prompt + output
        )
    }

    pub(super) fn events(&self) -> Reply {
        let mut events = Events::default();
        let state = |status: &str| format!("\"response\":{}", self.json(status));
        events.push("response.created", &state("in_progress"));
        events.push("response.in_progress", &state("in_progress"));
        for (item, index) in self.items.iter().zip(0u32..) {
            let place = format!("\"output_index\":{index}");
            let added = format!("{place},\"item\":{}", item.json(false));
            events.push("response.output_item.added", &added);
            let place = format!("\"item_id\":\"{}\",{place}", item.id());
            match item {
                Item::Reasoning { summary, .. } => events.push_summary(*summary, &place),
                Item::Message { said, .. } => {
                    let tokens = (0..said.count()).map(|index| said.token(index).to_owned());
                    let whole = said.whole();
                    let text = ("output_text", "text", tokens.collect(), whole.as_str());
                    events.push_text(text, (item, &place));
                }
                Item::Refusal { text, .. } => {
                    let pieces = tools::pieces(text, PIECE);
                    events.push_text(("refusal", "refusal", pieces, text), (item, &place));
                }
                Item::Call { call, .. } => {
                    for piece in tools::pieces(&call.arguments, PIECE) {
                        let delta = format!("{place},\"delta\":{}", quote(&piece));
                        events.push("response.function_call_arguments.delta", &delta);
                    }
                    let done = format!("{place},\"arguments\":{}", quote(&call.arguments));
                    events.push("response.function_call_arguments.done", &done);
                }
            }
            let done = format!("\"output_index\":{index},\"item\":{}", item.json(true));
            events.push("response.output_item.done", &done);
        }
        match self.incomplete {
            None => events.push("response.completed", &state("completed")),
            Some(_) => events.push("response.incomplete", &state("incomplete")),
        }
        Reply::events(events.0).typed("text/event-stream; charset=utf-8")
    }
}

/// Events, numbered as they come.
#[derive(Default)]
struct Events(Vec<Vec<u8>>);

impl Events {
    fn push(&mut self, name: &str, fields: &str) {
        let number = self.0.len();
        let mut event = String::with_capacity(fields.len() + 128);
        put!(
            &mut event,
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{fields}}}\n\n"
        );
        self.0.push(event.into_bytes());
    }

    fn push_summary(&mut self, shown: bool, place: &str) {
        if !shown {
            return;
        }
        let place = format!("{place},\"summary_index\":0");
        let part =
            |text: &str| format!("\"part\":{{\"type\":\"summary_text\",\"text\":{}}}", quote(text));
        let whole = script::THOUGHTS.concat();
        self.push("response.reasoning_summary_part.added", &format!("{place},{}", part("")));
        for thought in script::THOUGHTS {
            let delta = format!("{place},\"delta\":{}", quote(thought));
            self.push("response.reasoning_summary_text.delta", &delta);
        }
        let done = format!("{place},\"text\":{}", quote(&whole));
        self.push("response.reasoning_summary_text.done", &done);
        self.push("response.reasoning_summary_part.done", &format!("{place},{}", part(&whole)));
    }

    /// The part of a message, in pieces: the name of its events, of its field, the text.
    fn push_text(
        &mut self,
        (kind, field, pieces, whole): (&str, &str, Vec<String>, &str),
        (item, place): (&Item, &str),
    ) {
        let place = format!("{place},\"content_index\":0");
        let logprobs = if kind == "output_text" { ",\"logprobs\":[]" } else { "" };
        let part = |whole| format!("{place},\"part\":{}", item.part(whole));
        self.push("response.content_part.added", &part(false));
        for piece in pieces {
            let delta = format!("{place},\"delta\":{}{logprobs}", quote(&piece));
            self.push(&format!("response.{kind}.delta"), &delta);
        }
        let done = format!("{place},\"{field}\":{}{logprobs}", quote(whole));
        self.push(&format!("response.{kind}.done"), &done);
        self.push("response.content_part.done", &part(true));
    }
}
