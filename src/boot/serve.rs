//! `vertex-bridge serve`: configuration, sockets, threads, and the wait for their end.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::config::{Config, Listed, LogFormat, LogLevel, Upstream, is_link_local};
use crate::control::{Pages, Readiness, UpstreamState};
use crate::journal::Journal;
use crate::net::{Security, dns};
use crate::obs::log::{self, Level};
use crate::obs::{Cells, Registry, Shape, SharedCells, TargetLabels, TokenFigures};
use crate::policy::price::Book;
use crate::proxy::fixed;
use crate::rt::handover::{self, Inherited, Kept, Ready};
use crate::rt::{self, Accepted, Letters, ListenSocket, Mailbox};
use crate::shard::{Access, Board, Cache, FixedBody, Letter, Parts, Probes, Report, Signatures};
use crate::web::Trust;

use super::admin::Reach;
use super::args::CommandLine;
use super::control::{Control, say};
use super::handover::Handover;
use super::journal::Keeper;
use super::keys::Keys;
use super::machine::Machine;
use super::out::complain;
use super::random::random;
use super::security::{self, Material};
use super::sight::{self, Sight};
use super::spawn::{self, Seed};
use super::spent::Spent;
use super::{admin, env, journal, report, shared, simulate, tokens, watch, watchdog};

