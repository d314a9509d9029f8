//! What one exchange asks of the allocator in a shard that serves: a real executor, real sockets,
//! every byte of the request's way through it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use vertex_bridge::config::{Config, Sources};
use vertex_bridge::net::Security;
use vertex_bridge::obs::{Cells, Shape, TargetLabels};
use vertex_bridge::policy::Holder;
use vertex_bridge::policy::price::Book;
use vertex_bridge::proxy;
use vertex_bridge::rt::native::Executor;
use vertex_bridge::rt::{Driver, Letters, Runtime, bind, mailbox};
use vertex_bridge::shard::{Access, Board, Letter, Parts, Probes, Shard, Signatures};

use super::{ALLOCATIONS, LARGEST};

const ROUNDS: u64 = 500;

/// A path that clients ask, and the upstream behind the model that they name.
type Case = (&'static str, &'static str);

/// How often one exchange may ask, translated or not.
const AT_MOST: u64 = 8;

/// The most bytes that one exchange may ask for at once. The largest are those of the future of a
/// request, which a stream holds as long as it lasts; above 4 KiB the allocator takes another KiB.
const LARGEST_MOST: usize = 4096;

/// An upstream's answer to each API, whole.
const ANSWERS: [(&str, &str); 3] = [
    (
        ":generateContent",
        r#"{"candidates":[{"content":{"parts":[{"text":"Hello there."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12,"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]},"modelVersion":"m","responseId":"r1"}"#,
    ),
    (
        "/messages",
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}"#,
    ),
    (
        "/chat/completions",
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
    ),
];

/// Answers every request, on a thread of its own.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_all(stream));
        }
    });
    address
}

fn answer_all(mut stream: TcpStream) {
    let mut request = Vec::new();
    while message(&mut stream, &mut request) {
        let text = String::from_utf8_lossy(&request);
        let answer = ANSWERS.iter().find(|(path, _)| text.contains(path)).expect("a known API").1;
        let length = answer.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let sent = stream.write_all(format!("{head}: {length}\r\n\r\n{answer}").as_bytes());
        if sent.is_err() {
            return;
        }
    }
}

/// Reads one message with a Content-Length; false at the end.
fn message(stream: &mut TcpStream, into: &mut Vec<u8>) -> bool {
    into.clear();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(into).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1).expect("it has a length");
            let length = length.lines().next().expect("a line").trim();
            if body.len() >= length.parse().expect("a number") {
                return true;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(count) => into.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
}

fn config(upstream: SocketAddr) -> Config {
    let text = format!(
        r#"
[auth]
require_auth = false
[rate_limit]
capacity = 1000000000
refill_per_second = 1000000000
[[upstream]]
name = "google"
kind = "gemini"
base_url = "http://{upstream}"
api_key = "AIzaSyD-counted"
[[upstream]]
name = "claude"
kind = "anthropic"
base_url = "http://{upstream}"
api_key = "sk-ant-counted"
[[upstream]]
name = "openai"
kind = "openai"
base_url = "http://{upstream}/v1"
api_key = "sk-counted"
[[route]]
model = "google"
targets = [{{ upstream = "google", model = "gemini-2.5-flash" }}]
[[route]]
model = "claude"
targets = [{{ upstream = "claude", model = "claude-sonnet-4-5" }}]
[[route]]
model = "openai"
targets = [{{ upstream = "openai", model = "gpt-4o-mini" }}]
"#
    );
    let sources = Sources {
        file: Some(("gateway.toml", &text)),
        flags: &[],
        variables: &[],
        read_file: &|_| Err("no files here".to_owned()),
    };
    Config::load(&sources).expect("a sound configuration")
}

