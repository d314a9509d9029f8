//! Listening sockets that outlive a process: it gives them to a successor, which it starts itself,
//! and whatever waits in their queues is served by whichever of the two accepts.
//!
//! The successor finds the numbers of its descriptors in the environment: its predecessor's in
//! [`LISTEN`] and [`READY`], or systemd's in `LISTEN_FDS` (`sd_listen_fds(3)`).

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use socket2::Socket;

use super::listen::ListenSocket;

/// Numbers of listening descriptors, separated by commas.
const LISTEN: &str = "VERTEX_BRIDGE_LISTEN_FDS";

/// The number of the listening descriptor that serves operators.
const OPERATORS: &str = "VERTEX_BRIDGE_ADMIN_FD";

/// The descriptor on which a successor says that it serves.
const READY: &str = "VERTEX_BRIDGE_READY_FD";

/// systemd's descriptors begin behind the three that every process has.
const SYSTEMD_FIRST: RawFd = 3;

/// Copies of the listening sockets: as long as they are there, no queue is lost.
#[derive(Debug)]
pub struct Kept {
    clients: Vec<OwnedFd>,
    operators: Option<OwnedFd>,
}

impl Kept {
    /// Copies these sockets.
    ///
    /// # Errors
    /// The operating system's reason.
    pub fn of(clients: &[ListenSocket], operators: Option<&ListenSocket>) -> io::Result<Self> {
        let copy = |socket: &ListenSocket| socket.0.try_clone().map(OwnedFd::from);
        let clients = clients.iter().map(copy).collect::<io::Result<_>>()?;
        Ok(Self { clients, operators: operators.map(copy).transpose()? })
    }
}

/// A process that takes over.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    ready: PipeReader,
}

