//! Upstreams that are reached through a proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{chat, get};
use super::gateway::{FLAVOURS, Flavour, Folder, Gateway};
use super::google::Google;
use super::tls_upstream::{Manner, Secure, assert_good, authority, failures, listen, modern};
use super::upstream::{Seen, Upstream};

/// A name that no resolver knows: only the proxy has to.
const NAME: &str = "api.upstream.invalid";
const TARGET: &str = "api.upstream.invalid:8443";

/// What a proxy does when it has been asked.
#[derive(Clone, Copy, Debug)]
enum Manners {
    /// It opens a way to this address, whoever it was asked for.
    Opens(SocketAddr),
    /// It says this, and waits.
    Says(&'static str),
}

/// A proxy on a thread of its own, and the heads that it was asked with; one that is empty tells
/// that a connection has ended.
struct Proxy {
    address: SocketAddr,
    heads: Receiver<(String, Instant)>,
}

impl Proxy {
    fn start(manners: Manners) -> Self {
        let (sender, heads) = channel();
        let (address, _) = listen(move |mut stream| {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.extend(byte);
            }
            let asked = String::from_utf8_lossy(&head).into_owned();
            let told = sender.send((asked, Instant::now()));
            let served = match manners {
                Manners::Opens(to) => through(stream, to),
                Manners::Says(words) => stream
                    .write_all(words.as_bytes())
                    .map(|()| while matches!(stream.read(&mut byte), Ok(1)) {}),
            };
            // Who has ended first does not matter here.
            let _ended =
                served.map(|()| told.and_then(|()| sender.send((String::new(), Instant::now()))));
        });
        Self { address, heads }
    }

    fn next(&self) -> (String, Instant) {
        self.heads.recv_timeout(Duration::from_secs(10)).expect("it is asked")
    }
}

/// Copies in both directions until both have ended.
fn through(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\nproxy-agent: test\r\n\r\n")?;
    let (mut back, mut from) = (client.try_clone()?, server.try_clone()?);
    let answering = thread::spawn(move || {
        let copied = io::copy(&mut from, &mut back);
        // The other side may have gone before.
        let _gone = back.shutdown(Shutdown::Write);
        copied
    });
    io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Write)?;
    answering.join().map_err(|_panic| io::ErrorKind::Other)??;
    Ok(())
}

/// A gateway before an upstream that only the proxy can reach.
fn before(flavour: Flavour, proxy: &str, folder: &Folder, more: &[(&str, &str)]) -> Gateway {
    let (origin, ca) = (format!("https://{TARGET}"), folder.0.join("ca.pem").display().to_string());
    let mut variables = vec![
        ("GOOGLE_API_KEY", "AIzaSyD-end-to-end"),
        ("APP_VERTEX__API_KEY_BASE_URL", origin.as_str()),
        ("APP_TLS__EXTRA_CA", ca.as_str()),
        ("HTTPS_PROXY", proxy),
        ("APP_RUNTIME__CORES", "0"),
        ("APP_RETRY__ATTEMPTS", "0"),
        ("APP_LOG__LEVEL", "debug"),
    ];
    variables.extend(more);
    Gateway::start(flavour, &variables)
}

