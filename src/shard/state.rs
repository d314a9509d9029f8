//! One core's state, and how it is put together.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::base::trace::Parent;
use crate::base::{RequestId, Rng, Sampling, Tick, Trace};
use crate::config::{Config, Origin};
use crate::journal::Journal;
use crate::net::dial::Addresses;
use crate::net::{Acceptor, Connector, Link, PeerName, Pool, Security, StreamOf};
use crate::obs::{Cells, Settled, Shape};
use crate::policy::Fault;
use crate::policy::breaker::Circuit;
use crate::policy::price::Book;
use crate::rt::{self, Mailbox, Runtime};

use super::access::{Access, AccessCell};
use super::board::Board;
use super::buffers::Buffers;
use super::cache::Cache;
use super::capture::Captures;
use super::deadline::Deadlines;
use super::gate::Gate;
use super::health::{Health, Probes};
use super::mailbox::{Deed, Letter, Order, Report};
use super::packer::Packer;
use super::permit::Permits;
use super::signatures::Signatures;
use super::token::{News, TokenSlot};

/// How long an idle link to an upstream is kept. Google closes idle connections after four
/// minutes, most proxies after one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// How many idle links one shard keeps to one upstream.
const IDLE_MAX: usize = 1024;

/// So many at a time are a peak whose memory is worth to be given back.
const PEAK: u64 = 64;

/// Requests that wait because no candidate of their route can be asked, at most.
const WAITING_MAX: usize = 1024;

/// With so many exchanges at most, no two writes meet.
const QUIET: i64 = 1;

/// What a shard is made of; everything in it crossed from the control thread.
#[derive(Debug)]
pub struct Parts<A> {
    /// Its number, from 0.
    pub index: usize,
    /// The configuration that is in force.
    pub config: Config,
    /// Who may call, and how much.
    pub access: Access,
    /// What models cost.
    pub prices: Arc<Book>,
    /// Its counters; it is their only writer.
    pub cells: Arc<Cells>,
    /// Where it records its exchanges.
    pub journal: Journal,
    /// The connection counts of all shards.
    pub board: Board,
    /// Vendors' marks on calls of tools, of all shards.
    pub signatures: Signatures,
    /// Answers that are given again, of all shards.
    pub cache: Option<Cache>,
    /// Who probes an upstream, of all shards.
    pub probes: Probes,
    /// The mailboxes of all shards, by index.
    pub mailboxes: Vec<Mailbox<Letter<A>>>,
    /// Questions to the control thread.
    pub control: Sender<Report>,
    /// The metrics' labels, in the order of the routes.
    pub shape: Shape,
    /// Ready bodies for refusals that say the same every time.
    pub fixed: Arc<[FixedBody]>,
    /// The addresses of each upstream, by index.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// TLS on both sides.
    pub security: Security,
    /// At most so many client connections on this shard.
    pub connections_max: usize,
    /// At most so many exchanges at a time on this shard.
    pub in_flight_max: usize,
    /// At most so many of them with one upstream, and as many who wait for it.
    pub upstream_places: (usize, usize),
    /// Decides its ids and its jitter.
    pub seed: u64,
}

/// A body that is the same every time, rendered and compressed once at the start.
#[derive(Clone, Debug)]
pub struct FixedBody {
    /// The status it goes with.
    pub status: u16,
    /// As it is.
    pub plain: Vec<u8>,
    /// Compressed with gzip.
    pub gzip: Vec<u8>,
}

/// One shard's view of one upstream.
#[derive(Debug)]
pub struct Upstream<R: Runtime> {
    /// Where it is.
    pub addresses: Addresses,
    /// Place of the key whose turn it is.
    turn: Cell<usize>,
    /// Whom its certificate must be for; none when it is reached without TLS.
    pub peer: Option<PeerName>,
    /// How it has done lately.
    pub health: Health,
    /// How many ask it now, and who waits.
    pub gate: Gate,
    pool: RefCell<Pool<StreamOf<R>>>,
}

