//! Properties of the hub for every vendor: what was said arrives, however it was cut and whichever
//! way it went, and what must keep its spelling keeps it.

use vertex_bridge::base::Rng;
use vertex_bridge::chat::{Collector, ReplyMeta, Request, StreamRenderer};
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Decoder, Dropped, Expected, Order, Rules, Vendor, encode};
use vertex_bridge::wire::json::{JsonError, Kind, Reader, push_compact};

use super::write::{self, Answer};
use crate::targets::compare::{self, Heard};

const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };

/// How a vendor says things.
struct Voice {
    vendor: Vendor,
    model: &'static str,
    stream: fn(&Answer, &mut Rng) -> String,
    whole: fn(&Answer) -> String,
    /// Under which names its requests hold the arguments of calls and the schemas of tools.
    arguments: &'static str,
    schema: &'static str,
    /// And two wishes.
    temperature: &'static str,
    top_p: &'static str,
}

const VOICES: &[Voice] = &[
    Voice {
        vendor: Vendor::Gemini,
        model: "gemini-2.5-flash",
        stream: write::gemini_stream,
        whole: write::gemini_whole,
        arguments: "args",
        schema: "parametersJsonSchema",
        temperature: "temperature",
        top_p: "topP",
    },
    Voice {
        vendor: Vendor::Anthropic,
        model: "claude-sonnet-4-5",
        stream: write::anthropic_stream,
        whole: write::anthropic_whole,
        arguments: "input",
        schema: "input_schema",
        temperature: "temperature",
        top_p: "top_p",
    },
];

/// So many for every vendor.
const CASES: u64 = 300;

/// Runs `case` with many generators; a failure names the seed.
fn each_seed(case: impl Fn(&Voice, &mut Rng)) {
    let first = super::number("PROP_SEED").unwrap_or(1).wrapping_mul(1 << 20);
    for voice in VOICES {
        for seed in first..first + CASES {
            eprintln!("{:?} with Rng::new({seed})", voice.vendor);
            case(voice, &mut Rng::new(seed));
        }
    }
}

fn meta() -> ReplyMeta {
    ReplyMeta { fallback_id: 7, created: 9, model: "asked".to_owned() }
}

/// What a client hears when the stream comes in random pieces.
fn streamed(voice: &Voice, body: &str, rng: &mut Rng) -> Heard {
    let mut decoder = Decoder::new(Expected::plain(voice.vendor, true, 1, rng.bits()), LIMITS);
    let (mut renderer, mut out) = (StreamRenderer::new(meta(), true), Vec::new());
    let mut rest = body.as_bytes();
    while !rest.is_empty() {
        let size = usize::try_from(1 + rng.below(100)).expect("a size").min(rest.len());
        let (piece, after) = rest.split_at(size);
        let fed = decoder.feed(piece, &mut |event| renderer.on_event(&event, &mut out));
        fed.unwrap_or_else(|error| panic!("{error:?}: {body}"));
        rest = after;
    }
    let ended = decoder.finish(&mut |event| renderer.on_event(&event, &mut out));
    ended.unwrap_or_else(|error| panic!("{error:?}: {body}"));
    renderer.end(&mut out);
    compare::stream(&out)
}

fn at_once(voice: &Voice, body: &str, seed: u64) -> Heard {
    let mut decoder = Decoder::new(Expected::plain(voice.vendor, false, 1, seed), LIMITS);
    let (mut collector, mut out) = (Collector::new(meta()), Vec::new());
    decoder.feed(body.as_bytes(), &mut |_| {}).expect("it fits");
    let ended = decoder.finish(&mut |event| collector.on_event(&event));
    ended.unwrap_or_else(|error| panic!("{error:?}: {body}"));
    collector.render(&mut out);
    compare::whole(&out)
}

#[test]
fn deltas_add_up_to_the_whole_answer() {
    each_seed(|voice, rng| {
        let answer = Answer::random(rng);
        let stream = streamed(voice, &(voice.stream)(&answer, rng), rng);
        let whole = at_once(voice, &(voice.whole)(&answer), rng.bits());
        assert!(stream.done && whole.done);
        for heard in [&stream, &whole] {
            let said = &heard.choices[&0];
            assert_eq!(said.content, answer.text.concat());
            assert_eq!(said.reasoning, answer.reasoning.concat());
            let finish = if answer.calls.is_empty() { "stop" } else { "tool_calls" };
            assert_eq!(said.finish.as_deref(), Some(finish));
            assert_eq!(said.calls.len(), answer.calls.len());
            for (call, meant) in said.calls.iter().zip(&answer.calls) {
                assert_eq!((&call.id, &call.name), (&meant.id, &meant.name));
                // Once the string around them is read, the arguments are what the vendor spelt.
                let inside = format!("\"{}\"", call.arguments);
                let inside: String = serde_json::from_str(&inside).expect("a string");
                assert_eq!(compact(&inside), compact(&meant.arguments));
            }
        }
        assert_eq!(stream.head, whole.head);
        assert_eq!(stream.usage, whole.usage);
    });
}

