//! Events to streams of Anthropic's Messages API
//! (<https://docs.anthropic.com/en/api/messages-streaming>).
//!
//! An answer is a list of blocks, one open at a time. What decides about blocks is one state
//! machine; streams, and whole answers in `messages_whole`, are two places it puts them.

use crate::base::ascii;
use crate::wire::json::{self, JsonText};

use super::carry::{self, Mark};
use super::event::{Event, FinishReason, Usage};
use super::ids;
use super::part::MediaKind;
use super::render::{ReplyMeta, Tier};
use super::serial::Serial;

/// A block, as it begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block<'e> {
    Text,
    Thinking,
    /// A vendor's mark that stands for itself, in our clothes if it is not Anthropic's.
    Redacted(Option<Mark>, JsonText<'e>),
    Call {
        id: JsonText<'e>,
        name: JsonText<'e>,
    },
}

/// A piece of a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'e> {
    Text(JsonText<'e>),
    Thinking(JsonText<'e>),
    Signature(Option<Mark>, JsonText<'e>),
    /// A JSON text, as the inside of a JSON string.
    Arguments(JsonText<'e>),
    /// A whole JSON object.
    Input(&'e str),
}

/// Where blocks go.
pub(super) trait Sink {
    fn open(&mut self, index: usize, block: Block<'_>);
    fn piece(&mut self, index: usize, piece: Piece<'_>);
    fn close(&mut self, index: usize);
}

/// Which kind of block is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thinking,
    Call,
}

/// What decides about blocks, and what is said at the end.
#[derive(Debug, Default)]
pub(super) struct Answer {
    open: Open,
    /// Blocks begun so far.
    begun: usize,
    /// The block of each call.
    calls: Vec<usize>,
    /// Google's last mark on a text.
    mark: Vec<u8>,
    refusal: Vec<u8>,
    finish: Option<FinishReason>,
    sequence: Vec<u8>,
    usage: Usage,
    tier: Tier,
}

impl Answer {
    /// Anthropic gives one answer; events of others are not for it.
    pub(super) fn on_event(&mut self, event: &Event<'_>, sink: &mut impl Sink) {
        match *event {
            Event::Text { choice: 0, text } if !text.is_empty() => {
                self.enter(Open::Text, Block::Text, sink);
                self.piece(Piece::Text(text), sink);
            }
            Event::Reasoning { choice: 0, text } if !text.is_empty() => {
                self.enter(Open::Thinking, Block::Thinking, sink);
                self.piece(Piece::Thinking(text), sink);
            }
            Event::Thought { choice: 0, text, signature } => {
                if self.open != Open::Thinking {
                    self.enter(Open::Thinking, Block::Thinking, sink);
                    self.piece(Piece::Thinking(text), sink);
                }
                self.sign(None, signature, sink);
            }
            Event::Redacted { choice: 0, data } => self.redacted(None, data, sink),
            Event::Signature { choice: 0, data } => {
                self.mark.clear();
                self.mark.extend_from_slice(data.raw().as_bytes());
            }
            Event::Call { choice: 0, id, name, arguments, signature, .. } => {
                self.call(id, name, signature, sink);
                if let Some(arguments) = arguments {
                    self.piece(Piece::Input(arguments), sink);
                }
            }
            Event::Arguments { choice: 0, call, piece } => {
                let call = usize::try_from(call).unwrap_or(usize::MAX);
                if let Some(index) = self.calls.get(call) {
                    sink.piece(*index, Piece::Arguments(piece));
                }
            }
            Event::Media { choice: 0, kind, mime, data } => self.medium(kind, mime, data, sink),
            Event::Refusal { choice: 0, text } => {
                self.refusal.extend_from_slice(text.raw().as_bytes());
            }
            Event::Finish { choice: 0, reason, sequence } => {
                self.finish = Some(reason);
                let met = sequence.unwrap_or_default();
                self.sequence.extend_from_slice(met.raw().as_bytes());
            }
            Event::Tier(tier) => self.tier = Tier::from_slice(tier.raw().as_bytes()),
            Event::Usage(usage) => self.usage = usage,
            _ => {}
        }
    }

    /// No event follows.
    pub(super) fn end(&mut self, sink: &mut impl Sink) {
        self.close(sink);
        self.push_mark(sink);
    }

    fn call(
        &mut self,
        id: JsonText<'_>,
        name: JsonText<'_>,
        signature: Option<JsonText<'_>>,
        sink: &mut impl Sink,
    ) {
        if let Some(mark) = signature.filter(|mark| !mark.is_empty()) {
            if self.open == Open::Thinking {
                self.sign(Some(Mark::GoogleCall), mark, sink);
            } else {
                self.redacted(Some(Mark::GoogleCall), mark, sink);
            }
        }
        self.close(sink);
        self.push_mark(sink);
        self.calls.push(self.begun);
        self.begin(Open::Call, Block::Call { id, name }, sink);
    }

    /// Anthropic's assistant shows nothing; an image is told as a text that shows it.
    fn medium(
        &mut self,
        kind: MediaKind,
        mime: JsonText<'_>,
        data: JsonText<'_>,
        sink: &mut impl Sink,
    ) {
        self.enter(Open::Text, Block::Text, sink);
        let name = match kind {
            MediaKind::Image => "![image](data:",
            MediaKind::Audio => "[audio](data:",
            MediaKind::File => "[file](data:",
        };
        for piece in [JsonText::plain(name), mime, JsonText::plain(";base64,"), data] {
            self.piece(Piece::Text(piece), sink);
        }
        self.piece(Piece::Text(JsonText::plain(")")), sink);
    }

    /// A block of its own for a mark.
    fn redacted(&mut self, mark: Option<Mark>, data: JsonText<'_>, sink: &mut impl Sink) {
        self.close(sink);
        sink.open(self.begun, Block::Redacted(mark, data));
        sink.close(self.begun);
        self.begun += 1;
    }

    /// The mark on a text goes out when no more text can follow.
    fn push_mark(&mut self, sink: &mut impl Sink) {
        if !self.mark.is_empty() {
            let mark = std::mem::take(&mut self.mark);
            let text = JsonText::spelt(std::str::from_utf8(&mark).unwrap_or_default());
            self.redacted(Some(Mark::GoogleText), text, sink);
        }
    }

    /// Signs the open block of reasoning, and ends it.
    fn sign(&mut self, mark: Option<Mark>, signature: JsonText<'_>, sink: &mut impl Sink) {
        self.piece(Piece::Signature(mark, signature), sink);
        self.open = Open::Nothing;
        sink.close(self.begun.saturating_sub(1));
    }

    fn enter(&mut self, open: Open, block: Block<'_>, sink: &mut impl Sink) {
        if self.open != open {
            self.close(sink);
            self.begin(open, block, sink);
        }
    }

    fn begin(&mut self, open: Open, block: Block<'_>, sink: &mut impl Sink) {
        sink.open(self.begun, block);
        self.begun += 1;
        self.open = open;
    }

    fn piece(&self, piece: Piece<'_>, sink: &mut impl Sink) {
        sink.piece(self.begun.saturating_sub(1), piece);
    }

    fn close(&mut self, sink: &mut impl Sink) {
        match self.open {
            Open::Nothing => return,
            Open::Thinking => {
                self.piece(Piece::Signature(Some(Mark::Unsigned), JsonText::default()), sink);
            }
            Open::Text | Open::Call => {}
        }
        sink.close(self.begun.saturating_sub(1));
        self.open = Open::Nothing;
    }

    /// Appends `"stop_reason":…` and what belongs to it.
    pub(super) fn push_stop(&self, out: &mut Vec<u8>) {
        let refused = !self.refusal.is_empty();
        let reason = match self.finish.unwrap_or(FinishReason::Stop) {
            FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
            FinishReason::Stop if refused => "refusal",
            FinishReason::Stop if !self.sequence.is_empty() => "stop_sequence",
            FinishReason::Stop => "end_turn",
            FinishReason::Pause => "pause_turn",
            FinishReason::Length => "max_tokens",
            FinishReason::ContextFull => "model_context_window_exceeded",
            FinishReason::ToolCalls => "tool_use",
        };
        out.extend_from_slice(b"\"stop_reason\":\"");
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\",\"stop_sequence\":");
        push_nullable(&self.sequence, out);
        out.extend_from_slice(b",\"stop_details\":");
        if reason == "refusal" {
            out.extend_from_slice(b"{\"type\":\"refusal\",\"category\":null,\"explanation\":");
            push_nullable(&self.refusal, out);
            out.push(b'}');
        } else {
            out.extend_from_slice(b"null");
        }
    }

    /// Appends the object of counts; Anthropic counts what was cached apart.
    pub(super) fn push_usage(&self, whole: bool, out: &mut Vec<u8>) {
        let Usage { prompt, completion, cached, cache_write, reasoning, .. } = self.usage;
        let fresh = prompt.saturating_sub(cached).saturating_sub(cache_write);
        let mut count = |name: &[u8], count: u64| {
            out.extend_from_slice(name);
            ascii::push_u64(out, count);
        };
        count(b"{\"input_tokens\":", fresh);
        count(b",\"cache_creation_input_tokens\":", cache_write);
        count(b",\"cache_read_input_tokens\":", cached);
        if whole {
            count(b",\"cache_creation\":{\"ephemeral_5m_input_tokens\":", cache_write);
            count(b",\"ephemeral_1h_input_tokens\":", 0);
            count(b"},\"output_tokens\":", completion);
        } else {
            count(b",\"output_tokens\":", completion);
        }
        if reasoning > 0 {
            count(b",\"output_tokens_details\":{\"thinking_tokens\":", reasoning);
            out.push(b'}');
        }
        if whole {
            let tier: &[u8] =
                if self.tier.as_slice() == b"priority" { b"priority" } else { b"standard" };
            out.extend_from_slice(b",\"service_tier\":\"");
            out.extend_from_slice(tier);
            out.push(b'"');
        }
        out.push(b'}');
    }
}

fn push_nullable(escaped: &[u8], out: &mut Vec<u8>) {
    if escaped.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        push_quoted(escaped, out);
    }
}

pub(super) fn push_quoted(escaped: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(escaped);
    out.push(b'"');
}

/// What an answer begins with seldom has more bytes.
const BEGIN_BYTES: usize = 192;

/// Appends `"model":…,"id":…,"type":"message","role":"assistant"`.
pub(super) fn push_begin(
    meta: &ReplyMeta,
    id: Option<JsonText<'_>>,
    model: Option<JsonText<'_>>,
    out: &mut Vec<u8>,
) {
    out.reserve(BEGIN_BYTES);
    out.extend_from_slice(b"\"model\":");
    match model {
        Some(model) => push_quoted(model.raw().as_bytes(), out),
        None => json::push_string(out, &meta.model),
    }
    out.extend_from_slice(b",\"id\":\"");
    ids::push("msg_", id, (meta.fallback_id, 24), out);
    out.extend_from_slice(b"\",\"type\":\"message\",\"role\":\"assistant\"");
}

pub(super) fn push_tool_id(id: JsonText<'_>, out: &mut Vec<u8>) {
    ids::push("toolu_", Some(id), (0, 0), out);
}

/// Writes one stream.
#[derive(Debug)]
pub struct MessageStream {
    meta: ReplyMeta,
    started: bool,
    serial: Serial,
    answer: Answer,
}

impl MessageStream {
    /// A writer that has written nothing yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self { meta, started: false, serial: Serial::default(), answer: Answer::default() }
    }

    /// Has the vendor begun to answer?
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// Appends what one event says.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if let Event::Start { id, model, .. } = event {
            if !std::mem::replace(&mut self.started, true) {
                self.start(*id, *model, out);
            }
            return;
        }
        let (serial, answer) = (&mut self.serial, &mut self.answer);
        serial.on_event(event, &mut |event| answer.on_event(event, &mut Events { out }));
    }

    fn start(&self, id: Option<JsonText<'_>>, model: Option<JsonText<'_>>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_start\n");
        out.extend_from_slice(b"data: {\"type\":\"message_start\",\"message\":{");
        push_begin(&self.meta, id, model, out);
        out.extend_from_slice(b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
        out.extend_from_slice(b"\"stop_details\":null,\"usage\":");
        self.answer.push_usage(true, out);
        out.extend_from_slice(b"}}\n\n");
    }

    /// Appends the end of an answer that is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.answer.end(&mut Events { out });
        out.extend_from_slice(b"event: message_delta\n");
        out.extend_from_slice(b"data: {\"type\":\"message_delta\",\"delta\":{");
        self.answer.push_stop(out);
        out.extend_from_slice(b"},\"usage\":");
        self.answer.push_usage(false, out);
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

/// Blocks as events.
struct Events<'o> {
    out: &'o mut Vec<u8>,
}

impl Events<'_> {
    /// Everything up to the value behind `index`.
    fn begin(&mut self, name: &str, index: usize) {
        self.out.extend_from_slice(b"event: ");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\ndata: {\"type\":\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\",\"index\":");
        ascii::push_u64(self.out, u64::try_from(index).unwrap_or(u64::MAX));
    }

    fn delta(&mut self, index: usize, kind: &str, field: &str) {
        self.begin("content_block_delta", index);
        self.out.extend_from_slice(b",\"delta\":{\"type\":\"");
        self.out.extend_from_slice(kind.as_bytes());
        self.out.extend_from_slice(b"\",\"");
        self.out.extend_from_slice(field.as_bytes());
        self.out.extend_from_slice(b"\":\"");
    }
}

