//! TLS towards clients: real clients that behave well and badly.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::certificates::{Authority, Signed};
use super::client::{Client, chat, get};
use super::gateway::{FLAVOURS, Flavour, Folder, Gateway};
use super::upstream::{Seen, Upstream};

type Encrypted = StreamOwned<ClientConnection, TcpStream>;
type Versions = [&'static SupportedProtocolVersion];

/// A gateway with TLS, and what clients need to know of it.
struct Secure {
    gateway: Gateway,
    authority: Authority,
    /// Of the certificate, its key, and the authorities of clients.
    folder: Folder,
}

impl Secure {
    fn start(flavour: Flavour, more: &[(&str, &str)]) -> Self {
        let authority = Authority::new("the test's own");
        let folder = Folder::new();
        let path = |name: &str| folder.0.join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        put(&folder, &authority.sign("localhost"));
        fs::write(path("ca.pem"), &authority.pem).expect("a file can be written");
        let mut variables =
            vec![("APP_SERVER__TLS_CERT", cert.as_str()), ("APP_SERVER__TLS_KEY", key.as_str())];
        variables.extend(more);
        Self { gateway: Gateway::start(flavour, &variables), authority, folder }
    }

    fn before(flavour: Flavour, upstream: SocketAddr, more: &[(&str, &str)]) -> Self {
        let origin = format!("http://{upstream}");
        let mut variables =
            vec![("GOOGLE_API_KEY", "AIzaSyD-e2e"), ("APP_VERTEX__API_KEY_BASE_URL", &origin)];
        variables.extend(more);
        Self::start(flavour, &variables)
    }

    fn connect(&self, config: &Arc<ClientConfig>) -> Client<Encrypted> {
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
        let plain = self.gateway.client();
        Client::over(StreamOwned::new(session, plain.stream))
    }

    /// A client with nothing to remember.
    fn client(&self) -> Client<Encrypted> {
        self.connect(&trusting(&self.authority.store(), &[&TLS13, &TLS12], None))
    }

    fn metric(&self, name: &str) -> u64 {
        let mut client = self.client();
        client.send(&get("/metrics/prometheus"));
        let page = client.answer().expect("a page").body;
        let value = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let value = value.unwrap_or_else(|| panic!("no metric {name} in {page}"));
        value.split('.').next().and_then(|whole| whole.parse().ok()).expect("a number")
    }

    fn handshakes(&self, kind: &str) -> u64 {
        self.metric(&format!("vertex_bridge_tls_handshakes_total{{kind=\"{kind}\"}}"))
    }
}

fn put(folder: &Folder, signed: &Signed) {
    fs::write(folder.0.join("cert.pem"), &signed.cert).expect("a file can be written");
    fs::write(folder.0.join("key.pem"), &signed.key).expect("a file can be written");
}

/// A client's configuration: whom it trusts, and who it is.
fn trusting(
    store: &RootCertStore,
    versions: &Versions,
    identity: Option<&Signed>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(store.clone());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(signed) => {
            let chain = CertificateDer::pem_slice_iter(signed.cert.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What the end of a connection looks like to a client that reads on.
fn ending(client: &mut Client<Encrypted>) -> Result<usize, ErrorKind> {
    client.stream.read(&mut [0; 64]).map_err(|error| error.kind())
}

#[test]
fn clients_chat_over_tls() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let secure = Secure::before(flavour, upstream.address, &[]);
        for version in [&TLS13, &TLS12] {
            let config = trusting(&secure.authority.store(), &[version], None);
            let mut client = secure.connect(&config);
            let long = "x".repeat(3 << 20);
            for (question, stream) in
                [("plain", false), ("plain", true), ("dribble", true), (&long, false)]
            {
                client.send(&chat(question, stream));
                let answer = client.answer().expect("an answer");
                assert_eq!(answer.status, 200, "{flavour:?} {version:?}");
                assert!(answer.body.contains("Héllo 😀!") || answer.body.ends_with("[DONE]\n\n"));
            }
            assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(client.stream.conn.protocol_version(), Some(version.version));
            client.send(&[chat("plain", false), get("/health"), get("/nowhere")].concat());
            let statuses = [(); 3].map(|()| client.answer().map(|answer| answer.status));
            assert_eq!(statuses, [Some(200), Some(200), Some(404)], "{flavour:?}");
            // A record for each byte of a request.
            for byte in get("/health") {
                client.send(&[byte]);
            }
            assert_eq!(client.answer().map(|answer| answer.status), Some(200));
            client.send(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            assert_eq!(client.answer().map(|answer| answer.status), Some(200));
            assert_eq!(ending(&mut client), Ok(0), "{flavour:?}: a goodbye");
        }
        assert_eq!(secure.metric("vertex_bridge_bugs_total"), 0);
    }
}

#[test]
fn sessions_are_resumed_on_any_shard() {
    for flavour in FLAVOURS {
        for version in [&TLS13, &TLS12] {
            let secure = Secure::start(flavour, &[("APP_RUNTIME__CORES", "0,1")]);
            let config = trusting(&secure.authority.store(), &[version], None);
            let mut open = Vec::new();
            for index in 0..6 {
                let mut client = secure.connect(&config);
                client.send(&get("/health"));
                assert_eq!(client.answer().map(|answer| answer.status), Some(200));
                let kind = format!("{:?}", client.stream.conn.handshake_kind());
                let want = if index == 0 { "Some(Full)" } else { "Some(Resumed)" };
                assert_eq!(kind, want, "{flavour:?} {version:?}");
                open.push(client);
            }
            assert_eq!(secure.handshakes("resumed"), 5, "{flavour:?} {version:?}");
            // The pages of the metrics come over connections of their own.
            assert_eq!(secure.handshakes("full"), 3, "{flavour:?} {version:?}");
        }
    }
}

#[test]
fn an_idle_client_is_told_goodbye() {
    for flavour in FLAVOURS {
        let secure = Secure::start(flavour, &[("APP_TIMEOUTS__KEEP_ALIVE", "300ms")]);
        let mut client = secure.client();
        client.send(&get("/health"));
        assert!(client.answer().is_some());
        assert_eq!(ending(&mut client), Ok(0), "{flavour:?}");
    }
}

#[test]
fn plain_http_on_the_port_of_tls_is_told_so() {
    for flavour in FLAVOURS {
        let secure = Secure::start(flavour, &[]);
        // Whoever looked whether the gateway listens sent no greeting, and its shard may tell of it
        // later than the one that shows the metrics.
        let end = Instant::now() + Duration::from_secs(10);
        while secure.handshakes("failed") == 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let before = secure.handshakes("failed");
        let large = chat(&"x".repeat(30_000), false);
        for request in [get("/health"), large] {
            let mut client = secure.gateway.client();
            client.send(&request);
            let answer = client.answer().expect("an answer in plain text");
            let error = &answer.json()["error"];
            assert_eq!((answer.status, &error["code"]), (400, &"bad_request".into()));
            assert!(error["message"].as_str().is_some_and(|text| text.contains("https://")));
            assert!(client.is_closed(), "{flavour:?}");
        }
        assert_eq!(secure.handshakes("failed"), before + 2, "{flavour:?}");
        assert_eq!(secure.metric("requests_total"), 0, "no request was served");
    }
}

#[test]
fn handshakes_that_lead_nowhere_end() {
    for flavour in FLAVOURS {
        let secure = Secure::start(flavour, &[("APP_TIMEOUTS__CLIENT_HEAD", "400ms")]);
        // Nothing, half a greeting, and what is no greeting.
        for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1, 0], &[22, 3, 1, 0, 2, 9, 9]] {
            let mut client = secure.gateway.client();
            client.send(bytes);
            let began = Instant::now();
            let mut rest = Vec::new();
            let ended = client.stream.read_to_end(&mut rest);
            let reset = ended.is_err_and(|error| error.kind() != ErrorKind::ConnectionReset);
            assert!(!reset && began.elapsed() < Duration::from_secs(2), "{flavour:?} {bytes:?}");
        }
        // One that leaves in the middle.
        let left = secure.gateway.client();
        left.stream.shutdown(Shutdown::Both).expect("it is open");
        // Whom we are to be for is somebody else: the client itself gives up.
        let stranger = Authority::new("a stranger");
        let config = trusting(&stranger.store(), &[&TLS13], None);
        let refused = secure.connect(&config).stream.write_all(&get("/health"));
        assert!(refused.is_err(), "{flavour:?}");
        let mut client = secure.client();
        client.send(&get("/health"));
        assert_eq!(client.answer().map(|answer| answer.status), Some(200), "{flavour:?}");
        assert_eq!(secure.metric("vertex_bridge_bugs_total"), 0);
    }
}

#[test]
fn a_client_that_leaves_ends_its_upstream_at_once() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let secure = Secure::before(flavour, upstream.address, &[]);
        for goodbye in [false, true] {
            let mut client = secure.client();
            client.send(&chat("stall:200", true));
            let asked = upstream.seen.recv_timeout(Duration::from_secs(10));
            assert!(matches!(asked, Ok(Seen::Request(..))), "{flavour:?}");
            thread::sleep(Duration::from_millis(50));
            if goodbye {
                client.stream.conn.send_close_notify();
                assert!(client.stream.flush().is_ok());
            } else {
                client.stream.sock.shutdown(Shutdown::Both).expect("it is open");
            }
            let left = Instant::now();
            let ended = upstream.seen.recv_timeout(Duration::from_secs(10));
            let Ok(Seen::Left(at)) = ended else { panic!("{flavour:?}: {ended:?}") };
            let after = at.saturating_duration_since(left);
            assert!(after < Duration::from_millis(500), "{flavour:?}: {after:?}");
        }
    }
}

