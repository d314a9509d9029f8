//! Instructions that the pure parts of a request take, counted by callgrind: the same on every
//! machine and under any load, so a gate hangs on them. `scripts/icount.sh` runs this and compares
//! with `baseline.txt`; where a vendor's chunk or request costs more than the limits that
//! stand there, it fails.
//!
//! A stream is 100 events with 200 bytes of text each, in the vendor's own shape around it.

#![expect(clippy::expect_used, reason = "the inputs are our own; a wrong one must stop the bench")]
#![expect(missing_docs, unused_qualifications, reason = "what the macros of gungraun make")]
#![expect(clippy::exit, reason = "the macro that makes `main` ends the process itself")]

use std::hint::black_box;

use gungraun::prelude::*;

use vertex_bridge::chat::door::Beside;
use vertex_bridge::chat::{Event, Form, Outline, Request, StreamWriter, WholeWriter};
use vertex_bridge::provider::{
    Decoder, Dropped, ExactStream, Expected, Shape, Watched, encode, exact, target,
};
use vertex_bridge::wire::head::field_store;
use vertex_bridge::wire::sse::SseDecoder;
use vertex_bridge::wire::{
    BodyReader, Framing, HeadLimits, HeadScan, RequestHead, ResponseHead, WireError,
};

// Metrics do not belong to the pure rooms, but a histogram needs nothing else.
#[expect(dead_code, reason = "only the side that counts is measured")]
#[path = "../../src/obs/cell.rs"]
mod cell;
#[expect(dead_code, unused_imports, reason = "only the side that counts is measured")]
#[path = "../../src/obs/histogram.rs"]
mod histogram;
#[expect(dead_code, reason = "only the side that counts is measured")]
#[path = "../../src/obs/spread.rs"]
mod spread;
#[expect(dead_code, reason = "the test of allocations uses the rest of it")]
#[path = "../../tests/traffic/mod.rs"]
mod traffic;

use histogram::Histogram;
use traffic::{ANTHROPIC, GEMINI, LIMITS, OPENAI, REQUEST, SMALL, Traffic, meta};

/// The allocator of the gateway: its instructions count too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 100;

/// How often a case without a stream is played. An allocator takes its long way now and then,
/// at another call in every build: the mean over many calls does not depend on where.
const ROUNDS: usize = 50;

fn rounds<R>(mut play: impl FnMut() -> R) {
    for _ in 0..ROUNDS {
        black_box(play());
    }
}

const HEAD_LIMITS: HeadLimits =
    HeadLimits { head_bytes: 32 << 10, fields: 100, target_bytes: 8 << 10 };

const REQUEST_HEAD: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\n\
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

const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/event-stream\r\n\
    Vary: Origin\r\n\
    Vary: X-Origin\r\n\
    Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
    Server: scaffolding on HTTPServer2\r\n\
    Server-Timing: gfet4t7; dur=512\r\n\
    Transfer-Encoding: chunked\r\n\r\n";

// --- The wire -------------------------------------------------------------------------------

#[library_benchmark]
fn request_head() {
    rounds(|| framing_of_request(black_box(REQUEST_HEAD)));
}

fn framing_of_request(bytes: &[u8]) -> Framing {
    let end = HeadScan::new().find(bytes).expect("a whole head");
    let mut store = field_store();
    let head = RequestHead::parse(&bytes[..end], &HEAD_LIMITS, &mut store).expect("valid");
    head.framing().expect("a length")
}

#[library_benchmark]
fn response_head() {
    rounds(|| framing_of_response(black_box(RESPONSE_HEAD)));
}

fn framing_of_response(bytes: &[u8]) -> Framing {
    let end = HeadScan::new().find(bytes).expect("a whole head");
    let mut store = field_store();
    let head = ResponseHead::parse(&bytes[..end], &HEAD_LIMITS, &mut store).expect("valid");
    head.framing(vertex_bridge::wire::Method::Post).expect("chunked")
}

