//! Every limit an operator may set, with its range, its default and its reason, and the fixed
//! ones that configuration itself needs. Sizes are bytes, times milliseconds.

use std::time::Duration;

use super::model::Route;
use super::schema::{Config, Limits};

/// What a number may be, and what it is when nothing is set. Bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The least that works.
    pub min: u64,
    /// What an empty configuration has.
    pub default: u64,
    /// The most that the program was made for.
    pub max: u64,
}

const fn range(min: u64, default: u64, max: u64) -> Range {
    Range { min, default, max }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HOUR: u64 = 3_600_000;

/// A client's request body: a long chat with images fits into 10 MiB. A body lies in memory
/// whole, so more than 256 MiB belongs into a file service.
pub const REQUEST_BODY: Range = range(KIB, 10 * MIB, 256 * MIB);
/// A message head, either way: 32 KiB holds any cookie and any trace context; nginx has the same.
pub const HEAD_BYTES: Range = range(KIB, 32 * KIB, MIB);
/// Fields of a head: browsers send about 20, proxies add a few.
pub const FIELDS: Range = range(16, 100, 1000);
/// The request target: our longest own path has 200 bytes; 8 KiB is what servers commonly take.
pub const TARGET_BYTES: Range = range(256, 8 * KIB, 64 * KIB);
/// A vendor's buffered answer: a long reply has 1 MiB, images in it some more.
pub const UPSTREAM_BODY: Range = range(KIB, 32 * MIB, 1024 * MIB);
/// One server-sent event of a vendor: an inline image of 10 MiB in base64 fits.
pub const EVENT: Range = range(KIB, 16 * MIB, 256 * MIB);
/// Client connections; the default comes from the machine, see [`fit`].
pub const CONNECTIONS: Range = range(1, 0, 1_000_000);
/// Exchanges at one time; the default comes from the machine, see [`fit`].
pub const IN_FLIGHT: Range = range(1, 0, 1_000_000);
/// Exchanges with one upstream at one time.
pub const UPSTREAM_CONCURRENCY: Range = range(1, 0, 1_000_000);
/// Exchanges that wait for one upstream. 0 refuses at once.
pub const QUEUE: Range = range(0, 0, 1_000_000);

/// Lines of exchanges in a second: a developer sees every one, and a busy gateway writes no more
/// than anybody reads.
pub const LOG_LINES: Range = range(1, 100, 1_000_000);
/// The share of traces that begin here and are exported.
pub const TRACE_SHARE: f64 = 0.01;

/// To reach an upstream: more than one lost SYN (1 s) is a fault.
pub const CONNECT: Range = range(1, 2000, HOUR);
/// For the TLS handshake: three round trips with one loss.
pub const TLS: Range = range(1, 3000, HOUR);
/// To write a request's head upstream: it fits into an empty socket buffer.
pub const WRITE_HEAD: Range = range(1, 5000, HOUR);
/// Until the upstream's first byte: reasoning models think for a minute before they speak.
pub const FIRST_BYTE: Range = range(1, 120_000, HOUR);
/// Until the first token; off, because the first byte is limited already.
pub const FIRST_TOKEN: Range = range(1, 0, HOUR);
/// Between two bytes of an answer: vendors send pings about every 15 s.
pub const IDLE: Range = range(1, 60_000, HOUR);
/// For a whole exchange; off, because it would cut a long stream that is well.
pub const TOTAL: Range = range(1, 0, 24 * HOUR);
/// For a client's whole head: the answer to clients that send a byte now and then.
pub const CLIENT_HEAD: Range = range(1, 10_000, HOUR);
/// For a client's whole body: 10 MiB at 1.4 Mbit/s.
pub const CLIENT_BODY: Range = range(1, 60_000, HOUR);
/// For the next request on an idle connection: longer than the 60 s of common balancers, which
/// must be the ones to close.
pub const KEEP_ALIVE: Range = range(1, 75_000, HOUR);
/// For a client that takes nothing: it holds an upstream back all that time.
pub const CLIENT_WRITE_IDLE: Range = range(1, 60_000, HOUR);
/// Until a stream's head goes out without an event; off, because the head's status is final.
pub const EARLY_HEAD: Range = range(100, 0, HOUR);
/// For running exchanges after SIGTERM: Kubernetes kills after 30 s.
pub const DRAIN: Range = range(0, 30_000, HOUR);
/// How long balancers have to notice a drain.
pub const DRAIN_NOTICE: Range = range(1, 0, HOUR);
/// In the queue of an upstream: what waited longer is old to its sender.
pub const QUEUE_AGE: Range = range(1, 200, 60_000);

/// How long before its end an access token is replaced. Google's own libraries take 225 s to 300 s.
pub const TOKEN_EARLY: Duration = Duration::from_secs(300);
/// Between two fetches of a token; doubled with every failure ...
pub const TOKEN_PAUSE: Duration = Duration::from_secs(1);
/// ... up to this: an operator who has repaired the cause should not have to wait longer.
pub const TOKEN_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Between two fetches because an upstream refuses tokens: the cause is then hardly the token.
pub const TOKEN_REFUSAL_PAUSE: Duration = Duration::from_secs(10);
/// For a whole conversation with a token endpoint, which takes a few hundred milliseconds.
pub const TOKEN_EXCHANGE: Duration = Duration::from_secs(10);
/// A request that finds no token yet waits so long for it: the time of a slow first exchange.
pub const TOKEN_WAIT: Duration = Duration::from_secs(5);
/// An answer of a token endpoint, in bytes: real ones have 1.1 KiB.
pub const TOKEN_ANSWER_BYTES: u64 = 64 * KIB;

/// Tries after the first one.
pub const RETRY_ATTEMPTS: Range = range(0, 2, 10);
/// The longest `retry-after` that is waited for.
pub const RETRY_WAIT: Range = range(0, 5000, HOUR);

/// Requests or tokens of a rate. The default is that of the bucket's capacity.
pub const RATE: Range = range(1, 100, 1_000_000_000);
/// Bytes of a stream per second; 0 for any.
pub const SLOW_STREAM: Range = range(0, 0, 1_000_000);
/// Tokens that are reserved of a budget for an answer whose length the client leaves open.
pub const ANSWER_TOKENS: Range = range(1, 4096, 10_000_000);
/// Labels of a key, and the bytes of each.
pub const LABELS_MAX: usize = 32;
/// Bytes of a label's text.
pub const LABEL_BYTES_MAX: usize = 256;
/// Requests of one key at a time.
pub const KEY_CONCURRENCY: Range = range(1, 100, 1_000_000);
/// Requests that come back to a bucket every second, where nothing is said.
pub const REFILL_DEFAULT: u64 = 10;
/// Good answers that close a circuit, where nothing is said.
pub const SUCCESSES_DEFAULT: u64 = 3;
/// Failures or successes that a breaker counts.
pub const BREAKER: Range = range(1, 10, 1_000_000_000);
/// Whole seconds of the keys that end in `_secs`.
pub const SECONDS: Range = range(1, 60, 366 * 24 * 3600);
/// For records of the ledger, in milliseconds.
pub const RETENTION: Range = range(HOUR, 0, 3660 * 24 * HOUR);
/// How long a process may use what it holds of what is shared, in milliseconds.
pub const LEASE: Range = range(1000, 10_000, HOUR);
/// The response cache of all shards: some ten thousand answers of a few KiB.
pub const CACHE_BYTES: Range = range(64 * KIB, 64 * MIB, 1024 * 1024 * MIB);
/// One answer in it: a stream of some 4,000 tokens, with 250 bytes for each.
pub const CACHE_ENTRY: Range = range(KIB, MIB, 256 * MIB);
/// How long an answer is kept, in seconds.
pub const CACHE_SECONDS: u64 = 3600;
/// How hard answers are packed; 0 is not at all. Level 1 takes a third of the time of level 6 for a
/// fifth more bytes.
pub const COMPRESSION_LEVEL: Range = range(0, 1, 9);
/// The shortest answer that is packed: what fits into one packet gains nothing.
pub const COMPRESSION_BYTES: Range = range(0, KIB, 128 * KIB);
/// What packing may take of a core, in percent of its other work; 0 is no bound.
pub const COMPRESSION_CPU: Range = range(0, 8, 1000);
/// A target's share among the targets of its route.
pub const WEIGHT: Range = range(1, 1, 1_000_000);
/// Tokens of a prompt from which on it is long: no model takes more than some millions.
pub const PROMPT_TOKENS: Range = range(1, 0, 1_000_000_000);

/// Tokens of an answer whose length the client left open; the model's own limit is the default.
pub const MAX_TOKENS: Range = range(1, 0, 10_000_000);

/// Characters of a configured client key: shorter ones can be guessed.
pub const KEY_CHARS_MIN: usize = 16;
/// Characters of any secret: it must fit into a head with room to spare.
pub const SECRET_CHARS_MAX: usize = 8 * 1024;
/// Characters of a model name, by the vendors' own rules (`[A-Za-z0-9._:/@-]`).
pub const MODEL_CHARS_MAX: usize = 128;
/// Characters of an upstream's or key's name: they become metric labels.
pub const NAME_CHARS_MAX: usize = 64;
/// Entries of one kind of table in the file, far above any real configuration.
pub const TABLES_MAX: usize = 10_000;
/// The configuration file and a secret's file, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * MIB;

// A target is part of a head, also when both are set to an extreme.
const _: () = assert!(TARGET_BYTES.default < HEAD_BYTES.default);
const _: () = assert!(TARGET_BYTES.min < HEAD_BYTES.min && TARGET_BYTES.max < HEAD_BYTES.max);
// An answer holds its events.
const _: () = assert!(EVENT.default <= UPSTREAM_BODY.default && EVENT.max <= UPSTREAM_BODY.max);
// A body is larger than the head before it.
const _: () = assert!(HEAD_BYTES.default < REQUEST_BODY.default);
// A head that carries the longest secret still fits by default.
const _: () = assert!((SECRET_CHARS_MAX as u64) < HEAD_BYTES.default / 2);
// The handshake and the connect end before the wait for a first byte would.
const _: () = assert!(CONNECT.default + TLS.default + WRITE_HEAD.default < FIRST_BYTE.default);

/// Marks of vendors on calls of tools that are kept for the next turn, of all shards together: a
/// mark has about 1 KiB, so that some 50,000 agents can think for an hour.
pub const SIGNATURE_BYTES: usize = 64 << 20;

/// Descriptors that are neither a client nor an upstream link: logs, rings, listeners, files.
const RESERVED_DESCRIPTORS: u64 = 64;
/// What a connection costs while a head is read into its buffer.
const CONNECTION_BYTES: u64 = 32 * KIB;
/// What a common exchange costs: a body of some 10 KiB, its translation, two relay buffers.
const EXCHANGE_BYTES: u64 = 256 * KIB;

/// What was sent of an answer that may be taken over, and calls that are held back, at most.
pub const KEPT_BYTES: u64 = 2 * MIB;

/// How much the machine can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Client connections at one time, at least 1.
    pub connections: u64,
    /// Exchanges at one time, at least 1.
    pub in_flight: u64,
}

