//! Events to one whole answer of Anthropic's Messages API.

use crate::wire::json::{self, JsonText};

use super::event::Event;
use super::messages_out::{
    Answer, Block, Piece, Sink, push_begin, push_marked, push_quoted, push_redacted, push_tool_id,
};
use super::render::ReplyMeta;
use super::turn::is_object;

/// Writes one answer in one piece.
#[derive(Debug)]
pub struct WholeMessage {
    meta: ReplyMeta,
    /// What stands before the content; empty before the start.
    head: Vec<u8>,
    answer: Answer,
    content: Blocks,
}

impl WholeMessage {
    /// Nothing has come yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self { meta, head: Vec::new(), answer: Answer::default(), content: Blocks::default() }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, model, .. } if self.head.is_empty() => {
                push_begin(&self.meta, *id, *model, &mut self.head);
            }
            Event::Start { .. } => {}
            other => self.answer.on_event(other, &mut self.content),
        }
    }

    /// Appends the answer.
    pub fn render(&mut self, out: &mut Vec<u8>) {
        self.answer.end(&mut self.content);
        out.push(b'{');
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"content\":[");
        for (index, block) in self.content.blocks.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            block.render(out);
        }
        out.extend_from_slice(b"],");
        self.answer.push_stop(out);
        out.extend_from_slice(b",\"usage\":");
        self.answer.push_usage(true, out);
        out.push(b'}');
    }
}

/// Blocks that are kept until all are there.
#[derive(Debug, Default)]
struct Blocks {
    blocks: Vec<Kept>,
}

/// A block; its texts are as in JSON strings.
#[derive(Debug)]
enum Kept {
    /// Text, after what stands before it.
    Text(Vec<u8>),
    Thinking {
        text: Vec<u8>,
        signature: Vec<u8>,
    },
    /// A whole block.
    Ready(Vec<u8>),
    Call {
        /// `{…,"input":`
        head: Vec<u8>,
        /// A JSON object.
        input: Vec<u8>,
        /// It, in pieces.
        pieces: Vec<u8>,
    },
}

impl Sink for Blocks {
    fn open(&mut self, _index: usize, block: Block<'_>) {
        self.blocks.push(match block {
            Block::Text => Kept::Text(Vec::new()),
            Block::Thinking => Kept::Thinking { text: Vec::new(), signature: Vec::new() },
            Block::Redacted(mark, data) => {
                let mut block = Vec::new();
                push_redacted(mark, data, &mut block);
                Kept::Ready(block)
            }
            Block::Call { id, name } => {
                let mut head = Vec::new();
                head.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":\"");
                push_tool_id(id, &mut head);
                head.extend_from_slice(b"\",\"name\":");
                push_quoted(name.raw().as_bytes(), &mut head);
                head.extend_from_slice(b",\"input\":");
                Kept::Call { head, input: Vec::new(), pieces: Vec::new() }
            }
        });
    }

    fn piece(&mut self, index: usize, piece: Piece<'_>) {
        match (self.blocks.get_mut(index), piece) {
            (Some(Kept::Text(kept)), Piece::Text(text)) => {
                kept.extend_from_slice(text.raw().as_bytes());
            }
            (Some(Kept::Thinking { text: kept, .. }), Piece::Thinking(text)) => {
                kept.extend_from_slice(text.raw().as_bytes());
            }
            (Some(Kept::Thinking { signature, .. }), Piece::Signature(mark, text)) => {
                push_marked(mark, text, signature);
            }
            (Some(Kept::Call { pieces, .. }), Piece::Arguments(text)) => {
                pieces.extend_from_slice(text.raw().as_bytes());
            }
            (Some(Kept::Call { input, .. }), Piece::Input(whole)) => {
                json::push_compact(input, whole);
            }
            _ => {}
        }
    }

    fn close(&mut self, _index: usize) {}
}

impl Kept {
    fn render(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                push_quoted(text, out);
            }
            Self::Thinking { text, signature } => {
                out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
                push_quoted(text, out);
                out.extend_from_slice(b",\"signature\":");
                push_quoted(signature, out);
            }
            Self::Ready(block) => {
                out.extend_from_slice(block);
                return;
            }
            Self::Call { head, input, pieces } => {
                out.extend_from_slice(head);
                if input.is_empty() {
                    push_input(pieces, out);
                } else {
                    out.extend_from_slice(input);
                }
            }
        }
        out.push(b'}');
    }
}

