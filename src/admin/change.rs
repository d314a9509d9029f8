//! What operators change. Every change is in the audit log, also one that came to nothing.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::RequestId;
use crate::chat::{ApiError, Row};
use crate::journal::Record;
use crate::obs::Registry;
use crate::obs::log::{self, Level};
use crate::shard::{Switch, Watch};

use super::query::decoded;
use super::see;

/// How the shards and the process are reached.
pub trait Hands {
    /// Ends the exchanges with this tag on every shard, and tells how many there were.
    fn cancel(&mut self, tag: u64) -> usize;

    /// Moves an upstream's circuit on every shard.
    fn switch(&mut self, upstream: usize, to: Switch);

    /// Has every shard keep what the clients of a key send and get, or keep nothing more.
    fn capture(&mut self, watch: Option<Watch>);

    /// Finishes what runs and ends the process.
    fn drain(&mut self);

    /// Checks the configuration as it stands now and, if it is good, puts it in force.
    ///
    /// # Errors
    /// What is wrong with it, a line for each mistake.
    fn reload(&mut self) -> Result<(), String>;

    /// Shows every exchange that runs.
    fn each_live(&self, show: &mut dyn FnMut(&Record<'_>));
}

/// Why something is not done.
pub(super) type Refusal = Box<ApiError>;

/// A change: what it is called in the audit log, what it is about, and what came of it.
pub(super) struct Change {
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) done: Result<Value, Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Breaker {
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    level: String,
}

/// Ends an exchange; its client sees its connection end.
pub(super) fn cancel(hands: &mut dyn Hands, part: &str) -> Change {
    let id = decoded(part);
    let tag = RequestId::from_client(id.as_bytes()).map(|id| id.tag());
    let done = match tag.map_or(0, |tag| hands.cancel(tag)) {
        0 => Err(not_found("no exchange with this id runs")),
        count => Ok(json!({"id": id, "cancelled": count})),
    };
    // What cannot be an id is not worth keeping.
    let subject = if tag.is_some() { id } else { String::new() };
    Change { action: "exchange.cancel".to_owned(), subject, done }
}

/// Opens, closes or resets a circuit.
pub(super) fn breaker(
    hands: &mut dyn Hands,
    registry: &Registry,
    part: &str,
    body: &[u8],
) -> Change {
    let name = decoded(part);
    let index = registry.shape().upstreams.iter().position(|known| *known == name);
    let mut action = "breaker".to_owned();
    let done = wanted_state(body).and_then(|(word, to)| {
        action = format!("breaker.{word}");
        let index = index.ok_or_else(|| not_found("no upstream has this name"))?;
        hands.switch(index, to);
        Ok(see::breaker(registry, index, &name))
    });
    let subject = if index.is_some() { name } else { String::new() };
    Change { action, subject, done }
}

fn wanted_state(body: &[u8]) -> Result<(String, Switch), Refusal> {
    let Breaker { state } = read(body)?;
    let to = match state.as_str() {
        "open" => Switch::Open,
        "closed" => Switch::Close,
        "reset" => Switch::Reset,
        _ => return Err(wrong("state", "state must be `open`, `closed` or `reset`")),
    };
    Ok((state, to))
}

/// Begins to drain.
pub(super) fn drain(hands: &mut dyn Hands) -> Change {
    hands.drain();
    let done = Ok(json!({"status": "draining"}));
    Change { action: "drain".to_owned(), subject: String::new(), done }
}

/// Reads the configuration again.
pub(super) fn reload(hands: &mut dyn Hands) -> Change {
    let done = match hands.reload() {
        Ok(()) => Ok(json!({"status": "reloading"})),
        Err(errors) => Err(refusal(Row::INVALID_VALUE, errors.trim_end())),
    };
    Change { action: "reload".to_owned(), subject: String::new(), done }
}

/// Which log lines are written.
pub(super) fn log_level() -> Value {
    json!({"level": log::level().name()})
}

/// Changes which log lines are written.
pub(super) fn set_log_level(body: &[u8]) -> Change {
    let done = read(body).and_then(|LogLevel { level }| {
        let expected = "level must be `error`, `warn`, `info`, `debug` or `trace`";
        // Nothing is below debug here, as in the configuration.
        let wanted = Level::of(if level == "trace" { "debug" } else { &level })
            .ok_or_else(|| wrong("level", expected))?;
        log::set_level(wanted);
        Ok(log_level())
    });
    let subject = done.as_ref().map_or("", |_| log::level().name()).to_owned();
    Change { action: "log_level".to_owned(), subject, done }
}

/// An error of this row; in a box, because results are passed on often and errors are large.
pub(super) fn refusal(row: Row, message: impl Into<String>) -> Refusal {
    Box::new(ApiError::new(row, message))
}

/// A member or a parameter has a wrong value.
pub(super) fn wrong(name: &str, message: &str) -> Refusal {
    Box::new(ApiError::new(Row::INVALID_VALUE, message).with_param(name))
}

/// There is nothing of this name.
pub(super) fn not_found(message: &str) -> Refusal {
    refusal(Row::NOT_FOUND, message)
}

/// Reads a body.
pub(super) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let row = if error.is_data() { Row::INVALID_VALUE } else { Row::INVALID_JSON };
        refusal(row, format!("the body is not what is wanted here: {error}"))
    })
}
