//! What routes and keys decide beside the order of candidates: balance, sessions, exhaustion,
//! wishes of trusted clients, requests at a time, streams that are too slow.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Answer, Client, post};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::upstream::read_request;

/// How an upstream of this test answers.
#[derive(Clone, Copy)]
enum Manner {
    /// After so many milliseconds.
    Good(u64),
    /// With this status.
    Bad(u16),
    /// A stream with a word now and then, and no end.
    Drips,
}

/// An upstream that says its name.
fn upstream(name: &'static str, manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, name, manner));
        }
    });
    address
}

fn serve(mut stream: TcpStream, name: &str, manner: Manner) {
    let mut inbox = Vec::new();
    while read_request(&mut stream, &mut inbox).is_some() {
        let (status, body) = match manner {
            Manner::Good(millis) => {
                thread::sleep(Duration::from_millis(millis));
                (200, answer(name))
            }
            Manner::Bad(status) => {
                (status, r#"{"error":{"message":"as asked","type":"server_error"}}"#.to_owned())
            }
            Manner::Drips => return drip(&mut stream),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(name: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"{name}","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}]}}"#
    )
}

fn drip(stream: &mut impl Write) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let event = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}"#;
    let mut gone = stream.write_all(head.as_bytes()).is_err();
    while !gone {
        gone = stream.write_all(format!("data: {event}\n\n").as_bytes()).is_err();
        thread::sleep(Duration::from_secs(1));
    }
}

/// A gateway with upstreams `a`, `b`, … of these manners.
fn gateway(flavour: Flavour, manners: &[Manner], more: &str) -> Gateway {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let mut text = format!("[retry]\nattempts = 0\n{more}\n");
    for (name, manner) in NAMES.into_iter().zip(manners) {
        let address = upstream(name, *manner);
        let base_url = format!("http://{address}/v1");
        for line in ["[[upstream]]", "kind = \"openai\""] {
            text += line;
            text += "\n";
        }
        for (key, value) in [("name", name), ("base_url", &base_url)] {
            text += &[key, " = \"", value, "\"\n"].concat();
        }
    }
    Gateway::written(flavour, &text, "0")
}

const BOTH: &str =
    r#"targets = [ { upstream = "a", model = "a" }, { upstream = "b", model = "b" } ]"#;

fn ask_with(gateway: &Gateway, fields: &str) -> Answer {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let mut request = String::from_utf8(post(body)).expect("text");
    if fields.contains("authorization") {
        request = request.replacen("authorization", "x-not-the-key", 1);
    }
    gateway.ask(request.replacen("\r\n", &format!("\r\n{fields}"), 1).as_bytes())
}

/// A figure, for whoever has the first key.
fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.ask(
        b"GET /metrics/prometheus HTTP/1.1\r\nhost: x\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n",
    );
    let line = page.body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {page:?}"))
}

