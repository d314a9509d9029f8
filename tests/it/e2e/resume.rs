//! Streams that break off and go on at another candidate, and candidates that are asked at once.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Answer, post};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::replay::{self, Asked, Reply};

const TEXT: &str = "Grüße, \"wörld\": one two 😀 three";

/// Three upstreams; the routes are named after what comes second.
fn configuration(addresses: &[String; 3], more: &str) -> String {
    let [first, claude, other] = addresses;
    format!(
        r#"
{more}
[[upstream]]
name = "first"
kind = "openai"
base_url = "http://{first}/v1"
[[upstream]]
name = "first-claude"
kind = "anthropic"
base_url = "http://{first}"
api_key = "sk-first-0123456789"
[[upstream]]
name = "claude"
kind = "anthropic"
base_url = "http://{claude}"
api_key = "sk-second-0123456789"
[[upstream]]
name = "other"
kind = "openai"
base_url = "http://{other}/v1"
[[route]]
model = "claude"
targets = [{{ upstream = "first", model = "first" }}]
fallbacks = [{{ upstream = "claude", model = "claude" }}]
[[route]]
model = "other"
targets = [{{ upstream = "first", model = "first" }}]
fallbacks = [{{ upstream = "other", model = "other" }}]
[[route]]
model = "claude-first"
targets = [{{ upstream = "first-claude", model = "first" }}]
fallbacks = [{{ upstream = "other", model = "other" }}]
"#
    )
}

struct Stage {
    gateway: Gateway,
    asked: [Asked; 3],
}

type Script = Vec<(String, Vec<Reply>)>;

impl Stage {
    fn start(flavour: Flavour, scripts: [Script; 3], more: &str) -> Self {
        let started = scripts
            .map(|script| replay::start_script(script.into_iter().collect::<HashMap<_, _>>()));
        let addresses = [0, 1, 2].map(|at| started[at].0.to_string());
        // What breaks off on purpose must not open a circuit.
        let more = format!(
            "[circuit_breaker]\nfailure_threshold = 100000\n[rate_limit]\ncapacity = 100000\n{more}"
        );
        let gateway = Gateway::written(flavour, &configuration(&addresses, &more), "0");
        Self { gateway, asked: started.map(|(_, asked)| asked) }
    }

    fn ask(&self, model: &str, case: &str) -> Answer {
        self.ask_with("", model, case)
    }

    fn ask_with(&self, field: &str, model: &str, case: &str) -> Answer {
        self.gateway.ask(&post(&format!(
            r#"{{"model":"{model}","stream":true,{field}"messages":[{{"role":"user","content":"case:{case}"}}]}}"#
        )))
    }

    fn asked(&self, place: usize, case: &str) -> usize {
        self.asked[place].lock().expect("nobody panics").get(case).copied().unwrap_or_default()
    }
}

/// OpenAI's stream of these deltas.
fn openai(deltas: &[String], finish: &str) -> Vec<u8> {
    let head = r#""id":"c1","object":"chat.completion.chunk","created":1,"model":"m""#;
    let mut out = String::new();
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    out += &chunk(r#"{"role":"assistant","content":""}"#, "null");
    for delta in deltas {
        out += &chunk(delta, "null");
    }
    out += &chunk("{}", &format!("{finish:?}"));
    out += "data: [DONE]\n\n";
    out.into_bytes()
}

/// The text in pieces of so many characters, all but plain ones escaped if wanted.
fn pieces(text: &str, length: usize, escape: bool) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let spell = |piece: &[char]| {
        let piece: String = piece.iter().collect();
        let mut spelt = serde_json::to_string(&piece).expect("text is JSON");
        if escape {
            let units = |c: char| {
                let mut units = [0; 2];
                let units = c.encode_utf16(&mut units);
                units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
            };
            spelt = spelt
                .chars()
                .map(|c| if c.is_ascii() { c.to_string() } else { units(c) })
                .collect();
        }
        format!("{{\"content\":{spelt}}}")
    };
    characters.chunks(length).map(spell).collect()
}

