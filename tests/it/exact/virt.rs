//! Thousands of cases through the whole shard, on the virtual network.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use vertex_bridge::base::Rng;
use vertex_bridge::config::{Config, Sources};
use vertex_bridge::net::Security;
use vertex_bridge::proxy;
use vertex_bridge::rt::virt::{Faults, Virt, VirtConn, VirtSocket};
use vertex_bridge::rt::{Conn, Listener, Runtime, mailbox};

use super::write::{Case, event, pick};
use super::{check, configuration, first_seed, message, same};
use crate::shard_sim::{gateway_address, shard_with, upstream_address};

/// Cases of one world.
const BATCH: u64 = 250;
const CASES: u64 = 10_000;

/// What client and upstream of one world share.
#[derive(Default)]
struct Now {
    /// The case that is played, as the upstream sends it: pieces, and does the connection end?
    answer: Option<(Vec<Vec<u8>>, bool)>,
    seen: Option<(String, Vec<u8>)>,
}

fn config() -> Config {
    let file = configuration(&upstream_address().to_string());
    let sources = Sources {
        file: Some(("exact.toml", &file)),
        flags: &[],
        variables: &[],
        read_file: &|_| Err("no files here".to_owned()),
    };
    Config::load(&sources).expect("the configuration is valid")
}

async fn read(conn: &VirtConn, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = std::mem::take(bytes);
    buffer.reserve(4096);
    let (result, buffer) = conn.read(buffer).await;
    *bytes = buffer;
    matches!(result, Ok(1..))
}

/// Writes the pieces; some wait, so that the pieces before them are read alone.
async fn write(rt: &Virt, conn: &VirtConn, pieces: &[Vec<u8>]) -> bool {
    for piece in pieces {
        if conn.write_all(piece.clone()).await.0.is_err() {
            return false;
        }
        if rt.below(4) == 0 {
            rt.sleep(Duration::from_micros(rt.below(3000))).await;
        }
    }
    true
}

async fn upstream(rt: Virt, now: Rc<RefCell<Now>>) {
    let listener = rt.listen(VirtSocket(upstream_address())).expect("listens");
    while let Ok((accepted, _)) = listener.accept().await {
        let conn = rt.adopt(accepted).expect("adopts");
        rt.spawn(link(rt.clone(), conn, Rc::clone(&now)));
    }
}

/// Answers the requests of one connection as the case of the moment says.
async fn link(rt: Virt, conn: VirtConn, now: Rc<RefCell<Now>>) {
    let mut bytes = Vec::new();
    while let Some(seen) = next(&conn, &mut bytes).await {
        let (pieces, ends) = now.borrow().answer.clone().expect("a case is played");
        now.borrow_mut().seen = Some(seen);
        if !write(&rt, &conn, &pieces).await || ends {
            return;
        }
    }
}

/// The next message; none when the connection has ended.
async fn next(conn: &VirtConn, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(message) = message::take(bytes) {
            return Some(message);
        }
        if !read(conn, bytes).await {
            return None;
        }
    }
}

fn owned(pieces: Vec<&[u8]>) -> Vec<Vec<u8>> {
    pieces.into_iter().map(<[u8]>::to_vec).collect()
}

