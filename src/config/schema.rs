//! The checked configuration: plain data that every other room reads. A `Config` exists only when
//! every value in it is in range and its parts fit each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::account::ServiceAccount;
use super::answers::{Cache, Compression};
use super::budget::Budgeting;
use super::client::ClientKey;
use super::error::ConfigError;
use super::listing::Listed;
use super::model::{RouteTable, Target};
use super::network::Network;
use super::origin::Origin;
use super::pages::Pages;
use super::secret::Secret;
use super::shared::Shared;
use super::tariff::Price;
use super::telemetry::{Exchanges, Export, Otel};
use super::tls::{ServerTls, Tls};
use super::tunnel::Tunnel;

/// What a client may send when no key is configured. It is no secret.
pub const DEVELOPMENT_KEY: &str = "sk-vertex-bridge-dev";

/// Everything that an operator decided, with defaults where nothing was said.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub server: Server,
    /// Who may connect.
    pub auth: Auth,
    /// Where the admin API listens when it has an address of its own; `/admin`, `/dashboard` and
    /// both pages of metrics are served there only.
    pub admin_listen: Option<SocketAddr>,
    /// What is written to standard error.
    pub log: Log,
    /// Executor and cores.
    pub runtime: Runtime,
    /// Times in every phase.
    pub timeouts: Timeouts,
    /// Sizes and counts.
    pub limits: Limits,
    /// How much one client key may ask, whichever it is.
    pub rate: Rate,
    /// What budgets go by where something is not known.
    pub budgeting: Budgeting,
    /// When an upstream is left alone.
    pub breaker: Breaker,
    /// When an attempt may be repeated.
    pub retry: Retry,
    /// When the next candidate of a route is asked beside or behind one that has begun.
    pub fallback: Fallback,
    /// What is sent before it must be.
    pub stream: Stream,
    /// How whole answers are packed.
    pub compression: Compression,
    /// Answers that are given again; `None` keeps none.
    pub cache: Option<Cache>,
    /// TLS towards upstreams.
    pub tls: Tls,
    /// The proxy through which they are reached; `None`: directly.
    pub tunnel: Option<Tunnel>,
    /// What is kept of exchanges.
    pub ledger: Ledger,
    /// What is shared with other gateways; `None`: nothing.
    pub shared: Option<Shared>,
    /// What all Gemini upstreams have in common.
    pub gemini: Gemini,
    /// What all Anthropic upstreams have in common.
    pub anthropic: Anthropic,
    /// Traces.
    pub otel: Otel,
    /// Service accounts, one for each file. Upstreams point here by index.
    pub accounts: Vec<ServiceAccount>,
    /// Who answers. Names are unique; routes point here by index.
    pub upstreams: Vec<Upstream>,
    /// What clients may ask for; see [`Config::route`].
    pub routes: RouteTable,
    /// What models cost: the operator's prices, then the list prices of this release.
    pub prices: Vec<Price>,
    /// No credentials were found: all upstreams are the embedded simulator, whose address
    /// [`Config::simulate_at`] fills in.
    pub simulated: bool,
    /// What the operator has set, of all this.
    pub set: Vec<Listed>,
    /// The path of the file that was read.
    pub file: Option<String>,
    /// A change of that file is a wish to reload.
    pub reload_on_change: bool,
    /// Things that are accepted but do not do what they say. One line each, no secrets.
    pub warnings: Vec<String>,
}

/// The downstream listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// An IP address (IPv6 without brackets), `localhost` or a name to resolve.
    pub host: String,
    /// Never 0 when it was parsed; a test may set 0 to get a free one.
    pub port: u16,
    /// Largest request body in bytes.
    pub request_body_bytes_max: usize,
    /// Answers carry `server-timing` and our own `x-vertex-bridge-*` fields.
    pub own_headers: bool,
    /// Proxies whose word is taken for where a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// The web pages that may call the API from a browser.
    pub pages: Pages,
    /// `None`: clients speak plain HTTP.
    pub tls: Option<ServerTls>,
}

/// Client authentication.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Keys that are let in, beside those of the store. None at all means development: a loopback
    /// address, and only the development key or no `authorization` at all.
    pub keys: Vec<ClientKey>,
    /// A request without `authorization` is refused, once there is a key.
    pub required: bool,
    /// Opens the administration, and nothing else.
    pub admin: Option<Secret>,
    /// What is wrong with this if the store has no key either.
    pub unless_stored: Option<ConfigError>,
}

