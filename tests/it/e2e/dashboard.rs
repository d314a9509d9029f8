//! The dashboard in Debian's Chromium, which `scripts/test.sh` installs, with the keyboard alone;
//! and one request, found by its id wherever operators look.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::collector::{OK, collector, text};
use super::admin::{ADMIN, Administrated};
use super::browser::Script;
use super::client::{Client, Stop, get, post_to};
use super::gateway::{BINARY, Flavour, Folder, Gateway};
use super::simulator::Simulator;

/// Keys and what they ask for, as it might be on a weekday.
const TRAFFIC: [(&str, &str); 7] = [
    ("search", "gemini-2.5-flash"),
    ("support", "claude-sonnet-4-5"),
    ("search", "gemini-2.5-flash"),
    ("assistant", "gpt-5"),
    ("nightly-batch", "gemini-2.5-pro"),
    ("support", "gemini-2.5-flash"),
    ("playground", "gemini-unheard"),
];

/// A gateway in front of a simulator that takes its time, for three vendors.
fn administrated(simulator: SocketAddr) -> Administrated {
    let (origin, openai) = (format!("http://{simulator}"), format!("http://{simulator}/v1"));
    let more = [
        ("APP_RUNTIME__CORES", "0,1"),
        ("GOOGLE_API_KEY", "AIzaSyD-end-to-end"),
        ("APP_VERTEX__API_KEY_BASE_URL", origin.as_str()),
        ("ANTHROPIC_API_KEY", "sk-ant-end-to-end"),
        ("ANTHROPIC_BASE_URL", origin.as_str()),
        ("OPENAI_API_KEY", "sk-end-to-end"),
        ("OPENAI_BASE_URL", openai.as_str()),
    ];
    Administrated::simulated(Flavour::Uring, &more)
}

fn secret(admin: &Administrated, name: &str) -> String {
    let made = admin.ask("POST", "/keys", &format!("{{\"name\": \"{name}\"}}"));
    made.json()["secret"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned()
}

/// Asks for a stream with these members besides.
fn chat(key: &str, model: &str, id: &str, more: &str) -> Vec<u8> {
    let body = format!(
        "{{\"model\":\"{model}\",\"stream\":true,{more}\
         \"stream_options\":{{\"include_usage\":true}},\
         \"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}"
    );
    let request = String::from_utf8(post_to("/v1/chat/completions", key, &body));
    let request = request.expect("a request is text");
    request.replacen("\r\n", &format!("\r\nx-request-id: {id}\r\n"), 1).into_bytes()
}

/// Asks one thing after another until it is told to stop.
fn load(gateway: SocketAddr, keys: &[(String, &str)], next: &AtomicUsize, stop: &AtomicBool) {
    let mut client = Client::connect(gateway);
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some((key, model)) = keys.get(number % keys.len()) else { return };
        let tokens = 20 + number * 7 % 30;
        let more = format!("\"max_completion_tokens\":{tokens},");
        client.send(&chat(key, model, &format!("req-{number:05}"), &more));
        if client.answer().is_none() {
            client = Client::connect(gateway);
        }
    }
}

/// With `DASHBOARD_PICTURES`, a folder, it also writes the pictures of the documentation, in which
/// `docs/pictures` has a palette of 128 colours to be small.
#[test]
fn a_browser_shows_what_happens_and_the_keyboard_is_enough() {
    // A client that sets no limit gets an answer that goes on for minutes.
    let pace = ["--latency", "60ms", "--token-interval", "4ms", "--tokens", "20000"];
    let faults = ["--fault", "529@2", "--fault", "cut@1"];
    let simulator = Simulator::start(&[&pace[..], &faults].concat());
    let admin = administrated(simulator.address);
    let keys = TRAFFIC.map(|(name, _)| name);
    let mut made: Vec<(&str, String)> = Vec::new();
    for name in keys {
        if !made.iter().any(|(known, _)| *known == name) {
            made.push((name, secret(&admin, name)));
        }
    }
    let of = |name: &str| {
        let found = made.iter().find(|(known, _)| *known == name);
        found.map(|(_, secret)| secret.clone()).expect("it was made")
    };
    let keys = TRAFFIC.map(|(name, model)| (of(name), model));
    let gateway = admin.gateway.address;
    // A key must be known everywhere after this time.
    thread::sleep(Duration::from_secs(1));
    let mut waiting = admin.gateway.client();
    waiting.send(&chat(&of("assistant"), "gpt-5", "cancel-me", ""));

    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let pictures = std::env::var("DASHBOARD_PICTURES").ok();
    let arguments: Vec<&str> = ["cancel-me"].into_iter().chain(pictures.as_deref()).collect();
    let mut script = thread::scope(|scope| {
        let told = Stop(&stop);
        for _ in 0..8 {
            scope.spawn(|| load(gateway, &keys, &next, &stop));
        }
        let mut script = Script::start("dashboard.cjs", gateway, ADMIN, &arguments);
        script.says("seen");
        drop(told);
        script
    });
    script.child.stdin.take().expect("a pipe").write_all(b"over\n").expect("it listens");
    assert_eq!(script.rest().trim(), "all is well");
}