/// All state of one core.
#[derive(Debug)]
pub struct Shard<R: Runtime> {
    /// The executor.
    pub rt: R,
    /// Its number, from 0.
    pub index: usize,
    /// The configuration that is in force.
    pub config: Config,
    /// Who may call, and how much.
    pub access: AccessCell,
    /// What models cost.
    pub prices: Arc<Book>,
    /// Its counters; it is their only writer.
    pub cells: Arc<Cells>,
    /// Where it records its exchanges.
    pub journal: Journal,
    /// The connection counts of all shards.
    pub board: Board,
    /// Vendors' marks on calls of tools, of all shards.
    pub signatures: Signatures,
    /// Answers that are given again, of all shards.
    pub cache: Option<Cache>,
    /// Who probes an upstream, of all shards.
    pub probes: Probes,
    /// The mailboxes of all shards, by index.
    pub mailboxes: Vec<Mailbox<Letter<R::Accepted>>>,
    /// Questions to the control thread.
    pub control: Sender<Report>,
    /// The metrics' labels, in the order of the routes.
    pub shape: Shape,
    /// Ready bodies for refusals that say the same every time.
    pub fixed: Arc<[FixedBody]>,
    /// By the index of the configuration.
    pub upstreams: Vec<Upstream<R>>,
    /// Access tokens, by the index of the configuration's accounts.
    pub tokens: Vec<TokenSlot>,
    /// TLS on both sides; replaced when a certificate is.
    security: RefCell<Security>,
    /// The slots of all connections of this shard.
    pub deadlines: Rc<Deadlines<StreamOf<R>>>,
    /// The right to run exchanges.
    pub permits: Permits,
    /// Who waits for any candidate of a route that has none to ask.
    pub waiting: Permits,
    /// Spare IO buffers.
    pub buffers: Buffers,
    /// Packs answers.
    pub packer: Packer,
    /// Whose bodies an operator wants to see.
    pub captures: Captures,
    /// At most so many client connections.
    pub connections_max: usize,
    connections: Cell<usize>,
    draining: Cell<bool>,
    /// Until then new work is taken while draining, for balancers to notice.
    noticed: Cell<Tick>,
    retiring: Cell<bool>,
    /// The second that `date_field` is for, and the field line.
    date_field: RefCell<(u64, Vec<u8>)>,
    in_flight: Cell<u64>,
    /// The most that ran at a time since memory was given back.
    most_in_flight: Cell<u64>,
    balance: Cell<i64>,
    rng: RefCell<Rng>,
    /// Which traces are recorded.
    pub sampling: Sampling,
}

impl<R: Runtime> Shard<R> {
    /// Puts a shard together on its own core.
    pub fn new(rt: R, parts: Parts<R::Accepted>) -> Rc<Self> {
        let origins = parts.config.upstreams.iter().map(|upstream| &upstream.origin);
        let made = |known| Upstream::new(known, &parts.config, parts.upstream_places);
        let upstreams = parts.addresses.into_iter().zip(origins).map(made).collect();
        let tokens = parts.config.accounts.iter().map(|_| TokenSlot::default()).collect();
        let packer = Packer::new(parts.config.compression);
        Rc::new(Self {
            sampling: parts.config.otel.sampling(),
            rt,
            index: parts.index,
            config: parts.config,
            access: AccessCell::new(parts.access),
            prices: parts.prices,
            cells: parts.cells,
            journal: parts.journal,
            board: parts.board,
            signatures: parts.signatures,
            cache: parts.cache,
            probes: parts.probes,
            mailboxes: parts.mailboxes,
            control: parts.control,
            shape: parts.shape,
            fixed: parts.fixed,
            upstreams,
            tokens,
            security: RefCell::new(parts.security),
            deadlines: Rc::default(),
            permits: Permits::new(parts.in_flight_max),
            waiting: Permits::new(WAITING_MAX),
            buffers: Buffers::default(),
            packer,
            captures: Captures::default(),
            connections_max: parts.connections_max,
            connections: Cell::new(0),
            draining: Cell::new(false),
            noticed: Cell::new(Tick::NEVER),
            retiring: Cell::new(false),
            date_field: RefCell::default(),
            in_flight: Cell::new(0),
            most_in_flight: Cell::new(0),
            balance: Cell::new(0),
            rng: RefCell::new(Rng::new(parts.seed)),
        })
    }
}