fn claude(text: &str, length: usize) -> Vec<u8> {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::from(concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    ));
    for piece in characters.chunks(length) {
        let text: String = piece.iter().collect();
        let spelt = serde_json::to_string(&text).expect("text is JSON");
        let delta = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{spelt}}}}}\n\n"
        );
        out += &delta;
    }
    out += concat!(
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    out.into_bytes()
}

fn cut(body: &[u8], bytes: usize) -> Vec<Reply> {
    vec![Reply::stream(body, bytes, false)]
}

fn whole(body: &[u8]) -> Vec<Reply> {
    vec![Reply::stream(body, body.len(), true)]
}

/// All JSON that a stream has as the data of its events.
fn events(answer: &Answer) -> Vec<Value> {
    let data = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {answer:?}")))
        .collect()
}

/// A whole OpenAI stream: its text, its calls' arguments by name, and one finish.
fn told(answer: &Answer) -> (String, Vec<(String, String)>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.ends_with("data: [DONE]\n\n"), "{answer:?}");
    let (mut text, mut calls, mut finishes) = (String::new(), Vec::new(), 0);
    for event in events(answer) {
        assert!(event.get("error").is_none(), "{answer:?}");
        let choice = &event["choices"][0];
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        finishes += usize::from(choice["finish_reason"].is_string());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                calls.push((name.to_owned(), String::new()));
            }
            let piece = call["function"]["arguments"].as_str().unwrap_or_default();
            calls.last_mut().expect("a call has a name first").1 += piece;
        }
    }
    assert_eq!(finishes, 1, "{answer:?}");
    (text, calls)
}

#[test]
fn a_stream_cut_at_any_byte_is_made_whole() {
    let first = openai(&pieces(TEXT, 4, false), "stop");
    let other = whole(&openai(&pieces(TEXT, 3, true), "stop"));
    let cuts: Vec<usize> = (0..first.len()).step_by(5).collect();
    let script = |replies: &dyn Fn(usize) -> Vec<Reply>| -> Script {
        cuts.iter().map(|at| (format!("{at}"), replies(*at))).collect()
    };
    let mut scripts = [script(&|at| cut(&first, at)), Vec::new(), script(&|_| other.clone())];
    // A vendor's own error in the middle: another answer takes over, or it passes as it came.
    let error = r#"{"error":{"message":"as asked","type":"server_error","code":"boom"}}"#;
    let begun = String::from_utf8_lossy(&first[..first.len() / 2]).into_owned();
    let begun = begun.get(..begun.rfind("data: ").expect("an event")).expect("a cut").to_owned();
    let failed = format!("{begun}data: {error}\n\n").into_bytes();
    scripts[0].push(("error".to_owned(), whole(&failed)));
    scripts[0].push(("lost".to_owned(), whole(&failed)));
    scripts[2].push(("error".to_owned(), other));
    let another = whole(&openai(&pieces("Something else", 3, true), "stop"));
    scripts[2].push(("lost".to_owned(), another));
    let stage = Stage::start(FLAVOURS[0], scripts, "");
    for at in &cuts {
        assert_eq!(
            told(&stage.ask("other", &at.to_string())),
            (TEXT.to_owned(), Vec::new()),
            "{at}"
        );
    }
    let answer = stage.ask("other", "error");
    assert_eq!(told(&answer), (TEXT.to_owned(), Vec::new()));
    let lost = stage.ask("other", "lost").body;
    assert!(lost.contains(error) && !lost.contains("[DONE]") && !lost.contains("Something"));
    assert_eq!(stage.gateway.metric("vertex_bridge_bugs_total"), 0);
    assert!(stage.gateway.metric("vertex_bridge_streams_resumed_total") > 0);
}