impl Limits {
    /// What will hold on a machine that has `room`: configured values, else those of the machine.
    pub fn capacity(&self, room: Capacity) -> Capacity {
        let wide = |count: Option<usize>| count.and_then(|count| u64::try_from(count).ok());
        Capacity {
            connections: wide(self.connections).unwrap_or(room.connections),
            in_flight: wide(self.in_flight).unwrap_or(room.in_flight),
        }
    }
}

/// The `auto` values: every exchange needs a descriptor on each side, and connections and common
/// exchanges take a quarter of the memory each.
///
/// `descriptors` is the process's limit, `memory_bytes` what this process may use.
pub fn fit(descriptors: u64, memory_bytes: u64) -> Capacity {
    let by_descriptors = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    let by_memory = memory_bytes / 4 / CONNECTION_BYTES;
    let connections = by_descriptors.min(by_memory).clamp(CONNECTIONS.min, CONNECTIONS.max);
    let in_flight = connections.min(memory_bytes / 4 / EXCHANGE_BYTES).max(IN_FLIGHT.min);
    Capacity { connections, in_flight }
}

/// The most memory that clients and upstreams can make the process hold, in bytes: a head for
/// every connection; the marks on calls; the response cache; for every exchange its body and the
/// translated one, an answer (or an event) with its translation, and where it may be taken over
/// what of it was sent.
/// Each of them doubled, as buffers grow by doubling. Common exchanges need a hundredth of that.
pub fn worst_case(config: &Config, capacity: Capacity) -> u64 {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let limits = &config.limits;
    let request = wide(config.server.request_body_bytes_max);
    let answer = wide(limits.upstream_body_bytes.max(limits.event_bytes));
    let taken_over = config.fallback.resume && config.routes.as_slice().iter().any(Route::has_more);
    let kept = if taken_over { KEPT_BYTES } else { 0 };
    let once = request.saturating_add(answer).saturating_mul(2).saturating_add(kept);
    let exchange = once.saturating_mul(2);
    let heads = capacity.connections.saturating_mul(wide(limits.head_bytes));
    let cache = config.cache.map_or(0, |cache| wide(cache.bytes_max));
    let fixed = heads.saturating_add(wide(SIGNATURE_BYTES)).saturating_add(cache);
    fixed.saturating_add(capacity.in_flight.saturating_mul(exchange))
}