impl Successor {
    /// Starts `command` with the sockets.
    ///
    /// # Errors
    /// The operating system's reason.
    #[expect(unsafe_code, reason = "what a child inherits is decided between fork and exec")]
    pub fn start(mut command: Command, kept: &Kept) -> io::Result<Self> {
        let (ready, writer): (PipeReader, PipeWriter) = io::pipe()?;
        let numbers: Vec<RawFd> = kept.clients.iter().map(AsRawFd::as_raw_fd).collect();
        let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        command.env(LISTEN, list.join(",")).env(READY, writer.as_raw_fd().to_string());
        command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
        command.env_remove(OPERATORS);
        let operators = kept.operators.as_ref().map(AsRawFd::as_raw_fd);
        command.envs(operators.map(|number| (OPERATORS, number.to_string())));
        let others = operators.into_iter().chain([writer.as_raw_fd()]);
        let inherited: Vec<RawFd> = numbers.into_iter().chain(others).collect();
        let keep_open = move || {
            for number in &inherited {
                // SAFETY: fcntl on a number reads and writes no memory of ours, and is allowed
                // between fork and exec (signal-safety(7)); the numbers are open in the parent.
                if unsafe { libc::fcntl(*number, libc::F_SETFD, 0) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: the closure only calls fcntl, which is async-signal-safe, and allocates nothing.
        unsafe { command.pre_exec(keep_open) };
        let child = command.spawn()?;
        // Only the child's copy is left: its end shows.
        drop(writer);
        Ok(Self { child, ready })
    }

    /// Waits until the successor serves; false when it ends before that. Blocks.
    pub fn is_ready(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.ready.read(&mut byte), Ok(1))
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end. Blocks.
    pub fn wait(&mut self) {
        // A child that cannot be waited for has ended.
        let _status = self.child.wait();
    }
}

/// Sends a signal to a process that is ours.
#[expect(unsafe_code, reason = "std has no call for signals but the one that kills")]
pub fn send_signal(pid: u32, signal: i32) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: kill takes two numbers and touches no memory; a process that has ended is an
        // error that changes nothing.
        unsafe { libc::kill(pid, signal) };
    }
}

/// What a process got from its predecessor or from systemd.
#[derive(Debug)]
pub struct Inherited {
    /// Listening sockets, one or more.
    pub sockets: Vec<ListenSocket>,
    /// The one that serves operators, if they have one of their own.
    pub operators: Option<ListenSocket>,
    /// Where it says that it serves; none for systemd's.
    pub ready: Option<Ready>,
}

/// The successor's end of the pipe.
#[derive(Debug)]
pub struct Ready(PipeWriter);

impl Ready {
    /// Says that every shard listens.
    pub fn say(mut self) {
        // A predecessor that has gone needs no word.
        let _gone = self.0.write_all(b"1");
    }
}

/// The sockets that this process was started with, if there are any. To be called once; `text`
/// reads the environment.
///
/// # Errors
/// When a number in the environment is no listening socket.
pub fn inherited(text: impl Fn(&str) -> Option<String>) -> io::Result<Option<Inherited>> {
    if let Some(list) = text(LISTEN) {
        let number = |text: &str| text.parse().ok().ok_or_else(|| not_ours(LISTEN));
        let sockets = list.split(',').map(|text| number(text).and_then(adopt));
        let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        let ready = text(READY).and_then(|number| number.parse().ok());
        let ready = ready.map(open).transpose()?.map(|end| Ready(PipeWriter::from(end)));
        let operators = text(OPERATORS).map(|text| number(&text).and_then(adopt)).transpose()?;
        return Ok(Some(Inherited { sockets, operators, ready }));
    }
    let own = text("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let count = text("LISTEN_FDS").and_then(|count| count.parse::<RawFd>().ok()).unwrap_or(0);
    if !own || count < 1 {
        return Ok(None);
    }
    let numbers = SYSTEMD_FIRST..SYSTEMD_FIRST.saturating_add(count);
    let sockets = numbers.map(adopt).collect::<io::Result<Vec<_>>>()?;
    Ok(Some(Inherited { sockets, operators: None, ready: None }))
}

fn not_ours(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name} names no listening sockets"))
}

/// Takes over an inherited descriptor and closes it for our own children.
#[expect(unsafe_code, reason = "a number from the environment becomes a descriptor")]
fn open(number: RawFd) -> io::Result<OwnedFd> {
    if number < SYSTEMD_FIRST {
        return Err(not_ours(LISTEN));
    }
    // SAFETY: fcntl on a number reads and writes no memory; a closed number is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open, as fcntl has shown. Whoever started us put it there for us, and
    // this is called once, before anything else has opened a descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn adopt(number: RawFd) -> io::Result<ListenSocket> {
    let socket = Socket::from(open(number)?);
    if !socket.is_listener()? {
        return Err(not_ours(LISTEN));
    }
    // Another process may accept from it too: a blocking accept could wait for what that one took.
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    super::listen::bound_clients(&socket)?;
    Ok(ListenSocket(TcpListener::from(socket)))
}

/// As many sockets as there are shards: one with more than one owner is copied.
///
/// # Errors
/// When there are more sockets than shards, or none: a queue would be served by nobody.
pub fn share(mut sockets: Vec<ListenSocket>, shards: usize) -> io::Result<Vec<ListenSocket>> {
    let given = sockets.len();
    if given == 0 || given > shards {
        let message = format!("{given} listening sockets for {shards} shards");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    for place in given..shards {
        let Some(again) = sockets.get(place % given) else { continue };
        let copy = ListenSocket(again.0.try_clone()?);
        sockets.push(copy);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::bind;

    #[test]
    fn sockets_are_shared_among_shards() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let at = sockets[0].local_addr().unwrap();
        let five = share(sockets, 5).unwrap();
        assert_eq!(five.len(), 5);
        assert!(five.iter().all(|socket| socket.local_addr().unwrap() == at));
        assert!(share(five, 4).is_err() && share(Vec::new(), 1).is_err());
    }
}