#[test]
fn a_cut_answer_is_never_whole() {
    each_seed(|voice, rng| {
        let answer = Answer::random(rng);
        let body = (voice.stream)(&answer, rng);
        // What is missing is at least the last event.
        let last = body.trim_end().rfind("\n\n").or_else(|| body.trim_end().rfind("\r\n\r\n"));
        let end = usize::try_from(rng.below(last.unwrap_or(0) as u64)).expect("a place");
        let (mut events, bytes) = (0, &body.as_bytes()[..end]);
        let mut decoder = Decoder::new(Expected::plain(voice.vendor, true, 1, 7), LIMITS);
        let result = decoder.feed(bytes, &mut |_| events += 1);
        let result = result.and_then(|()| decoder.finish(&mut |_| events += 1));
        assert!(result.is_err(), "{events} events of {}", String::from_utf8_lossy(bytes));
    });
}

#[test]
fn requests_keep_every_spelling() {
    each_seed(|voice, rng| {
        let (mut arguments, mut turns) = (Vec::new(), String::new());
        for call in 0..1 + rng.below(3) {
            let text = write::object(rng, 3);
            let quoted = serde_json::to_string(&text).expect("a string");
            let (comma, id) = (if call > 0 { "," } else { "" }, format!("call_{call}"));
            turns += &format!(
                r#"{comma}{{"id":"{id}","type":"function","function":{{"name":"f","arguments":{quoted}}}}}"#
            );
            arguments.push(text);
        }
        let results: Vec<String> = (0..arguments.len())
            .map(|call| format!(r#"{{"role":"tool","tool_call_id":"call_{call}","content":"ok"}}"#))
            .collect();
        let schema = format!(r#"{{"type":"object","properties":{}}}"#, write::object(rng, 2));
        let number =
            write::pick(&["0.70", "1", "1.0", "1e0", "2E-1", "0.3000000000000000000001"], rng);
        let body = format!(
            r#"{{"model":"m","temperature":{number},"messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":null,"tool_calls":[{turns}]}},{}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#,
            results.join(",")
        );
        let sent = sent(voice, &body);
        let found = values(&sent, voice.arguments);
        let found: Vec<String> = found.into_iter().map(compact).collect();
        let meant: Vec<String> = arguments.iter().map(|text| compact(text)).collect();
        assert_eq!(found, meant, "{sent}");
        let found: Vec<String> = values(&sent, voice.schema).into_iter().map(compact).collect();
        assert_eq!(found, [compact(&schema)], "{sent}");
        assert_eq!(values(&sent, voice.temperature), [*number], "{sent}");
        let other = self::sent(voice, &body.replace("\"temperature\"", "\"top_p\""));
        assert_eq!(values(&other, voice.top_p), [*number], "{other}");
    });
}

fn sent(voice: &Voice, body: &str) -> String {
    let request = Request::parse(body.as_bytes());
    let request = request.unwrap_or_else(|error| panic!("{error:?}: {body}"));
    let order = Order { vendor: voice.vendor, model: voice.model, rules: Rules::default() };
    let (mut out, mut dropped) = (Vec::new(), Dropped::default());
    let encoded = encode(&order, &request, &mut out, &mut dropped);
    encoded.unwrap_or_else(|error| panic!("{error:?}: {body}"));
    String::from_utf8(out).expect("text")
}

fn compact(json: &str) -> String {
    let mut out = Vec::new();
    push_compact(&mut out, json);
    String::from_utf8(out).expect("text")
}

/// All values of members called `name`, as they are spelt.
fn values<'j>(json: &'j str, name: &str) -> Vec<&'j str> {
    fn search<'j>(
        reader: &mut Reader<'j>,
        name: &str,
        found: &mut Vec<&'j str>,
    ) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Object => reader.object(|reader, key| {
                if key.raw() == name {
                    found.push(reader.raw()?);
                    return Ok(());
                }
                search(reader, name, found)
            }),
            Kind::Array => reader.array(|reader, _index| search(reader, name, found)),
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => reader.skip(),
        }
    }
    let mut found = Vec::new();
    search(&mut Reader::new(json), name, &mut found).expect("JSON");
    found
}
