//! An upstream that says what it was told to: a request names its answer with the word `case:NAME`
//! in a text. Where the conversation has an assistant's message, it is the answer for `NAME:given`.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::upstream::read_request;

/// What is written for one name.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Head and body, as they go over the wire.
    pub(super) bytes: Vec<u8>,
    /// The connection ends behind it.
    pub(super) close: bool,
    /// It is kept back for so long.
    pub(super) wait: Option<Duration>,
}

impl Reply {
    /// A whole answer with this status, field lines (each with its end) and body.
    pub(super) fn whole(status: u16, fields: &str, body: &str) -> Self {
        let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
        let length = body.len();
        let bytes = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{fields}content-length: {length}\r\n\r\n{body}"
        );
        Self { bytes: bytes.into_bytes(), close: false, wait: None }
    }

    /// The head of a stream and so many bytes of it; its end only when all have come and
    /// `ends` is set.
    pub(super) fn stream(body: &[u8], bytes: usize, ends: bool) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut out = head.as_bytes().to_vec();
        let part = body.get(..bytes).unwrap_or(body);
        if !part.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        if ends {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Self { bytes: out, close: !ends, wait: None }
    }
}

/// Starts it; it ends with the test's process.
pub(super) fn start(replies: HashMap<String, Reply>) -> SocketAddr {
    start_script(replies.into_iter().map(|(name, reply)| (name, vec![reply])).collect()).0
}

/// How many requests have named each case.
pub(super) type Asked = Arc<Mutex<HashMap<String, usize>>>;

/// Starts one that answers the first request of a case with its first reply, and so on; the last
/// reply stays.
pub(super) fn start_script(replies: HashMap<String, Vec<Reply>>) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let counts = Arc::clone(&asked);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let replies = Arc::new(replies);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (replies, counts) = (Arc::clone(&replies), Arc::clone(&counts));
            thread::spawn(move || serve(stream, &replies, &counts));
        }
    });
    (address, asked)
}

fn serve(mut stream: TcpStream, replies: &HashMap<String, Vec<Reply>>, asked: &Asked) {
    let mut inbox = Vec::new();
    while let Some((_head, body)) = read_request(&mut stream, &mut inbox) {
        let name = body.split("case:").nth(1).unwrap_or_default();
        let name = name.split('"').next().unwrap_or_default();
        let given = format!("{name}:given");
        let begun = body.contains("\"role\":\"assistant\"") && replies.contains_key(&given);
        let name = if begun { given.as_str() } else { name };
        let script = replies.get(name).unwrap_or_else(|| panic!("no case in {body}"));
        let place = {
            let mut asked = asked.lock().expect("nobody panics");
            let count = asked.entry(name.to_owned()).or_default();
            *count += 1;
            (*count - 1).min(script.len() - 1)
        };
        let reply = &script[place];
        if let Some(wait) = reply.wait {
            thread::sleep(wait);
        }
        if stream.write_all(&reply.bytes).is_err() {
            return;
        }
        if reply.close {
            // All that was written is read before the connection is gone.
            let _left = stream.shutdown(std::net::Shutdown::Write);
            let _rest = stream.read(&mut [0; 64]);
            return;
        }
    }
}
