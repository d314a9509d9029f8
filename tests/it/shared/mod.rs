//! What gateways share: the script against its model, and many machines in a simulation.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and waits for a real server"
)]

mod script;
mod simulation;

use vertex_bridge::config::{Config, Sources};

/// A configuration of this text.
fn config(text: &str) -> Config {
    let none = |_: &str| Err("no file".to_owned());
    let sources = Sources { file: Some(("f", text)), flags: &[], variables: &[], read_file: &none };
    Config::load(&sources).expect("a configuration")
}
