//! How often the hot path asks the allocator: this binary counts every call.
//!
//! It is its own test binary because a process has one global allocator.

#![expect(clippy::expect_used, reason = "a test stops where it cannot go on")]

mod shard;
mod tls;
#[expect(dead_code, reason = "the benches use the rest of it")]
#[path = "../traffic/mod.rs"]
mod traffic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use vertex_bridge::chat::door::Beside;
use vertex_bridge::chat::generate_out::Series;
use vertex_bridge::chat::{Door, Request, StreamWriter, WholeWriter};
use vertex_bridge::provider::{Decoder, Dropped, ExactStream, Expected, Shape, Watched, encode};
use vertex_bridge::wire::{BodyReader, Framing, write};

use traffic::{ANTHROPIC, CLAUDE, GEMINI, LIMITS, OPENAI, Traffic, meta};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
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
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
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

/// Every vendor, and how often a small request and its answer ask the allocator.
const VENDORS: &[(Traffic, u64)] = &[(GEMINI, 5), (ANTHROPIC, 5), (CLAUDE, 5), (OPENAI, 8)];

/// Every API that clients speak, but that whose last event repeats all that was said.
const DOORS: &[Door] =
    &[Door::Chat, Door::Completions, Door::Messages, Door::Generate(Some(Series::Events))];

/// What passes as it came, and in which shape.
const PASSING: &[(Traffic, Shape)] =
    &[(OPENAI, Shape::OpenAiChoices), (ANTHROPIC, Shape::Anthropic), (GEMINI, Shape::Google)];

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(7)))), 1);
}

/// Relays `pieces` as the data plane does: body framing, decoder, writer, chunk framing.
fn relay(traffic: &Traffic, door: Door, pieces: &[Vec<u8>], rounds: usize) -> u64 {
    let mut decoder = Decoder::new(Expected::plain(traffic.vendor, true, 1, 7), LIMITS);
    let mut writer = StreamWriter::new(door, meta(), &Request::empty());
    counted(traffic.opening(), pieces, rounds, |data, out| {
        let fed = decoder.feed(data, &mut |event| writer.on_event(&event, out));
        assert!(fed.is_ok());
    })
}

/// The same where the bytes pass.
fn pass((traffic, shape): &(Traffic, Shape), pieces: &[Vec<u8>], rounds: usize) -> u64 {
    let mut stream = ExactStream::new(Watched::plain(*shape), LIMITS);
    counted(traffic.opening(), pieces, rounds, |data, out| {
        let fed = stream.feed(data, out, &mut |event| {
            black_box(event);
        });
        assert!(fed.is_ok());
    })
}

/// Allocations of a warm relay, with the framing on both sides of `feed`.
fn counted(
    opening: &[u8],
    pieces: &[Vec<u8>],
    rounds: usize,
    mut feed: impl FnMut(&[u8], &mut Vec<u8>),
) -> u64 {
    let mut reader = BodyReader::new(Framing::Chunked, 1 << 30).expect("no length to refuse");
    let mut out = Vec::with_capacity(64 * 1024);
    let mut turn = |input: &[u8]| {
        out.clear();
        let mark = write::begin_chunk(&mut out);
        let mut at = 0;
        while at < input.len() {
            let step = reader.feed(input.get(at..).unwrap_or_default()).expect("sound chunks");
            feed(step.data, &mut out);
            at += step.consumed;
        }
        write::end_chunk(&mut out, mark);
        black_box(&out);
    };
    // The first turns let the buffers grow to their size.
    turn(&chunk(opening));
    pieces.iter().for_each(|piece| turn(piece));
    allocations(|| (0..rounds).for_each(|_| pieces.iter().for_each(|piece| turn(piece))))
}

fn chunk(data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let size = format!("{:x}\r\n", data.len());
    [size.as_bytes(), data, b"\r\n"].concat()
}

