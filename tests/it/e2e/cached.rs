//! Answers that are given again, and identical requests at one time.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use super::client::{Answer, Client, get, post_to};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::upstream::{EVENTS, Seen, Upstream};

const DEVELOPMENT: &str = "sk-vertex-bridge-dev";

fn key(number: usize) -> String {
    format!("sk-key-{number:03}-0123456789abcdef")
}

/// A chat request with more members and more lines in its head.
fn chat(key: &str, content: &str, members: &str, lines: &str) -> Vec<u8> {
    let body = format!(
        "{{\"model\":\"gemini-2.5-flash\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]{members}}}"
    );
    let request = String::from_utf8(post_to("/v1/chat/completions", key, &body)).expect("text");
    request.replacen("host: localhost\r\n", &format!("host: localhost\r\n{lines}"), 1).into_bytes()
}

const COLD: &str = ",\"temperature\":0";
const STREAM: &str = ",\"temperature\":0,\"stream\":true";

/// A gateway with a cache before this upstream, two keys and more lines.
fn gateway(flavour: Flavour, upstream: &Upstream, lines: &str) -> Gateway {
    let keys: String = (0..2)
        .map(|number| format!("[[key]]\nname = \"k{number}\"\nsecret = \"{}\"\n", key(number)))
        .collect();
    let text = format!(
        "[rate_limit]\ncapacity = 100000\n[vertex]\napi_key = \"AIzaSyD-end-to-end\"\n\
         api_key_base_url = \"http://{}\"\n[retry]\nattempts = 0\n[cache]\nenabled = true\n{lines}\n{keys}",
        upstream.address
    );
    Gateway::written(flavour, &text, "0,1")
}

fn source(answer: &Answer) -> &str {
    answer.field("x-vertex-bridge-cache").unwrap_or("-")
}

/// How many requests the upstream has seen since.
fn seen(upstream: &Receiver<Seen>) -> usize {
    upstream.try_iter().filter(|seen| matches!(seen, Seen::Request(..))).count()
}

/// The page of the metrics, for which these gateways want a key.
fn metric(gateway: &Gateway, name: &str) -> u64 {
    let request = String::from_utf8(get("/metrics/prometheus")).expect("text");
    let bearer = format!("host: localhost\r\nauthorization: Bearer {}", key(0));
    let page = gateway.ask(request.replace("host: localhost", &bearer).as_bytes()).body;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    let value = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    value.split('.').next().and_then(|whole| whole.parse().ok()).expect("a number")
}

#[test]
fn an_answer_is_given_again_to_the_same_question_of_the_same_key() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let gateway = gateway(flavour, &upstream, "");
        let ask = |number: usize, members: &str, lines: &str| {
            gateway.ask(&chat(&key(number), "hi", members, lines))
        };
        let first = ask(0, COLD, "");
        assert_eq!((first.status, source(&first)), (200, "miss"), "{}", first.body);
        let spaced = " , \"user\" : \"me\" ,\n \"temperature\" : 0";
        for members in [COLD, spaced] {
            let again = ask(0, members, "");
            assert_eq!((again.status, source(&again)), (200, "hit"), "{}", again.head);
            assert_eq!(again.body, first.body);
            assert_eq!(again.field("age"), Some("0"));
            assert_ne!(again.field("x-request-id"), first.field("x-request-id"));
        }
        assert_eq!(seen(&upstream.seen), 1);
        // Another key, another question, another answer that is wanted: all ask for themselves.
        for (number, members, lines, expected) in [
            (1, COLD, "", "miss"),
            (0, ",\"temperature\":0,\"max_tokens\":9", "", "miss"),
            (0, STREAM, "", "miss"),
            (0, COLD, "cache-control: no-cache\r\n", "miss"),
            (0, "", "", "bypass"),
            (0, COLD, "cache-control: no-store\r\n", "bypass"),
            (0, COLD, "x-vertex-bridge-cache: off\r\n", "bypass"),
            (0, "", "x-vertex-bridge-cache: on\r\n", "miss"),
        ] {
            let answer = ask(number, members, lines);
            assert_eq!((answer.status, source(&answer)), (200, expected), "{members} {lines}");
            assert_eq!(seen(&upstream.seen), 1, "{members} {lines}");
        }
        let wished = ask(0, "", "x-vertex-bridge-cache: on\r\n");
        assert_eq!((source(&wished), seen(&upstream.seen)), ("hit", 0));
        let wrong = ask(0, COLD, "x-vertex-bridge-cache: maybe\r\n");
        assert_eq!(wrong.status, 400, "{}", wrong.body);
        let only = |content: &str| {
            gateway.ask(&chat(&key(0), content, COLD, "cache-control: only-if-cached\r\n"))
        };
        assert_eq!(source(&only("hi")), "hit");
        let none = only("never asked");
        assert_eq!((none.status, seen(&upstream.seen)), (504, 0), "{}", none.body);
        assert_eq!(none.json()["error"]["code"], "not_cached");
        assert_eq!(metric(&gateway, "cache_hits_total"), 4);
        assert_eq!(metric(&gateway, "cache_misses_total"), 7);
        assert_eq!(metric(&gateway, "vertex_bridge_cache_entries"), 5);
    }
}

