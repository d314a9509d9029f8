//! Answers that pass as they came: a client gets what the upstream sent, up to the first event that
//! must not pass.

use serde_json::value::RawValue;
use vertex_bridge::chat::Dialect;
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{
    ExactStream, Shape, UpstreamError, UpstreamErrorKind, Watched, exact,
};

use super::cut;
use super::errors::presentable;
use super::exact_json::{Members, depth, is_json};
use super::sse::{Event, standard};

/// Small, so that inputs of a fuzzer reach them.
const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 16 << 10, event_bytes: 2 << 10 };

const PLAIN: Watched = Watched::plain(Shape::OpenAiChoices);

/// What became of one stream.
struct Passed {
    out: Vec<u8>,
    told: Vec<String>,
    error: Option<UpstreamError>,
    /// What tells a client that it broke off.
    end: Vec<u8>,
    /// Has it started, ended, failed with the vendor's own error?
    state: [bool; 3],
}

pub(super) fn stream(data: &[u8]) {
    let mut rng = cut::rng_of(data);
    let (withhold_usage, seed) = (rng.percent(50), rng.bits());
    let plain = play(PLAIN, &[data]);
    as_it_came(data, &plain);
    let withheld = play(Watched { withhold_usage: true, ..PLAIN }, &[data]);
    only_usage_is_missing(&plain, &withheld);
    let watched = Watched { withhold_usage, repair: rng.percent(50).then_some(seed), ..PLAIN };
    let whole = play(watched, &[data]);
    for pieces in [cut::pieces(data, &mut rng), data.chunks(1).collect()] {
        cuts_change_nothing(data, &whole, &play(watched, &pieces));
    }
    in_other_words(data);
    let repaired = play(Watched { repair: Some(seed), ..PLAIN }, &[data]);
    assert_eq!(standard(&repaired.out).len(), standard(&plain.out).len(), "each event stays one");
    assert_eq!(repaired.state, plain.state);
    for [_, data] in standard(&repaired.out) {
        assert!(is_fit(&data) || plain.state[1], "repaired into {}", data.escape_ascii());
    }
}

fn play(watched: Watched, pieces: &[&[u8]]) -> Passed {
    let mut stream = ExactStream::new(watched, LIMITS);
    let (mut out, mut told) = (Vec::new(), Vec::new());
    let mut sink = |event: vertex_bridge::chat::Event<'_>| told.push(format!("{event:?}"));
    let fed = pieces.iter().try_for_each(|piece| stream.feed(piece, &mut out, &mut sink));
    let error = fed.and_then(|()| stream.finish(&mut out, &mut sink)).err();
    let mut end = Vec::new();
    if let Some(error) = &error {
        presentable(&error.to_api());
        stream.error(&error.to_api(), Dialect::OpenAi, "req-1", &mut end);
    }
    let failed = error.is_some() && end.is_empty();
    let state = [stream.has_started(), stream.has_ended(), failed];
    Passed { out, told, error, end, state }
}

/// Streams in the words of the other APIs, whose ends are others.
fn in_other_words(data: &[u8]) {
    let shapes = [Shape::OpenAiResponse, Shape::Anthropic, Shape::Claude, Shape::Google];
    for watched in shapes.map(Watched::plain) {
        let whole = play(watched, &[data]);
        assert!(data.starts_with(&whole.out), "{}", whole.out.escape_ascii());
        assert_eq!(whole.error.is_none(), whole.state[1], "{:?}", watched.shape);
        assert!(whole.error.is_some() || whole.out == data, "a whole answer passes whole");
        let sent = standard(data);
        assert!(standard(&whole.out).iter().zip(&sent).all(|(got, sent)| got == sent));
        let pieces = cut::pieces(data, &mut cut::rng_of(data));
        cuts_change_nothing(data, &whole, &play(watched, &pieces));
    }
    as_array(data, &play(Watched::plain(Shape::Google), &[data]));
}

/// A client that wants an array gets one, also of what broke off, with the data of all events.
fn as_array(data: &[u8], plain: &Passed) {
    let watched = Watched { as_array: true, ..Watched::plain(Shape::Google) };
    let listed = play(watched, &[data]);
    assert_eq!((&listed.error, &listed.told), (&plain.error, &plain.told));
    if !listed.state[0] {
        return;
    }
    let array = [&listed.out[..], &listed.end].concat();
    let array = std::str::from_utf8(&array).expect("text");
    let elements: Vec<&RawValue> =
        serde_json::from_str(array).unwrap_or_else(|error| panic!("{error}: {array}"));
    let passed = standard(&plain.out).into_iter().map(|[_, data]| data.trim_ascii().to_vec());
    let passed: Vec<Vec<u8>> = passed.filter(|data| !data.is_empty()).collect();
    let same = elements.iter().zip(&passed).all(|(one, other)| one.get().as_bytes() == other);
    let ours = usize::from(!listed.end.is_empty() && !plain.end.is_empty());
    assert!(same && elements.len() == passed.len() + ours, "{array}");
}

/// May the data of an event pass?
fn is_fit(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).unwrap_or("\0");
    let silent = data.trim_ascii().is_empty();
    silent || data.trim_ascii() == b"[DONE]" || is_json(data) && depth(text) <= 128
}