#[test]
fn a_stream_of_anthropics_is_made_whole_for_its_own_client() {
    let first = claude(TEXT, 4);
    let other = whole(&openai(&pieces(TEXT, 3, true), "stop"));
    let cuts: Vec<usize> = (0..first.len()).step_by(11).collect();
    let script = |replies: &dyn Fn(usize) -> Vec<Reply>| -> Script {
        cuts.iter().map(|at| (format!("{at}"), replies(*at))).collect()
    };
    let scripts = [script(&|at| cut(&first, at)), Vec::new(), script(&|_| other.clone())];
    let stage = Stage::start(FLAVOURS[0], scripts, "");
    for at in &cuts {
        let body = format!(
            r#"{{"model":"claude-first","stream":true,"max_tokens":9,"messages":[{{"role":"user","content":"case:{at}"}}]}}"#
        );
        let request = String::from_utf8(post(&body)).expect("text");
        let request = request.replace("/v1/chat/completions", "/v1/messages");
        let answer = stage.gateway.ask(request.as_bytes());
        let events = events(&answer);
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        let text: String =
            events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
        assert_eq!(text, TEXT, "{at}: {answer:?}");
        for kind in ["message_start", "content_block_start", "content_block_stop", "message_stop"] {
            assert_eq!(of(kind), 1, "{kind} at {at}: {answer:?}");
        }
        assert_eq!((of("error"), of("message_delta")), (0, 1), "{answer:?}");
    }
}

