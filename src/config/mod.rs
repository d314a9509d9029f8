//! Text and variables to one checked `Config`; every limit with its reason.

mod build;
mod error;
mod keys;
pub mod limits;
mod model;
mod origin;
mod parse;
mod schema;
mod secret;
mod upstreams;
mod value;

pub use error::{ConfigError, Place};
pub use model::{Route, RouteTable, Target, covers};
pub use origin::Origin;
pub use parse::{FlagValue, Sources};
pub use schema::{
    Auth, Backend, ClientKey, Config, DEVELOPMENT_KEY, Driver, Kind, Limits, Log, LogFormat,
    LogLevel, Retry, Runtime, Server, Timeouts, Upstream,
};
pub use secret::Secret;
pub use value::duration;
