//! Anthropic's answers as they pass: usage, model, stop reason, errors and the end.

use crate::chat::Event;
use crate::wire::find::find;
use crate::wire::json::{JsonText, Kind, Reader};

use super::anthropic_answer::reason_of;
use super::anthropic_event::{Counts, Said};
use super::error::{UpstreamError, UpstreamErrorKind};
use super::error_anthropic;
use super::watch::{Found, check, text, wrong_shape};

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    /// The answer is a count of tokens, and no message.
    counting: bool,
    counts: Counts,
}

/// What stands in every event that tells anything. Nearly all are deltas, and have none.
const TELLING: [&[u8]; 4] = [b"\"usage\"", b"\"stop_reason\"", b"\"message_stop\"", b"\"error\""];

impl Watch {
    pub(super) fn new(counting: bool) -> Self {
        Self { counting, counts: Counts::default() }
    }

    /// Looks at the data of one event.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        if TELLING.iter().all(|word| find(data, word).is_none()) {
            return check(data).map(|()| Found::Part);
        }
        let mut reader = Reader::new(text(data)?);
        if reader.kind()? != Kind::Object {
            return check(data).map(|()| Found::Part);
        }
        let said = match Said::read(&mut reader, &mut self.counts) {
            Ok(said) => said,
            // An oddity in what is only counted must not cost the client its answer.
            Err(error) if error.kind == UpstreamErrorKind::Invalid => {
                return check(data).map(|()| Found::Part);
            }
            Err(error) => return Ok(Found::Error(error)),
        };
        reader.end()?;
        let kind = said.kind.map(JsonText::raw);
        match kind {
            Some("message_start") => self.tell(said.message.model, None, sink),
            Some("message_delta") => self.tell(None, said.delta.ending.reason, sink),
            _ => {}
        }
        Ok(if kind == Some("message_stop") { Found::End } else { Found::Part })
    }

    /// Looks at an answer that is one JSON text.
    pub(super) fn whole(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        if self.counting {
            return count(reader).map(|_tokens| Found::End);
        }
        let said = Said::read(reader, &mut self.counts)?;
        if said.message.content.is_none() {
            return Err(wrong_shape());
        }
        self.tell(said.message.model, said.message.ending.reason, sink);
        Ok(Found::End)
    }

    fn tell(
        &self,
        model: Option<JsonText<'_>>,
        stopped: Option<JsonText<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if model.is_some() {
            sink(Event::Start { id: None, bare: true, model, created: None });
        }
        if let Some(tier) = self.counts.tier() {
            sink(Event::Tier(JsonText::plain(tier)));
        }
        if let Some(usage) = self.counts.usage() {
            sink(Event::Usage(usage));
        }
        if let Some(stopped) = stopped {
            sink(Event::Finish { choice: 0, reason: reason_of(stopped.raw()), sequence: None });
        }
    }
}

/// Reads a count of tokens.
pub(super) fn count(reader: &mut Reader<'_>) -> Result<u64, UpstreamError> {
    let mut tokens = None;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("input_tokens", Kind::Number) => tokens = Some(reader.unsigned()?),
            ("error", Kind::Object) => return Err(error_anthropic::in_answer(reader)?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    tokens.ok_or_else(wrong_shape)
}

#[cfg(test)]
mod tests {
    use super::super::exact::testing::{every_cut, run, whole};
    use super::super::watch::Shape;
    use super::UpstreamErrorKind as E;

    const SHAPE: Shape = Shape::Anthropic;
    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
    const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"say \\\"error\\\" and \\\"usage\\\"\"}}\n\n";
    const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"output_tokens\":9}}\n\n";
    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    #[test]
    fn a_whole_stream_passes_and_is_told() {
        let stream = [START, PING, DELTA, END, STOP].concat();
        let told = ["model claude-x", "usage 7+1", "usage 7+9", "finish 0 length"];
        assert_eq!(every_cut(SHAPE, &stream), (stream, told.map(str::to_owned).to_vec(), Ok(())));
    }

    #[test]
    fn only_message_stop_makes_it_whole() {
        let stream = [START, DELTA, END].concat();
        for cut in 0..stream.len() {
            let (passed, _, ended) = run(SHAPE, &[&stream.as_bytes()[..cut]]);
            assert_eq!(ended, Err(E::Truncated), "{cut}");
            assert!(stream.starts_with(&passed), "{cut}");
        }
        assert_eq!(every_cut(SHAPE, &stream).2, Err(E::Truncated));
        assert_eq!(every_cut(SHAPE, &[START, "data: x\n\n"].concat()).2, Err(E::Invalid));
    }

    #[test]
    fn a_vendors_error_passes_once_something_has_passed() {
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let (passed, _, ended) = every_cut(SHAPE, &[START, error].concat());
        assert_eq!((passed, ended), ([START, error].concat(), Err(E::Overloaded)));
        let (passed, _, ended) = every_cut(SHAPE, error);
        assert_eq!((passed.as_str(), ended), ("", Err(E::Overloaded)));
    }

    #[test]
    fn odd_counts_pass() {
        let odd = START.replace(":7", ":\"7\"");
        let stream = [&odd, STOP].concat();
        assert_eq!(every_cut(SHAPE, &stream), (stream, vec![], Ok(())));
    }

    #[test]
    fn whole_answers_are_looked_at() {
        let body = r#"{"type":"message","model":"m","content":[],"stop_reason":"tool_use","usage":{"input_tokens":1,"cache_read_input_tokens":4,"output_tokens":2}}"#;
        let told = ["model m", "usage 5+2", "finish 0 tool_calls"].map(str::to_owned);
        assert_eq!(whole(SHAPE, body), Ok(told.to_vec()));
        for bad in ["", "[]", "{}", r#"{"type":"message"}"#, r#"{"content":[]} x"#] {
            assert_eq!(whole(SHAPE, bad), Err(E::Invalid), "{bad}");
        }
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        assert_eq!(whole(SHAPE, error), Err(E::Overloaded));
        let count = |body| whole(Shape::AnthropicCount, body);
        assert_eq!(count(r#"{"input_tokens":14}"#), Ok(vec![]));
        assert_eq!(count(error), Err(E::Overloaded));
        assert_eq!(count("{}"), Err(E::Invalid));
    }
}
