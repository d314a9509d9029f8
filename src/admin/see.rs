//! What operators see, as JSON.

use serde_json::{Value, json};

use crate::control::Readiness;
use crate::journal::Record;
use crate::obs::{Registry, TokenFigures};
use crate::policy::price::usd;
use crate::store::audit::Entry;

/// The words of a circuit, by its number in the cells.
const CIRCUITS: [&str; 3] = ["closed", "half_open", "open"];

fn circuit(number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|place| CIRCUITS.get(place)).copied().unwrap_or("open")
}

/// Every upstream: whether it can be asked, and how its circuit stands.
pub(super) fn upstreams(
    registry: &Registry,
    readiness: &Readiness,
    tokens: &[TokenFigures],
) -> Value {
    let all = readiness.upstreams.iter().enumerate();
    let all = all.map(|(index, upstream)| {
        let best = registry.circuit(index);
        json!({
            "name": upstream.name,
            "status": upstream.word(tokens, best),
            "resolved": upstream.resolved,
            "breaker": circuit(best),
        })
    });
    all.collect()
}

/// The circuit of every upstream, as a whole (where it stands best) and on each shard.
pub(super) fn breakers(registry: &Registry) -> Value {
    let names = registry.shape().upstreams.iter().enumerate();
    names.map(|(index, name)| breaker(registry, index, name)).collect()
}

/// The circuit of one upstream.
pub(super) fn breaker(registry: &Registry, index: usize, name: &str) -> Value {
    let shards = registry.circuits_of(index).into_iter().map(circuit);
    json!({
        "upstream": name,
        "state": circuit(registry.circuit(index)),
        "shards": shards.collect::<Vec<_>>(),
    })
}

/// An exchange that runs.
pub(super) fn live(record: &Record<'_>, now_ms: u64) -> Value {
    json!({
        "id": record.id,
        "started_ms": record.started_ms,
        "age_ms": now_ms.saturating_sub(record.started_ms),
        "key": record.key,
        "route": record.route,
        "upstream": record.upstream_name,
        "model": record.model,
        "stream": record.stream,
        "shard": record.shard,
    })
}

/// An exchange that has ended.
pub(super) fn ended(number: u64, record: &Record<'_>) -> Value {
    json!({
        "number": number,
        "id": record.id,
        "started_ms": record.started_ms,
        "key": record.key,
        "route": record.route,
        "upstream": record.upstream_name,
        "model": record.model,
        "status": record.status,
        "ending": record.ending.label(),
        "cause": record.cause,
        "stream": record.stream,
        "cache_hit": record.cache_hit,
        "attempts": record.attempts,
        "shard": record.shard,
        "tokens": {
            "prompt": record.prompt,
            "cached": record.cached,
            "cache_write": record.cache_write,
            "completion": record.completion,
            "reasoning": record.reasoning,
            "estimated": record.estimated,
        },
        "cost_usd": record.priced.then(|| usd(record.cost_nanos)),
        "phases_us": {
            "parse": record.parse,
            "queue": record.queue,
            "connect": record.connect,
            "tls": record.tls,
            "upstream": record.upstream,
            "waited": record.waited,
            "first_token": record.first_token,
            "total": record.total,
        },
        "bytes": {"in": record.bytes_in, "out": record.bytes_out},
        "trace": (record.trace != 0).then(|| format!("{:032x}", record.trace)),
    })
}

/// An entry of the audit log.
pub fn audited(entry: &Entry) -> Value {
    let deed = &entry.deed;
    json!({
        "number": entry.number,
        "at_ms": deed.at_ms,
        "who": deed.who,
        "from": deed.from,
        "action": deed.action,
        "subject": deed.subject,
        "result": deed.result,
        "hash": entry.hash,
    })
}