impl<R: Runtime> Shard<R> {
    /// A new request id.
    pub fn request_id(&self) -> RequestId {
        RequestId::random(&mut self.rng.borrow_mut())
    }

    /// The place in a trace of a request that came with this `traceparent`.
    pub fn trace(&self, sent: Option<&[u8]>) -> Trace {
        let parent = sent.and_then(Parent::parse);
        Trace::begin(parent, self.sampling, &mut self.rng.borrow_mut())
    }

    /// 64 random bits, for ids and jitter.
    pub fn random(&self) -> u64 {
        self.rng.borrow_mut().bits()
    }

    /// Appends the `date` field; it is rendered once a second.
    pub fn push_date(&self, out: &mut Vec<u8>, render: impl FnOnce(&mut Vec<u8>, u64)) {
        let now = self.rt.unix_millis() / 1000;
        let mut cached = self.date_field.borrow_mut();
        if cached.0 != now {
            cached.0 = now;
            cached.1.clear();
            cached.1.extend_from_slice(b"date: ");
            render(&mut cached.1, now);
            cached.1.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&cached.1);
    }

    /// Does no more than one exchange run?
    pub fn is_quiet(&self) -> bool {
        self.permits.out() <= QUIET
    }

    /// Has the drain begun?
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Is new work refused? Where balancers get time to notice a drain it never is: what comes
    /// behind that time comes on connections that were promised to be kept, and is their last.
    pub fn is_refusing(&self) -> bool {
        self.draining.get() && self.config.timeouts.drain_notice.is_zero()
    }

    /// Have balancers had time to notice that a drain has begun?
    pub fn is_noticed(&self) -> bool {
        self.draining.get() && self.rt.lately() >= self.noticed.get()
    }

    /// Does another process serve new connections?
    pub fn is_retiring(&self) -> bool {
        self.retiring.get()
    }

    /// Does a connection end with its answer?
    pub fn closes_connections(&self) -> bool {
        self.draining.get() || self.retiring.get()
    }

    /// Another process serves new connections. Those that are here get one more answer, whenever
    /// they ask for it: closing an idle one could cross with a request on its way.
    pub fn retire(&self) {
        self.retiring.set(true);
    }

    /// Finishes what runs and takes no more; idle clients have `grace` to send a last request. All
    /// of that begins when balancers had time to notice; when that is is given back.
    pub fn drain(&self, grace: Duration) -> Tick {
        let noticed = self.rt.now().after(self.config.timeouts.drain_notice);
        if !self.draining.replace(true) {
            self.noticed.set(noticed);
            self.deadlines.hurry_idle(noticed.after(grace));
        }
        self.noticed.get()
    }

    /// How many client connections this shard serves.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// The metrics' target of a route.
    pub fn series(&self, route: usize) -> Option<usize> {
        (route < self.shape.targets.len()).then_some(route)
    }

    /// An exchange begins.
    pub fn began(&self) {
        self.balance.set(self.balance.get() + 1);
        let running = self.in_flight.get() + 1;
        self.in_flight.set(running);
        if running > self.most_in_flight.get() {
            self.most_in_flight.set(running);
        }
        self.cells.in_flight.set(self.in_flight.get());
    }

