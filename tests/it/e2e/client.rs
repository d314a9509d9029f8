//! A raw HTTP/1.1 client: it sends the bytes that it is given and reads one answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells clients that go on until they are told to stop, also when the test fails: whoever waits
/// for them would wait for ever.
pub(super) struct Stop<'s>(pub(super) &'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lower case.
    pub(super) head: String,
    pub(super) body: String,
    /// The same as it came.
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// A connection with what was read and not used.
pub(super) struct Client<S = TcpStream> {
    pub(super) stream: S,
    inbox: Vec<u8>,
}

impl Client {
    pub(super) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the gateway accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// Speaks over a connection that is open.
    pub(super) fn over(stream: S) -> Self {
        Self { stream, inbox: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        // A gateway that refuses early may close before it has read all.
        if let Err(error) = self.stream.write_all(bytes) {
            let expected = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            assert!(expected.contains(&error.kind()), "{error}");
        }
    }

    /// The next answer; none when the connection ended before it was whole.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("a head is text").to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.expect("a status line");
        if status == 100 {
            return self.answer();
        }
        let mut answer = Answer { status, head, body: String::new(), bytes: Vec::new() };
        let body = if answer.field("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else {
            let length = answer.field("content-length").expect("a length").parse();
            self.exactly(length.expect("a number"))?
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer.bytes = body;
        Some(answer)
    }

    /// Has the gateway closed?
    pub(super) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.stream.read(&mut byte), Ok(0))
            || self.stream.read(&mut byte).is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")?).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let chunk = self.exactly(size + 2)?;
            body.extend_from_slice(chunk.get(..size)?);
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.inbox.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Some(self.inbox.drain(..at + mark.len()).collect());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.inbox.len() < count {
            self.more()?;
        }
        Some(self.inbox.drain(..count).collect())
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 8192];
        let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        self.inbox.extend_from_slice(buffer.get(..count)?);
        Some(())
    }
}

/// A chat request of one user message.
pub(super) fn chat(content: &str, stream: bool) -> Vec<u8> {
    let more =
        if stream { ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" } else { "" };
    let body = format!(
        "{{\"model\":\"gemini-2.5-flash\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]{more}}}"
    );
    post(&body)
}

/// A POST of this JSON to the chat endpoint.
pub(super) fn post(body: &str) -> Vec<u8> {
    post_to("/v1/chat/completions", "sk-vertex-bridge-dev", body)
}

/// A POST of this JSON to a path, with this key.
pub(super) fn post_to(path: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A GET of this path.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}
