//! Start, balance, counts, drain, exit codes.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, chat, get};
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder, Gateway, free_port};
use super::upstream::Upstream;

/// One scrape's values of a family, by shard.
fn shards(gateway: &Gateway, family: &str) -> Vec<u64> {
    let page = gateway.metrics();
    let start = format!("{family}{{shard=");
    let values = page.lines().filter(|line| line.starts_with(&start));
    let values = values.filter_map(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok());
    values.collect()
}

/// Sends `count` requests one after the other, every fifth streamed.
fn ask_in_turn(mut client: Client, count: u32) {
    for index in 0..count {
        client.send(&chat("hi", index % 5 == 0));
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
    }
}

#[test]
fn ten_connections_over_two_shards_stand_five_and_five() {
    for flavour in FLAVOURS {
        // One core may carry two shards here only when two are allowed.
        let gateway = Gateway::start(flavour, &[("APP_RUNTIME__CORES", "0,1")]);
        thread::sleep(Duration::from_millis(100));
        let mut clients: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
        for client in &mut clients {
            client.send(&get("/health"));
            assert_eq!(client.answer().map(|answer| answer.status), Some(200));
        }
        let mut open = shards(&gateway, "vertex_bridge_connections_open");
        // The scrape's own connection is the eleventh.
        open.sort_unstable();
        assert_eq!(open, [5, 6], "{flavour:?}");
        let accepted = shards(&gateway, "vertex_bridge_connections_accepted_total");
        assert!(accepted.iter().sum::<u64>() >= 11, "{flavour:?}: {accepted:?}");
        for client in &mut clients {
            client.send(&chat("hi", false));
            assert_eq!(client.answer().map(|answer| answer.status), Some(200));
        }
        assert_eq!(shards(&gateway, "vertex_bridge_shard_requests_total"), [5, 5], "{flavour:?}");
    }
}

#[test]
fn every_request_is_counted_once() {
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[]);
        let before = gateway.metric("requests_total");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ask_in_turn(gateway.client(), 250));
            }
        });
        assert_eq!(gateway.metric("requests_total") - before, 2000, "{flavour:?}");
        assert_eq!(gateway.metric("vertex_bridge_bugs_total"), 0);
        let json = gateway.ask(&get("/metrics")).json();
        assert_eq!(json["total_requests"], 2000);
        assert_eq!(json["failed_requests"], 0);
    }
}

#[test]
fn pages_are_there_and_fixed_bodies_are_compressed() {
    let gateway = Gateway::start(Flavour::Uring, &[]);
    let health = gateway.ask(&get("/health")).json();
    assert_eq!(health["status"], "ok");
    assert_eq!(gateway.ask(&get("/health/ready")).status, 200);
    let models = gateway.ask(&get("/v1/models")).json();
    assert_eq!(models["object"], "list");
    assert_eq!(gateway.ask(&get("/v1/models/gemini-2.5-pro")).json()["id"], "gemini-2.5-pro");
    assert_eq!(gateway.ask(&get("/v1/models/mistral-large")).status, 404);
    let mut client = gateway.client();
    client.send(b"GET /v1/chat/completions HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.status, answer.field("content-encoding")), (405, Some("gzip")));
    assert_eq!(answer.field("allow"), Some("post"));
    let mut head = gateway.client();
    head.send(b"HEAD /health HTTP/1.1\r\nhost: a\r\n\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(100));
    let mut text = vec![0; 4096];
    let count = std::io::Read::read(&mut head.stream, &mut text).expect("bytes");
    let text = String::from_utf8_lossy(text.get(..count).unwrap_or_default()).into_owned();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    assert_eq!(text.matches("\"status\":\"ok\"").count(), 1, "HEAD has no body: {text}");
}

#[test]
fn a_signal_drains_and_what_runs_is_finished() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let mut gateway = Gateway::before(flavour, upstream.address, &[]);
        let mut streaming = gateway.client();
        streaming.send(&chat("dribble", true));
        let asked = upstream.seen.recv_timeout(Duration::from_secs(10));
        assert!(asked.is_ok(), "{flavour:?}: the request went upstream");
        let mut idle = gateway.client();
        idle.send(&get("/health"));
        assert!(idle.answer().is_some());
        gateway.signal("TERM");
        thread::sleep(Duration::from_millis(100));
        let whole = streaming.answer().expect("the stream is finished");
        assert!(whole.body.ends_with("data: [DONE]\n\n"), "{flavour:?}");
        let status = gateway.wait(15).expect("it ends");
        assert_eq!(status.code(), Some(0), "{flavour:?}: {}", gateway.log());
    }
}

