//! Web pages that call the API from a browser.

use super::browser::Script;
use super::client::{Answer, chat, get};
use super::gateway::{FLAVOURS, Flavour, Gateway, free_port};
use super::upstream::Upstream;

const PAGE: &str = "https://app.example.com";

/// The same request from a page of this origin, with more fields.
fn from(request: &[u8], origin: &str, more: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("text");
    let field = format!("host: localhost\r\norigin: {origin}\r\n{more}");
    text.replacen("host: localhost\r\n", &field, 1).into_bytes()
}

/// What a browser asks before it sends a request with these fields.
fn preflight(path: &str, origin: &str) -> Vec<u8> {
    let request = get(path);
    let text = String::from_utf8(request).expect("text").replacen("GET ", "OPTIONS ", 1);
    let more = "access-control-request-method: POST\r\n\
                access-control-request-headers: authorization, content-type, x-stainless-os\r\n";
    from(text.as_bytes(), origin, more)
}

fn reader(answer: &Answer) -> Option<&str> {
    answer.field("access-control-allow-origin")
}

#[test]
fn pages_that_are_named_may_call_and_read_and_others_may_not() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let origins = ("APP_SERVER__CORS_ORIGINS", "https://app.example.com,http://localhost:3000");
        let gateway = Gateway::before(flavour, upstream.address, &[origins]);
        for path in ["/v1/chat/completions", "/v1/messages", "/v1beta/models/a:generateContent"] {
            let answer = gateway.ask(&preflight(path, PAGE));
            assert_eq!((answer.status, reader(&answer)), (200, Some(PAGE)), "{}", answer.head);
            let names = answer.field("access-control-allow-headers");
            assert_eq!(names, Some("authorization, content-type, x-stainless-os"));
            let methods = answer.field("access-control-allow-methods");
            assert_eq!((methods, answer.body.as_str()), (Some("get, head, post"), ""));
        }
        for request in [chat("hi", false), chat("hi", true), chat("status:500", false)] {
            let answer = gateway.ask(&from(&request, PAGE, ""));
            assert_eq!(reader(&answer), Some(PAGE), "{}", answer.head);
            assert_eq!(answer.field("access-control-expose-headers"), Some("*"));
            assert!(answer.head.contains("vary: origin\r\n"), "{}", answer.head);
            assert_eq!(reader(&gateway.ask(&request)), None, "it is no page's");
            let other = gateway.ask(&from(&request, "https://evil.example.com", ""));
            assert_eq!((other.status, reader(&other)), (answer.status, None));
        }
        assert_eq!(gateway.ask(&preflight("/v1/chat/completions", "https://evil")).status, 405);
        // What is for operators, and what is nowhere.
        for path in ["/metrics", "/admin/v1/keys", "/dashboard", "/health", "/nowhere"] {
            let asked = gateway.ask(&preflight(path, PAGE));
            assert!(reader(&asked).is_none() && asked.status >= 400, "{path}: {}", asked.head);
            assert_eq!(reader(&gateway.ask(&from(&get(path), PAGE, ""))), None, "{path}");
        }
    }
}

#[test]
fn every_page_may_where_all_are_named_and_none_where_none_is() {
    let upstream = Upstream::start();
    for (origins, read, status) in [("*", Some("*"), 200), ("", None, 405)] {
        let variables = [("APP_SERVER__CORS_ORIGINS", origins)];
        let gateway = Gateway::before(Flavour::Uring, upstream.address, &variables);
        let answer = gateway.ask(&from(&chat("hi", false), "null", ""));
        assert_eq!((answer.status, reader(&answer)), (200, read));
        assert!(!answer.head.contains("vary: origin"), "{}", answer.head);
        let asked = gateway.ask(&preflight("/v1/chat/completions", PAGE));
        assert_eq!((asked.status, reader(&asked)), (status, read), "{}", asked.head);
    }
}

#[test]
fn a_browser_lets_the_named_page_read_and_not_the_other() {
    let upstream = Upstream::start();
    let ports = [free_port(), free_port()].map(|port| port.to_string());
    let origin = format!("http://127.0.0.1:{}", ports[0]);
    let variables = [("APP_SERVER__CORS_ORIGINS", origin.as_str())];
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &variables);
    let [one, other] = &ports;
    let arguments = [one.as_str(), other.as_str()];
    let script = Script::start("pages.cjs", gateway.address, "sk-vertex-bridge-dev", &arguments);
    assert_eq!(script.rest().trim(), "all is well");
}