/// How often names are looked up again. The resolver gives no lifetimes, so this stands for them.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Runs the gateway until it is told to stop.
pub(super) fn run(line: &CommandLine) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let material = match Material::load(&config) {
        Ok(material) => material,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let keys = match Keys::read(&config) {
        Ok(keys) => keys,
        Err(error) => return complain(&report::errors_text(&[error])),
    };
    let level = match config.log.level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    };
    log::set(level, config.log.format == LogFormat::Json);
    for warning in &config.warnings {
        say(Level::Warn, warning);
    }
    match start(config, material, keys) {
        Ok(control) => {
            let well = control_to_the_end(control);
            if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Runs the control loop on a thread of its own, so that tools show it by name; the main thread
/// carries the name of the program.
fn control_to_the_end(control: Control) -> bool {
    let running = thread::Builder::new().name("vb-control".to_owned()).spawn(|| control.run());
    running.is_ok_and(|thread| thread.join().unwrap_or(false))
}

/// Binds, starts every thread, and gives the control loop.
fn start(mut config: Config, material: Material, keys: Keys) -> io::Result<Control> {
    let machine = Machine::look();
    let cores = config.runtime.cores.clone().unwrap_or_else(|| machine.cores.clone());
    let (sender, reports) = channel();
    // Before anybody can see that we are there: a signal that nobody hears ends the process.
    hear_signals(sender.clone())?;
    let Listening { sockets, operators, predecessor } = listen(&config, cores.len())?;
    let at = address_of(&sockets, &config)?;
    let simulator = simulate_where_wanted(&mut config)?;
    let handover = Handover::new(Kept::of(&sockets, operators.as_ref())?, sender.clone())?;
    let (mailboxes, letters): (Vec<_>, Vec<_>) = cores.iter().map(|_| rt::mailbox()).unzip();
    let shape = shape_of(&config);
    let refusals = tokens::keep(&mut config, &material.trust()?, &mailboxes, &sender)?;
    let cells: Vec<Arc<Cells>> = cores.iter().map(|_| Arc::new(Cells::new(&shape))).collect();
    let addresses = resolve_all(&config);
    let (last, trust) = (admin::Last::default(), material.trust()?);
    let (cache, signatures, sharer) = shared::start(&config, &keys)?;
    let spent = Spent::new(keys.latest(), shares_budgets(&config));
    let (journals, keeper, sight) =
        record(&mut config, &machine, cores.len(), (&trust, &last, spent))?;
    let common = Common {
        config: &config,
        mailboxes: &mailboxes,
        control: &sender,
        board: Board::new(cores.len()),
        access: keys.access(),
        probes: Probes::new(config.upstreams.len()),
        signatures,
        cache,
        fixed: fixed::all().into(),
        prices: Arc::new(Book::of(&config)),
        shape: &shape,
        addresses: &addresses,
        machine: &machine,
    };
    let places = cores.iter().zip(sockets).zip(letters).zip(journals);
    let places = places.map(|(((core, socket), letters), journal)| Place {
        core: *core,
        socket,
        letters,
        journal,
    });
    common.start(places.collect(), operators, &cells, &material)?;
    let (latest, counts) = (keys.latest(), keys.shared());
    let in_force = report::value(&config, &keys.access().keys, &machine);
    keep_current(&config, &addresses, &mailboxes, material, keys)?;
    watchdog::keep(&mailboxes, &sender)?;
    watch::keep(&config, &sender)?;
    let reach = Reach::new(&mailboxes, sender, &keeper, (&config, recheck));
    Ok(Control {
        reports,
        admin: admin::keep(&config, in_force, reach, last)?,
        shards: mailboxes,
        pages: pages(&config, &addresses, watched(&config, &sight, &counts, (cells, shape))),
        refusals,
        started_ms: rt::unix_millis(),
        greeting: greeting(&config, at, cores.len(), simulator),
        driver_told: false,
        handover,
        recheck,
        set: config.set,
        predecessor,
        signalled: false,
        successor: None,
        keeper: Some(keeper),
        latest,
        sight: Some(sight),
        sharer,
    })
}

/// Starts the embedded simulator, if it is what answers.
fn simulate_where_wanted(config: &mut Config) -> io::Result<Option<SocketAddr>> {
    let simulator = if config.simulated { Some(simulate::embed(config)?) } else { None };
    if let Some(address) = simulator {
        config.simulate_at(address);
    }
    Ok(simulator)
}

fn shares_budgets(config: &Config) -> bool {
    config.shared.as_ref().is_some_and(|shared| shared.budgets)
}

/// All that is counted, of sharing only where there is any.
fn watched(
    config: &Config,
    sight: &Sight,
    counts: &Arc<SharedCells>,
    (cells, shape): (Vec<Arc<Cells>>, Shape),
) -> Registry {
    let registry = sight.watched(Registry::new(cells, shape));
    if config.shared.is_some() { registry.sharing(Arc::clone(counts)) } else { registry }
}

/// Starts the threads that tell the shards what has changed outside.
fn keep_current(
    config: &Config,
    addresses: &[Vec<SocketAddr>],
    mailboxes: &[Mailbox<Letter<Accepted>>],
    material: Material,
    keys: Keys,
) -> io::Result<()> {
    keep_resolving(config, addresses.to_vec(), mailboxes.to_vec())?;
    security::keep(config, material, mailboxes.to_vec())?;
    keys.keep(config, mailboxes.to_vec())
}

/// A journal for each shard, in the ledger's folder if there is one.
fn keep_journals(config: &Config, machine: &Machine, shards: usize) -> io::Result<journal::Made> {
    let in_flight = share(config.limits.capacity(machine.room()).in_flight, shards);
    journal::make(journal::Ledger::open(config)?, shards, in_flight, random)
}

/// Where the shards record exchanges, the thread that reads it, and who is told what was read.
fn record(
    config: &mut Config,
    machine: &Machine,
    shards: usize,
    (trust, last, spent): (&Trust, &admin::Last, Spent),
) -> io::Result<(Vec<Journal>, Keeper, Sight)> {
    let (sight, mut listeners) = sight::start(config, trust)?;
    listeners.push(last.listener());
    let (journals, keeper) = keep_journals(config, machine, shards)?.keep(listeners, spent)?;
    Ok((journals, keeper, sight))
}

/// Would a process that starts now have a configuration? All that it would set.
fn recheck() -> Result<Vec<Listed>, String> {
    // What was parsed at the start is parsed again: nothing of it has changed.
    let line = CommandLine::parse();
    let loaded = env::load(line.options.config.as_deref(), &line.flags());
    loaded
        .and_then(|config| Material::load(&config).map(|_usable| config))
        .and_then(|config| {
            Keys::read(&config).map(|_usable| config.set).map_err(|error| vec![error])
        })
        .map_err(|errors| report::errors_text(&errors))
}

/// Where this process listens.
struct Listening {
    /// One for each shard.
    sockets: Vec<ListenSocket>,
    /// The one that serves operators, if they have one of their own.
    operators: Option<ListenSocket>,
    /// Whom to tell that we serve.
    predecessor: Option<Ready>,
}

/// The listening sockets: a predecessor's, systemd's, or new ones.
fn listen(config: &Config, shards: usize) -> io::Result<Listening> {
    if let Some(Inherited { sockets, operators, ready }) =
        handover::inherited(|name| std::env::var_os(name)?.into_string().ok())?
    {
        let sockets = handover::share(sockets, shards)?;
        let operators = listen_for_operators(config, operators)?;
        return Ok(Listening { sockets, operators, predecessor: ready });
    }
    let at = listen_address(&config.server.host, config.server.port)?;
    let bound = rt::bind(at, shards)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {at}: {error}")))?;
    let operators = listen_for_operators(config, None)?;
    Ok(Listening { sockets: bound, operators, predecessor: None })
}

/// The socket for operators, if they have an address of their own: the predecessor's, when it still
/// is the one that is wanted.
fn listen_for_operators(
    config: &Config,
    inherited: Option<ListenSocket>,
) -> io::Result<Option<ListenSocket>> {
    let Some(at) = config.admin_listen else { return Ok(None) };
    let fits = |socket: &ListenSocket| socket.local_addr().is_ok_and(|known| known == at);
    if let Some(socket) = inherited.filter(fits) {
        return Ok(Some(socket));
    }
    let bound = rt::bind(at, 1).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {at} (admin.listen): {error}"))
    });
    Ok(bound?.pop())
}