/// The stream in HTTP chunks, one per event.
fn chunked() -> Vec<u8> {
    let event = GEMINI.event();
    let chunk = [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();
    [chunk.repeat(EVENTS), b"0\r\n\r\n".to_vec()].concat()
}

#[library_benchmark]
#[bench::of_100(chunked())]
fn chunked_body(body: Vec<u8>) -> usize {
    let mut reader = BodyReader::new(Framing::Chunked, u64::MAX).expect("no length");
    let (mut rest, mut length) = (black_box(&body[..]), 0);
    while !reader.is_done() {
        let step = reader.feed(rest).expect("valid");
        length += step.data.len();
        rest = &rest[step.consumed..];
    }
    length
}

#[library_benchmark]
#[bench::of_100(GEMINI.stream(EVENTS))]
fn sse_events(stream: Vec<u8>) -> usize {
    let (mut decoder, mut length) = (SseDecoder::new(1 << 20), 0);
    let fed = decoder.feed(black_box(&stream), &mut |event| {
        length += event.data.len();
        Ok::<(), WireError>(())
    });
    fed.expect("valid");
    length
}

// --- Every vendor ---------------------------------------------------------------------------

/// What a client asks of a vendor, in the words of its API.
fn request(traffic: Traffic) -> Request<'static> {
    read(&traffic, Box::leak(Box::new(Beside::default())))
}

fn read<'a>(traffic: &Traffic, beside: &'a Beside) -> Request<'a> {
    let body = black_box(traffic.request.as_bytes());
    let outline = traffic.door.outline(body, beside).expect("valid");
    traffic.door.read(&outline, beside).expect("valid")
}

#[library_benchmark]
#[bench::small(GEMINI, warm(GEMINI))]
#[bench::messages(OPENAI, warm(OPENAI))]
fn parse_request(traffic: Traffic, _warm: Vec<u8>) {
    let beside = Beside::default();
    rounds(|| read(&traffic, &beside));
}

#[library_benchmark]
#[bench::gemini(GEMINI, request(GEMINI), warm(GEMINI))]
#[bench::anthropic(ANTHROPIC, request(ANTHROPIC), warm(ANTHROPIC))]
#[bench::openai(OPENAI, request(OPENAI), warm(OPENAI))]
fn encode_request(traffic: Traffic, request: Request<'static>, mut out: Vec<u8>) -> Vec<u8> {
    rounds(|| {
        out.clear();
        let mut dropped = Dropped::default();
        encode(&traffic.order(), black_box(&request), &mut out, &mut dropped).expect("expressible");
    });
    out
}

fn decode(traffic: &Traffic, stream: bool, body: &[u8], sink: &mut impl FnMut(Event<'_>)) {
    let expected = Expected::plain(traffic.vendor, stream, 1, 7);
    let mut decoder = Decoder::new(expected, LIMITS);
    decoder.feed(black_box(body), sink).expect("valid");
    decoder.finish(sink).expect("whole");
}

#[library_benchmark]
#[bench::gemini(GEMINI, GEMINI.stream(EVENTS))]
#[bench::anthropic(ANTHROPIC, ANTHROPIC.stream(EVENTS))]
#[bench::openai(OPENAI, OPENAI.stream(EVENTS))]
fn decode_stream(traffic: Traffic, stream: Vec<u8>) -> usize {
    let mut texts = 0;
    decode(&traffic, true, &stream, &mut |event| {
        texts += usize::from(matches!(event, Event::Text { .. }));
    });
    texts
}

// 100 chunks from the vendor's bytes to the client's.
#[library_benchmark]
#[bench::gemini(GEMINI, request(GEMINI), GEMINI.stream(EVENTS), warm(GEMINI))]
#[bench::anthropic(ANTHROPIC, request(ANTHROPIC), ANTHROPIC.stream(EVENTS), warm(ANTHROPIC))]
#[bench::openai(OPENAI, request(OPENAI), OPENAI.stream(EVENTS), warm(OPENAI))]
fn translate_stream(
    traffic: Traffic,
    request: Request<'static>,
    stream: Vec<u8>,
    mut out: Vec<u8>,
) -> Vec<u8> {
    let mut writer = StreamWriter::new(traffic.door, meta(), &request);
    decode(&traffic, true, &stream, &mut |event| writer.on_event(&event, &mut out));
    writer.end(&mut out);
    out
}

// A small request and its answer, both ways.
#[library_benchmark]
#[bench::gemini(GEMINI, warm(GEMINI))]
#[bench::anthropic(ANTHROPIC, warm(ANTHROPIC))]
#[bench::openai(OPENAI, warm(OPENAI))]
fn translate_small(traffic: Traffic, mut out: Vec<u8>) -> Vec<u8> {
    rounds(|| both_ways(&traffic, &mut out));
    out
}

/// A buffer, in a process that has served requests before: its allocator has pages of every size,
/// as that of a gateway has.
fn warm(traffic: Traffic) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 << 10);
    both_ways(&traffic, &mut out);
    forward(REQUEST, &mut out);
    out.clear();
    out
}

