//! A Gemini upstream that answers as the question says: `cut:120` cuts its answer after so many
//! bytes, `dribble` sends it byte by byte, `status:503` fails, `long:5000` answers at that
//! length, `late:5000` does so after a second, `wait:100` takes so many milliseconds, `fail:100` fails
//! after them, `stall` says nothing more.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What the upstream saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A whole request: head and body.
    Request(String, String),
    /// A connection ended while an answer was held back, at this time.
    Left(Instant),
}

/// A running upstream; it ends with the test's process.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    pub(super) seen: Receiver<Seen>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (sender, seen) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        Self { address, seen }
    }
}

/// The chunks of the streamed answer, as Google sends them.
pub(super) const EVENTS: [&str; 3] = [
    "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"H\u{e9}\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 4},\"modelVersion\": \"gemini-2.5-flash-001\",\"responseId\": \"resp\"}",
    "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"llo \u{1f600}\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 4,\"candidatesTokenCount\": 2}}",
    "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"!\"}],\"role\": \"model\"},\"finishReason\": \"STOP\",\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 4,\"candidatesTokenCount\": 3,\"thoughtsTokenCount\": 5,\"totalTokenCount\": 12}}",
];

/// The whole streamed body, without chunked coding.
pub(super) fn stream_body() -> Vec<u8> {
    EVENTS.iter().flat_map(|event| format!("data: {event}\r\n\r\n").into_bytes()).collect()
}

/// The answer that is not streamed.
pub(super) const WHOLE: &str = "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"H\u{e9}llo \u{1f600}!\"}],\"role\": \"model\"},\"finishReason\": \"STOP\",\"index\": 0}],\n  \"usageMetadata\": {\"promptTokenCount\": 4,\"candidatesTokenCount\": 3,\"thoughtsTokenCount\": 5,\"cachedContentTokenCount\": 2,\"totalTokenCount\": 12},\n  \"modelVersion\": \"gemini-2.5-flash-001\",\n  \"responseId\": \"resp\"\n}\n";

/// A connection to the gateway, with TLS or without.
pub(super) trait Peer: Read + Write {
    /// Reads give up after so long.
    fn limit_reads(&self, limit: Duration) -> bool;
}

impl Peer for TcpStream {
    fn limit_reads(&self, limit: Duration) -> bool {
        self.set_read_timeout(Some(limit)).is_ok()
    }
}

pub(super) fn serve(mut stream: impl Peer, seen: &Sender<Seen>) {
    let mut inbox = Vec::new();
    while let Some((head, body)) = read_request(&mut stream, &mut inbox) {
        let question = question(&body);
        let streamed = head.contains("streamGenerateContent");
        let told = seen.send(Seen::Request(head, body));
        if told.is_err() || !answer(&mut stream, &question, streamed, seen) {
            return;
        }
    }
}

/// The last user text.
fn question(body: &str) -> String {
    let text = body.rsplit("\"text\":\"").next().unwrap_or_default();
    text.split('"').next().unwrap_or_default().to_owned()
}

/// Head and body of the next request.
pub(super) fn read_request(
    stream: &mut impl Peer,
    inbox: &mut Vec<u8>,
) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(inbox).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().split("content-length:").nth(1)?.to_owned();
            let length: usize = length.lines().next()?.trim().parse().ok()?;
            if body.len() >= length {
                let result = (head.to_owned(), body.get(..length)?.to_owned());
                inbox.drain(..head.len() + 4 + length);
                return Some(result);
            }
        }
        let mut buffer = [0; 8192];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        inbox.extend_from_slice(buffer.get(..count)?);
    }
}

/// Answers one question; false when the connection is to end.
fn answer(stream: &mut impl Peer, question: &str, streamed: bool, seen: &Sender<Seen>) -> bool {
    let (what, number) = question.split_once(':').unwrap_or((question, "0"));
    // What stands behind it makes questions different.
    let number = number.split(' ').next().unwrap_or_default();
    let number: usize = number.parse().unwrap_or(0);
    let pause = Duration::from_millis(number.try_into().unwrap_or(0));
    if what == "fail" || what == "wait" && !streamed {
        thread::sleep(pause);
    }
    if what == "late" {
        thread::sleep(Duration::from_secs(1));
    }
    let (what, number) = if what == "fail" { ("status", 500) } else { (what, number) };
    if what == "status" {
        let body = format!(
            "{{\"error\":{{\"code\":{number},\"message\":\"as asked\",\"status\":\"X\"}}}}"
        );
        let head =
            format!("HTTP/1.1 {number} X\r\ncontent-type: application/json\r\nretry-after: 7");
        return write(
            stream,
            format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        );
    }
    let (head, body) = if streamed {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        (head.to_owned(), stream_body())
    } else {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let whole = if what == "long" || what == "late" { long(number) } else { WHOLE.to_owned() };
        (format!("{head}: {}\r\n\r\n", whole.len()), whole.into_bytes())
    };
    let end = if what == "cut" || what == "stall" { number.min(body.len()) } else { body.len() };
    let size = match what {
        "dribble" => 1,
        "wait" if streamed => body.len() / 2 + 1,
        _ => body.len().max(1),
    };
    let body = body.get(..end).unwrap_or_default();
    let mut out = if what == "silent" { Vec::new() } else { head.into_bytes() };
    for piece in body.chunks(size).filter(|_| what != "silent") {
        if streamed {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        out.extend_from_slice(piece);
        if streamed {
            out.extend_from_slice(b"\r\n");
        }
        if !write(stream, &out) {
            return false;
        }
        out.clear();
        if what == "wait" && streamed {
            thread::sleep(pause / 2);
        }
    }
    // An answer without a body byte still has its head.
    if !out.is_empty() && !write(stream, &out) {
        return false;
    }
    match what {
        "cut" => false,
        "stall" | "silent" => {
            wait_for_end(stream, seen);
            false
        }
        _ if streamed => write(stream, b"0\r\n\r\n"),
        _ => true,
    }
}

/// An answer with so many bytes of text.
fn long(bytes: usize) -> String {
    const WORDS: [&str; 8] =
        ["answer ", "bridge ", "coding ", "dialog ", "events ", "future ", "golden ", "header "];
    let words: String = (0..bytes / 7).map(|word| WORDS[word * word / 3 % 8]).collect();
    WHOLE.replace("H\u{e9}llo", &words)
}

/// Notes when the gateway hangs up.
fn wait_for_end(stream: &mut impl Peer, seen: &Sender<Seen>) {
    let limited = stream.limit_reads(Duration::from_secs(30));
    let ended = stream.read(&mut [0; 16]);
    if limited && !matches!(ended, Ok(1..)) {
        // The test may have ended before.
        let _nobody = seen.send(Seen::Left(Instant::now()));
    }
}

fn write(stream: &mut impl Peer, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}
