//! Answers of `POST /v1/messages`, whole and as events.
//!
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>

use serde_json::value::RawValue;

use super::super::json::{put, quote};
use super::super::reply::{Asked, Reply};
use super::super::script::{self, Said};
use super::super::seal;
use super::super::tools::{self, Choice, History, Situation, Tool};
use super::check::caches;
use super::request::{Content, Message, Request};

/// Anthropic's documented text that makes a model think in secret.
const SECRET: &str = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_46C9A13E193C177646C7398A98432ECCCE4C1253D5E2D82641AC0E52CC2876CB";

/// Bytes of one piece of a call's arguments.
const PIECE: usize = 11;

/// The answer to a request that was found right.
pub(super) fn say(
    asked: &Asked<'_>,
    (request, model): (&Request<'_>, &str),
    history: History,
    vertex: bool,
) -> Reply {
    let speech = Speech::new(asked, (request, model), history, vertex);
    if request.stream == Some(true) {
        return Reply::events(speech.events()).typed("text/event-stream; charset=utf-8");
    }
    let blocks: Vec<String> = speech.blocks.iter().map(Block::whole).collect();
    let stop = (quote(speech.stop), speech.sequence.map_or_else(|| "null".to_owned(), quote));
    let body = speech.message(&blocks.join(","), (&stop.0, &stop.1), speech.tokens());
    Reply::json(200, body).typed("application/json")
}

/// The tokens of a request.
pub(super) fn prompt_tokens(asked: &Asked<'_>) -> u32 {
    script::tokens_of(asked.body.len())
}

/// A block of an answer.
enum Block {
    Thinking { text: String, signature: String },
    Redacted { data: String },
    Text(Said),
    Call { id: String, call: tools::Call },
}

struct Speech<'s> {
    model: &'s str,
    id: String,
    /// Tokens of the prompt: read now, written to the cache, read from it.
    prompt: [u32; 3],
    blocks: Vec<Block>,
    thoughts: u32,
    stop: &'static str,
    sequence: Option<&'s str>,
}

