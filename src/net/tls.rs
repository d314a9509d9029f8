//! The TLS pump: rustls does the cryptography, a connection does the IO, and in between bytes move
//! in buffers that are owned, because that is what the executors ask for.
//!
//! * A read lands as ciphertext in the caller's own buffer and is decrypted there; a write is
//!   encrypted and goes out in the caller's own buffer. A quiet connection so keeps no buffer of
//!   ours.
//! * The session is borrowed only between two waits. A read may be pending while answers are
//!   written: each direction has its own keys, and what one does to the other is a queued byte.
//! * Once the handshake is over only writes send. What a read makes the session want to say (an
//!   alert) leaves at once when no write is pending, else with that write.
//!
//! rustls' interface without buffers would save a copy, but wants all that was read handed back
//! for every write, and a pending read owns it.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use rustls::{Connection, HandshakeKind};

use crate::rt::{Conn, Lent, Peek, RawConn};

use super::error::{NetError, NetErrorKind, NetOp, TlsFault};

/// What one read of a handshake takes: a flight of the other side mostly fits.
const FLIGHT_BYTES: usize = 4096;

/// Session tickets and alerts, which is all that may wait on an idle link, fit.
const STRAY_BYTES: usize = 2048;

/// A record holds at most so much plaintext (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// What a record adds to its plaintext at most: header, explicit nonce or type, and tag.
const RECORD_OVERHEAD: usize = 29;

/// How a handshake came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shake {
    /// With certificates.
    Full,
    /// With what an earlier connection left behind.
    Resumed,
}

/// A connection that speaks TLS and is past its handshake. Clones share it.
pub struct Tls<C: RawConn>(Rc<Shared<C>>);

struct Shared<C: RawConn> {
    conn: C,
    /// Never borrowed over a wait.
    session: RefCell<Connection>,
    /// A write is pending on `conn`: nothing may come between its pieces.
    writing: Cell<bool>,
    /// We have ended reading ourselves, so the end of the stream is no truncation.
    stopped: Cell<bool>,
    /// What came was no TLS, or was tampered with; reads say so once the plaintext is used up.
    fault: Cell<Option<TlsFault>>,
}

impl<C: RawConn> Clone for Tls<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<C: RawConn> std::fmt::Debug for Tls<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Brings `session` through its handshake on `conn`. It is awaited to its end; aborting `conn`
/// ends it early.
///
/// # Errors
/// What broke: the network, or the peer's TLS.
pub(super) async fn handshake<C: RawConn>(
    conn: C,
    mut session: Connection,
) -> Result<(Tls<C>, Shake), NetError> {
    let failed = |kind| NetError { op: NetOp::Handshake, kind };
    let mut buffer = Vec::with_capacity(FLIGHT_BYTES);
    loop {
        while session.wants_write() {
            pour(&mut session, &mut buffer);
            let (written, back) = conn.write_all(buffer).await;
            buffer = back;
            written.map_err(|error| NetError::from_io(NetOp::Handshake, &error))?;
        }
        if !session.is_handshaking() {
            break;
        }
        let (read, back) = conn.read(buffer).await;
        buffer = back;
        match read {
            Ok(0) => return Err(failed(NetErrorKind::Closed)),
            Ok(_) => {}
            Err(error) => return Err(NetError::from_io(NetOp::Handshake, &error)),
        }
        if let Err(fault) = feed(&mut session, &buffer) {
            // Who speaks something else would not understand an alert either.
            if fault != TlsFault::NotTls {
                buffer.clear();
                pour(&mut session, &mut buffer);
                conn.try_write(&buffer);
            }
            return Err(failed(NetErrorKind::Tls(fault)));
        }
        buffer.clear();
    }
    let shake = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => Shake::Resumed,
        _ => Shake::Full,
    };
    let shared = Shared {
        conn,
        session: RefCell::new(session),
        writing: Cell::new(false),
        stopped: Cell::new(false),
        fault: Cell::new(None),
    };
    Ok((Tls(Rc::new(shared)), shake))
}

