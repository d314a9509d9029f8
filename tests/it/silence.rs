//! What a client of a silent upstream gets to read, on the virtual executor.

#![expect(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::future::Future;
use std::time::Duration;

use vertex_bridge::config::{Config, Sources};
use vertex_bridge::net::{Security, Stream};
use vertex_bridge::proxy;
use vertex_bridge::rt::virt::{Faults, Virt, VirtConn, VirtSocket};
use vertex_bridge::rt::{Listener, Runtime, mailbox};
use vertex_bridge::simulator;

use crate::shard_sim::{
    Conned, Inbox, PATIENCE, gateway_address, gemini, request, send, shard_with, upstream_address,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const PING: &str = ": ping\n\n";

/// What a client was told.
struct Told {
    /// When its head was there.
    after: Duration,
    head: String,
    body: String,
    /// Did the connection end behind it?
    closed: bool,
}

/// One upstream of this kind, and another of its models to fall back on. What has no timeout here
/// does not end by one.
fn config(kind: &str, early_head: &str, more: &str) -> Config {
    let file = format!(
        "[timeouts]\nfirst_byte = \"10m\"\nidle = \"60s\"\n[retry]\nattempts = 0\n\
         [stream]\nearly_head = \"{early_head}\"\n{more}\
         [[upstream]]\nname = \"up\"\nkind = \"{kind}\"\napi_key = \"k\"\n\
         base_url = \"http://127.0.0.1:8080\"\n\
         [[route]]\nmodel = \"*\"\ntargets = [{{ upstream = \"up\" }}]\n\
         fallbacks = [{{ upstream = \"up\", model = \"second\" }}]\n"
    );
    let sources = Sources {
        file: Some(("silence.toml", &file)),
        flags: &[],
        variables: &[("APP_LOG__LEVEL".to_owned(), "error".to_owned())],
        read_file: &|_| Err("no files here".to_owned()),
    };
    Config::load(&sources).expect("the configuration is valid")
}

/// What a client gets to read in front of this upstream, who asks for a stream.
fn told<U: Future<Output = ()> + 'static>(
    config: Config,
    upstream: impl FnOnce(Virt) -> U,
) -> Told {
    let rt = Virt::new(1, Faults::default());
    let shard = shard_with(&rt, 1, config, Security::default());
    let (_letters_in, letters) = mailbox();
    let listener = rt.listen(VirtSocket(gateway_address())).expect("listens");
    let (world, upstream) = (rt.clone(), upstream(rt.clone()));
    let told = rt.run(async move {
        world.spawn(upstream);
        world.spawn(proxy::run(shard, listener, letters, PATIENCE));
        let conn = Stream::Plain(world.connect(gateway_address()).await.expect("connects"));
        let mut inbox = Inbox { rt: world.clone(), conn, bytes: Vec::new() };
        let began = world.now();
        assert!(send(&inbox.conn, &request("1x1", true, false)).await);
        let head = inbox.until(b"\r\n\r\n").await?;
        let after = world.now().since(began);
        inbox.bytes.splice(..0, head);
        let (head, body) = inbox.message().await?;
        let ended = world.now();
        let closed = !inbox.more().await && world.now().since(ended) < PATIENCE;
        Some(Told { after, head, body, closed })
    });
    told.expect("the world goes on").expect("an answer")
}

/// The same of Google's, without an early head.
fn overheard<U: Future<Output = ()> + 'static>(upstream: impl FnOnce(Virt) -> U) -> String {
    let body = told(config("gemini", "off", ""), upstream).body;
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    body
}

/// The next connection to the upstream, and its first request.
async fn asked(rt: &Virt, listener: &impl Listener<Accepted = VirtConn>) -> (Conned, String) {
    let conn = Stream::Plain(listener.accept().await.expect("a connection").0);
    let mut inbox = Inbox { rt: rt.clone(), conn, bytes: Vec::new() };
    let (head, _) = inbox.message().await.expect("a request");
    (inbox.conn, head)
}

fn event(finish: bool) -> String {
    format!("data: {}\r\n\r\n", gemini("word ", finish))
}

#[test]
fn a_client_of_a_silent_stream_is_told_that_it_lives() {
    let (tokens, token_interval) = (3, Duration::from_secs(35));
    let options = simulator::Options { tokens, token_interval, ..simulator::Options::default() };
    let body = overheard(|rt| async move {
        let vendor = simulator::serve(rt, VirtSocket(upstream_address()), options).await;
        assert!(vendor.is_ok());
    });
    // Two silences of 35 seconds have two pings each; the third is between the last token and
    // the end of the body.
    assert_eq!(body.matches(PING).count(), 6, "{body}");
}

