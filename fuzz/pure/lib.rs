//! The rooms of the gateway that read bytes from outside: sans-IO, so they stand alone.

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/chat/mod.rs"]
pub mod chat;
#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/provider/mod.rs"]
pub mod provider;
#[path = "../../src/wire/mod.rs"]
pub mod wire;
