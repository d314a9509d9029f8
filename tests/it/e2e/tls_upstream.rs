//! TLS towards upstreams, against real servers that behave well and badly.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::{Authority, Signed, self_signed};
use super::client::{Answer, chat};
use super::gateway::{FLAVOURS, Flavour, Folder, Gateway};
use super::upstream::{Peer, Seen, WHOLE, read_request, serve, stream_body};

type Encrypted = StreamOwned<ServerConnection, TcpStream>;

impl Peer for Encrypted {
    fn limit_reads(&self, limit: Duration) -> bool {
        self.sock.set_read_timeout(Some(limit)).is_ok()
    }
}

/// What an upstream does with its connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// Answers as the question says.
    Http,
    /// One answer, a goodbye, and the end.
    CloseEach,
    /// One answer whose body ends with the connection, cut in half or whole, with a goodbye or
    /// without.
    UntilClose { half: bool, goodbye: bool },
    /// One answer with a length or in chunks, then the end without a goodbye.
    NoGoodbye,
    /// An answer, and another one that nobody asked for.
    Stray,
}

/// A TLS upstream on a thread of its own.
pub(super) struct Secure {
    pub(super) address: SocketAddr,
    pub(super) seen: Receiver<Seen>,
    pub(super) connections: Arc<AtomicU64>,
}

