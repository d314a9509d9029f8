//! Trace context: what a client says of its trace goes on to upstreams of the own network, with our
//! span in between, and to nobody else.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::client::post;
use super::gateway::{Flavour, Gateway};
use super::upstream::read_request;

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
const ASKED: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// An upstream that answers every request alike; gives the heads of what it is asked.
fn upstream() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let origin = format!("http://{}", listener.local_addr().expect("it has an address"));
    let (sender, heads) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut inbox = Vec::new();
            while let Some((head, _)) = read_request(&mut stream, &mut inbox) {
                let length = ANSWER.len();
                let head_out =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                let answer = format!("{head_out}: {length}\r\n\r\n{ANSWER}");
                if sender.send(head).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    (origin, heads)
}

fn gateway(origin: &str, more: &str) -> Gateway {
    let text = format!(
        "[[upstream]]\nname = \"near\"\nkind = \"openai\"\nbase_url = \"{origin}/v1\"\n{more}\n\
         [[route]]\nmodel = \"m\"\ntargets = [ {{ upstream = \"near\" }} ]\n"
    );
    Gateway::written(Flavour::Epoll, &text, "0")
}

fn ask(gateway: &Gateway, fields: &str) {
    let request = String::from_utf8(post(ASKED)).expect("a request is text");
    let host = format!("host: localhost\r\n{fields}");
    let request = request.replacen("host: localhost\r\n", &host, 1);
    let answer = gateway.ask(request.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.field("traceparent").is_none() && answer.field("tracestate").is_none());
    let timing = answer.field("server-timing").expect("phases").replace('.', "");
    let numbers = timing.split("dur=").skip(1);
    let digits = |rest: &str| rest.split(',').next().and_then(|digits| digits.trim().parse().ok());
    let numbers: Vec<u64> = numbers.map(|rest| digits(rest).expect("a number")).collect();
    let (total, phases) = numbers.split_last().expect("phases");
    assert_eq!(phases.iter().sum::<u64>(), *total, "{timing}");
    assert!(*total > 0 && phases.len() == 7, "{timing}");
}

/// The values of a field in a head, in order.
fn values<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
}

#[test]
fn a_client_s_trace_goes_on_with_our_span_in_between() {
    let (origin, heads) = upstream();
    let gateway = gateway(&origin, "");
    let mut spans = Vec::new();
    for flags in ["00", "01"] {
        let state = "tracestate: a=1, b=2\r\ntracestate: c=3\r\n";
        ask(&gateway, &format!("TraceParent: 00-{TRACE}-{SPAN}-{flags}\r\n{state}"));
        let head = heads.recv().expect("a request");
        let parents = values(&head, "traceparent");
        let [parent] = parents[..] else { panic!("{head}") };
        let parts: Vec<&str> = parent.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, flags), "{head}");
        assert!(parts[2].len() == 16 && parts[2] != SPAN, "{head}");
        assert_eq!(values(&head, "tracestate"), ["a=1,b=2,c=3"], "{head}");
        spans.push(parts[2].to_owned());
    }
    assert_ne!(spans[0], spans[1]);
}

#[test]
fn what_is_no_trace_context_is_not_repeated_and_a_trace_begins() {
    let (origin, heads) = upstream();
    let gateway = gateway(&origin, "");
    let good = format!("00-{TRACE}-{SPAN}-01");
    let mut traces = vec![TRACE.to_owned()];
    for fields in [
        String::new(),
        "tracestate: a=1\r\n".to_owned(),
        format!("traceparent: {good}x\r\ntracestate: a=1\r\n"),
        format!("traceparent: {good}\r\ntraceparent: {good}\r\ntracestate: a=1\r\n"),
    ] {
        ask(&gateway, &fields);
        let head = heads.recv().expect("a request");
        let trace = values(&head, "traceparent")[0].split('-').nth(1).expect("a trace").to_owned();
        assert!(trace.len() == 32 && !traces.contains(&trace), "{head}");
        assert!(values(&head, "traceparent")[0].ends_with("-00"), "nobody records it: {head}");
        assert!(values(&head, "tracestate").is_empty(), "{head}");
        traces.push(trace);
    }
    ask(&gateway, &format!("traceparent: {good}\r\ntracestate: no\r\n"));
    let head = heads.recv().expect("a request");
    assert!(values(&head, "traceparent")[0].contains(TRACE), "{head}");
    assert!(values(&head, "tracestate").is_empty(), "{head}");
}

#[test]
fn an_upstream_that_is_not_to_know_is_told_nothing() {
    let (origin, heads) = upstream();
    let gateway = gateway(&origin, "trace_context = false");
    ask(&gateway, &format!("traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: a=1\r\n"));
    let head = heads.recv().expect("a request");
    assert!(values(&head, "traceparent").is_empty(), "{head}");
    assert!(values(&head, "tracestate").is_empty() && !head.contains(TRACE), "{head}");
}
