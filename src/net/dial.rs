//! Opens connections to an upstream's addresses.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::rt::Runtime;

use super::error::{NetError, NetErrorKind, NetOp};

/// The addresses of one upstream as this shard knows them. The control thread resolves the name
/// and sends new lists; the shard only reads.
#[derive(Debug, Default)]
pub struct Addresses {
    known: RefCell<Vec<SocketAddr>>,
    /// Where the next dial begins, so that several addresses share the links.
    next: Cell<usize>,
}

impl Addresses {
    /// Replaces the list.
    pub fn replace(&self, known: Vec<SocketAddr>) {
        *self.known.borrow_mut() = known;
    }

    /// Is any address known?
    pub fn is_empty(&self) -> bool {
        self.known.borrow().is_empty()
    }

    /// The address at `offset` places after the one whose turn it is.
    fn pick(&self, offset: usize) -> Option<SocketAddr> {
        let known = self.known.borrow();
        let index = self.next.get().wrapping_add(offset).checked_rem(known.len())?;
        known.get(index).copied()
    }
}

/// Connects to the first address that answers, each within `timeout`. May be dropped at any time.
/// TLS comes after: its handshake is not to be dropped.
///
/// # Errors
/// The last address's failure, or [`NetErrorKind::NoAddress`].
pub async fn dial<R: Runtime>(
    rt: &R,
    addresses: &Addresses,
    timeout: Duration,
) -> Result<R::Conn, NetError> {
    let count = addresses.known.borrow().len();
    let mut failure = NetError { op: NetOp::Resolve, kind: NetErrorKind::NoAddress };
    for offset in 0..count {
        let Some(address) = addresses.pick(offset) else { break };
        match within(rt, timeout, rt.connect(address)).await {
            Some(Ok(conn)) => {
                addresses.next.set(addresses.next.get().wrapping_add(offset + 1));
                return Ok(conn);
            }
            Some(Err(error)) => failure = NetError::from_io(NetOp::Connect, &error),
            None => failure = NetError { op: NetOp::Connect, kind: NetErrorKind::Timeout },
        }
    }
    Err(failure)
}

/// `work`, or none when `limit` passes first. Only for work that may be dropped.
async fn within<R: Runtime, T>(
    rt: &R,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (mut work, mut limit) = (pin!(work), pin!(rt.sleep(limit)));
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        limit.as_mut().poll(context).map(|()| None)
    })
    .await
}