/// Gives all of `input` to the session.
fn feed(session: &mut Connection, mut input: &[u8]) -> Result<(), TlsFault> {
    while !input.is_empty() {
        match session.read_tls(&mut input) {
            // Behind a close_notify nothing counts.
            Ok(0) => break,
            Ok(_) => {}
            Err(_too_long) => return Err(TlsFault::Protocol),
        }
        session.process_new_packets().map_err(|error| TlsFault::of(&error))?;
    }
    Ok(())
}

/// Appends all that the session wants to send.
fn pour(session: &mut Connection, out: &mut Vec<u8>) {
    while session.wants_write() {
        // Memory takes everything, so only an empty queue gives zero.
        if !matches!(session.write_tls(out), Ok(1..)) {
            break;
        }
    }
}

/// Moves plaintext into the spare room of `buffer`; returns how much.
fn draw(session: &mut Connection, buffer: &mut Vec<u8>) -> usize {
    let before = buffer.len();
    let mut reader = session.reader();
    while let Ok(chunk) = reader.fill_buf() {
        let room = buffer.capacity() - buffer.len();
        let fits = chunk.get(..room.min(chunk.len())).unwrap_or_default();
        let count = fits.len();
        if count == 0 {
            break;
        }
        buffer.extend_from_slice(fits);
        reader.consume(count);
    }
    buffer.len() - before
}

