//! How often the hot path asks the allocator: this binary counts every call.
//!
//! It is its own test binary because a process has one global allocator.

#![expect(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod tls;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use vertex_bridge::chat::{Collector, ReplyMeta, Request, StreamRenderer};
use vertex_bridge::provider::Dropped;
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Decoder, Expected, Order, Rules, Vendor, vendor};
use vertex_bridge::wire::{BodyReader, Framing, write};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]
// SAFETY: every call is forwarded unchanged to `System`; counting touches no memory it hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        HELD.with(|held| held.set(held.get().wrapping_add(layout.size())));
        // SAFETY: the caller upholds `alloc`'s contract, which is the same as ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get().wrapping_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        HELD.with(|held| held.set(held.get().wrapping_add(size).wrapping_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How many allocations `work` made on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// How many bytes this thread holds. What it got and another one gave back counts on.
fn held() -> usize {
    HELD.with(Cell::get)
}

fn meta() -> ReplyMeta {
    ReplyMeta { fallback_id: 1, created: 1, model: "gemini-2.5-flash".to_owned() }
}

const EXPECTED: Expected = Expected::plain(Vendor::Gemini, true, 1, 7);

const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };

/// A chunk of the size that Google sends.
const EVENT: &str = concat!(
    r#"data: {"candidates": [{"content": {"parts": [{"text": "a few words of text"}],"role": "model"},"index": 0}],"#,
    r#""usageMetadata": {"promptTokenCount": 9,"totalTokenCount": 9},"modelVersion": "gemini-2.5-flash","responseId": "abc"}"#,
    "\r\n\r\n"
);

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(7)))), 1);
}

/// Relays `pieces` as the data plane does: body framing, decoder, renderer, chunk framing.
fn relay(pieces: &[Vec<u8>], rounds: usize) -> u64 {
    let mut reader = BodyReader::new(Framing::Chunked, 1 << 30).expect("no length to refuse");
    let mut decoder = Decoder::new(EXPECTED, LIMITS);
    let mut renderer = StreamRenderer::new(meta(), true);
    let mut out = Vec::with_capacity(64 * 1024);
    let mut turn = |input: &[u8]| {
        out.clear();
        let mark = write::begin_chunk(&mut out);
        let mut at = 0;
        while at < input.len() {
            let step = reader.feed(input.get(at..).unwrap_or_default()).expect("sound chunks");
            let fed = decoder.feed(step.data, &mut |event| renderer.on_event(&event, &mut out));
            assert!(fed.is_ok());
            at += step.consumed;
        }
        write::end_chunk(&mut out, mark);
        black_box(&out);
    };
    // The first turns let the buffers grow to their size.
    pieces.iter().for_each(|piece| turn(piece));
    allocations(|| (0..rounds).for_each(|_| pieces.iter().for_each(|piece| turn(piece))))
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", data.len());
    [size.as_bytes(), data, b"\r\n"].concat()
}

#[test]
fn a_warm_relay_allocates_nothing_per_chunk() {
    assert_eq!(relay(&[chunk(EVENT.as_bytes())], 1000), 0, "whole events");
    let (head, tail) = EVENT.as_bytes().split_at(100);
    assert_eq!(relay(&[chunk(head), chunk(tail)], 1000), 0, "events that are cut");
    let bytes: Vec<Vec<u8>> = EVENT.bytes().map(|byte| chunk(&[byte])).collect();
    assert_eq!(relay(&bytes, 20), 0, "a byte at a time");
}

#[test]
fn a_translated_request_allocates_a_handful() {
    let body = br#"{"model":"gemini-2.5-flash","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello \"you\""}],"max_tokens":10,"temperature":0.7}"#;
    let answer = br#"{"candidates": [{"content": {"parts": [{"text": "Hello! How can I help?"}],"role": "model"},"finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 9,"candidatesTokenCount": 10,"totalTokenCount": 19},"modelVersion": "gemini-2.5-flash","responseId": "abc"}"#;
    let mut out = Vec::with_capacity(16 * 1024);
    let count = allocations(|| {
        let request = Request::parse(body).expect("a sound request");
        let mut dropped = Dropped::default();
        let model = "gemini-2.5-flash";
        let encoded = vendor::encode(
            &Order { vendor: Vendor::Gemini, model, rules: Rules::default() },
            &request,
            &mut out,
            &mut dropped,
        );
        assert!(encoded.is_ok());
        let mut decoder = Decoder::new(Expected { stream: false, ..EXPECTED }, LIMITS);
        let mut collector = Collector::new(meta());
        assert!(decoder.feed(answer, &mut |_| {}).is_ok());
        assert!(decoder.finish(&mut |event| collector.on_event(&event)).is_ok());
        out.clear();
        collector.render(&mut out);
    });
    println!("{count} allocations for one translated request and its answer");
    assert!(count <= 12, "{count}");
}
