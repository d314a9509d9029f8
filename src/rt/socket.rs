//! The few socket calls that neither executor wraps. None waits, but one, and that for a
//! millisecond at most.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, RawFd};
use std::time::Duration;

use super::Peek;
use super::listen::Accepted;

/// Takes ownership of a descriptor that an executor has released.
#[expect(unsafe_code, reason = "descriptors cross from one owner to the next")]
pub(super) fn own(descriptor: RawFd) -> Accepted {
    // SAFETY: the caller got `descriptor` from `into_raw_fd`, so it is open and has no owner.
    Accepted(unsafe { TcpStream::from_raw_fd(descriptor) })
}

/// A second descriptor of the same connection, owned by nobody else.
///
/// # Errors
/// The operating system's reason: no descriptor is left.
#[cfg(feature = "glommio")]
#[expect(unsafe_code, reason = "the executor owns the first descriptor")]
pub(super) fn copy(descriptor: RawFd) -> io::Result<Accepted> {
    // SAFETY: the caller's stream keeps `descriptor` open during the call.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    Ok(Accepted(borrowed.try_clone_to_owned()?.into()))
}

/// How long is waited at most for a connection that another process took meanwhile.
const TAKEN_WAIT: Duration = Duration::from_millis(1);

/// A connection that waits in a listening socket's queue. The socket may be in blocking mode, which
/// all processes that share it have in common; so the wait gets an end instead.
#[expect(unsafe_code, reason = "the executors' listeners offer no accept that never waits")]
pub(super) fn accept_waiting(descriptor: RawFd) -> Option<Accepted> {
    let mut look = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours and valid for the call; no time is waited.
    let waits = unsafe { libc::poll(&raw mut look, 1, 0) } > 0;
    if !waits {
        return None;
    }
    // SAFETY: the caller's listener keeps `descriptor` open during the calls.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    let listener = socket2::SockRef::from(&borrowed);
    listener.set_read_timeout(Some(TAKEN_WAIT)).ok()?;
    let accepted = listener.accept();
    // What is accepted later must not inherit it.
    listener.set_read_timeout(None).ok()?;
    let (socket, _peer) = accepted.ok()?;
    socket.set_read_timeout(None).ok()?;
    // Where the executor polls, the listener does not block, and what it accepts must not either.
    socket.set_nonblocking(listener.nonblocking().ok()?).ok()?;
    Some(Accepted(socket.into()))
}

/// Looks at the first waiting byte without taking it.
#[expect(unsafe_code, reason = "std has no MSG_PEEK with MSG_DONTWAIT")]
pub(super) fn peek(descriptor: RawFd) -> Peek {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the buffer is one byte, valid for the call; the descriptor is open.
    let got = unsafe { libc::recv(descriptor, (&raw mut byte).cast(), 1, flags) };
    match got {
        0 => Peek::Closed,
        n if n > 0 => Peek::Bytes,
        _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => Peek::Quiet,
        _ => Peek::Closed,
    }
}

/// Where the peer is.
#[expect(unsafe_code, reason = "the executor owns the descriptor")]
pub(super) fn peer_address(descriptor: RawFd) -> Option<SocketAddr> {
    // SAFETY: the caller's stream keeps `descriptor` open during the call.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    socket2::SockRef::from(&borrowed).peer_addr().ok()?.as_socket()
}

/// Takes what has arrived.
///
/// # Errors
/// `WouldBlock` when nothing has, else the operating system's reason.
#[expect(unsafe_code, reason = "the executors' streams offer no read that never waits")]
pub(super) fn try_read(descriptor: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is ours and valid for the call; the descriptor is open.
    let got =
        unsafe { libc::recv(descriptor, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map_err(|_negative| io::Error::last_os_error())
}

/// Hands over what the kernel takes at once. An error counts as nothing: the next call that waits
/// will meet it too.
#[expect(unsafe_code, reason = "the executors' streams offer no write that never waits")]
pub(super) fn try_write(descriptor: RawFd, bytes: &[u8]) -> usize {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is ours and valid for the call; the descriptor is open.
    let taken = unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(taken).unwrap_or(0)
}

/// Shuts a direction down. An error means that the connection is already gone, which is what the
/// caller wants.
#[expect(unsafe_code, reason = "the executors' streams offer no shutdown of both directions")]
pub(super) fn shut(descriptor: RawFd, how: i32) {
    // SAFETY: the call takes no memory of ours; the descriptor is open while its stream lives.
    let _already_gone = unsafe { libc::shutdown(descriptor, how) };
}

/// What the kernel takes from an upstream ahead of us, in bytes of data; it counts twice as much,
/// for what it needs beside them.
const RECEIVE_BYTES: usize = 96 * 1024;

/// Bounds what the kernel takes from an upstream that speaks faster than its client reads.
#[expect(unsafe_code, reason = "the executors' streams do not offer the option")]
pub(super) fn bound_upstream(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: the caller owns the connection, and keeps it open over this call.
    let connection = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
    socket2::SockRef::from(&connection).set_recv_buffer_size(RECEIVE_BYTES)
}
