//! What an operator sees of one request, in the log, in traces and in metrics: the same id
//! everywhere, and nowhere a secret.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::super::collector::{Got, OK, collector, text};
use super::client::{Answer, get, post_to};
use super::gateway::{Flavour, Gateway};
use super::upstream::read_request;

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"canary-answer"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
const REFUSAL: &str = r#"{"error":{"message":"Incorrect API key provided: canary-upstream-key-0123","type":"invalid_request_error","code":"invalid_api_key"}}"#;
const KEY: &str = "canary-client-key-01234";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An upstream that answers, and refuses our key where the prompt says so.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let origin = format!("http://{}", listener.local_addr().expect("it has an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| serve(stream));
        }
    });
    origin
}

/// Answers every request of a connection.
fn serve(mut stream: TcpStream) {
    let mut inbox = Vec::new();
    while let Some((_, body)) = read_request(&mut stream, &mut inbox) {
        let refuses = body.contains("refuse");
        let (status, body) = if refuses { ("401 X", REFUSAL) } else { ("200 OK", ANSWER) };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn gateway(collector: &str, log: &str) -> Gateway {
    let origin = upstream();
    let text = format!(
        "[log]\n{log}\n[retry]\nattempts = 0\n\
         [otel]\nendpoint = \"{collector}\"\nsample = 1.0\nheaders = \"api-key=canary-collector\"\n\
         [[upstream]]\nname = \"near\"\nkind = \"openai\"\nbase_url = \"{origin}/v1\"\n\
         api_key = \"canary-upstream-key-0123\"\n\
         [[route]]\nmodel = \"m\"\ntargets = [ {{ upstream = \"near\" }} ]\n\
         [[key]]\nname = \"team-a\"\nsecret = \"{KEY}\"\n"
    );
    Gateway::written(Flavour::Epoll, &text, "0")
}

fn ask(gateway: &Gateway, key: &str, prompt: &str, fields: &str) -> Answer {
    let body =
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"canary {prompt}"}}]}}"#);
    let request = post_to("/v1/chat/completions", key, &body);
    let request = String::from_utf8(request).expect("a request is text");
    let host = format!("host: localhost\r\n{fields}");
    gateway.ask(request.replacen("host: localhost\r\n", &host, 1).as_bytes())
}

/// The page of the metrics in the newer form, with the key that it needs.
fn open_metrics(gateway: &Gateway) -> Answer {
    let fields = format!(
        "host: localhost\r\nauthorization: Bearer {KEY}\r\n\
         accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3\r\n"
    );
    let request = String::from_utf8(get("/metrics/prometheus")).expect("a request is text");
    gateway.ask(request.replacen("host: localhost\r\n", &fields, 1).as_bytes())
}

fn classic_metrics(gateway: &Gateway) -> Answer {
    let fields = format!("host: localhost\r\nauthorization: Bearer {KEY}\r\n");
    let request = String::from_utf8(get("/metrics/prometheus")).expect("a request is text");
    gateway.ask(request.replacen("host: localhost\r\n", &fields, 1).as_bytes())
}

