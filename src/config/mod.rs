//! Text and variables to one checked `Config`; every limit with its reason.

mod account;
mod answers;
mod answers_keys;
mod budget;
mod build;
mod client;
mod client_keys;
mod error;
mod json_schema;
mod keys;
mod ledger;
pub mod limits;
mod listing;
mod listing_keys;
mod model;
mod network;
mod origin;
mod pages;
mod pages_keys;
mod parse;
mod price;
mod schema;
mod secret;
mod shared;
mod shared_keys;
mod tariff;
mod telemetry;
mod telemetry_keys;
mod tls;
mod tls_keys;
mod tunnel;
mod tunnel_keys;
mod upstreams;
mod value;
mod vendors;

pub use account::ServiceAccount;
pub use answers::{Cache, Compression};
pub use budget::{Budget, Budgeting, Period, nanos_of_usd};
pub use client::ClientKey;
pub use error::{ConfigError, Place};
pub use json_schema::json_schema;
pub use listing::{Listed, differences};
pub use model::{Balance, Exhausted, Route, RouteTable, Target, covers};
pub use network::Network;
pub use origin::{Origin, is_link_local};
pub use pages::{Page, Pages};
pub use parse::{FlagValue, Sources};
pub use price::PRICES_AS_OF;
pub use schema::{
    Anthropic, ApiVersion, Auth, Backend, Breaker, Compat, Config, DEVELOPMENT_KEY, Driver,
    Fallback, Gemini, Kind, Ledger, Limits, Log, LogFormat, LogLevel, Rate, Responses, Retry,
    Runtime, SchemaMode, Server, Signatures, Stream, StreamUsage, SystemMessages, Timeouts,
    Upstream, VertexPlace, VertexProject, WhenFull,
};
pub use secret::Secret;
pub use shared::{Shared, WhenAway};
pub use tariff::{Price, Rates, Tariff, Tier};
pub use telemetry::{Exchanges, Export, Otel};
pub use tls::{Roots, ServerTls, Tls, TlsFile, TlsPair};
pub use tunnel::Tunnel;
pub use value::{duration, is_label, is_name, is_pattern, moment_of};
