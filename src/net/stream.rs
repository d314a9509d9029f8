//! A connection as the gateway uses it: plain, or through TLS. Nothing above knows which.

use std::net::SocketAddr;

use crate::rt::{Conn, Lent, Peek, RawConn, Runtime};

use super::tls::Tls;

/// A plain connection or one that speaks TLS. A plain one costs one branch.
#[derive(Clone)]
pub enum Stream<C: RawConn> {
    /// Bytes as they are.
    Plain(C),
    /// Encrypted.
    Tls(Tls<C>),
}

impl<C: RawConn> std::fmt::Debug for Stream<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

/// The streams of one executor.
pub type StreamOf<R> = Stream<<R as Runtime>::Conn>;

impl<C: RawConn> Stream<C> {
    /// Writes like [`Conn::write_all`]. `alone`: little else happens on this core, so nothing is
    /// gained by handing the write to the executor together with others, and a turn of it is lost.
    pub async fn write_all_of(&self, mut buffer: Vec<u8>, alone: bool) -> Lent<()> {
        if alone && let Self::Plain(conn) = self {
            let taken = conn.try_write(&buffer);
            buffer.drain(..taken.min(buffer.len()));
            if buffer.is_empty() {
                return (Ok(()), buffer);
            }
        }
        self.write_all(buffer).await
    }

    /// Where the peer is; unknown when the connection is gone, and in memory.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(conn) => conn.peer_address(),
            Self::Tls(tls) => tls.peer_address(),
        }
    }
}

impl<C: RawConn> Conn for Stream<C> {
    async fn read(&self, buffer: Vec<u8>) -> Lent<usize> {
        match self {
            Self::Plain(conn) => conn.read(buffer).await,
            Self::Tls(tls) => tls.read(buffer).await,
        }
    }

    async fn write_all(&self, buffer: Vec<u8>) -> Lent<()> {
        match self {
            Self::Plain(conn) => conn.write_all(buffer).await,
            Self::Tls(tls) => tls.write_all(buffer).await,
        }
    }

    fn peek(&self) -> Peek {
        match self {
            Self::Plain(conn) => conn.peek(),
            Self::Tls(tls) => tls.peek(),
        }
    }

    fn finish(&self) {
        match self {
            Self::Plain(conn) => conn.finish(),
            Self::Tls(tls) => tls.finish(),
        }
    }

    fn stop_reading(&self) {
        match self {
            Self::Plain(conn) => conn.stop_reading(),
            Self::Tls(tls) => tls.stop_reading(),
        }
    }

    fn abort(&self) {
        match self {
            Self::Plain(conn) => conn.abort(),
            Self::Tls(tls) => tls.abort(),
        }
    }
}