#[test]
fn so_is_one_whose_upstream_says_nothing_new() {
    let body = overheard(|rt| async move {
        let listener = rt.listen(VirtSocket(upstream_address())).expect("listens");
        let (conn, _) = asked(&rt, &listener).await;
        assert!(send(&conn, format!("{HEAD}{}", event(false)).as_bytes()).await);
        for _ in 0..5 {
            rt.sleep(Duration::from_secs(8)).await;
            assert!(send(&conn, b": still here\n\n").await);
        }
        assert!(send(&conn, event(true).as_bytes()).await);
    });
    assert_eq!(body.matches(PING).count(), 2, "{body}");
}

/// An upstream whose head comes after so many seconds, and all its words after so many.
async fn late(rt: Virt, (head_after, words_after): (u64, u64), words: String) {
    let listener = rt.listen(VirtSocket(upstream_address())).expect("listens");
    let (conn, _) = asked(&rt, &listener).await;
    rt.sleep(Duration::from_secs(head_after)).await;
    assert!(send(&conn, HEAD.as_bytes()).await);
    rt.sleep(Duration::from_secs(words_after - head_after)).await;
    assert!(send(&conn, words.as_bytes()).await);
}

#[test]
fn an_early_head_comes_before_the_vendors_and_silence_behind_it_is_filled() {
    for head_after in [0, 20, 50] {
        let words = format!("{}{}", event(false), event(true));
        let told = told(config("gemini", "5s", ""), |rt| late(rt, (head_after, 50), words));
        assert_eq!(told.after.as_secs(), 5);
        assert!(told.head.contains("content-type: text/event-stream"), "{}", told.head);
        assert!(told.body.starts_with(&format!("{PING}{PING}{PING}data: {{")), "{}", told.body);
        assert!(told.body.ends_with("data: [DONE]\n\n") && !told.closed, "{}", told.body);
        assert_eq!(told.body.matches(PING).count(), 3, "{}", told.body);
    }
}

#[test]
fn a_head_that_is_not_early_comes_with_the_first_word() {
    for early in ["off", "1m"] {
        let words = format!("{}{}", event(false), event(true));
        let told = told(config("gemini", early, ""), |rt| late(rt, (0, 25), words));
        assert_eq!(told.after.as_secs(), 25);
        assert!(told.head.contains("server-timing"), "{}", told.head);
        assert_eq!(told.body.matches(PING).count(), 0, "{}", told.body);
    }
}

#[test]
fn where_bytes_pass_an_early_head_is_followed_by_the_vendors_bytes_alone() {
    let words = "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\
                 \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let told = told(config("openai", "5s", ""), |rt| late(rt, (20, 30), words.to_owned()));
    assert_eq!((told.after.as_secs(), told.body.as_str()), (5, words));
}

#[test]
fn what_fails_behind_an_early_head_is_an_event_and_others_are_asked_before() {
    let busy = "HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for second_answers in [false, true] {
        let told = told(config("gemini", "5s", ""), |rt| async move {
            let listener = rt.listen(VirtSocket(upstream_address())).expect("listens");
            let (conn, head) = asked(&rt, &listener).await;
            assert!(!head.contains("second"), "{head}");
            rt.sleep(Duration::from_secs(8)).await;
            assert!(send(&conn, busy.as_bytes()).await);
            drop(conn);
            let (conn, head) = asked(&rt, &listener).await;
            assert!(head.contains("second"), "{head}");
            let answer = format!("{HEAD}{}", event(true));
            let answer = if second_answers { &answer } else { busy };
            assert!(send(&conn, answer.as_bytes()).await);
        });
        assert_eq!(told.after.as_secs(), 5);
        assert!(told.head.starts_with("http/1.1 200 "), "{}", told.head);
        let ends = told.body.ends_with("data: [DONE]\n\n");
        assert_eq!((ends, told.closed), (second_answers, !second_answers), "{}", told.body);
        if !second_answers {
            assert!(told.body.starts_with("data: {\"error\":{"), "{}", told.body);
            assert_eq!(told.body.matches("data: ").count(), 1, "{}", told.body);
        }
    }
}

#[test]
fn of_two_candidates_that_are_asked_at_once_neither_speaks_into_an_early_head() {
    for faster in [0, 1] {
        let config = config("gemini", "5s", "[fallback]\nafter = \"7s\"\n");
        let told = told(config, |rt| async move {
            let listener = rt.listen(VirtSocket(upstream_address())).expect("listens");
            let pair = [asked(&rt, &listener).await, asked(&rt, &listener).await];
            rt.sleep(Duration::from_secs(20)).await;
            let (conn, _) = &pair[faster];
            let words = format!("{HEAD}{}{}", event(false), event(true));
            assert!(send(conn, words.as_bytes()).await);
        });
        assert_eq!(told.after.as_secs(), 5);
        assert_eq!(told.body.matches(PING).count(), 1, "{}", told.body);
        assert!(told.body.ends_with("data: [DONE]\n\n") && !told.closed, "{}", told.body);
    }
}
