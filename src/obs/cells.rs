//! One shard's counters, and the one call that counts an exchange.

use std::time::Duration;

use super::cell::Cell;
use super::histogram::Histogram;

/// Statuses that have a series of their own; any other counts as `other`.
pub const CODES: [u16; 19] =
    [200, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 499, 500, 502, 503, 504, 505];

/// Who an exchange was for, as label values. All of them come from the configuration, so that a
/// client cannot make a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetLabels {
    /// The route's pattern.
    pub route: String,
    /// The upstream's name.
    pub provider: String,
    /// The model that the route names, else the route's pattern.
    pub model: String,
}

/// All label values that there will be.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// By the index that the data plane counts with.
    pub targets: Vec<TargetLabels>,
    /// Names of the upstreams, by their index.
    pub upstreams: Vec<String>,
}

/// Tokens of one exchange by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the request.
    pub prompt: u64,
    /// Of the answer.
    pub completion: u64,
    /// Of the request, read from a cache.
    pub cached: u64,
    /// Of the request, written to a cache.
    pub cache_write: u64,
    /// Of the answer, spent on reasoning.
    pub reasoning: u64,
    /// Of the request, audio.
    pub prompt_audio: u64,
    /// Of the answer, audio.
    pub completion_audio: u64,
}

/// The kinds of tokens, in the order of the cells.
pub const TOKEN_KINDS: [&str; 7] = [
    "prompt",
    "completion",
    "cached",
    "cache_write",
    "reasoning",
    "prompt_audio",
    "completion_audio",
];

/// Why an attempt at an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the label values say it")]
pub enum UpstreamFailure {
    NoToken,
    Resolve,
    ConnectRefused,
    ConnectTimeout,
    ConnectError,
    TlsExpired,
    TlsName,
    TlsUnknownCa,
    TlsCertificate,
    TlsRefused,
    TlsProtocol,
    TlsReset,
    TlsTimeout,
    FirstByteTimeout,
    IdleTimeout,
    WriteTimeout,
    Reset,
    Eof,
    Truncated,
    InvalidResponse,
    ErrorInAnswer,
    Http4xx,
    Http429,
    Http5xx,
}

impl UpstreamFailure {
    /// Its label value.
    pub fn label(self) -> &'static str {
        Self::ALL.iter().find(|(listed, _)| *listed == self).map_or("", |(_, label)| label)
    }

    /// A number that stands for it in records: one more than its place; 0 stands for none.
    pub fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|(listed, _)| *listed == self);
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
    }

    /// What a number stands for.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).map(|(reason, _)| *reason)
    }

    /// Every reason with its label value, in the order of the cells.
    pub const ALL: [(Self, &'static str); 24] = [
        (Self::NoToken, "no_token"),
        (Self::Resolve, "resolve"),
        (Self::ConnectRefused, "connect_refused"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::ConnectError, "connect_error"),
        (Self::TlsExpired, "tls_expired"),
        (Self::TlsName, "tls_name"),
        (Self::TlsUnknownCa, "tls_unknown_ca"),
        (Self::TlsCertificate, "tls_certificate"),
        (Self::TlsRefused, "tls_refused"),
        (Self::TlsProtocol, "tls_protocol"),
        (Self::TlsReset, "tls_reset"),
        (Self::TlsTimeout, "tls_timeout"),
        (Self::FirstByteTimeout, "timeout_first_byte"),
        (Self::IdleTimeout, "timeout_idle"),
        (Self::WriteTimeout, "timeout_write"),
        (Self::Reset, "reset"),
        (Self::Eof, "eof"),
        (Self::Truncated, "truncated"),
        (Self::InvalidResponse, "invalid_response"),
        (Self::ErrorInAnswer, "error_in_answer"),
        (Self::Http4xx, "http_4xx"),
        (Self::Http429, "http_429"),
        (Self::Http5xx, "http_5xx"),
    ];
}

/// How a TLS handshake ended, in the order of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// With certificates.
    Full,
    /// With what an earlier connection left behind.
    Resumed,
    /// Without a connection.
    Failed,
}

impl HandshakeEnd {
    /// Every end with its label value, in the order of the cells.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Full, "full"), (Self::Resumed, "resumed"), (Self::Failed, "failed")];
}

/// Everything that is counted when an exchange ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settled {
    /// Index into [`Shape::targets`]; none when no route was found.
    pub target: Option<usize>,
    /// The status the client got; 499 when it left before.
    pub status: u16,
    /// An error of the gateway or the upstream, or a refusal.
    pub failed: bool,
    /// From the first byte of the request to the last of the answer.
    pub duration: Duration,
    /// From the first byte of the request to the first byte of a stream.
    pub first_token: Option<Duration>,
    /// What of the duration was our own work.
    pub overhead: Duration,
    /// What the vendor counted, or what stands in its place.
    pub tokens: Tokens,
    /// What they cost in nano-dollars; none when that is not known.
    pub cost_nanos: Option<u64>,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the answer.
    pub bytes_out: u64,
}

/// A target's exchanges by status, and what all of them cost in nano-dollars. What each shard has
/// on the heap is aligned too: the cells of all are made by one thread, side by side.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Row([Cell; CODES.len() + 1], Cell);