impl Secure {
    pub(super) fn start(config: ServerConfig, manner: Manner) -> Self {
        let config = Arc::new(config);
        let (sender, seen) = channel();
        let (address, connections) = listen(move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            behave(StreamOwned::new(session, stream), manner, &sender);
        });
        Self { address, seen, connections }
    }

    fn gateway(&self, flavour: Flavour, folder: &Folder, more: &[(&str, &str)]) -> Gateway {
        before(flavour, self.address, folder, more)
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Serves every connection to a free port on a thread of its own, and counts them.
pub(super) fn listen(
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let connections = Arc::new(AtomicU64::new(0));
    let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    (address, connections)
}

fn behave(mut stream: Encrypted, manner: Manner, seen: &Sender<Seen>) {
    let mut inbox = Vec::new();
    if matches!(manner, Manner::Http) {
        return serve(stream, seen);
    }
    let Some((head, body)) = read_request(&mut stream, &mut inbox) else { return };
    let streamed = head.contains("streamGenerateContent");
    let told = seen.send(Seen::Request(head, body));
    let kind = if streamed { "text/event-stream" } else { "application/json" };
    let whole = if streamed { stream_body() } else { WHOLE.as_bytes().to_vec() };
    let mut out = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n").into_bytes();
    let goodbye = match manner {
        Manner::UntilClose { half, goodbye } => {
            let end = if half { whole.len() / 2 } else { whole.len() };
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(whole.get(..end).unwrap_or_default());
            goodbye
        }
        _ => {
            out.extend_from_slice(format!("content-length: {}\r\n\r\n", whole.len()).as_bytes());
            out.extend_from_slice(&whole);
            !matches!(manner, Manner::NoGoodbye)
        }
    };
    let written = stream.write_all(&out).and_then(|()| stream.flush());
    if told.is_err() || written.is_err() {
        return;
    }
    if matches!(manner, Manner::Stray) {
        let stray = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON";
        thread::sleep(Duration::from_millis(50));
        let sent = stream.write_all(stray.as_bytes()).and_then(|()| stream.flush());
        if sent.is_ok() {
            // Until the gateway has enough of it.
            let _ended = stream.read(&mut [0; 16]);
        }
        return;
    }
    if goodbye {
        stream.conn.send_close_notify();
        let _gone = stream.flush();
    }
    // A reset would overtake what was said.
    let _gone = stream.sock.shutdown(Shutdown::Write);
    let limited = stream.sock.set_read_timeout(Some(Duration::from_secs(5)));
    while limited.is_ok() && matches!(stream.sock.read(&mut [0; 1024]), Ok(1..)) {}
}

/// A gateway in front of `https://localhost`, which trusts the authority in `folder`.
fn before(flavour: Flavour, to: SocketAddr, folder: &Folder, more: &[(&str, &str)]) -> Gateway {
    let origin = format!("https://localhost:{}", to.port());
    let authority = folder.0.join("ca.pem").display().to_string();
    let mut variables = vec![
        ("GOOGLE_API_KEY", "AIzaSyD-end-to-end"),
        ("APP_VERTEX__API_KEY_BASE_URL", origin.as_str()),
        ("APP_TLS__EXTRA_CA", authority.as_str()),
        // Counts must not depend on which shard takes a connection.
        ("APP_RUNTIME__CORES", "0"),
    ];
    variables.extend(more);
    Gateway::start(flavour, &variables)
}

/// A new authority, with its certificate in a folder.
pub(super) fn authority() -> (Authority, Folder) {
    let (authority, folder) = (Authority::new("the test's own"), Folder::new());
    fs::write(folder.0.join("ca.pem"), &authority.pem).expect("a file can be written");
    (authority, folder)
}

pub(super) fn modern(signed: &Signed) -> ServerConfig {
    let mut config = signed.server(&[&TLS13, &TLS12], None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn handshakes(gateway: &Gateway, kind: &str) -> u64 {
    gateway.metric(&format!("vertex_bridge_upstream_tls_handshakes_total{{kind=\"{kind}\"}}"))
}

pub(super) fn failures(gateway: &Gateway, reason: &str) -> u64 {
    gateway.metric(&format!("vertex_bridge_upstream_failures_total{{reason=\"{reason}\"}}"))
}

#[track_caller]
pub(super) fn assert_good(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    assert!(answer.body.contains("Héllo 😀!") || answer.body.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_second_request_shakes_no_hands_and_a_new_connection_resumes() {
    for flavour in FLAVOURS {
        for version in [&TLS13, &TLS12] {
            let (authority, folder) = authority();
            let config = authority.sign("localhost").server(&[version], None);
            let upstream = Secure::start(config, Manner::Http);
            let gateway = upstream.gateway(flavour, &folder, &[]);
            for stream in [false, true, false] {
                assert_good(&gateway.ask(&chat("plain", stream)), "a pooled link");
            }
            let counts = ["full", "resumed", "failed"].map(|kind| handshakes(&gateway, kind));
            assert_eq!((counts, upstream.connections()), ([1, 0, 0], 1), "{flavour:?} {version:?}");
            assert_eq!(gateway.metric("vertex_bridge_upstream_connections_reused_total"), 2);
            assert_eq!(gateway.metric("vertex_bridge_upstream_connection_reuse_rate"), 66);
            let Ok(Seen::Request(head, _)) = upstream.seen.recv() else { panic!("no request") };
            assert!(head.contains(&format!("host: localhost:{}", upstream.address.port())));
            let config = authority.sign("localhost").server(&[version], None);
            let closing = Secure::start(config, Manner::CloseEach);
            let gateway = closing.gateway(flavour, &folder, &[]);
            for _ in 0..3 {
                assert_good(&gateway.ask(&chat("plain", false)), "a link that closes");
                // Its goodbye has arrived when the next request looks for a link.
                thread::sleep(Duration::from_millis(50));
            }
            let counts = ["full", "resumed", "failed"].map(|kind| handshakes(&gateway, kind));
            assert_eq!((counts, closing.connections()), ([1, 2, 0], 3), "{flavour:?} {version:?}");
            let log = gateway.log();
            assert!(!log.contains("AIza") && !log.contains("panicked"), "{log}");
        }
    }
}

#[test]
fn certificates_that_prove_nothing_are_refused() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let stranger = Authority::new("a stranger");
        let early = |name: &str| {
            authority.sign_with(name, |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1))
        };
        for (signed, reason, words) in [
            (authority.sign_expired("localhost"), "tls_expired", "has expired"),
            (early("localhost"), "tls_expired", "not valid yet"),
            (authority.sign("wrong.test"), "tls_name", "for another name"),
            (stranger.sign("localhost"), "tls_unknown_ca", "no trusted authority"),
            (self_signed("localhost"), "tls_unknown_ca", "no trusted authority"),
        ] {
            let upstream = Secure::start(modern(&signed), Manner::Http);
            let gateway = upstream.gateway(flavour, &folder, &[]);
            for stream in [false, true] {
                let answer = gateway.ask(&chat("plain", stream));
                let error = &answer.json()["error"];
                assert_eq!((answer.status, &error["code"]), (502, &"upstream_tls_error".into()));
                assert_eq!(error["type"], "server_error", "{flavour:?} {reason}");
                assert!(error["message"].as_str().is_some_and(|m| m.contains(words)), "{error}");
                assert_eq!(answer.field("x-should-retry"), Some("false"));
            }
            assert_eq!((failures(&gateway, reason), handshakes(&gateway, "failed")), (2, 2));
            assert!(upstream.seen.try_recv().is_err(), "no request left: {reason}");
            let log = gateway.log_with(&format!("reason={reason}"));
            assert!(log.contains(&format!("reason={reason}")) && !log.contains("AIza"), "{log}");
        }
    }
}

#[test]
fn servers_that_do_not_shake_hands_get_their_own_outcome() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let plain = listen(|mut stream| {
            let _greeting = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        });
        let mute = listen(|mut stream| while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {});
        let closing = listen(|mut stream| {
            let _greeting = stream.read(&mut [0; 4096]);
        });
        let resetting = listen(drop);
        let mut foreign = modern(&authority.sign("localhost"));
        foreign.alpn_protocols = vec![b"h2".to_vec()];
        let foreign = Secure::start(foreign, Manner::Http);
        for (to, status, code, reason) in [
            (plain.0, 502, "upstream_tls_error", "tls_protocol"),
            (foreign.address, 502, "upstream_tls_error", "tls_refused"),
            (mute.0, 504, "upstream_timeout", "tls_timeout"),
            (closing.0, 502, "upstream_connection_error", "tls_reset"),
            (resetting.0, 502, "upstream_connection_error", "tls_reset"),
        ] {
            let gateway = before(flavour, to, &folder, &[("APP_TIMEOUTS__TLS", "300ms")]);
            let began = Instant::now();
            let answer = gateway.ask(&chat("plain", true));
            let error = answer.json()["error"]["code"].clone();
            assert_eq!((answer.status, error), (status, code.into()), "{flavour:?} {reason}");
            let is_final = answer.field("x-should-retry") == Some("false");
            assert_eq!(is_final, code == "upstream_tls_error", "{flavour:?} {reason}");
            assert_eq!(failures(&gateway, reason), 1, "{flavour:?} {reason}");
            let timed_out = began.elapsed() >= Duration::from_millis(300);
            assert!(timed_out || status == 502, "the limit of the handshake counts");
            assert!(began.elapsed() < Duration::from_secs(2), "{flavour:?} {reason}");
        }
    }
}

