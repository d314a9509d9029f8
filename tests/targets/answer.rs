//! A vendor's answer: cuts change nothing, events keep their order, and what a client puts together
//! from the stream is what it would have got whole.

use vertex_bridge::chat::generate_out::Series;
use vertex_bridge::chat::{
    Collector, Dialect, Door, Event, ReplyMeta, Request, StreamRenderer, StreamWriter, WholeWriter,
};
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Decoder, Expected, UpstreamError, Vendor};

use super::compare::{self, Heard};
use super::cut;
use super::errors::presentable;
use super::exact_json::is_json;
use super::grammar::Grammar;

/// Small, so that inputs of a fuzzer reach them.
const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 16 << 10, event_bytes: 4 << 10 };

pub(super) fn gemini_stream(data: &[u8]) {
    answer(Vendor::Gemini, true, data);
}

pub(super) fn gemini_whole(data: &[u8]) {
    answer(Vendor::Gemini, false, data);
}

pub(super) fn anthropic_stream(data: &[u8]) {
    answer(Vendor::Anthropic, true, data);
}

pub(super) fn anthropic_whole(data: &[u8]) {
    answer(Vendor::Anthropic, false, data);
}

pub(super) fn openai_stream(data: &[u8]) {
    answer(Vendor::OpenAi, true, data);
}

pub(super) fn openai_whole(data: &[u8]) {
    answer(Vendor::OpenAi, false, data);
}

/// All that a client sees of one answer.
#[derive(Debug, PartialEq)]
struct Played {
    events: Vec<String>,
    stream: Vec<u8>,
    whole: Vec<u8>,
    error: Option<UpstreamError>,
}

fn answer(vendor: Vendor, stream: bool, data: &[u8]) {
    let mut rng = cut::rng_of(data);
    let include_usage = rng.percent(50);
    let choices = 1 + u32::from(rng.percent(30));
    let expected = Expected {
        signature_in_id: rng.percent(20),
        first_call_only: rng.percent(20),
        ..Expected::plain(vendor, stream, choices, rng.bits())
    };
    let whole = play(expected, include_usage, &[data]);
    let pieces = cut::pieces(data, &mut rng);
    let cut = play(expected, include_usage, &pieces);
    assert_eq!(cut, whole, "in {} pieces", pieces.len());
    in_other_apis(expected, data);
    let heard = compare::stream(&whole.stream);
    if let Some(error) = &whole.error {
        presentable(&error.to_api());
        assert!(!heard.done && heard.error, "a broken answer never looks finished");
        return;
    }
    assert!(heard.done && !heard.error);
    agree(&heard, &compare::whole(&whole.whole), include_usage);
}

fn play(expected: Expected, include_usage: bool, pieces: &[&[u8]]) -> Played {
    let meta = ReplyMeta { fallback_id: 7, created: 9, model: "asked".to_owned() };
    let mut decoder = Decoder::new(expected, LIMITS);
    let mut renderer = StreamRenderer::new(meta.clone(), include_usage);
    let mut collector = Collector::new(meta);
    let mut grammar = Grammar::default();
    let (mut events, mut stream, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut sink = |event: Event<'_>| {
        grammar.on_event(&event);
        renderer.on_event(&event, &mut stream);
        collector.on_event(&event);
        events.push(format!("{event:?}"));
    };
    let mut feed = || {
        pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut sink))?;
        decoder.finish(&mut sink)
    };
    let error = feed().err();
    match &error {
        Some(error) => error.to_api().render_event(Dialect::OpenAi, "req-1", &mut stream),
        None => {
            grammar.end();
            renderer.end(&mut stream);
            collector.render(&mut whole);
        }
    }
    Played { events, stream, whole, error }
}

/// A client of every other API gets events that it can read, and one whole answer.
fn in_other_apis(expected: Expected, data: &[u8]) {
    let meta = ReplyMeta { fallback_id: 7, created: 9, model: "asked".to_owned() };
    let (events, array) = (Door::Generate(Some(Series::Events)), Some(Series::Array));
    for door in [Door::Completions, Door::Responses, Door::Messages, events, Door::Generate(array)]
    {
        let mut decoder = Decoder::new(expected, LIMITS);
        let request = Request::empty();
        let mut writer = StreamWriter::new(door, meta.clone(), &request);
        let mut collector = WholeWriter::new(door, meta.clone(), &request);
        let (mut stream, mut whole) = (Vec::new(), Vec::new());
        let mut sink = |event: Event<'_>| {
            writer.on_event(&event, &mut stream);
            collector.on_event(&event);
        };
        let fed = decoder.feed(data, &mut sink).and_then(|()| decoder.finish(&mut sink));
        match fed {
            // Before the start there is no stream: the client gets a status.
            Err(_) if !writer.has_started() => continue,
            Err(error) => writer.error(&error.to_api(), "req-1", &mut stream),
            Ok(()) => {
                writer.end(&mut stream);
                collector.render(&mut whole);
                assert!(is_json(&whole), "{door:?}: {}", whole.escape_ascii());
            }
        }
        if door == Door::Generate(array) {
            assert!(is_json(&stream), "{}", stream.escape_ascii());
        } else {
            compare::events(&stream);
        }
    }
}

/// The pieces of the stream and the whole answer say the same.
fn agree(stream: &Heard, whole: &Heard, include_usage: bool) {
    assert_eq!(stream.head, whole.head);
    for (index, said) in &whole.choices {
        // A choice that never said anything, not even its end, does not show in a stream.
        let mut from_stream = stream.choices.get(index).cloned().unwrap_or_default();
        from_stream.finish = from_stream.finish.or_else(|| Some("stop".to_owned()));
        assert_eq!(from_stream, *said, "choice {index}");
    }
    assert!(stream.choices.len() <= whole.choices.len());
    match (&stream.usage, &whole.usage) {
        (Some(asked), Some(counted)) => assert_eq!(asked, counted),
        (Some(_), None) => assert!(include_usage),
        (None, _) => assert!(!include_usage),
    }
}
