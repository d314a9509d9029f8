//! Golden vectors of what answers cost: what a vendor has counted, the tokens by kind that it comes
//! to, and the price to the thousand-millionth of a dollar.
//!
//! `tests/golden/cost.json` is written by hand. Each vector goes through every decoder that may read
//! such an answer: translated or passed as it came, whole or streamed. `sum` tells how its price
//! comes about: so many tokens times so many dollars for a million.

#![expect(clippy::expect_used, reason = "a test stops where it cannot go on")]

use serde_json::{Value, json};
use vertex_bridge::chat::{Event, Usage};
use vertex_bridge::config::{Config, Sources, Tier};
use vertex_bridge::policy::price::{Book, Tokens, push_usd};
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{
    Decoder, ExactStream, Expected, Shape, UpstreamError, Vendor, Watched, exact,
};

const VECTORS: &str = include_str!("../golden/cost.json");

const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };

/// Noon of 2026-11-30.
const NOW: u64 = 1_796_040_000_000;

const DAY: u64 = 86_400_000;

/// What an answer has told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    usage: Usage,
    tier: Tier,
}

impl Told {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Usage(usage) => self.usage = *usage,
            Event::Tier(tier) => self.tier = Tier::of(tier.raw()),
            _ => {}
        }
    }
}

/// A vector's answer, in all forms that the vendor has.
struct Answer {
    whole: Value,
    stream: Option<String>,
    vendor: Option<Vendor>,
    shape: Shape,
}

fn sse(data: &[Value]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

impl Answer {
    fn of(vector: &Value) -> Self {
        let (model, usage) = (&vector["model"], &vector["usage"]);
        match vector["api"].as_str().expect("an api") {
            "gemini" => {
                let content = json!({"role": "model", "parts": [{"text": "x"}]});
                let candidate = json!({"content": content, "finishReason": "STOP", "index": 0});
                let whole = json!({
                    "candidates": [candidate], "usageMetadata": usage, "modelVersion": model,
                });
                let first = json!({
                    "candidates": [{"content": content, "index": 0}], "modelVersion": model,
                    "usageMetadata": {"promptTokenCount": usage["promptTokenCount"]},
                });
                let stream = Some(sse(&[first, whole.clone()]));
                Self { whole, stream, vendor: Some(Vendor::Gemini), shape: Shape::Google }
            }
            "anthropic" => Self::of_anthropic(vector),
            "openai" => {
                let tier = &vector["tier"];
                let head = json!({
                    "id": "chatcmpl-1", "created": 1, "model": model, "service_tier": tier,
                });
                let with = |more: Value| {
                    let mut object = head.clone();
                    let (to, from) = (object.as_object_mut(), more.as_object());
                    to.expect("an object").extend(from.expect("an object").clone());
                    object
                };
                let message = json!({"role": "assistant", "content": "x"});
                let choice = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
                let delta = json!([{"index": 0, "delta": message, "finish_reason": null}]);
                let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
                let chunks = [
                    with(json!({"choices": delta})),
                    with(json!({"choices": end})),
                    with(json!({"choices": [], "usage": usage})),
                ];
                let stream = Some(sse(&chunks) + "data: [DONE]\n\n");
                let whole = with(json!({"choices": choice, "usage": usage}));
                Self { whole, stream, vendor: Some(Vendor::OpenAi), shape: Shape::OpenAiChoices }
            }
            "response" => {
                let whole = json!({
                    "object": "response", "model": model, "status": "completed", "error": null,
                    "output": [], "service_tier": vector["tier"], "usage": usage,
                });
                let end = json!({"type": "response.completed", "response": whole});
                let stream = Some(sse(&[end]));
                Self { whole, stream, vendor: None, shape: Shape::OpenAiResponse }
            }
            _ => {
                let whole = json!({"object": "list", "data": [], "model": model, "usage": usage});
                Self { whole, stream: None, vendor: None, shape: Shape::OpenAiEmbeddings }
            }
        }
    }

    /// Anthropic's counts come at the beginning and at the end of a stream.
    fn of_anthropic(vector: &Value) -> Self {
        let message = |usage: &Value, content: Value, reason: Value| {
            json!({
                "type": "message", "id": "msg_1", "role": "assistant", "model": vector["model"],
                "content": content, "stop_reason": reason, "usage": usage,
            })
        };
        let (usage, start) = (&vector["usage"], &vector["start"]);
        let text = json!([{"type": "text", "text": "x"}]);
        let begun = if start.is_null() { usage } else { start };
        let mut all = begun.clone();
        let to = all.as_object_mut().expect("counts");
        to.extend(usage.as_object().expect("counts").clone());
        let block = json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}});
        let delta = json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "x"}});
        let events = [
            json!({"type": "message_start", "message": message(begun, json!([]), Value::Null)}),
            block,
            delta,
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
            json!({"type": "message_stop"}),
        ];
        let whole = message(&all, text, "end_turn".into());
        let stream = Some(sse(&events));
        Self { whole, stream, vendor: Some(Vendor::Anthropic), shape: Shape::Anthropic }
    }

    /// What each decoder is told, with its name.
    fn play(&self) -> Vec<(&'static str, Told)> {
        let whole = self.whole.to_string();
        let mut all = Vec::new();
        let mut told = Told::default();
        exact::read_whole(Watched::plain(self.shape), whole.as_bytes(), &mut |event| {
            told.on_event(&event);
        })
        .expect("a whole answer");
        all.push(("whole, as it came", told));
        if let Some(vendor) = self.vendor {
            all.push(("whole, translated", translated(vendor, false, &whole)));
        }
        let Some(stream) = &self.stream else { return all };
        let (mut told, mut out) = (Told::default(), Vec::new());
        let mut passage = ExactStream::new(Watched::plain(self.shape), LIMITS);
        let mut sink = |event: Event<'_>| told.on_event(&event);
        let fed = passage.feed(stream.as_bytes(), &mut out, &mut sink);
        fed.and_then(|()| passage.finish(&mut out, &mut sink)).expect("a whole stream");
        assert_eq!(String::from_utf8_lossy(&out), *stream, "it passes as it came");
        all.push(("streamed, as it came", told));
        if let Some(vendor) = self.vendor {
            all.push(("streamed, translated", translated(vendor, true, stream)));
        }
        all
    }
}

