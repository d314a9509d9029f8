//! A new process takes over: SIGUSR2 starts the binary that stands where ours was started from, and
//! gives it the listening sockets; once it serves, this process finishes what runs and ends.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::rt::handover::{Kept, Successor};
use crate::shard::Report;

/// What is needed to start a successor.
#[derive(Debug)]
pub(super) struct Handover {
    /// Where our binary was when we started; a new version is put in its place.
    program: PathBuf,
    kept: Kept,
    control: Sender<Report>,
    /// One is on its way or has taken over.
    under_way: bool,
}

impl Handover {
    /// Ready for the day.
    ///
    /// # Errors
    /// When our own path cannot be found.
    pub(super) fn new(kept: Kept, control: Sender<Report>) -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, kept, control, under_way: false })
    }

    /// Starts a successor, unless one is on its way. Its fate comes as a report.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn start(&mut self) -> io::Result<()> {
        if self.under_way {
            return Err(io::Error::other("one is under way already"));
        }
        let mut command = Command::new(&self.program);
        command.args(std::env::args_os().skip(1));
        let mut successor = Successor::start(command, &self.kept)?;
        let control = self.control.clone();
        let waiting = move || {
            let ready = successor.is_ready();
            let pid = successor.id();
            // Without a control thread the process ends anyway.
            let _nobody = control.send(Report::Successor(ready.then_some(pid)));
            // The first process of a container must outlive the others, or all end with it.
            successor.wait();
            if ready {
                let _nobody = control.send(Report::SuccessorEnded);
            }
        };
        thread::Builder::new().name("vb-handover".to_owned()).spawn(waiting)?;
        self.under_way = true;
        Ok(())
    }

    /// The successor has not come to serve.
    pub(super) fn failed(&mut self) {
        self.under_way = false;
    }
}

/// Tells systemd what it should know (`sd_notify(3)`); without it nothing is told.
pub(super) fn notify(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(at) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = || -> io::Result<()> {
        let address = match at.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&at)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to_addr(state.as_bytes(), &address).map(drop)
    };
    // A service manager that does not listen changes nothing about the service.
    let _unheard = sent();
}