#[test]
fn a_stream_is_given_again_as_a_stream() {
    let upstream = Upstream::start();
    let gateway = gateway(Flavour::Uring, &upstream, "");
    let usage = ",\"temperature\":0,\"stream\":true,\"stream_options\":{\"include_usage\":true}";
    for members in [STREAM, usage] {
        let ask = || gateway.ask(&chat(&key(0), "hi", members, ""));
        let (first, again) = (ask(), ask());
        assert_eq!((source(&first), source(&again)), ("miss", "hit"));
        for answer in [&first, &again] {
            assert_eq!(answer.field("content-type"), Some("text/event-stream; charset=utf-8"));
            assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
            assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
            assert_eq!(answer.body.contains("\"total_tokens\""), members == usage);
        }
        assert_eq!(first.body, again.body);
        assert!(first.body.matches("data: {").count() > EVENTS.len());
    }
    // An old client gets it without chunks.
    let old = String::from_utf8(chat(&key(0), "hi", STREAM, "")).expect("text");
    let mut client = gateway.client();
    client.send(old.replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.stream, &mut text).expect("it ends");
    assert!(text.contains("x-vertex-bridge-cache: hit") && text.ends_with("data: [DONE]\n\n"));
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[test]
fn answers_that_failed_or_were_withheld_are_not_given_again() {
    let upstream = Upstream::start();
    let gateway = gateway(Flavour::Uring, &upstream, "");
    for (content, members) in
        [("status:500", COLD), ("cut:100", COLD), ("cut:300", STREAM), ("status:400", STREAM)]
    {
        for _ in 0..2 {
            let answer = gateway.ask(&chat(&key(0), content, members, ""));
            assert_eq!(source(&answer), "miss", "{content}: {}", answer.head);
            assert_eq!(seen(&upstream.seen), 1, "{content}");
        }
    }
    assert_eq!(metric(&gateway, "vertex_bridge_cache_entries"), 0);
}

/// So many clients, on connections of their own, ask the same at one time.
fn together(gateway: &Gateway, clients: usize, request: &[u8]) -> Vec<Client> {
    let mut all: Vec<Client> = (0..clients).map(|_| gateway.client()).collect();
    all.iter_mut().for_each(|client| client.send(request));
    all
}

#[test]
fn a_thousand_identical_requests_make_one_call_also_when_the_first_client_leaves() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let gateway = gateway(flavour, &upstream, "");
        for (round, members) in [COLD, STREAM].into_iter().enumerate() {
            for leaves in [false, true] {
                let content = format!("wait:{}", 2500 + round);
                let request = chat(&key(usize::from(leaves)), &content, members, "");
                let mut leader = gateway.client();
                leader.send(&request);
                // It leads: its question has arrived.
                let asked = upstream.seen.recv_timeout(Duration::from_secs(20));
                assert!(matches!(asked, Ok(Seen::Request(..))), "{asked:?}");
                let followers = together(&gateway, 999, &request);
                let own = if leaves {
                    thread::sleep(Duration::from_millis(500));
                    drop(leader);
                    None
                } else {
                    Some(leader.answer().expect("an answer"))
                };
                let mut sources = BTreeMap::new();
                let mut bodies = own.into_iter().map(|own| own.body).collect::<Vec<_>>();
                for mut follower in followers {
                    let answer = follower.answer().expect("an answer");
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    *sources.entry(source(&answer).to_owned()).or_insert(0) += 1;
                    bodies.push(answer.body);
                }
                bodies.dedup();
                assert_eq!(bodies.len(), 1, "{flavour:?}: all get the same");
                assert_eq!(seen(&upstream.seen), 0, "{flavour:?}: one call in all {sources:?}");
                let coalesced = sources.get("coalesced").copied().unwrap_or(0);
                let hits = sources.get("hit").copied().unwrap_or(0);
                assert!(coalesced > 500 && coalesced + hits == 999, "{flavour:?} {sources:?}");
            }
        }
        assert_eq!(metric(&gateway, "vertex_bridge_bugs_total"), 0);
    }
}

