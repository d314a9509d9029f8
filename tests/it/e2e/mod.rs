//! The real binary on real sockets: each table is played on every executor and driver.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and waits in real time"
)]

mod admin;
mod admin_keys;
mod agents;
mod bad_input;
mod books;
mod browser;
mod budgets;
mod cached;
mod certificates;
mod chat;
mod client;
mod coding;
mod cost;
mod course;
mod dashboard;
mod doors;
mod drivers;
mod errors;
mod explain;
mod failover;
pub(crate) mod gateway;
mod google;
mod handover;
mod keys;
mod kills;
mod life;
mod native;
mod pages;
mod rates;
mod reload;
mod replay;
mod resume;
mod routes;
mod sdk;
mod shapes;
mod sight;
mod simulator;
mod tls_clients;
mod tls_upstream;
mod top;
mod traces;
mod tunnel;
mod upstream;
mod vertex;