/// Where the sockets listen, which a predecessor may have decided.
fn address_of(sockets: &[ListenSocket], config: &Config) -> io::Result<SocketAddr> {
    let wanted = listen_address(&config.server.host, config.server.port)?;
    let at = sockets.first().map_or(Ok(wanted), ListenSocket::local_addr)?;
    if at != wanted && wanted.port() != 0 {
        say(Level::Warn, &format!("listening on {at} as before: another address needs a restart"));
    }
    Ok(at)
}

/// What the pages say before anything has happened.
fn pages(config: &Config, addresses: &[Vec<SocketAddr>], registry: Registry) -> Pages {
    let upstreams = config.upstreams.iter().zip(addresses);
    let state = |(upstream, known): (&Upstream, &Vec<SocketAddr>)| UpstreamState {
        name: upstream.name.clone(),
        resolved: !known.is_empty(),
        account: upstream.account,
    };
    let token = |account| TokenFigures {
        provider: tokens::user(config, account),
        ..TokenFigures::default()
    };
    Pages {
        tokens: (0..config.accounts.len()).map(token).collect(),
        budgets: Vec::new(),
        readiness: Readiness {
            shards: registry.shards(),
            listening: 0,
            draining: false,
            upstreams: upstreams.map(state).collect(),
        },
        registry,
    }
}

/// What all shards get a copy of.
struct Common<'c> {
    config: &'c Config,
    mailboxes: &'c [Mailbox<Letter<Accepted>>],
    control: &'c Sender<Report>,
    board: Board,
    signatures: Signatures,
    access: Access,
    cache: Option<Cache>,
    probes: Probes,
    fixed: Arc<[FixedBody]>,
    prices: Arc<Book>,
    shape: &'c Shape,
    addresses: &'c [Vec<SocketAddr>],
    machine: &'c Machine,
}

/// What one shard alone gets.
struct Place {
    core: usize,
    socket: ListenSocket,
    letters: Letters<Letter<Accepted>>,
    journal: Journal,
}

impl Common<'_> {
    /// Starts the thread of each shard. One of them serves operators, too: that is enough for them.
    fn start(
        &self,
        places: Vec<Place>,
        mut operators: Option<ListenSocket>,
        cells: &[Arc<Cells>],
        material: &Material,
    ) -> io::Result<()> {
        for (index, (place, cells)) in places.into_iter().zip(cells).enumerate() {
            let security = material.security()?;
            let seed = Seed {
                core: place.core,
                backend: self.config.runtime.backend,
                driver: self.config.runtime.driver,
                socket: place.socket,
                operators: operators.take(),
                letters: place.letters,
                parts: self.parts(index, Arc::clone(cells), place.journal, security),
                drain: self.config.timeouts.drain,
            };
            // The thread reports its own end; nobody joins it.
            drop(spawn::shard(seed)?);
        }
        Ok(())
    }

    fn parts(
        &self,
        index: usize,
        cells: Arc<Cells>,
        journal: Journal,
        security: Security,
    ) -> Parts<Accepted> {
        let capacity = self.config.limits.capacity(self.machine.room());
        let shards = self.mailboxes.len();
        Parts {
            index,
            config: self.config.clone(),
            access: self.access.clone(),
            prices: Arc::clone(&self.prices),
            cells,
            journal,
            board: self.board.clone(),
            signatures: self.signatures.clone(),
            cache: self.cache.clone(),
            probes: self.probes.clone(),
            mailboxes: self.mailboxes.to_vec(),
            control: self.control.clone(),
            shape: self.shape.clone(),
            fixed: Arc::clone(&self.fixed),
            addresses: self.addresses.to_vec(),
            security,
            connections_max: share(capacity.connections, shards),
            in_flight_max: share(capacity.in_flight, shards),
            upstream_places: self.config.limits.upstream_places(index, shards),
            seed: random(),
        }
    }
}