fn translated(vendor: Vendor, stream: bool, text: &str) -> Told {
    let mut told = Told::default();
    let mut decoder = Decoder::new(Expected::plain(vendor, stream, 1, 7), LIMITS);
    let mut sink = |event: Event<'_>| told.on_event(&event);
    let read: Result<(), UpstreamError> =
        decoder.feed(text.as_bytes(), &mut sink).and_then(|()| decoder.finish(&mut sink));
    read.expect("a whole answer");
    told
}

/// The tokens that a vector expects; all others are none.
fn tokens(vector: &Value) -> Tokens {
    let expected = vector["tokens"].as_object().expect("tokens");
    let known = [
        "prompt",
        "cached",
        "cache_write",
        "cache_write_1h",
        "prompt_audio",
        "cached_audio",
        "completion",
        "reasoning",
        "completion_audio",
        "completion_image",
    ];
    assert!(expected.keys().all(|name| known.contains(&name.as_str())), "{vector}");
    let of = |name: &str| expected.get(name).map_or(0, |count| count.as_u64().expect("a count"));
    let [prompt, cached, cache_write, cache_write_1h, prompt_audio, ..] = known.map(of);
    let [.., cached_audio, completion, reasoning, completion_audio, completion_image] =
        known.map(of);
    Tokens {
        prompt,
        cached,
        cache_write,
        cache_write_1h,
        prompt_audio,
        cached_audio,
        completion,
        reasoning,
        completion_audio,
        completion_image,
    }
}

/// The same tokens as a decoder tells them.
fn told_tokens(usage: &Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt,
        cached: usage.cached,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_1h,
        prompt_audio: usage.prompt_audio,
        cached_audio: usage.cached_audio,
        completion: usage.completion,
        reasoning: usage.reasoning,
        completion_audio: usage.completion_audio,
        completion_image: usage.completion_image,
    }
}

/// Nano-dollars of `5005*1.25 + 1744*10`, by other means than those that are tested.
fn by_hand(sum: &str) -> u64 {
    let picos = sum.split(" + ").map(|term| {
        let (count, rate) = term.split_once('*').expect("a product");
        let (whole, part) = rate.split_once('.').unwrap_or((rate, ""));
        let digits = format!("{whole}{part:0<6}");
        count.parse::<u64>().expect("a count") * digits.parse::<u64>().expect("a rate")
    });
    (picos.sum::<u64>() + 500) / 1000
}

fn book(prices: &str) -> Book {
    let read_file = |_: &str| Err("none".to_owned());
    let file = Some(("vb.toml", prices));
    let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
    Book::of(&Config::load(&sources).expect("a configuration"))
}

#[test]
fn every_vector_costs_what_its_vendor_asks() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).expect("vectors");
    assert!(vectors.len() >= 30, "{}", vectors.len());
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a name");
        let book = book(vector["prices"].as_str().unwrap_or(""));
        let now = if vector["day"] == "2026-12-01" { NOW + DAY } else { NOW };
        let price = book.find(0, vector["model"].as_str().expect("a model"), now);
        let tier = Tier::of(vector["tier"].as_str().unwrap_or(""));
        for (decoder, told) in Answer::of(vector).play() {
            assert_eq!(told_tokens(&told.usage), tokens(vector), "{name}: {decoder}");
            assert_eq!(told.tier, tier, "{name}: {decoder}");
            let nanos = price.and_then(|price| price.cost(&told_tokens(&told.usage), told.tier));
            let usd = nanos.map(|nanos| {
                let mut text = Vec::new();
                push_usd(nanos, &mut text);
                String::from_utf8(text).expect("digits")
            });
            assert_eq!(usd.as_deref(), vector["usd"].as_str(), "{name}: {decoder}");
            assert_eq!(nanos, vector["sum"].as_str().map(by_hand), "{name}: {decoder}");
        }
    }
}