#[test]
fn a_call_that_nobody_waits_for_any_more_is_let_go() {
    let upstream = Upstream::start();
    let gateway = gateway(Flavour::Uring, &upstream, "");
    for members in [STREAM, COLD] {
        let request = chat(&key(0), "stall:50", members, "");
        let clients = together(&gateway, 10, &request);
        let asked = upstream.seen.recv_timeout(Duration::from_secs(20));
        assert!(matches!(asked, Ok(Seen::Request(..))), "{asked:?}");
        thread::sleep(Duration::from_millis(300));
        drop(clients);
        let left = upstream.seen.recv_timeout(Duration::from_secs(20));
        assert!(matches!(left, Ok(Seen::Left(_))), "{left:?}");
    }
}

#[test]
fn who_asked_first_and_reads_nothing_delays_nobody() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let gateway = gateway(flavour, &upstream, "");
        // Much more than the kernel takes for a client that does not read.
        let request = chat(&key(0), "late:16000000", COLD, "");
        let mut leader = gateway.client();
        leader.send(&request);
        let asked = upstream.seen.recv_timeout(Duration::from_secs(20));
        assert!(matches!(asked, Ok(Seen::Request(..))), "{asked:?}");
        for mut follower in together(&gateway, 3, &request) {
            let answer = follower.answer().expect("an answer");
            assert_eq!((answer.status, source(&answer)), (200, "coalesced"), "{flavour:?}");
            assert!(answer.body.len() > 16_000_000);
        }
        assert_eq!(leader.answer().map(|answer| answer.status), Some(200));
        assert_eq!(seen(&upstream.seen), 0, "{flavour:?}: one call in all");
    }
}

#[test]
fn all_who_ask_the_same_are_told_of_its_failure() {
    let upstream = Upstream::start();
    let gateway = gateway(Flavour::Uring, &upstream, "");
    let request = chat(&key(0), "fail:1000", COLD, "");
    let mut statuses = BTreeMap::new();
    for mut client in together(&gateway, 50, &request) {
        let answer = client.answer().expect("an answer");
        *statuses.entry((answer.status, source(&answer).to_owned())).or_insert(0) += 1;
    }
    let expected = [((500, "coalesced".to_owned()), 49), ((500, "miss".to_owned()), 1)];
    assert_eq!(statuses, expected.into_iter().collect());
    assert_eq!(seen(&upstream.seen), 1);
}

#[test]
fn a_shared_cache_is_shared_and_a_route_can_opt_out() {
    let upstream = Upstream::start();
    let shared = gateway(Flavour::Uring, &upstream, "scope = \"shared\"");
    let ask = |gateway: &Gateway, number: usize, members: &str| {
        source(&gateway.ask(&chat(&key(number), "hi", members, ""))).to_owned()
    };
    assert_eq!((ask(&shared, 0, COLD), ask(&shared, 1, COLD)), ("miss".into(), "hit".into()));
    let route = |word: &str| {
        format!(
            "[[route]]\nmodel = \"gemini-*\"\ncache = \"{word}\"\ntargets = [{{ upstream = \"google\" }}]\n"
        )
    };
    let on = gateway(Flavour::Uring, &upstream, &route("on"));
    assert_eq!((ask(&on, 0, ""), ask(&on, 0, "")), ("miss".into(), "hit".into()));
    let off = gateway(Flavour::Uring, &upstream, &route("off"));
    assert_eq!(ask(&off, 0, COLD), "bypass");
    let none = Gateway::before(Flavour::Uring, upstream.address, &[]);
    assert_eq!(source(&none.ask(&chat(DEVELOPMENT, "hi", COLD, ""))), "-");
}

#[test]
fn memory_stays_within_the_bound_whatever_is_asked() {
    let upstream = Upstream::start();
    let gateway =
        gateway(Flavour::Uring, &upstream, "max_bytes = \"256KiB\"\nmax_entry_bytes = \"16KiB\"");
    let mut client = gateway.client();
    for number in 0..600 {
        client.send(&chat(&key(0), &format!("long:4000 {number}"), COLD, ""));
        assert_eq!(source(&client.answer().expect("an answer")), "miss");
    }
    let bytes = metric(&gateway, "vertex_bridge_cache_bytes");
    assert!((100_000..=262_144).contains(&bytes), "{bytes}");
    assert!(metric(&gateway, "vertex_bridge_cache_evictions_total") > 500);
}
