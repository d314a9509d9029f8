//! What clients are told when vendors fail: every dialect's own spellings become the error table's
//! rows and the SDK's own exceptions, cut streams never look whole, and no secret shows anywhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Answer, Client, get, post_to};
use super::gateway::{FLAVOURS, Flavour, Folder, Gateway};
use super::replay::{self, Reply};

const MASTER: &str = "sk-master-0123456789abcdef";

/// A planted key per upstream: none may be seen by anybody but its vendor.
const SECRETS: [&str; 4] = [
    "AIzaSyD-planted-gemini-0123456789abcdef",
    "AQ.planted-vertex-0123456789abcdef",
    "sk-ant-planted-0123456789abcdef",
    "sk-proj-planted-0123456789abcdef",
];

/// Whose they are.
const VENDORS: [&str; 4] = ["gemini", "vertex", "anthropic", "openai"];

fn configuration(upstream: SocketAddr) -> String {
    let mut text = format!("[auth]\nmaster_key = \"{MASTER}\"\n[log]\nlevel = \"debug\"\n");
    for (name, key) in VENDORS.into_iter().zip(SECRETS) {
        let path = if name == "openai" { "/v1" } else { "" };
        text.extend([
            format!("[[upstream]]\nname = \"up-{name}\"\nkind = \"{name}\"\napi_key = \"{key}\"\n"),
            format!("base_url = \"http://{upstream}{path}\"\n[[route]]\nmodel = \"m-{name}\"\n"),
            format!("targets = [{{ upstream = \"up-{name}\", model = \"some-model\" }}]\n"),
        ]);
    }
    text + LOST
}

/// Two upstreams that cannot be reached: no name, and nobody there.
const LOST: &str = r#"
[[upstream]]
name = "nameless"
kind = "openai"
base_url = "https://backend-17.internal:8080/v1"
api_key = "sk-lost-0123456789abcdef"
[[route]]
model = "m-nameless"
targets = [{ upstream = "nameless" }]
[[upstream]]
name = "refusing"
kind = "gemini"
base_url = "http://127.77.66.55:9"
api_key = "AIza-lost-0123456789abcdef"
[[route]]
model = "m-refusing"
targets = [{ upstream = "refusing" }]
"#;

/// A gateway before an upstream with these replies.
fn before(flavour: Flavour, folder: &Folder, replies: HashMap<String, Reply>) -> Gateway {
    let file = folder.0.join("gateway.toml");
    let upstream = replay::start(replies);
    std::fs::write(&file, configuration(upstream)).expect("a file can be written");
    Gateway::start(flavour, &[("VERTEX_BRIDGE_CONFIG", &file.to_string_lossy())])
}

/// Failures of each vendor in real or documented spellings (`$KEY` is where a vendor quotes the key),
/// and what each must become: status, type and code, the exception of OpenAI's SDK for Python, and
/// the seconds to wait.
const CASES: &str = include_str!("errors.json");

/// The cases of a vendor's API, which Google has on two services.
fn cases(vendor: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(CASES).expect("JSON");
    let list = &all[if vendor == "vertex" { "gemini" } else { vendor }];
    let list = list.as_array().expect("a list").clone();
    assert!(list.len() >= 10, "{vendor}");
    list
}

/// Hosts inside, as a proxy's page and the configuration name them, and the start of a page.
const HIDDEN: [&str; 6] =
    ["backend-17.internal", "10.1.2.3", "127.77.66.55", "<html", "sk-lost-", "AIza-lost-"];