/// Nothing is added, changed or left out before the end.
fn as_it_came(data: &[u8], passed: &Passed) {
    assert!(data.starts_with(&passed.out), "{}", passed.out.escape_ascii());
    let [started, ended, failed] = passed.state;
    let (sent, got) = (standard(data), standard(&passed.out));
    let stop = sent.iter().position(|[_, data]| !is_fit(data) || data.trim_ascii() == b"[DONE]");
    match &passed.error {
        None => {
            assert!(ended && passed.out == data, "a whole answer passes whole");
            let end = stop.and_then(|stop| sent.get(stop)).map(|[_, data]| data.trim_ascii());
            assert_eq!(end, Some(&b"[DONE]"[..]), "it is whole when its end has come");
        }
        Some(error) if is_too_large(error) => {}
        // The last event may lack its blank line, and is then no event.
        Some(error) if error.kind == UpstreamErrorKind::Truncated => {
            assert!(!ended && !failed && got.len() + 1 >= sent.len());
            assert!(stop.is_none_or(|stop| stop + 1 == sent.len()), "a bad event passes");
        }
        Some(error) if error.kind == UpstreamErrorKind::Invalid && !ended && stop.is_some() => {
            assert!(stop >= Some(got.len()), "a bad event passes");
        }
        // The vendor's own error is the last event, and only behind others.
        Some(_) => assert!(started || got.is_empty() || !failed),
    }
    assert!(got.iter().zip(&sent).all(|(got, sent)| got == sent));
}

fn is_too_large(error: &UpstreamError) -> bool {
    error.to_api().message.contains("too large")
}

/// Each event that a client did not ask for is usage and nothing else; all others pass.
fn only_usage_is_missing(plain: &Passed, withheld: &Passed) {
    assert_eq!(withheld.told, plain.told, "what is withheld counts");
    let mut passed = standard(&withheld.out).into_iter().peekable();
    for event in standard(&plain.out) {
        if passed.next_if_eq(&event).is_none() {
            assert!(is_usage(&event), "{} is missing", event[1].escape_ascii());
        }
    }
    assert_eq!(passed.next(), None, "nothing is added");
}

fn is_usage([_, data]: &Event) -> bool {
    let text = std::str::from_utf8(data).expect("text");
    let members = Members::of(text);
    let empty = |list: &str| list.trim_start_matches('[').trim_start() == "]";
    members.named("usage").any(|usage| usage.starts_with('{'))
        && members.named("choices").any(empty)
}

/// Cuts change nothing but where the line feed behind a carriage return goes.
fn cuts_change_nothing(data: &[u8], whole: &Passed, cut: &Passed) {
    // A line feed that comes late belongs to the next event, so a limit is met one byte later.
    let late = [whole, cut].iter().any(|passed| passed.error.as_ref().is_some_and(is_too_large));
    if late && data.contains(&b'\r') {
        return;
    }
    assert_eq!(cut.told, whole.told);
    assert_eq!(cut.error, whole.error);
    assert_eq!(cut.state, whole.state);
    if data.contains(&b'\r') {
        assert_eq!(lines(&cut.out), lines(&whole.out));
    } else {
        assert_eq!(cut.out, whole.out);
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.filter(|line| !line.is_empty()).collect()
}

/// An answer in one piece: accepted only when it is one, and not changed unless it is repaired.
pub(super) fn whole(data: &[u8]) {
    for (shape, list) in [(Shape::OpenAiChoices, "choices"), (Shape::OpenAiEmbeddings, "data")] {
        let watched = Watched { shape, ..PLAIN };
        let mut body = data.to_vec();
        match exact::read_whole(watched, data, &mut |_| {}) {
            Ok(()) => {
                let text = answer(data).expect("what is no answer passes");
                let listed = Members::of(text).named(list).any(|list| list.starts_with('['));
                assert!(listed, "{text}");
                exact::repair_whole(watched, &mut body).expect("it has been read");
                assert_eq!(body, data);
                repaired(Watched { repair: Some(7), ..watched }, body);
            }
            Err(error) => {
                presentable(&error.to_api());
                let sound = answer(data).map(Members::of).is_some_and(|members| {
                    let plain = format!("\"{list}\"");
                    let lists = members.0.iter().filter(|(key, _)| *key == plain);
                    lists.map(|(_, list)| list).any(|list| list.starts_with('['))
                        && members.named("error").next().is_none()
                });
                assert!(!sound, "an answer is refused: {error:?}");
            }
        }
    }
    let others = [
        Shape::OpenAiResponse,
        Shape::Anthropic,
        Shape::Claude,
        Shape::AnthropicCount,
        Shape::Google,
    ];
    for watched in others.map(Watched::plain) {
        match exact::read_whole(watched, data, &mut |_| {}) {
            Ok(()) => assert!(answer(data).is_some(), "what is no answer passes"),
            Err(error) => presentable(&error.to_api()),
        }
    }
}

/// The text of an answer, if it can be one.
fn answer(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let object = text.trim_start().starts_with('{') && is_json(data);
    (object && depth(text) <= 128).then_some(text)
}

/// A repaired answer is one, and needs no more repairs.
fn repaired(watched: Watched, mut body: Vec<u8>) {
    exact::repair_whole(watched, &mut body).expect("it has been read");
    assert!(answer(&body).is_some(), "repaired into {}", body.escape_ascii());
    let once = body.clone();
    exact::repair_whole(watched, &mut body).expect("it is JSON");
    assert_eq!(body, once, "repairs are made once");
}