fn code_of(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn model(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["model"].as_str().expect("a model").to_owned()
}

#[test]
fn the_faster_target_is_asked_more_and_a_session_stays_with_one() {
    let route = |more: &str| {
        format!("[rate_limit]\ncapacity = 1000\n[[route]]\nmodel = \"m\"\n{BOTH}\n{more}\n")
    };
    for flavour in FLAVOURS {
        // So far apart that a busy machine does not turn them round.
        let manners = [Manner::Good(80), Manner::Good(1)];
        let balanced = gateway(flavour, &manners, &route("balance = \"latency\""));
        let fast = (0..60).filter(|_| model(&ask_with(&balanced, "")) == "b").count();
        assert!((32..60).contains(&fast), "three of four, about: {fast} of 60");
        let manners = [Manner::Good(0), Manner::Good(0)];
        let kept = gateway(flavour, &manners, &route("affinity = \"X-Session\""));
        let of = |session: &str| model(&ask_with(&kept, &format!("x-session: {session}\r\n")));
        let firsts: Vec<String> = (0..12).map(|at| of(&format!("s{at}"))).collect();
        for (at, first) in firsts.iter().enumerate() {
            assert_eq!(of(&format!("s{at}")), *first);
        }
        assert!(firsts.iter().any(|name| name == "a") && firsts.iter().any(|name| name == "b"));
    }
}

#[test]
fn a_route_without_candidates_refuses_asks_the_least_bad_or_waits() {
    let breaker = "[circuit_breaker]\nfailure_threshold = 1\ntimeout_secs = 1\nsuccess_threshold = 1\n[limits]\nqueue_age = \"3s\"\n";
    let route =
        |word: &str| format!("{breaker}[[route]]\nmodel = \"m\"\nexhausted = \"{word}\"\n{BOTH}\n");
    for (word, status, code, waits) in [
        ("refuse", 503, "upstream_unavailable", false),
        ("least_bad", 500, "upstream_error", false),
        ("wait", 500, "upstream_error", true),
    ] {
        let manners = [Manner::Bad(500), Manner::Bad(500)];
        let gateway = gateway(FLAVOURS[0], &manners, &route(word));
        assert_eq!(ask_with(&gateway, "").status, 500, "both circuits open");
        let began = Instant::now();
        let answer = ask_with(&gateway, "");
        assert_eq!(
            (answer.status, code_of(&answer)),
            (status, code.to_owned()),
            "{word}: {answer:?}"
        );
        let waited = began.elapsed();
        assert_eq!(waited > Duration::from_millis(600), waits, "{word}: {waited:?}");
    }
}

#[test]
fn a_trusted_key_may_say_what_it_wants() {
    let keys = "[[key]]\nname = \"own\"\nsecret = \"0123456789abcdef\"\ntrusted = true\n[[key]]\nname = \"other\"\nsecret = \"fedcba9876543210\"\n";
    let route = r#"[[route]]
model = "m"
targets = [ { upstream = "a", model = "a" } ]
fallbacks = [ { upstream = "b", model = "b" } ]
"#;
    let manners = [Manner::Bad(500), Manner::Good(0)];
    let gateway = gateway(FLAVOURS[0], &manners, &format!("{keys}{route}"));
    let ask = |key: &str, fields: &str| {
        ask_with(&gateway, &format!("authorization: Bearer {key}\r\n{fields}"))
    };
    let (own, other) = ("0123456789abcdef", "fedcba9876543210");
    assert_eq!(model(&ask(own, "")), "b");
    assert_eq!(ask(own, "x-vertex-bridge-fallbacks: off\r\n").status, 500);
    assert_eq!(model(&ask(other, "x-vertex-bridge-fallbacks: off\r\n")), "b", "it is not trusted");
    let attempts = || metric(&gateway, "vertex_bridge_upstream_attempts_total");
    let before = attempts();
    assert_eq!(model(&ask(own, "x-vertex-bridge-upstream: b\r\n")), "b");
    assert_eq!(attempts() - before, 1, "nobody else was asked");
    let before = attempts();
    assert_eq!(model(&ask(own, "x-vertex-bridge-retries: 2\r\n")), "b");
    assert_eq!(attempts() - before, 4);
    for fields in ["upstream: z", "retries: 99", "fallbacks: x", "first-token: 5"] {
        let answer = ask(own, &format!("x-vertex-bridge-{fields}\r\n"));
        assert_eq!(
            (answer.status, code_of(&answer)),
            (400, "invalid_value".to_owned()),
            "{fields}"
        );
    }
}

#[test]
fn a_key_runs_no_more_at_a_time_than_it_may() {
    let keys = "[[key]]\nname = \"own\"\nsecret = \"0123456789abcdef\"\nconcurrency = 2\n";
    let route = "[[route]]\nmodel = \"m\"\ntargets = [ { upstream = \"a\", model = \"a\" } ]\n";
    for flavour in FLAVOURS {
        let gateway = gateway(flavour, &[Manner::Good(1200)], &format!("{keys}{route}"));
        let ask = || ask_with(&gateway, "authorization: Bearer 0123456789abcdef\r\n");
        let statuses = thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(|| ask().status));
            let mut statuses = all.map(|one| one.join().expect("an answer"));
            statuses.sort_unstable();
            statuses
        });
        assert_eq!(statuses, [200, 200, 429, 429]);
        assert_eq!(ask().status, 200, "the turns are back");
        assert_eq!(metric(&gateway, "vertex_bridge_limited_total{limit=\"concurrency\"}"), 2);
    }
}

#[test]
fn a_stream_that_is_too_slow_has_failed() {
    let route = "[timeouts]\nslow_stream = 2000\n[[route]]\nmodel = \"m\"\ntargets = [ { upstream = \"a\", model = \"a\" } ]\n";
    let gateway = gateway(FLAVOURS[0], &[Manner::Drips], route);
    let began = Instant::now();
    let mut client: Client = gateway.client();
    client.send(&post(r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#));
    let answer = client.answer().expect("an answer");
    assert!(answer.body.contains("upstream_timeout"), "{answer:?}");
    assert!((10..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