impl<C: RawConn> Shared<C> {
    /// What can be said without another byte from the network; none when one is needed.
    fn ready(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        let count = draw(&mut session, buffer);
        if count > 0 {
            return Some(Ok(count));
        }
        if let Some(fault) = self.fault.get() {
            return Some(Err(fault.into_io()));
        }
        let ended = session.reader().fill_buf().map(<[u8]>::len);
        match ended {
            Ok(_) => Some(Ok(0)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // The connection ended without a close_notify.
            Err(_) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Takes the ciphertext from `filled` on and leaves its plaintext in its place.
    ///
    /// The plaintext never catches up with the ciphertext, because that is longer. Only a record
    /// that began in an earlier read may give more than fits; that is less than one record, which
    /// the session has room for.
    fn open(&self, buffer: &mut Vec<u8>, filled: usize) {
        let mut session = self.session.borrow_mut();
        let (mut fed, mut plain) = (filled, filled);
        while let Some(mut input) = buffer.get(fed..).filter(|input| !input.is_empty()) {
            match session.read_tls(&mut input) {
                Ok(0) => break,
                Ok(count) => fed += count,
                Err(_too_long) => self.fault.set(Some(TlsFault::Protocol)),
            }
            if let Err(error) = session.process_new_packets() {
                self.fault.set(Some(TlsFault::of(&error)));
            }
            let room = buffer.get_mut(plain..fed).unwrap_or_default();
            plain += session.reader().read(room).unwrap_or(0);
            if self.fault.get().is_some() {
                self.flush(&mut session);
                break;
            }
        }
        buffer.truncate(plain);
    }

    /// The connection has ended.
    fn end(&self) {
        let ended = self.session.borrow_mut().read_tls(&mut io::empty());
        debug_assert!(matches!(ended, Ok(0) | Err(_)), "an empty reader has nothing");
    }

    /// Encrypts the beginning of `plain`; returns how much of it.
    fn seal(&self, plain: &[u8]) -> io::Result<usize> {
        if self.fault.get().is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = self.session.borrow_mut().writer().write(plain);
        let count = taken.map_err(|_session_ended| io::Error::from(io::ErrorKind::BrokenPipe))?;
        if count == 0 && !plain.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(count)
    }

    /// Sends what the session has to say, if that can be done at once and disturbs no write.
    fn flush(&self, session: &mut Connection) {
        if !self.writing.get() {
            let mut out = Vec::new();
            pour(session, &mut out);
            if !out.is_empty() {
                self.conn.try_write(&out);
            }
        }
    }

    /// Tells the peer that nothing was cut off. A write that is pending would be, so then the peer
    /// is told nothing.
    fn say_goodbye(&self) {
        if self.writing.get() {
            return;
        }
        if let Ok(mut session) = self.session.try_borrow_mut() {
            session.send_close_notify();
            self.flush(&mut session);
        }
    }

    /// Ends without having been told that all was said. A client's last request was whole, so it
    /// says goodbye. A server may have broken off an answer that ends with the connection: a
    /// goodbye would make it look whole.
    fn part(&self) {
        let client = self.session.try_borrow().is_ok_and(|s| matches!(*s, Connection::Client(_)));
        if client {
            self.say_goodbye();
        }
    }
}

impl<C: RawConn> Tls<C> {
    /// Where the peer is; unknown when the connection is gone, and in memory.
    pub(super) fn peer_address(&self) -> Option<SocketAddr> {
        self.0.conn.peer_address()
    }
}

impl<C: RawConn> Conn for Tls<C> {
    async fn read(&self, mut buffer: Vec<u8>) -> Lent<usize> {
        let shared = &*self.0;
        loop {
            if let Some(result) = shared.ready(&mut buffer) {
                return (result, buffer);
            }
            let filled = buffer.len();
            let (result, back) = shared.conn.read(buffer).await;
            buffer = back;
            match result {
                Ok(0) | Err(_) if shared.stopped.get() => return (Ok(0), buffer),
                Ok(0) => shared.end(),
                Ok(_) => {
                    shared.open(&mut buffer, filled);
                    if buffer.len() > filled {
                        return (Ok(buffer.len() - filled), buffer);
                    }
                }
                Err(error) => return (Err(error), buffer),
            }
        }
    }

    async fn write_all(&self, mut buffer: Vec<u8>) -> Lent<()> {
        let shared = &*self.0;
        let (mut sealed, mut spare) = (0, Vec::new());
        loop {
            match shared.seal(buffer.get(sealed..).unwrap_or_default()) {
                Ok(count) => sealed += count,
                Err(error) => {
                    buffer.clear();
                    return (Err(error), buffer);
                }
            }
            let last = sealed == buffer.len();
            // All plaintext is inside the session now: its buffer can carry the ciphertext.
            let mut out = std::mem::take(if last { &mut buffer } else { &mut spare });
            let plain = if last { out.len() } else { sealed };
            out.clear();
            out.reserve_exact(plain + (plain / RECORD_BYTES_MAX + 2) * RECORD_OVERHEAD);
            pour(&mut shared.session.borrow_mut(), &mut out);
            shared.writing.set(true);
            let (result, back) = shared.conn.write_all(out).await;
            shared.writing.set(false);
            if last {
                return (result, back);
            }
            if result.is_err() {
                buffer.clear();
                return (result, buffer);
            }
            spare = back;
        }
    }

    /// Takes in what has arrived: a session ticket is no answer, a `close_notify` is an end.
    fn peek(&self) -> Peek {
        let shared = &*self.0;
        let mut stray = [0; STRAY_BYTES];
        loop {
            let mut session = shared.session.borrow_mut();
            match session.reader().fill_buf() {
                Ok([]) => return Peek::Closed,
                Ok(_) => return Peek::Bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Peek::Closed,
            }
            let fed = match shared.conn.try_read(&mut stray) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Peek::Quiet,
                Ok(0) | Err(_) => return Peek::Closed,
                Ok(count) => feed(&mut session, stray.get(..count).unwrap_or_default()),
            };
            if let Err(fault) = fed {
                shared.fault.set(Some(fault));
                return Peek::Closed;
            }
        }
    }

    fn finish(&self) {
        self.0.say_goodbye();
        self.0.conn.finish();
    }

    fn stop_reading(&self) {
        self.0.stopped.set(true);
        self.0.conn.stop_reading();
    }

    fn abort(&self) {
        self.0.stopped.set(true);
        self.0.part();
        self.0.conn.abort();
    }
}

impl<C: RawConn> Drop for Shared<C> {
    fn drop(&mut self) {
        self.part();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
        SupportedProtocolVersion, version,
    };

    use super::super::certificate::provider;
    use super::*;
    use crate::rt::virt::{Faults, Virt, VirtConn, VirtSocket};
    use crate::rt::{Listener, Runtime};

    /// Where the bytes that arrive are cut, beside where the virtual network cuts them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Cut {
        Nowhere,
        Everywhere,
        At(usize),
    }

    /// A connection whose reads end at a cut.
    #[derive(Clone)]
    struct Cutting {
        conn: VirtConn,
        cut: Cut,
        seen: Rc<Cell<usize>>,
    }

    impl Cutting {
        fn new(conn: VirtConn, cut: Cut) -> Self {
            Self { conn, cut, seen: Rc::default() }
        }

        fn most(&self, room: usize) -> usize {
            match self.cut {
                Cut::Nowhere => room,
                Cut::Everywhere => 1,
                Cut::At(at) if self.seen.get() < at => room.min(at - self.seen.get()),
                Cut::At(_) => room,
            }
        }
    }

    impl Conn for Cutting {
        async fn read(&self, mut buffer: Vec<u8>) -> Lent<usize> {
            let piece = Vec::with_capacity(self.most(buffer.capacity() - buffer.len()));
            let (result, piece) = self.conn.read(piece).await;
            self.seen.set(self.seen.get() + piece.len());
            buffer.extend_from_slice(&piece);
            (result, buffer)
        }
        async fn write_all(&self, buffer: Vec<u8>) -> Lent<()> {
            self.conn.write_all(buffer).await
        }
        fn peek(&self) -> Peek {
            self.conn.peek()
        }
        fn finish(&self) {
            self.conn.finish();
        }
        fn stop_reading(&self) {
            self.conn.stop_reading();
        }
        fn abort(&self) {
            self.conn.abort();
        }
    }

    impl RawConn for Cutting {
        fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
            let most = self.most(into.len());
            let count = self.conn.try_read(into.get_mut(..most).unwrap())?;
            self.seen.set(self.seen.get() + count);
            Ok(count)
        }
        fn try_write(&self, bytes: &[u8]) -> usize {
            self.conn.try_write(bytes)
        }
    }

