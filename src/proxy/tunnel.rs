//! Asks a proxy for a way to an upstream (`CONNECT`, RFC 9110 section 9.3.6).

use std::io;

use crate::config::{Origin, Tunnel};
use crate::net::{NetError, NetErrorKind, NetOp, Stream};
use crate::rt::{Conn, Lent, Runtime};
use crate::shard::Late;
use crate::wire::head::field_store;
use crate::wire::{HeadLimits, HeadScan, ResponseHead};

use super::client::{Client, Gone};
use super::exchange::Exchange;
use super::failure::{Failure, Phase};

/// The longest head that a proxy may answer with.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Goes through the proxy on a fresh connection to it: from now on it is one to whoever is there.
pub(super) async fn pass<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    (tunnel, to): (&Tunnel, &Origin),
    conn: &R::Conn,
) -> Result<Result<(), Failure>, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let deadline = shard.deadlines.register(Stream::Plain(conn.clone()));
    deadline.set(exchange.until(shard.config.timeouts.connect), Late::Abort);
    let began = shard.rt.now();
    let (asked, gone) = client.watch(ask(conn, request(tunnel, to)), || conn.abort()).await;
    let spent = exchange.wait_since(began);
    exchange.phases.connect += spent;
    if gone {
        return Err(Gone);
    }
    let late = deadline.fired();
    Ok(asked.map_err(|mut error| {
        if late {
            error.kind = NetErrorKind::Timeout;
        }
        Failure::Net(error, Phase::Connect)
    }))
}

fn request(tunnel: &Tunnel, to: &Origin) -> Vec<u8> {
    let target = format!("{}:{}", to.host_in_url(), to.port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n");
    if let Some(shown) = tunnel.authorization() {
        request.push_str("proxy-authorization: ");
        request.push_str(shown.expose());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Sends the request and reads the answer to the end of its head. Behind it nothing may have come:
/// in TLS the client speaks first.
async fn ask<C: Conn>(conn: &C, request: Vec<u8>) -> Result<(), NetError> {
    let failed = |op, error: &io::Error| NetError::from_io(op, error);
    conn.write_all(request).await.0.map_err(|error| failed(NetOp::Connect, &error))?;
    let (mut answer, mut scan) = (Vec::with_capacity(1024), HeadScan::new());
    let refused = Err(NetError { op: NetOp::Connect, kind: NetErrorKind::Proxy });
    loop {
        if let Some(length) = scan.find(&answer) {
            let opened = length == answer.len() && is_opened(&answer);
            return if opened { Ok(()) } else { refused };
        }
        if answer.len() >= HEAD_BYTES_MAX {
            return refused;
        }
        answer.reserve(1024);
        let (read, back) = conn.read(answer).await;
        answer = back;
        match read {
            Ok(0) => return Err(NetError { op: NetOp::Connect, kind: NetErrorKind::Closed }),
            Ok(_) => {}
            Err(error) => return Err(failed(NetOp::Connect, &error)),
        }
    }
}

/// Every success opens the way, whatever its fields say of a body.
fn is_opened(head: &[u8]) -> bool {
    let limits =
        HeadLimits { head_bytes: HEAD_BYTES_MAX, fields: 64, target_bytes: HEAD_BYTES_MAX };
    let mut store = field_store();
    ResponseHead::parse(head, &limits, &mut store)
        .is_ok_and(|head| (200..300).contains(&head.status))
}
