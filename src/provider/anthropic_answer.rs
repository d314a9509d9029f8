//! Anthropic's `Message`, whole or as a stream of events, to events
//! (<https://docs.claude.com/en/docs/build-with-claude/streaming>).
//!
//! ```text
//! message_start  (block_start  block_delta*  block_stop)*  message_delta  message_stop
//! ```
//!
//! `ping` may come anywhere, `error` ends it, and kinds that are not known say nothing. Only
//! `message_stop` makes an answer whole. A vendor's event is read in one pass, whatever the order
//! of its members.

use smallvec::SmallVec;

use crate::base::Rng;
use crate::chat::{Event, FinishReason};
use crate::wire::json::{JsonError, JsonText, Reader};

use super::anthropic_event::{Block, Counts, Delta, Ending, Message, Said};
use super::call_id;
use super::error::{UpstreamError, UpstreamErrorKind};

/// A block of reasoning is kept until its signature comes. More of it is not an answer.
const THOUGHT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// So many blocks may be open at once; Anthropic opens one.
const OPEN_MAX: usize = 1024;

/// What a refusal says that does not explain itself.
const REFUSED: &str = "The model refused to answer.";

/// A block of a stream that has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// A call, and whether any of its arguments have come.
    Call(u32, Arguments),
    /// Tools on the vendor's side and what is not known.
    Other,
}

/// How far the arguments of a call are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arguments {
    None,
    Some,
    /// They came with the beginning.
    All,
}

/// What is known of one answer.
#[derive(Debug)]
pub(super) struct Answer {
    started: bool,
    /// The vendor has said that the answer is whole.
    stopped: bool,
    /// Blocks by their index.
    open: SmallVec<[(u64, Open); 2]>,
    /// The text of the block of reasoning, and its signature, as they were spelt.
    thought: String,
    signature: String,
    calls: u32,
    finish: Option<FinishReason>,
    /// The stop sequence that was met.
    sequence: String,
    counts: Counts,
    /// For ids of calls that have none.
    rng: Rng,
}

