//! vertex-bridge: an LLM gateway with one `io_uring` executor per core.
//!
//! # Rooms
//!
//! Bottom room first. A room imports only rooms named in its row; `tests/it/tidy` reads this
//! table and fails on anything else. The last column names capabilities (`async`, `clock`,
//! `host`, `net`, `shared`, `thread`, `unsafe`) and external crates; `-` means pure.
//!
//! | room | purpose | may import | may use |
//! |------|---------|------------|---------|
//! | `base` | tick, calendar, ids, traces, random numbers, ascii | - | - |
//! | `config` | text and variables to one checked `Config`; every limit | base | base64 toml serde serde_json |
//! | `obs` | metric cells, histograms, registry, log lines | base | clock host shared prometheus_client |
//! | `wire` | HTTP/1.1 heads and bodies, SSE, JSON spans; incremental | base | httparse memchr smallvec wide |
//! | `chat` | the hub: clients' APIs on one side, vendor-neutral chat events on the other | base wire | serde serde_json memchr base64 smallvec typed_arena |
//! | `provider` | one pure file per vendor: chat request out, events in | base config wire chat | serde serde_json memchr base64 smallvec |
//! | `policy` | auth, admission, rate, breaker, retry, cache, books: decisions | base config | ring |
//! | `web` | HTTP to services beside the upstreams; blocks, so never on a core | config | shared rustls ureq |
//! | `credential` | service accounts: signed assertions, tokens for them; blocks, so never on a core | base config web | base64 ring rustls serde serde_json ureq |
//! | `rt` | the `Runtime` seam and its backends; all `unsafe` lives here | base | async clock host net shared thread unsafe monoio io_uring io_uring_06 glommio futures_lite socket2 core_affinity libc libmimalloc_sys |
//! | `journal` | one record for each exchange, its bytes, where they wait to be read | base rt | host shared |
//! | `net` | connections, dialing, name look-up, TLS, idle pool | base config obs rt | async shared net rustls rustls_native_certs webpki_roots |
//! | `shard` | all state of one core: `Shard<R: Runtime>` | base config obs policy rt net journal | async shared flate2 zstd smallvec |
//! | `proxy` | data plane: accept, serve, exchange, relay, settle | base config obs wire chat provider policy rt net journal shard | async flate2 smallvec |
//! | `control` | control plane: health, models, metrics as bytes | base config obs wire chat shard | - |
//! | `store` | keys, ledger and audit log in SQLite; blocks, so never on a core | base config policy journal | host shared base64 ring rusqlite serde_json |
//! | `shared` | what several gateways share, over Redis or Valkey; blocks, so never on a core | base config obs policy shard store | shared redis serde_json |
//! | `import` | another gateway's configuration to ours: text in, text and notes out | config | saphyr_parser |
//! | `export` | spans of exchanges to a collector; blocks, so never on a core | base config obs web rt journal | shared flate2 prost ureq |
//! | `admin` | the admin API and the dashboard; blocks, so never on a core | base config obs wire chat policy journal shard control store | shared base64 ring serde serde_json |
//! | `top` | `vertex-bridge top`: an admin API in a terminal; a client, so it shares nothing with `admin` | config web | host shared thread ratatui serde serde_json ureq |
//! | `simulator` | provider simulator; never uses `chat` or `provider`, which it checks | base wire rt net | async base64 ring serde serde_json serde_path_to_error |
//! | `boot` | arguments, environment, threads, signals, wiring | base config obs policy web credential rt net journal shard proxy control store shared admin export import top simulator | async clock host net shared thread clap clap_complete clap_mangen serde_json signal_hook |
//! | `main` | the process: allocator, then `boot` | boot | host mimalloc |

pub mod admin;
pub mod base;
pub mod boot;
pub mod chat;
pub mod config;
pub mod control;
pub mod credential;
pub mod export;
pub mod import;
pub mod journal;
pub mod net;
pub mod obs;
pub mod policy;
pub mod provider;
pub mod proxy;
pub mod rt;
pub mod shard;
pub mod shared;
pub mod simulator;
pub mod store;
pub mod top;
pub mod web;
pub mod wire;