/// Nothing of a key, and nothing of a page's inside or of where the upstream is.
fn assert_clean(text: &str, what: &str) {
    for secret in SECRETS.iter().copied().chain(HIDDEN) {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

/// A page that wants the key.
fn look(gateway: &Gateway, page: &str) -> Answer {
    let key = format!("host: localhost\r\nauthorization: Bearer {MASTER}");
    let request = String::from_utf8(get(page)).expect("text").replace("host: localhost", &key);
    let answer = gateway.ask(request.as_bytes());
    assert_eq!(answer.status, 200, "{page}");
    answer
}

#[test]
fn every_spelling_of_a_failure_becomes_its_row_and_exception() {
    let mut replies = HashMap::new();
    let mut script = Vec::new();
    for (vendor, secret) in VENDORS.into_iter().zip(SECRETS) {
        for (place, mut case) in cases(vendor).into_iter().enumerate() {
            let name = format!("{vendor}-{place}");
            let body =
                case["body"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned);
            let status = case["status"].as_u64().and_then(|status| status.try_into().ok());
            let fields = case["sent_retry_after"].as_str();
            let fields = fields.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
            let body = body.replace("$KEY", secret);
            replies.insert(name.clone(), Reply::whole(status.expect("a status"), &fields, &body));
            case["model"] = format!("m-{vendor}").into();
            case["case"] = name.into();
            case["secrets"] = json!(SECRETS);
            script.push(case);
        }
    }
    for flavour in FLAVOURS {
        let folder = Folder::new();
        let gateway = before(flavour, &folder, replies.clone());
        let file = folder.0.join("cases.json");
        std::fs::write(&file, json!(script).to_string()).expect("a file can be written");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("target/test-venv/bin/python"));
        command.arg(root.join("tests/sdk/errors.py"));
        command.arg(format!("http://{}/v1", gateway.address)).arg(MASTER).arg(&file);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.output().expect("the script starts: run scripts/test.sh once");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && told.contains("all is well"), "{flavour:?}: {told}");
        for lost in ["nameless", "refusing"] {
            let body =
                format!(r#"{{"model":"m-{lost}","messages":[{{"role":"user","content":"x"}}]}}"#);
            let answer = gateway.ask(&post_to("/v1/chat/completions", MASTER, &body));
            assert_eq!(answer.status, 502, "{}", answer.body);
            assert_eq!(answer.json()["error"]["code"], "upstream_connection_error");
            assert_clean(&format!("{}{}", answer.head, answer.body), lost);
        }
        for page in ["/metrics", "/metrics/prometheus", "/health/ready"] {
            let answer = look(&gateway, page);
            assert_clean(&format!("{}{}", answer.head, answer.body), page);
        }
        assert_clean(&gateway.log(), "the log");
    }
}

/// A stream of each vendor, as it goes over the wire.
fn streams() -> [(&'static str, Vec<u8>); 4] {
    let google = super::upstream::stream_body();
    let claude = [
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":4,"output_tokens":1}}}"#,
        ),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hé"}}"#,
        ),
        ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
        (
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}"#,
        ),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ];
    let claude = claude.map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).concat();
    let gpt = [
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"Hé"},"finish_reason":null}]}"#,
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let gpt = gpt.map(|data| format!("data: {data}\n\n")).concat();
    [
        ("gemini", google.clone()),
        ("vertex", google),
        ("anthropic", claude.into_bytes()),
        ("openai", gpt.into_bytes()),
    ]
}

#[test]
fn a_stream_cut_at_any_byte_never_looks_whole() {
    let mut replies = HashMap::new();
    for (vendor, body) in streams() {
        for cut in 0..=body.len() {
            replies.insert(format!("{vendor}-{cut}"), Reply::stream(&body, cut, false));
        }
        replies.insert(format!("{vendor}-whole"), Reply::stream(&body, body.len(), true));
    }
    let folder = Folder::new();
    for flavour in FLAVOURS {
        let gateway = before(flavour, &folder, replies.clone());
        let ask = |vendor: &str, name: &str| {
            let body = format!(
                r#"{{"model":"m-{vendor}","stream":true,"messages":[{{"role":"user","content":"case:{name}"}}]}}"#
            );
            let mut client = Client::connect(gateway.address);
            client.send(&post_to("/v1/chat/completions", MASTER, &body));
            client.answer().unwrap_or_else(|| panic!("{name}: the answer breaks off"))
        };
        for (vendor, body) in streams() {
            let whole = ask(vendor, &format!("{vendor}-whole"));
            assert!(whole.status == 200 && whole.body.ends_with("data: [DONE]\n\n"), "{whole:?}");
            // Every byte on one executor; on the others those around the ends of lines.
            let near = |cut: &usize| {
                let around = body.get(cut.saturating_sub(2)..body.len().min(cut + 2));
                flavour == Flavour::Uring || around.is_some_and(|bytes| bytes.contains(&b'\n'))
            };
            for cut in (0..body.len()).filter(near) {
                let answer = ask(vendor, &format!("{vendor}-{cut}"));
                assert!(!answer.body.contains("[DONE]"), "{vendor} cut at {cut}: {}", answer.body);
                let error = if answer.status == 200 {
                    answer.body.trim_end().rsplit("data: ").next().unwrap_or_default().to_owned()
                } else {
                    assert_eq!(answer.status, 502, "{vendor} cut at {cut}");
                    answer.body.clone()
                };
                let error: Value = serde_json::from_str(&error).unwrap_or_default();
                let code = &error["error"]["code"];
                assert_eq!(code, "upstream_truncated", "{vendor} cut at {cut}: {}", answer.body);
            }
        }
        let page = look(&gateway, "/metrics/prometheus").body;
        assert!(page.contains("vertex_bridge_bugs_total 0\n"), "{page}");
    }
}
