//! What TLS asks of the allocator: nothing beyond what rustls itself does for each record, and a
//! few KiB for each side of a quiet connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use vertex_bridge::net::{Acceptor, Connector, Identity, PeerName, Stream, Tickets, Tls, Trust};
use vertex_bridge::rt::{Conn, Lent, Peek, RawConn};

use super::{allocations, held};

/// One end of a connection in memory; a read waits while nothing has been written.
#[derive(Clone)]
struct End {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<VecDeque<u8>>>,
}

fn ends() -> [End; 2] {
    let pipes: [Rc<RefCell<VecDeque<u8>>>; 2] = Default::default();
    let end = |from: usize, to: usize| End {
        incoming: Rc::clone(&pipes[from]),
        outgoing: Rc::clone(&pipes[to]),
    };
    [end(0, 1), end(1, 0)]
}

impl Conn for End {
    async fn read(&self, mut buffer: Vec<u8>) -> Lent<usize> {
        std::future::poll_fn(|_| {
            if self.incoming.borrow().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let mut incoming = self.incoming.borrow_mut();
        let count = incoming.len().min(buffer.capacity() - buffer.len());
        buffer.extend(incoming.drain(..count));
        (Ok(count), buffer)
    }
    async fn write_all(&self, mut buffer: Vec<u8>) -> Lent<()> {
        self.outgoing.borrow_mut().extend(&buffer);
        buffer.clear();
        (Ok(()), buffer)
    }
    fn peek(&self) -> Peek {
        if self.incoming.borrow().is_empty() { Peek::Quiet } else { Peek::Bytes }
    }
    fn finish(&self) {}
    fn stop_reading(&self) {}
    fn abort(&self) {}
}

impl RawConn for End {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.peek() == Peek::Quiet {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.incoming.borrow_mut().read(into)
    }
    fn try_write(&self, bytes: &[u8]) -> usize {
        self.outgoing.borrow_mut().extend(bytes);
        bytes.len()
    }
}

/// The value of a future that has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("everything is in memory"),
    }
}

/// A connector and an acceptor that trust each other.
fn pair() -> (Connector, Acceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut trust = Trust::nobody();
    trust.add(cert.as_bytes()).expect("a certificate");
    let identity = Identity::new(cert.as_bytes(), key.as_bytes()).expect("a pair");
    let acceptor = Acceptor::new(&identity, None, &Tickets::new().expect("random numbers"));
    (Connector::new(&trust, None).expect("TLS"), acceptor.expect("TLS"))
}

fn shaken(connector: &Connector, acceptor: &Acceptor) -> (Tls<End>, Tls<End>) {
    let [here, there] = ends();
    let name = PeerName::new("localhost").expect("a name");
    let mut client = pin!(connector.connect(here, &name));
    let mut server = pin!(acceptor.accept(there));
    let mut context = Context::from_waker(Waker::noop());
    let (mut left, mut right) = (None, None);
    while left.is_none() || right.is_none() {
        if left.is_none() {
            left = ready(client.as_mut().poll(&mut context));
        }
        if right.is_none() {
            right = ready(server.as_mut().poll(&mut context));
        }
    }
    let done =
        |side: Option<Result<(Tls<End>, _), _>>| side.and_then(Result::ok).expect("shaken").0;
    (done(left), done(right))
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

const CHUNK: [u8; 300] = [b'x'; 300];
const ROUNDS: u64 = 1000;

/// One chunk through rustls alone, as little as can be done.
fn bare_rounds() -> u64 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a pair");
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a session");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a session");
    let mut wire = Vec::with_capacity(64 * 1024);
    let mut carry = |from: &mut dyn FnMut(&mut Vec<u8>), to: &mut dyn FnMut(&mut &[u8])| {
        wire.clear();
        from(&mut wire);
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            to(&mut rest);
        }
    };
    let mut plain = [0; 4096];
    let mut turn = |client: &mut ClientConnection, server: &mut ServerConnection| {
        carry(
            &mut |out| {
                while server.wants_write() {
                    server.write_tls(out).expect("memory");
                }
            },
            &mut |rest| {
                client.read_tls(rest).expect("memory");
                client.process_new_packets().expect("sound");
            },
        );
        carry(
            &mut |out| {
                while client.wants_write() {
                    client.write_tls(out).expect("memory");
                }
            },
            &mut |rest| {
                server.read_tls(rest).expect("memory");
                server.process_new_packets().expect("sound");
            },
        );
        client.reader().read(&mut plain).unwrap_or(0)
    };
    for _ in 0..10 {
        turn(&mut client, &mut server);
    }
    let mut chunk = || {
        assert_eq!(server.writer().write(&CHUNK).expect("room"), CHUNK.len());
        assert_eq!(turn(&mut client, &mut server), CHUNK.len());
    };
    (0..10).for_each(|_| chunk());
    allocations(|| (0..ROUNDS).for_each(|_| chunk()))
}

#[test]
fn a_chunk_through_tls_allocates_only_what_rustls_does() {
    let (connector, acceptor) = pair();
    let (client, server) = shaken(&connector, &acceptor);
    let (client, server) = (Stream::Tls(client), Stream::Tls(server));
    let (mut out, mut inbox) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let mut chunk = || {
        out.extend_from_slice(&CHUNK);
        let (written, back) = now(server.write_all(std::mem::take(&mut out)));
        out = back;
        assert!(written.is_ok());
        let (read, back) = now(client.read(std::mem::take(&mut inbox)));
        inbox = back;
        assert_eq!(read.expect("a chunk"), CHUNK.len());
        inbox.clear();
    };
    (0..10).for_each(|_| chunk());
    let ours = allocations(|| (0..ROUNDS).for_each(|_| chunk()));
    let bare = bare_rounds();
    println!("{ours} allocations for {ROUNDS} chunks, rustls alone {bare}");
    assert_eq!(ours, bare);
    assert!(ours <= 2 * ROUNDS, "one record out, one record in");
}

#[test]
fn a_quiet_side_of_a_connection_holds_a_few_kib() {
    let (connector, acceptor) = pair();
    let warm = || {
        let (client, server) = shaken(&connector, &acceptor);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (written, out) = now(from.write_all(vec![b'x'; 2000]));
            let (read, inbox) = now(to.read(Vec::with_capacity(4096)));
            assert!(written.is_ok() && read.is_ok_and(|count| count == 2000));
            drop((out, inbox));
        }
        // Session tickets are taken in.
        assert_eq!((client.peek(), server.peek()), (Peek::Quiet, Peek::Quiet));
        (client, server)
    };
    let first = warm();
    let before = held();
    let pairs: Vec<_> = (0..50).map(|_| warm()).collect();
    let each = (held() - before) / (2 * pairs.len());
    drop((first, pairs));
    // The two pipes of the test are part of it.
    println!("{each} bytes for each side");
    assert!(each < 12 * 1024, "{each}");
}
