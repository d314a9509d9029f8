//! Routes with several candidates: retries, fallbacks to other vendors, circuits, queues.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Answer, Client, get, post};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::replay::{self, Asked, Reply};

const GOOD: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"first","choices":[{"index":0,"message":{"role":"assistant","content":"from the first"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
const CLAUDE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"second","content":[{"type":"text","text":"from the second"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}"#;

/// An OpenAI upstream first, an Anthropic one as its fallback; both are this replay.
fn configuration(first: &str, second: &str, more: &str) -> String {
    format!(
        r#"
{more}
[[upstream]]
name = "first"
kind = "openai"
base_url = "http://{first}/v1"
api_key = "sk-first-0123456789"
[[upstream]]
name = "second"
kind = "anthropic"
base_url = "http://{second}"
api_key = "sk-second-0123456789"
[[route]]
model = "alone"
targets = [{{ upstream = "first", model = "first" }}]
[[route]]
model = "both"
targets = [{{ upstream = "first", model = "first" }}]
fallbacks = [{{ upstream = "second", model = "second" }}]
"#
    )
}

struct Course {
    gateway: Gateway,
    /// What the first upstream was asked, and the second.
    asked: [Asked; 2],
}

impl Course {
    fn start(
        flavour: Flavour,
        first: &[(&str, Vec<Reply>)],
        second: &[(&str, Vec<Reply>)],
        more: &str,
    ) -> Self {
        let script = |cases: &[(&str, Vec<Reply>)]| -> HashMap<String, Vec<Reply>> {
            cases.iter().map(|(name, replies)| ((*name).to_owned(), replies.clone())).collect()
        };
        let (first, asked_first) = replay::start_script(script(first));
        let (second, asked_second) = replay::start_script(script(second));
        let text = configuration(&first.to_string(), &second.to_string(), more);
        let gateway = Gateway::written(flavour, &text, "0");
        Self { gateway, asked: [asked_first, asked_second] }
    }

    fn ask(&self, model: &str, case: &str, stream: bool) -> Answer {
        self.gateway.ask(&request(model, case, stream))
    }

    /// How often each upstream has been asked for a case.
    fn asked(&self, case: &str) -> [usize; 2] {
        let count = |asked: &Asked| {
            asked.lock().expect("nobody panics").get(case).copied().unwrap_or_default()
        };
        [count(&self.asked[0]), count(&self.asked[1])]
    }
}

fn request(model: &str, case: &str, stream: bool) -> Vec<u8> {
    post(&format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":9,"messages":[{{"role":"user","content":"case:{case}"}}]}}"#
    ))
}

fn good() -> Reply {
    Reply::whole(200, "", GOOD)
}

fn claude() -> Reply {
    Reply::whole(200, "", CLAUDE)
}

fn failing(status: u16, fields: &str, code: &str) -> Reply {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    let body = format!(r#"{{"error":{{"message":"as asked","type":"{kind}","code":"{code}"}}}}"#);
    Reply::whole(status, fields, &body)
}

#[test]
fn what_may_be_repeated_is_and_nothing_else() {
    let cases = [
        ("once", vec![failing(503, "", "x"), good()], 200, 2),
        ("forever", vec![failing(500, "", "x")], 500, 3),
        ("mine", vec![failing(400, "", "x"), good()], 400, 1),
        ("policy", vec![failing(400, "", "content_policy_violation"), good()], 400, 1),
        ("key", vec![failing(401, "", "invalid_api_key"), good()], 502, 1),
        ("later", vec![failing(429, "retry-after: 1\r\n", "x"), good()], 200, 2),
        ("much-later", vec![failing(429, "retry-after: 60\r\n", "x"), good()], 429, 1),
        (
            "cut",
            vec![Reply { close: true, ..Reply::whole(200, "content-length: 999\r\n", "") }],
            502,
            1,
        ),
    ];
    let first: Vec<_> = cases.iter().map(|(name, replies, ..)| (*name, replies.clone())).collect();
    for flavour in FLAVOURS {
        let course = Course::start(flavour, &first, &[], "");
        for (name, _, status, asked) in &cases {
            let began = Instant::now();
            let answer = course.ask("alone", name, false);
            assert_eq!(
                (answer.status, course.asked(name)[0]),
                (*status, *asked),
                "{name}: {answer:?}"
            );
            let took = began.elapsed();
            assert!(*name != "later" || took >= Duration::from_secs(1), "{took:?}");
            if *name == "forever" {
                assert_eq!(answer.field("x-should-retry"), Some("false"), "we have tried already");
            }
        }
        assert_eq!(course.gateway.metric("vertex_bridge_bugs_total"), 0);
    }
}

#[test]
fn a_fallback_of_another_vendor_answers_where_it_may() {
    let cases = [
        ("busy", failing(503, "", "x"), [3, 1], "from the second"),
        ("long", failing(400, "", "context_length_exceeded"), [1, 1], "from the second"),
        ("key", failing(401, "", "invalid_api_key"), [1, 1], "from the second"),
        ("unknown", failing(404, "", "model_not_found"), [1, 1], "from the second"),
        ("garbage", Reply::whole(200, "", "<html>"), [1, 1], "from the second"),
        ("policy", failing(400, "", "content_policy_violation"), [1, 0], "as asked"),
        ("mine", failing(400, "", "x"), [1, 0], "as asked"),
    ];
    let first: Vec<_> =
        cases.iter().map(|(name, reply, ..)| (*name, vec![reply.clone()])).collect();
    let second: Vec<_> = cases.iter().map(|(name, ..)| (*name, vec![claude()])).collect();
    for flavour in FLAVOURS {
        // What is refused for its key is asked last for a while, which is not what this is about.
        let course =
            Course::start(flavour, &first, &second, "[circuit_breaker]\ntimeout_secs = 1\n");
        for (name, _, asked, text) in &cases {
            let answer = course.ask("both", name, false);
            assert!(answer.body.contains(text), "{name}: {answer:?}");
            assert_eq!(course.asked(name), *asked, "{name}");
            if *text == "from the second" {
                assert_eq!(answer.json()["model"], "second", "a fallback shows");
                assert_eq!(answer.json()["usage"]["total_tokens"], 3);
            }
            thread::sleep(Duration::from_millis(if *name == "key" { 1100 } else { 0 }));
        }
    }
}

#[test]
fn a_stream_that_has_said_nothing_yet_falls_over_too() {
    let events = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"second\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"from the second\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let begun =
        b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begun\"}}]}\n\n";
    let first = [
        ("empty", vec![Reply::stream(b"", 0, false)]),
        ("comment", vec![Reply::stream(b": hello\n\n", 9, false)]),
        ("begun", vec![Reply::stream(begun, begun.len(), false)]),
    ];
    let second = ["empty", "comment", "begun"]
        .map(|name| (name, vec![Reply::stream(events.as_bytes(), events.len(), true)]));
    for flavour in FLAVOURS {
        let course = Course::start(flavour, &first, &second, "[fallback]\nresume = \"off\"\n");
        for name in ["empty", "comment"] {
            let answer = course.ask("both", name, true);
            assert!(answer.body.contains("from the second"), "{name}: {answer:?}");
            assert!(answer.body.ends_with("data: [DONE]\n\n"), "{answer:?}");
        }
        let answer = course.ask("both", "begun", true);
        assert!(answer.body.contains("begun") && answer.body.contains("upstream_truncated"));
        assert!(!answer.body.contains("from the second") && !answer.body.contains("[DONE]"));
        assert_eq!(course.asked("begun"), [1, 0]);
    }
}

#[test]
fn a_circuit_opens_and_closes_again_by_probes() {
    let settings = "[circuit_breaker]\nfailure_threshold = 3\ntimeout_secs = 1\nsuccess_threshold = 2\n\
                    [retry]\nattempts = 0\n";
    let bad = || failing(500, "", "x");
    let first = [("x", vec![bad(), bad(), bad(), good()])];
    for flavour in FLAVOURS {
        let course = Course::start(flavour, &first, &[("x", vec![claude()])], settings);
        let ready =
            || course.gateway.ask(&get("/health/ready")).json()["upstreams"]["first"].clone();
        assert_eq!(ready(), "usable");
        for _ in 0..3 {
            assert_eq!(course.ask("alone", "x", false).status, 500);
        }
        assert_eq!(ready(), "circuit_open");
        let shut = course.ask("alone", "x", false);
        assert_eq!(
            (shut.status, &shut.json()["error"]["code"]),
            (503, &"upstream_unavailable".into())
        );
        assert_eq!(shut.field("retry-after"), Some("1"));
        assert!(course.ask("both", "x", false).body.contains("from the second"));
        assert_eq!(course.asked("x"), [3, 1], "the first one is left alone");
        thread::sleep(Duration::from_millis(1100));
        assert_eq!(course.ask("alone", "x", false).status, 200, "a probe");
        assert_eq!(ready(), "circuit_half_open");
        assert_eq!(course.ask("alone", "x", false).status, 200);
        assert_eq!(ready(), "usable");
        let page = course.gateway.ask(&get("/metrics/prometheus")).body;
        assert!(page.contains("vertex_bridge_upstream_circuit{provider=\"first\",shard=\"0\"} 0"));
    }
}

#[test]
fn a_full_upstream_has_a_queue_and_a_full_queue_refuses_at_once() {
    let slow = Reply { wait: Some(Duration::from_secs(1)), ..good() };
    let settings = "[limits]\nupstream_concurrency = 2\nqueue = 2\nqueue_age = \"5s\"\n";
    for flavour in FLAVOURS {
        let course = Course::start(flavour, &[("slow", vec![slow.clone()])], &[], settings);
        let began = Instant::now();
        let statuses = thread::scope(|scope| {
            let one = || {
                let answer = course.ask("alone", "slow", false);
                (answer.status, began.elapsed(), answer.field("retry-after").is_some())
            };
            let clients: [_; 6] = std::array::from_fn(|_| {
                thread::sleep(Duration::from_millis(20));
                scope.spawn(one)
            });
            clients.map(|client| client.join().expect("it ends"))
        });
        let served = statuses.iter().filter(|(status, ..)| *status == 200).count();
        let refused: Vec<_> = statuses.iter().filter(|(status, ..)| *status == 503).collect();
        assert_eq!((served, refused.len()), (4, 2), "{statuses:?}");
        for (_, took, told) in refused {
            assert!(*took < Duration::from_millis(950) && *told, "{statuses:?}");
        }
        let last = statuses.iter().map(|(_, took, _)| *took).max().expect("some");
        assert!(last >= Duration::from_secs(2), "two waited for a place: {statuses:?}");
    }
}

#[test]
fn who_waits_too_long_or_leaves_gives_its_place_up() {
    let slow = Reply { wait: Some(Duration::from_millis(1500)), ..good() };
    let settings = "[limits]\nupstream_concurrency = 1\nqueue = 5\nqueue_age = \"200ms\"\n";
    for flavour in FLAVOURS {
        let course = Course::start(flavour, &[("slow", vec![slow.clone()])], &[], settings);
        thread::scope(|scope| {
            let running = scope.spawn(|| course.ask("alone", "slow", false).status);
            thread::sleep(Duration::from_millis(300));
            let began = Instant::now();
            let mut leaver = Client::connect(course.gateway.address);
            leaver.send(&request("alone", "slow", false));
            drop(leaver);
            let late = course.ask("alone", "slow", false);
            assert_eq!((late.status, &late.json()["error"]["code"]), (503, &"overloaded".into()));
            assert!(began.elapsed() < Duration::from_millis(1100), "{:?}", began.elapsed());
            assert_eq!(running.join().expect("it ends"), 200);
        });
        assert_eq!(course.ask("alone", "slow", false).status, 200, "the place is free again");
        assert_eq!(course.asked("slow")[0], 2, "who left was never served");
        assert_eq!(course.gateway.metric("vertex_bridge_bugs_total"), 0);
    }
}