#[test]
fn an_end_without_a_goodbye_hides_no_truncation() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let until_close = |half, goodbye| Manner::UntilClose { half, goodbye };
        for (manner, codes) in [
            (until_close(true, false), Some(["upstream_truncated"; 2])),
            // Whoever says goodbye has said all: then it is no JSON.
            (until_close(true, true), Some(["upstream_invalid_response", "upstream_truncated"])),
            (until_close(false, false), None),
            (until_close(false, true), None),
            (Manner::NoGoodbye, None),
        ] {
            let upstream = Secure::start(modern(&authority.sign("localhost")), manner);
            let gateway = upstream.gateway(flavour, &folder, &[]);
            for stream in [false, true] {
                let answer = gateway.ask(&chat("plain", stream));
                let what = format!("{flavour:?} {manner:?}: {}", answer.body);
                let Some(codes) = codes else {
                    assert_good(&answer, &what);
                    continue;
                };
                let code = format!("\"code\":\"{}\"", codes[usize::from(stream)]);
                assert!(answer.body.contains(&code) && !answer.body.contains("[DONE]"), "{what}");
                assert_eq!(answer.status, if stream { 200 } else { 502 }, "{what}");
            }
        }
    }
}

#[test]
fn a_link_with_stray_bytes_carries_no_second_request() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let upstream = Secure::start(modern(&authority.sign("localhost")), Manner::Stray);
        let gateway = upstream.gateway(flavour, &folder, &[]);
        for _ in 0..3 {
            assert_good(&gateway.ask(&chat("plain", false)), "not the stray answer");
            thread::sleep(Duration::from_millis(150));
        }
        assert_eq!(upstream.connections(), 3, "{flavour:?}");
    }
}

