//! Bad requests: each gets the right error object, and a healthy connection goes on.

use super::client::{Client, chat, get, post};
use super::gateway::{FLAVOURS, Gateway};
use super::upstream::Upstream;

const M: &str = r#""messages":[{"role":"user","content":"plain"}]"#;

/// A bad request: its bytes, the status, the type, the code, the field at fault.
type Bad = (Vec<u8>, u16, &'static str, &'static str, Option<&'static str>);

const INVALID: &str = "invalid_request_error";

fn value(body: &str, param: &'static str) -> Bad {
    (post(body), 400, INVALID, "invalid_value", Some(param))
}

fn bodies() -> Vec<Bad> {
    let ask = |rest: &str| format!(r#"{{"model":"gemini-2.5-flash",{M},{rest}}}"#);
    vec![
        (post("{"), 400, INVALID, "invalid_json", None),
        (post(""), 400, INVALID, "invalid_json", None),
        (post("{\"a\":NaN}"), 400, INVALID, "invalid_json", None),
        (post(&ask("\"x\":1} ")), 400, INVALID, "invalid_json", None),
        (post(&"[".repeat(5000)), 400, INVALID, "invalid_json", None),
        (post("[]"), 400, INVALID, "invalid_value", None),
        (post(r#"{"model":"gemini-2.5-flash"}"#), 400, INVALID, "missing_field", Some("messages")),
        (post(&format!("{{{M}}}")), 400, INVALID, "missing_field", Some("model")),
        value(r#"{"model":7,"messages":[]}"#, "model"),
        value(r#"{"model":"gemini-2.5-flash","messages":"hi"}"#, "messages"),
        value(r#"{"model":"gemini-2.5-flash","messages":[]}"#, "messages"),
        value(
            r#"{"model":"gemini-2.5-flash","messages":[{"role":"x","content":"y"}]}"#,
            "messages[0].role",
        ),
        value(
            r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":5}]}"#,
            "messages[0].content",
        ),
        value(&ask("\"temperature\":\"hot\""), "temperature"),
        value(&ask("\"temperature\":3"), "temperature"),
        value(&ask("\"n\":0"), "n"),
        value(&ask("\"stream\":\"yes\""), "stream"),
        value(&ask("\"model\":\"gemini-2.5-pro\""), "model"),
        value(&format!(r#"{{"model":"gemini/../x",{M}}}"#), "model"),
        (
            post(&format!(r#"{{"model":"no-such-model",{M}}}"#)),
            404,
            INVALID,
            "model_not_found",
            Some("model"),
        ),
    ]
}

fn heads() -> Vec<Bad> {
    let good = String::from_utf8(chat("plain", false)).expect("text");
    let with = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let bad = |bytes: Vec<u8>| (bytes, 400, INVALID, "bad_request", None);
    let key = "authentication_error";
    let large = 11 << 20;
    let long_field = format!("x: {}\r\ncontent-type", "y".repeat(100_000));
    let long_target = format!("/v1/{} HTTP", "z".repeat(9000));
    let chunked = "transfer-encoding: chunked\r\n\r\nXY\r\n";
    let head = good.split("content-length").next().unwrap_or_default();
    vec![
        bad(with("content-length", "content-length: 3\r\ncontent-length")),
        bad(with("content-length", "transfer-encoding: chunked\r\ncontent-length")),
        bad(format!("{head}{chunked}").into_bytes()),
        bad(with("host: localhost\r\n", "")),
        bad(with("content-type", "bad name: x\r\ncontent-type")),
        bad(b"nonsense\r\n\r\n".to_vec()),
        bad(with("authorization", "authorization: Bearer a\r\nauthorization")),
        (with("content-type", &long_field), 431, INVALID, "request_too_large", None),
        (with("/v1/chat/completions HTTP", &long_target), 414, INVALID, "request_too_large", None),
        (
            format!("{head}content-length: {large}\r\n\r\n").into_bytes(),
            413,
            INVALID,
            "request_too_large",
            None,
        ),
        (with("application/json", "text/plain"), 415, INVALID, "unsupported_media_type", None),
        (
            with("content-length", "content-encoding: gzip\r\ncontent-length"),
            415,
            INVALID,
            "unsupported_media_type",
            None,
        ),
        (with("Bearer sk-vertex-bridge-dev", "Bearer wrong"), 401, key, "invalid_api_key", None),
        (with("Bearer sk-vertex-bridge-dev", "Basic eDp5"), 401, key, "invalid_api_key", None),
        (get("/v1/chat/completions"), 405, INVALID, "method_not_allowed", None),
        (get("/v2/else"), 404, INVALID, "unknown_url", None),
    ]
}

#[test]
fn every_bad_request_gets_its_error_and_the_next_one_works() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        let mut healthy = gateway.client();
        let cases: Vec<Bad> = bodies().into_iter().chain(heads()).collect();
        assert!(cases.len() >= 30);
        for (bytes, status, kind, code, param) in cases {
            let shown = String::from_utf8_lossy(&bytes).chars().take(300).collect::<String>();
            let mut client = gateway.client();
            client.send(&bytes);
            let answer =
                client.answer().unwrap_or_else(|| panic!("{flavour:?}: no answer: {shown}"));
            let error = &answer.json()["error"];
            let found = (answer.status, error["type"].as_str(), error["code"].as_str());
            assert_eq!(found, (status, Some(kind), Some(code)), "{flavour:?}: {shown}");
            assert_eq!(error["param"].as_str(), param, "{shown}");
            assert!(error["message"].as_str().is_some_and(|text| text.len() > 5), "{shown}");
            if answer.field("connection") == Some("close") {
                assert!(client.is_closed(), "{shown}");
            } else {
                expect_answer(&mut client, &shown);
            }
            expect_answer(&mut healthy, &shown);
        }
    }
}

fn expect_answer(client: &mut Client, after: &str) {
    client.send(&chat("plain", false));
    let status = client.answer().map(|answer| answer.status);
    assert_eq!(status, Some(200), "after {after}");
}

#[test]
fn a_configured_key_is_required() {
    let upstream = Upstream::start();
    let variables = [("APP_AUTH__MASTER_KEY", "sk-a-long-enough-master-key")];
    let gateway = Gateway::before(FLAVOURS[0], upstream.address, &variables);
    let good = String::from_utf8(chat("plain", false)).expect("text");
    let with = |key: &str| gateway.ask(good.replace("Bearer sk-vertex-bridge-dev", key).as_bytes());
    assert_eq!(with("Bearer sk-a-long-enough-master-key").status, 200);
    assert_eq!(with("Bearer sk-vertex-bridge-dev").status, 401);
    let none = good.replace("authorization: Bearer sk-vertex-bridge-dev\r\n", "");
    assert_eq!(gateway.ask(none.as_bytes()).status, 401);
    assert_eq!(gateway.ask(&get("/metrics/prometheus")).status, 401);
    assert_eq!(gateway.ask(&get("/health")).status, 200);
}