impl<'s> Speech<'s> {
    fn new(
        asked: &Asked<'_>,
        (request, model): (&'s Request<'_>, &'s str),
        history: History,
        vertex: bool,
    ) -> Self {
        let situation = situation(request, history);
        let mut turn = tools::turn(&situation, asked.options.tool_rounds, asked.options.tokens);
        turn.said.go_on(&begun(request));
        let thinking = request.thinking.as_ref();
        let kind = thinking.and_then(|thinking| thinking.kind.as_deref());
        let thinks = matches!(kind, Some("enabled" | "adaptive"));
        let thoughts = if thinks { script::THOUGHT_TOKENS } else { 0 };
        let stops = request.stop_sequences.iter().flatten().map(AsRef::as_ref);
        let sequence = turn.said.stop_at(&stops.collect::<Vec<&str>>());
        let limit = request.max_tokens.unwrap_or(u32::MAX).saturating_sub(thoughts);
        let cut = turn.said.limit(limit);
        if cut {
            turn.calls.clear();
        }
        let stop = match (cut, sequence) {
            (true, _) => "max_tokens",
            (false, Some(_)) => "stop_sequence",
            (false, None) if turn.calls.is_empty() => "end_turn",
            (false, None) => "tool_use",
        };
        let nonce = asked.nonce();
        let mut blocks = Vec::new();
        if thinks && is_secret(request) {
            let data = seal::opaque("redacted_thinking", "", nonce);
            blocks.push(Block::Redacted { data });
        } else if thinks {
            let hidden = thinking.and_then(|thinking| thinking.display.as_deref());
            let text =
                if hidden == Some("omitted") { String::new() } else { script::THOUGHTS.concat() };
            let signature = seal::opaque("thinking", &text, nonce);
            blocks.push(Block::Thinking { text, signature });
        }
        if turn.said.count() > 0 {
            blocks.push(Block::Text(turn.said));
        }
        for (call, place) in turn.calls.into_iter().zip(0u64..) {
            let prefix = if vertex { "toolu_vrtx_01" } else { "toolu_01" };
            let canonical = tools::canonical(&call.arguments);
            let id = seal::call_id(prefix, &call.name, &canonical, nonce ^ (place << 60));
            blocks.push(Block::Call { id, call });
        }
        let start = if vertex { "msg_vrtx_01" } else { "msg_01" };
        let id = format!("{start}{}", seal::call_id("", "message", "", nonce));
        Self { model, id, prompt: prompt(asked, request), blocks, thoughts, stop, sequence }
    }

    fn tokens(&self) -> u32 {
        let spoken = self.blocks.iter().map(|block| match block {
            Block::Thinking { .. } | Block::Redacted { .. } => 0,
            Block::Text(said) => said.count(),
            Block::Call { call, .. } => script::tokens_of(call.name.len() + call.arguments.len()),
        });
        spoken.sum::<u32>() + self.thoughts
    }

    fn message(&self, content: &str, (stop, sequence): (&str, &str), tokens: u32) -> String {
        let mut out = String::with_capacity(512 + content.len());
        let [now, written, read] = self.prompt;
        put!(
            &mut out,
            "{{\"model\":{},\"id\":\"{}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{content}],\"stop_reason\":{stop},\"stop_sequence\":{sequence},\"usage\":{{\"input_tokens\":{now},\"cache_creation_input_tokens\":{written},\"cache_read_input_tokens\":{read},\"cache_creation\":{{\"ephemeral_5m_input_tokens\":{written},\"ephemeral_1h_input_tokens\":0}},\"output_tokens\":{tokens}{},\"service_tier\":\"standard\",\"inference_geo\":\"not_available\"}}}}",
            quote(self.model),
            self.id,
            self.details()
        );
        out
    }

    fn details(&self) -> String {
        if self.thoughts == 0 {
            return String::new();
        }
        format!(",\"output_tokens_details\":{{\"thinking_tokens\":{}}}", self.thoughts)
    }

    fn events(&self) -> Vec<Vec<u8>> {
        let start = self.message("", ("null", "null"), 1);
        let mut events = vec![event(
            "message_start",
            &format!("{{\"type\":\"message_start\",\"message\":{start}}}"),
        )];
        for (block, index) in self.blocks.iter().zip(0u32..) {
            events.push(event(
                "content_block_start",
                &format!(
                    "{{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{}}}",
                    block.begin()
                ),
            ));
            if index == 0 {
                events.push(event("ping", "{\"type\": \"ping\"}"));
            }
            events.extend(block.deltas().into_iter().map(|delta| {
                let data = format!(
                    "{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{delta}}}"
                );
                event("content_block_delta", &data)
            }));
            let stop = format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}");
            events.push(event("content_block_stop", &stop));
        }
        let sequence = self.sequence.map_or_else(|| "null".to_owned(), quote);
        let [now, written, read] = self.prompt;
        let delta = format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{}\",\"stop_sequence\":{sequence}}},\"usage\":{{\"input_tokens\":{now},\"cache_creation_input_tokens\":{written},\"cache_read_input_tokens\":{read},\"output_tokens\":{}{}}}}}",
            self.stop,
            self.tokens(),
            self.details()
        );
        events.push(event("message_delta", &delta));
        events.push(event("message_stop", "{\"type\":\"message_stop\"}"));
        events
    }
}

/// A server-sent event.
pub(super) fn event(name: &str, data: &str) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

impl Block {
    fn whole(&self) -> String {
        match self {
            Self::Thinking { text, signature } => format!(
                "{{\"type\":\"thinking\",\"thinking\":{},\"signature\":\"{signature}\"}}",
                quote(text)
            ),
            Self::Text(said) => {
                format!("{{\"type\":\"text\",\"text\":{}}}", quote(&said.whole()))
            }
            Self::Call { call, .. } => self.call(&call.arguments),
            Self::Redacted { .. } => self.begin(),
        }
    }

    fn call(&self, input: &str) -> String {
        let Self::Call { id, call } = self else { return String::new() };
        let name = quote(&call.name);
        format!("{{\"type\":\"tool_use\",\"id\":\"{id}\",\"name\":{name},\"input\":{input}}}")
    }

