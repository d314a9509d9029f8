//! Limits of clients' keys: exact over all shards, and told in the fields that clients know.

use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, get, post_to};
use super::gateway::{FLAVOURS, Flavour, Gateway};

const HELLO: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#;

fn key(number: usize) -> String {
    format!("sk-key-{number:03}-0123456789abcdef")
}

/// A gateway on its simulator with so many keys, each with these lines.
fn with_keys(flavour: Flavour, keys: usize, lines: &str) -> Gateway {
    let tables = (0..keys).map(|number| {
        format!("[[key]]\nname = \"k{number}\"\nsecret = \"{}\"\n{lines}", key(number))
    });
    let bucket = "[rate_limit]\ncapacity = 10\nrefill_per_second = 1\n".to_owned();
    let text: String = std::iter::once(bucket).chain(tables).collect();
    Gateway::written(flavour, &text, "0,1")
}

/// So many requests of one key on one connection, and how many of them were served.
fn burst(gateway: &Gateway, key: &str, requests: usize) -> usize {
    let request = post_to("/v1/chat/completions", key, HELLO);
    let mut client = Client::connect(gateway.address);
    let served = (0..requests).filter(|_| {
        client.send(&request);
        let answer = client.answer().expect("an answer");
        if answer.status == 429 {
            assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
            assert!(
                answer.field("retry-after").is_some() && answer.field("retry-after-ms").is_some()
            );
            return false;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        true
    });
    served.count()
}

#[test]
fn of_a_thousand_requests_at_once_ten_are_served() {
    for (flavour, rounds) in FLAVOURS.into_iter().zip([100, 10, 10]) {
        let gateway = with_keys(flavour, rounds, "");
        let mut measured = 0;
        for round in 0..rounds {
            let began = Instant::now();
            let served: usize = thread::scope(|scope| {
                let start = || burst(&gateway, &key(round), 125);
                let clients: [_; 8] = std::array::from_fn(|_| scope.spawn(start));
                clients.into_iter().map(|client| client.join().expect("it ends")).sum()
            });
            let refilled = usize::try_from(began.elapsed().as_secs()).expect("it is short");
            assert!((10..=10 + refilled).contains(&served), "{served} in round {round}");
            measured += usize::from(refilled == 0);
        }
        assert!(measured * 2 > rounds, "{flavour:?}: the machine is too slow to measure");
    }
}

#[test]
fn a_keys_own_limits_are_told_and_held() {
    let lines = "requests_per_minute = 5\ntokens_per_minute = 1000\n";
    for flavour in FLAVOURS {
        let gateway = with_keys(flavour, 2, lines);
        let ask = |key: &str, body: &str| gateway.ask(&post_to("/v1/chat/completions", key, body));
        let stream = HELLO.replacen('{', "{\"stream\":true,", 1);
        for (left, body) in [("4", HELLO), ("3", &stream)] {
            let answer = ask(&key(0), body);
            assert_eq!(answer.field("x-ratelimit-limit-requests"), Some("5"), "{}", answer.head);
            assert_eq!(answer.field("x-ratelimit-remaining-requests"), Some(left));
            assert_eq!(answer.field("x-ratelimit-limit-tokens"), Some("1000"));
            assert!(answer.field("x-ratelimit-reset-requests").is_some());
        }
        assert_eq!(burst(&gateway, &key(0), 10), 3);
        let refused = ask(&key(0), HELLO);
        assert_eq!(
            (refused.status, refused.field("x-ratelimit-remaining-requests")),
            (429, Some("0"))
        );
        assert!(refused.body.contains("5 requests per minute"), "{}", refused.body);
        // A prompt that alone is more than what is left of a minute.
        let long = HELLO.replace("hi", &"word ".repeat(500));
        let last = (0..3).map(|_| ask(&key(1), &long).status).collect::<Vec<_>>();
        assert_eq!(last, [200, 429, 429], "{flavour:?}");
        let request = String::from_utf8(get("/metrics/prometheus")).expect("text");
        let bearer = format!("host: localhost\r\nauthorization: Bearer {}", key(0));
        let page = gateway.ask(request.replace("host: localhost", &bearer).as_bytes()).body;
        assert!(page.contains("vertex_bridge_limited_total{limit=\"tokens\"} 2"), "{page}");
    }
}

#[test]
fn over_saturated_seconds_a_rate_is_held_and_used() {
    let gateway = with_keys(Flavour::Uring, 1, "");
    let began = Instant::now();
    let mut served = 0;
    while began.elapsed() < Duration::from_secs(6) {
        served += burst(&gateway, &key(0), 10);
    }
    let most = 10 + usize::try_from(began.elapsed().as_secs()).expect("short");
    assert!((15..=most + 1).contains(&served), "{served} of {most}");
}