/// A shard on this thread, before upstreams at one address.
fn shard<R: Runtime>(rt: &R, upstream: SocketAddr) -> std::rc::Rc<Shard<R>> {
    let config = config(upstream);
    let label = || "x".to_owned();
    let shape = Shape {
        targets: vec![TargetLabels { route: label(), provider: label(), model: label() }],
        upstreams: Vec::new(),
    };
    let (control, _nobody_asks) = channel();
    let parts = Parts {
        index: 0,
        probes: Probes::new(config.upstreams.len()),
        upstream_places: config.limits.upstream_places(0, 1),
        journal: vertex_bridge::journal::Journal::default(),
        access: Access::new(&config, &Holder::of(&config.auth.keys), 0, 0),
        prices: Arc::new(Book::of(&config)),
        cells: Arc::new(Cells::new(&shape)),
        board: Board::new(1),
        signatures: Signatures::new(1 << 20),
        cache: None,
        mailboxes: Vec::new(),
        control,
        shape,
        fixed: proxy::fixed::all().into(),
        addresses: vec![vec![upstream]; config.upstreams.len()],
        security: Security::default(),
        connections_max: 100,
        in_flight_max: 100,
        seed: 1,
        config,
    };
    Shard::new(rt.clone(), parts)
}

/// One connection of a client.
struct Asking {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Asking {
    fn ask(&mut self, path: &str, model: &str) {
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}],"max_tokens":10}}"#
        );
        let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json");
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).expect("the gateway reads");
        assert!(message(&mut self.stream, &mut self.inbox), "an answer comes");
        let answer = String::from_utf8_lossy(&self.inbox);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Hello there."), "{answer}");
    }
}

/// Asks; between two models the shard is told to count.
fn ask_all(gateway: SocketAddr, counted: &Receiver<()>, phase: &Sender<Option<Case>>) {
    let mut asking =
        Asking { stream: TcpStream::connect(gateway).expect("it listens"), inbox: Vec::new() };
    let chat = ["google", "claude", "openai"].map(|model| ("/v1/chat/completions", model));
    let messages = ["google", "claude", "openai"].map(|model| ("/v1/messages", model));
    for (path, model) in chat.into_iter().chain(messages) {
        (0..20).for_each(|_| asking.ask(path, model));
        for told in [Some((path, model)), None] {
            phase.send(told).expect("the shard counts");
            counted.recv().expect("the shard counts");
            if told.is_some() {
                (0..ROUNDS).for_each(|_| asking.ask(path, model));
            }
        }
    }
}

#[test]
fn an_exchange_allocates_a_handful() {
    let upstream = upstream();
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let gateway = probe.local_addr().expect("it has an address");
    drop(probe);
    let socket = bind(gateway, 1).expect("the port is still free").remove(0);
    let (phase, phases) = channel();
    let (counts, counted) = channel();
    thread::spawn(move || ask_all(gateway, &counted, &phase));
    let executor = Executor::open(Driver::Auto).expect("io_uring can be had here");
    let ran = executor.run(|rt| async move {
        let shard = shard(&rt, upstream);
        let (_letters_in, letters): (_, Letters<Letter<_>>) = mailbox();
        let listener = rt.listen(socket).expect("listens");
        rt.spawn(proxy::run(shard, listener, letters, Duration::from_secs(1)));
        let (mut began, mut case) = (0, ("", ""));
        loop {
            match phases.try_recv() {
                Ok(told) => {
                    let now = ALLOCATIONS.with(std::cell::Cell::get);
                    match told {
                        Some(next) => {
                            (began, case) = (now, next);
                            LARGEST.set(0);
                        }
                        None => {
                            let (each, largest) = ((now - began) / ROUNDS, LARGEST.get());
                            println!("{case:?}: {each} allocations, at most of {largest} bytes");
                            assert!(each <= AT_MOST, "{case:?}: {each}");
                            assert!(largest <= LARGEST_MOST, "{case:?}: {largest} bytes at once");
                        }
                    }
                    counts.send(()).expect("somebody asks");
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => {
                    rt.sleep(Duration::from_millis(5)).await;
                }
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            }
        }
    });
    ran.expect("an executor can be had");
}