#[test]
fn while_draining_new_work_is_refused_and_health_says_so() {
    let upstream = Upstream::start();
    let mut gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let mut held = gateway.client();
    held.send(&chat("stall:200", true));
    let mut waiting = gateway.client();
    thread::sleep(Duration::from_millis(200));
    gateway.signal("TERM");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(gateway.ask(&get("/health")).json()["status"], "draining");
    assert_eq!(gateway.ask(&get("/health/ready")).status, 503);
    waiting.send(&chat("plain", false));
    let refused = waiting.answer().expect("an answer");
    assert_eq!(refused.json()["error"]["code"], "shutting_down");
    assert!(refused.status == 503 && refused.field("retry-after").is_some());
    gateway.signal("INT");
    assert_eq!(gateway.wait(10).and_then(|status| status.code()), Some(0));
}

#[test]
fn balancers_get_the_time_to_notice_a_drain() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let notice = [("APP_TIMEOUTS__DRAIN_NOTICE", "1500ms")];
        let mut gateway = Gateway::before(flavour, upstream.address, &notice);
        let mut held = gateway.client();
        held.send(&get("/health"));
        assert_eq!(held.answer().map(|answer| answer.status), Some(200));
        let begun = Instant::now();
        gateway.signal("TERM");
        thread::sleep(Duration::from_millis(300));
        assert_eq!(gateway.ask(&get("/health/ready")).status, 503, "{flavour:?}");
        let late = gateway.ask(&chat("plain", false));
        assert_eq!(late.status, 200, "{flavour:?}: {}", late.body);
        held.send(&chat("plain", false));
        let last = held.answer().expect("an answer");
        assert_eq!((last.status, last.field("connection")), (200, Some("close")), "{flavour:?}");
        assert_eq!(gateway.wait(10).and_then(|status| status.code()), Some(0), "{flavour:?}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1500), "{flavour:?}: nobody was there: {took:?}");
    }
}

#[test]
fn mistakes_stop_the_start_with_their_code() {
    let folder = Folder::new();
    let run = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(BINARY);
        command.args(words).envs(variables.iter().copied()).current_dir(&folder.0);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&[], &[("APP_SERVER__PORT", "many")]);
    assert!(code == Some(2) && text.contains("APP_SERVER__PORT"), "{text}");
    let (code, text) = run(&[], &[("APP_SERVER__HOST", "0.0.0.0")]);
    assert!(code == Some(2) && text.to_lowercase().contains("key"), "{text}");
    let (code, text) = run(&["--no-such-flag"], &[]);
    assert!(code == Some(2) && text.contains("--no-such-flag"), "{text}");
    let (code, text) = run(&["check", "--config", "missing.toml"], &[]);
    assert!(code == Some(2) && text.contains("missing.toml"), "{text}");
    let (code, _) = run(&["check"], &[("GOOGLE_API_KEY", "AIzaSyD-secret-secret")]);
    assert_eq!(code, Some(0));
    let port = free_port();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let started = Instant::now();
    let (code, text) = run(&[], &[("APP_SERVER__PORT", &port.to_string())]);
    assert!(code == Some(1) && text.contains("in use"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(taken);
}

#[test]
fn no_memory_is_backed_by_huge_pages() {
    let gateway = Gateway::start(FLAVOURS[0], &[]);
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.child.id()));
    let status = status.expect("it runs");
    let huge = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert_eq!(huge.map(str::trim), Some("0"), "{status}");
}