    /// An exchange has ended.
    pub fn settled(&self, settled: &Settled) {
        self.balance.set(self.balance.get() - 1);
        self.cells.on_settle(settled);
        // Behind it: who sees that nothing runs sees all that has run.
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.cells.in_flight.set(self.in_flight.get());
    }

    /// Exchanges that began minus exchanges that were settled: zero when all is quiet, whatever
    /// happened before. The simulation checks it.
    pub fn settle_balance(&self) -> i64 {
        self.balance.get()
    }

    /// New addresses of an upstream. Links to old ones are used until they end.
    pub fn new_addresses(&self, upstream: usize, addresses: Vec<SocketAddr>) {
        if let Some(upstream) = self.upstreams.get(upstream) {
            upstream.addresses.replace(addresses);
        }
    }

    /// The place of the key whose turn it is at `upstream`.
    pub fn key_in_turn(&self, upstream: usize) -> usize {
        self.upstreams.get(upstream).map_or(0, |upstream| upstream.turn.get())
    }

    /// The key at `place` was refused: the next of all `keys` has its turn, unless it has already.
    pub fn turn_key(&self, upstream: usize, place: usize, keys: usize) -> usize {
        let next = (place + 1).checked_rem(keys).unwrap_or(0);
        if let Some(upstream) = self.upstreams.get(upstream)
            && upstream.turn.get() == place
        {
            upstream.turn.set(next);
        }
        next
    }

    /// News of the token of a service account.
    pub fn on_token_news(&self, account: usize, news: News) {
        if let Some(slot) = self.tokens.get(account) {
            slot.on_news(news);
        }
    }

    /// A first attempt is made at an upstream.
    pub fn on_first(&self, upstream: usize) {
        if let Some(known) = self.upstreams.get(upstream) {
            known.health.on_first();
        }
    }

    /// An upstream has answered as it should; it took so long to begin.
    pub fn on_answer(&self, upstream: usize, took: Duration) {
        if let Some(known) = self.upstreams.get(upstream) {
            known.health.on_success(took, self.rt.lately());
            self.show_circuit(upstream);
        }
    }

    /// An attempt at an upstream has failed.
    pub fn on_fault(&self, upstream: usize, fault: Fault, retry_after: Option<Duration>) {
        if let Some(known) = self.upstreams.get(upstream) {
            known.health.on_fault(fault, retry_after, self.rt.now());
            self.show_circuit(upstream);
        }
    }

    /// Shows where an upstream's circuit stands.
    pub fn show_circuit(&self, upstream: usize) {
        let Some(known) = self.upstreams.get(upstream) else { return };
        if let Some(cell) = self.cells.circuit(upstream) {
            cell.set(match known.health.circuit(self.rt.lately()) {
                Circuit::Closed => 0,
                Circuit::HalfOpen => 1,
                Circuit::Open => 2,
            });
        }
    }

    /// Does what an operator wants done, and tells.
    pub fn obey(&self, order: &Order) {
        let done = match &order.what {
            Deed::Answer => 0,
            Deed::Cancel(tag) => self.deadlines.cancel(*tag),
            Deed::Asking(to) => {
                // Who asked may have stopped waiting.
                self.deadlines.each_asking(|tag, upstream| {
                    let _unheard = to.send((tag, upstream));
                });
                0
            }
            Deed::Capture(watch) => {
                self.captures.set(watch.clone());
                1
            }
            &Deed::Circuit(upstream, to) => {
                let known = self.upstreams.get(upstream).map(|known| known.health.switch(to));
                self.show_circuit(upstream);
                usize::from(known.is_some())
            }
        };
        // Who asked may have stopped waiting.
        let _unheard = order.done.send(done);
    }

    /// TLS towards upstreams, as it is now.
    pub fn connector(&self) -> Option<Connector> {
        self.security.borrow().connector.clone()
    }

