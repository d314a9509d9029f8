//! Chat requests through the real binary, on every executor and driver.

use std::time::{Duration, Instant};

use super::client::{Answer, chat, get, post};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::upstream::{EVENTS, Seen, Upstream, stream_body};

/// The text of a stream, and how it ended.
fn told(answer: &Answer) -> (String, bool, Option<String>) {
    let mut text = String::new();
    let (mut done, mut error) = (false, None);
    for event in answer.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
        if event == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: serde_json::Value = serde_json::from_str(event).expect("a chunk is JSON");
        if let Some(code) = chunk["error"]["code"].as_str() {
            error = Some(code.to_owned());
        }
        text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or(""));
    }
    (text, done, error)
}

#[test]
fn whole_and_streamed_answers_are_translated() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        for question in ["plain", "dribble"] {
            let answer = gateway.ask(&chat(question, false));
            let body = answer.json();
            assert_eq!(answer.status, 200, "{flavour:?}");
            assert_eq!(body["choices"][0]["message"]["content"], "Héllo 😀!");
            assert_eq!(body["model"], "gemini-2.5-flash-001");
            assert_eq!(body["usage"]["completion_tokens"], 8);
            assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
            assert!(answer.field("x-request-id").is_some() && answer.field("date").is_some());
            let streamed = gateway.ask(&chat(question, true));
            assert_eq!(told(&streamed), ("Héllo 😀!".to_owned(), true, None), "{flavour:?}");
            assert_eq!(streamed.field("content-type"), Some("text/event-stream; charset=utf-8"));
            assert_eq!(streamed.body.matches("\"completion_tokens\":8").count(), 1);
        }
        let Ok(Seen::Request(head, body)) = upstream.seen.recv() else { panic!("no request") };
        assert!(head.contains("x-goog-api-key: AIzaSyD-end-to-end"), "{head}");
        assert!(head.starts_with("POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1"));
        assert_eq!(body, r#"{"contents":[{"role":"user","parts":[{"text":"plain"}]}]}"#);
        assert!(!gateway.log().contains("AIza"), "no key in the log");
    }
}

#[test]
fn a_cut_answer_is_never_a_whole_one() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    // Every event boundary, and every place inside the last event.
    let whole = stream_body().len();
    let first = EVENTS[0].len() + 10;
    let last = EVENTS[2].len() + 10;
    let cuts = [0, 1, first / 2, first - 1, first, first + 1, whole - last];
    for cut in cuts.into_iter().chain(whole - last + 1..whole - 4) {
        let answer = gateway.ask(&chat(&format!("cut:{cut}"), true));
        if answer.status != 200 {
            assert_eq!(answer.status, 502, "cut at {cut}");
            assert_eq!(answer.json()["error"]["code"], "upstream_truncated", "cut at {cut}");
            assert!(cut < first, "cut at {cut}");
            continue;
        }
        let (text, done, error) = told(&answer);
        assert!(!done, "cut at {cut}: {}", answer.body);
        assert_eq!(error.as_deref(), Some("upstream_truncated"), "cut at {cut}");
        assert!("Héllo 😀!".starts_with(&text), "cut at {cut}: {text}");
    }
    for cut in [0, 1, 100, 250] {
        let answer = gateway.ask(&chat(&format!("cut:{cut}"), false));
        assert_eq!(answer.json()["error"]["code"], "upstream_truncated", "cut at {cut}");
    }
}

#[test]
fn a_vendors_failure_keeps_its_meaning() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    for (status, expected, code) in [
        (400, 400, None),
        (401, 502, Some("upstream_auth_error")),
        (403, 502, Some("upstream_auth_error")),
        (404, 404, Some("model_not_found")),
        (413, 413, Some("request_too_large")),
        (429, 429, Some("rate_limit_exceeded")),
        (500, 500, Some("upstream_error")),
        (503, 503, Some("upstream_overloaded")),
        (504, 504, Some("upstream_timeout")),
    ] {
        for stream in [false, true] {
            let answer = gateway.ask(&chat(&format!("status:{status}"), stream));
            assert_eq!(answer.status, expected, "{status}");
            assert_eq!(answer.json()["error"]["code"].as_str(), code, "{status}");
            assert_eq!(answer.json()["error"]["message"], "as asked");
            if matches!(expected, 429 | 503) {
                assert_eq!(answer.field("retry-after"), Some("7"));
            }
        }
    }
    assert_eq!(gateway.ask(&chat("plain", false)).status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        let mut client = gateway.client();
        let requests = [chat("plain", false), get("/health"), chat("plain", true), get("/nowhere")];
        client.send(&requests.concat());
        let statuses: Vec<u16> =
            (0..4).filter_map(|_| client.answer()).map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 200, 404], "{flavour:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_upstream_at_once() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        for (question, stream) in [("silent", false), ("silent", true), ("stall:200", true)] {
            let mut client = gateway.client();
            client.send(&chat(question, stream));
            let asked = upstream.seen.recv_timeout(Duration::from_secs(10));
            assert!(matches!(asked, Ok(Seen::Request(..))), "{flavour:?}");
            // The first event of the stalled stream reaches the client.
            std::thread::sleep(Duration::from_millis(50));
            drop(client);
            let left = Instant::now();
            let ended = upstream.seen.recv_timeout(Duration::from_secs(10));
            let Ok(Seen::Left(at)) = ended else { panic!("{flavour:?} {question}: {ended:?}") };
            let after = at.saturating_duration_since(left);
            assert!(after < Duration::from_millis(500), "{flavour:?} {question}: {after:?}");
        }
        let mut cancelled = 0;
        for _ in 0..50 {
            cancelled = gateway.metric("vertex_bridge_requests_cancelled_total");
            if cancelled == 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(cancelled, 3, "{flavour:?}");
    }
}

#[test]
fn large_bodies_and_expectations_pass() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        let long = "x".repeat(3 << 20);
        assert_eq!(gateway.ask(&chat(&long, false)).status, 200, "{flavour:?}");
        let request = String::from_utf8(chat("plain", false)).expect("text");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        let mut client = gateway.client();
        client.send(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes());
        std::thread::sleep(Duration::from_millis(50));
        client.send(body.as_bytes());
        assert_eq!(client.answer().map(|answer| answer.status), Some(200), "{flavour:?}");
    }
}

#[test]
fn what_is_left_out_is_named() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"x"}],"user":"u","store":true}"#;
    let answer = gateway.ask(&post(body));
    assert_eq!(answer.field("x-vertex-bridge-dropped"), Some("store, user"));
}