#[test]
fn an_upstream_is_reached_by_its_name_and_the_proxy_sees_no_more() {
    for flavour in FLAVOURS {
        let (authority, folder) = authority();
        let upstream = Secure::start(modern(&authority.sign(NAME)), Manner::Http);
        let proxy = Proxy::start(Manners::Opens(upstream.address));
        let url = format!("http://us%20er:pa%40ss@{}", proxy.address);
        let gateway = before(flavour, &url, &folder, &[]);
        for stream in [false, true] {
            let answer = gateway.ask(&chat("plain", stream));
            assert_good(&answer, "through the proxy");
            let Ok(Seen::Request(head, _)) = upstream.seen.recv() else { panic!("a request") };
            assert!(head.to_lowercase().contains(&format!("host: {TARGET}\r\n")), "{head}");
            assert!(!head.to_lowercase().contains("proxy"), "{head}");
        }
        let asked = format!(
            "CONNECT {TARGET} HTTP/1.1\r\nhost: {TARGET}\r\n\
             proxy-authorization: Basic dXMgZXI6cGFAc3M=\r\n\r\n"
        );
        assert_eq!(proxy.next().0, asked);
        assert!(proxy.heads.try_recv().is_err(), "the way is used again");
        let shown = [gateway.log(), gateway.ask(&get("/metrics/prometheus")).body].concat();
        for secret in ["pa@ss", "pa%40ss", "dXMgZXI6cGFAc3M", "us er"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn a_proxy_that_opens_no_way_is_an_upstream_that_cannot_be_reached() {
    let refusals = [
        "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>nobody there</html>",
        "HTTP/1.1 200 OK\r\n\r\nbytes that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "no HTTP at all\r\n\r\n",
    ];
    for (number, words) in (0..).zip(refusals) {
        let flavour = FLAVOURS[number % FLAVOURS.len()];
        let (_, folder) = authority();
        let proxy = Proxy::start(Manners::Says(words));
        let gateway = before(flavour, &proxy.address.to_string(), &folder, &[]);
        let answer = gateway.ask(&chat("plain", false));
        let code = answer.json()["error"]["code"].as_str().map(str::to_owned);
        assert_eq!((answer.status, code.as_deref()), (502, Some("upstream_connection_error")));
        assert!(answer.body.contains("the proxy in front of the upstream"), "{}", answer.body);
        assert_eq!(failures(&gateway, "connect_error"), 1, "{words}");
    }
}

#[test]
fn a_proxy_that_says_nothing_is_not_waited_for() {
    for flavour in FLAVOURS {
        let (_, folder) = authority();
        let proxy = Proxy::start(Manners::Says(""));
        let url = proxy.address.to_string();
        let gateway = before(flavour, &url, &folder, &[("APP_TIMEOUTS__CONNECT", "300ms")]);
        assert_eq!(gateway.ask(&chat("plain", false)).status, 504);
        assert_eq!(failures(&gateway, "connect_timeout"), 1);
        assert!(proxy.next().0.starts_with("CONNECT ") && proxy.next().0.is_empty());
        // Nor longer than the client waits.
        let gateway = before(flavour, &url, &folder, &[("APP_TIMEOUTS__CONNECT", "30s")]);
        let mut client = gateway.client();
        client.send(&chat("plain", false));
        assert!(proxy.next().0.starts_with("CONNECT "));
        drop(client);
        let left = Instant::now();
        let (end, at) = proxy.next();
        assert!(end.is_empty(), "{end}");
        assert!(at.saturating_duration_since(left) < Duration::from_millis(500), "{flavour:?}");
    }
}

#[test]
fn whoever_is_excepted_or_speaks_no_tls_is_reached_directly() {
    let (authority, folder) = authority();
    let upstream = Secure::start(modern(&authority.sign("localhost")), Manner::Http);
    let plain = Upstream::start();
    let proxy = Proxy::start(Manners::Says(""));
    let url = proxy.address.to_string();
    let secure = format!("https://localhost:{}", upstream.address.port());
    for (origin, except) in
        [(secure, "internal,localhost"), (format!("http://{}", plain.address), "")]
    {
        let more = [("APP_VERTEX__API_KEY_BASE_URL", origin.as_str()), ("NO_PROXY", except)];
        let gateway = before(Flavour::Uring, &url, &folder, &more);
        assert_good(&gateway.ask(&chat("plain", false)), &origin);
    }
    assert!(proxy.heads.try_recv().is_err());
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn tokens_are_fetched_through_the_proxy_too() {
    let (authority, folder) = authority();
    let certificate = authority.sign("localhost");
    let google = Google::secured(modern(&certificate), "localhost");
    let port = google.token_uri.trim_end_matches("/token").rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok()).expect("a port");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::start(Manners::Opens(to));
    let (key, ca) = (google.key_file(&folder.0), folder.0.join("ca.pem"));
    let url = format!("http://user:pass@{}", proxy.address);
    let gateway = Gateway::start(
        Flavour::Uring,
        &[
            ("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().expect("a path is text")),
            ("APP_VERTEX__OAUTH_BASE_URL", &google.origin),
            ("APP_TLS__EXTRA_CA", ca.to_str().expect("a path is text")),
            ("HTTPS_PROXY", &url),
        ],
    );
    let answer = gateway.ask(&chat("hello", false));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let asked = proxy.next().0.to_lowercase();
    assert!(asked.starts_with(&format!("connect localhost:{port} ")), "{asked}");
    assert!(asked.contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"), "{asked}");
}