#[test]
fn clients_show_a_certificate_where_they_must() {
    for flavour in FLAVOURS {
        let (authority, folder) = (Authority::new("of clients"), Folder::new());
        let path = folder.0.join("clients.pem");
        fs::write(&path, &authority.pem).expect("a file can be written");
        let path = path.display().to_string();
        let secure = Secure::start(flavour, &[("APP_SERVER__TLS_CLIENT_CA", &path)]);
        let stranger = Authority::new("a stranger").sign("client.test");
        let expired = authority.sign_expired("client.test");
        let known = authority.sign("client.test");
        for version in [&TLS13, &TLS12] {
            let answer = |identity: Option<&Signed>| {
                let config = trusting(&secure.authority.store(), &[version], identity);
                let mut client = secure.connect(&config);
                // With TLS 1.3 a refusal comes after the client has said what it wants.
                let asked = client.stream.write_all(&get("/health"));
                asked.ok().and_then(|()| client.answer()).map(|answer| answer.status)
            };
            for refused in [None, Some(&stranger), Some(&expired)] {
                assert_eq!(answer(refused), None, "{flavour:?} {version:?}");
            }
            assert_eq!(answer(Some(&known)), Some(200), "{flavour:?} {version:?}");
        }
    }
}

/// Who has signed the certificate that new connections are shown.
fn shown(secure: &Secure, stores: &RootCertStore) -> Vec<u8> {
    let mut client = secure.connect(&trusting(stores, &[&TLS13], None));
    client.send(&get("/health"));
    assert_eq!(client.answer().map(|answer| answer.status), Some(200));
    let chain = client.stream.conn.peer_certificates().expect("a certificate");
    chain.first().expect("a certificate").to_vec()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Stops the clients of a test when it is dropped.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Chats until it is stopped, on one connection or on a `fresh` one each time.
fn keep_asking(
    secure: &Secure,
    stores: &RootCertStore,
    fresh: bool,
    (stop, answered): (&AtomicBool, &AtomicU64),
) {
    let config = trusting(stores, &[&TLS13, &TLS12], None);
    let mut client = secure.connect(&config);
    while !stop.load(Ordering::Relaxed) {
        if fresh {
            client = secure.connect(&config);
        }
        client.send(&chat("hi", answered.fetch_add(1, Ordering::Relaxed) % 3 == 0));
        assert_eq!(client.answer().map(|answer| answer.status), Some(200));
    }
}

#[test]
fn certificates_are_renewed_under_traffic() {
    for flavour in FLAVOURS {
        let secure = Secure::start(flavour, &[("APP_RUNTIME__CORES", "0,1")]);
        let renewed = Authority::new("another one");
        let mut stores = secure.authority.store();
        stores.extend(renewed.store().roots);
        let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for fresh in [false, false, true] {
                let (secure, stores) = (&secure, &stores);
                let (stop, answered) = (&stop, &answered);
                scope.spawn(move || keep_asking(secure, stores, fresh, (stop, answered)));
            }
            // Also when the test fails, the clients must come to an end.
            let _stopping = Stopping(&stop);
            let old = shown(&secure, &stores);
            put(&secure.folder, &renewed.sign("localhost"));
            wait_until("the new certificate", || shown(&secure, &stores) != old);
            let new = shown(&secure, &stores);
            // Files that fit nothing are never shown, and are complained of once.
            fs::write(secure.folder.0.join("cert.pem"), "no certificate").expect("a file");
            let complaint = "certificates stay as they are";
            wait_until("a complaint", || secure.gateway.log().contains(complaint));
            assert_eq!(shown(&secure, &stores), new, "{flavour:?}");
            put(&secure.folder, &secure.authority.sign("localhost"));
            wait_until("the third certificate", || shown(&secure, &stores) != new);
            let log = secure.gateway.log();
            assert_eq!(log.matches(complaint).count(), 1, "{log}");
            assert!(log.contains("(server.tls_cert): found no certificate in"), "{log}");
        });
        assert!(answered.load(Ordering::Relaxed) > 50, "there was traffic");
        assert_eq!(secure.metric("requests_failed_total"), 0, "{flavour:?}");
    }
}

