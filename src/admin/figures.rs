//! The sums of all cells as JSON, for readers that take differences.

use serde_json::{Map, Value, json};

use crate::obs::histogram::Merged;
use crate::obs::{Answered, Registry, Shape, ShardFigures};

/// All figures at this moment. `busy` is each shard's time on its core, in microseconds.
pub(super) fn render(registry: &Registry, busy: &[Option<u64>]) -> Map<String, Value> {
    let snapshot = registry.snapshot();
    let mut all = words(&snapshot.counts);
    for (name, figures) in [
        ("tokens", &snapshot.tokens),
        ("bytes", &snapshot.bytes),
        ("limited", &snapshot.limited),
        ("upstream_failures", &snapshot.failures),
    ] {
        all.insert(name.to_owned(), Value::Object(words(figures)));
    }
    let answers = snapshot.answers.iter().map(|answered| answer(registry.shape(), answered));
    all.insert("answers".to_owned(), answers.collect());
    let times = snapshot.times.iter().map(|(name, merged)| ((*name).to_owned(), times(merged)));
    all.insert("times_us".to_owned(), Value::Object(times.collect()));
    all.insert("shards".to_owned(), shards(&snapshot.shards, busy));
    all
}

/// What each shard has done and does.
pub(super) fn shards(figures: &[ShardFigures], busy: &[Option<u64>]) -> Value {
    let shard = |(index, figures): (usize, &ShardFigures)| {
        json!({
            "shard": index,
            "requests": figures.requests,
            "failed": figures.failed,
            "in_flight": figures.in_flight,
            "connections_open": figures.connections,
            "connections_accepted": figures.accepted,
            "connections_handed_over": figures.handed_over,
            "upstream_connections_idle": figures.idle,
            "busy_us": busy.get(index),
        })
    };
    figures.iter().enumerate().map(shard).collect()
}

fn words(figures: &[(&'static str, u64)]) -> Map<String, Value> {
    figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

fn answer(shape: &Shape, answered: &Answered) -> Value {
    let labels = answered.target.and_then(|target| shape.targets.get(target));
    let code = answered.code.map_or_else(|| "other".to_owned(), |code| code.to_string());
    json!({
        "route": labels.map_or("other", |labels| &labels.route),
        "provider": labels.map_or("other", |labels| &labels.provider),
        "model": labels.map_or("other", |labels| &labels.model),
        "code": code,
        "count": answered.count,
    })
}

/// Buckets as `[from, to, count]`, the end not included, only those that hold anything.
fn times(merged: &Merged) -> Value {
    let buckets = merged.buckets().map(|(from, to, count)| json!([from, to, count]));
    json!({
        "count": merged.count(),
        "sum": merged.sum_micros(),
        "buckets": buckets.collect::<Value>(),
    })
}