impl Sink for Events<'_> {
    fn open(&mut self, index: usize, block: Block<'_>) {
        self.begin("content_block_start", index);
        self.out.extend_from_slice(b",\"content_block\":");
        match block {
            Block::Text => self.out.extend_from_slice(b"{\"type\":\"text\",\"text\":\"\"}"),
            Block::Thinking => self
                .out
                .extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
            Block::Redacted(mark, data) => push_redacted(mark, data, self.out),
            Block::Call { id, name } => {
                self.out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":\"");
                push_tool_id(id, self.out);
                self.out.extend_from_slice(b"\",\"name\":");
                push_quoted(name.raw().as_bytes(), self.out);
                self.out.extend_from_slice(b",\"input\":{}}");
            }
        }
        self.out.extend_from_slice(b"}\n\n");
        if index == 0 {
            self.out.extend_from_slice(PING);
        }
        if let Block::Call { .. } = block {
            // Anthropic's own streams begin the input with nothing.
            self.delta(index, "input_json_delta", "partial_json");
            self.out.extend_from_slice(b"\"}}\n\n");
        }
    }

    fn piece(&mut self, index: usize, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) => {
                self.delta(index, "text_delta", "text");
                self.out.extend_from_slice(text.raw().as_bytes());
            }
            Piece::Thinking(text) => {
                self.delta(index, "thinking_delta", "thinking");
                self.out.extend_from_slice(text.raw().as_bytes());
            }
            Piece::Signature(mark, text) => {
                self.delta(index, "signature_delta", "signature");
                push_marked(mark, text, self.out);
            }
            Piece::Arguments(text) => {
                self.delta(index, "input_json_delta", "partial_json");
                self.out.extend_from_slice(text.raw().as_bytes());
            }
            Piece::Input(input) => {
                self.delta(index, "input_json_delta", "partial_json");
                json::push_compact_escaped(self.out, input);
            }
        }
        self.out.extend_from_slice(b"\"}}\n\n");
    }

    fn close(&mut self, index: usize) {
        self.begin("content_block_stop", index);
        self.out.extend_from_slice(b"}\n\n");
    }
}

/// What Anthropic sends when it has nothing to say.
pub(super) const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

pub(super) fn push_marked(mark: Option<Mark>, text: JsonText<'_>, out: &mut Vec<u8>) {
    if let Some(mark) = mark {
        carry::open(mark, out);
    }
    out.extend_from_slice(text.raw().as_bytes());
}

pub(super) fn push_redacted(mark: Option<Mark>, data: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":\"");
    push_marked(mark, data, out);
    out.extend_from_slice(b"\"}");
}