#[cfg(test)]
mod tests {
    use super::super::parse::Sources;
    use super::*;

    #[test]
    fn the_worst_case_is_plain_arithmetic() {
        let load = |more: &str| {
            let file = format!(
                "[server]\nmax_request_size = 2048\n[limits]\nhead_bytes = 1024\n\
                 upstream_body = 70000\nevent = 80000\n{more}"
            );
            let none = |_: &str| Err(String::new());
            let sources =
                Sources { file: Some(("f", &file)), flags: &[], variables: &[], read_file: &none };
            Config::load(&sources).expect("a configuration")
        };
        let capacity = Capacity { connections: 7, in_flight: 3 };
        let plain = 7 * 1024 + (64 << 20) + 3 * 4 * (2048 + 80_000);
        assert_eq!(worst_case(&load(""), capacity), plain);
        let upstream =
            "[[upstream]]\nname = \"a\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n";
        let route = "[[route]]\nmodel = \"m\"\ntargets = [{ upstream = \"a\", model = \"a\" }]\n";
        let fallback = "fallbacks = [{ upstream = \"a\", model = \"b\" }]\n";
        let kept = load(&[upstream, route, fallback].concat());
        assert_eq!(worst_case(&kept, capacity), plain + 3 * 2 * KEPT_BYTES);
        let off = load(&["[fallback]\nresume = \"off\"\n", upstream, route, fallback].concat());
        assert_eq!(worst_case(&off, capacity), plain);
        let most = Capacity { connections: u64::MAX, in_flight: u64::MAX };
        assert_eq!(worst_case(&off, most), u64::MAX);
    }

    #[test]
    fn auto_follows_the_scarcer_of_descriptors_and_memory() {
        let (gib, cases) = (
            1024 * MIB,
            [(1024, 480, 480), (65_536, 32_736, 4096), (1_000_000, 32_768, 4096), (10, 1, 1)],
        );
        for (descriptors, connections, in_flight) in cases {
            assert_eq!(fit(descriptors, 4 * gib), Capacity { connections, in_flight });
        }
        assert_eq!(fit(u64::MAX, 0), Capacity { connections: 1, in_flight: 1 });
        assert_eq!(fit(u64::MAX, u64::MAX).connections, CONNECTIONS.max);
    }
}