/// Appends the object that the pieces of a JSON text make.
fn push_input(pieces: &[u8], out: &mut Vec<u8>) {
    let pieces = JsonText::spelt(std::str::from_utf8(pieces).unwrap_or_default());
    let text = pieces.unescape();
    match text.trim() {
        "" => out.extend_from_slice(b"{}"),
        object if is_object(object) => json::push_compact(out, object),
        // A model may break off; what Anthropic advises to show it then is shown to the client
        // (<https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming>).
        _ => {
            out.extend_from_slice(b"{\"INVALID_JSON\":");
            push_quoted(pieces.raw().as_bytes(), out);
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::event::{FinishReason, Usage};
    use super::super::messages_out::MessageStream;
    use super::super::part::MediaKind;
    use super::*;

    const T: fn(&'static str) -> JsonText<'static> = JsonText::plain;

    fn called(
        call: u32,
        id: &'static str,
        arguments: Option<&'static str>,
        signature: Option<&'static str>,
    ) -> Event<'static> {
        let (id, signature) = (T(id), signature.map(T));
        Event::Call { choice: 0, call, id, name: T("f"), arguments, signature }
    }

    fn meta() -> ReplyMeta {
        ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() }
    }

    fn streamed(events: &[Event<'_>]) -> Vec<(String, Value)> {
        let (mut writer, mut out) = (MessageStream::new(meta()), Vec::new());
        events.iter().for_each(|event| writer.on_event(event, &mut out));
        writer.end(&mut out);
        let text = String::from_utf8(out).unwrap();
        let events = text.split_terminator("\n\n").map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap().to_owned();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name);
            (name, data)
        });
        events.collect()
    }

    fn whole(events: &[Event<'_>]) -> Value {
        let (mut writer, mut out) = (WholeMessage::new(meta()), Vec::new());
        events.iter().for_each(|event| writer.on_event(event));
        writer.render(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    /// What an SDK makes of a stream: the blocks, and the message around them.
    fn gathered(events: &[Event<'_>]) -> Value {
        let streamed = streamed(events);
        let mut message = streamed[0].1["message"].clone();
        let mut inputs: Vec<String> = Vec::new();
        let mut open = Vec::new();
        for (name, data) in &streamed[1..] {
            let index = data["index"].as_u64().map(|index| usize::try_from(index).unwrap());
            match name.as_str() {
                "content_block_start" => {
                    let content = message["content"].as_array_mut().unwrap();
                    assert_eq!(content.len(), index.unwrap());
                    content.push(data["content_block"].clone());
                    inputs.push(String::new());
                    open.push(index);
                }
                "content_block_delta" => {
                    let delta = &data["delta"];
                    let block = &mut message["content"][index.unwrap()];
                    let (field, text) = match delta["type"].as_str().unwrap() {
                        "text_delta" => ("text", &delta["text"]),
                        "thinking_delta" => ("thinking", &delta["thinking"]),
                        "signature_delta" => ("signature", &delta["signature"]),
                        _ => {
                            inputs[index.unwrap()] += delta["partial_json"].as_str().unwrap();
                            continue;
                        }
                    };
                    let joined = block[field].as_str().unwrap().to_owned() + text.as_str().unwrap();
                    block[field] = joined.into();
                }
                "content_block_stop" => assert_eq!(open.pop(), Some(index), "blocks nest"),
                "message_delta" => {
                    for (field, value) in data["delta"].as_object().unwrap() {
                        message[field] = value.clone();
                    }
                    for (field, value) in data["usage"].as_object().unwrap() {
                        message["usage"][field] = value.clone();
                    }
                }
                "message_stop" | "ping" => {}
                other => panic!("{other}"),
            }
        }
        assert!(open.is_empty(), "an open block");
        assert_eq!(streamed.last().unwrap().0, "message_stop");
        for (index, input) in inputs.iter().enumerate().filter(|(_, input)| !input.is_empty()) {
            message["content"][index]["input"] = serde_json::from_str(input).unwrap();
        }
        message
    }

    #[test]
    fn streams_and_whole_answers_say_the_same() {
        let usage = Usage {
            prompt: 100,
            completion: 9,
            cached: 60,
            cache_write: 10,
            reasoning: 4,
            ..Usage::default()
        };
        let events = [
            Event::Start { id: Some(T("r-1")), bare: true, model: Some(T("m-1")), created: None },
            Event::Reasoning { choice: 0, text: T("hm ") },
            Event::Reasoning { choice: 0, text: T("so") },
            called(0, "call_1", Some("{ \"a\": [1.0, \"x y\"] }"), Some("S1")),
            called(1, "toolu_2", None, None),
            Event::Arguments { choice: 0, call: 1, piece: T("{\\\"b\\\":") },
            Event::Arguments { choice: 0, call: 1, piece: T("2}") },
            called(2, "z", None, None),
            Event::Finish { choice: 0, reason: FinishReason::ToolCalls, sequence: None },
            Event::Usage(usage),
        ];
        let (message, mut gathered) = (whole(&events), gathered(&events));
        // A stream begins before anything has been counted, and its end has only the sums.
        gathered["usage"]["cache_creation"] = message["usage"]["cache_creation"].clone();
        assert_eq!(message, gathered);
        assert_eq!(message["id"], "msg_r-1");
        assert_eq!(
            (message["type"].as_str(), message["model"].as_str()),
            (Some("message"), Some("m-1"))
        );
        let content = message["content"].as_array().unwrap();
        assert_eq!(content.len(), 4);
        assert_eq!(content[0]["thinking"], "hm so");
        assert_eq!(content[0]["signature"], "vbridge1.gc.S1");
        assert_eq!(
            (content[1]["id"].as_str(), content[1]["input"]["a"][1].as_str()),
            (Some("toolu_1"), Some("x y"))
        );
        assert_eq!(
            (content[2]["id"].as_str(), content[2]["input"]["b"].as_u64()),
            (Some("toolu_2"), Some(2))
        );
        assert_eq!(
            (content[3]["id"].as_str(), content[3]["input"].as_object().unwrap().len()),
            (Some("toolu_z"), 0)
        );
        assert_eq!(message["stop_reason"], "tool_use");
        assert_eq!(message["usage"]["input_tokens"], 30);
        assert_eq!(message["usage"]["cache_read_input_tokens"], 60);
        assert_eq!(message["usage"]["cache_creation"]["ephemeral_5m_input_tokens"], 10);
        assert_eq!(message["usage"]["output_tokens_details"]["thinking_tokens"], 4);
    }

    #[test]
    fn marks_have_blocks_of_their_own() {
        let events = [
            Event::Start { id: None, bare: true, model: None, created: None },
            Event::Thought { choice: 0, text: T("a"), signature: T("Eq") },
            Event::Redacted { choice: 0, data: T("Em") },
            Event::Text { choice: 0, text: T("b") },
            Event::Signature { choice: 0, data: T("S0") },
            Event::Text { choice: 0, text: T("c") },
            Event::Signature { choice: 0, data: T("S1") },
            called(0, "1", Some("{}"), Some("S2")),
            Event::Reasoning { choice: 0, text: T("d") },
            Event::Media { choice: 0, kind: MediaKind::Image, mime: T("image/png"), data: T("AA") },
            Event::Text { choice: 1, text: T("nobody asked") },
            Event::Finish { choice: 0, reason: FinishReason::Stop, sequence: Some(T("END")) },
        ];
        let message = whole(&events);
        assert_eq!(message, gathered(&events));
        let expected = serde_json::json!([
            {"type": "thinking", "thinking": "a", "signature": "Eq"},
            {"type": "redacted_thinking", "data": "Em"},
            {"type": "text", "text": "bc"},
            {"type": "redacted_thinking", "data": "vbridge1.gc.S2"},
            {"type": "redacted_thinking", "data": "vbridge1.gt.S1"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            {"type": "thinking", "thinking": "d", "signature": "vbridge1.un."},
            {"type": "text", "text": "![image](data:image/png;base64,AA)"},
        ]);
        assert_eq!(message["content"], expected);
        assert_eq!(
            (message["stop_reason"].as_str(), message["stop_sequence"].as_str()),
            (Some("stop_sequence"), Some("END"))
        );
        assert_eq!(message["id"].as_str().unwrap().len(), 28);
    }

    #[test]
    fn reasons_are_anthropics() {
        use FinishReason as R;
        for (reason, word) in [
            (R::Stop, "end_turn"),
            (R::Pause, "pause_turn"),
            (R::Length, "max_tokens"),
            (R::ContextFull, "model_context_window_exceeded"),
            (R::ContentFilter, "refusal"),
            (R::Refusal, "refusal"),
            (R::ToolCalls, "tool_use"),
        ] {
            let events = [
                Event::Start { id: None, bare: true, model: None, created: None },
                Event::Finish { choice: 0, reason, sequence: None },
            ];
            assert_eq!(whole(&events)["stop_reason"], word);
            assert_eq!(gathered(&events), whole(&events));
        }
        let events = [
            Event::Start { id: None, bare: true, model: None, created: None },
            Event::Refusal { choice: 0, text: T("not \\\"this\\\"") },
            Event::Finish { choice: 0, reason: R::Stop, sequence: None },
        ];
        let message = whole(&events);
        assert_eq!(message["stop_details"]["explanation"], "not \"this\"");
        assert_eq!(message["content"].as_array().unwrap().len(), 0);
    }

    #[test]
    fn broken_arguments_are_shown_as_they_are() {
        let events = [
            Event::Start { id: None, bare: true, model: None, created: None },
            called(0, "1", None, None),
            Event::Arguments { choice: 0, call: 0, piece: T("{\\\"a\\\":") },
            Event::Finish { choice: 0, reason: FinishReason::Length, sequence: None },
        ];
        assert_eq!(whole(&events)["content"][0]["input"]["INVALID_JSON"], "{\"a\":");
    }
}