    /// Both sides' configurations, over one certificate for `localhost`.
    struct Pair {
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    }

    fn pair(versions: &[&'static SupportedProtocolVersion]) -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        Pair { client: Arc::new(client), server: Arc::new(server) }
    }

    impl Pair {
        fn client(&self) -> Connection {
            let name = "localhost".try_into().unwrap();
            ClientConnection::new(Arc::clone(&self.client), name).unwrap().into()
        }

        fn server(&self) -> Connection {
            ServerConnection::new(Arc::clone(&self.server)).unwrap().into()
        }
    }

    type End = Tls<Cutting>;

    /// Both ends of a connection after the handshake, the client's first.
    async fn ends(rt: &Virt, pair: &Pair, cuts: [Cut; 2]) -> (End, End, Shake) {
        let at = SocketAddr::from(([127, 0, 0, 1], 443));
        let listener = rt.listen(VirtSocket(at)).unwrap();
        let session = pair.server();
        let place = Rc::new(RefCell::new(None));
        let (accepted, accepting) = (Rc::clone(&place), rt.clone());
        rt.spawn(async move {
            let (conn, _) = listener.accept().await.unwrap();
            let conn = Cutting::new(accepting.adopt(conn).unwrap(), cuts[1]);
            let shaken = handshake(conn, session).await;
            *accepted.borrow_mut() = Some(shaken.unwrap().0);
        });
        let conn = Cutting::new(rt.connect(at).await.unwrap(), cuts[0]);
        let (client, shake) = handshake(conn, pair.client()).await.unwrap();
        loop {
            if let Some(server) = place.borrow_mut().take() {
                return (client, server, shake);
            }
            rt.sleep(Duration::from_millis(1)).await;
        }
    }

    fn pattern(length: usize, salt: u8) -> Vec<u8> {
        let byte = |index: usize| u8::try_from(index * 7 % 251).unwrap() ^ salt;
        (0..length).map(byte).collect()
    }

    /// Writes pieces of these sizes and says goodbye.
    async fn write(end: End, sizes: Vec<usize>, salt: u8) {
        let whole = pattern(sizes.iter().sum(), salt);
        let mut rest = whole.as_slice();
        for size in sizes {
            let (piece, behind) = rest.split_at(size);
            let (result, buffer) = end.write_all(piece.to_vec()).await;
            assert!(result.is_ok() && buffer.is_empty(), "{result:?}");
            rest = behind;
        }
        end.finish();
    }

    /// Reads to the clean end, into buffers with little and with much room.
    async fn read(end: &End) -> Vec<u8> {
        let (mut all, mut room) = (Vec::new(), 1);
        loop {
            let mut buffer = Vec::with_capacity(room + 3);
            buffer.extend_from_slice(b"abc");
            let (result, buffer) = end.read(buffer).await;
            let count = result.unwrap();
            let (before, more) = buffer.split_at(3);
            assert!(before == b"abc" && more.len() == count, "what was there stays");
            if count == 0 {
                return all;
            }
            all.extend_from_slice(more);
            room = room * 5 % 40_000 + 1;
        }
    }

    /// Both sides write and read at the same time; every byte must arrive once and in order.
    fn talk(seed: u64, pair: Pair, cuts: [Cut; 2], sizes: [&[usize]; 2]) -> usize {
        let rt = Virt::new(seed, Faults::default());
        let sizes = sizes.map(<[usize]>::to_vec);
        let sums = sizes.clone().map(|sizes| sizes.into_iter().sum::<usize>());
        let world = rt.clone();
        let seen = rt.run(async move {
            let (client, server, _) = ends(&world, &pair, cuts).await;
            let [up, down] = sizes;
            world.spawn(write(client.clone(), up, 1));
            world.spawn(write(server.clone(), down, 2));
            let heard = Rc::new(RefCell::new(None));
            let (place, listening) = (Rc::clone(&heard), server.clone());
            world.spawn(async move {
                let all = read(&listening).await;
                *place.borrow_mut() = Some(all);
            });
            assert_eq!(read(&client).await, pattern(sums[1], 2));
            while heard.borrow().is_none() {
                world.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(heard.borrow().as_deref(), Some(&*pattern(sums[0], 1)));
            client.0.conn.seen.get().max(server.0.conn.seen.get())
        });
        assert_eq!(rt.witness().violations, Vec::<String>::new());
        seen.unwrap()
    }

    #[test]
    fn a_cut_at_any_byte_of_either_direction_changes_nothing() {
        for versions in [[&version::TLS13], [&version::TLS12]] {
            let small: [&[usize]; 2] = [&[5, 120], &[90]];
            let whole = talk(7, pair(&versions), [Cut::Nowhere; 2], small);
            assert!(whole > 400, "{whole}");
            for at in 1..=whole {
                talk(7, pair(&versions), [Cut::At(at), Cut::Nowhere], small);
                talk(7, pair(&versions), [Cut::Nowhere, Cut::At(at)], small);
            }
            talk(7, pair(&versions), [Cut::Everywhere; 2], small);
        }
    }

    #[test]
    fn large_and_small_writes_cross_each_other() {
        let up: &[usize] = &[1, 0, 16_384, 200, 70_000, 1, 200_000];
        let down: &[usize] = &[150_000, 16_385, 3, 65_536, 300];
        for seed in 0..20 {
            for versions in [[&version::TLS13], [&version::TLS12]] {
                talk(seed, pair(&versions), [Cut::Nowhere; 2], [up, down]);
            }
        }
        talk(1, pair(&[&version::TLS13]), [Cut::Everywhere; 2], [&[3000, 1], &[20_000]]);
    }

    fn play<T: 'static, F: Future<Output = T> + 'static>(scene: impl FnOnce(Virt) -> F) -> T {
        let rt = Virt::new(3, Faults::default());
        let done = rt.run(scene(rt.clone())).unwrap();
        assert_eq!(rt.witness().violations, Vec::<String>::new());
        done
    }

    const UNCUT: [Cut; 2] = [Cut::Nowhere; 2];

    async fn settle(rt: &Virt) {
        rt.sleep(Duration::from_millis(50)).await;
    }

    #[test]
    fn a_resumed_handshake_is_told_from_a_full_one() {
        for versions in [[&version::TLS13], [&version::TLS12]] {
            play(|rt| async move {
                let pair = pair(&versions);
                for want in [Shake::Full, Shake::Resumed] {
                    let (client, server, shake) = ends(&rt, &pair, UNCUT).await;
                    assert_eq!(shake, want);
                    settle(&rt).await;
                    // Session tickets are no stray bytes.
                    assert_eq!(client.peek(), Peek::Quiet);
                    drop(server);
                }
            });
        }
    }

    #[test]
    fn a_peek_tells_stray_bytes_and_goodbyes_from_tickets() {
        play(|rt| async move {
            let pair = pair(&[&version::TLS13]);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            settle(&rt).await;
            assert_eq!((client.peek(), server.peek()), (Peek::Quiet, Peek::Quiet));
            let (result, _) = server.write_all(b"stray".to_vec()).await;
            settle(&rt).await;
            assert!(result.is_ok() && client.peek() == Peek::Bytes && client.peek() == Peek::Bytes);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            server.finish();
            settle(&rt).await;
            assert_eq!(client.peek(), Peek::Closed);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            server.0.conn.abort();
            settle(&rt).await;
            assert_eq!(client.peek(), Peek::Closed);
        });
    }

    async fn read_once(end: &End) -> (io::Result<usize>, Vec<u8>) {
        end.read(Vec::with_capacity(100)).await
    }

    #[test]
    fn an_end_without_a_goodbye_is_told_from_one_with() {
        play(|rt| async move {
            let pair = pair(&[&version::TLS13]);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            let (written, _) = server.write_all(b"half".to_vec()).await;
            server.0.conn.finish();
            assert!(written.is_ok());
            let (read, bytes) = read_once(&client).await;
            assert_eq!((read.unwrap(), &*bytes), (4, &b"half"[..]));
            let (read, _) = read_once(&client).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            server.finish();
            assert_eq!(read_once(&client).await.0.unwrap(), 0);
            // A link that is let go says goodbye by itself; a server only when it means to.
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            settle(&rt).await;
            assert_eq!(client.peek(), Peek::Quiet);
            drop(client);
            assert_eq!(read_once(&server).await.0.unwrap(), 0);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            drop(server);
            let (read, _) = read_once(&client).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn a_pending_read_comes_back_when_it_is_ended() {
        for abort in [false, true] {
            play(move |rt| async move {
                let pair = pair(&[&version::TLS13]);
                let (client, server, _) = ends(&rt, &pair, UNCUT).await;
                let end_it = if abort { Tls::abort } else { Tls::stop_reading };
                let (ending, waiting): (End, Virt) = (client.clone(), rt.clone());
                rt.spawn(async move {
                    settle(&waiting).await;
                    end_it(&ending);
                });
                assert_eq!(read_once(&client).await.0.unwrap(), 0, "no truncation: we ended it");
                let (written, _) = client.write_all(b"still here".to_vec()).await;
                assert_eq!(written.is_ok(), !abort);
                let (read, bytes) = read_once(&server).await;
                let want: &[u8] = if abort { b"" } else { b"still here" };
                assert_eq!((read.unwrap(), &*bytes), (want.len(), want));
            });
        }
    }

    #[test]
    fn what_was_tampered_with_is_an_error_behind_the_good_bytes() {
        play(|rt| async move {
            let pair = pair(&[&version::TLS13]);
            let (client, server, _) = ends(&rt, &pair, UNCUT).await;
            let (good, _) = server.write_all(b"good".to_vec()).await;
            let forged = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
            let (bad, _) = server.0.conn.write_all(forged).await;
            assert!(good.is_ok() && bad.is_ok());
            settle(&rt).await;
            let (read, bytes) = read_once(&client).await;
            assert_eq!((read.unwrap(), &*bytes), (4, &b"good"[..]));
            let (read, _) = read_once(&client).await;
            let error = NetError::from_io(NetOp::Read, &read.unwrap_err());
            assert_eq!(error.kind, NetErrorKind::Tls(TlsFault::Protocol));
            assert!(client.write_all(b"x".to_vec()).await.0.is_err());
            // The peer is told why.
            let (told, _) = read_once(&server).await;
            let error = NetError::from_io(NetOp::Read, &told.unwrap_err());
            assert_eq!(error.kind, NetErrorKind::Tls(TlsFault::Refused));
        });
    }
}