impl Answer {
    /// `seed` decides the ids of calls that the vendor gives none.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            started: false,
            stopped: false,
            open: SmallVec::new(),
            thought: String::new(),
            signature: String::new(),
            calls: 0,
            finish: None,
            sequence: String::new(),
            counts: Counts::default(),
            rng: Rng::new(seed),
        }
    }

    /// Takes one event of a stream, or the whole message.
    pub(super) fn payload(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if self.stopped {
            return Ok(reader.skip()?);
        }
        let said = Said::read(reader, &mut self.counts)?;
        match said.kind.map(JsonText::raw) {
            Some("content_block_delta") => self.delta(said.index, &said.delta, sink),
            Some("content_block_start") => {
                self.start(&Message::default(), sink);
                self.begin(said.index, &said.block, sink)
            }
            Some("content_block_stop") => {
                self.end(said.index, sink);
                Ok(())
            }
            Some("message_start") => {
                self.start(&said.message, sink);
                // A client that leaves does so in the middle.
                if let Some(usage) = self.counts.usage() {
                    sink(Event::Counted(usage));
                }
                Ok(())
            }
            Some("message_delta") => {
                self.start(&Message::default(), sink);
                self.ending(&said.delta.ending, sink);
                Ok(())
            }
            Some("message_stop") => {
                self.start(&Message::default(), sink);
                self.stopped = true;
                Ok(())
            }
            Some("message") => self.whole(&said.message, sink),
            None if said.message.content.is_some() => self.whole(&said.message, sink),
            None => Err(JsonError::Type.into()),
            Some(_) => Ok(()),
        }
    }

    /// The body has ended.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamError> {
        if !self.stopped {
            return Err(UpstreamError::truncated());
        }
        // A block without its end has ended with the message.
        while let Some((index, _)) = self.open.first() {
            self.end(*index, sink);
        }
        let reason = match self.finish.unwrap_or(FinishReason::Stop) {
            FinishReason::Stop if self.calls > 0 => FinishReason::ToolCalls,
            // Nobody can answer a call that is not there.
            FinishReason::ToolCalls if self.calls == 0 => FinishReason::Stop,
            reason => reason,
        };
        let sequence = Some(self.sequence.as_str()).filter(|sequence| !sequence.is_empty());
        sink(Event::Finish { choice: 0, reason, sequence: sequence.map(JsonText::spelt) });
        if let Some(tier) = self.counts.tier() {
            sink(Event::Tier(JsonText::plain(tier)));
        }
        if let Some(usage) = self.counts.usage() {
            sink(Event::Usage(usage));
        }
        Ok(())
    }

    /// A second beginning says nothing new; some servers have none.
    fn start(&mut self, message: &Message<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let named = |text: &JsonText<'_>| !text.is_empty();
        let (id, model) = (message.id.filter(named), message.model.filter(named));
        sink(Event::Start { id, bare: false, model, created: None });
        // A model may think for minutes without a word: its client is told that it does.
        sink(Event::Open { choice: 0 });
    }

    fn whole(
        &mut self,
        message: &Message<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let content = message.content.ok_or(JsonError::Type)?;
        self.start(message, sink);
        Reader::new(content).array(|reader, index| {
            let block = Block::read(reader)?;
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            self.begin(index, &block, sink)?;
            self.end(index, sink);
            Ok::<(), UpstreamError>(())
        })?;
        self.ending(&message.ending, sink);
        self.stopped = true;
        Ok(())
    }

    /// A block begins.
    fn begin(
        &mut self,
        index: u64,
        block: &Block<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        self.end(index, sink);
        let open = match block.kind.map(JsonText::raw).ok_or(JsonError::Type)? {
            "text" => {
                self.text(block.text, sink);
                Open::Text
            }
            "thinking" => {
                self.thought.clear();
                self.signature.clear();
                self.reason(block.thinking, sink)?;
                self.signature.push_str(block.signature.unwrap_or_default().raw());
                Open::Thinking
            }
            "redacted_thinking" => {
                let data = block.data.ok_or(JsonError::Type)?;
                sink(Event::Redacted { choice: 0, data });
                Open::Other
            }
            "tool_use" => self.call(block, sink)?,
            _ => Open::Other,
        };
        if self.open.len() == OPEN_MAX {
            return Err(JsonError::Type.into());
        }
        self.open.push((index, open));
        Ok(())
    }

    /// A call of a tool; OpenAI's index counts the calls alone.
    fn call(
        &mut self,
        block: &Block<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Open, UpstreamError> {
        let name = block.name.ok_or(JsonError::Type)?;
        let made;
        let id = match block.id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => {
                made = call_id::random(&mut self.rng);
                made.text()
            }
        };
        // A stream begins with `{}`, which stands for nothing yet.
        let arguments = block.input.filter(|input| has_members(input));
        let call = self.calls;
        self.calls += 1;
        sink(Event::Call { choice: 0, call, id, name, arguments, signature: None });
        let come = if arguments.is_some() { Arguments::All } else { Arguments::None };
        Ok(Open::Call(call, come))
    }

    fn delta(
        &mut self,
        index: u64,
        delta: &Delta<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        self.start(&Message::default(), sink);
        let found = self.open.iter_mut().rev().find(|(open, _)| *open == index);
        let open = found.map(|(_, open)| open);
        match delta.kind.map(JsonText::raw) {
            Some("text_delta") if open.as_deref() != Some(&Open::Other) => {
                self.text(delta.text, sink);
            }
            Some("thinking_delta") => return self.reason(delta.thinking, sink),
            Some("signature_delta") => {
                self.signature.clear();
                self.signature.push_str(delta.signature.unwrap_or_default().raw());
            }
            Some("input_json_delta") => {
                let piece = delta.partial_json.unwrap_or_default();
                match open {
                    Some(Open::Call(call, come)) if *come != Arguments::All => {
                        if !piece.is_empty() {
                            *come = Arguments::Some;
                            sink(Event::Arguments { choice: 0, call: *call, piece });
                        }
                    }
                    Some(_) => {}
                    // Arguments of no call would be lost.
                    None => return Err(JsonError::Type.into()),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&self, text: Option<JsonText<'_>>, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            sink(Event::Text { choice: 0, text });
        }
    }

    fn reason(
        &mut self,
        text: Option<JsonText<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
        if self.thought.len() + text.raw().len() > THOUGHT_BYTES_MAX {
            let what = "the upstream's reasoning is too large";
            return Err(UpstreamError::new(UpstreamErrorKind::Invalid, what));
        }
        self.thought.push_str(text.raw());
        sink(Event::Reasoning { choice: 0, text });
        Ok(())
    }

    /// A block ends, if it is open.
    fn end(&mut self, index: u64, sink: &mut impl FnMut(Event<'_>)) {
        let Some(place) = self.open.iter().position(|(open, _)| *open == index) else { return };
        match self.open.remove(place).1 {
            // Without its signature nobody could send it back.
            Open::Thinking if !self.signature.is_empty() => {
                let text = JsonText::spelt(&self.thought);
                let signature = JsonText::spelt(&self.signature);
                sink(Event::Thought { choice: 0, text, signature });
            }
            Open::Call(call, Arguments::None) => {
                let piece = JsonText::plain("{}");
                sink(Event::Arguments { choice: 0, call, piece });
            }
            Open::Text | Open::Thinking | Open::Call(..) | Open::Other => {}
        }
    }

    /// Why the message ends. Later words stand.
    fn ending(&mut self, ending: &Ending<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let Some(reason) = ending.reason.map(|reason| reason_of(reason.raw())) else { return };
        if reason == FinishReason::Refusal && self.finish != Some(reason) {
            let explained = ending.explanation.filter(|text| !text.is_empty());
            let text = explained.unwrap_or(JsonText::plain(REFUSED));
            sink(Event::Refusal { choice: 0, text });
        }
        self.finish = Some(reason);
        self.sequence.clear();
        self.sequence.push_str(ending.sequence.unwrap_or_default().raw());
    }
}

/// What a reason of Anthropic's means.
pub(super) fn reason_of(reason: &str) -> FinishReason {
    match reason {
        "max_tokens" => FinishReason::Length,
        "model_context_window_exceeded" => FinishReason::ContextFull,
        "tool_use" => FinishReason::ToolCalls,
        "pause_turn" => FinishReason::Pause,
        "refusal" => FinishReason::Refusal,
        // `end_turn`, `stop_sequence`, and what is not known.
        _ => FinishReason::Stop,
    }
}

/// Is it an object with anything in it?
fn has_members(input: &str) -> bool {
    input.bytes().any(|byte| byte == b'"')
}

#[cfg(test)]
mod tests {
    use super::super::decode::{AnswerLimits, Decoder};
    use super::super::expected::Expected;
    use super::super::order::Vendor;
    use crate::chat::Usage;

    use super::*;

    type Heard = Result<Vec<String>, UpstreamErrorKind>;

    fn hear(stream: bool, parts: &[&[u8]]) -> (Vec<String>, Result<(), UpstreamErrorKind>) {
        let limits = AnswerLimits { body_bytes: 4096, event_bytes: 1024 };
        let expected = Expected::plain(Vendor::Anthropic, stream, 1, 7);
        let mut decoder = Decoder::new(expected, limits);
        let mut heard = Vec::new();
        let mut sink = |event: Event<'_>| match event {
            Event::Counted(usage) => assert!(usage.prompt > 0, "{usage:?}"),
            event => heard.push(shown(&event)),
        };
        let mut run = || {
            parts.iter().try_for_each(|part| decoder.feed(part, &mut sink))?;
            decoder.finish(&mut sink)
        };
        let result = run().map_err(|error: UpstreamError| error.kind);
        (heard, result)
    }

    /// An event in few words.
    fn shown(event: &Event<'_>) -> String {
        match event {
            Event::Start { id, model, .. } => {
                format!("start {:?} {:?}", id.map(JsonText::raw), model.map(JsonText::raw))
            }
            Event::Open { .. } => "open".to_owned(),
            Event::Text { text, .. } => format!("text {}", text.raw()),
            Event::Reasoning { text, .. } => format!("reasoning {}", text.raw()),
            Event::Refusal { text, .. } => format!("refusal {}", text.raw()),
            Event::Call { call, id, name, arguments, .. } => {
                format!("call {call} {} {} {arguments:?}", id.raw(), name.raw())
            }
            Event::Arguments { call, piece, .. } => format!("arguments {call} {}", piece.raw()),
            Event::Thought { text, signature, .. } => {
                format!("thought {} {}", text.raw(), signature.raw())
            }
            Event::Redacted { data, .. } => format!("redacted {}", data.raw()),
            Event::Finish { reason, sequence, .. } => {
                format!("finish {reason:?} {:?}", sequence.map(JsonText::raw))
            }
            Event::Tier(tier) => format!("tier {}", tier.raw()),
            other => format!("{other:?}"),
        }
    }

    fn whole(stream: bool, input: &str) -> Heard {
        let (heard, result) = hear(stream, &[input.as_bytes()]);
        result.map(|()| heard)
    }

    fn every_cut(input: &str) -> Heard {
        let input = input.as_bytes();
        let whole = hear(true, &[input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(hear(true, &bytes), whole, "per byte");
        for cut in 0..=input.len() {
            let (head, tail) = input.split_at(cut);
            assert_eq!(hear(true, &[head, tail]), whole, "cut at {cut}");
        }
        whole.1.map(|()| whole.0)
    }

    /// A stream of these data lines, each with its event's name.
    fn stream(data: &[&str]) -> String {
        let event = |data: &&str| {
            let kind = data.split("\"type\":\"").nth(1).and_then(|rest| rest.split('"').next());
            format!("event: {}\ndata: {data}\n\n", kind.unwrap_or("?"))
        };
        data.iter().map(event).collect()
    }

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":4,"cache_creation_input_tokens":2,"cache_read_input_tokens":8,"output_tokens":1,"service_tier":"standard"}}}"#;
    const STOP: &str = r#"{"type":"message_stop"}"#;

    fn with_everything() -> String {
        stream(&[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type": "ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h\u00e9"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"thinking":"m","type":"thinking_delta"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
            r#"{"type":"content_block_stop","index":0  }"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"ZGF0YQ=="}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
            r#"{"delta":{"text":"\n\nHé","type":"text_delta"},"index":2,"type":"content_block_delta"}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":""}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
            r#"{"type":"content_block_stop","index":3}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[]}}"#,
            r#"{"type":"content_block_stop","index":4}"#,
            r#"{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"{\"a\": "}}"#,
            r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"1.0}"}}"#,
            r#"{"type":"content_block_stop","index":5}"#,
            r#"{"type":"content_block_start","index":6,"content_block":{"type":"tool_use","id":"toolu_2","name":"g","input":{}}}"#,
            r#"{"type":"content_block_stop","index":6}"#,
            r#"{"type":"something_new","index":6,"delta":[1]}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":5,"cache_read_input_tokens":null,"output_tokens":9,"output_tokens_details":{"thinking_tokens":3}}}"#,
            STOP,
        ])
    }

    #[test]
    fn a_stream_becomes_events_however_it_is_cut() {
        let usage = Usage {
            prompt: 15,
            completion: 9,
            cached: 8,
            cache_write: 2,
            reasoning: 3,
            ..Usage::default()
        };
        let expected = [
            r#"start Some("msg_1") Some("m-1")"#,
            "open",
            r"reasoning h\u00e9",
            "reasoning m",
            r"thought h\u00e9m c2ln",
            "redacted ZGF0YQ==",
            r"text \n\nHé",
            "call 0 toolu_1 f None",
            r#"arguments 0 {\"a\": "#,
            "arguments 0 1.0}",
            "call 1 toolu_2 g None",
            "arguments 1 {}",
            "finish ToolCalls None",
            "tier default",
            &format!("{:?}", Event::Usage(usage)),
        ];
        let input = with_everything();
        assert_eq!(every_cut(&input).unwrap(), expected);
        for end in ["\r\n", "\r"] {
            assert_eq!(whole(true, &input.replace('\n', end)).unwrap(), expected, "{end:?}");
        }
    }

    #[test]
    fn no_cut_stream_is_a_whole_answer() {
        let input = with_everything();
        let stop = input.len() - "\n\n".len();
        for cut in 0..stop {
            let (heard, result) = hear(true, &[&input.as_bytes()[..cut]]);
            assert_eq!(result, Err(UpstreamErrorKind::Truncated), "cut at {cut}");
            assert!(!heard.iter().any(|event| event.starts_with("finish")), "cut at {cut}");
        }
        let (_, result) = hear(true, &[&input.as_bytes()[..stop]]);
        assert_eq!(result, Ok(()), "the end of the line is not needed");
    }

    #[test]
    fn a_whole_message_says_the_same() {
        let body = r#"{"content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"thinking","thinking":"no mark"},
            {"type":"redacted_thinking","data":"ZA=="},{"type":"text","text":"a\n","citations":null},{"type":"container_upload","file_id":"x"},{"type":"text","text":"b"},
            {"caller":{"type":"direct"},"id":"toolu_1","input":{ "n" : 1.0e400 },"name":"f","type":"tool_use"},{"id":"toolu_2","input":{},"name":"g","type":"tool_use"}],
            "id":"msg_1","model":"m-1","role":"assistant","stop_reason":"tool_use","stop_sequence":null,"type":"message",
            "usage":{"input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":1,"ephemeral_5m_input_tokens":2},"output_tokens":7,"service_tier":"priority"}}"#;
        let usage = Usage {
            prompt: 6,
            completion: 7,
            cache_write: 3,
            cache_write_1h: 1,
            ..Usage::default()
        };
        let expected = [
            r#"start Some("msg_1") Some("m-1")"#,
            "open",
            "reasoning hm",
            "thought hm c2ln",
            "reasoning no mark",
            "redacted ZA==",
            r"text a\n",
            "text b",
            r#"call 0 toolu_1 f Some("{ \"n\" : 1.0e400 }")"#,
            "call 1 toolu_2 g None",
            "arguments 1 {}",
            "finish ToolCalls None",
            "tier priority",
            &format!("{:?}", Event::Usage(usage)),
        ];
        assert_eq!(whole(false, body).unwrap(), expected);
    }

    #[test]
    fn every_reason_has_its_word() {
        for (ending, expected) in [
            (r#""stop_reason":"end_turn""#, "finish Stop None"),
            (
                r#""stop_reason":"stop_sequence","stop_sequence":"\n\nEND""#,
                r#"finish Stop Some("\\n\\nEND")"#,
            ),
            (r#""stop_reason":"pause_turn""#, "finish Pause None"),
            (r#""stop_reason":"max_tokens""#, "finish Length None"),
            (r#""stop_reason":"model_context_window_exceeded""#, "finish ContextFull None"),
            (r#""stop_reason":"tool_use""#, "finish Stop None"),
            (r#""stop_reason":"something_new""#, "finish Stop None"),
            (
                r#""stop_reason":"refusal""#,
                "refusal The model refused to answer., finish Refusal None",
            ),
            (
                r#""stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"No."}"#,
                "refusal No., finish Refusal None",
            ),
        ] {
            let delta = format!(r#"{{"type":"message_delta","delta":{{{ending}}}}}"#);
            let start = r#"{"type":"message_start","message":{"id":"","model":"m"}}"#;
            let heard = whole(true, &stream(&[start, &delta, STOP])).unwrap();
            assert_eq!(heard.join(", "), format!("start None Some(\"m\"), open, {expected}"));
            let body = format!(r#"{{"type":"message","model":"m","content":[],{ending}}}"#);
            let heard = whole(false, &body).unwrap();
            assert_eq!(heard.join(", "), format!("start None Some(\"m\"), open, {expected}"));
        }
    }

    #[test]
    fn odd_servers_are_understood() {
        let text = |index: u32, text: &str| {
            format!(
                r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"{text}"}}}}"#
            )
        };
        let call = r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"","name":"f","input":{"a":1}}}"#;
        let more = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#;
        let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
        let twice = stream(&[START, START, &text(0, "a"), call, more, end, STOP, &text(0, "b")]);
        let heard = every_cut(&twice).unwrap();
        let id = heard[3].split(' ').nth(2).unwrap();
        assert!(id.starts_with("call_"), "{heard:?}");
        let expected = [
            r#"start Some("msg_1") Some("m-1")"#,
            "open",
            "text a",
            &format!(r#"call 0 {id} f Some("{{\"a\":1}}")"#),
            "finish ToolCalls None",
            "tier default",
        ];
        assert_eq!(heard[..6], expected, "a second beginning, a whole call, words after the end");
        let bare = every_cut(&stream(&[&text(7, "a"), STOP])).unwrap();
        assert_eq!(bare, ["start None None", "open", "text a", "finish Stop None"]);
    }

    #[test]
    fn errors_and_wrong_shapes() {
        use UpstreamErrorKind as K;
        for (kind, expected) in [
            ("overloaded_error", K::Overloaded),
            ("api_error", K::Failed(500)),
            ("rate_limit_error", K::RateLimited),
            ("invalid_request_error", K::Refused),
            ("authentication_error", K::Auth),
            ("timeout_error", K::Timeout),
            ("something_new", K::Failed(500)),
        ] {
            let error = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            assert_eq!(every_cut(&stream(&[START, &error, STOP])), Err(expected), "{kind}");
            assert_eq!(whole(false, &error), Err(expected), "{kind}");
        }
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "x",
            r#"{"type":"message"}"#,
            r#"{"type":"message","content":{}}"#,
            r#"{"type":"message","content":["x"]}"#,
            r#"{"type":"message","content":[{"text":"x"}]}"#,
            r#"{"type":"message","content":[{"type":"tool_use","id":"x"}]}"#,
            r#"{"type":"message","content":[],"usage":{"input_tokens":"4"}}"#,
            r#"{"type":"message","content":[],"usage":{"input_tokens":-1}}"#,
            r#"{"type":"message","content":["#,
            r#"{"type":"message","content":[]} x"#,
        ] {
            assert_eq!(whole(false, body), Err(K::Invalid), "{body}");
        }
        let lost = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#;
        assert_eq!(every_cut(&stream(&[START, lost, STOP])), Err(K::Invalid));
        assert_eq!(whole(true, "data: {x}\n\n"), Err(K::Invalid));
        assert_eq!(whole(false, &" ".repeat(5000)), Err(K::Invalid));
    }
}
