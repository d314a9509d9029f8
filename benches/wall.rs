//! Wall-clock benches of the pure parts of a request, and of storing its record, for people:
//! `cargo bench --bench wall`.
//!
//! No gate hangs on them, because wall time depends on the machine. The bytes are of the shape
//! and size that real clients and Gemini send.

#![expect(clippy::expect_used, reason = "the inputs are our own; a wrong one must stop the bench")]
#![expect(clippy::format_push_string, reason = "inputs are built once, outside the measurement")]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

use vertex_bridge::chat::{Event, ReplyMeta, Request, StreamRenderer};
use vertex_bridge::journal::{Ending, Record};
use vertex_bridge::obs::histogram::Histogram;
use vertex_bridge::provider::Dropped;
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Decoder, Expected, Order, Rules, Vendor, encode};
use vertex_bridge::store::Ledger;
use vertex_bridge::wire::head::field_store;
use vertex_bridge::wire::sse::SseDecoder;
use vertex_bridge::wire::{BodyReader, Framing, HeadLimits, HeadScan, RequestHead, WireError};

fn main() {
    divan::main();
}

const EVENTS: usize = 100;

const HEAD: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\n\
    Host: localhost:4000\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\n\
    User-Agent: OpenAI/Python 1.99.0\r\n\
    X-Stainless-Lang: python\r\n\
    X-Stainless-Runtime: CPython\r\n\
    Authorization: Bearer sk-vertex-bridge-dev\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 512\r\n\r\n";

const REQUEST: &[u8] = br#"{"model":"gemini-2.5-flash","temperature":0.7,"max_tokens":256,
    "stream":true,"stop":["END"],"messages":[
    {"role":"system","content":"You are a helpful assistant. Answer in one sentence."},
    {"role":"user","content":"What is the capital of France?"},
    {"role":"assistant","content":"The capital of France is Paris."},
    {"role":"user","content":"And \"what\" about Italy?\nPlease be brief."}]}"#;

const EXPECTED: Expected = Expected::plain(Vendor::Gemini, true, 1, 7);

const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };

/// A Gemini stream of so many events, as it arrives in one read.
fn gemini_stream() -> Vec<u8> {
    let mut stream = String::new();
    for number in 1..=EVENTS {
        let end = if number == EVENTS { r#""finishReason": "STOP","# } else { "" };
        stream += &format!(
            "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"some words of \
             \\\"text\\\" \"}}],\"role\": \"model\"}},{end}\"index\": 0}}],\"usageMetadata\": \
             {{\"promptTokenCount\": 9,\"candidatesTokenCount\": {number},\"totalTokenCount\": \
             {},\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 9}}]}},\
             \"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"abcdefghijklmnop\"}}\r\n\r\n",
            number + 9
        );
    }
    stream.into_bytes()
}

/// The same bytes in HTTP chunks, one per event.
fn chunked(stream: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(stream).expect("text");
    let mut body = String::new();
    for event in text.split_inclusive("\r\n\r\n") {
        body += &format!("{:x}\r\n{event}\r\n", event.len());
    }
    body += "0\r\n\r\n";
    body.into_bytes()
}

/// Finding the end of a request head and parsing it.
#[divan::bench]
fn head_parse(bencher: Bencher<'_, '_>) {
    let limits = HeadLimits { head_bytes: 32 << 10, fields: 100, target_bytes: 8 << 10 };
    bencher.counter(BytesCount::of_slice(HEAD)).bench(|| {
        let bytes = black_box(HEAD);
        let end = HeadScan::new().find(bytes).expect("a whole head");
        let mut store = field_store();
        let head = RequestHead::parse(&bytes[..end], &limits, &mut store).expect("valid");
        head.framing().expect("a length")
    });
}

/// Taking the chunked coding off a stream of 100 events.
#[divan::bench]
fn chunked_body_of_100_events(bencher: Bencher<'_, '_>) {
    let body = chunked(&gemini_stream());
    bencher.counter(BytesCount::of_slice(&body)).bench(|| {
        let mut reader = BodyReader::new(Framing::Chunked, u64::MAX).expect("no length");
        let (mut rest, mut length) = (black_box(&body[..]), 0);
        while !reader.is_done() {
            let step = reader.feed(rest).expect("valid");
            length += step.data.len();
            rest = &rest[step.consumed..];
        }
        length
    });
}

/// Cutting a stream into its 100 events.
#[divan::bench]
fn sse_of_100_events(bencher: Bencher<'_, '_>) {
    let stream = gemini_stream();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        let (mut decoder, mut length) = (SseDecoder::new(1 << 20), 0);
        let fed = decoder.feed(black_box(&stream), &mut |event| {
            length += event.data.len();
            Ok::<(), WireError>(())
        });
        fed.expect("valid");
        length
    });
}

