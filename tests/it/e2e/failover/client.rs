//! The client of the failure scenarios: it asks for a stream with its usage, and reads it as
//! strictly as an SDK would.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::client::post;
use super::rules::{End, Got};

const QUESTION: &str = "When is a bridge judged? Answer in sixty words.";

/// A question to this model.
pub(super) fn question(model: &str, stream: bool) -> Vec<u8> {
    let messages = json!([{ "role": "user", "content": QUESTION }]);
    let mut body = json!({ "model": model, "messages": messages, "stream": stream });
    if stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    post(&body.to_string())
}

/// Asks for a stream and reads it to its end, at most for `limit`.
pub(super) fn ask(gateway: SocketAddr, model: &str, (begin, limit): (Instant, Duration)) -> Got {
    let asked = Instant::now();
    let mut got = Got {
        asked: asked.saturating_duration_since(begin),
        took: Duration::ZERO,
        end: End::Never,
        text: String::new(),
        model: String::new(),
        usage: false,
        finish: String::new(),
    };
    got.end = read(gateway, model, asked + limit, &mut got).unwrap_or_else(|end| end);
    got.took = asked.elapsed();
    // The kernel's timers may be late by seconds when they are long.
    if got.took > limit {
        got.end = End::Never;
    }
    got
}

/// The end of an answer, either by its own words or by what happened to it.
fn read(gateway: SocketAddr, model: &str, until: Instant, got: &mut Got) -> Result<End, End> {
    let mut wire = Wire::open(gateway, until)?;
    wire.stream.write_all(&question(model, true)).map_err(|_gone| End::Broken("no connection"))?;
    let head = wire.line_group()?.to_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if status != "200" {
        let body = wire.body(&head)?;
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        return Ok(End::Error(format!("{}{}", code(&error["error"]), suffix(&error, &status))));
    }
    if !head.contains("content-type: text/event-stream") {
        return Err(End::Broken("no stream"));
    }
    let (mut events, mut end) = (Vec::new(), None);
    while let Some(chunk) = wire.chunk()? {
        events.extend_from_slice(&chunk);
        while let Some(place) = events.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = events.drain(..=place).collect();
            let line = String::from_utf8(line).map_err(|_text| End::Broken("no UTF-8"))?;
            take(line.trim_end(), got, &mut end)?;
        }
    }
    Ok(end.unwrap_or(End::Unmarked))
}

/// A status that is not the code's own says so.
fn suffix(error: &Value, status: &str) -> String {
    let is_known = error["error"]["code"].is_string();
    if is_known { String::new() } else { format!(" ({status})") }
}

fn code(error: &Value) -> String {
    error["code"].as_str().unwrap_or("without a code").to_owned()
}

/// Takes one line of the stream.
fn take(line: &str, got: &mut Got, end: &mut Option<End>) -> Result<(), End> {
    let Some(data) = line.strip_prefix("data:").map(str::trim) else { return Ok(()) };
    if end.is_some() {
        return Err(End::Broken("an event behind the end"));
    }
    if data == "[DONE]" {
        *end = Some(End::Done);
        return Ok(());
    }
    let event: Value = serde_json::from_str(data).map_err(|_json| End::Broken("no JSON"))?;
    if event["error"].is_object() {
        *end = Some(End::Error(code(&event["error"])));
        return Ok(());
    }
    got.usage |= event["usage"].is_object();
    if let Some(model) = event["model"].as_str() {
        model.clone_into(&mut got.model);
    }
    let choice = &event["choices"][0];
    got.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    if let Some(reason) = choice["finish_reason"].as_str() {
        reason.clone_into(&mut got.finish);
    }
    Ok(())
}

/// A connection that is read until a certain time.
struct Wire {
    stream: TcpStream,
    inbox: Vec<u8>,
    until: Instant,
}

impl Wire {
    fn open(gateway: SocketAddr, until: Instant) -> Result<Self, End> {
        let stream = TcpStream::connect(gateway).map_err(|_gone| End::Broken("no connection"))?;
        Ok(Self { stream, inbox: Vec::new(), until })
    }

    /// Reads more; an end of the connection is one in the middle.
    fn more(&mut self) -> Result<(), End> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(End::Never);
        }
        self.stream.set_read_timeout(Some(left)).map_err(|_gone| End::Broken("no connection"))?;
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(End::Broken("the connection ended in the middle")),
            Ok(count) => {
                self.inbox.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(End::Never)
            }
            Err(_) => Err(End::Broken("the connection was reset")),
        }
    }

    fn until(&mut self, mark: &[u8]) -> Result<String, End> {
        loop {
            let found = self.inbox.windows(mark.len()).position(|window| window == mark);
            if let Some(place) = found {
                let bytes = self.inbox.drain(..place + mark.len()).collect();
                return String::from_utf8(bytes).map_err(|_text| End::Broken("no UTF-8"));
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.inbox.len() < count {
            self.more()?;
        }
        Ok(self.inbox.drain(..count).collect())
    }

    /// A head, up to its empty line.
    fn line_group(&mut self) -> Result<String, End> {
        self.until(b"\r\n\r\n")
    }

    /// The next chunk of a chunked body; none at its end.
    fn chunk(&mut self) -> Result<Option<Vec<u8>>, End> {
        let line = self.until(b"\r\n")?;
        let size = usize::from_str_radix(line.trim(), 16);
        let size = size.map_err(|_number| End::Broken("no chunk"))?;
        let mut chunk = self.exactly(size + 2)?;
        chunk.truncate(size);
        Ok(Some(chunk).filter(|_| size > 0))
    }

    /// The whole body of an answer with this head, in lower case.
    fn body(&mut self, head: &str) -> Result<Vec<u8>, End> {
        if head.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
            return Ok(body);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.trim().parse().ok());
        self.exactly(length.ok_or(End::Broken("no length"))?)
    }
}

#[test]
fn a_stream_is_read_strictly() {
    let read = |lines: &[&str]| {
        let (mut got, mut end) = (super::checks::whole(), None);
        got.text.clear();
        let taken = lines.iter().try_for_each(|line| take(line, &mut got, &mut end));
        taken.err().or(end).map(|end| (end, got.text))
    };
    let word = r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let done = |end, text: &str| Some((end, text.to_owned()));
    assert_eq!(read(&[": ping", "", word, word, "data: [DONE]"]), done(End::Done, "aa"));
    assert_eq!(read(&[word]), None, "that is for the body's end to say");
    let error = r#"data: {"error":{"message":"m","code":"upstream_truncated"}}"#;
    let truncated = || End::Error("upstream_truncated".to_owned());
    assert_eq!(read(&[word, error]), done(truncated(), "a"));
    assert!(matches!(read(&[word, error, "data: [DONE]"]), Some((End::Broken(_), _))));
    assert!(matches!(read(&["data: {"]), Some((End::Broken("no JSON"), _))));
}