/// However an event is cut, it costs nothing.
fn nothing_per_chunk(name: &str, event: &[u8], relay: impl Fn(&[Vec<u8>], usize) -> u64) {
    assert_eq!(relay(&[chunk(event)], 1000), 0, "{name}, whole events");
    let (head, tail) = event.split_at(100);
    assert_eq!(relay(&[chunk(head), chunk(tail)], 1000), 0, "{name}, cut events");
    let bytes: Vec<Vec<u8>> = event.iter().map(|byte| chunk(&[*byte])).collect();
    assert_eq!(relay(&bytes, 20), 0, "{name}, a byte at a time");
}

#[test]
fn a_warm_relay_allocates_nothing_per_chunk() {
    for (traffic, _) in VENDORS {
        for door in DOORS {
            let name = format!("{:?} to {door:?}", traffic.vendor);
            nothing_per_chunk(&name, &traffic.event(), |pieces, rounds| {
                relay(traffic, *door, pieces, rounds)
            });
        }
    }
}

#[test]
fn what_passes_as_it_came_allocates_nothing_per_chunk() {
    for passing in PASSING {
        let name = format!("{:?}", passing.1);
        nothing_per_chunk(&name, &passing.0.event(), |pieces, rounds| {
            pass(passing, pieces, rounds)
        });
    }
}

/// Events as Anthropic sends them: a second beginning says nothing new, and blocks of reasoning,
/// text and a call begin, go on and end.
const BLOCKS: [&str; 12] = [
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1,"service_tier":"standard"}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a few words of reasoning"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqkBCkYICxgCKkDo5w3BcOFDM2J7MsIKxgUf"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type": "ping"}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a few \"words\" of text"}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Oslo\"}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
];

#[test]
fn blocks_of_reasoning_and_calls_allocate_nothing() {
    let events = BLOCKS.map(|data| format!("event: some_event\ndata: {data}\n\n"));
    let relay = |pieces: &[Vec<u8>], rounds| relay(&ANTHROPIC, Door::Chat, pieces, rounds);
    let whole = events.clone().map(|event| chunk(event.as_bytes()));
    assert_eq!(relay(&whole, 1000), 0, "whole events");
    assert_eq!(relay(&[chunk(events.concat().as_bytes())], 1000), 0, "all at once");
    let halves = events.iter().flat_map(|event| {
        let (head, tail) = event.as_bytes().split_at(event.len() / 2);
        [chunk(head), chunk(tail)]
    });
    assert_eq!(relay(&halves.collect::<Vec<_>>(), 1000), 0, "cut events");
    let bytes: Vec<Vec<u8>> = events.concat().bytes().map(|byte| chunk(&[byte])).collect();
    assert_eq!(relay(&bytes, 20), 0, "a byte at a time");
}

#[test]
fn a_translated_request_allocates_a_handful() {
    for (traffic, at_most) in VENDORS {
        let mut out = Vec::with_capacity(16 * 1024);
        let count = allocations(|| {
            let beside = Beside::default();
            let outline = traffic.door.outline(traffic.small.as_bytes(), &beside);
            let outline = outline.expect("a sound request");
            let request = traffic.door.read(&outline, &beside).expect("a sound request");
            let mut dropped = Dropped::default();
            let encoded = encode(&traffic.order(), &request, &mut out, &mut dropped);
            assert!(encoded.is_ok());
            let expected = Expected::plain(traffic.vendor, false, 1, 7);
            let mut decoder = Decoder::new(expected, LIMITS);
            let mut writer = WholeWriter::new(traffic.door, meta(), &request);
            assert!(decoder.feed(traffic.whole.as_bytes(), &mut |_| {}).is_ok());
            assert!(decoder.finish(&mut |event| writer.on_event(&event)).is_ok());
            out.clear();
            writer.render(&mut out);
        });
        println!("{:?}: {count} allocations for one request and its answer", traffic.vendor);
        assert!(count <= *at_most, "{:?}: {count}", traffic.vendor);
    }
}