    /// TLS towards clients, as it is now.
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.security.borrow().acceptor.clone()
    }

    /// New certificates. Connections that have shaken hands go on as they are.
    pub fn secure(&self, security: Security) {
        *self.security.borrow_mut() = security;
    }

    /// A client connection begins; dropping the guard ends it.
    pub fn connection(self: &Rc<Self>) -> ConnectionGuard<R> {
        self.connections.set(self.connections.get() + 1);
        self.count_connections();
        ConnectionGuard(Rc::clone(self))
    }

    /// Closes idle links that nobody should use any more. Called by the sweep about once a second.
    pub fn prune(&self) {
        let now = self.rt.now();
        let pools = self.upstreams.iter().map(|upstream| &upstream.pool);
        let stale: u64 = pools.map(|pool| pool.borrow_mut().prune(now)).sum();
        self.cells.links_stale.add(stale);
        self.count_idle();
        self.journal.trim();
        self.give_back(stale);
        // Time alone turns an open circuit into a half-open one.
        (0..self.upstreams.len()).for_each(|upstream| self.show_circuit(upstream));
    }

    /// Behind a peak, gives what it took back to the system: when its requests have ended, and when
    /// the links that it has opened were closed, of which there were so many now.
    fn give_back(&self, closed: u64) {
        let (now, most) = (self.in_flight.get(), self.most_in_flight.get());
        if most >= PEAK && now <= most / 4 || closed >= PEAK && now < PEAK {
            self.most_in_flight.set(now);
            self.buffers.trim();
            self.rt.trim();
            rt::give_back_memory();
        }
    }

    /// How many links are idle.
    pub fn idle_links(&self) -> usize {
        self.upstreams.iter().map(|upstream| upstream.pool.borrow().len()).sum()
    }

    /// An idle link to `upstream`, if there is one that may still be used.
    pub fn take_link(&self, upstream: usize) -> Option<Link<StreamOf<R>>> {
        let pool = &self.upstreams.get(upstream)?.pool;
        let (link, taken) = pool.borrow_mut().take(self.rt.lately());
        self.cells.links_stale.add(taken.stale);
        self.cells.links_reused.add(u64::from(link.is_some()));
        link
    }

    /// Gives back a link whose answer was read to its very end.
    pub fn put_link(&self, upstream: usize, link: Link<StreamOf<R>>) {
        if let Some(upstream) = self.upstreams.get(upstream) {
            upstream.pool.borrow_mut().put(link, self.rt.lately());
        }
    }

    fn count_idle(&self) {
        self.cells.links_idle.set(u64::try_from(self.idle_links()).unwrap_or(u64::MAX));
    }

    fn count_connections(&self) {
        let open = u64::try_from(self.connections.get()).unwrap_or(u64::MAX);
        self.cells.connections_open.set(open);
    }
}

/// Counts one client connection while it lives.
pub struct ConnectionGuard<R: Runtime>(Rc<Shard<R>>);

impl<R: Runtime> std::fmt::Debug for ConnectionGuard<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionGuard")
    }
}

impl<R: Runtime> Drop for ConnectionGuard<R> {
    fn drop(&mut self) {
        let shard = &self.0;
        shard.connections.set(shard.connections.get() - 1);
        shard.count_connections();
        shard.board.leave(shard.index);
    }
}

impl<R: Runtime> Upstream<R> {
    fn new(
        (known, origin): (Vec<SocketAddr>, &Origin),
        config: &Config,
        (places, queue): (usize, usize),
    ) -> Self {
        let addresses = Addresses::default();
        addresses.replace(known);
        // The start has checked that the name can be in a certificate.
        let peer = if origin.tls { PeerName::new(&origin.host) } else { None };
        let pool = RefCell::new(Pool::new(IDLE_MAX, IDLE_TIMEOUT));
        let (health, gate) =
            (Health::new(config), Gate::new(places, queue, config.limits.queue_age));
        Self { addresses, turn: Cell::new(0), peer, health, gate, pool }
    }
}
