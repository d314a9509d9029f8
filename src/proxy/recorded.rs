//! What the journal is told of an exchange.

use std::time::Duration;

use crate::journal::{self, Record};
use crate::obs::Settled;
use crate::rt::Runtime;

use super::exchange::{Ending, Exchange, Known};

/// Writes that an exchange is admitted: what is known of it now survives a `kill -9`. `model` is
/// the client's own name of it.
pub(super) fn admit<R: Runtime>(exchange: &mut Exchange<'_, R>, model: &str) {
    let shard = exchange.shard;
    let record = Record { model, ..begin(exchange) };
    let entry = shard.journal.admit(&record);
    exchange.entry = entry;
}

/// Writes that it has ended.
pub(super) fn settle<R: Runtime>(
    known: &Known<'_, R>,
    ending: Ending,
    settled: &Settled,
    cause: &str,
) {
    let shard = known.shard;
    if !shard.journal.is_kept() {
        return;
    }
    let asked = known.asked.and_then(|index| shard.config.upstreams.get(index));
    let record = Record {
        prompt: settled.tokens.prompt,
        cached: settled.tokens.cached,
        cache_write: known.usage().cache_write,
        prompt_audio: known.usage().prompt_audio,
        completion: settled.tokens.completion,
        reasoning: settled.tokens.reasoning,
        completion_audio: known.usage().completion_audio,
        bytes_in: settled.bytes_in,
        bytes_out: settled.bytes_out,
        parse: micros(known.phases.parse),
        queue: micros(known.phases.queue),
        connect: micros(known.phases.connect),
        tls: micros(known.phases.tls),
        upstream: micros(known.phases.upstream),
        waited: micros(known.waited),
        first_token: settled.first_token.map_or(0, micros),
        total: micros(settled.duration),
        status: settled.status,
        attempts: u16::try_from(known.attempts).unwrap_or(u16::MAX),
        ending: kind(ending),
        stream: known.first_token.is_some(),
        upstream_name: asked.map_or("", |upstream| &upstream.name),
        model: known.model(),
        cause: if ending == Ending::Answered { "" } else { cause },
        ..begin(known)
    };
    shard.journal.settle(known.entry, &record);
}

/// What is known from the beginning.
fn begin<'k, R: Runtime>(known: &'k Known<'_, R>) -> Record<'k> {
    let shard = known.shard;
    let now = shard.rt.unix_millis();
    let age = u64::try_from(shard.rt.lately().since(known.started).as_millis()).unwrap_or(0);
    let trace = &known.envelope.trace;
    let route = known.target.and_then(|target| shard.shape.targets.get(target));
    Record {
        started_ms: now.saturating_sub(age),
        written_ms: now,
        trace: trace.id,
        span: trace.span,
        parent: trace.parent,
        sampled: trace.is_sampled(),
        shard: u16::try_from(shard.index).unwrap_or(u16::MAX),
        id: known.envelope.id.as_str(),
        key: shard.key_name(known.key),
        route: route.map_or("", |labels| &labels.route),
        ..Record::default()
    }
}

const fn kind(ending: Ending) -> journal::Ending {
    match ending {
        Ending::Answered => journal::Ending::Answered,
        Ending::Failed(..) => journal::Ending::Failed,
        Ending::Broken(_) => journal::Ending::Broken,
        Ending::ClientLeft => journal::Ending::ClientLeft,
        Ending::Bug => journal::Ending::Bug,
    }
}

fn micros(spent: Duration) -> u32 {
    u32::try_from(spent.as_micros()).unwrap_or(u32::MAX)
}