#[test]
fn one_request_is_found_by_its_id_in_log_trace_and_metrics() {
    let (origin, got) = collector(vec![(OK, Vec::new())]);
    let gateway = gateway(&origin, "format = \"json\"");
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let answer = ask(&gateway, KEY, "hi", &format!("{parent}x-request-id: find-me\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let log = gateway.log_with("find-me");
    let line = log.lines().find(|line| line.contains("find-me")).expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    for (field, want) in [
        ("req", "find-me"),
        ("trace", TRACE),
        ("key", "team-a"),
        ("route", "m"),
        ("upstream", "near"),
        ("ending", "answered"),
    ] {
        assert_eq!(line[field], want, "{line}");
    }
    assert_eq!((&line["tokens_in"], &line["tokens_out"]), (&3.into(), &4.into()), "{line}");
    let phases = ["parse", "queue", "connect", "tls", "upstream", "wait", "gateway"];
    let millis = |name: &str| line[format!("ms_{name}")].as_f64().expect("a number");
    let sum: f64 = phases.iter().map(|phase| millis(phase)).sum();
    assert!((sum - millis("total")).abs() < 1e-6, "{line}");
    let page = open_metrics(&gateway);
    let exemplar = format!(" # {{request_id=\"find-me\",trace_id=\"{TRACE}\"}} ");
    let bucket = "vertex_bridge_request_duration_seconds_bucket{";
    let found = page.body.lines().any(|line| line.starts_with(bucket) && line.contains(&exemplar));
    assert!(found, "{}", page.body);
    let classic = classic_metrics(&gateway);
    assert!(!classic.body.contains(" # {") && !classic.body.contains("# EOF"), "{}", classic.body);
    let kinds = [page.field("content-type"), classic.field("content-type")];
    assert!(kinds[0].is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(kinds[1].is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let usage = "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",\
                 gen_ai_provider_name=\"openai\",gen_ai_request_model=\"m\",\
                 gen_ai_token_type=\"output\"} 4";
    assert!(classic.body.contains(usage), "{}", classic.body);
    let got = got.recv_timeout(Duration::from_secs(20)).expect("a batch");
    let exchange = got.spans().find(|span| span.kind == 2).expect("the exchange");
    assert_eq!(text(&exchange.attributes, "vertex_bridge.request_id"), Some("find-me"));
    assert_eq!(
        u128::from_str_radix(TRACE, 16).map(u128::to_be_bytes).ok().as_ref().map(|id| &id[..]),
        Some(&exchange.trace_id[..])
    );
    assert_eq!(exchange.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
}

#[test]
fn no_secret_and_no_word_of_a_conversation_leaves_by_log_trace_or_metrics() {
    let (origin, got) = collector(vec![(OK, Vec::new())]);
    for (level, format) in [
        ("error", "json"),
        ("warn", "pretty"),
        ("info", "json"),
        ("debug", "pretty"),
        ("trace", "json"),
    ] {
        let log = format!("level = \"{level}\"\nformat = \"{format}\"");
        let mut gateway = gateway(&origin, &log);
        assert_eq!(ask(&gateway, KEY, "hi", "").status, 200);
        assert!(ask(&gateway, KEY, "refuse", "").status >= 400);
        assert_eq!(ask(&gateway, "canary-wrong-key-012345", "hi", "").status, 401);
        let query = get("/v1/models?key=canary-query");
        assert!(gateway.ask(&query).status >= 400);
        let (open, classic) = (open_metrics(&gateway).body, classic_metrics(&gateway).body);
        assert!(open.contains("requests_total 3"), "{open}");
        for page in [open, classic] {
            assert!(!page.contains("canary"), "{page}");
        }
        gateway.signal("TERM");
        assert!(gateway.wait(20).is_some_and(|status| status.success()), "{}", gateway.log());
        let log = gateway.log();
        assert!(!log.contains("canary"), "{level} {format}: {log}");
        let wanted = !matches!(level, "error" | "warn");
        assert_eq!(log.contains("answered"), wanted, "{level}: {log}");
        // What was on its way when it was told to end has arrived.
        let spans: Vec<Got> = got.try_iter().collect();
        let told = spans.iter().map(|got| format!("{:?}", got.request)).collect::<String>();
        assert!(told.contains("team-a") && !told.contains("canary"), "{told}");
    }
}

/// Names of `FkLLMProxy` that are kept, though Prometheus would have seconds in them.
const KEPT: [&str; 4] = [
    "request_latency_ms",
    "request_latency_p50_ms",
    "request_latency_p95_ms",
    "request_latency_p99_ms",
];

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    let (origin, _got) = collector(vec![(OK, Vec::new())]);
    let gateway = gateway(&origin, "");
    for prompt in ["hi", "refuse"] {
        ask(&gateway, KEY, prompt, "");
    }
    gateway.log_with("ending=failed");
    let page = classic_metrics(&gateway).body;
    assert!(page.contains("gen_ai_server_request_duration_seconds_bucket{"), "{page}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there (Debian's package `prometheus`)");
    let mut input = promtool.stdin.take().expect("an input");
    input.write_all(page.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let wrong =
        said.lines().filter(|line| !KEPT.iter().any(|name| line.starts_with(&format!("{name} "))));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new(), "{page}");
}