    /// The block as a stream begins it: without its content.
    fn begin(&self) -> String {
        match self {
            Self::Thinking { .. } => {
                "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}".to_owned()
            }
            Self::Redacted { data } => {
                format!("{{\"type\":\"redacted_thinking\",\"data\":\"{data}\"}}")
            }
            Self::Text(_) => "{\"type\":\"text\",\"text\":\"\"}".to_owned(),
            Self::Call { .. } => self.call("{}"),
        }
    }

    fn deltas(&self) -> Vec<String> {
        match self {
            Self::Thinking { text, signature } => {
                let thoughts = script::THOUGHTS.iter().filter(|_| !text.is_empty());
                let thoughts = thoughts.map(|thought| {
                    format!("{{\"type\":\"thinking_delta\",\"thinking\":{}}}", quote(thought))
                });
                let signed =
                    format!("{{\"type\":\"signature_delta\",\"signature\":\"{signature}\"}}");
                thoughts.chain([signed]).collect()
            }
            Self::Redacted { .. } => Vec::new(),
            Self::Text(said) => {
                let token = |index| quote(said.token(index));
                let delta =
                    |index| format!("{{\"type\":\"text_delta\",\"text\":{}}}", token(index));
                (0..said.count()).map(delta).collect()
            }
            Self::Call { call, .. } => {
                // The first piece is always empty; a call without arguments has no other.
                let arguments = if call.arguments == "{}" { "" } else { &call.arguments };
                let pieces = std::iter::once(String::new()).chain(tools::pieces(arguments, PIECE));
                let delta = |piece: String| {
                    format!("{{\"type\":\"input_json_delta\",\"partial_json\":{}}}", quote(&piece))
                };
                pieces.map(delta).collect()
            }
        }
    }
}

/// The prompt, and what of it the cache had: the first turn writes, later ones read.
fn prompt(asked: &Asked<'_>, request: &Request<'_>) -> [u32; 3] {
    let all = prompt_tokens(asked);
    if caches(request).is_empty() {
        return [all, 0, 0];
    }
    let cached = all - all / 4;
    let later = request.messages.iter().flatten().any(Message::is_assistant);
    if later { [all - cached, 0, cached] } else { [all - cached, cached, 0] }
}

/// What the assistant has said already, where the conversation ends with that.
fn begun(request: &Request<'_>) -> String {
    let last = request.messages.iter().flatten().next_back();
    let own = last.filter(|message| message.is_assistant());
    match own.and_then(|message| message.content.as_ref()) {
        Some(Content::Text(text)) => text.to_string(),
        Some(Content::Blocks(blocks)) => {
            blocks.iter().filter_map(|block| block.text.as_deref()).collect()
        }
        None => String::new(),
    }
}

fn is_secret(request: &Request<'_>) -> bool {
    let last = request.messages.iter().flatten().next_back();
    match last.and_then(|message| message.content.as_ref()) {
        Some(Content::Text(text)) => text.contains(SECRET),
        Some(Content::Blocks(blocks)) => {
            blocks.iter().filter_map(|block| block.text.as_ref()).any(|t| t.contains(SECRET))
        }
        None => false,
    }
}

fn situation<'r>(request: &'r Request<'_>, history: History) -> Situation<'r> {
    let choice = request.tool_choice.as_ref();
    let named = choice.and_then(|choice| choice.name.as_deref());
    let tools = request.tools.iter().flatten().filter_map(|tool| {
        let name = tool.name.as_deref()?;
        let offered = named.is_none_or(|named| named == name);
        let schema = tool.input_schema.map(RawValue::get);
        offered.then(|| Tool { name: name.to_owned(), schema })
    });
    let format = request.output_config.as_ref().and_then(|config| config.format.as_ref());
    Situation {
        tools: tools.collect(),
        choice: match choice.and_then(|choice| choice.kind.as_deref()) {
            Some("any" | "tool") => Choice::Must,
            Some("none") => Choice::Never,
            _ => Choice::Auto,
        },
        one_call: choice.and_then(|choice| choice.disable_parallel_tool_use) == Some(true),
        history,
        output: format.and_then(|format| format.schema).map(RawValue::get),
    }
}
