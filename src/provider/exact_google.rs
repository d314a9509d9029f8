//! Google's answers as they pass: usage, model, finish reasons and errors. A stream of Google's
//! has no mark at its end: it is whole when a reason to end has passed.

use crate::chat::{Event, FinishReason};
use crate::wire::json::{JsonText, Kind, Reader};

use super::error::{UpstreamError, google_in_answer};
use super::gemini_answer::finish_of;
use super::gemini_usage::Counts;
use super::watch::{Found, check, text, wrong_shape};

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    named: bool,
    counts: Counts,
    tier: Option<&'static str>,
    /// Candidates by their index, as bits: which have been seen, and which have ended.
    seen: u32,
    ended: u32,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { named: false, counts: Counts::of(true), tier: None, seen: 0, ended: 0 }
    }

    /// Has every candidate told why it ended?
    pub(super) fn is_whole(&self) -> bool {
        self.ended != 0 && self.seen & !self.ended == 0
    }

    /// Looks at the data of one event.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        let mut reader = Reader::new(text(data)?);
        if reader.kind()? != Kind::Object {
            return check(data).map(|()| Found::Part);
        }
        let (error, _) = self.top(&mut reader, sink)?;
        reader.end()?;
        Ok(error.map_or(Found::Part, Found::Error))
    }

    /// Looks at an answer that is one JSON text.
    pub(super) fn whole(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        match self.top(reader, sink)? {
            (Some(error), _) => Ok(Found::Error(error)),
            (None, true) => Ok(Found::End),
            (None, false) => Err(wrong_shape()),
        }
    }

    /// The error of one response, and whether it is one at all.
    fn top(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(Option<UpstreamError>, bool), UpstreamError> {
        let (mut error, mut is_answer) = (None, false);
        reader.object(|reader, key| {
            is_answer |= matches!(key.raw(), "candidates" | "promptFeedback" | "usageMetadata");
            match (key.raw(), reader.kind()?) {
                ("modelVersion", Kind::String) => {
                    let model = Some(reader.string()?);
                    if !std::mem::replace(&mut self.named, true) {
                        sink(Event::Start { id: None, bare: true, model, created: None });
                    }
                }
                ("usageMetadata", Kind::Object) => {
                    // An oddity in what is only counted must not cost the client its answer.
                    let (before, tier) = (reader.clone(), self.tier);
                    let read = self.counts.read(reader, &mut self.tier);
                    if let Some(told) = self.tier.filter(|_| self.tier != tier) {
                        sink(Event::Tier(JsonText::plain(told)));
                    }
                    match (read, self.counts.usage()) {
                        (Ok(()), Some(usage)) => sink(Event::Usage(usage)),
                        (Ok(()), None) => {}
                        (Err(_), _) => {
                            *reader = before;
                            reader.skip()?;
                        }
                    }
                }
                ("candidates", Kind::Array) => {
                    reader.array(|reader, place| self.candidate(reader, place, sink))?;
                }
                ("promptFeedback", Kind::Object) => reader.object(|reader, key| {
                    if key.raw() == "blockReason" {
                        self.ended |= 1;
                        let reason = FinishReason::ContentFilter;
                        sink(Event::Finish { choice: 0, reason, sequence: None });
                    }
                    reader.skip()
                })?,
                ("error", Kind::Object) => error = Some(google_in_answer(reader)?),
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        Ok((error, is_answer))
    }

    fn candidate(
        &mut self,
        reader: &mut Reader<'_>,
        place: usize,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if reader.kind()? != Kind::Object {
            return Ok(reader.skip()?);
        }
        let mut choice = u32::try_from(place).unwrap_or(u32::MAX);
        let mut finish = None;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("index", Kind::Number) => choice = reader.number()?.parse().unwrap_or(choice),
                ("finishReason", Kind::String) => finish = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        let bit = 1_u32.checked_shl(choice).unwrap_or(0);
        self.seen |= bit;
        if let Some(finish) = finish {
            self.ended |= bit;
            let reason = finish_of(finish.raw());
            sink(Event::Finish { choice, reason, sequence: None });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::UpstreamErrorKind as E;
    use super::super::exact::testing::{every_cut, run, whole};
    use super::super::watch::Shape;

    const SHAPE: Shape = Shape::Google;
    const FIRST: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a \\\"error\\\"\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":4},\"modelVersion\":\"m-1\"}\r\n\r\n";
    const PLAIN: &str =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]}}]}\r\n\r\n";
    const LAST: &str = "data: {\"candidates\":[{\"finishReason\":\"MAX_TOKENS\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":3}}\r\n\r\n";

    #[test]
    fn a_whole_stream_passes_and_is_told() {
        let stream = [FIRST, PLAIN, LAST].concat();
        let told = ["usage 4+0", "model m-1", "finish 0 length", "usage 4+5"];
        assert_eq!(every_cut(SHAPE, &stream), (stream, told.map(str::to_owned).to_vec(), Ok(())));
        // More counts may follow the reason.
        let late = "data: {\"usageMetadata\":{\"promptTokenCount\":5}}\r\n\r\n";
        let stream = [FIRST, LAST, late].concat();
        assert_eq!(every_cut(SHAPE, &stream).2, Ok(()));
    }

    #[test]
    fn without_a_reason_it_is_a_truncation() {
        let stream = [FIRST, PLAIN, LAST].concat();
        for cut in 0..stream.len() - 4 {
            let (passed, _, ended) = run(SHAPE, &[&stream.as_bytes()[..cut]]);
            assert_eq!(ended, Err(E::Truncated), "{cut}");
            assert!(stream.starts_with(&passed), "{cut}");
        }
        let other = PLAIN
            .replace("\"content\"", "\"index\":1,\"finishMessage\":\"\\\"error\\\"\",\"content\"");
        let other = other.replace("]}}]", "]}}],\"usageMetadata\":{}");
        let stream = [FIRST, &other, LAST].concat().replace("\r\n", "\n");
        assert_eq!(every_cut(SHAPE, &stream).2, Err(E::Truncated));
        let broken = "data: x\n\n";
        assert_eq!(every_cut(SHAPE, broken), (String::new(), vec![], Err(E::Invalid)));
    }

    #[test]
    fn errors_and_blocks() {
        let error =
            "data: {\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}\n\n";
        let (passed, _, ended) = every_cut(SHAPE, &[FIRST, error].concat());
        assert_eq!((passed, ended), ([FIRST, error].concat(), Err(E::Overloaded)));
        assert_eq!(every_cut(SHAPE, error), (String::new(), vec![], Err(E::Overloaded)));
        let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\r\n\r\n";
        assert_eq!(every_cut(SHAPE, blocked).2, Ok(()));
    }

    #[test]
    fn whole_answers_are_looked_at() {
        let body = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}"#;
        let told = ["finish 0 stop", "usage 1+0", "model m"].map(str::to_owned);
        assert_eq!(whole(SHAPE, body), Ok(told.to_vec()));
        let odd = body.replace(":1}", ":\"1\"}");
        assert_eq!(whole(SHAPE, &odd).map(|told| told.len()), Ok(2));
        for bad in ["", "[]", "{}", "[{\"candidates\":[]}]", "{\"candidates\":[]} x"] {
            assert_eq!(whole(SHAPE, bad), Err(E::Invalid), "{bad}");
        }
        let error = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#;
        assert_eq!(whole(SHAPE, error), Err(E::RateLimited));
    }
}
