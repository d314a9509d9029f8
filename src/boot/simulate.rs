//! The provider simulator, embedded beside the gateway or as a program of its own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, Driver};
use crate::obs::log::Level;
use crate::rt::{self, ListenSocket};
use crate::simulator::{self, Fault, Options};

use super::args::{CommandLine, Simulate};
use super::control::say;
use super::env;
use super::out::complain;
use super::spawn::driver_of;

/// Starts the simulator on a free loopback port and gives its address.
pub(super) fn embed(config: &Config) -> io::Result<SocketAddr> {
    let (address, _ended) =
        start(SocketAddr::from(([127, 0, 0, 1], 0)), Options::default(), config.runtime.driver)?;
    Ok(address)
}

/// Runs the stand-alone simulator until a signal comes.
pub(super) fn run(line: &CommandLine, asked: &Simulate) -> ExitCode {
    let mut options = Options {
        latency: asked.latency,
        tokens: asked.tokens,
        token_interval: asked.token_interval,
        tool_rounds: asked.tool_rounds,
        token_ttl: asked.token_ttl,
        remember: true,
        ..Options::default()
    };
    for fault in &asked.faults {
        match Fault::parse(&fault.name) {
            Ok(known) => options.faults.push((known, fault.percent)),
            Err(message) => return complain(&format!("--fault {}: {message}\n", fault.name)),
        }
    }
    let config = env::load(line.options.config.as_deref(), &line.flags());
    let driver = config.map_or(Driver::Auto, |config| config.runtime.driver);
    let served = start(asked.listen, options, driver).and_then(|(address, ended)| {
        if let Some(path) = &asked.service_account {
            write_account(path, address)?;
        }
        wait(address, &ended)
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes the key file of the simulator's service account, for its owner alone: programs may be
/// strict about that.
fn write_account(path: &Path, address: SocketAddr) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let text = simulator::service_account(&format!("http://{address}"));
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
    })
}

/// What ends the wait: a signal, or the server's own end.
type Ended = (Sender<io::Result<()>>, std::sync::mpsc::Receiver<io::Result<()>>);

fn wait(address: SocketAddr, (sender, ended): &Ended) -> io::Result<()> {
    say(Level::Info, &format!("the provider simulator listens on http://{address}"));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let sender = sender.clone();
    let hearing = move || {
        if signals.forever().next().is_some() {
            // The receiver waits for exactly this.
            let _told = sender.send(Ok(()));
        }
    };
    drop(thread::Builder::new().name("vb-signals".to_owned()).spawn(hearing)?);
    ended.recv().unwrap_or(Ok(()))
}

fn start(at: SocketAddr, options: Options, driver: Driver) -> io::Result<(SocketAddr, Ended)> {
    let socket = rt::bind(at, 1)?.pop().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let address = socket.local_addr()?;
    let ended = channel();
    let sender = ended.0.clone();
    let serving = move || {
        let result = serve(socket, options, driver);
        // An embedded simulator is waited for by nobody.
        let _nobody = sender.send(result);
    };
    drop(thread::Builder::new().name("vb-simulator".to_owned()).spawn(serving)?);
    Ok((address, ended))
}

/// The simulator is a stand-in for a vendor: its executor is not what is chosen or measured.
fn serve(socket: ListenSocket, options: Options, driver: Driver) -> io::Result<()> {
    match rt::native::Executor::open(driver_of(driver)) {
        Ok(executor) => executor.run(|runtime| simulator::serve(runtime, socket, options))?,
        Err(_so_another) => serve_without(socket, options, driver),
    }
}

/// Serves where our own executor cannot.
#[cfg(feature = "monoio")]
fn serve_without(socket: ListenSocket, options: Options, driver: Driver) -> io::Result<()> {
    rt::monoio::run(driver_of(driver), &[], |runtime, _| {
        simulator::serve(runtime, socket, options)
    })?
}

#[cfg(not(feature = "monoio"))]
fn serve_without(socket: ListenSocket, options: Options, _driver: Driver) -> io::Result<()> {
    rt::glommio::run(None, |runtime| simulator::serve(runtime, socket, options))?
}
