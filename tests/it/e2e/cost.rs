//! What an answer costs: in a field of whole answers, behind streams, in the log and the metrics.

use super::client::{Answer, Client, chat, get, post};
use super::gateway::{FLAVOURS, Flavour, Gateway};
use super::upstream::Upstream;

const FIELD: &str = "x-vertex-bridge-cost-usd";

/// Sends a request on a connection of its own and reads all that comes, as it comes.
fn raw(gateway: &Gateway, request: &[u8]) -> String {
    use std::io::Read;
    let mut client = Client::connect(gateway.address);
    let request =
        String::from_utf8_lossy(request).replacen("\r\n", "\r\nconnection: close, te\r\n", 1);
    client.send(request.as_bytes());
    let mut all = Vec::new();
    client.stream.read_to_end(&mut all).expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// The same request from a client that takes trailers.
fn with_trailers(request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8_lossy(request).replacen("\r\n", "\r\nte: trailers\r\n", 1);
    request.into_bytes()
}

fn cost(answer: &Answer) -> Option<&str> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.field(FIELD)
}

#[test]
fn a_whole_answer_tells_it_in_a_field_and_a_stream_behind_its_body() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let gateway = Gateway::before(flavour, upstream.address, &[("APP_LOG__LEVEL", "debug")]);
        // Two tokens at 0.30, two from a cache at 0.03 and eight at 2.50 dollars a million.
        let answer = gateway.ask(&chat("plain", false));
        assert_eq!(cost(&answer), Some("0.00002066"), "{flavour:?}");
        let stream = raw(&gateway, &with_trailers(&chat("plain", true)));
        assert!(stream.contains("\r\ntrailer: x-vertex-bridge-cost-usd\r\n"), "{stream}");
        // The stream says nothing of a cache.
        let end = format!("data: [DONE]\n\n\r\n0\r\n{FIELD}: 0.0000212\r\n\r\n");
        assert!(stream.ends_with(&end), "{stream}");
        for request in [chat("plain", true), chat("dribble", true)] {
            let plain = raw(&gateway, &request);
            assert!(!plain.contains(FIELD) && plain.ends_with("\r\n0\r\n\r\n"), "{plain}");
        }
        let log = gateway.log_with("cost_usd=0.000021200");
        assert!(
            log.contains("cost_usd=0.000020660") && log.contains("cost_usd=0.000021200"),
            "{log}"
        );
        let metrics = gateway.ask(&get("/metrics/prometheus")).body;
        let line = metrics.lines().find(|line| line.starts_with("vertex_bridge_cost_usd_total{"));
        let dollars = line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok());
        let expected = 0.000_020_66 + 3.0 * 0.000_021_2;
        assert!(dollars.is_some_and(|dollars| (dollars - expected).abs() < 1e-12), "{line:?}");
        assert!(metrics.lines().any(|line| line == "vertex_bridge_requests_unpriced_total 0"));
    }
}

#[test]
fn a_stream_that_breaks_off_is_charged_by_estimate() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[("APP_LOG__LEVEL", "debug")]);
    let whole = super::upstream::stream_body().len();
    let request = with_trailers(&chat(&format!("cut:{}", whole - 20), true));
    let broken = raw(&gateway, &request);
    assert!(broken.contains("upstream_truncated") && !broken.contains("[DONE]"), "{broken}");
    // Four tokens of the prompt that the vendor has counted, and ten bytes of text or so.
    assert!(broken.ends_with(&format!("{FIELD}: 0.0000087\r\n\r\n")), "{broken}");
    let log = gateway.log_with("tokens=estimated");
    assert!(log.contains("tokens=estimated"), "{log}");
}

#[test]
fn an_unknown_model_has_no_price_and_the_operators_own_goes_first() {
    let upstream = Upstream::start();
    let text = format!(
        r#"
[log]
level = "debug"
[[upstream]]
name = "google"
kind = "gemini"
base_url = "http://{}"
api_key = "AIzaSyD-end-to-end"
[[route]]
model = "*"
targets = [{{ upstream = "google" }}]
[[price]]
model = "gemini-2.5-*"
upstream = "google"
input = "1000"
output = 2000
"#,
        upstream.address
    );
    let gateway = Gateway::written(Flavour::Uring, &text, "0");
    let ask = |model: &str| {
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"plain"}}]}}"#);
        gateway.ask(&post(&body))
    };
    assert_eq!(cost(&ask("gemini-2.5-flash")), Some("0.02"), "cached ones cost as others do");
    // The upstream says that it is gemini-2.5-flash-001, which has a price.
    assert_eq!(cost(&ask("my-alias")), Some("0.02"));
}

#[test]
fn nothing_is_told_where_the_operator_wants_no_fields_of_ours() {
    let upstream = Upstream::start();
    let variables = [("APP_SERVER__OWN_HEADERS", "false")];
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &variables);
    assert_eq!(cost(&gateway.ask(&chat("plain", false))), None);
    let stream = raw(&gateway, &with_trailers(&chat("plain", true)));
    assert!(!stream.contains(FIELD) && stream.ends_with("\r\n0\r\n\r\n"), "{stream}");
}