#[test]
fn the_beginning_is_given_to_who_takes_it_and_repeated_by_who_does_not() {
    let first = openai(&pieces(TEXT, 4, false), "stop");
    let at = first.len() / 2;
    let sent: String = TEXT.chars().take(20).collect();
    let begun = openai(&pieces(&sent, 4, false), "stop");
    let end = String::from_utf8_lossy(&begun).rfind("data: {").expect("a finish");
    // Space at the end is not given, so it is said again.
    let rest: String = TEXT.chars().skip(19).collect();
    let refused =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no prefill"}}"#;
    for flavour in FLAVOURS {
        let scripts = [
            vec![
                ("given".to_owned(), cut(&begun, end)),
                ("refused".to_owned(), cut(&first, at)),
                ("another".to_owned(), cut(&first, at)),
                ("limited".to_owned(), cut(&first, at)),
            ],
            vec![
                ("limited".to_owned(), whole(&claude(TEXT, 5))),
                ("given:given".to_owned(), whole(&claude(&rest, 5))),
                ("refused:given".to_owned(), vec![Reply::whole(400, "", refused)]),
                ("refused".to_owned(), whole(&claude(TEXT, 7))),
                ("another:given".to_owned(), vec![Reply::whole(400, "", refused)]),
                ("another".to_owned(), whole(&claude("Something else", 7))),
            ],
            Vec::new(),
        ];
        let stage = Stage::start(flavour, scripts, "");
        assert_eq!(told(&stage.ask("claude", "given")).0, TEXT);
        assert_eq!((stage.asked(1, "given:given"), stage.asked(1, "given")), (1, 0));
        assert_eq!(told(&stage.ask("claude", "refused")).0, TEXT);
        assert_eq!((stage.asked(1, "refused:given"), stage.asked(1, "refused")), (1, 1));
        // What was said has used up some of a limit, and nobody knows how much.
        let limited = stage.ask_with(r#""max_tokens":9,"#, "claude", "limited");
        assert_eq!((told(&limited).0, stage.asked(1, "limited")), (TEXT.to_owned(), 1));
        let answer = stage.ask("claude", "another");
        assert!(answer.body.contains("upstream_truncated") && !answer.body.contains("[DONE]"));
        assert!(!answer.body.contains("Something"), "{answer:?}");
    }
}

#[test]
fn a_call_is_told_when_it_is_whole_and_then_once() {
    let call = |piece: &str, name: &str| {
        let name = if name.is_empty() { String::new() } else { format!("\"name\":{name:?},") };
        format!(
            "{{\"tool_calls\":[{{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{{{name}\"arguments\":{piece:?}}}}}]}}"
        )
    };
    let calls = [call("", "find"), call("{\"a\":", ""), call("[1,2]", ""), call("}", "")];
    let mut deltas = pieces("Let me see. ", 4, false);
    deltas.extend(calls);
    let body = openai(&deltas, "tool_calls");
    let cuts: Vec<usize> = (0..body.len()).step_by(13).collect();
    let script = |replies: &dyn Fn(usize) -> Vec<Reply>| -> Script {
        cuts.iter().map(|at| (format!("{at}"), replies(*at))).collect()
    };
    let scripts = [script(&|at| cut(&body, at)), Vec::new(), script(&|_| whole(&body))];
    let stage = Stage::start(FLAVOURS[0], scripts, "");
    for at in &cuts {
        let (text, calls) = told(&stage.ask("other", &at.to_string()));
        assert_eq!(text, "Let me see. ", "{at}");
        assert_eq!(calls, [("find".to_owned(), "{\"a\":[1,2]}".to_owned())], "{at}");
    }
}

#[test]
fn who_speaks_first_answers_and_the_other_is_cancelled() {
    let late = |body: &[u8], millis| {
        vec![Reply {
            wait: Some(Duration::from_millis(millis)),
            ..Reply::stream(body, body.len(), true)
        }]
    };
    let (own, others) = (pieces("own", 3, false), pieces("others", 6, false));
    let (own, others) = (openai(&own, "stop"), openai(&others, "stop"));
    for flavour in FLAVOURS {
        let scripts = [
            vec![
                ("slow".to_owned(), late(&own, 4000)),
                ("slower".to_owned(), late(&own, 1000)),
                ("fast".to_owned(), whole(&own)),
                ("left".to_owned(), late(&own, 4000)),
            ],
            Vec::new(),
            vec![
                ("slow".to_owned(), whole(&others)),
                ("slower".to_owned(), late(&others, 4000)),
                ("fast".to_owned(), whole(&others)),
                ("left".to_owned(), late(&others, 4000)),
            ],
        ];
        let stage = Stage::start(flavour, scripts, "[fallback]\nafter = \"400ms\"\n");
        let metric = |name: &str| stage.gateway.metric(&format!("vertex_bridge_{name}_total"));
        let began = Instant::now();
        assert_eq!(told(&stage.ask("other", "slow")).0, "others");
        assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
        assert_eq!((metric("hedges"), metric("hedges_won")), (1, 1));
        assert_eq!(told(&stage.ask("other", "slower")).0, "own");
        assert_eq!((metric("hedges"), metric("hedges_won")), (2, 1));
        assert_eq!(told(&stage.ask("other", "fast")).0, "own");
        assert_eq!((stage.asked(2, "fast"), metric("hedges")), (0, 2));
        // The client leaves while both are asked: one exchange ends, once.
        let mut client = stage.gateway.client();
        client.send(&post(
            r#"{"model":"other","stream":true,"messages":[{"role":"user","content":"case:left"}]}"#,
        ));
        let soon = |name, value| {
            let end = Instant::now() + Duration::from_secs(3);
            while metric(name) < value && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
        };
        soon("hedges", 3);
        drop(client);
        soon("requests_cancelled", 1);
        assert_eq!((metric("requests_cancelled"), metric("hedges")), (1, 3));
        assert_eq!(metric("bugs"), 0);
    }
}

#[test]
fn a_budget_bounds_who_is_asked_at_once() {
    let body = openai(&pieces("own", 3, false), "stop");
    let wait = Some(Duration::from_millis(300));
    let slow = vec![Reply { wait, ..Reply::stream(&body, body.len(), true) }];
    let scripts = [vec![("x".to_owned(), slow)], Vec::new(), vec![("x".to_owned(), whole(&body))]];
    let settings = "[fallback]\nafter = \"50ms\"\n[retry]\nbudget = 0.0\n";
    let stage = Stage::start(FLAVOURS[0], scripts, settings);
    assert_eq!(told(&stage.ask("other", "x")).0, "own");
    assert_eq!((stage.asked(2, "x"), stage.gateway.metric("vertex_bridge_hedges_total")), (0, 0));
}
