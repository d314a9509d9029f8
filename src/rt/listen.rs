//! Listening sockets, bound before any core starts, so that a taken port stops the start.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// What the kernel keeps of an answer for a client that does not read, in bytes of data; it counts
/// twice as much, for what it needs beside them.
const SEND_BYTES: usize = 96 * 1024;

/// Of that, not yet on its way; a client that reads has more under way.
const UNSENT_BYTES: u32 = 64 * 1024;

/// How many connections may wait in the kernel for `accept`; the kernel caps it at
/// `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// How long a process that has died may still seem to listen.
const DYING: Duration = Duration::from_secs(1);

/// A bound socket that one core will accept from.
#[derive(Debug)]
pub struct ListenSocket(pub(super) TcpListener);

/// An accepted connection on its way to the core that will serve it.
#[derive(Debug)]
pub struct Accepted(pub(super) TcpStream);

impl ListenSocket {
    /// The address it is bound to, with the real port when 0 was asked for.
    ///
    /// # Errors
    /// The operating system's reason.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Binds `count` sockets to `at`, which share it by `SO_REUSEPORT`.
///
/// The first is bound without the option, to find a foreign listener on the port: with the
/// option on both sides the kernel would silently share the port with another program.
///
/// # Errors
/// The operating system's reason, `AddrInUse` for example.
pub fn bind(at: SocketAddr, count: usize) -> io::Result<Vec<ListenSocket>> {
    let mut bound = Vec::with_capacity(count);
    let mut at = at;
    if at.port() != 0 {
        until_free(at)?;
    }
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        // Accepted connections inherit it: small answers and stream events leave at once.
        socket.set_tcp_nodelay(true)?;
        bound_clients(&socket)?;
        socket.listen(BACKLOG)?;
        // Two processes may share a socket during a hand-over: a blocking accept could then wait
        // for a connection that the other one took.
        socket.set_nonblocking(true)?;
        let listener: TcpListener = socket.into();
        at = listener.local_addr()?;
        bound.push(ListenSocket(listener));
    }
    Ok(bound)
}

/// Waits for a moment until nobody else listens: what the ring of a killed process holds is closed
/// some milliseconds after its end, when a supervisor may have started the next one already.
#[expect(clippy::disallowed_methods, reason = "nothing is served yet, and no core has begun")]
fn until_free(at: SocketAddr) -> io::Result<()> {
    let end = Instant::now() + DYING;
    loop {
        let alone = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        alone.set_reuse_address(true)?;
        match alone.bind(&at.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(DYING / 50);
            }
            done => return done,
        }
    }
}

/// Bounds what the kernel keeps for the clients of a listener: accepted connections inherit it.
pub(super) fn bound_clients(listener: &Socket) -> io::Result<()> {
    listener.set_send_buffer_size(SEND_BYTES)?;
    listener.set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// Raises the soft limit of open files to the hard one and returns it.
///
/// # Errors
/// The operating system's reason.
#[expect(unsafe_code, reason = "std has no call for resource limits")]
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; raising soft to hard needs no privilege.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// The soft limit of locked memory in bytes: what a ring of an unprivileged user counts against.
///
/// # Errors
/// The operating system's reason.
#[expect(unsafe_code, reason = "std has no call for resource limits")]
pub(super) fn memlock_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_share_one_port_and_a_foreign_listener_is_found() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let at = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == at));
        assert_eq!(bind(at, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