/// A cell that shares its cache line with no other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(Cell);

/// One shard's cells. Aligned so that two shards never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Cells {
    /// API exchanges that ended.
    pub requests: Cell,
    /// Of them, those that failed.
    pub failed: Cell,
    /// Of them, those whose client left first.
    pub cancelled: Cell,
    /// By target and status, then those without a target.
    by_code: Box<[Row]>,
    /// Whole exchanges.
    pub duration: Histogram,
    /// First byte of streams.
    pub first_token: Histogram,
    /// Our own work.
    pub overhead: Histogram,
    /// In the order of [`TOKEN_KINDS`].
    pub tokens: [Cell; TOKEN_KINDS.len()],
    /// Exchanges whose cost is not known.
    pub unpriced: Cell,
    /// Bytes from and to clients.
    pub bytes: [Cell; 2],
    /// Attempts at upstreams.
    pub attempts: Cell,
    /// Failed attempts, in the order of [`UpstreamFailure::ALL`].
    pub failures: [Cell; UpstreamFailure::ALL.len()],
    /// TLS handshakes with upstreams, in the order of [`HandshakeEnd::ALL`].
    pub upstream_handshakes: [Cell; HandshakeEnd::ALL.len()],
    /// TLS handshakes with clients, likewise.
    pub client_handshakes: [Cell; HandshakeEnd::ALL.len()],
    /// Links opened to upstreams.
    pub links_opened: Cell,
    /// Exchanges that used an idle link.
    pub links_reused: Cell,
    /// Idle links that were found closed or poisoned.
    pub links_stale: Cell,
    /// Candidates that were asked beside one that had not begun to speak.
    pub hedges: Cell,
    /// Those that spoke first.
    pub hedges_won: Cell,
    /// Streams that another candidate went on with.
    pub streams_resumed: Cell,
    /// Idle links now.
    pub links_idle: Cell,
    /// Client connections now.
    pub connections_open: Cell,
    /// Client connections accepted by this shard.
    pub connections_accepted: Cell,
    /// Of them, those handed to another shard.
    pub connections_handed_over: Cell,
    /// Exchanges now.
    pub in_flight: Cell,
    /// Refusals for a limit of the client: the bucket, requests, tokens.
    pub limited: [Cell; 5],
    /// Answers from the response cache.
    pub cache_hits: Cell,
    /// Requests for the cache that it had nothing for.
    pub cache_misses: Cell,
    /// Those that were told what came to an identical one.
    pub cache_coalesced: Cell,
    /// Answers, and their bytes, that came into the cache.
    pub cache_stored: [Cell; 2],
    /// Answers, and their bytes, that left it.
    pub cache_freed: [Cell; 2],
    /// Answers that left it to make room.
    pub cache_evicted: Cell,
    /// Answers that a client took packed: with zstd, with gzip, and those that went as they are.
    packed: [Cell; 3],
    /// Circuits of the upstreams now: 0 closed, 1 half open, 2 open.
    circuits: Box<[Alone]>,
    /// Records of exchanges that found no room.
    pub records_lost: Cell,
    /// Panics that were caught: bugs.
    pub bugs: Cell,
    targets: usize,
}

impl Cells {
    /// Cells for a configuration's labels, all zero.
    pub fn new(shape: &Shape) -> Self {
        let rows = shape.targets.len() + 1;
        Self {
            requests: Cell::default(),
            failed: Cell::default(),
            cancelled: Cell::default(),
            by_code: (0..rows).map(|_| Row::default()).collect(),
            duration: Histogram::default(),
            first_token: Histogram::default(),
            overhead: Histogram::default(),
            tokens: Default::default(),
            unpriced: Cell::default(),
            bytes: Default::default(),
            attempts: Cell::default(),
            failures: Default::default(),
            upstream_handshakes: Default::default(),
            client_handshakes: Default::default(),
            links_opened: Cell::default(),
            links_reused: Cell::default(),
            links_stale: Cell::default(),
            hedges: Cell::default(),
            hedges_won: Cell::default(),
            streams_resumed: Cell::default(),
            links_idle: Cell::default(),
            connections_open: Cell::default(),
            connections_accepted: Cell::default(),
            connections_handed_over: Cell::default(),
            in_flight: Cell::default(),
            limited: Default::default(),
            cache_hits: Cell::default(),
            cache_misses: Cell::default(),
            cache_coalesced: Cell::default(),
            cache_stored: Default::default(),
            cache_freed: Default::default(),
            cache_evicted: Cell::default(),
            packed: Default::default(),
            circuits: shape.upstreams.iter().map(|_| Alone::default()).collect(),
            records_lost: Cell::default(),
            bugs: Cell::default(),
            targets: shape.targets.len(),
        }
    }

