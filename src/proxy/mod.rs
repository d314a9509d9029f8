//! The data plane: accept, serve, exchange, relay, settle.

pub mod accept;
mod answer;
mod asked;
mod attempt;
mod body;
mod candidate;
mod chat;
mod choice;
mod client;
mod course;
mod credential;
mod exact;
mod exchange;
pub mod explain;
mod failure;
pub mod fixed;
mod health;
mod incoming;
mod limits;
mod marks;
mod once;
mod outcome;
mod plain;
mod posted;
mod reply;
mod route;
mod secure;
mod serve;
mod stay;
mod stream;
mod translate;
mod unary;

pub use accept::run;