#[test]
fn a_ticket_does_not_outlive_the_authority_of_its_client() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = Folder::new();
    let path = folder.0.join("clients.pem");
    fs::write(&path, &first.pem).expect("a file can be written");
    let file = path.display().to_string();
    let secure = Secure::start(Flavour::Uring, &[("APP_SERVER__TLS_CLIENT_CA", &file)]);
    let known = first.sign("client.test");
    let config = trusting(&secure.authority.store(), &[&TLS13], Some(&known));
    let ask = || {
        let mut client = secure.connect(&config);
        let asked = client.stream.write_all(&get("/health"));
        let answer = asked.ok().and_then(|()| client.answer());
        answer.map(|_| format!("{:?}", client.stream.conn.handshake_kind()))
    };
    assert_eq!(ask().as_deref(), Some("Some(Full)"));
    assert_eq!(ask().as_deref(), Some("Some(Resumed)"));
    fs::write(&path, &second.pem).expect("a file can be written");
    wait_until("the first authority's clients are refused", || ask().is_none());
    let known = second.sign("client.test");
    let mut fresh = trusting(&secure.authority.store(), &[&TLS13], Some(&known));
    if let Some(config) = Arc::get_mut(&mut fresh) {
        config.resumption = Resumption::disabled();
    }
    let mut client = secure.connect(&fresh);
    client.send(&get("/health"));
    assert_eq!(client.answer().map(|answer| answer.status), Some(200));
}
