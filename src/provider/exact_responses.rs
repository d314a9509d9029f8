//! OpenAI's responses as they pass: usage, model, how they end, and errors.

use crate::chat::{Event, FinishReason};
use crate::config::Tier;
use crate::wire::find::find;
use crate::wire::json::{JsonText, Kind, Reader};

use super::error::UpstreamError;
use super::watch::{Found, check, text, wrong_shape};
use super::{error_openai, openai_usage};

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    named: bool,
    tier: Tier,
}

/// What stands in every event that tells anything; deltas, which are nearly all, have none.
const TELLING: [&[u8]; 4] =
    [b"\"response.completed\"", b"\"response.incomplete\"", b"\"response.failed\"", b"\"error\""];

/// What one response object says.
#[derive(Debug, Default)]
struct Said {
    error: Option<UpstreamError>,
    /// It has `output`.
    is_answer: bool,
    incomplete: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { named: false, tier: Tier::Standard }
    }

    /// Looks at the data of one event.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        if self.named && TELLING.iter().all(|word| find(data, word).is_none()) {
            return check(data).map(|()| Found::Part);
        }
        let mut reader = Reader::new(text(data)?);
        if reader.kind()? != Kind::Object {
            return check(data).map(|()| Found::Part);
        }
        let (mut kind, mut said) = (None, Said::default());
        let mut event = reader.clone();
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("type", Kind::String) => kind = Some(reader.string()?),
                ("response", Kind::Object) => said = self.response(reader, sink)?,
                ("error", Kind::Object) => said.error = Some(error_openai::in_answer(reader)?),
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        reader.end()?;
        Ok(match (kind.map(JsonText::raw), said.error) {
            (Some("response.failed" | "error"), Some(error)) => Found::Error(error),
            // The words stand in the event itself, which has the error's fields.
            (Some("response.failed" | "error"), None) => {
                Found::Error(error_openai::in_answer(&mut event)?)
            }
            (Some("response.completed" | "response.incomplete"), _) => Found::End,
            _ => Found::Part,
        })
    }

    /// Looks at an answer that is one JSON text.
    pub(super) fn whole(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        match self.response(reader, sink)? {
            Said { error: Some(error), .. } => Ok(Found::Error(error)),
            Said { is_answer: true, .. } => Ok(Found::End),
            _ => Err(wrong_shape()),
        }
    }

    fn response(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Said, UpstreamError> {
        let (mut said, mut ended) = (Said::default(), false);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("model", Kind::String) => {
                    let model = Some(reader.string()?);
                    if !std::mem::replace(&mut self.named, true) {
                        sink(Event::Start { id: None, bare: true, model, created: None });
                    }
                }
                ("service_tier", Kind::String) => {
                    let tier = reader.string()?;
                    if Tier::of(tier.raw()) != self.tier {
                        self.tier = Tier::of(tier.raw());
                        sink(Event::Tier(tier));
                    }
                }
                ("usage", Kind::Object) => {
                    sink(Event::Usage(openai_usage::read_of_response(reader)?));
                }
                ("error", Kind::Object) => said.error = Some(error_openai::in_answer(reader)?),
                ("output", Kind::Array) => {
                    said.is_answer = true;
                    reader.skip()?;
                }
                ("status", Kind::String) => {
                    let status = reader.string()?.raw();
                    said.incomplete = status == "incomplete";
                    ended = said.incomplete || status == "completed";
                }
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        if ended {
            let reason = if said.incomplete { FinishReason::Length } else { FinishReason::Stop };
            sink(Event::Finish { choice: 0, reason, sequence: None });
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::UpstreamErrorKind as E;
    use super::super::exact::testing::{every_cut, run, whole};
    use super::super::watch::Shape;

    const SHAPE: Shape = Shape::OpenAiResponse;
    const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"gpt-x\",\"status\":\"in_progress\",\"error\":null,\"output\":[],\"usage\":null}}\n\n";
    const DELTA: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"error\\\"\"}\n\n";
    const COMPLETED: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-x\",\"status\":\"completed\",\"error\":null,\"output\":[],\"usage\":{\"input_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":1},\"output_tokens\":4,\"output_tokens_details\":{\"reasoning_tokens\":2},\"total_tokens\":7}}}\n\n";

    #[test]
    fn a_whole_stream_passes_and_is_told() {
        let stream = [CREATED, DELTA, COMPLETED].concat();
        let told = ["model gpt-x", "usage 3+4", "finish 0 stop"];
        assert_eq!(every_cut(SHAPE, &stream), (stream, told.map(str::to_owned).to_vec(), Ok(())));
        let cut = COMPLETED.replace("completed", "incomplete");
        let stream = [CREATED, &cut].concat();
        let told = ["model gpt-x", "usage 3+4", "finish 0 length"];
        assert_eq!(every_cut(SHAPE, &stream), (stream, told.map(str::to_owned).to_vec(), Ok(())));
    }

    #[test]
    fn a_cut_is_no_end() {
        let stream = [CREATED, DELTA].concat();
        for cut in 0..=stream.len() {
            let (passed, _, ended) = run(SHAPE, &[&stream.as_bytes()[..cut]]);
            assert_eq!(ended, Err(E::Truncated), "{cut}");
            assert!(stream.starts_with(&passed), "{cut}");
        }
    }

    #[test]
    fn failures_pass_once_something_has_passed() {
        let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"output\":[]}}\n\n";
        let (passed, _, ended) = every_cut(SHAPE, &[CREATED, failed].concat());
        assert_eq!((passed, ended), ([CREATED, failed].concat(), Err(E::Failed(500))));
        let error = "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"param\":null}\n\n";
        let (passed, _, ended) = every_cut(SHAPE, error);
        assert_eq!((passed.as_str(), ended), ("", Err(E::RateLimited)));
    }

    #[test]
    fn whole_answers_are_looked_at() {
        let body = r#"{"object":"response","model":"m","status":"completed","error":null,"output":[],"usage":{"input_tokens":3,"output_tokens":4}}"#;
        let told = ["model m", "usage 3+4", "finish 0 stop"].map(str::to_owned);
        assert_eq!(whole(SHAPE, body), Ok(told.to_vec()));
        let error = body.replace("null", r#"{"code":"server_error","message":"m"}"#);
        assert_eq!(whole(SHAPE, &error), Err(E::Failed(500)));
        for bad in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"output":[]} x"#] {
            assert_eq!(whole(SHAPE, bad), Err(E::Invalid), "{bad}");
        }
    }
}
