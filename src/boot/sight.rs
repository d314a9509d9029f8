//! Who listens to the journal, so that people see what happens: figures, lines of the log, traces.
//! What blocks (standard error, a collector) has a thread of its own behind a bounded queue.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::export::lines::WAITING_MAX;
use crate::export::{Collector, Count, Exporter, Feed, Lines, Places};
use crate::journal::Record;
use crate::obs::log::Line;
use crate::obs::{ExportCells, Registry, Seen};
use crate::web::Trust;

use super::journal::Listener;
use super::random::random;

/// How long the end of the process waits for what is still on its way out.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is counted, and the threads that must end before the process does.
pub(super) struct Sight {
    seen: Arc<Seen>,
    exported: Arc<ExportCells>,
    threads: Vec<Receiver<()>>,
}

impl Listener for Count {
    fn hear(&mut self, record: &Record<'_>) {
        self.on_record(record);
    }
}

impl Listener for Lines {
    fn hear(&mut self, record: &Record<'_>) {
        self.on_record(record);
    }
}

impl Listener for Feed {
    fn hear(&mut self, record: &Record<'_>) {
        self.on_record(record);
    }
}

/// Starts what is configured; the listeners are for the journal.
///
/// # Errors
/// The operating system gives no thread.
pub(super) fn start(
    config: &mut Config,
    trust: &Trust,
) -> io::Result<(Sight, Vec<Box<dyn Listener>>)> {
    let (seen, exported) = (Arc::<Seen>::default(), Arc::<ExportCells>::default());
    let places = Places::of(config);
    let (out, lines) = sync_channel::<Line>(WAITING_MAX);
    let mut threads = vec![run("vb-log", move || lines.iter().for_each(Line::write))?];
    let mut listeners: Vec<Box<dyn Listener>> = vec![
        Box::new(Count::new(places.clone(), Arc::clone(&seen))),
        Box::new(Lines::new(config.log.exchanges, out)),
    ];
    if let Some(export) = config.take_export() {
        let seed = random();
        let collector =
            Collector::new(export, &format!("{seed:016x}"), (trust, config.tunnel.as_ref()));
        let (feed, exporter) = Exporter::new(collector, places, Arc::clone(&exported), seed);
        listeners.push(Box::new(feed));
        threads.push(run("vb-otlp", move || exporter.run())?);
    }
    Ok((Sight { seen, exported, threads }, listeners))
}

/// A thread of this name; what is given back tells its end.
fn run(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Receiver<()>> {
    let (alive, ended) = channel();
    let running = move || {
        work();
        drop(alive);
    };
    thread::Builder::new().name(name.to_owned()).spawn(running)?;
    Ok(ended)
}

impl Sight {
    /// The registry, with what is counted here.
    pub(super) fn watched(&self, registry: Registry) -> Registry {
        registry.with(Arc::clone(&self.seen), Arc::clone(&self.exported))
    }

    /// Waits for what is still on its way, but not for ever. Called when the journal has ended.
    pub(super) fn finish(self) {
        for ended in self.threads {
            // Nothing is ever sent: it ends, or it takes too long.
            if ended.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}