fn both_ways(traffic: &Traffic, out: &mut Vec<u8>) {
    let beside = Beside::default();
    let outline = traffic.door.outline(black_box(traffic.small.as_bytes()), &beside);
    let request = traffic.door.read(&outline.expect("valid"), &beside).expect("valid");
    out.clear();
    let (order, mut dropped) = (traffic.order(), Dropped::default());
    target(&order, false, out).expect("a plain name");
    encode(&order, &request, out, &mut dropped).expect("expressible");
    black_box(&mut *out).clear();
    let mut writer = WholeWriter::new(traffic.door, meta(), &request);
    decode(traffic, false, traffic.whole.as_bytes(), &mut |event| writer.on_event(&event));
    writer.render(out);
}

// --- What passes as it came ------------------------------------------------------------------

#[library_benchmark]
#[bench::openai(warm(OPENAI))]
fn check_request(mut out: Vec<u8>) -> Vec<u8> {
    rounds(|| forward(REQUEST, &mut out));
    out
}

/// Checks a request and changes the model's name.
fn forward(body: &str, out: &mut Vec<u8>) {
    let outline = Outline::parse(black_box(body.as_bytes()), &Form::CHAT).expect("valid");
    out.clear();
    outline.changes(OPENAI.model, false).apply(outline.body().as_bytes(), out);
}

// 100 chunks.
#[library_benchmark]
#[bench::openai(Shape::OpenAiChoices, OPENAI.stream(EVENTS), warm(OPENAI))]
#[bench::anthropic(Shape::Anthropic, ANTHROPIC.stream(EVENTS), warm(ANTHROPIC))]
#[bench::gemini(Shape::Google, GEMINI.stream(EVENTS), warm(GEMINI))]
fn pass_stream(shape: Shape, stream: Vec<u8>, mut out: Vec<u8>) -> Vec<u8> {
    let mut watch = ExactStream::new(Watched::plain(shape), LIMITS);
    let mut sink = |event: Event<'_>| {
        black_box(event);
    };
    watch.feed(black_box(&stream), &mut out, &mut sink).expect("valid");
    watch.finish(&mut out, &mut sink).expect("whole");
    out
}

// A small request and its answer.
#[library_benchmark]
#[bench::openai(warm(OPENAI))]
fn pass_small(mut out: Vec<u8>) -> Vec<u8> {
    rounds(|| {
        forward(SMALL, &mut out);
        let answer = black_box(OPENAI.whole.as_bytes());
        let watched = Watched::plain(Shape::OpenAiChoices);
        let read = exact::read_whole(watched, answer, &mut |event| {
            black_box(event);
        });
        read.expect("valid");
    });
    out
}

// --- Beside it ------------------------------------------------------------------------------

#[library_benchmark]
#[bench::one(Histogram::default())]
fn observe(histogram: Histogram) -> Histogram {
    rounds(|| histogram.observe(black_box(std::time::Duration::from_micros(1234))));
    histogram
}

library_benchmark_group!(
    name = wire,
    benchmarks = [request_head, response_head, chunked_body, sse_events]
);
library_benchmark_group!(
    name = vendors,
    benchmarks = [parse_request, encode_request, decode_stream, translate_stream, translate_small]
);
library_benchmark_group!(name = passing, benchmarks = [check_request, pass_stream, pass_small]);
library_benchmark_group!(name = beside, benchmarks = observe);

main!(library_benchmark_groups = [wire, vendors, passing, beside]);