    /// Counts one ended exchange. Only the owning shard may call this.
    pub fn on_settle(&self, settled: &Settled) {
        self.requests.add(1);
        self.failed.add(u64::from(settled.failed));
        self.cancelled.add(u64::from(settled.status == 499));
        let target = settled.target.unwrap_or(self.targets).min(self.targets);
        if let Some(cell) = self.code_cell(target, code_place(settled.status)) {
            cell.add(1);
        }
        match (settled.cost_nanos, self.by_code.get(target)) {
            (None | Some(0), _) | (_, None) => {}
            (Some(nanos), Some(row)) => row.1.add(nanos),
        }
        self.unpriced.add(u64::from(settled.cost_nanos.is_none()));
        self.duration.observe(settled.duration);
        self.overhead.observe(settled.overhead);
        if let Some(first) = settled.first_token {
            self.first_token.observe(first);
        }
        let tokens = &settled.tokens;
        let kinds = [
            tokens.prompt,
            tokens.completion,
            tokens.cached,
            tokens.cache_write,
            tokens.reasoning,
            tokens.prompt_audio,
            tokens.completion_audio,
        ];
        for (cell, count) in self.tokens.iter().zip(kinds) {
            cell.add(count);
        }
        self.bytes[0].add(settled.bytes_in);
        self.bytes[1].add(settled.bytes_out);
    }

    /// Counts one failed attempt. Only the owning shard may call this.
    pub fn on_failure(&self, reason: UpstreamFailure) {
        let place = UpstreamFailure::ALL.iter().position(|(listed, _)| *listed == reason);
        if let Some(cell) = place.and_then(|place| self.failures.get(place)) {
            cell.add(1);
        }
    }

    /// Counts one answer that the client takes packed; `coding` is none when it went as it is. Only
    /// the owning shard may call this.
    pub fn on_packed(&self, coding: Option<usize>) {
        let last = self.packed.len() - 1;
        if let Some(cell) = self.packed.get(coding.unwrap_or(last).min(last)) {
            cell.add(1);
        }
    }

    /// Answers that clients took packed: with zstd, with gzip, and those that went as they are.
    pub fn packed(&self) -> &[Cell] {
        &self.packed
    }

    /// Counts one handshake with an upstream. Only the owning shard may call this.
    pub fn on_upstream_handshake(&self, end: HandshakeEnd) {
        count(&self.upstream_handshakes, end);
    }

    /// Counts one handshake with a client. Only the owning shard may call this.
    pub fn on_client_handshake(&self, end: HandshakeEnd) {
        count(&self.client_handshakes, end);
    }

    /// Exchanges by target (none last) and status (`other` last).
    pub fn by_code(&self, target: usize, place: usize) -> u64 {
        self.code_cell(target, place).map_or(0, Cell::read)
    }

    /// What the exchanges of a target (none last) cost, in nano-dollars.
    pub fn cost_nanos(&self, target: usize) -> u64 {
        self.by_code.get(target).map_or(0, |row| row.1.read())
    }

    fn code_cell(&self, target: usize, place: usize) -> Option<&Cell> {
        self.by_code.get(target).and_then(|row| row.0.get(place))
    }

    /// The cell of an upstream's circuit.
    pub fn circuit(&self, upstream: usize) -> Option<&Cell> {
        self.circuits.get(upstream).map(|alone| &alone.0)
    }
}

fn count(cells: &[Cell; HandshakeEnd::ALL.len()], end: HandshakeEnd) {
    let place = HandshakeEnd::ALL.iter().position(|(listed, _)| *listed == end);
    if let Some(cell) = place.and_then(|place| cells.get(place)) {
        cell.add(1);
    }
}

fn code_place(status: u16) -> usize {
    CODES.iter().position(|code| *code == status).unwrap_or(CODES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let label = |name: &str| name.to_owned();
        let target = TargetLabels { route: label("r"), provider: label("p"), model: label("m") };
        Shape { targets: vec![target], upstreams: Vec::new() }
    }

    #[test]
    fn an_exchange_is_counted_once_in_every_family() {
        let cells = Cells::new(&shape());
        let settled = Settled { target: Some(0), status: 200, ..Settled::default() };
        cells.on_settle(&settled);
        cells.on_settle(&Settled { target: None, status: 418, failed: true, ..settled });
        cells.on_settle(&Settled { target: Some(7), status: 499, ..settled });
        assert_eq!((cells.requests.read(), cells.failed.read(), cells.cancelled.read()), (3, 1, 1));
        assert_eq!(cells.by_code(0, 0), 1);
        assert_eq!(cells.by_code(1, CODES.len()), 1);
        assert_eq!(cells.by_code(1, code_place(499)), 1);
    }

    #[test]
    fn a_reader_on_another_thread_misses_nothing() {
        let cells = Cells::new(&shape());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                (0..100_000).for_each(|_| cells.on_settle(&Settled::default()));
            });
            let mut last = 0;
            while !writer.is_finished() {
                let now = cells.requests.read();
                assert!(now >= last);
                last = now;
            }
        });
        assert_eq!(cells.requests.read(), 100_000);
    }

    #[test]
    fn every_reason_has_its_cell() {
        let cells = Cells::new(&shape());
        for (reason, _) in UpstreamFailure::ALL {
            cells.on_failure(reason);
        }
        assert!(cells.failures.iter().all(|cell| cell.read() == 1));
    }
}