/// Runs `play` for each seed in a world with a gateway and an upstream.
fn each_seed<P>(seeds: std::ops::Range<u64>, make: fn(&mut Rng) -> Case, judge: P)
where
    P: Fn(u64, &Case, (String, Vec<u8>), (String, Vec<u8>)) + 'static,
{
    let rt = Virt::new(seeds.start, Faults::default());
    let shard = shard_with(&rt, seeds.start, config(), Security::default());
    let (letters_in, letters) = mailbox();
    let listener = rt.listen(VirtSocket(gateway_address())).expect("listens");
    let world = rt.clone();
    let ran = rt.run(async move {
        let now = Rc::new(RefCell::new(Now::default()));
        world.spawn(upstream(world.clone(), Rc::clone(&now)));
        world.spawn(proxy::run(shard, listener, letters, Duration::from_secs(30)));
        let mut conn = world.connect(gateway_address()).await.expect("connects");
        let mut bytes = Vec::new();
        for seed in seeds {
            let rng = &mut Rng::new(seed);
            let case = make(rng);
            let (answer, ends) = message::answer(&case, rng);
            now.borrow_mut().answer = Some((owned(message::cuts(&answer, rng)), ends));
            let request = message::request(&case, rng);
            // An answer may come while the request is still being written.
            let pieces = owned(message::cuts(&request, rng));
            assert!(write(&world, &conn, &pieces).await, "Rng::new({seed}): no request");
            let got = next(&conn, &mut bytes).await;
            let got = got.unwrap_or_else(|| panic!("Rng::new({seed}): no answer: {case}"));
            let closes = got.0.contains("connection: close") || got.1.ends_with(b"\"}}\n\n");
            let seen = now.borrow_mut().seen.take().expect("the upstream was asked");
            judge(seed, &case, seen, got);
            if closes {
                conn = world.connect(gateway_address()).await.expect("connects");
                bytes.clear();
            }
        }
        drop(letters_in);
    });
    assert!(ran.is_ok(), "{ran:?}");
}

#[test]
fn ten_thousand_bodies_and_streams_pass_as_they_came() {
    let first = first_seed();
    println!("Rng::new({first}) and the {CASES} behind it");
    for batch in 0..CASES / BATCH {
        let from = first + batch * BATCH;
        each_seed(from..from + BATCH, Case::random, |seed, case, seen, got| {
            check(seed, case, &seen, &got);
        });
    }
}

/// An answer that must not pass: a failure that is not about the request or is no JSON object, or a
/// stream with an event that is neither JSON nor its end.
fn unfit(rng: &mut Rng) -> Case {
    let mut case = Case::random(rng);
    let error = "{\"error\":{\"message\":\"theirs\",\"type\":\"t\"}}";
    if case.stream && rng.percent(50) {
        let mut out = String::new();
        event("{\"choices\":[{\"index\":0,\"delta\":{}}]}", rng, &mut out);
        case.passes = Some(out.len());
        let bad = *pick(&["{not json", "[DONE] x", "{\"a\":NaN}", "{}}", "\u{1}"], rng);
        out += &format!("data: {bad}\n\ndata: [DONE]\n\n");
        (case.status, case.answer) = (200, out.into_bytes());
        return case;
    }
    let statuses = [401, 402, 403, 404, 408, 500, 502, 503, 504, 529, 400, 422, 429];
    case.status = *pick(&statuses, rng);
    let about_request = matches!(case.status, 400 | 422 | 429);
    let other = *pick(&["<html>theirs</html>", "", "{\"detail\":\"theirs\"}", "{\"error\":"], rng);
    case.answer = if about_request { other } else { error }.as_bytes().to_vec();
    case
}

#[test]
fn what_must_not_pass_does_not() {
    let first = first_seed();
    each_seed(first..first + 500, unfit, |seed, case, _seen, got| {
        let text = String::from_utf8(got.1).expect("text");
        if case.status != 200 {
            let ours = text.starts_with("{\"error\":{\"message\":\"") && text.contains("\"code\":");
            assert!(ours && text.as_bytes() != case.answer, "Rng::new({seed}): {text}");
            return;
        }
        assert!(text.contains("upstream_invalid_response"), "Rng::new({seed}): {text}");
        let error = text.find("data: {\"error\":{").expect("it breaks off with an error");
        let (passed, _) = text.split_at(error);
        // Where a cut parts CR and LF, the LF goes with the event behind it.
        let [kept, passed] = [case.passes(), passed.as_bytes()].map(<[u8]>::trim_ascii_end);
        same("what passed", seed, kept, passed);
    });
}
