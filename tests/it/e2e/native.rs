//! Clients of a vendor's own API in front of that vendor: their bytes go on, the vendor's come
//! back, and what must not pass does not.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Answer, post_to};
use super::gateway::{FLAVOURS, Flavour, Folder, Gateway};
use super::upstream::read_request;

/// An answer of the upstream.
#[derive(Clone, Copy)]
struct Script {
    status: u16,
    content_type: &'static str,
    body: &'static str,
}

impl Script {
    /// Answers every request of a connection.
    fn serve(self, mut stream: TcpStream, seen: &Sender<(String, String)>) {
        let Self { status, content_type, body } = self;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n\
             {body}"
        );
        let mut inbox = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut inbox) {
            if seen.send(request).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

const fn json(status: u16, body: &'static str) -> Script {
    Script { status, content_type: "application/json", body }
}

const fn events(body: &'static str) -> Script {
    Script { status: 200, content_type: "text/event-stream", body }
}

/// A gateway whose upstreams of all kinds are one server that always answers alike.
struct Stage {
    gateway: Gateway,
    seen: Receiver<(String, String)>,
    _folder: Folder,
}

impl Stage {
    fn set(flavour: Flavour, script: Script, settings: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let origin = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (sender, seen) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || script.serve(stream, &sender));
            }
        });
        let folder = Folder::new();
        let path = folder.0.join("gateway.toml");
        let upstream = |name: &str, kind: &str, tail: &str, more: &str| {
            format!(
                "[[upstream]]\nname = \"{name}\"\nkind = \"{kind}\"\n\
                 base_url = \"{origin}{tail}\"\napi_key = \"sk-upstream-secret\"\n{more}\n"
            )
        };
        let route = |model: &str, name: &str, to: &str| {
            format!(
                "[[route]]\nmodel = \"{model}\"\n\
                 targets = [ {{ upstream = \"{name}\", model = \"{to}\" }} ]\n"
            )
        };
        let text = [
            settings.to_owned(),
            upstream("studio", "gemini", "", ""),
            upstream("express", "vertex", "", ""),
            upstream("claude", "anthropic", "", ""),
            upstream("gpt", "openai", "/v1", "responses = \"native\""),
            route("fast", "studio", "gemini-2.5-flash"),
            route("placed", "express", "gemini-2.5-pro"),
            route("deep", "claude", "claude-opus-4-6"),
            route("claude-on-google", "express", "claude-sonnet-4-5@1"),
            route("chatty", "gpt", "gpt-4o"),
        ];
        fs::write(&path, text.concat()).expect("a file can be written");
        let path = path.to_str().expect("a path is text");
        let gateway = Gateway::start(flavour, &[("VERTEX_BRIDGE_CONFIG", path)]);
        Self { gateway, seen, _folder: folder }
    }

    fn ask(&self, path: &str, body: &str) -> Answer {
        let request = post_to(path, "sk-vertex-bridge-dev", body);
        let request = String::from_utf8(request).expect("a request is text");
        let fields = "host: localhost\r\nanthropic-version: 2023-01-01\r\nanthropic-beta: a-1,b-2";
        self.gateway.ask(request.replacen("host: localhost", fields, 1).as_bytes())
    }
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[ {"type":"text","text":"hi","citations":null}],"stop_reason":"end_turn","stop_sequence":null,"new_field":1e2,"usage":{"input_tokens":3,"output_tokens":4}}"#;
const MESSAGE_EVENTS: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: new_event\ndata: {\"type\":\"new_event\" }\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-4o-x","output":[ ],"new_field":1e2,"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#;
const RESPONSE_EVENTS: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"gpt-4o-x\",\"error\":null,\"usage\":null}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-4o-x\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n";
const CONTENT: &str = "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"hi\"}],\"role\": \"model\"},\"finishReason\": \"STOP\",\"groundingMetadata\": {}}],\n  \"usageMetadata\": {\"promptTokenCount\": 3,\"candidatesTokenCount\": 4}\n}\n";
const CONTENT_EVENTS: &str = "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"h\"}]}}],\"modelVersion\": \"g\"}\r\n\r\ndata: {\"candidates\": [{\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 3,\"candidatesTokenCount\": 4}}\r\n\r\n";
const CONTENT_ARRAY: &str = "[{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"h\"}]}}],\"modelVersion\": \"g\"},\r\n{\"candidates\": [{\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 3,\"candidatesTokenCount\": 4}}]";

/// One passage: path and body, target and body as they reach the vendor, its answer, and the
/// client's.
struct Case {
    asked: (&'static str, &'static str),
    sent: (&'static str, &'static str),
    script: Script,
    got: (&'static str, &'static str),
}

const HI: &str = r#"{ "contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}],"n":1e3}"#;
const JSON: &str = "application/json";
const GOOGLE_JSON: &str = "application/json; charset=utf-8";
const SSE: &str = "text/event-stream; charset=utf-8";

const CASES: [Case; 9] = [
    Case {
        asked: (
            "/v1/messages",
            r#"{ "model":"deep","messages":[],"tools":[{"type":"web_search_20250305"}],"x":1e3}"#,
        ),
        sent: (
            "POST /v1/messages ",
            r#"{ "model":"claude-opus-4-6","messages":[],"tools":[{"type":"web_search_20250305"}],"x":1e3}"#,
        ),
        script: json(200, MESSAGE),
        got: (JSON, MESSAGE),
    },
    Case {
        asked: ("/v1/messages", r#"{"model":"deep","messages":[],"stream":true}"#),
        sent: ("POST /v1/messages ", r#"{"model":"claude-opus-4-6","messages":[],"stream":true}"#),
        script: events(MESSAGE_EVENTS),
        got: (SSE, MESSAGE_EVENTS),
    },
    Case {
        asked: ("/v1/messages", r#"{"model":"claude-on-google","messages":[],"stream":true}"#),
        sent: (
            "POST /v1/publishers/anthropic/models/claude-sonnet-4-5@1:streamRawPredict ",
            r#"{"anthropic_version":"vertex-2023-10-16","messages":[],"stream":true}"#,
        ),
        script: events(MESSAGE_EVENTS),
        got: (SSE, MESSAGE_EVENTS),
    },
    Case {
        asked: ("/v1/responses", r#"{"model":"chatty","input":"hi","previous_response_id":"r"}"#),
        sent: (
            "POST /v1/responses ",
            r#"{"model":"gpt-4o","input":"hi","previous_response_id":"r"}"#,
        ),
        script: json(200, RESPONSE),
        got: (JSON, RESPONSE),
    },
    Case {
        asked: ("/v1/responses", r#"{"model":"chatty","input":"hi","stream":true}"#),
        sent: ("POST /v1/responses ", r#"{"model":"gpt-4o","input":"hi","stream":true}"#),
        script: events(RESPONSE_EVENTS),
        got: (SSE, RESPONSE_EVENTS),
    },
    Case {
        asked: ("/v1beta/models/fast:generateContent", HI),
        sent: ("POST /v1beta/models/gemini-2.5-flash:generateContent ", HI),
        script: json(200, CONTENT),
        got: (GOOGLE_JSON, CONTENT),
    },
    Case {
        asked: ("/v1/models/placed:generateContent", HI),
        sent: ("POST /v1/publishers/google/models/gemini-2.5-pro:generateContent ", HI),
        script: json(200, CONTENT),
        got: (GOOGLE_JSON, CONTENT),
    },
    Case {
        asked: ("/v1beta/models/fast:streamGenerateContent?alt=sse", HI),
        sent: ("POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse ", HI),
        script: events(CONTENT_EVENTS),
        got: ("text/event-stream", CONTENT_EVENTS),
    },
    // The vendor is asked for events also when the client wants an array.
    Case {
        asked: ("/v1beta/models/fast:streamGenerateContent", HI),
        sent: ("POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse ", HI),
        script: events(CONTENT_EVENTS),
        got: (GOOGLE_JSON, CONTENT_ARRAY),
    },
];

#[test]
fn bytes_go_on_and_come_back() {
    for (place, case) in CASES.iter().enumerate() {
        let stage = Stage::set(FLAVOURS[place % FLAVOURS.len()], case.script, "");
        let answer = stage.ask(case.asked.0, case.asked.1);
        assert_eq!((answer.status, answer.body.as_str()), (200, case.got.1), "{:?}", case.asked);
        assert_eq!(answer.field("content-type"), Some(case.got.0), "{:?}", case.asked);
        let (head, body) = stage.seen.recv().expect("the vendor was asked");
        assert!(head.starts_with(case.sent.0), "{head}");
        assert_eq!(body, case.sent.1);
        let anthropic = case.sent.0.contains("messages");
        let claude = anthropic || case.sent.0.contains("claude");
        assert_eq!(head.contains("\r\nanthropic-version: 2023-01-01\r\n"), anthropic, "{head}");
        assert_eq!(head.contains("\r\nanthropic-beta: a-1,b-2\r\n"), claude, "{head}");
        assert!(!head.contains("sk-vertex-bridge-dev"), "{head}");
        for (kind, count) in [("prompt", 3), ("completion", 4)] {
            let name = format!("vertex_bridge_tokens_total{{kind=\"{kind}\"}}");
            // An answer is counted when it has been sent.
            let end = Instant::now() + Duration::from_secs(10);
            while stage.gateway.metric(&name) != count {
                assert!(Instant::now() < end, "{name} {:?}", case.asked);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

const MESSAGES: (&str, &str) = ("/v1/messages", r#"{"model":"deep","messages":[]}"#);
const RESPONSES: (&str, &str) = ("/v1/responses", r#"{"model":"chatty","input":"hi"}"#);
const GENERATE: (&str, &str) = ("/v1beta/models/fast:generateContent", r#"{"contents":[]}"#);

#[test]
fn errors_about_the_request_pass_and_others_do_not() {
    let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"m: no","x":1},"request_id":"req_1"}"#;
    let openai = r#"{"error":{"message":"no","type":"invalid_request_error","param":"input","code":null,"x":1}}"#;
    let google =
        "{\n \"error\": {\"code\": 400,\"message\": \"no\",\"status\": \"INVALID_ARGUMENT\"}\n}\n";
    for (asked, body) in [(MESSAGES, anthropic), (RESPONSES, openai), (GENERATE, google)] {
        let stage = Stage::set(Flavour::Epoll, json(400, body), "");
        let answer = stage.ask(asked.0, asked.1);
        assert_eq!((answer.status, answer.body.as_str()), (400, body));
    }
    let poor = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#;
    let key = r#"{"error":{"code":400,"message":"bad key","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    let quoting = r#"{"type":"error","error":{"type":"invalid_request_error","message":"not sk-upstream-secret"}}"#;
    let busy = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for (asked, status, body, expected, word) in [
        (MESSAGES, 400, poor, 502, "api_error"),
        (MESSAGES, 400, quoting, 400, "invalid_request_error"),
        (MESSAGES, 401, anthropic, 502, "api_error"),
        (MESSAGES, 529, busy, 529, "overloaded_error"),
        (MESSAGES, 400, google, 400, "\"type\":\"error\""),
        (RESPONSES, 401, openai, 502, "upstream_auth_error"),
        (GENERATE, 400, key, 502, "UNAVAILABLE"),
        (GENERATE, 404, google, 404, "NOT_FOUND"),
        (GENERATE, 500, "<html>", 500, "INTERNAL"),
    ] {
        let stage = Stage::set(Flavour::Epoll, json(status, body), "");
        let answer = stage.ask(asked.0, asked.1);
        assert_eq!(answer.status, expected, "{}", answer.body);
        assert!(answer.body.contains(word) && answer.body != body, "{}", answer.body);
        assert!(!answer.body.contains("upstream-secret"), "{}", answer.body);
    }
}

#[test]
fn a_stream_that_breaks_off_ends_in_the_clients_error() {
    let broken = |whole: &'static str, at: &str| {
        let cut = whole.find(at).expect("it stands there");
        events(whole.get(..cut).expect("a boundary"))
    };
    let message = (MESSAGES.0, r#"{"model":"deep","messages":[],"stream":true}"#);
    let response = (RESPONSES.0, r#"{"model":"chatty","input":"hi","stream":true}"#);
    let sse = ("/v1beta/models/fast:streamGenerateContent?alt=sse", GENERATE.1);
    let array = ("/v1beta/models/fast:streamGenerateContent", GENERATE.1);
    for (asked, script, end) in [
        (message, broken(MESSAGE_EVENTS, "event: message_stop"), "event: error\ndata: {\"type\""),
        (
            response,
            broken(RESPONSE_EVENTS, "event: response.completed"),
            "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,",
        ),
        (
            sse,
            broken(CONTENT_EVENTS, "data: {\"candidates\": [{\"finish"),
            "\r\n\r\ndata: {\"error\":{",
        ),
        (array, broken(CONTENT_EVENTS, "data: {\"candidates\": [{\"finish"), ",\r\n{\"error\":{"),
    ] {
        let stage = Stage::set(Flavour::Epoll, script, "");
        let answer = stage.ask(asked.0, asked.1);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains(end), "{}", answer.body);
        assert!(asked != array || answer.json().is_array(), "{}", answer.body);
    }
}

#[test]
fn operators_rules_hold_for_native_bodies_too() {
    let settings = "[gemini]\nsafety_settings = '[{\"category\":\"HARM_CATEGORY_HARASSMENT\",\"threshold\":\"BLOCK_NONE\"}]'\n";
    let stage = Stage::set(Flavour::Epoll, json(200, CONTENT), settings);
    assert_eq!(stage.ask(GENERATE.0, GENERATE.1).status, 200);
    let (_, body) = stage.seen.recv().expect("the vendor was asked");
    let added = r#"{"contents":[],"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}"#;
    assert_eq!(body, added);
    // Vertex AI wants to know whose words they are: a translation says it.
    let bare = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
    assert_eq!(stage.ask("/v1beta/models/placed:generateContent", bare).status, 200);
    let (_, body) = stage.seen.recv().expect("the vendor was asked");
    assert!(body.contains(r#""role":"user""#), "{body}");
}