/// One shard's part of what all may have.
fn share(all: u64, shards: usize) -> usize {
    usize::try_from(all).unwrap_or(usize::MAX).div_ceil(shards)
}

/// The first line that an operator sees.
fn greeting(
    config: &Config,
    at: SocketAddr,
    shards: usize,
    simulator: Option<SocketAddr>,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let shards = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
    let simulated = simulator.map_or_else(String::new, |address| {
        format!(
            "; no provider credentials are configured, so the embedded simulator on {address} \
             answers"
        )
    });
    let backend = config.runtime.backend.as_str();
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    format!("vertex-bridge {version} listens on {scheme}://{at}{simulated}; {shards} on {backend}")
}

/// The address of `host`; the first one when a name has several.
fn listen_address(host: &str, port: u16) -> io::Result<SocketAddr> {
    if let Some(address) = dns::literal(host, port) {
        return Ok(address);
    }
    let known = dns::resolve(host, port).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot resolve server.host {host}: {error}"))
    })?;
    let preferred = known.iter().find(|address| address.is_ipv4()).or_else(|| known.first());
    preferred.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// One series per route.
fn shape_of(config: &Config) -> Shape {
    let routes = config.routes.as_slice().iter();
    let targets = routes.map(|route| {
        let target = route.targets.first();
        let upstream = target.and_then(|target| config.upstreams.get(target.upstream));
        let model = target.and_then(|target| target.model.clone());
        TargetLabels {
            route: route.pattern.clone(),
            provider: upstream.map_or_else(String::new, |upstream| upstream.name.clone()),
            model: model.unwrap_or_else(|| route.pattern.clone()),
        }
    });
    let upstreams = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    Shape { targets: targets.collect(), upstreams }
}

/// The addresses of every upstream; a name without one is told, and tried again.
fn resolve_all(config: &Config) -> Vec<Vec<SocketAddr>> {
    let resolve = |upstream: &Upstream| {
        let (host, port) = config.door(upstream);
        addresses_of(host, port, config.tls.allow_link_local).unwrap_or_else(|error| {
            // Logs travel far: where an upstream is stays in the configuration.
            let name = &upstream.name;
            say(Level::Warn, &format!("upstream {name}: its host cannot be resolved: {error}"));
            Vec::new()
        })
    };
    config.upstreams.iter().map(resolve).collect()
}

/// Where an upstream is reached. A name that leads to where machines keep their credentials leads
/// nowhere: whoever answers for it could have them read out.
fn addresses_of(host: &str, port: u16, link_local: bool) -> io::Result<Vec<SocketAddr>> {
    let mut found = dns::resolve(host, port)?;
    found.retain(|at| link_local || !is_link_local(at.ip()));
    if found.is_empty() {
        let why = "it leads to link-local addresses only (tls.allow_link_local)";
        return Err(io::Error::other(why));
    }
    Ok(found)
}

/// Looks names up again from time to time, on a thread of its own, because a look-up blocks.
fn keep_resolving(
    config: &Config,
    mut known: Vec<Vec<SocketAddr>>,
    mailboxes: Vec<Mailbox<Letter<Accepted>>>,
) -> io::Result<()> {
    let names: Vec<(usize, String, u16)> = config
        .upstreams
        .iter()
        .enumerate()
        .map(|(index, upstream)| (index, config.door(upstream)))
        .map(|(index, (host, port))| (index, host.to_owned(), port))
        .filter(|(_, host, port)| dns::literal(host, *port).is_none())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let link_local = config.tls.allow_link_local;
    let resolving = move || {
        loop {
            thread::park_timeout(RESOLVE_EVERY);
            for (index, host, port) in &names {
                // A failed look-up keeps what is known: the old address may still answer.
                let Ok(found) = addresses_of(host, *port, link_local) else { continue };
                let Some(place) = known.get_mut(*index).filter(|place| **place != found) else {
                    continue;
                };
                place.clone_from(&found);
                for shard in &mailboxes {
                    shard.send(Letter::Addresses { upstream: *index, addresses: found.clone() });
                }
            }
        }
    };
    thread::Builder::new().name("vb-resolver".to_owned()).spawn(resolving).map(drop)
}

/// Passes signals on to the control loop.
fn hear_signals(control: Sender<Report>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR2])?;
    let hearing = move || {
        for signal in signals.forever() {
            if control.send(Report::Signal(signal)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("vb-signals".to_owned()).spawn(hearing).map(drop)
}
