//! TLS handshakes under a deadline, towards upstreams and with clients.

use crate::config::Origin;
use crate::net::{NetError, NetErrorKind, NetOp, Shake, Stream, StreamOf, TlsFault};
use crate::obs::HandshakeEnd;
use crate::rt::{Conn, Lent, Runtime};
use crate::shard::{Late, Shard, Upstream};

use super::client::{Client, Gone};
use super::exchange::Exchange;
use super::failure::{Failure, Phase};

/// Makes a stream of a fresh connection to an upstream: with TLS when its address asks for it.
pub(super) async fn to_upstream<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    (upstream, origin): (&Upstream<R>, &Origin),
    conn: R::Conn,
) -> Result<Result<StreamOf<R>, Failure>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if !origin.tls {
        return Ok(Ok(Stream::Plain(conn)));
    }
    let shard = exchange.shard;
    let failed = |error| Ok(Err(Failure::Net(error, Phase::Handshake)));
    // Without a name to check, whoever answers would be believed.
    let (Some(connector), Some(peer)) = (shard.connector(), &upstream.peer) else {
        let kind = NetErrorKind::Tls(TlsFault::Name);
        return failed(NetError { op: NetOp::Handshake, kind });
    };
    let deadline = shard.deadlines.register(Stream::Plain(conn.clone()));
    deadline.set(exchange.until(shard.config.timeouts.tls), Late::Abort);
    let began = shard.rt.now();
    let shaking = connector.connect(conn.clone(), peer);
    let (shaken, gone) = client.watch(shaking, || conn.abort()).await;
    let spent = exchange.wait_since(began);
    exchange.phases.tls += spent;
    if gone {
        return Err(Gone);
    }
    match shaken {
        Ok((tls, shake)) => {
            shard.cells.on_upstream_handshake(end_of(shake));
            Ok(Ok(Stream::Tls(tls)))
        }
        Err(mut error) => {
            shard.cells.on_upstream_handshake(HandshakeEnd::Failed);
            if deadline.fired() {
                error.kind = NetErrorKind::Timeout;
            }
            failed(error)
        }
    }
}

/// Who a client turns out to be.
pub(super) enum Welcome<R: Runtime> {
    /// One that speaks as it should.
    Stream(StreamOf<R>),
    /// One that speaks plain HTTP where TLS is spoken: it can at least be told so.
    PlainHttp(StreamOf<R>),
    /// Nobody any more.
    Gone,
}

/// Makes a stream of a client's fresh connection: with TLS when we have a certificate to show.
pub(super) async fn with_client<R: Runtime>(shard: &Shard<R>, conn: R::Conn) -> Welcome<R> {
    let Some(acceptor) = shard.acceptor() else { return Welcome::Stream(Stream::Plain(conn)) };
    let deadline = shard.deadlines.register(Stream::Plain(conn.clone()));
    deadline.set(shard.rt.now().after(shard.config.timeouts.client_head), Late::Abort);
    match acceptor.accept(conn.clone()).await {
        Ok((tls, shake)) => {
            shard.cells.on_client_handshake(end_of(shake));
            Welcome::Stream(Stream::Tls(tls))
        }
        Err(error) => {
            shard.cells.on_client_handshake(HandshakeEnd::Failed);
            match error.kind {
                NetErrorKind::Tls(TlsFault::NotTls) => Welcome::PlainHttp(Stream::Plain(conn)),
                _ => Welcome::Gone,
            }
        }
    }
}

fn end_of(shake: Shake) -> HandshakeEnd {
    match shake {
        Shake::Full => HandshakeEnd::Full,
        Shake::Resumed => HandshakeEnd::Resumed,
    }
}