/// Understanding a client's chat request.
#[divan::bench]
fn request_parse(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(REQUEST)).bench(|| {
        let request = Request::parse(black_box(REQUEST)).expect("valid");
        request.model.len()
    });
}

/// Writing it for Gemini.
#[divan::bench]
fn gemini_encode(bencher: Bencher<'_, '_>) {
    let request = Request::parse(REQUEST).expect("valid");
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let (request, mut dropped) = (black_box(&request), Dropped::default());
        let order =
            Order { vendor: Vendor::Gemini, model: "gemini-2.5-flash", rules: Rules::default() };
        encode(&order, request, &mut out, &mut dropped).expect("expressible");
        out.len()
    });
}

/// A stream of 100 Gemini events to chat events, without writing them.
#[divan::bench]
fn gemini_decode_of_100_events(bencher: Bencher<'_, '_>) {
    let stream = gemini_stream();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        let mut texts = 0;
        decode(black_box(&stream), &mut |event| texts += usize::from(is_text(&event)));
        assert_eq!(texts, EVENTS);
    });
}

/// The whole way of 100 streamed events, from Gemini's bytes to OpenAI's.
#[divan::bench]
fn gemini_to_openai_of_100_events(bencher: Bencher<'_, '_>) {
    let stream = gemini_stream();
    let mut out = Vec::with_capacity(64 << 10);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        out.clear();
        let mut renderer = StreamRenderer::new(meta(), true);
        decode(black_box(&stream), &mut |event| renderer.on_event(&event, &mut out));
        renderer.end(&mut out);
        out.len()
    });
}

/// One observation of a latency.
#[divan::bench]
fn histogram_observe(bencher: Bencher<'_, '_>) {
    let histogram = Histogram::default();
    bencher.bench_local(|| histogram.observe(black_box(std::time::Duration::from_micros(1234))));
}

/// On a file system that is there, with one transaction a batch.
#[divan::bench]
fn ledger_append_of_1024_records(bencher: Bencher<'_, '_>) {
    let folder = std::env::temp_dir().join(format!("vb-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut ledger = Ledger::open(&folder.join("vertex-bridge.db")).expect("a ledger");
    let mut next = 0;
    let record = Record {
        trace: 1 << 99,
        span: 1 << 55,
        prompt: 1000,
        completion: 200,
        cost_nanos: 1_234_567,
        priced: true,
        prices: 20_260_704,
        bytes_in: 2300,
        bytes_out: 15_000,
        total: 812_345,
        status: 200,
        attempts: 1,
        ending: Ending::Answered,
        id: "req_0000000000000000000000abcd",
        key: "team-a",
        route: "gemini-*",
        upstream_name: "google",
        model: "gemini-2.5-flash",
        ..Record::default()
    };
    let batch = || {
        next += 1024;
        let at = |seq| (seq, Record { started_ms: 1_800_000_000_000 + seq / 50, ..record });
        (next - 1024..next).map(at).collect::<Vec<_>>()
    };
    bencher
        .counter(ItemsCount::new(1024_usize))
        .with_inputs(batch)
        .bench_local_values(|batch| ledger.append(1, &batch).expect("stored"));
    std::fs::remove_dir_all(&folder).expect("ours");
}

fn decode(stream: &[u8], sink: &mut impl FnMut(Event<'_>)) {
    let mut decoder = Decoder::new(EXPECTED, LIMITS);
    decoder.feed(stream, sink).expect("valid");
    decoder.finish(sink).expect("whole");
}

fn meta() -> ReplyMeta {
    ReplyMeta { fallback_id: 1, created: 1_700_000_000, model: "gemini-2.5-flash".to_owned() }
}

fn is_text(event: &Event<'_>) -> bool {
    matches!(event, Event::Text { .. })
}
