//! Answers that are packed for their way, and those that are not.

use std::io::Read;

use super::client::{Answer, chat, get};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::upstream::Upstream;

/// The same request of a client that takes these codings.
fn taking(request: &[u8], codings: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("text");
    let field = format!("host: localhost\r\naccept-encoding: {codings}\r\n");
    text.replacen("host: localhost\r\n", &field, 1).into_bytes()
}

/// What the body of an answer says.
fn unpacked(answer: &Answer) -> String {
    let (bytes, mut text) = (answer.bytes.as_slice(), Vec::new());
    match answer.field("content-encoding") {
        None => text.extend_from_slice(bytes),
        Some("gzip") => {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).map(drop).expect("gzip");
        }
        Some("zstd") => zstd::stream::copy_decode(bytes, &mut text).expect("zstd"),
        Some(other) => panic!("nobody asked for {other}"),
    }
    String::from_utf8(text).expect("text")
}

#[test]
fn answers_are_packed_as_the_client_wishes_and_say_the_same() {
    let upstream = Upstream::start();
    for flavour in FLAVOURS {
        let gateway = Gateway::before(flavour, upstream.address, &[]);
        let request = chat("long:8000", false);
        let plain = gateway.ask(&request);
        assert_eq!(plain.field("content-encoding"), None);
        assert_eq!(plain.field("vary"), Some("accept-encoding"), "{}", plain.head);
        let content = |answer: &Answer| {
            let body: serde_json::Value = serde_json::from_str(&unpacked(answer)).expect("JSON");
            body["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
        };
        for (codings, expected) in [
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("zstd;q=0.5, gzip", Some("gzip")),
            ("identity;q=0.5, *;q=0", None),
            ("br", None),
            ("", None),
        ] {
            let answer = gateway.ask(&taking(&request, codings));
            assert_eq!(answer.field("content-encoding"), expected, "{codings}: {}", answer.head);
            assert_eq!(answer.field("vary"), Some("accept-encoding"));
            assert_eq!(content(&answer), content(&plain), "{flavour:?} {codings}");
            assert!(expected.is_none() || answer.bytes.len() * 2 < plain.bytes.len());
        }
        // Pages too, and the answer to HEAD tells the same.
        let page = gateway.ask(&taking(&get("/metrics/prometheus"), "gzip"));
        assert_eq!(page.field("content-encoding"), Some("gzip"));
        let packed = "vertex_bridge_compression_total{coding=\"gzip\"} 2";
        assert!(unpacked(&page).contains(packed), "{}", unpacked(&page));
    }
}

#[test]
fn streams_short_answers_and_errors_go_as_they_are() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let wish = "gzip, zstd, identity;q=0.1";
    let stream = gateway.ask(&taking(&chat("long:8000", true), wish));
    assert_eq!((stream.status, stream.field("content-encoding")), (200, None));
    assert_eq!(stream.field("vary"), None, "{}", stream.head);
    assert!(stream.body.ends_with("data: [DONE]\n\n"), "{}", stream.body);
    for (question, status) in [("hi", 200), ("status:500", 500)] {
        let short = gateway.ask(&taking(&chat(question, false), wish));
        assert_eq!((short.status, short.field("content-encoding")), (status, None));
        assert_eq!(short.field("vary"), None, "{}", short.head);
        // A client that takes nothing as it is gets what is short packed, too.
        let must = gateway.ask(&taking(&chat(question, false), "gzip, identity;q=0"));
        assert_eq!((must.status, must.field("content-encoding")), (status, Some("gzip")));
        let body: serde_json::Value = serde_json::from_str(&unpacked(&must)).expect("JSON");
        assert!(body.is_object());
    }
}

#[test]
fn compression_can_be_bounded_and_turned_off() {
    let upstream = Upstream::start();
    for (name, value) in [("LEVEL", "0"), ("MIN_BYTES", "64KiB")] {
        let variable = format!("APP_COMPRESSION__{name}");
        let gateway = Gateway::before(Flavour::Uring, upstream.address, &[(&variable, value)]);
        let answer = gateway.ask(&taking(&chat("long:8000", false), "gzip"));
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None));
    }
    let huge = chat("long:400000", false);
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let answer = gateway.ask(&taking(&huge, "gzip"));
    assert_eq!(answer.field("content-encoding"), None, "a core would be held up");
}
