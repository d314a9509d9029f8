//! A collector of traces that answers as a script says; what it gets is decoded with what is
//! generated from the published schema.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and looks at real time"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// One request to the collector.
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) request: ExportTraceServiceRequest,
    pub(crate) at: Instant,
}

impl Got {
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span> {
        let scopes = self.request.resource_spans.iter().flat_map(|all| &all.scope_spans);
        scopes.flat_map(|scope| &scope.spans)
    }
}

/// What the collector answers, each of them once and the last one for ever.
pub(crate) type Script = Vec<(&'static str, Vec<u8>)>;

pub(crate) const OK: &str = "200 OK";

pub(crate) fn collector(script: Script) -> (String, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let (sender, got) = channel();
    thread::spawn(move || {
        let mut script = script.into_iter().peekable();
        for mut stream in listener.incoming().flatten() {
            while let Some((head, body)) = read(&mut stream) {
                let mut plain = Vec::new();
                let mut zipped = flate2::read::GzDecoder::new(&*body);
                zipped.read_to_end(&mut plain).expect("gzip");
                let request = ExportTraceServiceRequest::decode(&*plain).expect("the schema");
                let answer = script.peek().cloned().expect("an answer");
                if script.len() > 1 {
                    script.next();
                }
                let gone = sender.send(Got { head, request, at: Instant::now() }).is_err();
                if gone || !write(&mut stream, &answer) {
                    break;
                }
            }
        }
    });
    (format!("http://{address}"), got)
}

pub(crate) fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 65_536];
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(at) = head {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length = head.split("content-length: ").nth(1)?.lines().next()?;
            let length: usize = length.trim().parse().ok()?;
            if bytes.len() >= at + length {
                return Some((head, bytes[at..at + length].to_vec()));
            }
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
}

pub(crate) fn write(stream: &mut TcpStream, (status, body): &(&'static str, Vec<u8>)) -> bool {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_ok()
}

/// An attribute that is text.
pub(crate) fn text<'s>(attributes: &'s [KeyValue], key: &str) -> Option<&'s str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