/// Logging.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// The least important line that is still written.
    pub level: LogLevel,
    /// The shape of a line.
    pub format: LogFormat,
    /// Which exchanges get a line.
    pub exchanges: Exchanges,
}

/// Importance of a log line, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A bug or a lost capability.
    Error,
    /// An upstream's fault.
    Warn,
    /// One line per exchange, and the life cycle.
    Info,
    /// More than production needs. `trace` is read as this.
    Debug,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` words.
    Pretty,
    /// One JSON object.
    Json,
}

/// How the process uses the machine.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The executor.
    pub backend: Backend,
    /// How it talks to the kernel.
    pub driver: Driver,
    /// Core numbers in ascending order, each once; `None` means those this process may run on.
    pub cores: Option<Vec<usize>>,
}

/// Executors behind the runtime seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Our own; needs `io_uring` of Linux 6.1. Where it cannot be had, monoio serves.
    Native,
    /// monoio.
    Monoio,
    /// glommio; needs `io_uring`.
    Glommio,
}

/// Ways into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `io_uring` when it works, else epoll.
    Auto,
    /// `io_uring` or no start.
    IoUring,
    /// Never `io_uring`.
    Epoll,
}

/// Times. `None` means no limit.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect to an upstream.
    pub connect: Duration,
    /// For the TLS handshake with an upstream.
    pub tls: Duration,
    /// To write a request's head upstream.
    pub write_head: Duration,
    /// From the written request to the answer's first byte.
    pub first_byte: Duration,
    /// From the written request to the first token.
    pub first_token: Option<Duration>,
    /// A stream that brings fewer bytes per second, over ten seconds, has failed.
    pub slow_stream: Option<u64>,
    /// Between two bytes of an answer.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Option<Duration>,
    /// For a client's whole head.
    pub client_head: Duration,
    /// For a client's whole body.
    pub client_body: Duration,
    /// For the next request on an idle client connection.
    pub keep_alive: Duration,
    /// For a client that takes nothing of what is written.
    pub client_write_idle: Duration,
    /// New work is taken for so long when a drain has begun, while readiness says that it has.
    pub drain_notice: Duration,
    /// For running exchanges behind that.
    pub drain: Duration,
}

/// Sizes and counts; reasons stand in [`super::limits`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Client connections; `None` means what [`super::limits::fit`] finds.
    pub connections: Option<usize>,
    /// Exchanges at one time; `None` means what [`super::limits::fit`] finds.
    pub in_flight: Option<usize>,
    /// Exchanges with one upstream at one time; `None` means as many as there are.
    pub upstream_concurrency: Option<usize>,
    /// Exchanges that wait for one upstream; `None` means twice as many as may ask it.
    pub queue: Option<usize>,
    /// How long one of them waits at most.
    pub queue_age: Duration,
    /// A message head, in bytes.
    pub head_bytes: usize,
    /// Fields of a head.
    pub fields: usize,
    /// A request target, in bytes.
    pub target_bytes: usize,
    /// A buffered answer of an upstream, in bytes.
    pub upstream_body_bytes: usize,
    /// One event of an upstream's stream, in bytes.
    pub event_bytes: usize,
}

/// The token bucket of each client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests at once.
    pub capacity: u64,
    /// Requests in each further second.
    pub per_second: u64,
}

/// The circuit breaker of each upstream.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open.
    pub timeout: Duration,
    /// Good answers in a row that close it.
    pub successes: u32,
}

/// Repeated attempts.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries after the first one.
    pub attempts: u32,
    /// Share of all traffic that may be repeats, from 0 to 1.
    pub budget: f64,
    /// The longest `retry-after` that is waited for.
    pub wait_max: Duration,
}

/// What routes with fallbacks do beyond asking the next one after a failure.
#[derive(Clone, Copy, Debug)]
pub struct Fallback {
    /// When no token has come for so long the next candidate is asked, too; whoever speaks first
    /// answers.
    pub after: Option<Duration>,
    /// A stream that breaks off is continued by the next candidate, if what it says begins with
    /// what was already sent.
    pub resume: bool,
}

/// The ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Are exchanges kept at all?
    pub enabled: bool,
    /// Was that, or where, said by the operator? Then the gateway does not start without.
    pub required: bool,
    /// The folder of the store; `None`: where the system keeps a program's state.
    pub path: Option<PathBuf>,
    /// How long single exchanges are kept; `None`: for ever. The sums of their days always are.
    pub retention: Option<Duration>,
    /// What happens while nothing can be stored.
    pub when_full: WhenFull,
}

/// What happens to requests while exchanges cannot be kept, as on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// They are served; what is lost is counted.
    Serve,
    /// They are refused.
    Refuse,
}

/// Streamed answers.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// A client gets its head after this time, also when the upstream has said nothing yet. `None`
    /// waits for the first event, so that a failure before it keeps its status.
    pub early_head: Option<Duration>,
}

/// What all Gemini upstreams have in common, on Vertex AI or not.
#[derive(Clone, Debug)]
pub struct Gemini {
    /// A JSON array without spaces, sent when a client sends none.
    pub safety_settings: Option<String>,
    /// Where system messages behind the first turn go.
    pub system_messages: SystemMessages,
    /// How schemas are written.
    pub schema_mode: SchemaMode,
    /// Ways for thought signatures to come back from clients that drop unknown fields.
    pub signatures: Signatures,
    /// A client that wants no parallel tool calls gets the first one alone.
    pub enforce_parallel: bool,
}

/// Where system messages behind the first turn go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemMessages {
    /// To the system instruction.
    Hoist,
    /// As a user's turn where they stand: a prefix that the vendor has cached stays one.
    Inline,
}

/// How JSON schemas are written for Gemini.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaMode {
    /// As the client wrote them.
    JsonSchema,
    /// In the subset of `OpenAPI` that old models know.
    OpenApi,
}

/// How thought signatures survive clients that drop unknown fields.
#[derive(Clone, Copy, Debug)]
pub struct Signatures {
    /// They are remembered for an hour.
    pub cache: bool,
    /// They are part of the call's id.
    pub in_id: bool,
}

/// What all Anthropic upstreams have in common.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic {
    /// For clients that set no limit; `None` takes the model's own.
    pub default_max_tokens: Option<u64>,
}

/// One place that answers requests.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Unique; 1 to 64 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Its wire format.
    pub kind: Kind,
    /// Where it is.
    pub origin: Origin,
    /// Keys, tried in turn; may be empty for upstreams on a base URL of their own.
    pub keys: Vec<Secret>,
    /// Index into [`Config::accounts`]: requests carry its token. Never together with `keys`.
    pub account: Option<usize>,
    /// `Some` for [`Kind::Vertex`], and only for it.
    pub vertex: Option<VertexPlace>,
    /// Whether answers are repaired; only for [`Kind::OpenAi`].
    pub compat: Compat,
    /// Whether streams are asked for their usage; only for [`Kind::OpenAi`].
    pub stream_usage: StreamUsage,
    /// How `/v1/responses` is served; only for [`Kind::OpenAi`].
    pub responses: Responses,
    /// Does it go on with an assistant's message that a conversation ends with?
    pub prefill: bool,
    /// Is it told where in a trace a request stands?
    pub trace_context: bool,
}

/// What the paths of a Vertex AI upstream name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexPlace {
    /// The first part of every path.
    pub api_version: ApiVersion,
    /// `None` in express mode, whose paths begin with the publisher.
    pub project: Option<VertexProject>,
}

/// A project of Google Cloud and a place that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexProject {
    /// As Google Cloud names it; safe in a path.
    pub id: String,
    /// A region, `global`, `us` or `eu`; safe in a path.
    pub location: String,
}

/// Versions of Vertex AI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

/// What is done to the answers of an upstream that calls itself compatible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compat {
    /// Nothing: its bytes pass.
    Exact,
    /// Ids, indexes and finish reasons are repaired.
    Fixups,
}

/// When a stream is asked for usage that the client did not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// When a budget or a token limit needs it.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How requests to `/v1/responses` reach an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responses {
    /// It has the endpoint itself.
    Native,
    /// As chat completions.
    Translated,
}

/// Vendors' wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Google AI Studio.
    Gemini,
    /// Gemini on Vertex AI.
    Vertex,
    /// Anthropic Messages.
    Anthropic,
    /// `OpenAI` and what is compatible with it.
    OpenAi,
}

impl Limits {
    /// How many exchanges of one shard may ask an upstream, and how many may wait for it. What
    /// cannot be divided goes to the first shards, so that the sum is the limit.
    pub fn upstream_places(&self, shard: usize, shards: usize) -> (usize, usize) {
        let share = |all: usize| {
            let rest = all.checked_rem(shards).unwrap_or(0);
            all.checked_div(shards).unwrap_or(all) + usize::from(shard < rest)
        };
        let Some(all) = self.upstream_concurrency else { return (usize::MAX, 0) };
        (share(all), share(self.queue.unwrap_or_else(|| all.saturating_mul(2))))
    }
}

impl Config {
    /// The index in [`RouteTable::as_slice`] of the route that serves `model`; does not allocate.
    pub fn route(&self, model: &str) -> Option<usize> {
        self.routes.find(model)
    }

    /// The name to ask `target` for when a client asked for `asked`. Without a name of its own
    /// the client's goes on, minus what only says which vendor is meant.
    pub fn upstream_model<'m>(&self, target: &'m Target, asked: &'m str) -> &'m str {
        if let Some(model) = &target.model {
            return model;
        }
        let Some(upstream) = self.upstreams.get(target.upstream) else { return asked };
        let own = asked.strip_prefix(upstream.name.as_str()).and_then(|x| x.strip_prefix('/'));
        let known: &[&str] = match upstream.kind {
            Kind::Gemini | Kind::Vertex => &["gemini/", "google/", "models/", "vertex_ai/"],
            Kind::Anthropic => &["anthropic/"],
            // Names like `meta/llama` belong to the models of compatible services.
            Kind::OpenAi => &[],
        };
        own.or_else(|| known.iter().find_map(|prefix| asked.strip_prefix(prefix))).unwrap_or(asked)
    }

    /// The service accounts with their private keys, of which this configuration keeps none: what
    /// goes to the shards is not more than they need.
    pub fn take_accounts(&mut self) -> Vec<ServiceAccount> {
        let taken = self.accounts.clone();
        for account in &mut self.accounts {
            account.private_key = Secret::new(String::new());
        }
        taken
    }

    /// Copies of all secrets that are in the configuration now, for whoever is to hide them.
    pub fn secrets(&self) -> Vec<Secret> {
        let upstreams = self.upstreams.iter().flat_map(|upstream| &upstream.keys);
        let clients = self.auth.keys.iter().map(|key| &key.secret);
        let accounts = self.accounts.iter().map(|account| &account.private_key);
        let all = upstreams.chain(clients).chain(&self.auth.admin).chain(accounts);
        let proxy = self.tunnel.iter().flat_map(Tunnel::secrets);
        all.cloned().chain(proxy).collect()
    }

    /// The proxy in front of it, if it is reached through one.
    pub fn tunnel_to(&self, origin: &Origin) -> Option<&Tunnel> {
        self.tunnel.as_ref().filter(|tunnel| tunnel.serves(origin))
    }

    /// Where connections to an upstream are opened: host and port of the proxy in front of it, or
    /// its own.
    pub fn door<'c>(&'c self, upstream: &'c Upstream) -> (&'c str, u16) {
        let at = self.tunnel_to(&upstream.origin).map_or(&upstream.origin, |tunnel| &tunnel.at);
        (&at.host, at.port)
    }

    /// Where traces go, with the secrets that are shown there: no shard needs them.
    pub fn take_export(&mut self) -> Option<Export> {
        self.otel.export.take()
    }

    /// Puts the embedded simulator behind every upstream.
    pub fn simulate_at(&mut self, at: SocketAddr) {
        debug_assert!(self.simulated, "only upstreams made for the simulator are replaced");
        for upstream in self.upstreams.iter_mut().filter(|_| self.simulated) {
            let path = std::mem::take(&mut upstream.origin.path);
            upstream.origin = Origin { path, ..Origin::local(at) };
        }
    }
}

impl Kind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }
}

impl ApiVersion {
    /// The word in the configuration and in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

impl SystemMessages {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hoist => "hoist",
            Self::Inline => "inline",
        }
    }
}

impl SchemaMode {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSchema => "json_schema",
            Self::OpenApi => "openapi",
        }
    }
}

impl Compat {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fixups => "fixups",
        }
    }
}

impl StreamUsage {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl Responses {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Translated => "translated",
        }
    }
}

impl LogLevel {
    /// The word in the configuration and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl Backend {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
        }
    }
}

impl Driver {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}