#[test]
fn without_a_ledger_the_dashboard_says_so() {
    let admin = Administrated::simulated(Flavour::Epoll, &[("APP_LEDGER__ENABLED", "false")]);
    let script = Script::start("off.cjs", admin.gateway.address, ADMIN, &[]);
    assert_eq!(script.rest().trim(), "all is well");
    assert!(!admin.state.0.join("vertex-bridge.db").exists(), "somebody has only looked");
}

const KEY: &str = "sk-client-0123456789";
const ID: &str = "find-me-everywhere";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The page of the metrics in the form that has exemplars.
fn metrics(gateway: &Gateway) -> String {
    let fields = format!(
        "host: localhost\r\nauthorization: Bearer {ADMIN}\r\n\
         accept: application/openmetrics-text;version=1.0.0\r\n"
    );
    let request = String::from_utf8(get("/metrics/prometheus")).expect("a request is text");
    gateway.ask(request.replacen("host: localhost\r\n", &fields, 1).as_bytes()).body
}

/// The record of the exchange in the ledger, once it is there.
fn record(state: &Path) -> Value {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let mut command = Command::new(BINARY);
        command.args(["usage", "export", "--json", "--id", ID]).current_dir(state);
        let ran = command.env("STATE_DIRECTORY", state).output().expect("it runs");
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        if !told.is_empty() || Instant::now() > end {
            assert_eq!(told.lines().count(), 1, "{told}");
            return serde_json::from_str(&told).expect("JSON");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_request_is_found_by_its_id_in_log_trace_metrics_ledger_and_dashboard() {
    let simulator = Simulator::start(&[]);
    let (collector, got) = collector(vec![(OK, Vec::new())]);
    let state = Folder::new();
    let config = format!(
        "[auth]\nadmin_key = \"{ADMIN}\"\n[log]\nformat = \"json\"\n\
         [ledger]\npath = \"{}\"\n[otel]\nendpoint = \"{collector}\"\nsample = 1.0\n\
         [[upstream]]\nname = \"near\"\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         api_key = \"sk-upstream-0123456789\"\n\
         [[route]]\nmodel = \"m\"\ntargets = [ {{ upstream = \"near\" }} ]\n\
         [[key]]\nname = \"team-a\"\nsecret = \"{KEY}\"\n",
        state.0.display(),
        simulator.address,
    );
    let gateway = Gateway::written(Flavour::Uring, &config, "0");
    // Others, among which it must be found.
    for number in 0..5 {
        assert_eq!(gateway.ask(&chat(KEY, "m", &format!("other-{number}"), "")).status, 200);
    }
    let request = String::from_utf8(chat(KEY, "m", ID, "")).expect("a request is text");
    let parent = format!("\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let answer = gateway.ask(request.replacen("\r\n", &parent, 1).as_bytes());
    assert_eq!((answer.status, answer.field("x-request-id")), (200, Some(ID)), "{}", answer.body);

    let log = gateway.log_with(ID);
    let line = log.lines().find(|line| line.contains(ID)).expect("a line of the log");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["req"], &line["trace"]), (&ID.into(), &TRACE.into()), "{line}");

    let exemplar = format!(" # {{request_id=\"{ID}\",trace_id=\"{TRACE}\"}} ");
    let page = metrics(&gateway);
    assert!(page.contains(&exemplar), "{page}");

    let end = Instant::now() + Duration::from_secs(20);
    let found = loop {
        let left = end.saturating_duration_since(Instant::now());
        let got = got.recv_timeout(left).expect("a batch with the span");
        let name = "vertex_bridge.request_id";
        let span = got.spans().find(|span| text(&span.attributes, name) == Some(ID)).cloned();
        if let Some(span) = span {
            break span;
        }
    };
    let trace = u128::from_str_radix(TRACE, 16).expect("hexadecimal").to_be_bytes();
    assert_eq!(found.trace_id, trace);

    let record = record(&state.0);
    for (column, want) in [("key", "team-a"), ("upstream", "near"), ("trace", TRACE)] {
        assert_eq!(record[column], want, "{record}");
    }
    assert_eq!((&record["completion"], &line["tokens_out"]), (&line["tokens_out"], &16.into()));

    let told = Script::start("find.cjs", gateway.address, ADMIN, &[ID]).rest();
    for want in [ID, TRACE, "team-a", "near", "16 out"] {
        assert!(told.contains(want), "{told}");
    }
}