#[test]
fn large_bodies_and_single_bytes_cross() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let upstream = Secure::start(modern(&authority.sign("localhost")), Manner::Http);
        let gateway = upstream.gateway(flavour, &folder, &[]);
        let long = "x".repeat(3 << 20);
        assert_good(&gateway.ask(&chat(&long, false)), "three megabytes");
        let Ok(Seen::Request(_, body)) = upstream.seen.recv() else { panic!("no request") };
        assert!(body.contains(&long), "{flavour:?}");
        for stream in [false, true] {
            assert_good(&gateway.ask(&chat("dribble", stream)), "a byte per record");
        }
        assert_eq!(upstream.connections(), 1, "{flavour:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_handshake_and_answer_at_once() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let upstream = Secure::start(modern(&authority.sign("localhost")), Manner::Http);
        let gateway = upstream.gateway(flavour, &folder, &[]);
        let mut client = gateway.client();
        client.send(&chat("stall:200", true));
        let asked = upstream.seen.recv_timeout(Duration::from_secs(10));
        assert!(matches!(asked, Ok(Seen::Request(..))), "{flavour:?}");
        thread::sleep(Duration::from_millis(50));
        drop(client);
        let left = Instant::now();
        let ended = upstream.seen.recv_timeout(Duration::from_secs(10));
        let Ok(Seen::Left(at)) = ended else { panic!("{flavour:?}: {ended:?}") };
        assert!(at.saturating_duration_since(left) < Duration::from_millis(500), "{flavour:?}");
        let (sender, ended) = channel();
        let mute = listen(move |mut stream| {
            while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
            let _nobody = sender.send(Instant::now());
        });
        let gateway = before(flavour, mute.0, &folder, &[("APP_TIMEOUTS__TLS", "30s")]);
        let mut client = gateway.client();
        client.send(&chat("plain", false));
        thread::sleep(Duration::from_millis(300));
        drop(client);
        let left = Instant::now();
        let at = ended.recv_timeout(Duration::from_secs(10)).expect("the handshake ends");
        assert!(at.saturating_duration_since(left) < Duration::from_millis(500), "{flavour:?}");
    }
}

#[test]
fn an_upstream_that_asks_who_we_are_is_shown_our_certificate() {
    for flavour in FLAVOURS {
        for version in [&TLS13, &TLS12] {
            let (authority, folder) = authority();
            let config = authority.sign("localhost").server(&[version], Some(&authority));
            let upstream = Secure::start(config, Manner::Http);
            let ours = authority.sign("gateway.test");
            let put = |name: &str, text: &str| {
                let path = folder.0.join(name);
                fs::write(&path, text).expect("a file can be written");
                path.display().to_string()
            };
            let (cert, key) = (put("our.pem", &ours.cert), put("our.key", &ours.key));
            let anonymous = upstream.gateway(flavour, &folder, &[]);
            let answer = anonymous.ask(&chat("plain", false));
            let code = answer.json()["error"]["code"].clone();
            assert_eq!((answer.status, code), (502, "upstream_tls_error".into()), "{version:?}");
            assert_eq!(failures(&anonymous, "tls_refused"), 1, "{flavour:?} {version:?}");
            let files = [("APP_TLS__CLIENT_CERT", cert.as_str()), ("APP_TLS__CLIENT_KEY", &key)];
            let known = upstream.gateway(flavour, &folder, &files);
            assert_good(&known.ask(&chat("plain", true)), "our certificate is shown");
        }
    }
}
