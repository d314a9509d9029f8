//! OpenAI's answers as they pass: usage, model, finish reasons, errors and the end.

use crate::chat::Event;
use crate::config::Tier;
use crate::wire::json::{JsonError, Kind, Reader};

use super::error::UpstreamError;
use super::head::Head;
use super::openai_answer::reason;
use super::watch::{Found, Shape, Watched, check, text, wrong_shape};
use super::{error_openai, openai_usage};

/// The data of the last event.
const DONE: &[u8] = b"[DONE]";

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    watched: Watched,
    named: bool,
    tier: Tier,
    /// Bytes of text that have passed.
    text: u64,
    /// What all chunks begin with.
    head: Head,
}

/// What the top of one JSON text holds.
#[derive(Debug, Default)]
struct Top {
    error: Option<UpstreamError>,
    usage: bool,
    /// `choices` or `data`, as the shape has it; and is it empty?
    list: Option<bool>,
}

impl Watch {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched, named: false, tier: Tier::Standard, text: 0, head: Head::default() }
    }

    /// Looks at the data of one event.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        if data.trim_ascii() == DONE {
            return Ok(Found::End);
        }
        let mut reader = Reader::new(text(data)?);
        if reader.kind()? != Kind::Object {
            return check(data).map(|()| Found::Part);
        }
        let top = self.top(&mut reader, sink)?;
        reader.end()?;
        Ok(match top {
            Top { error: Some(error), .. } => Found::Error(error),
            Top { usage: true, list: Some(true), .. } if self.watched.withhold_usage => {
                Found::Withheld
            }
            _ => Found::Part,
        })
    }

    /// Bytes of text that have passed since the last time.
    pub(super) const fn take_text(&mut self) -> u64 {
        std::mem::replace(&mut self.text, 0)
    }

    /// Looks at an answer that is one JSON text.
    pub(super) fn whole(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        let top = self.top(reader, sink)?;
        match top {
            Top { error: Some(error), .. } => Ok(Found::Error(error)),
            Top { list: Some(_), .. } => Ok(Found::End),
            _ => Err(wrong_shape()),
        }
    }

    fn top(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Top, UpstreamError> {
        let list = match self.watched.shape {
            Shape::OpenAiEmbeddings => "data",
            _ => "choices",
        };
        let mut top = Top::default();
        let mut head = std::mem::take(&mut self.head);
        let news = |name: &str| matches!(name, "choices" | "data" | "usage" | "error");
        head.object(reader, self.named, news, |reader, key| {
            match (key.raw(), reader.kind()?) {
                ("model", Kind::String) => {
                    let model = Some(reader.string()?).filter(|model| !model.is_empty());
                    if model.is_some() && !std::mem::replace(&mut self.named, true) {
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
                    top.usage = true;
                    sink(Event::Usage(openai_usage::read(reader)?));
                }
                ("error", _) if error_openai::is_error(&mut reader.clone())? => {
                    top.error = Some(error_openai::in_answer(reader)?);
                }
                (name, Kind::Array) if name == list => {
                    top.list = Some(elements(reader, &mut self.text, sink)?);
                }
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        self.head = head;
        Ok(top)
    }
}

/// Adds up the bytes of text in a message, or in a piece of one.
fn said(reader: &mut Reader<'_>, text: &mut u64) -> Result<(), JsonError> {
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("content" | "reasoning_content" | "reasoning" | "refusal" | "arguments", Kind::String) => {
            add(reader, text)
        }
        ("tool_calls", Kind::Array) => reader.array(|reader, _place| match reader.kind()? {
            Kind::Object => said(reader, text),
            _ => reader.skip(),
        }),
        ("function", Kind::Object) => said(reader, text),
        _ => reader.skip(),
    })
}

fn add(reader: &mut Reader<'_>, text: &mut u64) -> Result<(), JsonError> {
    *text = text.saturating_add(u64::try_from(reader.string()?.raw().len()).unwrap_or(0));
    Ok(())
}

/// Looks for the finish reasons in `choices`, and adds up the bytes of text; are there no elements?
fn elements(
    reader: &mut Reader<'_>,
    text: &mut u64,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<bool, UpstreamError> {
    let mut empty = true;
    reader.array(|reader, place| {
        empty = false;
        if reader.kind()? != Kind::Object {
            return Ok(reader.skip()?);
        }
        let mut choice = u32::try_from(place).unwrap_or(u32::MAX);
        let mut finish = None;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("index", Kind::Number) => choice = reader.number()?.parse().unwrap_or(choice),
                ("finish_reason", Kind::String) => finish = Some(reader.string()?),
                ("delta" | "message", Kind::Object) => said(reader, text)?,
                ("text", Kind::String) => add(reader, text)?,
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        if let Some(reason) = finish.map(reason) {
            sink(Event::Finish { choice, reason, sequence: None });
        }
        Ok::<(), UpstreamError>(())
    })?;
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use super::super::error::UpstreamErrorKind;
    use super::super::exact::testing::{self, Seen, watch, watch_every_cut};
    use super::*;

    fn watched(withhold_usage: bool) -> Watched {
        Watched { withhold_usage, ..Watched::plain(Shape::OpenAiChoices) }
    }

    fn run(withhold_usage: bool, parts: &[&[u8]]) -> Seen {
        watch(watched(withhold_usage), parts)
    }

    fn every_cut(withhold_usage: bool, input: &str) -> Seen {
        watch_every_cut(watched(withhold_usage), input)
    }

    const ROLE: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    const TEXT: &str = ": note\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\": 1\"}}]}\r\n\r\n";
    const FINISH: &str =
        "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\" : \"length\"}]}\r\r";
    const USAGE: &str = "id: 1\ndata: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_whole_stream_passes_and_is_told() {
        let stream = ["\u{feff}", ROLE, TEXT, FINISH, USAGE, DONE].concat();
        let events = ["model m-1", "finish 1 length", "usage 3+4"].map(str::to_owned);
        assert_eq!(every_cut(false, &stream), (stream, events.to_vec(), Ok(())));
        let kept = ["\u{feff}", ROLE, TEXT, FINISH, DONE].concat();
        let stream = ["\u{feff}", ROLE, TEXT, FINISH, USAGE, DONE].concat();
        assert_eq!(every_cut(true, &stream), (kept, events.to_vec(), Ok(())));
    }

    #[test]
    fn the_end_may_lack_its_blank_line_and_something_may_follow() {
        for end in
            ["data: [DONE]", "data:[DONE]\n", "data: [DONE]\n\n: x\n\ndata: {\"late\":1}\n\n"]
        {
            let stream = [ROLE, end].concat();
            let (passed, _, ended) = every_cut(false, &stream);
            assert_eq!((passed, ended), (stream, Ok(())));
        }
        // Nobody listens any more.
        let stream = [ROLE, DONE, "data: {not json\n\n"].concat();
        assert_eq!(every_cut(false, &stream).2, Ok(()));
    }

    #[test]
    fn a_cut_is_no_end() {
        let stream = [ROLE, TEXT, FINISH].concat();
        for cut in 0..stream.len() {
            let (passed, _, ended) = run(false, &[&stream.as_bytes()[..cut]]);
            assert_eq!(ended, Err(UpstreamErrorKind::Truncated), "{cut}");
            assert!(stream.starts_with(&passed), "{cut}");
            assert!(passed.is_empty() || passed.ends_with(['\r', '\n']), "{cut}: {passed}");
        }
        let whole = [ROLE, TEXT, FINISH].concat();
        assert_eq!(every_cut(false, &whole).2, Err(UpstreamErrorKind::Truncated));
    }

    #[test]
    fn what_is_no_json_ends_the_stream_before_it() {
        for bad in ["{not json", "{\"a\":1}}", "[DONE] x", "{\"a\":NaN}", "\u{1}", &"[".repeat(200)]
        {
            let stream = [ROLE, "data: ", bad, "\n\n", DONE].concat();
            let (passed, _, ended) = every_cut(false, &stream);
            assert_eq!((passed.as_str(), ended), (ROLE, Err(UpstreamErrorKind::Invalid)), "{bad}");
        }
        let (passed, _, ended) = run(false, &[ROLE.as_bytes(), b"data: \"\xff\"\n\n"]);
        assert_eq!((passed.as_str(), ended), (ROLE, Err(UpstreamErrorKind::Invalid)));
        let large = format!("data: \"{}\"\n\n", "x".repeat(500));
        assert_eq!(every_cut(false, &large).2, Err(UpstreamErrorKind::Invalid));
        let silent = ": note\n\n".repeat(100);
        assert_eq!(every_cut(false, &silent).2, Err(UpstreamErrorKind::Invalid));
        // Any JSON, and nothing at all, is fine.
        let odd = ["data: 7\n\ndata:\n\ndata: {\"error\":null}\n\nevent: x\n\n", DONE].concat();
        assert_eq!(every_cut(false, &odd), (odd.clone(), vec![], Ok(())));
    }

    #[test]
    fn a_vendors_error_passes_once_something_has_passed() {
        let error = "data: {\"error\":{\"type\":\"server_error\",\"message\":\"m\"}}\n\n";
        let failed = Err(UpstreamErrorKind::Failed(500));
        let (passed, _, ended) = every_cut(false, &[ROLE, error, DONE].concat());
        assert_eq!((passed, ended), ([ROLE, error].concat(), failed));
        let (passed, _, ended) = every_cut(false, &[": note\n\n", error, DONE].concat());
        assert_eq!((passed.as_str(), ended), (": note\n\n", failed));
    }

    #[test]
    fn whole_answers_are_looked_at() {
        let chat = |body| testing::whole(Shape::OpenAiChoices, body);
        let body = r#" {"usage":{"prompt_tokens":3,"total_tokens":7},"choices":[{"message":{},"finish_reason":"stop"}],"model":"m","id":1,"id":2} "#;
        let events = ["usage 3+4", "finish 0 stop", "model m"].map(str::to_owned);
        assert_eq!(chat(body), Ok(events.to_vec()));
        for bad in ["", "null", "[]", "{", "{}", r#"{"choices":7}"#, r#"{"choices":[]} x"#] {
            assert_eq!(chat(bad), Err(UpstreamErrorKind::Invalid), "{bad}");
        }
        let error = r#"{"error":{"code":503,"message":"m"},"choices":[]}"#;
        assert_eq!(chat(error), Err(UpstreamErrorKind::Overloaded));
        let list = r#"{"object":"list","data":[{"embedding":[1e-3]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
        let events = ["model e", "usage 8+0"].map(str::to_owned);
        assert_eq!(testing::whole(Shape::OpenAiEmbeddings, list), Ok(events.to_vec()));
        assert_eq!(chat(list), Err(UpstreamErrorKind::Invalid));
    }
}
