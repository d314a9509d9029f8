//! Threads: one pinned thread per shard, each with its own executor.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::{Backend, Driver};
use crate::proxy;
use crate::rt::{self, Accepted, Letters, ListenSocket, Runtime};
use crate::shard::{Letter, Parts, Report, Shard};

/// Everything that one shard's thread takes with it.
pub(super) struct Seed {
    pub(super) core: usize,
    pub(super) backend: Backend,
    pub(super) driver: Driver,
    pub(super) socket: ListenSocket,
    /// The one that serves operators, on one of the shards.
    pub(super) operators: Option<ListenSocket>,
    pub(super) letters: Letters<Letter<Accepted>>,
    pub(super) parts: Parts<Accepted>,
    pub(super) drain: Duration,
}

/// The driver in the seam's words.
pub(super) fn driver_of(driver: Driver) -> rt::Driver {
    match driver {
        Driver::Auto => rt::Driver::Auto,
        Driver::IoUring => rt::Driver::IoUring,
        Driver::Epoll => rt::Driver::Epoll,
    }
}

/// Starts the thread of one shard.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn shard(seed: Seed) -> io::Result<JoinHandle<()>> {
    let index = seed.parts.index;
    let control = seed.parts.control.clone();
    thread::Builder::new().name(format!("vb-shard-{index}")).spawn(move || {
        let error = run(seed).err().map(|error| error.to_string());
        // Without a control thread nobody is left to tell.
        let _nobody = control.send(Report::Ended { shard: index, error });
    })
}

fn run(seed: Seed) -> io::Result<()> {
    rt::pin_to(seed.core)?;
    match seed.backend {
        Backend::Native => run_native(seed),
        Backend::Monoio => run_monoio(seed),
        Backend::Glommio => run_glommio(seed),
    }
}

/// Our own executor, or monoio where the kernel does not give what it needs.
fn run_native(seed: Seed) -> io::Result<()> {
    match rt::native::Executor::open(driver_of(seed.driver)) {
        Ok(executor) => {
            let name = rt::Rung::UringDeferred.name();
            executor.run(|runtime| serve(runtime, seed, (name, None)))?
        }
        Err(_monoio_tells_why) => run_monoio(seed),
    }
}

#[cfg(feature = "monoio")]
fn run_monoio(seed: Seed) -> io::Result<()> {
    rt::monoio::run(driver_of(seed.driver), &[], |runtime, chosen| {
        let name = match (seed.backend, chosen.rung) {
            (Backend::Native, rt::Rung::Epoll) => "epoll (monoio)",
            (Backend::Native, _) => "io_uring (monoio)",
            (_, rung) => rung.name(),
        };
        serve(runtime, seed, (name, chosen.instead_of))
    })?
}

#[cfg(not(feature = "monoio"))]
fn run_monoio(_seed: Seed) -> io::Result<()> {
    Err(io::Error::other("this build has no monoio: use --runtime glommio"))
}

#[cfg(feature = "glommio")]
fn run_glommio(seed: Seed) -> io::Result<()> {
    let core = Some(seed.core);
    rt::glommio::run(core, |runtime| serve(runtime, seed, ("io_uring (glommio)", None)))?
}

#[cfg(not(feature = "glommio"))]
fn run_glommio(_seed: Seed) -> io::Result<()> {
    Err(io::Error::other("this build has no glommio: use --runtime monoio"))
}

/// The main task of one core.
async fn serve<R>(
    runtime: R,
    seed: Seed,
    (driver, instead_of): (&'static str, Option<String>),
) -> io::Result<()>
where
    R: Runtime<Socket = ListenSocket, Accepted = Accepted>,
{
    let listener = runtime.listen(seed.socket)?;
    let operators = seed.operators.map(|socket| runtime.listen(socket)).transpose()?;
    let (index, control) = (seed.parts.index, seed.parts.control.clone());
    let shard = Shard::new(runtime, seed.parts);
    let _nobody = control.send(Report::Started { shard: index, driver, instead_of });
    proxy::run_both(shard, (listener, operators), seed.letters, seed.drain).await;
    Ok(())
}
